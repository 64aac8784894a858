//! `antiphon call` against `antiphon serve`: what it prints, what it records, how it ends.

use crate::support::caller;
use crate::support::pacing;
use crate::support::server;
use crate::support::tone;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use caller::{Ended, PATIENCE, antiphon, call};

const HZ: f64 = 450.0;
const AMPLITUDE: f64 = 0.25;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The summary for people, as pairs of a word and what is said of it.
fn line<'a>(ended: &'a Ended, word: &str) -> &'a str {
    let found = ended.out.lines().find_map(|l| l.strip_prefix(word));
    found
        .unwrap_or_else(|| panic!("no {word}: {ended:?}"))
        .trim()
}

#[test]
fn plays_records_and_hangs_up_at_the_end_of_the_file() {
    pacing::in_time(|watch| {
        let server = server::Config::new().start();
        let files = tempfile::tempdir().unwrap();
        let (talk, heard) = (
            files.path().join("talk.wav"),
            files.path().join("heard.wav"),
        );
        tone::write(&talk, &tone::sine_16(HZ, AMPLITUDE, 3.0));
        let mut args = vec!["--codec", "pcmu"];
        args.extend(["--play", text(&talk), "--record", text(&heard)]);
        let calling = call("500", server.udp(), &args);
        watch.add(calling.pid());
        let ended = calling.wait();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(line(&ended, "answered").starts_with("after "), "{ended:?}");
        assert_eq!(line(&ended, "ended"), "we hung up");
        assert_eq!(line(&ended, "codec"), "PCMU");
        assert!(
            line(&ended, "received").contains(" packets, 0 lost (0.0 %), jitter "),
            "{ended:?}"
        );
        let sent: usize = line(&ended, "sent")
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let samples = tone::read(&heard);
        let run = tone::longest_run(&samples, HZ, tone::db(AMPLITUDE), 3.0);
        let inner = run.start + tone::FRAME..run.end - tone::FRAME;
        tone::check_steady(&samples[inner], HZ, tone::db(AMPLITUDE), "the echo")?;
        // The echo of the last packets comes when it has hung up.
        if tone::seconds(run.len()) < 2.7 || !(145..=160).contains(&sent) {
            return Err(format!("{run:?} of the echo, {sent} packets sent"));
        }
        Ok(())
    });
}

#[test]
fn tells_programs_the_same_in_json() {
    let server = server::Config::new().start();
    let files = tempfile::tempdir().unwrap();
    let talk = files.path().join("talk.wav");
    tone::write(&talk, &tone::sine_16(HZ, AMPLITUDE, 9.0));
    let args = [
        "--play",
        text(&talk),
        "--seconds",
        "1",
        "--codec",
        "pcma",
        "--json",
    ];
    let ended = call("500", server.udp(), &args).wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let json = ended.json();
    assert_eq!(json["uri"], format!("sip:500@{}", server.udp()));
    assert_eq!(json["codec"], "PCMA");
    assert_eq!(json["ended"], "hung-up");
    assert_eq!(
        (&json["success"], &json["answered"]),
        (&true.into(), &true.into())
    );
    assert!(json["set_up_ms"].as_f64().unwrap() > 0.0, "{json}");
    let talked = json["talked_ms"].as_f64().unwrap();
    assert!((1000.0..1500.0).contains(&talked), "{json}");
    assert!(json["sent"]["packets"].as_u64().unwrap() >= 40, "{json}");
    assert!(
        json["received"]["packets"].as_u64().unwrap() >= 40,
        "{json}"
    );
    assert!(server.wait_log(" ended ").contains("codec=\"PCMA\""));
}

#[test]
fn the_other_side_may_end_a_call_without_a_length() {
    let server = server::Config::new().start();
    let ended = call("510", server.udp(), &[]).wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(line(&ended, "ended"), "the other side hung up");
    assert!(server.wait_log(" ended ").contains("reason=\"hung-up\""));
    let early = call("510", server.udp(), &["--seconds", "60"]).wait();
    assert_eq!(early.status, Some(1), "ended before its time: {early:?}");
    assert_eq!(line(&early, "ended"), "the other side hung up");
}

