//! Text made speech by a command of the system, kept for the next time that it is said.
//!
//! The command is run as it is configured, without a shell; the text goes to its standard input and a
//! WAV file comes from its standard output. Who wants the same text at once gets what comes of one run;
//! when all of them have hung up it is ended.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::shelf::{self, MAX_FILES, Shelf};
use crate::net::pages;

/// Commands that run at once; the next texts wait for their turn, within the time that a text has.
const AT_ONCE: usize = 4;
/// The longest text, bytes.
pub const MAX_TEXT: usize = 4000;
/// What stands for the language in the command's arguments.
pub const LANGUAGE: &str = "{language}";
const PREFIX: &str = "antiphon-speech-";
/// What is kept of a command's standard error, bytes.
const MAX_COMPLAINT: u64 = 2000;

/// How text becomes speech.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeechSettings {
    /// The program and its arguments; empty: there is none.
    pub command: Vec<String>,
    /// The language of who says none.
    pub language: String,
    /// How long it may take, the wait for its turn included.
    pub time: Duration,
    /// The most that it may make of a text, bytes.
    pub bytes: usize,
    /// Where what was said is kept.
    pub directory: PathBuf,
    /// How much of it, bytes.
    pub max_bytes: u64,
}

/// Why a text is not said.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SpeechError {
    /// Nobody has configured how.
    #[error("no command makes speech of text (speech.command)")]
    NoCommand,
    /// Empty, too long, or not of letters.
    #[error("a text to be said has 1 to {MAX_TEXT} bytes and no control characters")]
    Text,
    /// Not a language's tag.
    #[error("language {0:?}, allowed are letters, digits, \"-\" and \"_\"")]
    Language(String),
    /// It does not start, or breaks off.
    #[error("{program}: {why}")]
    Failed {
        /// The program.
        program: String,
        /// What happened, with what it had to say.
        why: String,
    },
    /// It takes too long.
    #[error("{program}: no speech within {seconds} s")]
    TimedOut {
        /// The program.
        program: String,
        /// How long it had.
        seconds: u64,
    },
    /// It cannot be kept.
    #[error("{path}: {source}")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// Too much is said at this moment.
    #[error("{MAX_FILES} other texts were said within a minute")]
    Busy,
}

/// The language and the text.
type Key = (String, String);
type Making = shelf::Making<Key, (), SpeechError>;

/// Says texts. Clones have said the same.
#[derive(Clone, Debug)]
pub struct Speech {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    settings: SpeechSettings,
    turns: Semaphore,
    shelf: Arc<Shelf<Key, (), SpeechError>>,
}

impl Speech {
    /// Nothing was said yet; the directory is made when the first text is.
    pub fn new(settings: SpeechSettings) -> Self {
        let shelf = Shelf::new(settings.directory.clone(), PREFIX, settings.max_bytes);
        Self {
            parts: Arc::new(Parts {
                settings,
                turns: Semaphore::new(AT_ONCE),
                shelf: Arc::new(shelf),
            }),
        }
    }

    /// At a start: throws away what servers have left that do not run any more. Blocks.
    pub fn clear(&self) {
        if !self.parts.settings.command.is_empty() {
            self.parts.shelf.clear();
        }
    }

    /// Whether it was made with these.
    pub fn is_of(&self, settings: &SpeechSettings) -> bool {
        self.parts.settings == *settings
    }

    /// Whether what one has fetched the other has too.
    pub fn has_what(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts)
    }

    /// The WAV file of a text in a language.
    pub async fn say(&self, text: &str, language: Option<&str>) -> Result<PathBuf, SpeechError> {
        let bad = |c: char| c.is_control() && c != '\n' && c != '\t';
        if text.trim().is_empty() || text.len() > MAX_TEXT || text.contains(bad) {
            return Err(SpeechError::Text);
        }
        let language = language.unwrap_or(&self.parts.settings.language);
        let tag = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        // One that begins with a dash would be an option of the program.
        if language.starts_with('-') || language.len() > 35 || !language.chars().all(tag) {
            return Err(SpeechError::Language(language.chars().take(40).collect()));
        }
        let key = (language.to_owned(), text.to_owned());
        let parts = Arc::clone(&self.parts);
        let said = self.parts.shelf.get(&key, |making| parts.once(making));
        said.await.unwrap_or(Err(SpeechError::Busy))
    }
}

