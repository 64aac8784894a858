//! `antiphon check` and the refusals of `antiphon serve`, read as a person would.

use crate::support::caller;

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use caller::{Ended, antiphon};

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn check(path: &Path) -> Ended {
    antiphon(&["check", path.to_str().unwrap()]).wait()
}

fn serve(path: &Path) -> Ended {
    antiphon(&["serve", "--config", path.to_str().unwrap()]).wait()
}

const GOOD: &str = r#"
[sip]
udp = ["127.0.0.1:17160"]
t1_ms = 250
[[route]]
user = "7(..)"
app = "record"
name = "memo-$1"
"#;

#[test]
fn a_good_file_is_printed_whole_and_means_the_same_again() {
    let files = tempfile::tempdir().unwrap();
    let first = check(&file(files.path(), "good.toml", GOOD));
    assert_eq!(
        (first.status, first.err.as_str()),
        (Some(0), ""),
        "{first:?}"
    );
    for line in [
        "udp = [\"127.0.0.1:17160\"]",
        "t1_ms = 250",
        "ptime_ms = 20",
        "rtp_ports = \"10000-19999\"",
        "user = \"7(..)\"",
        "name = \"memo-$1\"",
        "max_seconds = 7200",
    ] {
        assert!(
            first.out.lines().any(|l| l == line),
            "no {line}:\n{}",
            first.out
        );
    }
    let again = check(&file(files.path(), "again.toml", &first.out));
    assert_eq!(again.out, first.out);
}

#[test]
fn a_bad_file_is_refused_with_every_line_that_is_wrong() {
    let files = tempfile::tempdir().unwrap();
    let bad = file(
        files.path(),
        "bad.toml",
        "[sip]\nudp = [\"127.0.0.1:99999\"]\nudpp = []\n[media]\nrtp_portz = \"1-2\"\n\
         codecs = [\"speex\"]\n[[route]]\nuser = \"8\"\napp = \"pley\"\n\
         [[route]]\nuser = \"9\"\napp = \"echo\"\nrepeat = 3\n",
    );
    for ended in [check(&bad), serve(&bad)] {
        assert_eq!(
            (ended.status, ended.out.as_str()),
            (Some(1), ""),
            "{ended:?}"
        );
        let name = bad.display();
        let says: Vec<&str> = ended
            .err
            .strip_prefix("antiphon: ")
            .unwrap()
            .lines()
            .collect();
        let expected = [
            format!(
                "{name}:2: sip.udp: found \"127.0.0.1:99999\", expected an address with a port, such as \"0.0.0.0:5060\" or \"[::]:5060\""
            ),
            format!("{name}:3: sip.udpp: unknown key, the nearest known key is sip.udp"),
            format!(
                "{name}:5: media.rtp_portz: unknown key, the nearest known key is media.rtp_ports"
            ),
            format!(
                "{name}:6: media.codecs: found \"speex\", expected \"pcmu\", \"pcma\", \"g722\", \"opus\", \"l16/8000\", \"l16/16000\" or \"l16/48000\""
            ),
            format!(
                "{name}:9: route[1].app: found \"pley\", expected one of \"echo\", \"play\", \"record\", \"conference\", \"digits\", \"announcement\", \"menu\", \"voicemail\", \"stasis\""
            ),
            format!(
                "{name}:13: route[2].repeat: does not belong to app \"echo\", which takes no settings"
            ),
        ];
        assert_eq!(says, expected);
    }
}

#[test]
fn a_file_that_is_not_there_or_no_toml_is_named() {
    let files = tempfile::tempdir().unwrap();
    let missing = files.path().join("missing.toml");
    let syntax = file(files.path(), "syntax.toml", "[server]\n[sip\n");
    for (path, says) in [
        (&missing, "missing.toml: No such file"),
        (&syntax, "syntax.toml:2: "),
    ] {
        for ended in [check(path), serve(path)] {
            assert_eq!(ended.status, Some(1), "{ended:?}");
            assert_eq!(ended.err.matches(says).count(), 1, "{ended:?}");
        }
    }
}

#[test]
fn a_broken_wav_is_refused_at_the_start_with_its_reason() {
    let files = tempfile::tempdir().unwrap();
    let wav = file(
        files.path(),
        "bad.wav",
        "junk that is no WAV file at all, whatever its name says",
    );
    let cut = file(
        files.path(),
        "cut.wav",
        "RIFF\u{24}\0\0\0WAVEfmt \u{10}\0\0\0",
    );
    let unknown = "no-such-prompt";
    for (prompt, says) in [
        (
            wav.display().to_string(),
            "bad.wav: not a WAV file: it starts with junk",
        ),
        (cut.display().to_string(), "cut.wav: "),
        (
            unknown.to_owned(),
            "\"no-such-prompt\" is neither a prompt nor a readable WAV file; prompts are: beep, conf-all-muted",
        ),
    ] {
        let route = format!("[[route]]\nuser = \"8\"\napp = \"play\"\nprompts = [{prompt:?}]\n");
        let path = file(files.path(), "config.toml", &route);
        for ended in [check(&path), serve(&path)] {
            assert_eq!(ended.status, Some(1), "{ended:?}");
            let named = if prompt == unknown { "" } else { &prompt };
            let place = format!("{}:4: route[1].prompts: {named}", path.display());
            assert!(ended.err.contains(&place), "{ended:?}");
            assert_eq!(ended.err.matches(says).count(), 1, "{ended:?}");
        }
    }
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let files = tempfile::tempdir().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    for (transport, address) in [
        ("UDP", udp.local_addr().unwrap()),
        ("TCP", tcp.local_addr().unwrap()),
    ] {
        let own = format!("{} = [\"{address}\"]", transport.to_lowercase());
        let other = if transport == "UDP" {
            "tcp = []"
        } else {
            "udp = []"
        };
        let path = file(
            files.path(),
            "config.toml",
            &format!("[sip]\n{own}\n{other}\n"),
        );
        let ended = serve(&path);
        assert_eq!(
            (ended.status, ended.out.as_str()),
            (Some(1), ""),
            "{ended:?}"
        );
        let says =
            format!("antiphon: cannot listen on {transport} {address}: Address already in use");
        assert!(ended.err.starts_with(&says), "{ended:?}");
        assert!(ended.err.contains("or configure another port"), "{ended:?}");
    }
}
