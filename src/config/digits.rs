//! `[digits]`: how numbers and PINs are read, by `digits` and `voicemail`. Menus say it themselves.

use std::time::Duration;

use super::print::{Printer, seconds};
use super::reader::Table;

/// How an entry of digits is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    /// How long the first digit may take, from the end of the prompt on.
    pub first_digit: Duration,
    /// How long each further digit may take.
    pub inter_digit: Duration,
    /// How long all of them may take.
    pub total: Duration,
    /// Whether digits pressed before the prompt count.
    pub type_ahead: bool,
}

/// What a wait for digits may be set to, seconds.
pub(super) const SECONDS: std::ops::RangeInclusive<u64> = 1..=600;

impl Digits {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let mut time = |key, default| Duration::from_secs(table.number(key, default, SECONDS));
        let digits = Self {
            first_digit: time("first_digit_seconds", 10),
            inter_digit: time("inter_digit_seconds", 3),
            total: time("total_seconds", 60),
            type_ahead: table.boolean("type_ahead", true),
        };
        table.finish();
        digits
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[digits]");
        out.key(
            "first_digit_seconds",
            seconds(self.first_digit),
            "How long the first digit of a number or a PIN may take; menus have their own times.",
        );
        out.key(
            "inter_digit_seconds",
            seconds(self.inter_digit),
            "How long each further digit may take.",
        );
        out.key(
            "total_seconds",
            seconds(self.total),
            "How long all of them may take.",
        );
        out.key(
            "type_ahead",
            self.type_ahead,
            "Whether digits pressed before the prompt count.",
        );
    }
}
