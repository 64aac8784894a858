//! Digits on their way to the party: as telephone events or as tones.
//!
//! Sits before the packetiser. While a digit sounds, its packets (or its tone) go out in place of
//! the audio (RFC 4733 §2.5.1.1); in the pause between two the audio goes on.
//!
//! ```text
//!           a packet may begin          tone is over           pause is over, digits left
//! Waiting ----------------------> Tone --------------> Pause --------------------------> Waiting
//!                                                        '--- no digits left: Finished
//! ```

use super::params::EventFormat;
use crate::audio::tone::{Burst, EDGE_MS, Tone};
use crate::audio::{NARROWBAND, TICK_SAMPLES};
use crate::dtmf::Digit;
use crate::dtmf::event::{Event, MAX_DURATION};

/// Digits of one [`Dial`] at most.
pub const MAX_DIGITS: usize = 64;
/// The shortest tone and the shortest pause, ms: what every receiver has to take (ITU-T Q.24,
/// annex A). The two repetitions of an event's end fit into the pause.
pub const MIN_MS: u32 = 40;
/// The longest tone or pause, ms.
pub const MAX_MS: u32 = 10_000;

/// The last report of an event goes out three times (RFC 4733 §2.5.1.4).
const END_REPORTS: u8 = 3;
/// What an event's volume field says, -dBm0.
const EVENT_VOLUME: u8 = 10;
/// The level of each tone, dBm0: -7 dBm0 together, well above speech.
const TONE_DBM0: f32 = -10.0;
/// A tone's edge.
const EDGE_SAMPLES: u64 = EDGE_MS as u64 * LINE_RATE / 1000;
/// The media line and G.711 count in the same samples.
const LINE_RATE: u64 = NARROWBAND as u64;

/// Digits, without heap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigitString {
    digits: [Option<Digit>; MAX_DIGITS],
    len: usize,
}

impl DigitString {
    /// As many as fit: [`MAX_DIGITS`].
    pub fn new(digits: impl IntoIterator<Item = Digit>) -> Self {
        let mut string = Self {
            digits: [None; MAX_DIGITS],
            len: 0,
        };
        for (place, digit) in string.digits.iter_mut().zip(digits) {
            *place = Some(digit);
            string.len += 1;
        }
        string
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn get(&self, index: usize) -> Option<Digit> {
        self.digits.get(index).copied().flatten()
    }
}

impl std::fmt::Debug for DigitString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // They may be a PIN.
        write!(f, "DigitString({} digits)", self.len)
    }
}

/// How digits go out in the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialMethod {
    /// As events where those were agreed on, else as tones.
    Auto,
    /// As events; without an agreement on them nothing goes out.
    Events,
    /// As tones.
    Tones,
}

/// How a [`Dial`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialEnd {
    /// All digits are out.
    Finished,
    /// Another took its place, or it was stopped.
    Stopped,
    /// Events were asked for and are not agreed on.
    NotNegotiated,
}

/// Digits to be sent. Made (and freed) on the control side.
#[derive(Debug)]
pub struct Dial {
    /// The owner's handle, given back at the end.
    pub id: u64,
    digits: DigitString,
    method: DialMethod,
    tone_samples: u64,
    pause_samples: u64,
    next: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Events(Sounding),
    Tone(Burst),
    Pause {
        left: u64,
        /// The last report of an event, to be repeated so often.
        repeat: Option<(Report, u8)>,
    },
}

/// An event under way.
#[derive(Clone, Copy, Debug)]
struct Sounding {
    digit: Digit,
    /// Where the event began, samples of the media line.
    start: u64,
    /// Where its present segment began, units of the event clock after `start`.
    segment: u64,
    first: bool,
    /// The event clock, Hz.
    rate: u32,
}

/// One telephone-event packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its timestamp's distance from the begin of the media line, units of the event clock.
    pub line: u64,
    /// The first of its event (RFC 4733 §2.3.5).
    pub marker: bool,
    /// What it says.
    pub event: Event,
}

/// What a tick of a dial puts in place of the audio.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dialled {
    /// Nothing: the audio goes out.
    Audio,
    /// These packets; with `audio`, the audio as well.
    Reports {
        /// In order.
        reports: [Option<Report>; 2],
        /// It goes out too: the event is over.
        audio: bool,
    },
    /// The tone that was written.
    Tone,
    /// The dial is over; the audio goes out.
    Over(DialEnd),
}

impl Dial {
    /// Digits with the length of each and of the pause behind it, ms ([`MIN_MS`] to [`MAX_MS`]).
    pub fn new(
        id: u64,
        digits: DigitString,
        method: DialMethod,
        tone_ms: u32,
        pause_ms: u32,
    ) -> Self {
        let samples = |ms: u32| u64::from(ms.clamp(MIN_MS, MAX_MS)) * LINE_RATE / 1000;
        Self {
            id,
            digits,
            method,
            tone_samples: samples(tone_ms),
            pause_samples: samples(pause_ms),
            next: 0,
            state: State::Waiting,
        }
    }

