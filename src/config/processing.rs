//! `[media.processing]`: what is done to each party's audio, unless its call says otherwise.

use crate::audio::process::ProcessSettings;

use super::print::Printer;
use super::reader::Table;

/// `[media.processing]`: what is done to each party's audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processing {
    /// The gain of what a party says.
    pub gain_in_db: i8,
    /// The gain of what a party hears.
    pub gain_out_db: i8,
    /// Whether the gain of what a party says follows its speech, towards agc_target_dbov.
    pub agc: bool,
    /// The level that speech is brought to: by -10 to +20 dB, slowly; noise is not raised.
    pub agc_target_dbov: i8,
    /// Whether steady noise in what a party says is turned down; it delays by 6 to 8.3 ms.
    pub noise_suppression: bool,
    /// Whether what a party says is silence below silence_gate_dbov, after 300 ms.
    pub silence_gate: bool,
    /// The level from which the gate opens.
    pub silence_gate_dbov: i8,
    /// Whether a party hears noise of comfort_noise_dbov while nobody speaks.
    pub comfort_noise: bool,
    /// The level of comfort noise.
    pub comfort_noise_dbov: i8,
}

impl Processing {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let processing = Self {
            gain_in_db: table.number("gain_in_db", 0, -40..=40),
            gain_out_db: table.number("gain_out_db", 0, -40..=40),
            agc: table.boolean("agc", false),
            agc_target_dbov: table.number("agc_target_dbov", -20, -40..=-10),
            noise_suppression: table.boolean("noise_suppression", false),
            silence_gate: table.boolean("silence_gate", false),
            silence_gate_dbov: table.number("silence_gate_dbov", -50, -80..=-20),
            comfort_noise: table.boolean("comfort_noise", false),
            comfort_noise_dbov: table.number("comfort_noise_dbov", -60, -80..=-40),
        };
        table.finish();
        processing
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[media.processing]");
        out.key(
            "gain_in_db",
            i64::from(self.gain_in_db),
            "The gain of what a party says.",
        );
        out.key(
            "gain_out_db",
            i64::from(self.gain_out_db),
            "The gain of what a party hears.",
        );
        out.key(
            "agc",
            self.agc,
            "Whether the gain of what a party says follows its speech, towards agc_target_dbov.",
        );
        out.key(
            "agc_target_dbov",
            i64::from(self.agc_target_dbov),
            "The level that speech is brought to: by -10 to +20 dB, slowly; noise is not raised.",
        );
        out.key(
            "noise_suppression",
            self.noise_suppression,
            "Whether steady noise in what a party says is turned down; it delays by 6 to 8.3 ms.",
        );
        out.key(
            "silence_gate",
            self.silence_gate,
            "Whether what a party says is silence below silence_gate_dbov, after 300 ms.",
        );
        out.key(
            "silence_gate_dbov",
            i64::from(self.silence_gate_dbov),
            "The level from which the gate opens.",
        );
        out.key(
            "comfort_noise",
            self.comfort_noise,
            "Whether a party hears noise of comfort_noise_dbov while nobody speaks.",
        );
        out.key(
            "comfort_noise_dbov",
            i64::from(self.comfort_noise_dbov),
            "The level of comfort noise.",
        );
    }

    /// The same as the media threads take it.
    pub fn settings(&self) -> ProcessSettings {
        ProcessSettings {
            gain_in_db: self.gain_in_db,
            gain_out_db: self.gain_out_db,
            agc_dbov: self.agc.then_some(self.agc_target_dbov),
            noise_suppression: self.noise_suppression,
            gate_dbov: self.silence_gate.then_some(self.silence_gate_dbov),
            comfort_noise_dbov: self.comfort_noise.then_some(self.comfort_noise_dbov),
        }
    }
}
