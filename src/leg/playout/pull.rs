//! Samples out of the buffer, one tick at a time.

use super::insert::MIN_GUARD_US;
use super::{IDLE_PEAK, Playout, Pulled, State};
use crate::audio::MediaTime;
use crate::audio::stretch;

impl Playout {
    /// Fills `out` with the next tick's samples; `now` is the time of the tick.
    pub fn pull(&mut self, out: &mut [i16], now: MediaTime) -> Pulled {
        if out.is_empty() {
            return Pulled::Silence;
        }
        let skipped = self.skipped(now);
        self.last_pull = Some(now);
        self.tick = self.tick.wrapping_add(1);
        if self.state == State::Empty {
            return self.idle(out);
        }
        if self.state == State::Filled {
            self.start(out.len(), now);
        } else if skipped > 0 {
            // Nobody heard those ticks; their samples are gone with them.
            let samples = skipped * out.len();
            self.buffer.advance(samples);
            self.line += samples as i64;
        }
        let pulled = self.fill(out);
        self.quiet_ticks = match self.quiet_ticks_with(out) {
            // What is made up is no sound that goes on.
            sound @ ..0 if pulled == Pulled::Audio => sound,
            quiet => quiet.max(0),
        };
        self.line += out.len() as i64;
        self.history.tick();
        self.measure();
        pulled
    }

    /// Ticks that were left out since the last pull. What is no whole number of them is a move.
    fn skipped(&mut self, now: MediaTime) -> usize {
        let Some(last) = self.last_pull else { return 0 };
        let elapsed_us = now.since(last).as_micros() as u64;
        let ticks = ((elapsed_us + TICK_US / 2) / TICK_US).clamp(1, MAX_SKIP);
        let moved_us = elapsed_us as i64 - (ticks * TICK_US) as i64;
        if moved_us != 0 && moved_us.unsigned_abs() < TICK_US {
            self.moved_us = (self.moved_us + moved_us).clamp(-MAX_MOVED_US, MAX_MOVED_US);
            self.history.move_to(self.moved_us as i32);
        }
        ticks as usize - 1
    }

    fn idle(&mut self, out: &mut [i16]) -> Pulled {
        self.stats.depth_samples = 0;
        if self.conceal(out) {
            Pulled::Concealed
        } else {
            Pulled::Silence
        }
    }

    /// Begins with what is there, as far as the delay bound allows, and ahead of the packets by
    /// as much as their times and the ticks do not divide.
    fn start(&mut self, tick: usize, now: MediaTime) {
        self.state = State::Playing;
        let buffered = self.end() - self.buffer.start();
        let surplus = buffered - tick.max(self.newest.len as usize) as i64;
        let surplus = surplus - i64::from(self.max_delay());
        if surplus > 0 {
            self.buffer.advance(surplus as usize);
        }
        self.pass_over_silence(tick);
        let age_us = now.since(self.newest.arrival).as_micros() as i64 % TICK_US as i64;
        let mut lead = lead(tick as i64, self.newest.len, age_us);
        if (1..MIN_GUARD_US).contains(&age_us) {
            // So close to the tick that of the packets that follow, some will miss it: the tick of
            // delay that this teaches is there from the start. No jitter at all gives it back.
            lead += tick as i64;
        }
        let lead = lead - (self.newest.at - self.buffer.start());
        self.buffer.rewind(lead.max(0) as usize);
        self.line = self.buffer.start();
        self.stretch_wait = SETTLE_TICKS;
    }

    /// What has waited for the start is delay for good, but for what nobody would miss.
    fn pass_over_silence(&mut self, tick: usize) {
        self.decode_until(self.newest.at);
        loop {
            let start = self.buffer.start();
            let waiting = (self.newest.at - start).clamp(0, tick as i64) as usize;
            let (valid, run) = self.buffer.run(start, waiting);
            if waiting == 0 || !valid {
                return;
            }
            let passed = &mut self.scratch[..run.min(waiting)];
            self.buffer.copy(start, passed);
            // No more than an idle line: a prompt that begins softly is heard whole.
            if passed.iter().any(|s| s.unsigned_abs() > IDLE_PEAK) {
                return;
            }
            self.buffer.advance(passed.len());
            self.stats.accelerated += passed.len() as u64;
        }
    }

    fn fill(&mut self, out: &mut [i16]) -> Pulled {
        let start = self.buffer.start();
        self.decode_until(start + 2 * out.len() as i64);
        let (valid, run) = self.run(2 * out.len());
        self.stretch_wait = self.stretch_wait.saturating_sub(1);
        if valid && run >= out.len() && !self.concealer.is_active() {
            if self.stretch_wait == 0 && self.stretch(out, run) {
                return Pulled::Audio;
            }
            self.buffer.copy(start, out);
            self.buffer.advance(out.len());
            self.played(out);
            return Pulled::Audio;
        }
        self.fill_pieces(out)
    }

