//! A gateway that sends a key's tone beside its events: what of it is played behind the tick that reads
//! of the event's end.

use std::net::SocketAddr;

use antiphon::audio::{MediaTime, TICK_SAMPLES};
use antiphon::codec::Codec;
use antiphon::leg::{Channel, EventFormat, Leg, LegParams, MediaIo, Sink, TickTime};

use crate::support::sim::leg::{ID, peer, settings};

/// Of G.711: full scale, and a tenth of it.
const TONE: u8 = 0x80;
const SPEECH: u8 = 0xaf;
/// The slots of the event, of 20 ms each, and all.
const EVENT: std::ops::Range<usize> = 10..18;
const SLOTS: usize = 28;

/// What comes in a tick.
#[derive(Default)]
struct Io(Vec<Vec<u8>>, MediaTime);

impl MediaIo for Io {
    fn receive(&mut self, _: u32, channel: Channel, sink: &mut Sink<'_>) {
        if channel == Channel::Rtp {
            for packet in self.0.drain(..) {
                sink(&packet, peer(), self.1);
            }
        }
    }
    fn send(&mut self, _: u32, _: Channel, _: SocketAddr, _: &[u8]) {}
    fn connect(&mut self, _: u32, _: Option<SocketAddr>) {}
    fn closed(&mut self, _: u32) {}
    fn flush(&mut self) {}
}

fn leg(event_clock: u32) -> Leg {
    let mut params = LegParams::g711(Codec::Pcmu, Some(peer()));
    params.events = Some(EventFormat {
        rx: 101,
        tx: 101,
        clock_rate: event_clock,
    });
    Leg::new(ID, params, settings()).unwrap()
}

/// When things come.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// In their ticks.
    Steady,
    /// The audio beside the event's end, so many ticks behind it.
    Late(usize),
    /// From the event's end on, a tick before: the ticks come later and later.
    Early,
    /// 40 ms at once, in the speech before and again behind the event's end, the audio beside it included.
    Spikes,
    /// Nothing but the event's end, for 100 ms.
    Pause,
}

impl Pace {
    /// The tick in which an event's packets of a slot come, and that of the audio; none: it is not sent.
    fn ticks(self, slot: usize) -> (usize, Option<usize>) {
        let last = EVENT.end - 1;
        match self {
            Pace::Late(ticks) if slot == last => (slot, Some(slot + ticks)),
            Pace::Early if slot >= last => (slot - 1, Some(slot - 1)),
            Pace::Spikes if (4..6).contains(&slot) => (slot, Some(6)),
            Pace::Spikes if (last..last + 2).contains(&slot) => (slot, Some(last + 2)),
            Pace::Pause if (last..last + 6).contains(&slot) => (slot, None),
            _ => (slot, Some(slot)),
        }
    }
}

/// The packets of each tick: speech, the event with its tone beside it, speech. The event says that it
/// is `longer` than it is, samples.
fn packets(pace: Pace, longer: u16) -> Vec<Vec<Vec<u8>>> {
    let mut ticks = vec![Vec::new(); SLOTS];
    let mut sequence = 0u8;
    let mut send = |tick: usize, slot: usize, payload_type: u8, payload: &[u8]| {
        let [high, low] = (slot as u16 * 160).to_be_bytes();
        let mut packet = vec![0x80, payload_type, 0, sequence];
        packet.extend([0, 0, high, low, 0, 0, 0, 9]);
        packet.extend(payload);
        sequence += 1;
        ticks[tick].push(packet);
    };
    for slot in 0..SLOTS {
        let (of_event, of_audio) = pace.ticks(slot);
        let last = slot + 1 == EVENT.end;
        if EVENT.contains(&slot) {
            let duration = (slot - EVENT.start + 1) as u16 * 160 + if last { longer } else { 0 };
            let [high, low] = duration.to_be_bytes();
            let end = if last { 0x8a } else { 0x0a };
            for _ in 0..if last { 3 } else { 1 } {
                send(of_event, EVENT.start, 101, &[5, end, high, low]);
            }
        }
        let code = if EVENT.contains(&slot) { TONE } else { SPEECH };
        if let Some(tick) = of_audio {
            send(tick, slot, 0, &[code; 160]);
        }
    }
    ticks
}

