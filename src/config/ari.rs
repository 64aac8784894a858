//! `[ari]`: programs that were written for the Asterisk REST Interface.

use std::time::Duration;

use ipnet::IpNet;

use super::print::{Printer, seconds};
use super::reader::Table;
use super::routes::{NETWORK, network};
use crate::switch::Abandoned;

const LOST: [(&str, Abandoned); 3] = [
    ("otherwise", Abandoned::Otherwise),
    ("hang-up", Abandoned::HungUp),
    ("keep", Abandoned::Kept),
];

/// `[ari]`: what programs may, and what becomes of their calls without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ari {
    /// How long calls wait for a program whose connection is gone.
    pub reconnect: Duration,
    /// What then.
    pub lost_calls: Abandoned,
    /// Where external media may go, besides loopback.
    pub external_media: Vec<IpNet>,
}

impl Ari {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let reconnect = Duration::from_secs(table.number("reconnect_seconds", 60, 0..=86_400));
        let lost_calls = table.value(
            "lost_calls",
            Abandoned::Otherwise,
            "\"otherwise\", \"hang-up\" or \"keep\"",
            |value| {
                let found = value.as_str()?;
                let known = LOST.iter().find(|(name, _)| *name == found);
                known.map(|(_, then)| *then)
            },
        );
        let external_media = table.list("external_media", Vec::new(), NETWORK, network);
        table.finish();
        Self {
            reconnect,
            lost_calls,
            external_media,
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[ari]");
        out.key(
            "reconnect_seconds",
            seconds(self.reconnect),
            "How long calls wait for a program whose connection is gone.",
        );
        let lost = LOST.iter().find(|(_, then)| *then == self.lost_calls);
        out.key(
            "lost_calls",
            lost.map_or("otherwise", |(name, _)| name),
            "What then: otherwise (the extension that their route names, or hung up), hang-up, keep.",
        );
        out.list(
            "external_media",
            &self.external_media,
            "Networks that external media may go to, besides this machine.",
        );
    }
}
