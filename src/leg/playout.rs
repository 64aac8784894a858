//! The playout of one leg: packets in, one tick of samples out, at the least delay that the
//! network allows.
//!
//! Sits after `rtp::session`, before the bridge's port. Viewpoint: rx is what the party sends.
//!
//! ```text
//! packet --> (restart?) --> decode --> JitterBuffer (samples on the timestamp line)
//!                |                          |
//!                '--> DelayHistory --> pull: play | accelerate | expand | conceal | silence
//! ```
//!
//! A codec with state, or of another rate, is not decoded on arrival: its payloads wait in the
//! `Decoders`, and are decoded in order by the pull that needs them. There a loss is repaired by
//! Opus' FEC if the next packet waits, or concealed by Opus itself.
//!
//! `line` advances by a tick with each pull, whatever happens. What is played lies `delay`
//! samples behind it; a packet's earliness is its distance from the line at the tick that reads
//! it. On a clean network all are equal, the delay stays as it began, and each packet is played
//! on the tick after its arrival.

mod decode;
mod decoders;
mod insert;
mod noise;
mod pull;
mod store;

pub use decoders::Decoders;

use super::MediaIo;
use crate::audio::MediaTime;
use crate::audio::conceal::Concealer;
use crate::rtp::jitter::{DelayHistory, JitterBuffer, Scale};
use crate::rtp::{SeqNo, Ssrc, Timestamp};
use noise::Noise;

/// What a playout is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutSettings {
    /// The most that may be added to the fastest packets' delay, ms.
    pub max_delay_ms: u32,
    /// The sampling rate, Hz; at least 8000.
    pub rate: u32,
}

impl Default for PlayoutSettings {
    fn default() -> Self {
        Self {
            max_delay_ms: 200,
            rate: crate::audio::NARROWBAND,
        }
    }
}

/// What a pull gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// Received audio, perhaps stretched.
    Audio,
    /// At least a part is concealed loss.
    Concealed,
    /// Silence or comfort noise.
    Silence,
}

/// Counters and depth. One sample is 1/rate s.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayoutStats {
    /// Samples that were left in the buffer after the last pull: zero on a clean network with
    /// packets of one tick.
    pub depth_samples: u32,
    /// Mean of the same over all pulls.
    pub mean_depth_samples: f32,
    /// Maximum of the same.
    pub max_depth_samples: u32,
    /// Samples made up for lost or late ones, without the silence behind them.
    pub concealed_samples: u64,
    /// Packets that came when their time was over.
    pub late: u64,
    /// Packets that came again, or whose samples were there already.
    pub duplicates: u64,
    /// Packets too far ahead, or too long, to keep.
    pub overflow: u64,
    /// Samples added by stretching, or by concealment that held the line.
    pub expanded: u64,
    /// Samples removed by stretching.
    pub accelerated: u64,
    /// Losses repaired by what a later packet carried of them.
    pub repaired: u64,
    /// Packets of a codec that there is no decoder for.
    pub undecodable: u64,
    /// New time lines taken up: restarts, pauses that stopped the timestamp.
    pub restarts: u64,
}

/// The playout of one received stream. All memory is taken at construction.
#[derive(Debug)]
pub struct Playout {
    settings: PlayoutSettings,
    buffer: JitterBuffer,
    decoders: Option<Box<Decoders>>,
    history: DelayHistory,
    concealer: Concealer,
    noise: Noise,
    /// Where the audio that came before the noise ends.
    noise_from: i64,
    scratch: Box<[i16]>,
    state: State,
    /// The position that would be read next without any delay.
    line: i64,
    /// Where the present loss began: the position of the first sample not played as received.
    gap_start: Option<i64>,
    /// What was counted as concealed of it.
    gap_concealed: u64,
    /// When a loss was repaired, or could have been, last.
    repair_tick: Option<u32>,
    /// Whether any audio was played: before it, there is nothing to conceal.
    heard: bool,
    newest: Newest,
    highest: SeqNo,
    /// Bit n: the packet `highest - n` was seen.
    seen: u64,
    /// What is subtracted from timestamps since the last restart of the sender's line.
    rebase: u32,
    /// The timestamps' rate, Hz.
    clock: u32,
    ssrc: Option<Ssrc>,
    /// Consecutive packets out of time.
    strays: u8,
    /// Consecutive ticks whose packets did not fit the line, and the last of them.
    misfits: (u32, u32),
    /// Packets this late are waited for elsewhere, us.
    spared_us: i32,
    /// The median deviation of arrivals from the timestamp line, us.
    jitter_us: i64,
    tick: u32,
    last_pull: Option<MediaTime>,
    /// By how much the ticks have moved later since the first, us.
    moved_us: i64,
    /// Ticks until the next stretch may be made, and ticks that the last wish was refused.
    stretch_wait: u32,
    refused: u32,
    /// Ticks in a row that were quiet (negative: that were not).
    quiet_ticks: i32,
    depth_sum: u64,
    pulls: u64,
    stats: PlayoutStats,
}

