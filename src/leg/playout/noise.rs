//! Comfort noise (RFC 3389): white noise of the level that the party tells.

/// A generator; deterministic.
#[derive(Clone, Debug)]
pub(super) struct Noise {
    /// Largest sample; `None` while off.
    peak: Option<i32>,
    state: u32,
}

impl Noise {
    pub(super) fn new() -> Self {
        Self {
            peak: None,
            state: 0x9e37_79b9,
        }
    }

    /// Sets the level by the first payload byte, -dBov (RFC 3389 §3). Spectral coefficients
    /// that may follow are not used.
    pub(super) fn set(&mut self, payload: &[u8]) {
        let level = payload.first().map_or(SILENT, |byte| byte & 0x7f);
        // Evenly distributed samples have a peak of sqrt(3) times their RMS.
        let rms = 32_768.0 * 10f32.powf(-f32::from(level) / 20.0);
        self.peak = Some((rms * 1.732).min(LOUDEST) as i32);
    }

    pub(super) fn stop(&mut self) {
        self.peak = None;
    }

    pub(super) fn is_on(&self) -> bool {
        self.peak.is_some()
    }

    /// Adds noise to `out`.
    pub(super) fn add(&mut self, out: &mut [i16]) {
        let peak = self.peak.unwrap_or(0);
        if peak == 0 {
            return;
        }
        for sample in out {
            // xorshift32
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            let noise = (((self.state >> 16) as i32 * (2 * peak + 1)) >> 16) - peak;
            *sample = sample.saturating_add(noise as i16);
        }
    }
}

const SILENT: u8 = 127;
/// About -30 dBov: louder noise comforts nobody.
const LOUDEST: f32 = 1800.0;
