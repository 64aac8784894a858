//! `[[keypad]]`: what keys do in conference rooms.

use std::time::Duration;

use super::apps::{PromptList, read_prompts};
use super::error::{Fault, Place};
use super::print::{Printer, seconds};
use super::reader::{Table, text};
use super::rooms::read_name;
use crate::app::collect::Pattern;
use crate::app::keypad::{INTER_DIGIT, KeypadAction};
use crate::app::room::RoomRequest;
use crate::sip::uri::Uri;

/// A `[[keypad]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct KeypadConfig {
    /// What rooms call it.
    pub name: String,
    /// How long the next key of a sequence may take.
    pub inter_digit: Duration,
    /// What the action `help` says.
    pub help: PromptList,
    /// Its keys.
    pub keys: Vec<KeyConfig>,
    /// Where it stands.
    pub place: Place,
}

/// A `[[keypad.key]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyConfig {
    /// The sequence.
    pub pattern: Pattern,
    /// The same as written.
    pub digits: String,
    /// What it does.
    pub action: KeypadAction,
    /// The same as written.
    pub word: String,
    /// Where it stands.
    pub place: Place,
}

const KEYS: &str = "a sequence of keys: 0 to 9, *, #, A to D, with X for any of 0 to 9";

impl KeypadConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Option<Self> {
        let place = table.own_place();
        let name = read_name(&mut table);
        let inter_digit = table.number("inter_digit_seconds", INTER_DIGIT.as_secs(), 1..=60);
        let help = read_prompts(&mut table, "help", &["conf-help"]);
        let keys = table.tables("key", KeyConfig::read);
        if table.find("key").is_none() {
            let why = "a keypad without a [[keypad.key]]: no key does anything";
            table.report(&place, Fault::Senseless(why.to_owned()));
        }
        table.finish();
        Some(Self {
            name: name?,
            inter_digit: Duration::from_secs(inter_digit),
            help: help?,
            keys,
            place,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[keypad]]");
        out.key("name", self.name.as_str(), "What rooms call it.");
        let comment = "How long the next key of a sequence may take.";
        out.key("inter_digit_seconds", seconds(self.inter_digit), comment);
        out.list("help", &self.help.names, "What the action help says.");
        for key in &self.keys {
            out.section("[[keypad.key]]");
            out.key("digits", key.digits.as_str(), "X: any of 0 to 9.");
            out.key("action", key.word.as_str(), "What they do.");
        }
    }
}

impl KeyConfig {
    fn read(mut table: Table<'_, '_>) -> Option<Self> {
        let place = table.own_place();
        let digits = table.optional("digits", KEYS, |value| {
            let text = text(value)?;
            Pattern::parse(&text).map(|pattern| (text, pattern))
        });
        if digits.is_none() && table.find("digits").is_none() {
            table.missing("digits", KEYS);
        }
        let words: Vec<&str> = KeypadAction::words().collect();
        let actions = format!("one of {}", words.join(", "));
        let action = table.optional("action", &actions, |value| {
            let word = text(value)?;
            let action = KeypadAction::parse(&word)?;
            let is_good = match &action {
                KeypadAction::Request(RoomRequest::Dial(uri)) => {
                    uri.starts_with("sip") && uri.parse::<Uri>().is_ok()
                }
                _ => true,
            };
            is_good.then_some((word, action))
        });
        if action.is_none() && table.find("action").is_none() {
            table.missing("action", actions);
        }
        table.finish();
        let ((digits, pattern), (word, action)) = (digits?, action?);
        Some(Self {
            pattern,
            digits,
            action,
            word,
            place,
        })
    }
}