/// ```text
/// Empty --packet--> Filled --pull--> Playing
///   ^--------- reset ---'-- reset -----'
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No packet yet.
    Empty,
    /// A packet, but no pull since.
    Filled,
    /// The line runs.
    Playing,
}

/// What is kept of a packet: as a rule, of the one with the highest sequence number.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    seq: SeqNo,
    at: i64,
    len: i64,
    arrival: MediaTime,
}

/// So many samples of one rate, Hz, as those of another.
pub(super) fn rescaled(samples: u64, (from, to): (u32, u32)) -> u64 {
    samples * u64::from(to) / u64::from(from.max(1))
}

impl Playout {
    /// An empty playout: about 12 KiB at 8 kHz.
    pub fn new(settings: PlayoutSettings) -> Self {
        Self::in_memory_of(None, settings)
    }

    /// The same, in the memory of one that is over as far as that has the size. Nothing else of it is
    /// taken.
    pub fn in_memory_of(old: Option<Playout>, settings: PlayoutSettings) -> Self {
        let rate = settings.rate.max(crate::audio::NARROWBAND);
        let settings = PlayoutSettings { rate, ..settings };
        let ms = rate as usize / 1000;
        let capacity = (settings.max_delay_ms as usize + BURST_MS).max(STORE_MS) * ms;
        let scale = Scale {
            tick: (rate / 50) as i32,
            moved_us: 0,
            guard_us: 0,
        };
        let (buffer, history, concealer, scratch) = match old {
            Some(old) => (
                old.buffer.recycled(capacity),
                old.history.recycled(scale),
                old.concealer.recycled(rate),
                resized(old.scratch, STRETCHED_MS * ms),
            ),
            None => (
                JitterBuffer::new(capacity),
                DelayHistory::new(scale),
                Concealer::new(rate),
                vec![0; STRETCHED_MS * ms].into(),
            ),
        };
        Self {
            settings,
            buffer,
            decoders: None,
            history,
            concealer,
            noise: Noise::new(),
            noise_from: 0,
            scratch,
            state: State::Empty,
            line: 0,
            gap_start: None,
            gap_concealed: 0,
            repair_tick: None,
            heard: false,
            newest: Newest::default(),
            highest: SeqNo(0),
            seen: 0,
            rebase: 0,
            clock: rate,
            ssrc: None,
            strays: 0,
            misfits: (0, 0),
            spared_us: 0,
            jitter_us: 0,
            tick: 0,
            last_pull: None,
            moved_us: 0,
            stretch_wait: 0,
            refused: 0,
            quiet_ticks: 0,
            depth_sum: 0,
            pulls: 0,
            stats: PlayoutStats::default(),
        }
    }

    /// Forgets the stream, but for the statistics and what smooths the transition to the next.
    pub fn reset(&mut self) {
        self.state = State::Empty;
        self.buffer.restart(0);
        self.history.clear();
        self.noise.stop();
        if let Some(decoders) = &mut self.decoders {
            decoders.reset();
        }
        self.repair_tick = None;
        self.gap_start = None;
        self.rebase = 0;
        self.ssrc = None;
        self.misfits = (0, 0);
        self.jitter_us = 0;
        self.stretch_wait = 0;
        self.refused = 0;
        self.quiet_ticks = 0;
    }

    /// Packets that miss their tick by up to so many us ask for no delay: the ticks are about to come
    /// later by that.
    pub fn spare(&mut self, late_us: i32) {
        self.spared_us = late_us;
    }

