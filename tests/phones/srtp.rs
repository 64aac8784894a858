//! Real telephones with encrypted media: in a conference with a plain one, as callers and as called;
//! and who is refused.

use crate::support::baresip;
use crate::support::caller;
use crate::support::pacing;
use crate::support::server;
use crate::support::tone;

use std::path::Path;
use std::time::Duration;

use baresip::{Baresip, Phone, Source};
use pacing::Watch;

const PLAIN_HZ: f64 = 450.0;
const SECURE_HZ: f64 = 1050.0;
const AMPLITUDE: f64 = 0.1;
/// How long both are in the room.
const TOGETHER: Duration = Duration::from_secs(4);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A tone at its level for most of the time, without a gap, and not the other one.
fn check(samples: &[i16], hz: f64, other: f64, seconds: f64, what: &str) -> Result<(), String> {
    let expected = tone::db(AMPLITUDE);
    let run = tone::longest_run(samples, hz, expected, 3.0);
    if tone::seconds(run.len()) < seconds {
        return Err(format!(
            "{what}: heard for {:.2} s",
            tone::seconds(run.len())
        ));
    }
    let inner = run.start + tone::FRAME..run.end - tone::FRAME;
    tone::check_steady(&samples[inner], hz, expected, what)?;
    tone::check_absent(samples, other, expected - 40.0, what)
}

#[test]
fn offered_beside_plain_rtp() {
    pacing::in_time(|watch| conference(watch, |phone| phone.mediaenc("srtp"), 0));
}

#[test]
fn by_the_profile_savp() {
    pacing::in_time(|watch| conference(watch, |phone| phone.mediaenc("srtp-mand"), 0));
}

#[test]
fn by_the_profile_savpf() {
    pacing::in_time(|watch| conference(watch, |phone| phone.mediaenc("srtp-mandf"), 0));
}

