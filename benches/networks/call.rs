//! One way of a call, in simulated time: speech -> encoder -> network -> a media worker with the
//! party's leg in a bridge of two -> what the other party is sent, as linear samples.

use std::collections::VecDeque;

use antiphon::codec::{Codec, CodecError, Encoder, MAX_PAYLOAD, OpusSettings};
use antiphon::leg::playout::PlayoutStats;
use antiphon::rtp::packet::{HEADER_LEN, Header, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};

use super::appendix::{self, Appendix};
use super::network::Profile;
use super::room::{Room, payload_type};

const TICK_US: u64 = 20_000;
/// How long before a tick a packet comes that the network does not delay: so near that the bridge
/// stays where it is.
const BEFORE_US: u64 = 2_000;
/// Ticks of the bridge before the first packet's: both have faded in by then.
const LEAD: u64 = 10;

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
    /// Each tick's time against where the first one's place is, ms: the bridge moves.
    pub late_ms: Vec<f32>,
    /// At the end.
    pub stats: PlayoutStats,
}

/// Sends `speech`, at the codec's sampling rate, in packets of 20 ms.
pub fn call(codec: Codec, speech: &[i16], profile: Profile, seed: u64) -> Result<Call, CodecError> {
    let rate = codec.sample_rate();
    let tick = rate as usize / 50;
    let mut room = Room::new(codec)?;
    let first_ms = room.next_ms() + LEAD * TICK_US / 1000;
    let begin_us = first_ms * 1000 - BEFORE_US;
    let packets = packets(codec, speech, tick)?;
    let sent_us = |n: u64| (n as f64 * TICK_US as f64 * (1.0 + profile.drift())) as u64;
    let delays = profile.delays(packets.len(), seed);
    let mut arrivals: Vec<(u64, Vec<u8>)> = packets
        .into_iter()
        .zip(delays)
        .enumerate()
        .filter_map(|(n, (packet, delay))| Some((begin_us + sent_us(n as u64) + delay?, packet)))
        .collect();
    // Stable: what comes at the same time stays in its order.
    arrivals.sort_by_key(|(at, _)| *at);
    room.send(VecDeque::from(arrivals));
    let lead = LEAD as usize;
    let stats = room.run(lead + speech.len() / tick);
    let home = (first_ms..).step_by(TICK_US as usize / 1000);
    let ticks_ms = room.ticks_ms().skip(lead).zip(home);
    let late_ms = ticks_ms.map(|(at, home)| at as f32 - home as f32).collect();
    let mut heard = room.heard();
    heard.drain(..(lead * tick).min(heard.len()));
    heard.resize(speech.len(), 0);
    Ok(Call {
        heard,
        late_ms,
        stats,
    })
}

/// The packets, in octets.
fn packets(codec: Codec, speech: &[i16], tick: usize) -> Result<Vec<Vec<u8>>, CodecError> {
    let mut encoder = Encoder::new(codec, &OPUS)?;
    let frames = speech.chunks_exact(tick).enumerate();
    Ok(frames
        .map(|(n, frame)| {
            let mut packet = vec![0; HEADER_LEN + MAX_PAYLOAD];
            let header = Header {
                payload_type: PayloadType(payload_type(codec)),
                marker: n == 0,
                seq: SeqNo(n as u16),
                timestamp: Timestamp(n as u32 * codec.clock_rate() / 50),
                ssrc: Ssrc(1),
            };
            write_header(&mut packet, &header);
            let len = encoder.encode(frame, &mut packet[HEADER_LEN..]);
            packet.truncate(HEADER_LEN + len);
            packet
        })
        .collect())
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
