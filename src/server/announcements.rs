//! What an announcement is (RFC 4240 §3): a prompt, a sequence, a file that may be played, or
//! something of the web.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::info;

use super::core::Core;
use super::files::Done;
use super::names::Names;
use super::sources::sources;
use crate::app::speak;
use crate::app::{PlayItem, Wanted};
use crate::audio::source::Source;
use crate::call::CallHandle;
use crate::config::{Config, Sequence, SequenceItem};
use crate::dtmf::Digit;
use crate::net::fetch::{FetchLimits, Fetcher};
use crate::net::tls::Tls;
use crate::sip::uri::unescaped;
use crate::store::library::Library;
use crate::store::prompts::Prompts;
use crate::store::shelf::{IN_USE, usual_directory};
use crate::store::speech::{Speech, SpeechSettings};
use crate::store::web::{Web, WebSettings};

/// Everything that may be announced.
pub(super) struct Announcements {
    library: Library,
    /// Where prompts of other languages lie.
    languages: Option<PathBuf>,
    sequences: HashMap<String, Sequence>,
    web: Web,
    speech: Speech,
}

impl Announcements {
    /// As configured, at a start: what servers have left that do not run any more is thrown away. Blocks.
    pub fn new(config: &Config, tls: &Arc<Tls>) -> Self {
        let (limits, settings) = web_settings(config);
        let web = Web::new(Fetcher::new(Arc::clone(tls), limits), settings);
        let speech = Speech::new(speech_settings(config));
        web.clear();
        speech.clear();
        Self::of(config, web, speech)
    }

    /// As configured now. What was fetched, and what was said, stays as long as its own settings do.
    pub fn renewed(&self, config: &Config, tls: &Arc<Tls>) -> Self {
        let (limits, settings) = web_settings(config);
        let web = if self.web.is_of(limits, &settings) {
            self.web.clone()
        } else {
            Web::new(Fetcher::new(Arc::clone(tls), limits), settings)
        };
        let settings = speech_settings(config);
        let speech = if self.speech.is_of(&settings) {
            self.speech.clone()
        } else {
            Speech::new(settings)
        };
        Self::of(config, web, speech)
    }

    fn of(config: &Config, web: Web, speech: Speech) -> Self {
        let named = |s: &Sequence| (s.name.clone(), s.clone());
        Self {
            library: Library::new(config.announcement.directories.clone()),
            languages: config.prompts.directory.clone(),
            sequences: config.sequences.iter().map(named).collect(),
            web,
            speech,
        }
    }

    /// Not needed any more. Calls may be about to open files that these have found, which go with them.
    pub fn retire(self: Arc<Self>) {
        tokio::spawn(async move {
            tokio::time::sleep(IN_USE).await;
            tokio::task::spawn_blocking(move || drop(self));
        });
    }

