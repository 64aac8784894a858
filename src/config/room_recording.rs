//! How rooms are recorded: keys of `[[room]]` and `[[room_profile]]`.

use std::time::Duration;

use super::apps::PromptList;
use super::print::{Printer, seconds};
use super::reader::{Table, integer};
use super::rooms::read_music;
use crate::app::room_record::{
    NAME_PATTERN, NamePattern, RECORD_RATES, RecordFormat, RecordLayout, RoomRecordSettings,
    SPLIT_SECONDS,
};

/// How a room is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordOptions {
    /// Whether it is recorded from its first member on.
    pub from_start: bool,
    /// How.
    pub settings: RoomRecordSettings,
    /// What members hear when a recording begins, or when they come while one runs.
    pub prompts: PromptList,
    /// What they hear when it ends.
    pub ended_prompts: PromptList,
}

const LAYOUT: &str = "\"mix\", \"stereo\", \"tracks\" or \"mix+tracks\"";
const FORMAT: &str = "\"wav\" or \"ogg-opus\"";
const RATE: &str = "8000, 16000 or 48000";
const SPLIT: &str = "a whole number from 10 to 86400, or 0 for one file";

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            from_start: false,
            settings: RoomRecordSettings::default(),
            prompts: PromptList::built_in(&["conf-recording"]),
            ended_prompts: PromptList::built_in(&["conf-recording-ended"]),
        }
    }
}

impl RecordOptions {
    pub(super) fn read(table: &mut Table<'_, '_>, base: &Self) -> Self {
        let known = &base.settings;
        let layout = table.value("record_layout", known.layout, LAYOUT, |value| {
            RecordLayout::parse(value.as_str()?)
        });
        let format = table.value("record_format", known.format, FORMAT, |value| {
            RecordFormat::parse(value.as_str()?)
        });
        let rate = read_rate(table, "record_rate", known.rate);
        let split = table.value("record_split_seconds", known.split, SPLIT, |value| {
            let number = u64::try_from(integer(value)?).ok()?;
            let time = Some(Duration::from_secs(number)).filter(|_| number > 0);
            (number == 0 || SPLIT_SECONDS.contains(&number)).then_some(time)
        });
        let name = table.value("record_name", known.name.clone(), NAME_PATTERN, |value| {
            NamePattern::parse(value.as_str()?)
        });
        Self {
            from_start: table.boolean("record", base.from_start),
            settings: RoomRecordSettings {
                layout,
                format,
                rate,
                split,
                name,
            },
            prompts: read_music(table, "recording_prompts", &base.prompts),
            ended_prompts: read_music(table, "recording_ended_prompts", &base.ended_prompts),
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let settings = &self.settings;
        let comment = "Whether it is recorded from its first member on.";
        out.key("record", self.from_start, comment);
        let comment = "What files a recording has: mix, stereo, tracks, mix+tracks.";
        out.key("record_layout", settings.layout.word(), comment);
        let comment = "Of what kind: wav, ogg-opus.";
        out.key("record_format", settings.format.word(), comment);
        let comment = "The sampling rate of all of them, Hz: 8000, 16000, 48000.";
        out.key("record_rate", i64::from(settings.rate), comment);
        let comment = "A new file after so long; 0: one file.";
        let split = settings.split.map_or(0, seconds);
        out.key("record_split_seconds", split, comment);
        let comment = "What they are called, below recording.directory.";
        out.key("record_name", settings.name.as_str(), comment);
        let comment = "What is said when a recording begins, and to who comes while one runs.";
        out.list("recording_prompts", &self.prompts.names, comment);
        let comment = "What is said when it ends.";
        let prompts = &self.ended_prompts.names;
        out.list("recording_ended_prompts", prompts, comment);
    }
}

/// The sampling rate of a recording, Hz.
pub(super) fn read_rate(table: &mut Table<'_, '_>, key: &'static str, default: u32) -> u32 {
    table.value(key, default, RATE, |value| {
        let rate = u32::try_from(integer(value)?).ok()?;
        RECORD_RATES.contains(&rate).then_some(rate)
    })
}
