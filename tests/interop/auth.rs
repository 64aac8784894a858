//! Passwords on the wire: sipp, baresip and `antiphon call` against the server; what its log tells of
//! them (nothing); bans by the command line; and that no name leads out of the directories.

use crate::support::baresip;
use crate::support::server;
use crate::support::sip;
use crate::support::sipp;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use baresip::{Phone, Source};
use server::{Config, Server};
use sip::{Call, Message, Peer, sdp};
use sipp::Sipp;

const PASSWORD: &str = "plain-Sight-7";
const PIN: &str = "9183746205518273";
/// No request without a From.
const BROKEN: &[u8] =
    b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n";

/// Alice may call everything and register; others nothing.
fn guarded() -> Config {
    Config::new()
        .set("access", "trusted", "[]")
        .set("auth", "sources", "[\"0.0.0.0/0\", \"::/0\"]")
        .tables(&format!(
            "[[user]]\nname = \"alice\"\npassword = \"{PASSWORD}\"\n"
        ))
}

/// `antiphon` with these arguments.
fn antiphon(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_antiphon"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("ANTIPHON_PASSWORD")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn sipp_registers_and_calls_with_a_password() {
    // It knows MD5 alone where it is built without more.
    let server = guarded().set("auth", "algorithms", "[\"MD5\"]").start();
    for transport in ["udp", "tcp"] {
        let address = server.address(transport, false);
        let register = Sipp::scenario("register_auth").calls(3, 10);
        assert_eq!(register.run(transport, address).successful, 3);
        let call = Sipp::scenario("call_auth").user("500").calls(3, 10);
        assert_eq!(call.run(transport, address).successful, 3);
    }
    assert!(!server.log().contains("banned"));
}

#[test]
fn baresip_registers_and_calls_with_a_password() {
    // Version 1.0 gives up at a challenge that it does not know.
    let server = guarded().set("auth", "algorithms", "[\"MD5\"]").start();
    let source = Source::Tone(440.0, 0.3);
    let mut phone = Phone::new("alice", server.udp(), source)
        .register()
        .password(PASSWORD)
        .start();
    assert!(phone.registered());
    phone.dial("500");
    phone.hang_up();
    server.wait_log("reason=\"remote-hung-up\"");
    // With a wrong one it tries for ever, and so is banned.
    let _wrong = Phone::new("alice", server.udp(), source)
        .register()
        .password("wrong")
        .start();
    assert!(server.wait_log("banned").contains("failed-authentication"));
}

#[test]
fn antiphon_calls_with_a_password() {
    let server = guarded().start();
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("secret"), format!("{PASSWORD}\n")).unwrap();
    let uri = format!("sip:500@{}", server.udp());
    let call = ["call", &uri, "--seconds", "1", "--user", "alice"];
    let with_file = [&call[..], &["--password-file", "secret"]].concat();
    let output = antiphon(here.path(), &with_file, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let output = antiphon(here.path(), &call, &[("ANTIPHON_PASSWORD", PASSWORD)]);
    assert!(output.status.success(), "{}", text(&output));
    let output = antiphon(here.path(), &call, &[("ANTIPHON_PASSWORD", "wrong")]);
    assert!(!output.status.success());
    assert!(text(&output).contains("401"), "{}", text(&output));
    let output = antiphon(here.path(), &call, &[]);
    assert!(
        text(&output).contains("--password-file"),
        "{}",
        text(&output)
    );
    assert!(!text(&output).contains(PASSWORD));
}