#[test]
fn over_tcp_and_ipv6() {
    let server = server::Config::new().start();
    for (uri, transport) in [
        (format!("sip:500@{};transport=tcp", server.tcp()), "TCP"),
        (format!("sip:500@{}", server.address("udp", true)), "UDP"),
        (
            format!("sip:500@{};transport=tcp", server.address("tcp", true)),
            "TCP",
        ),
    ] {
        let ended = antiphon(&["call", &uri, "--seconds", "1", "--json"]).wait();
        assert_eq!(ended.status, Some(0), "{uri}: {ended:?}");
        assert!(
            ended.json()["received"]["packets"].as_u64().unwrap() >= 40,
            "{ended:?}"
        );
        let calls = server.log();
        let last = calls.lines().rfind(|l| l.contains(" call ")).unwrap();
        assert!(
            last.contains(&format!("transport={transport}")),
            "{uri}: {last}"
        );
    }
}

#[test]
fn an_unknown_user_is_a_failure_with_its_status() {
    let server = server::Config::new().start();
    let ended = call("nobody", server.udp(), &[]).wait();
    assert_eq!(
        (ended.status, ended.out.as_str()),
        (Some(1), "no answer   404 Not Found\n")
    );
    let json = call("nobody", server.udp(), &["--json"]).wait().json();
    assert_eq!(
        (&json["status"], &json["phrase"]),
        (&404.into(), &"Not Found".into())
    );
    assert_eq!(
        (&json["success"], &json["answered"]),
        (&false.into(), &false.into())
    );
}

#[test]
fn nobody_listening_is_a_failure() {
    let nowhere = server::free_address([127, 0, 0, 1].into());
    let uri = format!("sip:500@{nowhere};transport=tcp");
    let ended = antiphon(&["call", &uri, "--seconds", "1"]).wait();
    assert_eq!(
        (ended.status, ended.out.as_str()),
        (
            Some(1),
            "no answer   nothing listens there, or it hung up on us\n"
        )
    );
    // Over UDP only time tells: 64*T1.
    let ended = call("500", nowhere, &["--seconds", "1"]).wait();
    assert_eq!(
        (ended.status, ended.out.as_str()),
        (Some(1), "no answer   nobody answered in time\n")
    );
}

/// As a dispatcher with nothing behind it.
#[test]
fn a_connection_that_ends_without_an_answer_is_a_failure_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("sip:500@{};transport=tcp", listener.local_addr().unwrap());
    let mut calling = antiphon(&["call", &uri, "--seconds", "1"]);
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 100]).unwrap() > 0);
    drop(stream);
    // Long before the INVITE's own time is over, 32 s.
    assert!(calling.ends_within(Duration::from_secs(15)));
    let ended = calling.wait();
    assert_eq!(
        (ended.status, ended.out.as_str()),
        (
            Some(1),
            "no answer   nothing listens there, or it hung up on us\n"
        )
    );
}

