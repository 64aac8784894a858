//! Plays prompts, tones and files to a leg.
//!
//! Runs on the media thread, before the encoder, at 8 or at 16 kHz; counts at 8 kHz. A [`Play`] is built on the control
//! side and goes back there to be freed; nothing here allocates or frees. Tx is the server's.
//!
//! ```text
//!          start               last item done: Ended(Finished)
//!  Idle ----------> Playing ------------------------------------> Idle
//!    ^                | | '-- file unreadable: Ended(Failed) ------^
//!    '-- 5 ms fade ---' '--- start again: the old one Replaced
//!         stop
//! ```

use super::NARROWBAND;
use super::gain;
use super::sound::Band;
use super::source::{FeedState, Source};
use super::tone::{Burst, EDGE_MS, Tone};

/// The fade behind a stop, in samples at 8 kHz.
const FADE: usize = (NARROWBAND * EDGE_MS / 1000) as usize;

/// A playlist.
#[derive(Debug)]
pub struct Play {
    /// The owner's handle, given back at the end.
    pub id: u64,
    /// What is played, in order.
    pub items: Vec<Source>,
    /// How often the whole list is played; 0: for ever.
    pub repeat: u32,
    /// Silence between two passes of the list, samples at 8 kHz.
    pub gap_samples: u64,
}

impl Play {
    /// One pass of `items`.
    pub fn once(id: u64, items: Vec<Source>) -> Self {
        Self {
            id,
            items,
            repeat: 1,
            gap_samples: 0,
        }
    }
}

/// What can be done to a play under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayControl {
    /// Silence from now on, until it is resumed.
    Pause,
    /// Goes on where it was paused.
    Resume,
    /// Begins the item under way anew.
    Restart,
    /// Skips so many milliseconds of the item under way: forward, or back where negative, from its
    /// beginning to its end at most.
    Skip(i32),
}

/// Why a play ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayEndReason {
    /// All was played.
    Finished,
    /// It was told to.
    Stopped,
    /// Another play took its place.
    Replaced,
    /// A file could not be read on.
    Failed,
}

/// How a play ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayEnd {
    /// Why.
    pub reason: PlayEndReason,
    /// How far it got, in samples at 8 kHz from its start, gaps and repeats included.
    pub samples: u64,
    /// Ticks on which a file's samples had not come in time: silence went out instead.
    pub underruns: u64,
}

/// What a [`Player::fill`] did.
#[derive(Debug)]
pub enum PlayStatus {
    /// Nothing plays.
    Idle,
    /// There is more to come.
    Playing,
    /// The play ended within these samples; free it elsewhere.
    Ended(Box<Play>, PlayEnd),
}

/// Plays one [`Play`] at a time.
#[derive(Debug)]
pub struct Player {
    running: Option<Running>,
    /// The faded end of what was stopped or replaced, mixed into the next samples; of `band`.
    tail: [i16; 2 * FADE],
    tail_samples: usize,
    /// What was asked for last.
    band: Band,
}

impl Player {
    /// A player that is idle.
    pub fn new() -> Self {
        Self {
            running: None,
            tail: [0; 2 * FADE],
            tail_samples: 0,
            band: Band::Narrow,
        }
    }

    /// Starts `play` with the next fill; returns the one that it replaces.
    pub fn start(&mut self, play: Box<Play>) -> Option<Box<Play>> {
        self.replace(play).map(|(old, _)| old)
    }

    /// The same, and tells how far the replaced one got.
    pub fn replace(&mut self, play: Box<Play>) -> Option<(Box<Play>, PlayEnd)> {
        let old = self.end(PlayEndReason::Replaced);
        self.running = Some(Running::new(play));
        old
    }

    /// Stops; the fade goes out with the next fill.
    pub fn stop(&mut self) -> Option<(Box<Play>, PlayEnd)> {
        self.end(PlayEndReason::Stopped)
    }