/// Everything at its most talkative: passwords, hashes, digests and PINs are in no log.
#[test]
fn no_log_tells_a_secret() {
    let server = guarded()
        .set("server", "log", "\"trace\"")
        .tables(&format!("[[mailbox]]\nnumber = \"100\"\npin = \"{PIN}\"\n"))
        .start();
    let here = tempfile::tempdir().unwrap();
    let uri = format!("sip:*97@{}", server.udp());
    let keys = format!(",100#,,{PIN}#");
    let mut call = vec![
        "call",
        &uri,
        "--seconds",
        "12",
        "--user",
        "alice",
        "--verbose",
    ];
    call.extend(["--dtmf", &keys, "--dtmf-method", "info"]);
    let trace = [("ANTIPHON_PASSWORD", PASSWORD), ("RUST_LOG", "trace")];
    let output = antiphon(here.path(), &call, &trace);
    let mut peer = Peer::udp(server.udp());
    let (_, refused) = knock(&mut peer, "500", &format!("alice:{PASSWORD}"));
    assert_eq!(refused.status(), 401);
    server.terminate();
    assert!(server.wait_exit().success());
    let (theirs, ours) = (text(&output), server.log());
    assert!(ours.contains("answered"), "{ours}\n{theirs}");
    for algorithm in ["md5sum", "sha256sum"] {
        let script = format!("printf 'alice:antiphon:{PASSWORD}' | {algorithm}");
        let hash = Command::new("sh").args(["-c", &script]).output().unwrap();
        let hash = text(&hash).split(' ').next().unwrap().to_owned();
        assert!(hash.len() >= 32);
        assert!(!ours.contains(&hash) && !theirs.contains(&hash));
    }
    for secret in [PASSWORD, PIN, "cnonce", "response=\"", "Digest username"] {
        assert!(!ours.contains(secret), "{secret}:\n{ours}");
        assert!(!theirs.contains(secret), "{secret}:\n{theirs}");
    }
}

/// Asks for a call with a header that has a secret where none should be.
fn knock(peer: &mut Peer, user: &str, secret: &str) -> (sip::Dialog, Message) {
    let mut dialog = sip::Dialog::new(peer, user);
    let header = format!(
        "Authorization: Digest username=\"alice\", realm=\"antiphon\", nonce=\"x\", uri=\"x\", \
         response=\"{secret}\", cnonce=\"y\", qop=auth, nc=00000001\r\n"
    );
    let offer = sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "");
    let invite = dialog.request(peer, "INVITE", &header, &offer);
    peer.send(invite);
    let answer = peer.await_that(|m| m.status() >= 200);
    let ack = dialog.of_invite(peer, "ACK", answer.to_tag());
    peer.send(ack);
    (dialog, answer)
}

