//! Presses of keys as they arrive: tones, and what the line does to them.

use std::f64::consts::TAU;

use antiphon::audio::TICK_SAMPLES;
use antiphon::audio::conceal::Concealer;
use antiphon::audio::tone::Tone;
use antiphon::codec::g711;
use antiphon::dtmf::Digit;

/// Samples of a millisecond.
pub const MS: usize = 8;

/// Numbers that look random and are the same in each run (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound.max(1) as u64) as usize
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Normally distributed, with variance 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

/// What lies between two decoders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Nothing: 16 bits.
    Linear,
    /// ITU-T G.711.
    A,
    /// ITU-T G.711.
    U,
}

/// What packets are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability.
    Random(f64),
    /// One of those with a piece of the tone, in each press.
    OneInEachTone,
}

/// How keys are pressed, and the line. What is a range is drawn anew for each press.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Length of tone and pause, ms.
    pub tone_ms: f64,
    /// See `tone_ms`.
    pub pause_ms: f64,
    /// A gap in the middle of the tone, ms.
    pub gap_ms: f64,
    /// The level of the stronger tone, dBm0.
    pub level_dbm0: (f64, f64),
    /// The high tone's level above the low one's, dB.
    pub twist_db: (f64, f64),
    /// Both tones are off by one of these, each with its own sign, %.
    pub offset_percent: &'static [(f64, f64)],
    /// White noise below the tone pair's power, dB.
    pub snr_db: Option<f64>,
    /// A dial tone: its frequencies, Hz, and their level, dBm0 each.
    pub dial: Option<(&'static [f64], f64)>,
    /// The codec.
    pub law: Law,
    /// The network.
    pub loss: Loss,
    /// Raised-cosine edges within the tone's length, ms.
    pub edge_ms: f64,
    /// Whether each press repeats the digit before.
    pub repeat: bool,
}

impl Line {
    /// 50/50 ms in silence at -10 dBm0, all as it should be.
    pub const PLAIN: Line = Line {
        tone_ms: 50.0,
        pause_ms: 50.0,
        gap_ms: 0.0,
        level_dbm0: (-10.0, -10.0),
        twist_db: (0.0, 0.0),
        offset_percent: &[(0.0, 0.0)],
        snr_db: None,
        dial: None,
        law: Law::Linear,
        loss: Loss::None,
        edge_ms: 0.0,
        repeat: false,
    };

    /// Length of tone and of pause.
    pub fn ms(tone_ms: f64, pause_ms: f64) -> Self {
        Self {
            tone_ms,
            pause_ms,
            ..Self::PLAIN
        }
    }

    /// Between two levels.
    pub fn level(self, from: f64, to: f64) -> Self {
        Self {
            level_dbm0: (from, to),
            ..self
        }
    }

    /// Between two twists.
    pub fn twist(self, from: f64, to: f64) -> Self {
        Self {
            twist_db: (from, to),
            ..self
        }
    }

    /// With one of these offsets.
    pub fn off(self, offset_percent: &'static [(f64, f64)]) -> Self {
        Self {
            offset_percent,
            ..self
        }
    }

    /// In noise of 15 dB.
    pub fn noisy(self) -> Self {
        Self {
            snr_db: Some(15.0),
            ..self
        }
    }

    /// Over a dial tone.
    pub fn dial(self, frequencies: &'static [f64], dbm0: f64) -> Self {
        Self {
            dial: Some((frequencies, dbm0)),
            ..self
        }
    }

    /// Through a codec.
    pub fn law(self, law: Law) -> Self {
        Self { law, ..self }
    }

    /// Through a network that loses packets.
    pub fn loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// With soft edges.
    pub fn edges(self, edge_ms: f64) -> Self {
        Self { edge_ms, ..self }
    }

    /// With a gap in the middle of the tone.
    pub fn gap(self, gap_ms: f64) -> Self {
        Self { gap_ms, ..self }
    }

    /// The same digit again and again.
    pub fn repeated(self) -> Self {
        Self {
            repeat: true,
            ..self
        }
    }
}

/// One press within a [`Stream`].
#[derive(Clone, Copy, Debug)]
pub struct Press {
    /// The key.
    pub digit: Digit,
    /// First sample of its tone, and the first after.
    pub begin: usize,
    /// See `begin`.
    pub end: usize,
}

/// What arrives, in whole frames.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// 8 kHz.
    pub samples: Vec<i16>,
    /// In their order.
    pub presses: Vec<Press>,
}