    /// The directories whose files may be played by name.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The sources of items, what has to be fetched or said for them included.
    pub async fn sources(
        self: Arc<Self>,
        items: Vec<PlayItem>,
        prompts: Arc<Prompts>,
        names: Arc<Names>,
    ) -> Result<Vec<Source>, String> {
        let items = self.at_hand(items).await?;
        let read = move || sources(&items, &prompts, &self.library, &names);
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// The same items, with files in the place of what has to be fetched or said first.
    async fn at_hand(&self, mut items: Vec<PlayItem>) -> Result<Vec<PlayItem>, String> {
        for item in &mut items {
            let path = match item {
                PlayItem::Web(address) => {
                    let path = self.web.get(address, None, None).await;
                    path.map_err(|error| error.to_string())?
                }
                PlayItem::Speech { text, language } => {
                    let path = self.speech.say(text, language.as_deref()).await;
                    path.map_err(|error| error.to_string())?
                }
                _ => continue,
            };
            *item = PlayItem::File(path);
        }
        Ok(items)
    }

    /// What is to be heard, or why nothing is. Blocks where it looks for files.
    fn find(&self, prompts: &Prompts, wanted: &Wanted) -> Result<Vec<PlayItem>, String> {
        let decoded = unescaped(&wanted.play).unwrap_or_default();
        let name = decoded.strip_prefix("prompt:").unwrap_or(&decoded);
        let locale = wanted.locale.as_deref();
        if let Some(sequence) = self.sequences.get(name) {
            let items = sequence.items.iter();
            let items = items.map(|item| self.part(prompts, item, wanted));
            return items.collect::<Result<Vec<_>, _>>().map(|i| i.concat());
        }
        if let Some(prompt) = self.prompt(prompts, name, locale) {
            return Ok(vec![prompt]);
        }
        let path = self.library.resolve(&wanted.play);
        let path = path.map_err(|error| error.to_string())?;
        // Another directory of the library may be a link that leads out of it.
        let mut others = localised(&path, locale).into_iter();
        let other = others.find_map(|path| self.library.within(&path));
        playable(prompts, other.unwrap_or(path))
    }

    /// A prompt, in the language that is preferred if there is one of that.
    fn prompt(&self, prompts: &Prompts, name: &str, locale: Option<&str>) -> Option<PlayItem> {
        prompts.get(name)?;
        // A prompt's name is that of a file, and no path.
        let directory = self.languages.as_ref();
        let file = directory.map(|d| d.join(format!("{name}.wav")));
        let others = file.map(|file| localised(&file, locale));
        let other = others.into_iter().flatten().find(|path| path.is_file());
        let other = other.filter(|path| prompts.load_file(path).is_ok());
        Some(other.map_or_else(|| PlayItem::Prompt(name.to_owned()), PlayItem::File))
    }

    fn part(
        &self,
        prompts: &Prompts,
        item: &SequenceItem,
        wanted: &Wanted,
    ) -> Result<Vec<PlayItem>, String> {
        let value = |n: u8| {
            let value = wanted.values.get(usize::from(n) - 1);
            let value = value.and_then(Option::as_deref);
            value.ok_or_else(|| format!("{:?} wants param{n}", wanted.play))
        };
        let locale = wanted.locale.as_deref();
        let prompt = |name: &str| {
            let found = self.prompt(prompts, name, locale);
            found.ok_or_else(|| format!("there is no prompt {name:?}"))
        };
        let parts = match item {
            SequenceItem::Prompt(name) => vec![prompt(name)?],
            SequenceItem::Named(n) => vec![prompt(value(*n)?)?],
            SequenceItem::Digits(n) => {
                let digits = value(*n)?.chars().map(Digit::from_char);
                let digits: Option<Vec<_>> = digits.collect();
                let digits = digits.ok_or_else(|| format!("param{n} is to be digits"))?;
                digits.into_iter().map(speak::digit).collect()
            }
            SequenceItem::Number(n) => {
                let number = value(*n)?.parse();
                speak::number(number.map_err(|_| format!("param{n} is to be a number"))?)
            }
        };
        Ok(parts)
    }
}

/// A file, if it can be played.
fn playable(prompts: &Prompts, path: PathBuf) -> Result<Vec<PlayItem>, String> {
    let loaded = prompts.load_file(&path).map_err(|error| error.to_string());
    loaded.map(|_| vec![PlayItem::File(path)])
}

/// Where the same file may be in the directory of a language beside it: `de-CH`, else `de`.
fn localised(path: &Path, locale: Option<&str>) -> Vec<PathBuf> {
    let (Some(locale), Some(directory), Some(file)) = (locale, path.parent(), path.file_name())
    else {
        return Vec::new();
    };
    let language = locale.split(['-', '_']).next().unwrap_or(locale);
    let names = [locale, language];
    names.map(|name| directory.join(name).join(file)).into()
}

impl Core {
    /// Finds an announcement.
    pub(super) fn locate(&mut self, call: CallHandle, call_id: String, wanted: Wanted) {
        let (prompts, announcements) = (self.prompts.clone(), self.announcements.clone());
        let found = move |found: Result<Vec<PlayItem>, String>| {
            if let Err(why) = &found {
                info!(call_id, why, "no announcement");
            }
            Done::Located(call, found.ok())
        };
        let address = unescaped(&wanted.play).filter(|play| Web::is_address(play));
        let Some(address) = address else {
            self.spawn(move || found(announcements.find(&prompts, &wanted)));
            return;
        };
        let done = self.done.clone();
        let task = tokio::spawn(async move {
            let (kind, locale) = (wanted.kind.as_deref(), wanted.locale.as_deref());
            let got = announcements.web.get(&address, kind, locale).await;
            let result = match got {
                Err(error) => Err(error.to_string()),
                Ok(path) => tokio::task::spawn_blocking(move || playable(&prompts, path))
                    .await
                    .unwrap_or_else(|error| Err(error.to_string())),
            };
            // Refused only when the core is gone.
            let _ = done.send(found(result));
        });
        self.fetching.insert(call, task.abort_handle());
    }