    /// Whether there are such packets.
    pub fn spares(&self) -> bool {
        self.spared_us > 0
    }

    /// The sender's timestamp that the next pull begins at.
    pub fn next_timestamp(&self) -> u32 {
        (self.to_clock(self.buffer.start()) as u32).wrapping_add(self.rebase)
    }

    /// The sender's timestamp that the last `samples` played began with, where its clock is this one, Hz.
    /// What is made up in a gap is of the sound before it.
    pub fn played_from(&self, samples: usize, clock: u32) -> Option<Timestamp> {
        let played = self.buffer.start() - samples as i64;
        let from = self.gap_start.map_or(played, |gap| played.min(gap - 1));
        let from = self.to_clock(from);
        (self.clock == clock).then(|| Timestamp((from as u32).wrapping_add(self.rebase)))
    }

    /// Samples to units of the timestamp.
    fn to_clock(&self, samples: i64) -> i64 {
        (samples * i64::from(self.clock)).div_euclid(i64::from(self.settings.rate))
    }

    /// Has the memory fetched that the next packet and the next tick touch, besides this itself.
    pub fn expect<I: MediaIo>(&self, io: &I) {
        let tick = self.settings.rate as usize / 50;
        let (samples, valid) = self.buffer.next_piece(tick);
        io.prefetch(samples);
        io.prefetch(valid);
        io.prefetch(self.history.present());
    }

    /// Counters and depth so far.
    pub fn stats(&self) -> PlayoutStats {
        let mut stats = self.stats;
        if self.pulls > 0 {
            stats.mean_depth_samples = (self.depth_sum as f64 / self.pulls as f64) as f32;
        }
        stats
    }

    /// Goes on counting where another has stopped.
    pub fn continue_from(&mut self, before: &Playout) {
        let rates = (before.settings.rate, self.settings.rate);
        let scaled = |samples| rescaled(samples, rates);
        self.stats = PlayoutStats {
            depth_samples: 0,
            max_depth_samples: scaled(before.stats.max_depth_samples.into()) as u32,
            concealed_samples: scaled(before.stats.concealed_samples),
            expanded: scaled(before.stats.expanded),
            accelerated: scaled(before.stats.accelerated),
            ..before.stats
        };
        self.depth_sum = scaled(before.depth_sum);
        self.pulls = before.pulls;
    }

    /// Packets that came and were not in time to be heard.
    pub fn discarded(&self) -> u64 {
        self.stats.late + self.stats.overflow
    }

    /// How much more delay there is than the history asks for, samples; negative: too little.
    fn excess(&mut self) -> i64 {
        let Some(summary) = self.history.summary() else {
            return 0;
        };
        let mut typical = i64::from(summary.typical);
        if summary.recovered {
            typical = typical.max(i64::from(summary.recent));
        }
        typical -= self.repair_delay();
        let bound = i64::from(summary.best) - i64::from(self.max_delay());
        typical.max(bound) + self.line - self.buffer.start()
    }

    fn max_delay(&self) -> u32 {
        self.settings.max_delay_ms * (self.settings.rate / 1000)
    }

    /// Goes to another place on the line, and forgets what was there.
    fn restart_at(&mut self, at: i64) {
        self.buffer.restart(at);
        if let Some(decoders) = &mut self.decoders {
            decoders.reset();
        }
        self.history.clear();
        self.line = at;
        self.gap_start = self.gap_start.map(|_| at);
        self.misfits.0 = 0;
        self.stats.restarts += 1;
    }
}

/// The smallest step of G.711, where an A-law line is idle.
const IDLE_PEAK: u16 = 8;
/// Room for a stall's burst.
const STORE_MS: usize = 500;
/// The same above the most delay that the settings allow, which may be more.
const BURST_MS: usize = 300;
/// What a tick that is shortened is made of.
const STRETCHED_MS: usize = 40;
/// RFC 3551 §4.2: a receiver should take packets of up to 200 ms.
const MAX_PACKET_MS: usize = 200;

/// Memory to write before it is read, of this length.
pub(super) fn resized<T: Copy + Default>(memory: Box<[T]>, len: usize) -> Box<[T]> {
    if memory.len() == len {
        memory
    } else {
        vec![T::default(); len].into()
    }
}

#[cfg(test)]
mod tests;