/// Presses of all digits from `first` on, `count` in all, at a random place against the frames.
pub fn stream(line: &Line, first: usize, count: usize, chance: &mut Chance) -> Stream {
    let mut signal = vec![0.0f64; 60 * MS + chance.below(TICK_SAMPLES)];
    let mut presses = Vec::new();
    for n in 0..count {
        let key = if line.repeat {
            first
        } else {
            first + n * 5 + n / 16
        };
        let digit = Digit::from_event((key % 16) as u8).expect("below sixteen");
        let begin = signal.len();
        let noise = press(line, digit, &mut signal, chance);
        let end = signal.len();
        presses.push(Press { digit, begin, end });
        signal.resize(end + (line.pause_ms * MS as f64).round() as usize, 0.0);
        if noise > 0.0 {
            // In the pause as well, as on a line.
            for s in &mut signal[begin..] {
                *s += noise * chance.normal();
            }
        }
    }
    signal.resize(signal.len() + 100 * MS, 0.0);
    signal.resize(signal.len().next_multiple_of(TICK_SAMPLES), 0.0);
    if let Some((frequencies, dbm0)) = line.dial {
        for hz in frequencies {
            let step = TAU * hz / 8000.0;
            let phase = chance.between(0.0, TAU);
            for (n, s) in signal.iter_mut().enumerate() {
                *s += amplitude(dbm0) * (step * n as f64 + phase).sin();
            }
        }
    }
    let mut samples: Vec<i16> = signal.iter().map(|s| s.round() as i16).collect();
    through(line.law, &mut samples);
    lose(line.loss, &presses, &mut samples, chance);
    Stream { samples, presses }
}

/// The peak of a sine, in units of one sample step.
pub fn amplitude(dbm0: f64) -> f64 {
    f64::from(Tone::sine(1000.0, dbm0 as f32).amplitude())
}

/// Appends a tone; returns the noise that belongs to it (its standard deviation).
fn press(line: &Line, digit: Digit, signal: &mut Vec<f64>, chance: &mut Chance) -> f64 {
    let stronger = chance.between(line.level_dbm0.0, line.level_dbm0.1);
    let twist = chance.between(line.twist_db.0, line.twist_db.1);
    let low = amplitude(stronger - twist.max(0.0));
    let high = amplitude(stronger + twist.min(0.0));
    let offset = chance.one(line.offset_percent);
    let (low_hz, high_hz) = digit.frequencies();
    let step = |hz: f32, percent: f64| TAU * f64::from(hz) * (1.0 + percent / 100.0) / 8000.0;
    let (low_step, high_step) = (step(low_hz, offset.0), step(high_hz, offset.1));
    let (low_phase, high_phase) = (chance.between(0.0, TAU), chance.between(0.0, TAU));
    let power = f64::midpoint(low * low, high * high);
    let noise = line
        .snr_db
        .map_or(0.0, |db| (power / 10f64.powf(db / 10.0)).sqrt());
    let len = (line.tone_ms * MS as f64).round() as usize;
    let edge = line.edge_ms * MS as f64;
    let gap = line.gap_ms * MS as f64;
    for n in 0..len {
        let t = n as f64;
        let from_edge = t.min((len - n) as f64);
        let soft = if from_edge < edge {
            0.5 - 0.5 * (TAU * 0.5 * from_edge / edge).cos()
        } else {
            1.0
        };
        let open = f64::from((t - len as f64 / 2.0).abs() >= gap / 2.0);
        let tone =
            low * (low_step * t + low_phase).sin() + high * (high_step * t + high_phase).sin();
        signal.push(tone * soft * open);
    }
    noise
}

/// There and back.
pub fn through(law: Law, samples: &mut [i16]) {
    for s in samples {
        *s = match law {
            Law::Linear => *s,
            Law::A => g711::alaw_decode(g711::alaw_encode(*s)),
            Law::U => g711::ulaw_decode(g711::ulaw_encode(*s)),
        };
    }
}

fn lose(loss: Loss, presses: &[Press], samples: &mut [i16], chance: &mut Chance) {
    let frames = samples.len() / TICK_SAMPLES;
    let mut lost = vec![false; frames];
    match loss {
        Loss::None => return,
        Loss::Random(share) => lost.iter_mut().for_each(|l| *l = chance.unit() < share),
        Loss::OneInEachTone => {
            for press in presses {
                let at = press.begin + chance.below(press.end - press.begin);
                lost[at / TICK_SAMPLES] = true;
            }
        }
    }
    let mut concealer = Concealer::new(8000);
    for (frame, lost) in samples.chunks_exact_mut(TICK_SAMPLES).zip(lost) {
        if lost {
            concealer.conceal(frame);
        } else {
            concealer.resume(frame);
            concealer.push(frame);
        }
    }
}
