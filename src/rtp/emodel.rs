//! The E-model (ITU-T G.107): what a listener would say of a connection, by its loss and delay.
//!
//! Everything that a server cannot know (loudness, room noise, the telephones) stands at the default
//! values of G.107 table 2. Wideband codecs are rated on the scale of G.107.1, which reaches to
//! R = 129, and mapped to opinions by R / 1.29 as there: their MOS tells what people say who are used
//! to wideband, and is not to be compared with that of a narrowband call.

use std::time::Duration;

/// How a codec suffers, on its own scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// `Ie`: what the codec costs without any loss.
    pub codec: f32,
    /// `Bpl`: how well it stands loss, with its concealment.
    pub robustness: f32,
    /// The scale of G.107.1 instead of G.107.
    pub wideband: bool,
}

impl Impairment {
    /// G.711 with concealment (G.113 table I.4).
    pub const G711: Impairment = Impairment {
        codec: 0.0,
        robustness: 25.1,
        wideband: false,
    };
    /// G.722 at 64 kbit/s (G.113 table IV.1 for `Ie`; `Bpl` provisional).
    pub const G722: Impairment = Impairment {
        codec: 13.0,
        robustness: 4.9,
        wideband: true,
    };
    /// Opus for speech at 24 kbit/s or more. G.113 has no values: these are provisional and ours,
    /// between transparent and G.722, with FEC and concealment as strong as G.711's.
    pub const OPUS: Impairment = Impairment {
        codec: 5.0,
        robustness: 20.0,
        wideband: true,
    };
    /// Linear samples at 16 kHz or more: no codec at all, concealed like G.711.
    pub const LINEAR_WIDEBAND: Impairment = Impairment {
        codec: 0.0,
        robustness: 25.1,
        wideband: true,
    };
}

/// What the model is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connection {
    /// The codec.
    pub impairment: Impairment,
    /// `Ppl`: share of packets that the listener misses, 0 to 1.
    pub loss: f32,
    /// `BurstR`: 1 for random loss, more where it comes in runs.
    pub burst_ratio: f32,
    /// `Ta`: from mouth to ear, one way.
    pub delay: Duration,
}

/// What it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rating {
    /// The R factor, with delay: 0 to 93.2, wideband to 129.
    pub r_factor: f32,
    /// Opinion of somebody who only listens: 1 to 4.5.
    pub mos_lq: f32,
    /// Opinion of somebody who converses, whom delay bothers: 1 to 4.5.
    pub mos_cq: f32,
    /// The R factor is of G.107.1's scale.
    pub wideband: bool,
}

/// What the R factor of G.107 is multiplied by on the scale of G.107.1.
const WIDEBAND_SCALE: f32 = 1.29;

impl Rating {
    /// The R factor on G.107's own scale, 0 to 100: what reports tell (RFC 3611 §4.7.5).
    pub fn narrowband_r(&self) -> f32 {
        let scale = if self.wideband { WIDEBAND_SCALE } else { 1.0 };
        (self.r_factor / scale).clamp(0.0, 100.0)
    }
}

/// Rates a connection.
pub fn rate(connection: &Connection) -> Rating {
    let Impairment {
        codec,
        robustness,
        wideband,
    } = connection.impairment;
    let loss = 100.0 * connection.loss.clamp(0.0, 1.0);
    let burst_ratio = connection.burst_ratio.max(1.0);
    // G.107 §7.7.
    let equipment = codec + (95.0 - codec) * loss / (loss / burst_ratio + robustness);
    let (best, scale) = if wideband {
        (129.0, WIDEBAND_SCALE)
    } else {
        (BEST, 1.0)
    };
    let listening = best - equipment;
    let conversing = listening - delay_impairment(connection.delay);
    Rating {
        r_factor: conversing.max(0.0),
        mos_lq: mos(listening / scale),
        mos_cq: mos(conversing / scale),
        wideband,
    }
}

/// The mean opinion that belongs to an R factor (G.107 annex B).
pub fn mos(r: f32) -> f32 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        // The polynomial dips below 1 for small R.
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

/// `Id` (G.107 §7.4) beyond what no delay at all costs: talker echo, listener echo and the delay
/// itself, for telephones that suppress echo as the default values say.
fn delay_impairment(delay: Duration) -> f32 {
    let ms = (delay.as_secs_f32() * 1000.0).min(10_000.0);
    if ms < 1e-3 {
        return 0.0;
    }
    let echo_path = ((1.0 + ms / 10.0) / (1.0 + ms / 150.0)).log10();
    let masked = TELR - 40.0 * echo_path + 6.0 * (-0.3 * ms * ms).exp();
    let talker = echo(SIGNAL_TO_NOISE - (80.0 + 2.5 * (masked - 14.0)), 100.0) - 1.0;
    let talker = talker * (1.0 - (-ms).exp());
    let round_trip = |ms: f32| 10.5 * (WEPL + 7.0) * (2.0 * ms + 1.0).powf(-0.25);
    let listener = |ms: f32| echo(SIGNAL_TO_NOISE - round_trip(ms), 169.0);
    talker + listener(ms) - listener(0.0) + absolute(ms)
}