    /// A call is over: nothing is fetched, said or read for it any more.
    pub(super) fn give_up(&mut self, call: CallHandle) {
        self.loading.remove(&call);
        if let Some(task) = self.fetching.remove(&call) {
            task.abort();
        }
    }
}

fn web_settings(config: &Config) -> (FetchLimits, WebSettings) {
    let announcement = &config.announcement;
    let limits = FetchLimits {
        time: announcement.web_time,
        bytes: megabytes(announcement.web_file_mb) as usize,
    };
    let directory = announcement.web_directory.clone();
    let settings = WebSettings {
        hosts: announcement.web_hosts.clone(),
        directory: directory.unwrap_or_else(|| usual_directory("antiphon-web")),
        max_bytes: megabytes(announcement.web_cache_mb),
    };
    (limits, settings)
}

fn speech_settings(config: &Config) -> SpeechSettings {
    SpeechSettings {
        command: config.speech.command.clone(),
        language: config.prompts.language.clone(),
        time: config.speech.time,
        // Some four minutes at 22 kHz.
        bytes: 10 << 20,
        directory: usual_directory("antiphon-speech"),
        max_bytes: megabytes(config.speech.cache_mb),
    }
}

fn megabytes(count: u32) -> u64 {
    u64::from(count) << 20
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::net::tls::TlsSettings;
    use crate::wav::Writer;

    fn announcements(config: &Config) -> Announcements {
        let tls = Tls::load(&TlsSettings::default(), false).unwrap();
        Announcements::new(config, &Arc::new(tls))
    }

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = Writer::create(File::create(path).unwrap(), 8000).unwrap();
        writer.write(&[1000; 800]).unwrap();
        writer.finish().unwrap();
    }

    #[test]
    fn what_was_fetched_and_said_stays_as_long_as_its_own_settings_do() {
        let mut config = Config::default();
        let tls = Arc::new(Tls::load(&TlsSettings::default(), false).unwrap());
        let first = Announcements::new(&config, &tls);
        config.announcement.directories = vec!["library".into()];
        config.prompts.directory = Some("prompts".into());
        let second = first.renewed(&config, &tls);
        assert!(second.web.has_what(&first.web) && second.speech.has_what(&first.speech));
        config.announcement.web_file_mb += 1;
        let third = second.renewed(&config, &tls);
        assert!(!third.web.has_what(&first.web) && third.speech.has_what(&first.speech));
        config.prompts.language = "de".to_owned();
        let fourth = third.renewed(&config, &tls);
        assert!(fourth.web.has_what(&third.web) && !fourth.speech.has_what(&first.speech));
    }

    #[test]
    fn a_language_leads_out_of_no_directory() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().canonicalize().unwrap();
        for file in ["lib/note.wav", "lib/de/note.wav", "private/note.wav"] {
            write(&here.join(file));
        }
        symlink("../private", here.join("lib/fr")).unwrap();
        let mut config = Config::default();
        config.announcement.directories = vec![here.join("lib")];
        let announcements = announcements(&config);
        let prompts = Prompts::load(None, "en").unwrap();
        for (locale, file) in [
            ("de-CH", "lib/de/note.wav"),
            ("fr", "lib/note.wav"),
            ("es", "lib/note.wav"),
        ] {
            let wanted = Wanted {
                play: "note.wav".to_owned(),
                locale: Some(locale.to_owned()),
                ..Wanted::default()
            };
            let found = announcements.find(&prompts, &wanted).unwrap();
            assert_eq!(found, [PlayItem::File(here.join(file))], "{locale}");
        }
    }
}
