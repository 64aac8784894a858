//! The line that `antiphon call` writes over while a call runs, on a terminal of its own.

use crate::support::server;

use std::fs::File;
use std::io::Read;
use std::process::{Command, Output, Stdio};

/// Calls with a terminal as standard error; what was printed, and what the terminal got.
fn call_on_terminal(server: &server::Server, args: &[&str]) -> (Output, String) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut terminal = File::from(pty.master);
    let screen = std::thread::spawn(move || {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        // It ends with an error, when nobody has the other end open any more.
        while let Ok(n @ 1..) = terminal.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..n]);
        }
        String::from_utf8(bytes).unwrap()
    });
    let child = Command::new(env!("CARGO_BIN_EXE_antiphon"))
        .args(["call", &format!("sip:500@{}", server.udp())])
        .args(args)
        .env_remove("RUST_LOG")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(pty.slave))
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    (output, screen.join().unwrap())
}

#[test]
fn a_terminal_sees_how_the_call_goes() {
    let server = server::Config::new().start();
    let (output, screen) = call_on_terminal(&server, &["--seconds", "4"]);
    assert!(output.status.success(), "{output:?}");
    // Written over in one line that does not wrap, and gone at the end.
    assert!(!screen.contains('\n'), "{screen:?}");
    assert!(screen.ends_with("\r\x1b[K"), "{screen:?}");
    let lines: Vec<&str> = screen
        .split('\r')
        .filter_map(|l| l.strip_prefix("\x1b[?7l")?.strip_suffix("\x1b[K\x1b[?7h"))
        .collect();
    assert!(lines[0].starts_with("calling sip:500@"), "{lines:?}");
    assert_eq!(lines[1], "00:00  answered");
    let figures = &lines[2..];
    assert!((3..=5).contains(&figures.len()), "{figures:?}");
    for line in figures {
        for part in [
            "00:0",
            "  opus  MOS ",
            "  loss ",
            "  jitter ",
            "  rtt ",
            "  buffer ",
            "  rx ",
        ] {
            assert!(line.contains(part), "no {part:?}: {line}");
        }
    }
    let summary = String::from_utf8(output.stdout).unwrap();
    for word in [
        "received",
        "buffer",
        "sent",
        "quality",
        "level",
        "they hear",
    ] {
        assert!(summary.lines().any(|l| l.starts_with(word)), "{summary}");
    }
}

#[test]
fn quiet_and_verbose_have_no_such_line() {
    let server = server::Config::new().start();
    let (output, screen) = call_on_terminal(&server, &["--seconds", "2", "--quiet"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(screen, "");
    let (_, screen) = call_on_terminal(&server, &["--seconds", "1", "--verbose"]);
    assert!(!screen.contains("MOS"), "{screen:?}");
}
