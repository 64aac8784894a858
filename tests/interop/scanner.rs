//! SIPVicious against the server: it learns nothing, and is banned within a second.

use crate::support::server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use server::{Config, Server};

/// Where Debian's package has its modules.
const PACKAGE: &str = "/usr/share/sipvicious";
/// What svwar does when a user gets the answer that nobody got.
const GIVES_UP: &str =
    "self.log.debug(\"Bad user: %s\" % self.BADUSER.__repr__())\n            self.nomore = True";
/// How long a run may take in all: the tools wait for answers that do not come.
const LIMIT: Duration = Duration::from_mins(1);
/// How long a scanner may be heard.
const HEARD: Duration = Duration::from_secs(1);

/// Two users; everybody has to be one. By MD5 alone: the tools know nothing better. Nothing is known of scanners by name if `unnamed`.
fn server(unnamed: bool) -> Server {
    let config = Config::new()
        .set("access", "trusted", "[]")
        .set("auth", "sources", "[\"0.0.0.0/0\", \"::/0\"]")
        .set("auth", "algorithms", "[\"MD5\"]")
        .route("user = \"1000\"\napp = \"echo\"")
        .tables(
            "[[user]]\nname = \"1000\"\npassword = \"1500\"\n\
             [[user]]\nname = \"1001\"\npassword = \"a long one\"\n",
        );
    if unnamed {
        config.set("access", "drop_user_agents", "[]").start()
    } else {
        config.start()
    }
}

/// The tools as they are, or with another User-Agent and name.
struct Tools {
    modules: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Tools {
    fn plain() -> Self {
        assert!(Path::new(PACKAGE).is_dir(), "the package sipvicious");
        Self {
            modules: PACKAGE.into(),
            _directory: None,
        }
    }

    /// And svwar goes on where it sees that all answers are the same.
    fn disguised() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let package = Path::new(PACKAGE).join("sipvicious");
        for part in ["", "libs"] {
            let to = directory.path().join("sipvicious").join(part);
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(package.join(part)).unwrap().flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|e| e == "py") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let text = text
                        .replace("'friendly-scanner'", "'Phone 1.0'")
                        .replace("'sipvicious'", "'phone'")
                        .replace("\"sipvicious\"", "\"phone\"")
                        .replace(GIVES_UP, "pass");
                    std::fs::write(to.join(entry.file_name()), text).unwrap();
                }
            }
        }
        Self {
            modules: directory.path().to_owned(),
            _directory: Some(directory),
        }
    }

    /// Runs a tool to its end; what it said, and when it had got so far as to send.
    fn run(&self, tool: &str, server: SocketAddr, arguments: &[&str]) -> (String, Instant) {
        let directory = tempfile::tempdir().unwrap();
        let started = directory.path().join("started");
        // The mark is set when all is loaded, which may take longer than the scan.
        let program = format!(
            "import sys; from sipvicious.{tool} import main; sys.argv[0] = '{tool}'; \
             open('started', 'w').close(); main()"
        );
        let port = server.port().to_string();
        let output = std::fs::File::create(directory.path().join("output")).unwrap();
        let mut child = Command::new("python3")
            .args([
                "-c",
                &program,
                "-p",
                &port,
                "-b",
                "127.0.0.1",
                "-x",
                "127.0.0.1",
            ])
            .args(arguments)
            .env("PYTHONPATH", &self.modules)
            .env("HOME", directory.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("python3");
        let begun = Instant::now();
        let mut sent = None;
        while child.try_wait().unwrap().is_none() {
            if sent.is_none() && started.exists() {
                sent = Some(Instant::now());
            }
            if begun.elapsed() > LIMIT {
                let _ = child.kill();
            }
            // Waiting for a child with a bound has no call in std.
            std::thread::sleep(Duration::from_millis(5));
        }
        let text = std::fs::read(directory.path().join("output")).unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        println!("{tool}: {text}");
        (text, sent.expect("it started"))
    }

    /// The same beside a watch on the server's log: how long it was heard.
    fn run_until_banned(
        &self,
        server: &Server,
        tool: &str,
        arguments: &[&str],
        scope: &str,
    ) -> String {
        std::thread::scope(|threads| {
            let watch = threads.spawn(|| {
                let line = server.wait_log(" banned ");
                (line, Instant::now())
            });
            let (text, sent) = self.run(tool, server.udp(), arguments);
            let (line, at) = watch.join().unwrap();
            assert!(line.contains(&format!("scope={scope}")), "{line}");
            let heard = at.saturating_duration_since(sent);
            println!("{tool}: heard for {heard:?}; {line}");
            assert!(heard < HEARD, "{heard:?}");
            text
        })
    }
}

/// Whether svcrack has found it. Not within another number: it prints times to the nanosecond.
fn tells_password(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '.')
        .any(|word| word.trim_matches('.') == "1500")
}

#[test]
fn a_found_password_would_be_seen() {
    assert!(tells_password("| 1000      | 1500     |") && tells_password("It is 1500."));
    assert!(!tells_password("It has been 3.001500368118286 seconds"));
}

/// What svwar said of each extension: they all have to look alike.
fn alike(text: &str) {
    let of = |extension: &str| {
        // The table at the end; before it are the responses as they came.
        let mut lines = text.lines().filter(|line| line.starts_with('|'));
        let line = lines.find(|line| line.contains(extension));
        line.map(|line| line.replace(extension, ""))
    };
    // 1000 has a route, 1001 is a user, and the others are nobody.
    let all = ["1000", "1001", "1002", "1003"].map(of);
    assert!(all.iter().all(|line| *line == all[0]), "{all:?}\n{text}");
}

const SVWAR: &[&str] = &[
    "127.0.0.1",
    "--force",
    "-e",
    "1000-1200",
    "--maximumtime",
    "3",
];
const SVCRACK: &[&str] = &[
    "127.0.0.1",
    "-u",
    "1000",
    "-r",
    "1000-2000",
    "--maximumtime",
    "3",
];

#[test]
fn by_its_name_it_gets_no_answer() {
    let tools = Tools::plain();
    for (tool, arguments) in [
        ("svmap", &["127.0.0.1"][..]),
        ("svwar", SVWAR),
        ("svcrack", SVCRACK),
    ] {
        let server = server(false);
        let text = tools.run_until_banned(&server, tool, arguments, "udp");
        assert!(
            !tells_password(&text) && !text.contains("antiphon"),
            "{text}"
        );
        alike(&text);
    }
}

#[test]
fn in_disguise_svmap_sees_a_401_and_not_whose() {
    let server = server(true);
    let (text, _) = Tools::disguised().run("svmap", server.udp(), &["127.0.0.1"]);
    assert!(!text.to_lowercase().contains("antiphon"), "{text}");
}

#[test]
fn in_disguise_svwar_cannot_tell_who_there_is() {
    for method in ["REGISTER", "OPTIONS", "INVITE"] {
        let server = server(true);
        let arguments = [SVWAR, &["-m", method]].concat();
        let text = Tools::disguised().run_until_banned(&server, "svwar", &arguments, "udp");
        alike(&text);
    }
}

#[test]
fn in_disguise_svcrack_is_banned_before_it_finds_a_password() {
    let server = server(true);
    let text = Tools::disguised().run_until_banned(&server, "svcrack", SVCRACK, "all");
    assert!(!tells_password(&text), "{text}");
}
