//! What is done to one party's audio, where it is wanted: gain, noise suppression, a silence
//! gate, automatic gain control, comfort noise.
//!
//! Sits between a leg's decoder and the bridge ([`Processing::input`]: what the party says) and
//! between the bridge and the encoder ([`Processing::output`]: what it hears). Frames of 20 ms.
//!
//! ```text
//! said  --> gain --> noise suppression --> gate --> automatic gain --> bridge
//!                                      '--- level ------^
//! heard <-- comfort noise <-- gain <---------------------------------- bridge
//! ```
//!
//! A stage that is off leaves samples bit for bit as they are; one that is switched while the call
//! runs fades. Noise suppression alone adds delay, and alone needs memory: it comes in a box.

mod agc;
mod comfort;
mod gate;
mod noise;

use super::gain::{Gain, ramp, to_sample};
use agc::Agc;
use comfort::Comfort;
use gate::Gate;
pub use noise::NoiseSuppression;

/// Samples of the longest frame: 20 ms at 48 kHz.
const MAX_FRAME: usize = 960;
/// A click-free edge is this part of a frame: 5 ms of 20.
const EDGE: usize = 4;

/// Which stages are on. The default: none, and no gain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The gain of what the party says, dB.
    pub gain_in_db: i8,
    /// The gain of what the party hears, dB.
    pub gain_out_db: i8,
    /// Automatic gain of what the party says, towards this level of speech, dBov.
    pub agc_dbov: Option<i8>,
    /// Whether steady noise in what the party says is turned down.
    pub noise_suppression: bool,
    /// What the party says is silence below this level, dBov.
    pub gate_dbov: Option<i8>,
    /// The party hears noise of this level while nobody speaks, dBov.
    pub comfort_noise_dbov: Option<i8>,
}

impl ProcessSettings {
    /// What [`Processing::apply`] needs for these settings, for a party at `rate` Hz. Allocates.
    pub fn noise_suppression(&self, rate: u32) -> Option<Box<NoiseSuppression>> {
        self.noise_suppression.then(|| NoiseSuppression::new(rate))
    }
}

/// The stages of one party.
#[derive(Debug)]
pub struct Processing {
    rate: u32,
    gain_in: Fader,
    noise: Option<Box<NoiseSuppression>>,
    suppresses: bool,
    /// The first frame of noise suppression fades over.
    is_fresh: bool,
    /// The last sample that came out of noise suppression.
    last: i16,
    /// Where the next frame continues, after noise suppression was switched off or replaced.
    seam: Option<i16>,
    gate: Gate,
    agc: Agc,
    gain_out: Fader,
    comfort: Comfort,
    settings: ProcessSettings,
}

