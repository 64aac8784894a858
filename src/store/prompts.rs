//! Prompts by name, and files by path, ready for the player.
//!
//! Sits on the control side. Prompts are decoded and brought to 8 and 16 kHz at load, and shared: the
//! store holds a reference to each, so that a media thread never drops the last one.

mod bundled;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use self::bundled::BUNDLED;
use super::feed::Feeder;
use crate::audio::sound::Sound;
use crate::audio::source::Source;
use crate::wav::{Reader, WavError};

/// The longest file that is played from memory, seconds; longer ones are streamed.
pub const MAX_IN_MEMORY_SECONDS: u64 = 60;
/// The longest prompt, seconds: all prompts stay in memory.
pub const MAX_PROMPT_SECONDS: u64 = 300;

/// Files kept in memory behind their play, at most 3 MB each; all are let go at once beyond.
const MAX_CACHED_FILES: usize = 32;

/// Why prompts, or a file, cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The directory cannot be listed.
    #[error("prompt directory {path}: {source}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is missing, broken or of a kind that is not read.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: WavError,
    },
    /// A prompt that would take too much memory.
    #[error("{path}: {seconds} s long, allowed are {MAX_PROMPT_SECONDS} s for a prompt")]
    TooLong {
        /// Which one.
        path: PathBuf,
        /// How long it is.
        seconds: u64,
    },
    /// A language that would leave the directory.
    #[error("language {0:?}, allowed are letters, digits, \"-\" and \"_\"")]
    Language(String),
}

/// A prompt, ready to be played.
#[derive(Debug)]
pub struct Prompt {
    /// Its name, without directory and ending.
    pub name: String,
    /// Its audio.
    pub sound: Sound,
}

impl Prompt {
    /// The prompt as an item of a playlist.
    pub fn source(&self) -> Source {
        Source::Samples(self.sound.clone())
    }
}

/// All prompts of one language.
pub struct Prompts {
    by_name: HashMap<String, Arc<Prompt>>,
    files: Mutex<HashMap<PathBuf, CachedFile>>,
    feeder: Feeder,
}

/// A file that was played before, kept for the next call that plays it.
struct CachedFile {
    modified: SystemTime,
    bytes: u64,
    sound: Sound,
}

impl Prompts {
    /// Loads the bundled prompts; those in `DIR/NAME.wav` override and add to them, and those
    /// in `DIR/LANGUAGE/NAME.wav` again. One broken file refuses the whole.
    pub fn load(dir: Option<&Path>, language: &str) -> Result<Self, PromptError> {
        let mut prompts = bundled_prompts()?;
        if let Some(dir) = dir {
            let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if !language.chars().all(safe) {
                return Err(PromptError::Language(language.to_owned()));
            }
            load_directory(&mut prompts, dir)?;
            let of_language = dir.join(language);
            if !language.is_empty() && of_language.is_dir() {
                load_directory(&mut prompts, &of_language)?;
            }
        }
        Ok(Self {
            by_name: prompts,
            files: Mutex::default(),
            feeder: Feeder::new(),
        })
    }

    /// A prompt by its name.
    pub fn get(&self, name: &str) -> Option<Arc<Prompt>> {
        self.by_name.get(name).cloned()
    }