    /// Plays what there is and conceals what there is not.
    fn fill_pieces(&mut self, out: &mut [i16]) -> Pulled {
        let mut audio = false;
        let mut concealed = false;
        let mut done = 0;
        while done < out.len() {
            let start = self.buffer.start();
            self.decode_until(start + 1);
            let (valid, run) = self.run(self.buffer.capacity());
            let piece = run.min(out.len() - done);
            let piece_out = &mut out[done..done + piece];
            if valid {
                self.buffer.copy(start, piece_out);
                self.concealer.resume(piece_out);
                self.buffer.advance(piece);
                self.played(piece_out);
                audio = true;
                done += piece;
            } else {
                if self.repair() {
                    continue;
                }
                let excess = self.excess();
                if self.gap_start.is_some() && self.leap(run, excess) {
                    continue;
                }
                concealed |= self.conceal(&mut out[done..done + piece]);
                self.hold_or_advance(piece, excess);
                done += piece;
            }
        }
        match (concealed, audio) {
            (true, _) => Pulled::Concealed,
            (false, true) => Pulled::Audio,
            (false, false) => Pulled::Silence,
        }
    }

    fn played(&mut self, samples: &[i16]) {
        self.concealer.push(samples);
        // Audio from before the noise may still have waited in the buffer.
        if self.buffer.start() > self.noise_from {
            self.noise.stop();
        }
        self.gap_start = None;
        self.heard = true;
    }

    /// In a gap that has been heard already, delay is given back by leaving out the rest of it.
    fn leap(&mut self, run: usize, excess: i64) -> bool {
        let ahead = self.end() > self.buffer.start();
        let free = ahead || self.concealer.is_faded();
        if !free || excess <= 0 || self.history.observed() < SETTLE_TICKS {
            return false;
        }
        let leap = run.min(excess as usize);
        self.buffer.advance(leap);
        self.stats.accelerated += leap as u64;
        true
    }

    /// Returns whether audible samples were made up.
    fn conceal(&mut self, out: &mut [i16]) -> bool {
        if self.gap_start.is_none() {
            self.gap_start = Some(self.buffer.start());
            self.gap_concealed = 0;
        }
        let audible = self.heard && !self.concealer.is_faded();
        if !self.heard {
            out.fill(0);
        } else if self.conceal_by_codec(out) {
            self.concealer.filled(out);
        } else {
            self.concealer.conceal(out);
        }
        if self.noise.is_on() {
            self.noise.add(out);
            return false;
        }
        if audible {
            self.stats.concealed_samples += out.len() as u64;
            self.gap_concealed += out.len() as u64;
        }
        audible
    }

    /// Opus conceals by itself, and makes the noise of a pause; not for longer than it would be
    /// without a sign of the sender.
    fn conceal_by_codec(&mut self, out: &mut [i16]) -> bool {
        let longest = CODEC_CONCEALS_MS * self.settings.rate as usize / 1000;
        let ends = self.state != State::Playing || self.concealer.lost() > longest;
        let Some(decoders) = &mut self.decoders else {
            return false;
        };
        if ends {
            decoders.give_up();
        }
        let concealed = decoders.conceal(out);
        if !concealed {
            decoders.leave();
        }
        concealed
    }

    /// Passes a gap; where there is too little delay, without moving on.
    fn hold_or_advance(&mut self, samples: usize, excess: i64) {
        let hold = (-excess).clamp(0, samples as i64) as usize;
        self.stats.expanded += hold as u64;
        self.buffer.advance(samples - hold);
    }

    /// Plays a stretched tick if the delay should change and the sound allows it.
    fn stretch(&mut self, out: &mut [i16], run: usize) -> bool {
        if self.history.observed() < SETTLE_TICKS || 2 * out.len() > self.scratch.len() {
            return false;
        }
        let excess = self.excess();
        if excess == 0 {
            self.refused = 0;
            return false;
        }
        let len = out.len();
        if excess > 0 && excess <= len as i64 && !self.is_harmless(excess, len) {
            return false;
        }
        let similarity = self.similarity(excess, len);
        let start = self.buffer.start();
        let used = if excess > 0 {
            let more = (excess.min(len as i64) as usize).min(run - len);
            let input = &mut self.scratch[..len + more];
            self.buffer.copy(start, input);
            stretch::shorten(input, out, similarity).map(|removed| {
                self.stats.accelerated += removed as u64;
                len + removed
            })
        } else {
            let input = &mut self.scratch[..len];
            self.buffer.copy(start, input);
            let most = (-excess).min(len as i64) as usize;
            stretch::lengthen(input, out, most, similarity).map(|added| {
                self.stats.expanded += added as u64;
                len - added
            })
        };
        let Some(used) = used else {
            self.refused += 1;
            return false;
        };
        self.refused = 0;
        self.stretch_wait = if excess > 4 * len as i64 {
            FAST_TICKS
        } else {
            SLOW_TICKS
        };
        self.buffer.advance(used);
        self.played(out);
        true
    }

