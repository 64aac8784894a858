//! `[speech]`: how text becomes speech.

use std::time::Duration;

use super::print::{Printer, seconds};
use super::reader::{Table, text};

/// `[speech]`: how text becomes speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speech {
    /// The program and its arguments; empty: there is none.
    pub command: Vec<String>,
    /// How long it may take for a text.
    pub time: Duration,
    /// What was said is kept, MB.
    pub cache_mb: u32,
}

const COMMAND: &str = "a program and its arguments, a list of texts";

impl Speech {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        // An argument may come twice, so this is no list of things that are there once.
        let command = table.value("command", Vec::new(), COMMAND, |value| {
            let words = value.as_array()?.iter();
            let words = words.map(|word| text(word.get_ref()).filter(|w| !w.contains('\0')));
            let words = words.collect::<Option<Vec<_>>>()?;
            let good = words.len() <= 64 && words.first().is_none_or(|program| !program.is_empty());
            good.then_some(words)
        });
        let speech = Self {
            command,
            time: Duration::from_secs(table.number("seconds", 10, 1..=60)),
            cache_mb: table.number("cache_mb", 64, 1..=100_000),
        };
        table.finish();
        speech
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[speech]");
        out.list(
            "command",
            &self.command,
            "The program that makes speech of text, with its arguments: text at its standard input, WAV\n\
             at its standard output; {language} stands for the language. Such as [\"espeak-ng\",\n\
             \"-v\", \"{language}\", \"--stdin\", \"--stdout\"]. Empty: none.",
        );
        let comment = "How long it may take for a text.";
        out.key("seconds", seconds(self.time), comment);
        let comment = "What was said is kept, MB; what was said longest ago is thrown away.";
        out.key("cache_mb", i64::from(self.cache_mb), comment);
    }
}