    /// Pauses what plays, or moves within it; without a click.
    pub fn control(&mut self, control: PlayControl) {
        let Some(running) = &mut self.running else {
            return;
        };
        match control {
            PlayControl::Resume => running.paused = false,
            PlayControl::Pause => {
                self.cut();
                if let Some(running) = &mut self.running {
                    running.paused = true;
                }
            }
            PlayControl::Restart => self.seek(None),
            PlayControl::Skip(ms) => self.seek(Some(ms)),
        }
    }

    fn seek(&mut self, ms: Option<i32>) {
        self.cut();
        if let Some(running) = &mut self.running {
            running.seek(ms.map(|ms| i64::from(ms) * i64::from(NARROWBAND) / 1000));
        }
    }

    /// Breaks off what plays, with a fade; it is to go on elsewhere, or later.
    fn cut(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.paused || running.samples == 0 {
            return;
        }
        let mut fade = [0i16; 2 * FADE];
        let fade = &mut fade[..FADE * self.band.scale()];
        running.over = running.fill(fade, self.band);
        running.fades_in = true;
        self.add_tail(fade);
    }

    /// What was broken off fades out.
    fn add_tail(&mut self, fade: &mut [i16]) {
        gain::ramp(fade, 1.0, 0.0);
        for (i, sample) in fade.iter().enumerate() {
            let before = if i < self.tail_samples {
                self.tail[i]
            } else {
                0
            };
            self.tail[i] = before.saturating_add(*sample);
        }
        self.tail_samples = fade.len();
    }

    /// The handle of what plays.
    pub fn playing(&self) -> Option<u64> {
        self.running.as_ref().map(|running| running.play.id)
    }

    /// Whether what plays is paused.
    pub fn is_paused(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.paused)
    }

    /// Whether nothing plays and nothing is left of what did.
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.tail_samples == 0
    }

    /// Overwrites `out`, of that band, with silence where nothing plays.
    pub fn fill(&mut self, out: &mut [i16], band: Band) -> PlayStatus {
        self.change(band);
        let status = match &mut self.running {
            None => {
                out.fill(0);
                PlayStatus::Idle
            }
            Some(running) => match running.next(out, band) {
                None => PlayStatus::Playing,
                Some(reason) => {
                    let end = running.ended(reason);
                    match self.running.take() {
                        Some(running) => PlayStatus::Ended(running.play, end),
                        None => PlayStatus::Idle,
                    }
                }
            },
        };
        self.mix_tail(out);
        status
    }

    fn end(&mut self, reason: PlayEndReason) -> Option<(Box<Play>, PlayEnd)> {
        let mut running = self.running.take()?;
        let end = running.ended(reason);
        // What has not been heard yet cannot click.
        if end.samples > 0 && !running.paused && running.over.is_none() {
            let mut fade = [0i16; 2 * FADE];
            let fade = &mut fade[..FADE * self.band.scale()];
            running.fill(fade, self.band);
            self.add_tail(fade);
        }
        Some((running.play, end))
    }

    /// The listener has another rate from now on; what is left of a fade goes with it.
    fn change(&mut self, band: Band) {
        if self.band == band {
            return;
        }
        let count = self.tail_samples;
        self.tail_samples = count / self.band.scale() * band.scale();
        match band {
            Band::Narrow => (0..count / 2).for_each(|i| self.tail[i] = self.tail[2 * i]),
            Band::Wide => {
                let doubled = (0..2 * count).rev();
                doubled.for_each(|i| self.tail[i] = self.tail[i / 2]);
            }
        }
        self.band = band;
    }

    fn mix_tail(&mut self, out: &mut [i16]) {
        let count = self.tail_samples.min(out.len());
        for (out, tail) in out.iter_mut().zip(&self.tail[..count]) {
            *out = out.saturating_add(*tail);
        }
        self.tail.copy_within(count..self.tail_samples, 0);
        self.tail_samples -= count;
    }
}

