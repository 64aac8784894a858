//! Somebody listens in on a leg: what its party says and hears goes out to a leg without a peer, whose
//! own bridge is heard in turn by the party, or by those who hear it.
//!
//! ```text
//! spied on: rx, tx --> Snoop --frames--> Feed --> rx: the listener, at its own tick
//!           rx, tx <-- Snoop <--frames-- Feed <-- tx
//! ```
//!
//! Frames of 20 ms at 8 kHz, in bounded queues that neither side waits for: both run by one clock, maybe
//! on different threads, and who ticks a little later finds a frame more or less. Where none is
//! there it is silence; of too many the oldest go, so that nothing gets late.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Leg, MAX_TICK};
use crate::audio::polyphase::Resampler;
use crate::audio::{FULLBAND, NARROWBAND, TICK_SAMPLES, WIDEBAND};

/// Who may listen in on a leg at once.
pub const MAX_SNOOPS: usize = 4;
/// Frames on their way: one more than may wait, for the moment between two ticks.
const QUEUE: usize = 4;
/// Samples with a magnitude up to this are silence: the smallest steps of G.711.
const IDLE_PEAK: i16 = 8;
/// Frames that may wait.
const MAX_WAITING: usize = 2;

type Frame = [i16; TICK_SAMPLES];

/// One side of a leg, the other, both or neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// What its party says.
    pub said: bool,
    /// What it hears.
    pub heard: bool,
}

/// The end at the leg that is listened in on. Made, and freed, on the control side.
#[derive(Debug)]
pub struct Snoop {
    number: u64,
    spy: Sides,
    whisper: Sides,
    out: Sender<Frame>,
    whispered: Receiver<Frame>,
    /// What the party says in this tick, where that is spied on.
    said: Frame,
    /// What is whispered in this tick.
    whispers: Option<Frame>,
    down: [Converters; 2],
    up: [Converters; 2],
}

/// The end at the leg that listens: it has no peer. Made, and freed, on the control side.
#[derive(Debug)]
pub struct Feed {
    spied: Receiver<Frame>,
    whisper: Option<Sender<Frame>>,
}

/// Both ends of a line between a leg and who listens in on it; `number` tells it from others.
pub fn listen_in(number: u64, spy: Sides, whisper: Sides) -> (Box<Snoop>, Box<Feed>) {
    let (out, spied) = bounded(QUEUE);
    let (whispers, whispered) = bounded(QUEUE);
    let down = || Converters::new(|rate| Resampler::new(rate, NARROWBAND));
    let up = || Converters::new(|rate| Resampler::new(NARROWBAND, rate));
    let snoop = Snoop {
        number,
        spy,
        whisper,
        out,
        whispered,
        said: [0; TICK_SAMPLES],
        whispers: None,
        down: [down(), down()],
        up: [up(), up()],
    };
    let feed = Feed {
        spied,
        whisper: (whisper != Sides::default()).then_some(whispers),
    };
    (Box::new(snoop), Box::new(feed))
}

/// Resamplers for each rate that a leg can have: another codec may be agreed on.
#[derive(Debug)]
struct Converters([Resampler; 2]);

impl Converters {
    fn new(make: impl Fn(u32) -> Resampler) -> Self {
        Self([make(WIDEBAND), make(FULLBAND)])
    }

    /// From or to a leg's rate, which the longer frame tells.
    fn convert(&mut self, from: &[i16], to: &mut [i16]) {
        const WIDE: usize = WIDEBAND as usize / 50;
        const FULL: usize = FULLBAND as usize / 50;
        match from.len().max(to.len()) {
            TICK_SAMPLES => to.copy_from_slice(from),
            WIDE => self.0[0].process(from, to),
            FULL => self.0[1].process(from, to),
            _ => to.fill(0),
        }
    }
}

impl Snoop {
    /// Takes what the party says, and adds what is whispered to those who hear it.
    fn say(&mut self, rx: &mut [i16]) {
        if self.spy.said {
            self.down[0].convert(rx, &mut self.said);
        }
        self.whispers = newest(&self.whispered);
        if self.whisper.said
            && let Some(whispers) = &self.whispers
        {
            let mut more = [0i16; MAX_TICK];
            let more = &mut more[..rx.len()];
            self.up[0].convert(whispers, more);
            super::tick::add(rx, more);
        }
    }

    /// Adds what is whispered to the party. Whether that is anything.
    fn whisper(&mut self, made: &mut [i16]) -> bool {
        let Some(whispers) = self.whispers.filter(|_| self.whisper.heard) else {
            return false;
        };
        let mut more = [0i16; MAX_TICK];
        let more = &mut more[..made.len()];
        self.up[1].convert(&whispers, more);
        super::tick::add(made, more);
        true
    }

    /// Takes what the party hears; the tick is complete.
    fn end(&mut self, heard: Option<&[i16]>) {
        let mut frame = [0; TICK_SAMPLES];
        if self.spy.said {
            frame = self.said;
        }
        if self.spy.heard
            && let Some(heard) = heard
        {
            let mut narrow = [0; TICK_SAMPLES];
            self.down[1].convert(heard, &mut narrow);
            super::tick::add(&mut frame, &narrow);
        }
        // A listener that does not tick any more is about to end.
        let _ = self.out.try_send(frame);
    }
}

