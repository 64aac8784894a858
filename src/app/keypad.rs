//! What keys do in a conference room.

use std::time::Duration;

use super::collect::{CollectSpec, Pattern};
use super::room::{RoomRequest, Toggle};
use super::{PlayItem, speak};
use crate::dtmf::Digit;

/// What a step louder or softer is, dB.
const STEP_DB: i8 = 3;
/// How long the next key of a sequence may take, unless something else is configured.
pub const INTER_DIGIT: Duration = Duration::from_secs(2);

/// Key sequences and what they do.
#[derive(Clone, Debug, PartialEq)]
pub struct Keypad {
    /// The first that matches is taken.
    pub keys: Vec<(Pattern, KeypadAction)>,
    /// How long the next key of a sequence may take.
    pub inter_digit: Duration,
    /// What `help` says.
    pub help: Vec<PlayItem>,
}

/// What a key sequence does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeypadAction {
    /// Asks something of the room.
    Request(RoomRequest),
    /// Leaves the room: what follows the conference follows.
    Leave,
    /// Leaves the room for a menu.
    LeaveTo(String),
    /// Says what the keys do.
    Help,
}

/// The words of the configuration for what needs no more than a word.
const WORDS: &[(&str, KeypadAction)] = &[
    ("mute", KeypadAction::Request(RoomRequest::Mute(Toggle::On))),
    (
        "unmute",
        KeypadAction::Request(RoomRequest::Mute(Toggle::Off)),
    ),
    (
        "toggle-mute",
        KeypadAction::Request(RoomRequest::Mute(Toggle::Flip)),
    ),
    ("louder", gain(false, STEP_DB)),
    ("softer", gain(false, -STEP_DB)),
    ("listen-louder", gain(true, STEP_DB)),
    ("listen-softer", gain(true, -STEP_DB)),
    ("count", KeypadAction::Request(RoomRequest::Count)),
    (
        "raise-hand",
        KeypadAction::Request(RoomRequest::Hand(Toggle::Flip)),
    ),
    ("lock", KeypadAction::Request(RoomRequest::Lock(Toggle::On))),
    (
        "unlock",
        KeypadAction::Request(RoomRequest::Lock(Toggle::Off)),
    ),
    (
        "toggle-lock",
        KeypadAction::Request(RoomRequest::Lock(Toggle::Flip)),
    ),
    ("kick-last", KeypadAction::Request(RoomRequest::KickLast)),
    (
        "mute-all",
        KeypadAction::Request(RoomRequest::MuteAll(true)),
    ),
    (
        "unmute-all",
        KeypadAction::Request(RoomRequest::MuteAll(false)),
    ),
    (
        "record",
        KeypadAction::Request(RoomRequest::Record(Toggle::Flip)),
    ),
    ("end", KeypadAction::Request(RoomRequest::End)),
    ("leave", KeypadAction::Leave),
    ("help", KeypadAction::Help),
];

const fn gain(hears: bool, step_db: i8) -> KeypadAction {
    KeypadAction::Request(RoomRequest::Gain { hears, step_db })
}

/// What follows these words is an argument.
const LEAVE_TO: &str = "leave-to=";
const DIAL_OUT: &str = "dial-out=";

impl KeypadAction {
    /// Reads `mute`, `leave-to=MENU`, `dial-out=URI` and so on.
    pub fn parse(text: &str) -> Option<KeypadAction> {
        let argument = |prefix: &str| text.strip_prefix(prefix).filter(|a| !a.is_empty());
        if let Some(menu) = argument(LEAVE_TO) {
            return Some(KeypadAction::LeaveTo(menu.to_owned()));
        }
        if let Some(uri) = argument(DIAL_OUT) {
            return Some(KeypadAction::Request(RoomRequest::Dial(uri.to_owned())));
        }
        let known = WORDS.iter().find(|(word, _)| *word == text);
        known.map(|(_, action)| action.clone())
    }

    /// All that [`KeypadAction::parse`] reads.
    pub fn words() -> impl Iterator<Item = &'static str> {
        let plain = WORDS.iter().map(|(word, _)| *word);
        plain.chain(["leave-to=MENU", "dial-out=URI"])
    }
}

impl Keypad {
    /// No key does anything.
    pub fn none() -> Self {
        Self::built_in(&[], &[])
    }

    /// What members have unless something else is configured. All begin with a star: what a voice
    /// might be taken for does nothing.
    pub fn of_members() -> Self {
        Self::built_in(&[MEMBERS], &["conf-help"])
    }

    /// The same of moderators.
    pub fn of_moderators() -> Self {
        Self::built_in(
            &[MEMBERS, MODERATORS],
            &["conf-help", "conf-help-moderator"],
        )
    }

    fn built_in(tables: &[&[(&str, &str)]], help: &[&str]) -> Self {
        let rows = tables.iter().flat_map(|table| table.iter());
        let key = |(digits, action): &(&str, &str)| {
            Some((Pattern::parse(digits)?, KeypadAction::parse(action)?))
        };
        Self {
            keys: rows.filter_map(key).collect(),
            inter_digit: INTER_DIGIT,
            help: speak::prompts(help),
        }
    }

    /// What a sequence does.
    pub(super) fn find(&self, digits: &[Digit]) -> Option<&KeypadAction> {
        let fits = |(pattern, _): &&(Pattern, KeypadAction)| pattern.matches(digits);
        self.keys.iter().find(fits).map(|(_, action)| action)
    }

    /// How sequences are read.
    pub(super) fn collect(&self) -> CollectSpec {
        let patterns: Vec<Pattern> = self.keys.iter().map(|(p, _)| p.clone()).collect();
        CollectSpec {
            max: patterns.iter().map(Pattern::len).max().unwrap_or(1),
            patterns,
            terminator: None,
            first_digit: self.inter_digit,
            inter_digit: self.inter_digit,
            ..CollectSpec::default()
        }
    }
}

/// The built-in keys of everybody, and as the configuration would write them.
pub const MEMBERS: &[(&str, &str)] = &[
    ("*1", "toggle-mute"),
    ("*2", "raise-hand"),
    ("*3", "count"),
    ("*4", "listen-softer"),
    ("*6", "listen-louder"),
    ("*7", "softer"),
    ("*9", "louder"),
    ("*0", "help"),
];

/// Those that moderators have besides.
pub const MODERATORS: &[(&str, &str)] = &[
    ("*5", "toggle-lock"),
    ("*81", "mute-all"),
    ("*82", "unmute-all"),
    ("*83", "kick-last"),
    ("*89", "end"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_nothing_else() {
        for word in KeypadAction::words() {
            assert!(KeypadAction::parse(word).is_some(), "{word}");
        }
        for word in ["", "Mute", "leave-to=", "dial-out=", "leave-to", "mute "] {
            assert_eq!(KeypadAction::parse(word), None, "{word}");
        }
        assert_eq!(
            KeypadAction::parse("leave-to=main"),
            Some(KeypadAction::LeaveTo("main".into()))
        );
    }

    #[test]
    fn built_in_keys_exclude_no_other() {
        let keypad = Keypad::of_moderators();
        assert_eq!(keypad.keys.len(), MEMBERS.len() + MODERATORS.len());
        for (n, (pattern, _)) in keypad.keys.iter().enumerate() {
            for (other, _) in &keypad.keys[..n] {
                assert!(!pattern.overlaps(other));
            }
        }
    }
}