/// How a telephone encrypts.
type Dress = fn(Phone<'_>) -> Phone<'_>;

/// A plain and an encrypted telephone hear each other.
fn conference(watch: &Watch, dress: Dress, early: u32) -> Result<(), String> {
    let server = server::Config::new().start();
    let plain = Phone::new("plain", server.udp(), Source::Tone(PLAIN_HZ, AMPLITUDE));
    let secure = Phone::new("secure", server.udp(), Source::Tone(SECURE_HZ, AMPLITUDE));
    let mut phones: Vec<Baresip> = vec![plain.start(), dress(secure).start()];
    for phone in &mut phones {
        watch.add(phone.pid());
        phone.dial("600");
    }
    // Time in the call is what is tested; nobody tells of it.
    std::thread::sleep(TOGETHER);
    phones[1].hang_up();
    phones[0].hang_up();
    let ended = server.wait_log_count(" ended ", 2);
    let secure = ended.iter().find(|line| line.contains("secure")).unwrap();
    assert!(secure.contains("srtp=true"), "{secure}");
    assert_stray(secure, early);
    let plain = ended.iter().find(|line| !line.contains("secure")).unwrap();
    assert!(plain.contains("srtp=false"), "{plain}");
    let log = server.log();
    assert!(!log.contains("inline:"), "a key is in the log");
    let heard: Vec<Vec<i16>> = phones.into_iter().map(Baresip::heard).collect();
    let seconds = TOGETHER.as_secs_f64() - 0.5;
    check(
        &heard[0],
        SECURE_HZ,
        PLAIN_HZ,
        seconds,
        "the plain one hears the other",
    )?;
    check(
        &heard[1],
        PLAIN_HZ,
        SECURE_HZ,
        seconds,
        "the encrypted one hears the other",
    )
}

/// Of what this telephone sends, one or two packets at the edges of a call are not protected; a stream
/// that does not open is hundreds.
const STRAY: u32 = 2;
/// By DTLS its first ones come before our control side has given the leg its keys. How soon that is, is
/// the machine's affair; a second means that they never came.
const EARLY: u32 = 50;

fn assert_stray(line: &str, early: u32) {
    let count = |name: &str| -> u32 {
        let count = line.split(name).nth(1).unwrap();
        count.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(count("rx_unauthenticated=") <= STRAY, "{line}");
    assert!(count("rx_before_keys=") <= early, "{line}");
}

#[test]
fn reports_are_opened_both_ways() {
    reports(|phone| phone.mediaenc("srtp-mand"), 0);
}

/// It answers our report: it has opened ours, and we have opened its.
fn reports(dress: Dress, early: u32) {
    let server = server::Config::new().start();
    let source = Source::Tone(SECURE_HZ, AMPLITUDE);
    let mut phone = dress(Phone::new("secure", server.udp(), source)).start();
    phone.dial("500");
    // Its reports come every 5 s.
    std::thread::sleep(Duration::from_secs(12));
    phone.hang_up();
    let line = server.wait_log("srtp=true");
    assert!(line.contains("rtt_ms="), "{line}");
    assert_stray(&line, early);
}

#[test]
fn required_refuses_a_plain_caller_and_takes_an_encrypted_one() {
    let server = server::Config::new()
        .route("user = \"7\"\napp = \"echo\"\nsrtp = \"required\"")
        .route("user = \"8\"\napp = \"echo\"\nsrtp = \"off\"")
        .start();
    let source = Source::Tone(SECURE_HZ, AMPLITUDE);
    let mut plain = Phone::new("plain", server.udp(), source).start();
    let mut secure = Phone::new("secure", server.udp(), source)
        .mediaenc("srtp-mand")
        .start();
    assert!(plain.dial_in_vain("7").contains("488"));
    secure.dial("7");
    secure.hang_up();
    assert!(secure.dial_in_vain("8").contains("488"));
    plain.dial("8");
    plain.hang_up();
}

#[test]
fn our_own_caller_encrypts_where_it_is_told_to() {
    pacing::in_time(|watch| {
        let server = server::Config::new()
            .route("user = \"8\"\napp = \"echo\"\nsrtp = \"off\"")
            .start();
        let files = tempfile::tempdir().unwrap();
        let (talk, heard) = (
            files.path().join("talk.wav"),
            files.path().join("heard.wav"),
        );
        tone::write(&talk, &tone::sine_16(SECURE_HZ, AMPLITUDE, 3.0));
        let mut args = vec!["--srtp", "--json", "--play", text(&talk)];
        let refused = caller::call("8", server.udp(), &args).wait();
        assert_eq!(refused.status, Some(1), "{refused:?}");
        assert_eq!(refused.json()["status"], 488, "{refused:?}");
        args.extend(["--record", text(&heard), "--codec", "pcmu"]);
        let calling = caller::call("500", server.udp(), &args);
        watch.add(calling.pid());
        let ended = calling.wait();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(ended.json()["srtp"], true, "{ended:?}");
        assert!(
            server
                .wait_log("srtp=true")
                .contains("rx_unauthenticated=0")
        );
        check(&tone::read(&heard), SECURE_HZ, PLAIN_HZ, 2.7, "the echo")
    });
}

#[test]
fn a_telephone_that_is_called_encrypts_too() {
    pacing::in_time(|watch| called(watch, |phone| phone.mediaenc("srtp-mand"), "--srtp"));
}

fn called(watch: &Watch, dress: Dress, option: &str) -> Result<(), String> {
    let own = server::free_address([127, 0, 0, 1].into());
    let phone = Phone::new("called", own, Source::Tone(PLAIN_HZ, AMPLITUDE));
    let mut phone = dress(phone).answers_at(own).start();
    watch.add(phone.pid());
    let files = tempfile::tempdir().unwrap();
    let (talk, heard) = (
        files.path().join("talk.wav"),
        files.path().join("heard.wav"),
    );
    tone::write(&talk, &tone::sine_16(SECURE_HZ, AMPLITUDE, 4.0));
    let args = [option, "--json", "--codec", "pcmu", "--play", text(&talk)];
    let args = [&args[..], &["--record", text(&heard)]].concat();
    let calling = caller::call("called", own, &args);
    watch.add(calling.pid());
    let ended = calling.wait();
    assert_eq!(ended.status, Some(0), "{ended:?}\n{}", phone.log());
    assert_eq!(ended.json()["srtp"], true, "{ended:?}");
    phone.wait_closed();
    check(
        &tone::read(&heard),
        PLAIN_HZ,
        SECURE_HZ,
        3.0,
        "what it says",
    )?;
    check(&phone.heard(), SECURE_HZ, PLAIN_HZ, 3.0, "what it hears")
}

/// Keys by DTLS between two of ours: the caller and a plain telephone hear each other.
#[test]
fn our_own_caller_makes_keys_out_by_dtls() {
    pacing::in_time(|watch| {
        let server = server::Config::new().start();
        let source = Source::Tone(PLAIN_HZ, AMPLITUDE);
        let mut plain = Phone::new("plain", server.udp(), source).start();
        watch.add(plain.pid());
        let files = tempfile::tempdir().unwrap();
        let (talk, heard) = (
            files.path().join("talk.wav"),
            files.path().join("heard.wav"),
        );
        tone::write(&talk, &tone::sine_16(SECURE_HZ, AMPLITUDE, 4.5));
        plain.dial("600");
        let args = ["--dtls", "--json", "--codec", "pcmu", "--play", text(&talk)];
        let args = [&args[..], &["--record", text(&heard)]].concat();
        let calling = caller::call("600", server.udp(), &args);
        watch.add(calling.pid());
        let ended = calling.wait();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(ended.json()["srtp"], true, "{ended:?}");
        plain.hang_up();
        check(
            &tone::read(&heard),
            PLAIN_HZ,
            SECURE_HZ,
            3.0,
            "the caller hears the other",
        )?;
        check(
            &plain.heard(),
            SECURE_HZ,
            PLAIN_HZ,
            3.0,
            "the other hears the caller",
        )
    });
}

/// A real telephone's DTLS, whoever has offered: it calls a conference, and is called.
#[test]
fn a_telephone_makes_keys_out_by_dtls() {
    pacing::in_time(|watch| conference(watch, |phone| phone.mediaenc("dtls_srtp"), EARLY));
}

#[test]
fn a_telephone_that_is_called_makes_keys_out_by_dtls() {
    pacing::in_time(|watch| called(watch, |phone| phone.mediaenc("dtls_srtp"), "--dtls"));
}

/// RTCP has a handshake and keys of its own. The audio does not wait for it; the reports below show it.
#[test]
fn by_dtls_with_rtcp_on_a_port_of_its_own() {
    let apart: Dress = |phone| phone.mediaenc("dtls_srtp").rtcp_apart();
    pacing::in_time(|watch| conference(watch, apart, EARLY));
}

#[test]
fn called_by_dtls_with_rtcp_on_a_port_of_its_own() {
    let apart: Dress = |phone| phone.mediaenc("dtls_srtp").rtcp_apart();
    pacing::in_time(|watch| called(watch, apart, "--dtls"));
}

#[test]
fn reports_are_opened_both_ways_with_keys_by_dtls() {
    reports(|phone| phone.mediaenc("dtls_srtp"), EARLY);
}

#[test]
fn reports_are_opened_both_ways_with_keys_of_their_own() {
    reports(|phone| phone.mediaenc("dtls_srtp").rtcp_apart(), EARLY);
}
