//! One way of a call: speech -> encoder -> network -> playout, in simulated time.

use antiphon::audio::MediaTime;
use antiphon::codec::{Codec, CodecError, Encoder, MAX_PAYLOAD, OpusSettings};
use antiphon::leg::playout::{Decoders, Playout, PlayoutSettings, PlayoutStats};
use antiphon::rtp::{Packet, PayloadType, SeqNo, Ssrc, Timestamp};

use super::appendix::{self, Appendix};
use super::network::Profile;

const TICK_US: u64 = 20_000;
/// How long before a tick a packet comes that the network does not delay.
const BEFORE_US: u64 = 7_000;

/// What a telephone sends that was told of 10 % of loss.
const OPUS: OpusSettings = OpusSettings {
    bitrate: 32_000,
    complexity: 5,
    fec: true,
    dtx: false,
    cbr: false,
    max_playback_rate: 48_000,
    expected_loss: 10,
};

/// What was heard.
pub struct Call {
    /// On the sender's time line; the first tick is the first packet's.
    pub heard: Vec<i16>,
    /// At each tick, how much later than without a network a sample is played, ms.
    pub added_ms: Vec<f32>,
    /// At the end.
    pub stats: PlayoutStats,
}

/// Sends `speech`, at the codec's sampling rate, in packets of 20 ms.
pub fn call(codec: Codec, speech: &[i16], profile: Profile, seed: u64) -> Result<Call, CodecError> {
    let rate = codec.sample_rate();
    let tick = rate as usize / 50;
    let frames: Vec<&[i16]> = speech.chunks_exact(tick).collect();
    let sent_us = |n: u64| (n as f64 * TICK_US as f64 * (1.0 + profile.drift())) as u64;
    let mut arrivals: Vec<(u64, usize)> = profile
        .delays(frames.len(), seed)
        .iter()
        .enumerate()
        .filter_map(|(n, delay)| Some((TICK_US - BEFORE_US + sent_us(n as u64) + (*delay)?, n)))
        .collect();
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut encoder = Encoder::new(codec, &OPUS)?;
    let payloads: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| {
            let mut payload = vec![0; MAX_PAYLOAD];
            let len = encoder.encode(frame, &mut payload);
            payload.truncate(len);
            payload
        })
        .collect();
    let mut playout = Playout::new(PlayoutSettings {
        rate,
        ..PlayoutSettings::default()
    });
    playout.set_decoders(Decoders::new(&[codec], rate)?);
    let mut heard = vec![0; speech.len()];
    let mut added_ms = Vec::new();
    for (n, out) in heard.chunks_exact_mut(tick).enumerate() {
        let now = (n as u64 + 1) * TICK_US;
        while let Some((arrival, n)) = arrivals.next_if(|(arrival, _)| *arrival <= now) {
            let packet = Packet {
                payload_type: PayloadType(0),
                marker: n == 0,
                seq: SeqNo(n as u16),
                timestamp: Timestamp(n as u32 * codec.clock_rate() / 50),
                ssrc: Ssrc(1),
                payload: &payloads[n],
            };
            playout.insert(&packet, codec, MediaTime::from_micros(arrival));
        }
        playout.pull(out, MediaTime::from_micros(now));
        // What was just played ends where the next tick begins.
        let played = playout.next_timestamp() as f64 / f64::from(codec.clock_rate()) * 1e6;
        let due = now as f64 / (1.0 + profile.drift());
        added_ms.push(((due - played) / 1e3) as f32);
    }
    Ok(Call {
        heard,
        added_ms,
        stats: playout.stats(),
    })
}

/// The same packets behind a buffer that waits for each as long as it takes, with the Appendix's
/// concealment.
pub fn yardstick(codec: Codec, speech: &[i16], profile: Profile, seed: u64) -> Vec<i16> {
    let delays = profile.delays(speech.len() / 160, seed);
    let mut appendix = Appendix::new();
    let mut heard = Vec::with_capacity(speech.len());
    for (frame, delay) in speech.chunks_exact(160).zip(&delays) {
        let (mut payload, mut pcm) = ([0; 160], [0; 160]);
        codec.encode(frame, &mut payload);
        codec.decode(&payload, &mut pcm);
        for half in pcm.chunks(80) {
            heard.extend(match delay {
                Some(_) => appendix.good(half),
                None => appendix.lost(),
            });
        }
    }
    heard.drain(..appendix::DELAY);
    heard.resize(speech.len(), 0);
    heard
}