impl Processing {
    /// The stages for a party at `rate` Hz, all off.
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            gain_in: Fader::default(),
            noise: None,
            suppresses: false,
            is_fresh: false,
            last: 0,
            seam: None,
            gate: Gate::new(rate),
            agc: Agc::default(),
            gain_out: Fader::default(),
            comfort: Comfort::default(),
            settings: ProcessSettings::default(),
        }
    }

    /// Switches to `settings`; what changes fades over the next frame. `noise` is made by
    /// [`ProcessSettings::noise_suppression`] on the control side; without it, noise suppression
    /// goes on with the one that is there. What is no longer needed comes back, to be freed
    /// elsewhere.
    pub fn apply(
        &mut self,
        settings: ProcessSettings,
        noise: Option<Box<NoiseSuppression>>,
    ) -> Option<Box<NoiseSuppression>> {
        self.settings = settings;
        self.gain_in.set(settings.gain_in_db);
        self.gain_out.set(settings.gain_out_db);
        self.gate.set(settings.gate_dbov);
        self.agc.set(settings.agc_dbov);
        self.comfort.set(settings.comfort_noise_dbov);
        let unused = match (settings.noise_suppression, noise) {
            (true, Some(new)) => {
                self.is_fresh = true;
                self.noise.replace(new)
            }
            (true, None) => None,
            // Only one can go back; the other stays, unused.
            (false, Some(new)) => Some(new),
            (false, None) => self.noise.take(),
        };
        let suppresses = settings.noise_suppression && self.noise.is_some();
        if self.suppresses && (self.is_fresh || !suppresses) {
            self.seam = Some(self.last);
        }
        self.is_fresh |= suppresses && !self.suppresses;
        self.suppresses = suppresses;
        unused
    }

    /// The settings that were applied last.
    pub fn settings(&self) -> ProcessSettings {
        self.settings
    }

    /// Whether [`Processing::output`] may change what the party hears: if not, it may share an
    /// encoded frame with others.
    pub fn changes_output(&self) -> bool {
        self.gain_out.is_active() || self.comfort.is_active()
    }

    /// Processes what the party says, in place.
    pub fn input(&mut self, frame: &mut [i16]) {
        self.gain_in.apply(frame);
        self.suppress_noise(frame);
        // By the level of what is said, and not of what the gate leaves of it.
        self.agc.listen(frame);
        self.gate.apply(frame);
        self.agc.apply(frame);
    }

    /// Whether noise is suppressed: what does it has learnt the party's noise.
    pub fn suppresses_noise(&self) -> bool {
        self.suppresses
    }

    /// Goes on where another one of the same party is: its gain does not begin anew, and its noise is
    /// known where the rate is the same. What this one had for that is left in `before`.
    pub fn continue_from(&mut self, before: &mut Processing) {
        self.agc.continue_from(&before.agc);
        if self.suppresses && before.suppresses && self.rate == before.rate {
            std::mem::swap(&mut self.noise, &mut before.noise);
            self.is_fresh = before.is_fresh;
            self.last = before.last;
        }
    }

    /// Processes what the party hears, in place.
    pub fn output(&mut self, frame: &mut [i16]) {
        self.gain_out.apply(frame);
        self.comfort.apply(frame);
    }

    fn suppress_noise(&mut self, frame: &mut [i16]) {
        if let Some(noise) = self.noise.as_mut().filter(|_| self.suppresses) {
            if self.is_fresh && frame.len() <= MAX_FRAME {
                let mut before = [0; MAX_FRAME];
                let before = &mut before[..frame.len()];
                before.copy_from_slice(frame);
                noise.process(frame);
                ramp(before, 1.0, 0.0);
                ramp(frame, 0.0, 1.0);
                for (sample, before) in frame.iter_mut().zip(before) {
                    *sample = sample.saturating_add(*before);
                }
            } else {
                noise.process(frame);
            }
            self.is_fresh = false;
            self.last = frame.last().copied().unwrap_or(0);
        }
        if let Some(from) = self.seam.take() {
            join(frame, from);
        }
    }
}

/// A gain that moves to a new value over one frame.
#[derive(Debug)]
struct Fader {
    now: f32,
    wanted: f32,
}

impl Default for Fader {
    fn default() -> Self {
        Self {
            now: 1.0,
            wanted: 1.0,
        }
    }
}

impl Fader {
    fn set(&mut self, db: i8) {
        self.wanted = Gain::from_db(f32::from(db)).linear();
    }

    #[expect(clippy::float_cmp, reason = "exactly 1 is off")]
    fn is_active(&self) -> bool {
        self.now != 1.0 || self.wanted != 1.0
    }

    fn apply(&mut self, frame: &mut [i16]) {
        if (self.now - self.wanted).abs() > 0.0 {
            ramp(frame, self.now, self.wanted);
            self.now = self.wanted;
        } else if self.is_active() {
            for sample in frame {
                *sample = to_sample(f32::from(*sample) * self.now);
            }
        }
    }
}

/// Leads from the sample `from` into a frame that does not continue it.
fn join(frame: &mut [i16], from: i16) {
    let edge = frame.len() / EDGE;
    for (n, sample) in frame.iter_mut().take(edge).enumerate() {
        let part = n as f32 / edge as f32;
        *sample = to_sample(f32::from(from) * (1.0 - part) + f32::from(*sample) * part);
    }
}

#[cfg(test)]
mod tests;