    /// One tick at `position` of the media line. `at_boundary`: no packet is half full. Writes a
    /// tone to `out`.
    pub(super) fn tick(
        &mut self,
        position: u64,
        at_boundary: bool,
        events: Option<EventFormat>,
        out: &mut [i16],
    ) -> Dialled {
        if matches!(self.state, State::Waiting) {
            let Some(digit) = self.digits.get(self.next) else {
                return Dialled::Over(DialEnd::Finished);
            };
            if !at_boundary {
                return Dialled::Audio;
            }
            let as_events = events.is_some() && self.method != DialMethod::Tones;
            if !as_events && self.method == DialMethod::Events {
                return Dialled::Over(DialEnd::NotNegotiated);
            }
            self.next += 1;
            self.state = if as_events {
                State::Events(Sounding {
                    digit,
                    start: position,
                    segment: 0,
                    first: true,
                    rate: events.map_or(NARROWBAND, |e| e.clock_rate),
                })
            } else {
                State::Tone(burst(digit, self.tone_samples))
            };
        }
        self.go_on(position, events, out)
    }

    fn go_on(&mut self, position: u64, events: Option<EventFormat>, out: &mut [i16]) -> Dialled {
        match &mut self.state {
            State::Waiting => Dialled::Audio,
            State::Tone(burst) => {
                let count = burst.fill(out);
                out[count..].fill(0);
                if burst.remaining() == 0 {
                    let passed = (out.len() - count) as u64 + EDGE_SAMPLES;
                    self.pause(self.pause_samples.saturating_sub(passed), None);
                }
                Dialled::Tone
            }
            State::Events(sounding) => {
                // A re-INVITE may have taken the events away, or changed their clock.
                if events.is_none_or(|e| e.clock_rate != sounding.rate) {
                    return Dialled::Over(DialEnd::Stopped);
                }
                let (reports, over) = sounding.report(position, self.tone_samples);
                if over {
                    let tail = sounding.start + self.tone_samples;
                    let passed = position + TICK_SAMPLES as u64 - tail;
                    let last = reports[1].or(reports[0]);
                    let repeat = last.map(|r| (Report { marker: false, ..r }, END_REPORTS - 1));
                    self.pause(self.pause_samples.saturating_sub(passed), repeat);
                }
                Dialled::Reports {
                    reports,
                    audio: false,
                }
            }
            State::Pause { left, repeat } => {
                *left = left.saturating_sub(TICK_SAMPLES as u64);
                let again = repeat.map(|(report, _)| report);
                *repeat = repeat.and_then(|(r, n)| (n > 1).then_some((r, n - 1)));
                if *left == 0 && repeat.is_none() {
                    self.state = State::Waiting;
                }
                match again {
                    Some(report) => Dialled::Reports {
                        reports: [Some(report), None],
                        audio: true,
                    },
                    None => Dialled::Audio,
                }
            }
        }
    }

    fn pause(&mut self, left: u64, repeat: Option<(Report, u8)>) {
        self.state = State::Pause { left, repeat };
    }
}

impl Sounding {
    /// The report of the tick at `position`, two where a segment is full (RFC 4733 §2.5.1.3); and
    /// whether the event has ended.
    fn report(&mut self, position: u64, tone_samples: u64) -> ([Option<Report>; 2], bool) {
        let passed = position + TICK_SAMPLES as u64 - self.start;
        let over = passed >= tone_samples;
        let rate = u64::from(self.rate);
        let units = |samples: u64| samples * rate / LINE_RATE;
        let start = units(self.start);
        let mut duration = units(passed.min(tone_samples)).saturating_sub(self.segment);
        let mut reports = [None; 2];
        let report = |segment: u64, marker, duration: u64, end| Report {
            line: start + segment,
            marker,
            event: Event {
                code: self.digit.event(),
                end,
                volume: EVENT_VOLUME,
                duration: duration as u16,
            },
        };
        if duration > u64::from(MAX_DURATION) {
            let full = u64::from(MAX_DURATION);
            reports[0] = Some(report(self.segment, false, full, false));
            self.segment += full;
            duration -= full;
            reports[1] = Some(report(self.segment, false, duration, over));
        } else {
            reports[0] = Some(report(self.segment, self.first, duration, over));
        }
        self.first = false;
        (reports, over)
    }
}

/// A tone that lasts `samples` between the middles of its edges.
fn burst(digit: Digit, samples: u64) -> Burst {
    let (low, high) = digit.frequencies();
    let tone = Tone {
        frequency_hz: low,
        second_hz: Some(high),
        level_dbm0: TONE_DBM0,
    };
    Burst::new(tone, NARROWBAND, samples + EDGE_SAMPLES)
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
