//! The control socket: `antiphon bans` asks, the server answers.
//!
//! One line in, one line of JSON out, then the connection ends. Who may: the user that the server runs
//! as, and root; the socket's mode says so, and so do the credentials that the kernel gives.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::core::Core;
use crate::endpoint::Ban;

/// Bytes of a question.
const MAX_LINE: u64 = 256;
/// Bytes of an answer.
const MAX_ANSWER: u64 = 16 << 20;
/// Questions that wait for the core; more connections wait in the listener's backlog.
const WAITING: usize = 8;
/// How long a question, or reading its answer, may take.
const TIME: Duration = Duration::from_secs(5);
/// Pause after a failed accept (no descriptor left).
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The bans that hold.
    ListBans,
    /// End the bans of a source.
    LiftBan(IpAddr),
    /// End all bans.
    ClearBans,
}

impl Question {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["bans", "list"] => Some(Question::ListBans),
            ["bans", "lift", address] => Some(Question::LiftBan(address.parse().ok()?)),
            ["bans", "clear"] => Some(Question::ClearBans),
            _ => None,
        }
    }

    fn line(self) -> String {
        match self {
            Question::ListBans => "bans list\n".to_owned(),
            Question::LiftBan(address) => format!("bans lift {address}\n"),
            Question::ClearBans => "bans clear\n".to_owned(),
        }
    }
}

/// A question that the core is to answer.
#[derive(Debug)]
pub struct Asked {
    question: Question,
    answer: oneshot::Sender<Value>,
}

/// The listening socket; gone with this.
#[derive(Debug)]
pub(super) struct Control {
    path: PathBuf,
    task: AbortHandle,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Neither a path nor a runtime directory.
    #[error(
        "no control socket is configured; set server.control_socket, or name one with --socket"
    )]
    None,
    /// Nobody listens, or not to us.
    #[error(
        "{path}: {error}; is the server running, with this control socket, as this user?",
        path = .0.display(), error = .1
    )]
    Unreachable(PathBuf, io::Error),
    /// No answer, or one that makes no sense.
    #[error("{}: the server gave no answer", .0.display())]
    NoAnswer(PathBuf),
    /// The server's own words.
    #[error("{0}")]
    Refused(String),
}

/// Where the control socket is, by configuration or by the environment; none: nowhere.
pub fn socket_path(configured: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = configured {
        return (!path.as_os_str().is_empty()).then(|| path.to_owned());
    }
    let directory = |name| {
        let value = std::env::var_os(name).map(PathBuf::from);
        value.filter(|directory| directory.is_absolute())
    };
    // systemd's RuntimeDirectory= may name several, with colons between them.
    if let Some(own) = directory("RUNTIME_DIRECTORY") {
        let first = own.to_string_lossy().split(':').next().map(PathBuf::from);
        return first.map(|directory| directory.join("control.sock"));
    }
    directory("XDG_RUNTIME_DIR").map(|directory| directory.join("antiphon.sock"))
}

impl Control {
    /// Listens. A socket that a dead server has left is replaced; that of a live one is not.
    pub(super) fn listen(path: PathBuf) -> io::Result<(Self, mpsc::Receiver<Asked>)> {
        match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::other("something else than a socket is there"));
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(&path).is_ok() => {
                return Err(io::Error::other("another server listens there"));
            }
            Ok(_) => std::fs::remove_file(&path)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let (asked, questions) = mpsc::channel(WAITING);
        let task = tokio::spawn(accept(listener, asked)).abort_handle();
        Ok((Self { path, task }, questions))
    }
}

impl Control {
    /// Where it listens.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One after the other: who dawdles holds the others up for [`TIME`] at most, and the server never.
async fn accept(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_ours(&stream) => {
                if !matches!(timeout(TIME, serve(stream, &asked)).await, Ok(Ok(()))) {
                    debug!("a control connection was cut off");
                }
            }
            Ok(_) => warn!("a control connection of another user was refused"),
            Err(error) => {
                warn!(%error, "cannot accept control connections");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// Between `bind` and `chmod` anybody may have connected.
fn is_ours(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    let peer = stream.peer_cred().map(|peer| peer.uid());
    peer.is_ok_and(|uid| uid == own || uid == 0)
}

async fn serve(mut stream: UnixStream, asked: &mpsc::Sender<Asked>) -> io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut line = String::new();
    BufReader::new(reading.take(MAX_LINE))
        .read_line(&mut line)
        .await?;
    let answer = match Question::parse(&line) {
        None => json!({"error": "expected bans list, bans lift ADDRESS, or bans clear"}),
        Some(question) => {
            let (answer, answered) = oneshot::channel();
            let gone = |_| io::Error::other("the server is gone");
            let asked = asked.send(Asked { question, answer }).await;
            asked.map_err(|_| io::Error::other("the server is gone"))?;
            answered.await.map_err(gone)?
        }
    };
    writing.write_all(format!("{answer}\n").as_bytes()).await
}

/// Asks the server that listens on `path`.
pub async fn ask(path: PathBuf, question: Question) -> Result<Value, ControlError> {
    let talk = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(question.line().as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = match timeout(TIME * 2, talk).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(ControlError::Unreachable(path, error)),
        Err(_) => return Err(ControlError::NoAnswer(path)),
    };
    let answer: Value = serde_json::from_str(&answer).map_err(|_| ControlError::NoAnswer(path))?;
    match answer["error"].as_str() {
        Some(error) => Err(ControlError::Refused(error.to_owned())),
        None => Ok(answer),
    }
}

impl Core {
    /// Answers a question of the command line.
    pub(super) fn on_asked(&mut self, asked: Asked, now: Instant) {
        let answer = match asked.question {
            Question::ListBans => {
                let bans = self.switch.bans(now);
                json!({"bans": bans.iter().map(|b| shown(b, now)).collect::<Vec<_>>()})
            }
            Question::LiftBan(source) => {
                json!({"lifted": u32::from(self.switch.lift_ban(source, now))})
            }
            Question::ClearBans => {
                let sources = self.switch.bans(now).into_iter().map(|ban| ban.source);
                let lifted = sources.filter(|&source| self.switch.lift_ban(source, now));
                let lifted = lifted.count();
                json!({"lifted": lifted})
            }
        };
        self.carry_out(now);
        // Who asked may be gone.
        let _ = asked.answer.send(answer);
    }
}

fn shown(ban: &Ban, now: Instant) -> Value {
    json!({
        "address": ban.address(),
        "scope": ban.scope.to_string(),
        "reason": ban.reason.word(),
        "times": ban.times,
        "seconds_left": ban.until.saturating_duration_since(now).as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_read_as_they_are_written() {
        let address = "2001:db8::1".parse().unwrap();
        for question in [
            Question::ListBans,
            Question::LiftBan(address),
            Question::ClearBans,
        ] {
            assert_eq!(Question::parse(&question.line()), Some(question));
        }
        for line in [
            "",
            "bans",
            "bans lift",
            "bans lift x",
            "bans list all",
            "BANS LIST",
        ] {
            assert_eq!(Question::parse(line), None, "{line}");
        }
    }
}