#[test]
fn bans_are_listed_and_lifted_by_the_command_line() {
    let server = Config::new()
        .set("access", "trusted", "[]")
        .set("access.ban", "malformed", 2)
        .set("server", "control_socket", "\"control.sock\"")
        .start();
    let here = server.directory();
    let bans = |arguments: &[&str]| {
        let all = [&["bans"], arguments, &["--socket", "control.sock"]].concat();
        antiphon(here, &all, &[])
    };
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(here.join("control.sock")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    assert_eq!(text(&bans(&["list"])), "");
    assert!(!bans(&["lift", "127.0.0.1"]).status.success());
    let mut open = Peer::tcp(server.tcp());
    assert_eq!(options(&mut open), 200);
    for _ in 0..2 {
        Peer::tcp(server.tcp()).send(BROKEN);
    }
    let line = server.wait_log("banned");
    let form = "WARN banned address=127.0.0.1 scope=all reason=\"malformed\" seconds=600 times=1";
    assert!(line.ends_with(form), "{line}");
    assert!(open.is_closed_by_server(), "open connections end");
    let listed = text(&bans(&["list"]));
    assert!(
        listed.starts_with("127.0.0.1 scope=all reason=malformed times=1 seconds_left="),
        "{listed}"
    );
    let json = text(&bans(&["list", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["address"], "127.0.0.1");
    assert!(bans(&["lift", "127.0.0.1"]).status.success());
    server.wait_log("ban lifted");
    assert_eq!(options(&mut Peer::udp(server.udp())), 200);
    assert_eq!(text(&bans(&["clear"])), "lifted: 0\n");
    // What is no question is told so, and what is too long, or never ends, hurts nobody.
    assert!(raw(&here.join("control.sock"), b"nonsense\n").contains("error"));
    assert!(raw(&here.join("control.sock"), &[b'x'; 10_000]).len() < 1000);
    let _idle = std::os::unix::net::UnixStream::connect(here.join("control.sock")).unwrap();
    assert_eq!(options(&mut Peer::udp(server.udp())), 200);
    server.terminate();
    assert!(server.wait_exit().success());
    assert!(!here.join("control.sock").exists());
}

fn raw(path: &Path, bytes: &[u8]) -> String {
    use std::io::Read as _;
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    // It may be closed before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn options(peer: &mut Peer) -> u16 {
    let mut dialog = sip::Dialog::new(peer, "500");
    let request = dialog.request(peer, "OPTIONS", "", "");
    peer.send(request);
    peer.await_that(|m| m.status() >= 200).status()
}

#[test]
fn access_lists_drop_without_an_answer() {
    let server = Config::new()
        .set("access.udp", "deny", "[\"127.0.0.0/8\"]")
        .set("access", "deny", "[\"::1\"]")
        .start();
    assert_eq!(options(&mut Peer::tcp(server.tcp())), 200);
    let mut udp = Peer::udp(server.udp());
    let mut dialog = sip::Dialog::new(&udp, "500");
    let request = dialog.request(&udp, "OPTIONS", "", "");
    udp.send(request);
    // The TCP connection's answer comes after it would have.
    assert_eq!(options(&mut Peer::tcp(server.tcp())), 200);
    udp.assert_quiet();
    assert!(Peer::tcp(server.address("tcp", true)).is_closed_by_server());
}

/// Names from the wire that would lead out of the recordings, mailboxes and announcements.
#[test]
fn no_name_leads_out_of_its_directory() {
    let server = Config::new()
        .route("user = \"rec-(.*)\"\napp = \"record\"\nname = \"$1\"\nmax_seconds = 1")
        .set("announcement", "directories", "[\"library\"]")
        .tables("[[mailbox]]\nnumber = \"100\"\npin = \"1234\"\n")
        .start();
    let here = server.directory().to_owned();
    std::fs::create_dir_all(here.join("library")).unwrap();
    std::fs::create_dir_all(here.join("recordings")).unwrap();
    std::fs::create_dir_all(here.join("outside")).unwrap();
    std::fs::write(here.join("outside/there.wav"), b"mine").unwrap();
    std::os::unix::fs::symlink(here.join("outside"), here.join("recordings/link")).unwrap();
    let there = here.join("outside/there.wav");
    std::os::unix::fs::symlink(&there, here.join("recordings/there.wav")).unwrap();
    let offer = sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "");
    let absolute = here
        .join("outside/x")
        .display()
        .to_string()
        .replace('/', "%2f");
    let names = [
        "..%2foutside%2fx".to_owned(),
        "../outside/x".to_owned(),
        "%2e%2e%2f%2e%2e%2fx".to_owned(),
        "link%2fx".to_owned(),
        "link/x".to_owned(),
        "there".to_owned(),
        "x%00.wav".to_owned(),
        absolute,
    ];
    for name in &names {
        let mut peer = Peer::udp(server.udp());
        let mut dialog = sip::Dialog::new(&peer, &format!("rec-{name}"));
        let invite = dialog.request(&peer, "INVITE", "", &offer);
        peer.send(invite);
        let answer = peer.await_that(|m| m.status() >= 200);
        let ack = dialog.of_invite(&peer, "ACK", answer.to_tag());
        peer.send(ack);
        assert!(matches!(answer.status(), 200 | 400 | 404), "{name}");
    }
    server.terminate();
    assert!(server.wait_exit().success());
    let outside = server.files_below("outside");
    assert_eq!(outside, std::slice::from_ref(&there));
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
    let entries = std::fs::read_dir(&here).unwrap().flatten();
    let mut top: Vec<_> = entries
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    top.retain(|name| name != "voicemail");
    top.sort();
    assert_eq!(top, ["antiphon.toml", "library", "outside", "recordings"]);
}

#[test]
fn a_call_goes_on_while_users_change() {
    let config = guarded()
        .set("auth", "sources", "[]")
        .set("auth", "register", true);
    let server: Server = config.clone().start();
    let offer = sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "");
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer);
    server.rewrite(&guarded());
    server.hang_up();
    server.wait_log("users, access lists and certificates read again");
    let (_, refused) = knock(&mut Peer::udp(server.udp()), "500", "0");
    assert_eq!(refused.status(), 401, "who comes now has to be a user");
    call.hang_up();
}