impl Default for Player {
    fn default() -> Self {
        Self::new()
    }
}

/// A play under way.
#[derive(Debug)]
struct Running {
    play: Box<Play>,
    item: usize,
    cursor: Cursor,
    passes: u32,
    samples: u64,
    /// What `samples` was when the pass began: a pass without any must not repeat for ever.
    pass_start: u64,
    paused: bool,
    /// The next samples fade in: what was before them is cut off.
    fades_in: bool,
    /// It has ended within what was cut off.
    over: Option<PlayEndReason>,
}

/// The place within the item under way.
#[derive(Debug)]
enum Cursor {
    /// To be set up from the item.
    Fresh,
    /// Samples already played, of memory.
    Offset(usize),
    /// Samples still to come, of silence.
    Remaining(u64),
    /// At the rate of that band.
    Burst(Burst, Band),
    Feed,
    /// Samples still to come, of the gap between passes.
    Gap(u64),
}

impl Running {
    fn new(play: Box<Play>) -> Self {
        Self {
            play,
            item: 0,
            cursor: Cursor::Fresh,
            passes: 0,
            samples: 0,
            pass_start: 0,
            paused: false,
            fades_in: false,
            over: None,
        }
    }

    /// Fills `out` with what is heard next; tells why, if the play ended within it.
    fn next(&mut self, out: &mut [i16], band: Band) -> Option<PlayEndReason> {
        if self.paused || self.over.is_some() {
            out.fill(0);
            return self.over.filter(|_| !self.paused);
        }
        let end = self.fill(out, band);
        if std::mem::take(&mut self.fades_in) {
            let edge = out.len().min(FADE * band.scale());
            gain::ramp(&mut out[..edge], 0.0, 1.0);
        }
        end
    }

    /// Moves by so many samples within the item under way; none: to its start.
    fn seek(&mut self, by: Option<i64>) {
        let moved = |from: u64, length: u64| match by {
            Some(by) => from.saturating_add_signed(by).min(length),
            None => 0,
        };
        if self.over.is_some() {
            return;
        }
        let Some(item) = self.play.items.get_mut(self.item) else {
            return;
        };
        match (item, &mut self.cursor) {
            (Source::Samples(samples), Cursor::Offset(offset)) => {
                *offset = moved(*offset as u64, samples.len() as u64) as usize;
            }
            (Source::Silence { samples }, Cursor::Remaining(remaining)) => {
                *remaining = *samples - moved(*samples - *remaining, *samples);
            }
            (Source::Tone { tone, samples }, Cursor::Burst(burst, band)) => {
                let left = burst.remaining().div_ceil(band.scale() as u64);
                let at = moved(samples.saturating_sub(left), *samples);
                *burst = of_tone(*tone, *samples - at, *band);
            }
            (Source::Feed(feed), Cursor::Feed) => feed.seek(moved(feed.position(), u64::MAX)),
            // Between two items, or before the first sample of one.
            _ => {}
        }
    }

    /// Fills `out`; tells why, if the play ended within it.
    fn fill(&mut self, out: &mut [i16], band: Band) -> Option<PlayEndReason> {
        let scale = band.scale();
        let mut done = 0;
        while out.len() - done >= scale {
            let (count, step) = self.step(&mut out[done..], band);
            done += count * scale;
            self.samples += count as u64;
            let end = match step {
                Step::Full => None,
                Step::Starved => {
                    // The feed has put silence, or its fade, into the rest.
                    return None;
                }
                Step::Failed => Some(PlayEndReason::Failed),
                Step::ItemDone => self.next_item(),
            };
            if end.is_some() {
                out[done..].fill(0);
                return end;
            }
        }
        out[done..].fill(0);
        None
    }