#[test]
fn what_cannot_be_done_is_said_before_the_call() {
    let server = server::Config::new().start();
    let files = tempfile::tempdir().unwrap();
    let (broken, missing) = (
        files.path().join("broken.wav"),
        files.path().join("missing.wav"),
    );
    std::fs::write(&broken, "junk").unwrap();
    let uri = format!("sip:500@{}", server.udp());
    let nowhere = "sip:500@no-such-host.invalid".to_owned();
    let refused = [
        (
            &uri,
            vec!["--play", text(&broken)],
            "broken.wav: not a WAV file",
        ),
        (
            &uri,
            vec!["--play", text(&missing)],
            "missing.wav: No such file",
        ),
        (
            &uri,
            vec!["--record", text(&broken)],
            "broken.wav exists; choose another name",
        ),
        (&nowhere, vec![], "cannot resolve no-such-host.invalid: "),
        (
            &"nonsense".to_owned(),
            vec![],
            "it looks like sip:600@192.0.2.1:5060",
        ),
        (
            &"sip:500@127.0.0.1;transport=sctp".to_owned(),
            vec![],
            "\"sctp\" is not supported; udp, tcp and tls are",
        ),
    ];
    for (uri, args, says) in refused {
        let ended = antiphon(&[&["call", uri][..], &args].concat()).wait();
        assert_eq!(
            (ended.status, ended.out.as_str()),
            (Some(1), ""),
            "{ended:?}"
        );
        assert!(ended.err.contains(says), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
        // Said once: the message of an error often quotes its cause.
        assert_eq!(ended.err.matches(says).count(), 1, "{ended:?}");
        assert!(ended.err.starts_with("antiphon: "), "{ended:?}");
    }
    assert_eq!(
        std::fs::read(&broken).unwrap(),
        b"junk",
        "the recorded file is untouched"
    );
    assert!(!server.log().contains(" call "), "none of them dialled");
    let ended = antiphon(&["call", &uri, "--seconds", "0"]).wait();
    assert_eq!(ended.status, Some(2), "{ended:?}");
}

#[test]
fn an_interrupt_hangs_up_and_the_recording_is_whole() {
    let server = server::Config::new().start();
    let files = tempfile::tempdir().unwrap();
    let (talk, heard) = (
        files.path().join("talk.wav"),
        files.path().join("heard.wav"),
    );
    tone::write(&talk, &tone::sine_16(HZ, AMPLITUDE, 30.0));
    for (signal, heard) in [
        ("INT", heard.clone()),
        ("TERM", heard.with_extension("2.wav")),
    ] {
        let args = ["--play", text(&talk), "--record", text(&heard)];
        let calling = call("500", server.udp(), &args);
        let calls = if signal == "INT" { 1 } else { 2 };
        server.wait_log_count(" answered ", calls);
        // So much is to be recorded.
        std::thread::sleep(std::time::Duration::from_secs(1));
        calling.signal(signal);
        let ended = calling.wait();
        // The file was not played to its end: not as planned.
        assert_eq!(ended.status, Some(1), "{signal}: {ended:?}");
        assert_eq!(line(&ended, "ended"), "we hung up");
        let end = server.wait_log_count(" ended ", calls).pop().unwrap();
        assert!(end.contains("reason=\"remote-hung-up\""), "{end}");
        let samples = tone::read(&heard);
        assert!(samples.len() > tone::RATE * 8 / 10, "{}", samples.len());
        let last = &samples[samples.len() - tone::RATE / 2..];
        assert!((tone::level(last, HZ) - tone::db(AMPLITUDE)).abs() < 1.0);
    }
}

/// RFC 3261 §18.1.1: a long INVITE comes over TCP, and over UDP where nobody takes that.
#[test]
fn a_long_invite_goes_over_tcp_if_the_peer_takes_it() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let here = udp.local_addr().unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let user = "u".repeat(1000);
    let mut buffer = vec![0; 65_536];
    let calling = call(&user, here, &["--seconds", "1"]);
    let (length, from) = udp.recv_from(&mut buffer).unwrap();
    let invite = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(invite.starts_with("INVITE ") && invite.contains("Via: SIP/2.0/UDP "));
    assert!(length > 1300);
    udp.send_to(busy(&invite).as_bytes(), from).unwrap();
    let ended = calling.wait();
    assert!(
        ended.err.contains("486") || ended.out.contains("486"),
        "{ended:?}"
    );
    // Somebody on TCP too: nothing more comes over UDP.
    let listener = TcpListener::bind(here).unwrap();
    udp.set_nonblocking(true).unwrap();
    while udp.recv(&mut buffer).is_ok() {}
    let calling = call(&user, here, &["--seconds", "1"]);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut invite = String::new();
    while !invite.contains("\r\n\r\n") {
        let length = stream.read(&mut buffer).unwrap();
        invite.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(invite.starts_with("INVITE ") && invite.contains("Via: SIP/2.0/TCP "));
    stream.write_all(busy(&invite).as_bytes()).unwrap();
    let ended = calling.wait();
    assert!(
        ended.err.contains("486") || ended.out.contains("486"),
        "{ended:?}"
    );
    assert!(udp.recv(&mut buffer).is_err());
}

/// The 486 to an INVITE.
fn busy(invite: &str) -> String {
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let lines = invite
        .lines()
        .filter(|line| kept.iter().any(|name| line.starts_with(name)))
        .map(|line| match line.strip_prefix("To:") {
            Some(to) => format!("To:{to};tag=busy\r\n"),
            None => format!("{line}\r\n"),
        });
    let headers: String = lines.collect();
    format!("SIP/2.0 486 Busy Here\r\n{headers}Content-Length: 0\r\n\r\n")
}