impl Parts {
    /// The file that is kept, else a new one.
    async fn once(self: Arc<Self>, making: Making) -> Result<PathBuf, SpeechError> {
        if let Some((path, ())) = making.known().await {
            return Ok(path);
        }
        let (language, text) = making.key();
        let wav = making.while_wanted(self.make(text, language)).await;
        // Nobody hears it where nobody waits.
        let wav = wav.unwrap_or(Err(SpeechError::Busy))?;
        let kept = making.keep(wav, ()).await;
        kept.map_err(|(path, source)| SpeechError::File {
            path,
            source: Arc::new(source),
        })
    }

    async fn make(&self, text: &str, language: &str) -> Result<Vec<u8>, SpeechError> {
        let (program, arguments) = self
            .settings
            .command
            .split_first()
            .ok_or(SpeechError::NoCommand)?;
        let arguments = arguments.iter().map(|a| a.replace(LANGUAGE, language));
        let mut command = Command::new(program);
        pages::without_ours(command.as_std_mut());
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let made = async {
            // Never closed.
            let _turn = self.turns.acquire().await;
            run(command, text.as_bytes(), self.settings.bytes).await
        };
        match tokio::time::timeout(self.settings.time, made).await {
            Ok(Ok(wav)) => Ok(wav),
            Ok(Err(why)) => Err(SpeechError::Failed {
                program: program.clone(),
                why,
            }),
            Err(_) => Err(SpeechError::TimedOut {
                program: program.clone(),
                seconds: self.settings.time.as_secs(),
            }),
        }
    }
}

/// Runs a command to its end. What it has made, or what went wrong.
async fn run(mut command: Command, text: &[u8], max: usize) -> Result<Vec<u8>, String> {
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let (mut stdin, stdout, stderr) = (
        child.stdin.take().ok_or("no standard input")?,
        child.stdout.take().ok_or("no standard output")?,
        child.stderr.take().ok_or("no standard error")?,
    );
    let write = async move {
        // A program that does not read it to the end says why itself.
        let _ = stdin.write_all(text).await;
        drop(stdin);
        Ok::<_, String>(())
    };
    let read = async move {
        let mut wav = Vec::new();
        let mut stdout = stdout.take(max as u64 + 1);
        let read = stdout.read_to_end(&mut wav).await;
        match read {
            // One that goes on for ever is not waited for.
            Ok(_) if wav.len() > max => Err(format!("more than {max} bytes of speech")),
            Ok(_) => Ok(wav),
            Err(error) => Err(error.to_string()),
        }
    };
    let complain = async move {
        let mut stderr = stderr;
        let mut complaint = Vec::new();
        let mut begin = (&mut stderr).take(MAX_COMPLAINT);
        let read = begin.read_to_end(&mut complaint).await;
        read.map_err(|e| e.to_string())?;
        // Read to its end: a closed pipe would end a program that has more to say.
        let rest = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        rest.map(|_| complaint).map_err(|e| e.to_string())
    };
    let ((), wav, complaint) = tokio::try_join!(write, read, complain)?;
    let status = child.wait().await.map_err(|e| e.to_string())?;
    if !status.success() || !wav.starts_with(b"RIFF") {
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint: String = complaint
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        let what = if status.success() {
            "no WAV file came".to_owned()
        } else {
            status.to_string()
        };
        return Err(format!("{what}; {complaint}"));
    }
    Ok(wav)
}
