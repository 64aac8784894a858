//! What is to be heard, as the player wants it. Reads files: not for the core's own thread.

use std::time::Duration;

use super::names::Names;
use crate::app::PlayItem;
use crate::audio::NARROWBAND;
use crate::audio::source::Source;
use crate::audio::tone::Tone;
use crate::store::library::Library;
use crate::store::prompts::Prompts;

/// The sources of a list.
pub(super) fn sources(
    items: &[PlayItem],
    prompts: &Prompts,
    library: &Library,
    names: &Names,
) -> Result<Vec<Source>, String> {
    items
        .iter()
        .map(|item| match item {
            PlayItem::Prompt(name) => prompts
                .get(name)
                .map(|p| p.source())
                .ok_or_else(|| format!("there is no prompt {name:?}")),
            PlayItem::File(path) => prompts.load_file(path).map_err(|e| e.to_string()),
            // Made a file before.
            PlayItem::Web(_) | PlayItem::Speech { .. } => Err("not at hand".to_owned()),
            PlayItem::Library(name) => {
                let path = library.resolve(name).map_err(|e| e.to_string())?;
                prompts.load_file(&path).map_err(|e| e.to_string())
            }
            PlayItem::Recording(number) => {
                let path = names.path(*number).map_err(|e| e.to_string())?;
                prompts.load_file(&path).map_err(|e| e.to_string())
            }
            PlayItem::Tone {
                hz,
                level_dbm0,
                length,
            } => Ok(Source::Tone {
                tone: Tone {
                    frequency_hz: *hz,
                    second_hz: None,
                    level_dbm0: *level_dbm0,
                },
                samples: samples(*length),
            }),
            PlayItem::Silence(length) => Ok(Source::Silence {
                samples: samples(*length),
            }),
        })
        .collect()
}

/// A length in samples at 8 kHz.
pub(super) fn samples(length: Duration) -> u64 {
    samples_at(length, NARROWBAND)
}

/// A length in samples at `rate` Hz.
pub(super) fn samples_at(length: Duration, rate: u32) -> u64 {
    length.as_millis() as u64 * u64::from(rate) / 1000
}
