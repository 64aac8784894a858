//! The key for the command line of the server's own user: made at each start, in a file beside the
//! control socket that nobody else can read.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
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

/// Where it is: the URL in the first line, the key in the second, with HTTPS the SHA-256 of the
/// certificate in the third.
pub fn path(control_socket: &Path) -> PathBuf {
    control_socket.with_extension("key")
}

/// A key that was just made.
pub(super) struct OwnKey(String);

/// The file; gone with this.
pub(super) struct KeyFile {
    path: PathBuf,
    /// The URL and the key.
    lines: String,
    certificate: Option<String>,
}

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

    /// Writes the file; `certificate`: the fingerprint of what is shown there. The server does
    /// without it where it cannot be had.
    pub fn write(
        &self,
        path: PathBuf,
        scheme: &str,
        at: SocketAddr,
        certificate: Option<String>,
    ) -> Option<KeyFile> {
        let reached = reachable(at);
        let file = KeyFile {
            path,
            lines: format!("{}://{reached}\n{}\n", scheme.to_ascii_lowercase(), self.0),
            certificate,
        };
        match file.write() {
            Ok(()) => Some(file),
            Err(error) => {
                warn!(
                    file = %file.path.display(), %error,
                    "no key for the command line: `antiphon calls` and `antiphon rooms` need one of \
                     [[http.key]]"
                );
                None
            }
        }
    }
}

impl KeyFile {
    /// Another certificate is shown from now on.
    pub fn set_certificate(&mut self, certificate: Option<String>) {
        if self.certificate == certificate {
            return;
        }
        let before = std::mem::replace(&mut self.certificate, certificate);
        if let Err(error) = self.write() {
            // The next SIGHUP tries again.
            self.certificate = before;
            warn!(
                file = %self.path.display(), %error,
                "the key file of the command line still has the certificate from before"
            );
        }
    }

    /// In one step: who reads it meanwhile finds a whole one. One that a dead server has left may
    /// have another mode, or be another's link.
    fn write(&self) -> io::Result<()> {
        let new = self.path.with_extension("key.new");
        let _ = fs::remove_file(&new);
        let mut open = OpenOptions::new();
        let mut file = open.write(true).create_new(true).mode(0o600).open(&new)?;
        let mut text = self.lines.clone();
        if let Some(certificate) = &self.certificate {
            let _ = writeln!(text, "{certificate}");
        }
        let written = file.write_all(text.as_bytes());
        let written = written.and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
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
        let written = own.write(file.clone(), "HTTP", "0.0.0.0:8080".parse().unwrap(), None);
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

    #[test]
    fn the_file_follows_the_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let file = path(&directory.path().join("control.sock"));
        let at = "127.0.0.1:8080".parse().unwrap();
        let first = Some("aa".to_owned());
        let written = OwnKey::new().write(file.clone(), "HTTPS", at, first);
        let mut written = written.unwrap();
        let before = fs::read_to_string(&file).unwrap();
        assert!(before.starts_with("https://127.0.0.1:8080\n"), "{before}");
        assert!(before.ends_with("\naa\n"), "{before}");
        written.set_certificate(Some("bb".to_owned()));
        let after = fs::read_to_string(&file).unwrap();
        assert_eq!(after, before.replace("\naa\n", "\nbb\n"));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
