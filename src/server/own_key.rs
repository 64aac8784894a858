//! The key for the command line of the server's own user: made at each start, in a file beside the
//! control socket that nobody else can read.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use tracing::warn;

use crate::api::Scope;
use crate::http::auth::Key;

/// Its name, in logs.
const NAME: &str = "command-line";

/// Where it is: the URL in the first line, the key in the second.
pub fn path(control_socket: &Path) -> PathBuf {
    control_socket.with_extension("key")
}

/// A key that was just made.
pub(super) struct OwnKey(String);

/// The file; gone with this.
#[derive(Debug)]
pub(super) struct KeyFile(PathBuf);

impl OwnKey {
    pub fn new() -> Self {
        let mut secret = [0; 32];
        StdRng::from_os_rng().fill_bytes(&mut secret);
        let mut text = String::new();
        for byte in secret {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    pub fn key(&self) -> Key {
        Key::new(NAME, Scope::Admin, &self.0)
    }

    /// Writes the file. The server does without it where it cannot be had.
    pub fn write(&self, file: PathBuf, scheme: &str, at: SocketAddr) -> Option<KeyFile> {
        // One that a dead server has left may have another mode, or be another's link.
        let _ = fs::remove_file(&file);
        let mut open = OpenOptions::new();
        let opened = open.write(true).create_new(true).mode(0o600).open(&file);
        let reached = reachable(at);
        let text = format!("{}://{reached}\n{}\n", scheme.to_ascii_lowercase(), self.0);
        match opened.and_then(|mut opened| opened.write_all(text.as_bytes())) {
            Ok(()) => Some(KeyFile(file)),
            Err(error) => {
                warn!(
                    file = %file.display(), %error,
                    "no key for the command line: `antiphon calls` and `antiphon rooms` need one of \
                     [[http.key]]"
                );
                None
            }
        }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Who listens everywhere listens here.
fn reachable(at: SocketAddr) -> SocketAddr {
    match at {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, v6.port()).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::http::auth::{Keys, Shown};

    #[test]
    fn the_file_is_for_one_user_and_goes_with_the_server() {
        let directory = tempfile::tempdir().unwrap();
        let file = path(&directory.path().join("control.sock"));
        fs::write(&file, "an old one").unwrap();
        let own = OwnKey::new();
        let written = own.write(file.clone(), "HTTP", "0.0.0.0:8080".parse().unwrap());
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "http://127.0.0.1:8080");
        assert_eq!(lines[1].len(), 64);
        let keys = Keys(vec![own.key()]);
        let shown = Shown::Key(NAME.into(), Scope::Admin);
        assert_eq!(keys.of_header(&format!("Bearer {}", lines[1])), shown);
        drop(written);
        assert!(!file.exists());
    }
}