fn echo(difference: f32, bend: f32) -> f32 {
    let half = difference / 2.0;
    half + (half * half + bend).sqrt()
}

/// `Idd`: delay that is felt even without any echo.
fn absolute(ms: f32) -> f32 {
    if ms <= 100.0 {
        return 0.0;
    }
    let x = (ms / 100.0).log2();
    let sixth = |x: f32| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

/// `Ro - Is` and the listener echo of no delay, at the default values.
const BEST: f32 = 93.2;
/// `Ro` at the default values.
const SIGNAL_TO_NOISE: f32 = 94.77;
/// Talker echo loudness rating and weighted echo path loss, dB (G.107 table 2).
const TELR: f32 = 65.0;
const WEPL: f32 = 110.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(loss: f32, burst_ratio: f32, delay_ms: u64) -> Rating {
        rate(&Connection {
            impairment: Impairment::G711,
            loss,
            burst_ratio,
            delay: Duration::from_millis(delay_ms),
        })
    }

    #[test]
    fn opinions_are_those_of_the_recommendation() {
        // G.107 annex B, table B.1, and G.109 table 1: the lower bounds of its categories.
        for (r, expected) in [
            (93.2, 4.41),
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
            (0.0, 1.0),
            (100.0, 4.5),
        ] {
            assert!((mos(r) - expected).abs() < 0.01, "R {r}: {}", mos(r));
        }
        assert!((1..100).all(|r| mos(r as f32) >= 1.0));
    }

    #[test]
    fn the_default_connection_has_the_default_rating() {
        let r = rated(0.0, 1.0, 0);
        assert!((r.r_factor - 93.2).abs() < 0.01, "{r:?}");
        assert!((r.mos_cq - 4.41).abs() < 0.01 && r.mos_lq >= r.mos_cq);
    }

    #[test]
    fn loss_costs_what_g113_says() {
        // Ie-eff = 95 * Ppl / (Ppl + 25.1): 3.64 at 1 %, 15.8 at 5 %.
        assert!((rated(0.01, 1.0, 0).r_factor - (93.2 - 3.64)).abs() < 0.01);
        assert!((rated(0.05, 1.0, 0).r_factor - (93.2 - 15.78)).abs() < 0.01);
        // The same loss in runs costs more (G.107 §7.7).
        assert!(rated(0.05, 2.0, 0).r_factor < rated(0.05, 1.0, 0).r_factor - 1.0);
        assert!(rated(1.0, 1.0, 0).mos_lq < 1.7);
    }

    #[test]
    fn delay_costs_what_the_usual_approximation_says() {
        // Id = 0.024 d + 0.11 (d - 177.3) above 177.3 ms: a fit to the same equations, made for
        // delays up to 400 ms.
        for ms in (0..=400).step_by(25) {
            let d = ms as f32;
            let fit = 0.024 * d + 0.11 * (d - 177.3).max(0.0);
            let exact = delay_impairment(Duration::from_millis(ms));
            assert!((exact - fit).abs() < 3.5, "{ms} ms: {exact} and {fit}");
        }
        assert!(rated(0.0, 1.0, 0).mos_lq <= rated(0.0, 1.0, 400).mos_lq);
        assert!(rated(0.0, 1.0, 400).mos_cq < 3.7);
    }

    #[test]
    fn more_of_either_is_never_better() {
        let mut last = f32::MAX;
        for percent in 0..=100 {
            let r = rated(percent as f32 / 100.0, 1.0, 50).r_factor;
            assert!(r <= last, "{percent} %");
            last = r;
        }
        let mut last = f32::MAX;
        for ms in (0..3000).step_by(10) {
            let r = rated(0.0, 1.0, ms).r_factor;
            assert!(r <= last + 1e-3, "{ms} ms: {r} above {last}");
            last = r;
        }
    }

    #[test]
    fn wideband_has_its_own_scale() {
        let best = |impairment| {
            rate(&Connection {
                impairment,
                loss: 0.0,
                burst_ratio: 1.0,
                delay: Duration::ZERO,
            })
        };
        let (g722, opus) = (best(Impairment::G722), best(Impairment::OPUS));
        assert!((g722.r_factor - 116.0).abs() < 0.01, "{g722:?}");
        assert!((g722.mos_lq - 4.34).abs() < 0.01, "{g722:?}");
        assert!(opus.mos_lq > g722.mos_lq);
    }
}