/// Access lists, trusted peers and scanners, read again while connections are open.
#[test]
fn access_changes_with_sighup() {
    let server = Config::new().start();
    let mut open = Peer::tcp(server.tcp());
    assert_eq!(options(&mut open), 200);
    let changed = Config::new()
        .set("access", "trusted", "[]")
        .set("access", "drop_user_agents", "[\"probe\"]")
        .set("access.tcp", "deny", "[\"127.0.0.0/8\"]");
    server.rewrite(&changed);
    server.hang_up();
    server.wait_log("users, access lists and certificates read again");
    assert!(open.is_closed_by_server(), "denied since");
    let mut udp = Peer::udp(server.udp());
    assert_eq!(options(&mut udp), 200);
    let mut dialog = sip::Dialog::new(&udp, "500");
    let request = dialog.request(&udp, "OPTIONS", "User-Agent: Probe 1\r\n", "");
    udp.send(request);
    let line = server.wait_log("banned");
    assert!(line.contains("scope=udp reason=\"scanner\""), "{line}");
    udp.assert_quiet();
}

/// The rules of bans, read again: a running ban stays, as far as the new rules allow it.
#[test]
fn bans_change_with_sighup() {
    let rules = |malformed: u32| {
        Config::new()
            .set("access", "trusted", "[]")
            .set("access.ban", "malformed", malformed)
            .set("server", "control_socket", "\"control.sock\"")
    };
    let server = rules(0).start();
    let reload = |config: &Config, times| {
        server.rewrite(config);
        server.hang_up();
        server.wait_log_count("access lists and certificates read again", times);
    };
    let broken = |count| {
        for _ in 0..count {
            // Closed at once where its source is banned.
            let _ = Peer::tcp(server.tcp()).stream().write_all(BROKEN);
        }
    };
    broken(5);
    assert_eq!(options(&mut Peer::tcp(server.tcp())), 200, "not counted");
    reload(&rules(2), 1);
    let mut open = Peer::tcp(server.tcp());
    assert_eq!(options(&mut open), 200);
    broken(2);
    let line = server.wait_log("banned");
    assert!(line.contains("scope=all reason=\"malformed\" seconds=600"));
    assert!(open.is_closed_by_server());
    reload(&rules(5).set("access.ban", "seconds", 300), 2);
    assert!(Peer::tcp(server.tcp()).is_closed_by_server(), "it stays");
    let arguments = ["bans", "list", "--json", "--socket", "control.sock"];
    let listed = antiphon(server.directory(), &arguments, &[]);
    let listed: serde_json::Value = serde_json::from_str(&text(&listed)).unwrap();
    let left = listed[0]["seconds_left"].as_u64().unwrap();
    assert!((1..=300).contains(&left), "and is shorter: {listed}");
    reload(&rules(5).set("access.ban", "enabled", false), 3);
    server.wait_log("ban lifted");
    assert_eq!(options(&mut Peer::tcp(server.tcp())), 200);
    broken(5);
    assert_eq!(
        options(&mut Peer::tcp(server.tcp())),
        200,
        "nobody is banned"
    );
}

/// Passwords are hashed with it, and who was asked with it answers with it.
#[test]
fn a_realm_changes_with_a_restart_alone() {
    let server = guarded().start();
    server.rewrite(&guarded().set("auth", "realm", "\"elsewhere\""));
    server.hang_up();
    server.wait_log("change with a restart alone");
    server.wait_log("users, access lists and certificates read again");
    let (_, refused) = knock(&mut Peer::udp(server.udp()), "500", "0");
    let asked = refused.header("WWW-Authenticate");
    assert!(asked.contains("realm=\"antiphon\""), "{asked}");
    let here = tempfile::tempdir().unwrap();
    let uri = format!("sip:500@{}", server.udp());
    let call = ["call", &uri, "--seconds", "1", "--user", "alice"];
    let output = antiphon(here.path(), &call, &[("ANTIPHON_PASSWORD", PASSWORD)]);
    assert!(output.status.success(), "{}", text(&output));
}