    /// Plays from the item under way into the start of `out`: how much, at 8 kHz.
    fn step(&mut self, out: &mut [i16], band: Band) -> (usize, Step) {
        if let Cursor::Gap(remaining) = &mut self.cursor {
            return silence(remaining, out, band);
        }
        let scale = band.scale();
        let Some(item) = self.play.items.get_mut(self.item) else {
            return (0, Step::ItemDone);
        };
        if matches!(self.cursor, Cursor::Fresh) {
            self.cursor = match item {
                Source::Samples(_) => Cursor::Offset(0),
                Source::Tone { tone, samples } => {
                    Cursor::Burst(of_tone(*tone, *samples, band), band)
                }
                Source::Silence { samples } => Cursor::Remaining(*samples),
                Source::Feed(_) => Cursor::Feed,
            };
        }
        match (item, &mut self.cursor) {
            (Source::Samples(sound), Cursor::Offset(offset)) => {
                let count = (sound.len() - *offset).min(out.len() / scale);
                let from = *offset * scale;
                let samples = &sound.samples(band)[from..from + count * scale];
                out[..count * scale].copy_from_slice(samples);
                *offset += count;
                (count, Step::done_if(*offset == sound.len()))
            }
            (Source::Tone { tone, .. }, Cursor::Burst(burst, of)) => {
                if *of != band {
                    let left = burst.remaining().div_ceil(of.scale() as u64);
                    (*burst, *of) = (of_tone(*tone, left, band), band);
                }
                let count = burst.fill(out) / scale;
                (count, Step::done_if(burst.remaining() == 0))
            }
            (Source::Silence { .. }, Cursor::Remaining(remaining)) => silence(remaining, out, band),
            (Source::Feed(feed), _) => {
                let filled = feed.fill(out, band);
                let step = match filled.state {
                    FeedState::More => Step::Full,
                    FeedState::Underrun => Step::Starved,
                    FeedState::End => Step::ItemDone,
                    FeedState::Failed => Step::Failed,
                };
                (filled.samples, step)
            }
            // The cursor is made from the item just above.
            _ => (0, Step::ItemDone),
        }
    }

    /// Moves on behind an item or a gap; tells if that was the last.
    fn next_item(&mut self) -> Option<PlayEndReason> {
        if !matches!(self.cursor, Cursor::Gap(_)) {
            self.item += 1;
        }
        self.cursor = Cursor::Fresh;
        if self.item < self.play.items.len() {
            return None;
        }
        self.passes = self.passes.saturating_add(1);
        let nothing_heard = self.samples == self.pass_start && self.play.gap_samples == 0;
        if self.passes == self.play.repeat || nothing_heard || self.play.items.is_empty() {
            return Some(PlayEndReason::Finished);
        }
        self.item = 0;
        self.pass_start = self.samples;
        self.cursor = Cursor::Gap(self.play.gap_samples);
        None
    }

    fn ended(&self, reason: PlayEndReason) -> PlayEnd {
        let underruns = |item: &Source| {
            if let Source::Feed(f) = item {
                f.underruns()
            } else {
                0
            }
        };
        PlayEnd {
            reason,
            samples: self.samples,
            underruns: self.play.items.iter().map(underruns).sum(),
        }
    }
}

enum Step {
    /// The output is full, the item goes on.
    Full,
    /// The item is played to its end.
    ItemDone,
    /// A feed has nothing; the output is silence.
    Starved,
    Failed,
}

impl Step {
    fn done_if(done: bool) -> Self {
        if done { Step::ItemDone } else { Step::Full }
    }
}

fn silence(remaining: &mut u64, out: &mut [i16], band: Band) -> (usize, Step) {
    let scale = band.scale();
    let count = (*remaining).min((out.len() / scale) as u64) as usize;
    out[..count * scale].fill(0);
    *remaining -= count as u64;
    (count, Step::done_if(*remaining == 0))
}

/// A burst of so many samples at 8 kHz, made at the rate of the band.
fn of_tone(tone: Tone, samples: u64, band: Band) -> Burst {
    Burst::new(tone, band.rate(), samples * band.scale() as u64)
}

#[cfg(test)]
mod tests;