impl Feed {
    /// What the listener says in its tick: what it hears of the other leg.
    pub(super) fn pull(&mut self, rx: &mut [i16]) {
        match newest(&self.spied) {
            Some(frame) if rx.len() == frame.len() => rx.copy_from_slice(&frame),
            _ => rx.fill(0),
        }
    }

    /// What is said to the listener is whispered.
    fn push(&mut self, heard: Option<&[i16]>) {
        if let (Some(whisper), Some(heard)) = (&self.whisper, heard)
            && let Ok(frame) = Frame::try_from(heard)
            && frame.iter().any(|s| s.saturating_abs() > IDLE_PEAK)
        {
            let _ = whisper.try_send(frame);
        }
    }
}

/// The next frame, without those that have become too old.
fn newest(frames: &Receiver<Frame>) -> Option<Frame> {
    while frames.len() > MAX_WAITING {
        // Nobody else takes them.
        let _ = frames.try_recv();
    }
    frames.try_recv().ok()
}

impl Leg {
    /// Has somebody listen in. Without room for one more, the box comes back.
    pub fn snoop(&mut self, snoop: Box<Snoop>) -> Option<Box<Snoop>> {
        match self.snoops.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                self.snooped = true;
                place.replace(snoop)
            }
            None => Some(snoop),
        }
    }

    /// Somebody listens in no longer.
    pub fn unsnoop(&mut self, number: u64) -> Option<Box<Snoop>> {
        let mut places = self.snoops.iter_mut();
        let its = |place: &&mut Option<Box<Snoop>>| {
            place.as_ref().is_some_and(|snoop| snoop.number == number)
        };
        let ended = places.find(its)?.take();
        self.snooped = self.snoops.iter().any(Option::is_some);
        ended
    }

    /// Makes it one that listens in: it has no peer. Before it is opened.
    pub fn set_feed(&mut self, feed: Box<Feed>) {
        self.feed = Some(feed);
    }

    pub(super) fn say_to_snoops(&mut self, rx: &mut [i16]) {
        if !self.snooped {
            return;
        }
        for snoop in self.snoops.iter_mut().flatten() {
            snoop.say(rx);
        }
    }

    /// Whether somebody whispers to the party in this tick.
    pub(super) fn hears_whispers(&self) -> bool {
        let mut all = self.snoops.iter().flatten();
        self.snooped && all.any(|snoop| snoop.whisper.heard && snoop.whispers.is_some())
    }

    pub(super) fn whisper(&mut self, made: &mut [i16]) -> bool {
        let mut any = false;
        if !self.snooped {
            return any;
        }
        for snoop in self.snoops.iter_mut().flatten() {
            any |= snoop.whisper(made);
        }
        any
    }

    /// The tick is complete, with what the party hears.
    pub(super) fn end_snooping(&mut self, heard: Option<&[i16]>) {
        if self.snooped {
            for snoop in self.snoops.iter_mut().flatten() {
                snoop.end(heard);
            }
        }
        if let Some(feed) = &mut self.feed {
            feed.push(heard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Sides = Sides {
        said: true,
        heard: false,
    };
    const BOTH: Sides = Sides {
        said: true,
        heard: true,
    };

    #[test]
    fn a_tick_goes_out_with_both_its_sides() {
        let (mut snoop, mut feed) = listen_in(1, BOTH, Sides::default());
        let mut out = [7i16; TICK_SAMPLES];
        feed.pull(&mut out);
        assert_eq!(out, [0; TICK_SAMPLES], "nothing is there yet");
        snoop.say(&mut [100; TICK_SAMPLES]);
        snoop.end(Some(&[20; TICK_SAMPLES]));
        feed.pull(&mut out);
        assert_eq!(out, [120; TICK_SAMPLES]);
        // The listener is behind: what is too old goes, and what finds no room.
        for n in 1..10 {
            snoop.say(&mut [n; TICK_SAMPLES]);
            snoop.end(None);
        }
        feed.pull(&mut out);
        assert_eq!(out[0], 3);
    }

    #[test]
    fn whispers_are_heard_where_they_are_to_be() {
        let (mut snoop, mut feed) = listen_in(1, SAID, SAID);
        feed.push(Some(&[50; TICK_SAMPLES]));
        let mut rx = [1i16; TICK_SAMPLES];
        snoop.say(&mut rx);
        assert_eq!(rx, [51; TICK_SAMPLES]);
        let mut made = [1i16; TICK_SAMPLES];
        assert!(!snoop.whisper(&mut made));
        assert_eq!(made, [1; TICK_SAMPLES]);
        snoop.end(Some(&made));
        let mut out = [0i16; TICK_SAMPLES];
        feed.pull(&mut out);
        assert_eq!(out, [1; TICK_SAMPLES], "who whispers does not hear itself");
        // Silence is no whisper, and nobody whispers who may not.
        feed.push(Some(&[IDLE_PEAK; TICK_SAMPLES]));
        assert!(snoop.whispered.is_empty());
        let (snoop, mut feed) = listen_in(2, SAID, Sides::default());
        feed.push(Some(&[50; TICK_SAMPLES]));
        assert!(snoop.whispered.is_empty());
    }
}