/// How loud each tick is: the mean of its samples' sizes. A fade of 2 ms weighs little in it.
fn heard(event_clock: u32, ticks: Vec<Vec<Vec<u8>>>) -> Vec<u32> {
    let mut leg = leg(event_clock);
    let mut levels = Vec::new();
    for (tick, packets) in ticks.into_iter().enumerate() {
        let now = MediaTime::from_millis(1000 + 20 * tick as u64);
        let mut rx = [0; TICK_SAMPLES];
        leg.tick_rx(&mut rx, TickTime { now, ntp: 0 }, &mut Io(packets, now));
        let sum: u32 = rx.iter().map(|s| u32::from(s.unsigned_abs())).sum();
        levels.push(sum / TICK_SAMPLES as u32);
    }
    levels
}

fn ticks_above(levels: &[u32], bound: u32) -> usize {
    levels.iter().filter(|level| **level > bound).count()
}

#[test]
fn the_tone_that_is_played_behind_the_tick_of_the_events_end_is_not_heard() {
    for (pace, speech) in [
        (Pace::Steady, 19),
        (Pace::Late(1), 19),
        (Pace::Late(2), 19),
        (Pace::Early, 20),
        (Pace::Spikes, 16),
        (Pace::Pause, 14),
    ] {
        let levels = heard(8000, packets(pace, 0));
        // Less than 2 ms of the tone: where it is faded, or speech resumes from what was made up of it.
        let found = format!("{pace:?}: {levels:?}");
        assert_eq!(ticks_above(&levels, 6500), 0, "{found}");
        assert!(ticks_above(&levels, 3000) >= speech, "{found}");
        println!("{found}");
    }
}

/// What is said behind an event that says it were longer, or counts by another clock, is heard soon.
#[test]
fn a_wrong_duration_does_not_hide_speech() {
    let levels = heard(8000, packets(Pace::Steady, 16_000));
    assert!(ticks_above(&levels, 3000) >= 15, "{levels:?}");
    let levels = heard(48_000, packets(Pace::Steady, 16_000));
    assert!(ticks_above(&levels, 3000) >= 18, "{levels:?}");
}

/// A gateway whose events have an SSRC of their own, beside speech that does not pause: each digit is
/// told, and the speech is not torn by it.
#[test]
fn events_of_a_source_of_their_own_are_heard_beside_the_audio() {
    let mut leg = leg(8000);
    let (mut digits, mut loud) = (String::new(), 0);
    let mut number = 0u8;
    const KEYS: u8 = 6;
    // 100 ms each, with 100 ms between them.
    let slots = 20 + 10 * usize::from(KEYS);
    for slot in 0..slots {
        let mut packets = vec![vec![0x80, 0, 0, slot as u8]];
        let [high, low] = (slot as u16 * 160).to_be_bytes();
        packets[0].extend([0, 0, high, low, 0, 0, 0, 9]);
        packets[0].extend([SPEECH; 160]);
        let (key, of_key) = ((slot.max(10) - 10) / 10, slot % 10);
        if slot >= 10 && of_key < 5 && key < usize::from(KEYS) {
            let [high, low] = (of_key as u16 * 160 + 160).to_be_bytes();
            let end = if of_key == 4 { 0x8a } else { 0x0a };
            for _ in 0..if of_key == 4 { 3 } else { 1 } {
                // Numbers and timestamps are the source's own, too.
                let mut packet = vec![0x80, 0x65 | u8::from(of_key == 0) << 7, 90, number];
                number += 1;
                packet.extend([7, 0, key as u8, 0, 0, 0, 0, 77]);
                packet.extend([key as u8 + 1, end, high, low]);
                packets.push(packet);
            }
        }
        let now = MediaTime::from_millis(1000 + 20 * slot as u64);
        let mut rx = [0; TICK_SAMPLES];
        leg.tick_rx(&mut rx, TickTime { now, ntp: 0 }, &mut Io(packets, now));
        let sum: u32 = rx.iter().map(|s| u32::from(s.unsigned_abs())).sum();
        loud += u32::from(sum / TICK_SAMPLES as u32 > 3000);
        digits
            .extend(std::iter::from_fn(|| leg.take_digit(now)).map(antiphon::dtmf::Digit::as_char));
    }
    assert_eq!(digits, "123456");
    // Its tone, were there one, would be silenced while an event goes on, and as long as what came then is
    // played: what is said then is not heard.
    let keys = u32::from(KEYS);
    let expected = slots as u32 - 8 * keys - 3..=slots as u32 - 5 * keys;
    assert!(expected.contains(&loud), "{loud} of {slots}");
    assert_eq!(leg.stats().receive.ssrc.map(|ssrc| ssrc.0), Some(9));
}