    /// The names of all prompts, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Opens a file to be played: up to a minute whole, a longer one as a stream. Reads the
    /// file, so it may block for tens of milliseconds; one that has not changed since it was
    /// played last is taken from memory.
    pub fn load_file(&self, path: &Path) -> Result<Source, PromptError> {
        let failed = |source| PromptError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(|error| failed(error.into()))?;
        let metadata = file.metadata().map_err(|error| failed(error.into()))?;
        let modified = metadata.modified().map_err(|error| failed(error.into()))?;
        let bytes = metadata.len();
        if let Some(known) = self.files().get(path)
            && (known.modified, known.bytes) == (modified, bytes)
        {
            return Ok(Source::Samples(known.sound.clone()));
        }
        let mut reader = Reader::open(file).map_err(failed)?;
        let spec = *reader.spec();
        if spec.frames > MAX_IN_MEMORY_SECONDS * u64::from(spec.rate) {
            return Ok(Source::Feed(self.feeder.open(path).map_err(failed)?));
        }
        let sound = decode(&mut reader).map_err(failed)?;
        let mut files = self.files();
        if files.len() >= MAX_CACHED_FILES {
            files.clear();
        }
        let known = CachedFile {
            modified,
            bytes,
            sound: sound.clone(),
        };
        files.insert(path.to_owned(), known);
        Ok(Source::Samples(sound))
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, CachedFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bundled prompts, decoded once in a process: a reload need not do it again.
fn bundled_prompts() -> Result<HashMap<String, Arc<Prompt>>, PromptError> {
    static DECODED: OnceLock<HashMap<String, Arc<Prompt>>> = OnceLock::new();
    if let Some(known) = DECODED.get() {
        return Ok(known.clone());
    }
    let mut prompts = HashMap::new();
    for (name, bytes) in BUNDLED {
        let path = Path::new("bundled").join(name);
        let sound = decode_prompt(&path, Cursor::new(*bytes))?;
        add(&mut prompts, name, sound);
    }
    Ok(DECODED.get_or_init(|| prompts).clone())
}

fn load_directory(
    prompts: &mut HashMap<String, Arc<Prompt>>,
    dir: &Path,
) -> Result<(), PromptError> {
    let failed = |source| PromptError::Directory {
        path: dir.to_owned(),
        source,
    };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_wav = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("wav"));
        if let (true, Some(name)) = (is_wav, path.file_stem().and_then(OsStr::to_str)) {
            let file = File::open(&path).map_err(|error| PromptError::File {
                path: path.clone(),
                source: error.into(),
            })?;
            add(prompts, name, decode_prompt(&path, file)?);
        }
    }
    Ok(())
}

fn add(prompts: &mut HashMap<String, Arc<Prompt>>, name: &str, sound: Sound) {
    let prompt = Prompt {
        name: name.to_owned(),
        sound,
    };
    prompts.insert(name.to_owned(), Arc::new(prompt));
}

fn decode_prompt<R: Read + Seek>(path: &Path, input: R) -> Result<Sound, PromptError> {
    let failed = |source| PromptError::File {
        path: path.to_owned(),
        source,
    };
    let mut reader = Reader::open(input).map_err(failed)?;
    let seconds = reader.spec().frames / u64::from(reader.spec().rate);
    if seconds > MAX_PROMPT_SECONDS {
        return Err(PromptError::TooLong {
            path: path.to_owned(),
            seconds,
        });
    }
    decode(&mut reader).map_err(failed)
}

