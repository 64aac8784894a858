//! A real telephone and `antiphon call` over TLS; names that lead to several places, of which the
//! first is dead.

use crate::support::baresip;
use crate::support::caller;
use crate::support::certificates;
use crate::support::dns;
use crate::support::pacing;
use crate::support::server;
use crate::support::tone;

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use baresip::{Phone, Source};
use certificates::{Authority, Files};
use dns::{Entry, NameServer};
use server::{Config, Server};

const HZ: f64 = 450.0;
const AMPLITUDE: f64 = 0.25;

fn listening(files: &Files) -> Config {
    Config::new()
        .set("sip", "tls", "[\"127.0.0.1:0\"]")
        .tables(&format!(
            "[[certificate]]\nchain = {:?}\nkey = {:?}\n",
            files.chain.display().to_string(),
            files.key.display().to_string()
        ))
}

fn check_tone(samples: &[i16], seconds: f64) -> Result<(), String> {
    let level = tone::db(AMPLITUDE);
    let run = tone::longest_run(samples, HZ, level, 3.0);
    let length = tone::seconds(run.len());
    if (length - seconds).abs() > 0.3 {
        return Err(format!("{length:.2} s of the tone, {seconds:.2} expected"));
    }
    let inner = run.start + tone::FRAME..run.end - tone::FRAME;
    tone::check_steady(&samples[inner], HZ, level, "the echo")
}

#[test]
fn a_phone_registers_calls_and_hangs_up() {
    pacing::in_time(|watch| {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path(), "ca");
        let server = listening(&authority.issue("server", &["127.0.0.1"])).start();
        let here = server.address("tls", false);
        let source = Source::Tone(HZ, AMPLITUDE);
        let phone = Phone::new("alice", here, source).tls(&authority.file);
        let mut phone = phone.register().start();
        watch.add(phone.pid());
        assert!(phone.registered());
        phone.dial("500");
        std::thread::sleep(Duration::from_secs(2));
        phone.hang_up();
        let line = server.wait_log(" ended ");
        assert!(line.contains("reason=\"remote-hung-up\""), "{line}");
        assert!(server.log().contains("transport=TLS"));
        check_tone(&phone.heard(), 2.0)
    });
}

#[test]
fn the_server_hangs_up_over_the_phones_connection() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let server = listening(&authority.issue("server", &["127.0.0.1"])).start();
    let here = server.address("tls", false);
    let source = Source::Tone(HZ, AMPLITUDE);
    let phone = Phone::new("alice", here, source).tls(&authority.file);
    let mut phone = phone.start();
    phone.dial("510");
    phone.wait_closed();
    let line = server.wait_log(" ended ");
    assert!(line.contains("reason=\"hung-up\""), "{line}");
}

fn echoed(uri: &str, args: &[&str], directory: &Path, watch: &pacing::Watch) -> Result<(), String> {
    let (talk, heard) = (directory.join("talk.wav"), directory.join("heard.wav"));
    tone::write(&talk, &tone::sine_16(HZ, AMPLITUDE, 2.0));
    let _ = std::fs::remove_file(&heard);
    let (talk, heard_text) = (talk.to_str().unwrap(), heard.to_str().unwrap());
    let audio = [
        "call", uri, "--codec", "pcmu", "--play", talk, "--record", heard_text,
    ];
    let calling = caller::antiphon(&[&audio[..], args].concat());
    watch.add(calling.pid());
    let ended = calling.wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    check_tone(&tone::read(&heard), 2.0)
}

/// The first place refuses, the second proves to be somebody else, the third is right.
#[test]
fn a_name_is_called_where_it_is_to_be_found() {
    pacing::in_time(|watch| {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path(), "ca");
        let server = listening(&authority.issue("server", &["pbx.example"])).start();
        let other = listening(&authority.issue("other", &["other.example"])).start();
        let dead = TcpListener::bind("127.0.0.1:0").unwrap();
        let dead_port = dead.local_addr().unwrap().port();
        drop(dead);
        let port = |server: &Server| server.address("tls", false).port();
        let service = "_sips._tcp.pbx.example";
        let names = NameServer::start(vec![
            ("pbx.example", Entry::Naptr(1, 1, "SIPS+D2T", service)),
            (service, Entry::Srv(1, 1, dead_port, "host.example")),
            (service, Entry::Srv(2, 1, port(&other), "host.example")),
            (service, Entry::Srv(3, 1, port(&server), "host.example")),
            ("host.example", Entry::Address("127.0.0.1".parse().unwrap())),
        ]);
        let name_server = names.address.to_string();
        let ca = authority.file.to_str().unwrap();
        let args = ["--tls-ca", ca, "--dns-server", &name_server];
        echoed("sips:500@pbx.example", &args, directory.path(), watch)
    });
}

#[test]
fn a_server_that_cannot_prove_itself_is_not_called() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let unknown = Authority::new(directory.path(), "unknown");
    let server = listening(&authority.issue("server", &["127.0.0.1"])).start();
    let uri = format!("sip:500@{};transport=tls", server.address("tls", false));
    let call = |ca: &Path| {
        let ca = ca.to_str().unwrap();
        caller::antiphon(&["call", &uri, "--seconds", "1", "--tls-ca", ca]).wait()
    };
    let refused = call(&unknown.file);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(!server.log().contains("app=\"echo\""));
    let welcome = call(&authority.file);
    assert_eq!(welcome.status, Some(0), "{welcome:?}");
}

#[test]
fn certificates_are_read_anew_by_sighup() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (
        Authority::new(directory.path(), "old"),
        Authority::new(directory.path(), "new"),
    );
    let server = listening(&old.issue("server", &["127.0.0.1"])).start();
    let uri = format!("sip:500@{};transport=tls", server.address("tls", false));
    let works = |authority: &Authority| {
        let ca = authority.file.to_str().unwrap();
        let ended = caller::antiphon(&["call", &uri, "--seconds", "1", "--tls-ca", ca]).wait();
        ended.status == Some(0)
    };
    assert!(works(&old) && !works(&new));
    // A broken file changes nothing.
    let chain = directory.path().join("server.pem");
    std::fs::write(&chain, "nothing").unwrap();
    server.signal("HUP");
    server.wait_log("SIGHUP: the file is wrong");
    assert!(works(&old));
    new.issue("server", &["127.0.0.1"]);
    server.signal("HUP");
    server.wait_log("certificates read again");
    assert!(works(&new) && !works(&old));
}
