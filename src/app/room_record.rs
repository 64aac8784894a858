//! How a conference room is recorded, as a configuration or a program says it.

use std::time::Duration;

/// What files a recording has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordLayout {
    /// One: what the room hears.
    #[default]
    Mix,
    /// One with two channels: a member on the left, all others and what the room plays on the right.
    Stereo,
    /// One for each member, and one for what is in none of them.
    Tracks,
    /// The mix, and all of those.
    MixAndTracks,
}

/// What kind of files they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordFormat {
    /// WAV, 16-bit linear.
    #[default]
    Wav,
    /// Opus in Ogg (RFC 7845).
    OggOpus,
}

/// How a room is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRecordSettings {
    /// What files there are.
    pub layout: RecordLayout,
    /// Of what kind.
    pub format: RecordFormat,
    /// The sampling rate of all of them, Hz: one of [`RECORD_RATES`].
    pub rate: u32,
    /// A new file each time that so much is in one; none: only where a WAV is full.
    pub split: Option<Duration>,
    /// What they are called.
    pub name: NamePattern,
}

/// The rates that rooms are recorded at, Hz.
pub const RECORD_RATES: [u32; 3] = [8_000, 16_000, 48_000];
/// How long the files of a split recording may be, s.
pub const SPLIT_SECONDS: std::ops::RangeInclusive<u64> = 10..=86_400;

impl Default for RoomRecordSettings {
    fn default() -> Self {
        Self {
            layout: RecordLayout::default(),
            format: RecordFormat::default(),
            rate: 16_000,
            split: None,
            name: NamePattern::default(),
        }
    }
}

impl RecordLayout {
    /// All, in the order of their descriptions.
    pub const ALL: [Self; 4] = [Self::Mix, Self::Stereo, Self::Tracks, Self::MixAndTracks];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Stereo => "stereo",
            Self::Tracks => "tracks",
            Self::MixAndTracks => "mix+tracks",
        }
    }

    /// What the word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.word() == word)
    }

    /// Whether there is a file of all that is heard: the mix, or both channels.
    pub const fn has_mix(self) -> bool {
        !matches!(self, Self::Tracks)
    }

    /// Whether each member has a file.
    pub const fn has_tracks(self) -> bool {
        matches!(self, Self::Tracks | Self::MixAndTracks)
    }
}

impl RecordFormat {
    /// All, in the order of their descriptions.
    pub const ALL: [Self; 2] = [Self::Wav, Self::OggOpus];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::OggOpus => "ogg-opus",
        }
    }

    /// What the word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.word() == word)
    }

    /// What the names of its files end in (RFC 7845 §9).
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::OggOpus => "opus",
        }
    }
}

/// What the files of a recording are called, without their ending: letters, digits, `-`, `_` and `+`,
/// `{room}`, `{date}` and `{time}`, up to two folders before. It leads nowhere but below the
/// directory of recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

/// What [`NamePattern::parse`] takes, for people.
pub const NAME_PATTERN: &str = "letters, digits, -, _ and +, with {room}, {date} and {time} once each, and up to two \
     folders before (FOLDER/NAME), 100 characters at most";

const PLACES: [&str; 3] = ["{room}", "{date}", "{time}"];
const MAX_PATTERN: usize = 100;
const MAX_PARTS: usize = 3;

impl Default for NamePattern {
    fn default() -> Self {
        Self("{date}/{time}-{room}".to_owned())
    }
}

impl NamePattern {
    /// Reads a pattern; none: it is not what [`NAME_PATTERN`] says.
    pub fn parse(text: &str) -> Option<Self> {
        let is_once = |place: &&str| text.matches(*place).count() <= 1;
        let is_safe = |part: &str| {
            let rest = PLACES
                .iter()
                .fold(part.to_owned(), |p, place| p.replace(place, "-"));
            let safe = |c: char| c.is_ascii_alphanumeric() || "-_+".contains(c);
            !part.is_empty() && rest.chars().all(safe)
        };
        let fits = text.len() <= MAX_PATTERN
            && text.split('/').count() <= MAX_PARTS
            && text.split('/').all(is_safe)
            && PLACES.iter().all(is_once);
        fits.then(|| Self(text.to_owned()))
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a recording. `room` is a harmless part of a file name.
    pub fn fill(&self, room: &str, date: &str, time: &str) -> String {
        // In one go: what is put in is not looked through again.
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let values = PLACES.iter().zip([room, date, time]);
            let mut found =
                values.filter_map(|(place, value)| Some((value, rest.strip_prefix(place)?)));
            let Some((value, behind)) = found.next() else {
                break;
            };
            out.push_str(value);
            rest = behind;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_and_lead_nowhere_else() {
        let name = NamePattern::default().fill("600", "2026-05-04", "090000");
        assert_eq!(name, "2026-05-04/090000-600");
        let name = NamePattern::parse("a/b-{room}+{time}").unwrap();
        assert_eq!(name.fill("{date}", "x", "y"), "a/b-{date}+y");
        for wrong in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "../a",
            "a/../b",
            "a.wav",
            "a/b/c/d",
            "{rooms}",
            "{room",
            "{da{room}te}",
            "{room}{room}",
            "a b",
            "a\u{0}",
            "~",
            "\u{e9}",
            &"x".repeat(101),
        ] {
            assert_eq!(NamePattern::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for layout in RecordLayout::ALL {
            assert_eq!(RecordLayout::parse(layout.word()), Some(layout));
        }
        for format in RecordFormat::ALL {
            assert_eq!(RecordFormat::parse(format.word()), Some(format));
        }
        assert_eq!(RecordLayout::parse("both"), None);
    }
}