fn decode<R: Read + Seek>(reader: &mut Reader<R>) -> Result<Sound, WavError> {
    let mut samples = Vec::new();
    while reader.read_mono(&mut samples, 65_536)? > 0 {}
    Ok(Sound::new(&samples, reader.spec().rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::rms_dbov;
    use crate::audio::sound::Band;
    use crate::wav::Writer;

    fn write(path: &Path, rate: u32, samples: &[i16]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = Writer::create(File::create(path).unwrap(), rate).unwrap();
        writer.write(samples).unwrap();
        writer.finish().unwrap();
    }

    #[test]
    fn the_bundle_is_whole_and_at_a_sane_level() {
        let prompts = Prompts::load(None, "en").unwrap();
        assert_eq!(prompts.names().len(), BUNDLED.len());
        for name in prompts.names() {
            let prompt = prompts.get(name).unwrap();
            let samples = prompt.sound.samples(Band::Narrow);
            let level = rms_dbov(samples);
            assert!((-23.0..-16.0).contains(&level), "{name}: {level} dBov");
            // Up to 20 s: the longest, the menu, lists seven choices in 18 s.
            assert!((1500..160_000).contains(&samples.len()), "{name}");
        }
    }

    #[test]
    fn the_bundle_is_decoded_once_and_overridden_for_one_store_only() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("welcome.wav"), 8000, &[1; 100]);
        let own = Prompts::load(Some(dir.path()), "").unwrap();
        let [first, second] = [0, 1].map(|_| Prompts::load(None, "").unwrap());
        let shared = |a: &Prompts, b: &Prompts, name| {
            Arc::ptr_eq(&a.get(name).unwrap(), &b.get(name).unwrap())
        };
        assert!(shared(&first, &second, "welcome") && shared(&own, &first, "beep"));
        assert!(!shared(&own, &first, "welcome"));
    }

    #[test]
    fn the_text_and_the_bundle_have_the_same_names() {
        let text = include_str!("../../media/prompts.txt");
        let mut from_text: Vec<&str> = text
            .lines()
            .filter(|l| !l.starts_with('#'))
            .filter_map(|l| l.split('\t').next())
            .collect();
        from_text.push("beep");
        from_text.sort_unstable();
        assert_eq!(Prompts::load(None, "").unwrap().names(), from_text);
    }

    #[test]
    fn a_directory_overrides_by_name_and_language() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("welcome.wav"), 8000, &[1; 100]);
        write(&dir.path().join("own.wav"), 8000, &[2; 100]);
        write(&dir.path().join("de/welcome.wav"), 16_000, &[1000; 2000]);
        let english = Prompts::load(Some(dir.path()), "en").unwrap();
        assert_eq!(
            english.get("welcome").unwrap().sound.samples(Band::Narrow),
            [1; 100]
        );
        assert_eq!(english.get("own").unwrap().name, "own");
        let german = Prompts::load(Some(dir.path()), "de").unwrap();
        assert_eq!(german.get("welcome").unwrap().sound.len(), 1000);
        assert!(german.get("own").is_some() && german.get("beep").is_some());
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bad.wav"), b"RIFFnonsense").unwrap();
        let error = Prompts::load(Some(dir.path()), "en")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("bad.wav: not a WAV file: it starts with RIFF"),
            "{error}"
        );
        let missing = Prompts::load(Some(&dir.path().join("nowhere")), "en")
            .err()
            .unwrap();
        assert!(
            missing.to_string().contains("nowhere: No such file"),
            "{missing}"
        );
        let outside = Prompts::load(Some(dir.path()), "../x")
            .err()
            .unwrap()
            .to_string();
        assert!(outside.contains("allowed are letters"), "{outside}");
    }

    #[test]
    fn few_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let prompts = Prompts::load(None, "").unwrap();
        for number in 0..3 * MAX_CACHED_FILES {
            let path = dir.path().join(format!("{number}.wav"));
            write(&path, 8000, &[1; 100]);
            prompts.load_file(&path).unwrap();
            assert!(prompts.files().len() <= MAX_CACHED_FILES);
            assert!(prompts.files().contains_key(&path));
        }
    }

    #[test]
    fn long_files_stream_and_short_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let prompts = Prompts::load(None, "en").unwrap();
        let path = dir.path().join("file.wav");
        write(&path, 1000, &vec![5; 60_000]);
        let short = prompts.load_file(&path).unwrap();
        assert!(matches!(&short, Source::Samples(samples) if samples.len() == 480_000));
        let again = prompts.load_file(&path).unwrap();
        assert!(
            matches!((&short, &again), (Source::Samples(a), Source::Samples(b)) if a.is_shared_with(b))
        );
        write(&path, 1000, &vec![5; 60_001]);
        assert!(matches!(prompts.load_file(&path).unwrap(), Source::Feed(_)));
        let missing = prompts
            .load_file(&dir.path().join("none.wav"))
            .err()
            .unwrap()
            .to_string();
        assert!(missing.contains("none.wav: No such file"), "{missing}");
    }
}