    /// Whether a tick of delay or less may be given back here. There is no hurry: what begins now
    /// may be a short prompt, a short pause may be the one between two digits of a keypad, and the
    /// begin of a sound is what is heard best.
    fn is_harmless(&mut self, excess: i64, tick: usize) -> bool {
        if self.history.observed() < START_TICKS {
            return false;
        }
        self.buffer
            .copy(self.buffer.start(), &mut self.scratch[..tick]);
        let quiet_ticks = self.quiet_ticks_with(&self.scratch[..tick]);
        let least_period = (tick / 5) as i64;
        if quiet_ticks < -SOUND_TICKS && excess < least_period && self.refused < REST_TICKS {
            self.refused += 1;
            return false;
        }
        !(-SOUND_TICKS..=QUIET_TICKS).contains(&quiet_ticks)
    }

    /// How many ticks it has been quiet (negative: has not) behind this one.
    fn quiet_ticks_with(&self, tick: &[i16]) -> i32 {
        if stretch::is_quiet(tick) {
            self.quiet_ticks.max(0).saturating_add(1)
        } else {
            self.quiet_ticks.min(0).saturating_sub(1)
        }
    }

    /// How similar a stretched passage must be: the longer the wait and the larger the excess,
    /// the less.
    fn similarity(&self, excess: i64, tick: usize) -> f32 {
        let patience = match excess.unsigned_abs() {
            large if large > 4 * tick as u64 => 6,
            _ => 25,
        };
        let is_small = excess > 0 && excess <= tick as i64;
        let borne = if is_small { REST_TICKS } else { 0 };
        let impatience = self.refused.saturating_sub(borne) as f32 / patience as f32;
        (SIMILAR - impatience).max(-1.0)
    }

    /// Leaves the length of the next 100 ms as it is: they may belong to a digit.
    pub fn keep_length(&mut self) {
        self.stretch_wait = self.stretch_wait.max(KEPT_TICKS);
    }

    fn measure(&mut self) {
        let depth = (self.end() - self.buffer.start()) as u32;
        self.stats.depth_samples = depth;
        self.stats.max_depth_samples = self.stats.max_depth_samples.max(depth);
        self.depth_sum += u64::from(depth);
        self.pulls += 1;
    }
}

/// How far ahead of the newest packet to begin so that packets of `len` samples, the last of
/// which came `age_us` before the tick, are all there when a tick reads them. Zero where `len`
/// is a multiple of the tick.
fn lead(tick: i64, len: i64, age_us: i64) -> i64 {
    if len == 0 || len % tick == 0 {
        return 0;
    }
    let age = age_us * tick / TICK_US as i64;
    (1..=MAX_PATTERN)
        .map(|packet| {
            let ticks = (packet * len - age + tick - 1).div_euclid(tick);
            ticks * tick - packet * len
        })
        .max()
        .unwrap_or(0)
        .clamp(0, tick - 1)
}

const TICK_US: u64 = 20_000;
/// Twice the time after which a sender that pauses tells of its noise (RFC 6716 §2.1.9: 400 ms).
const CODEC_CONCEALS_MS: usize = 800;
/// Ten seconds: a bridge's ticks stay within one of the clock, a leg's may be put off many times.
const MAX_MOVED_US: i64 = 10_000_000;
/// A longer pause is a leg that was at rest.
const MAX_SKIP: u64 = 3000;
/// Packets to see before a tick of delay is given back.
const START_TICKS: u32 = 200;
/// Ticks of a pause, or of a sound, before a tick of delay is given back in it.
const QUIET_TICKS: i32 = 5;
const SOUND_TICKS: i32 = 3;
/// How long a rest of delay that is no whole period of the sound may wait for a pause.
const REST_TICKS: u32 = 25;
/// The similarity of two passages that pass for each other.
const SIMILAR: f32 = 0.9;
/// Packets to see before the delay is changed.
const SETTLE_TICKS: u32 = 25;
/// Ticks from one stretch to the next: under 80 ms of excess, and above.
const SLOW_TICKS: u32 = 4;
const FAST_TICKS: u32 = 2;
/// A digit's tone and pause may be as short as 40 ms each.
const KEPT_TICKS: u32 = 5;
/// Any ptime that is a multiple of 1 ms repeats its pattern against the tick within 20 packets.
const MAX_PATTERN: i64 = 20;
