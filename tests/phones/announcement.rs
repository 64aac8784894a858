//! `sip:annc@HOST;play=...` (RFC 4240 §3): what is played, how often, how long, and what is refused;
//! `sip:voicemail@HOST;target=...` (RFC 4458).

use crate::support::caller;
use crate::support::media;
use crate::support::pacing;
use crate::support::prompts;
use crate::support::server;
use crate::support::sip;
use crate::support::tone;
use crate::support::web;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use media::{Phone, Timing, level, on_time};
use prompts::Prompt;
use server::{Config, Server};
use sip::{Call, Dialog, Message, Peer, sdp};

const HZ: f64 = 1050.0;
const AMPLITUDE: f64 = 0.25;

/// A server that may play what is in `library`: `note.wav`, `sub/note.wav`. `secret.wav` beside it
/// is a good file too.
fn server() -> Server {
    let server = Config::new()
        .set("announcement", "directories", "[\"library\"]")
        .start();
    let here = server.directory();
    std::fs::create_dir_all(here.join("library/sub")).unwrap();
    let note = tone::sine_16(HZ, AMPLITUDE, 0.4);
    for name in ["library/note.wav", "library/sub/note.wav", "secret.wav"] {
        tone::write(&here.join(name), &note);
    }
    server
}

/// Dials a URI with these parameters; the answer, and the call if it is one.
fn dial(server: &Server, phone: &Phone, user: &str) -> (Message, Option<Call>) {
    let mut peer = Peer::udp(server.udp());
    let mut dialog = Dialog::new(&peer, "annc");
    dialog.uri = user.replacen('@', &format!("@{}", server.udp()), 1);
    dialog.target.clone_from(&dialog.uri);
    let body = sdp(phone.address, "0", "");
    let invite = dialog.request(&peer, "INVITE", "", &body);
    peer.send(invite);
    let answer = peer.answer();
    if answer.status() != 200 {
        let ack = dialog.of_invite(&peer, "ACK", answer.to_tag());
        peer.send(ack);
        return (answer, None);
    }
    dialog.answered(&answer);
    let ack = dialog.request(&peer, "ACK", "", "");
    peer.send(ack);
    let ok = answer.clone();
    (answer, Some(Call { peer, dialog, ok }))
}

fn announce(server: &Server, phone: &Phone, parameters: &str) -> (Message, Option<Call>) {
    dial(server, phone, &format!("sip:annc@{parameters}"))
}

/// Dials, listens until the server hangs up, and gives what was heard.
fn hear(server: &Server, timing: &Timing, parameters: &str) -> (Vec<i16>, Duration) {
    let phone = Phone::v4(timing);
    let (answer, call) = announce(server, &phone, parameters);
    let mut call = call.unwrap_or_else(|| panic!("{parameters}: {answer:#?}"));
    let start = Instant::now();
    call.serve("BYE");
    let length = start.elapsed();
    // The BYE may overtake the last packet.
    phone.await_break(Duration::from_millis(60));
    let heard = phone.all();
    heard.assert_unbroken();
    (heard.samples(), length)
}

/// Where the tone is: begin and length of each run, ms.
fn runs(samples: &[i16]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (n, window) in samples.chunks_exact(40).enumerate() {
        if level(window, HZ) < -20.0 {
            continue;
        }
        match runs.last_mut() {
            Some((begin, length)) if *begin + *length == 5 * n => *length += 5,
            _ => runs.push((5 * n, 5)),
        }
    }
    runs
}

#[test]
fn a_prompt_by_its_name() {
    pacing::in_time(|watch| {
        let server = server();
        let files = tempfile::tempdir().unwrap();
        for (play, name) in [("welcome", "welcome"), ("prompt:goodbye", "goodbye")] {
            let heard = files.path().join(format!("{name}.wav"));
            let uri = format!("sip:annc@{};play={play}", server.udp());
            // What is compared sample by sample goes by a codec that keeps the waveform.
            let heard_as = heard.to_str().unwrap();
            let args = ["call", &uri, "--codec", "pcmu", "--record", heard_as];
            let calling = caller::antiphon(&args);
            watch.add(calling.pid());
            watch.add(server.pid());
            let ended = calling.wait();
            assert_eq!(ended.status, Some(0), "{ended:?}");
            let found = Prompt::named(name).all(&tone::read(&heard));
            if found.len() != 1 || found[0].likeness < 0.95 || found[0].gain.abs() > 1.0 {
                return Err(format!("{name}: {found:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn files_below_a_directory_once_again_and_for_a_time() {
    let server = server();
    let absolute = server.directory().join("library/note.wav");
    let absolute = std::fs::canonicalize(absolute).unwrap();
    on_time(|timing| {
        for name in [
            "file:note.wav",
            "file:note",
            "note.wav",
            "file:sub/note.wav",
            "file:sub%2Fnote.wav",
            "FILE:n%6Fte.wav",
            &format!("file://{}", absolute.display()),
        ] {
            let (heard, _) = hear(&server, timing, &format!(";play={name}"));
            let runs = runs(&heard);
            let [(_, length)] = runs.as_slice() else {
                panic!("{name}: {runs:?}");
            };
            assert!(length.abs_diff(400) <= 10, "{name}: {length} ms");
        }
        let (heard, _) = hear(&server, timing, ";play=file:note;repeat=2;delay=500");
        let twice = runs(&heard);
        let [(begin, first), (again, second)] = twice.as_slice() else {
            panic!("twice: {twice:?}");
        };
        assert!(
            first.abs_diff(400) <= 10 && second.abs_diff(400) <= 10,
            "{twice:?}"
        );
        let gap = again - begin - first;
        assert!(gap.abs_diff(500) <= 10, "a gap of {gap} ms: {twice:?}");

        // Two at once: a duration ends what goes on for ever, and what is silent just then.
        let both = std::thread::scope(|scope| {
            ["delay=0", "delay=2000"]
                .map(|delay| {
                    let wanted = format!(";play=file:note;repeat=forever;{delay};duration=3000");
                    let server = &server;
                    scope.spawn(move || hear(server, timing, &wanted))
                })
                .map(|call| call.join().unwrap())
        });
        for (heard, length) in &both {
            let off = length.as_secs_f64() - 3.0;
            assert!(off.abs() <= 0.1, "it ended after {length:?}");
            let ms = heard.len() / 8;
            assert!(ms.abs_diff(3000) <= 100, "{ms} ms of media");
        }
        let [(steady, _), (seldom, _)] = &both;
        let all: usize = runs(steady).iter().map(|(_, length)| length).sum();
        assert!(all >= 2850, "{all} ms of the tone in 3 s");
        assert_eq!(runs(seldom).len(), 2, "{:?}", runs(seldom));

        // A duration longer than it takes changes nothing.
        let (heard, length) = hear(&server, timing, ";play=file:note;duration=9000");
        assert_eq!(runs(&heard).len(), 1);
        assert!(length < Duration::from_millis(800), "{length:?}");
    });
}

#[test]
fn what_is_not_there_or_not_to_be_played_is_404() {
    let server = server();
    let here = std::fs::canonicalize(server.directory()).unwrap();
    let library = here.join("library");
    std::os::unix::fs::symlink(here.join("secret.wav"), library.join("link.wav")).unwrap();
    std::os::unix::fs::symlink(&here, library.join("up")).unwrap();
    std::os::unix::fs::symlink("note.wav", library.join("inside.wav")).unwrap();
    std::fs::write(library.join("text.wav"), "no audio").unwrap();
    let secret = here.join("secret.wav");
    let secret = secret.to_str().unwrap();
    let escaped = secret.replace('/', "%2F");
    let timing = Timing::default();
    let phone = Phone::v4(&timing);
    for play in [
        "nothing",
        "file:nothing.wav",
        "file:../secret.wav",
        "../secret.wav",
        "file:sub/../../secret.wav",
        "file:%2e%2e/secret.wav",
        "file:%2E%2E%2Fsecret.wav",
        "file:..%2fsecret",
        "file:%252e%252e/secret.wav",
        &format!("file://{secret}"),
        &format!("file:{secret}"),
        secret,
        &format!("file:{escaped}"),
        &format!("file://{}/../secret.wav", library.display()),
        "file:link.wav",
        "file:link",
        "file:up/secret.wav",
        "file:text.wav",
        "file:sub",
        "file:.",
        "file:note.wav%00.mp3",
        "file://example.com/note.wav",
        "http://127.0.0.1/note.wav",
        "prompt:../welcome",
        "vm-greeting/../../secret",
    ] {
        let (answer, call) = announce(&server, &phone, &format!(";play={play}"));
        assert!(
            call.is_none() && answer.status() == 404,
            "{play}: {answer:#?}"
        );
    }
    // A link that stays inside is good: the refusals above are not for links as such.
    let (answer, call) = announce(&server, &phone, ";play=file:inside.wav");
    assert_eq!(answer.status(), 200);
    call.unwrap().serve("BYE");
}

#[test]
fn without_play_or_with_bad_numbers_it_is_400() {
    let server = server();
    let timing = Timing::default();
    let phone = Phone::v4(&timing);
    for parameters in [
        "",
        ";play",
        ";play=",
        ";play=file:%zz",
        ";repeat=2",
        ";play=welcome;repeat=0",
        ";play=welcome;repeat=-1",
        ";play=welcome;repeat=often",
        ";play=welcome;repeat=1.5",
        ";play=welcome;repeat=99999999999999999999",
        ";play=welcome;delay=-1",
        ";play=welcome;delay=soon",
        ";play=welcome;delay=",
        ";play=welcome;duration=x",
        ";play=welcome;duration=99999999999999999999",
    ] {
        let (answer, call) = announce(&server, &phone, parameters);
        let phrase = answer.start.clone();
        assert!(
            call.is_none() && answer.status() == 400,
            "{parameters}: {phrase}"
        );
        if ["play", "delay="]
            .iter()
            .any(|end| parameters.ends_with(end))
            || parameters.ends_with("play=")
            || parameters.contains('%')
        {
            // No URI at all (RFC 3261 §25.1), which is said instead.
            continue;
        }
        let word = if parameters.contains("welcome") {
            parameters
                .rsplit(';')
                .next()
                .unwrap()
                .split('=')
                .next()
                .unwrap()
        } else {
            "play"
        };
        assert!(phrase.contains(word), "{parameters}: {phrase}");
    }
    // Nothing is left of them: another call goes through.
    let (answer, call) = announce(&server, &phone, ";play=goodbye");
    assert_eq!(answer.status(), 200);
    call.unwrap().serve("BYE");
}

#[test]
fn a_target_names_the_box_of_a_message() {
    on_time(|timing| {
        let server = Config::new().start();
        let phone = Phone::v4(timing);
        let user = "sip:voicemail@;target=sip:100%40example.com;cause=486";
        let (answer, call) = dial(&server, &phone, user);
        let mut call = call.unwrap_or_else(|| panic!("{answer:#?}"));
        let rtp = call.ok.rtp();
        phone.say(rtp, media::tone(1050));
        server.wait_log(" recording recording=");
        phone.listen(100);
        call.hang_up();
        let line = server.wait_log("message left");
        assert!(line.contains("mailbox=\"100\""), "{line}");
        let heard = phone.all().samples();
        assert!(
            !Prompt::named("vm-greeting")
                .begin(1.5)
                .all(&heard)
                .is_empty()
        );
        let files = server.files_below("voicemail/100");
        let wav = files.iter().find(|f| ends(f, ".wav")).unwrap();
        let samples = tone::read(wav);
        let seconds = tone::seconds(samples.len());
        assert!((1.8..2.4).contains(&seconds), "{seconds} s");
        let inner = &samples[1600..samples.len() - 1600];
        assert!((level(inner, 1050.0) + 16.0).abs() < 1.0);
        // One for a box that is not there is told so.
        let (_, call) = dial(
            &server,
            &phone,
            "sip:voicemail@;target=sip:999%40example.com",
        );
        let mut call = call.expect("answered, and told");
        let from = phone.all().samples().len();
        call.serve("BYE");
        let heard = phone.all().samples();
        assert!(!Prompt::named("vm-no-box").all(&heard[from..]).is_empty());
    });
}

fn ends(path: &Path, with: &str) -> bool {
    path.to_string_lossy().ends_with(with)
}

/// Of a tone of so many seconds.
fn note(seconds: f64) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("note.wav");
    tone::write(&path, &tone::sine_16(HZ, AMPLITUDE, seconds));
    std::fs::read(path).unwrap()
}

#[test]
fn what_a_web_server_has_is_heard_as_it_is_now() {
    let long = Arc::new(AtomicBool::new(false));
    let longer = long.clone();
    let host = web::WebServer::new(move |asked| {
        if !asked.line.starts_with("GET /note.wav?x=1 ") {
            return web::response("404 Not Found", "", b"");
        }
        let long = longer.load(Ordering::SeqCst);
        let tag = format!("\"{long}\"");
        if asked.header("if-none-match") == Some(&tag) {
            return web::response("304 Not Modified", "", b"");
        }
        let sound = note(if long { 0.6 } else { 0.3 });
        web::response("200 OK", &format!("ETag: {tag}\r\n"), &sound)
    });
    let server = Config::new()
        .set("announcement", "web_hosts", "[\"127.0.0.1\"]")
        .start();
    on_time(|timing| {
        let play = format!(";play=http://{}/note.wav%3Fx%3D1", host.address);
        for milliseconds in [300usize, 300, 600] {
            long.store(milliseconds == 600, Ordering::SeqCst);
            let (heard, _) = hear(&server, timing, &play);
            let runs = runs(&heard);
            let [(_, length)] = runs.as_slice() else {
                panic!("{runs:?}");
            };
            assert!(length.abs_diff(milliseconds) <= 10, "{length} ms");
        }
        long.store(false, Ordering::SeqCst);
        let phone = Phone::v4(timing);
        let missing = format!(";play=http://{}/other.wav", host.address);
        assert_eq!(announce(&server, &phone, &missing).0.status(), 404);
        let elsewhere = ";play=http://localhost/note.wav";
        assert_eq!(announce(&server, &phone, elsewhere).0.status(), 404);
    });
}

#[test]
fn nothing_is_fetched_any_more_for_a_caller_who_gives_up() {
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Config::new()
        .set("announcement", "web_hosts", "[\"127.0.0.1\"]")
        .set("announcement", "web_seconds", 60)
        .start();
    let mut peer = Peer::udp(server.udp());
    let mut dialog = Dialog::new(&peer, "annc");
    let play = format!(";play=http://{}/note.wav", host.local_addr().unwrap());
    dialog.uri.push_str(&play);
    dialog.target.clone_from(&dialog.uri);
    let body = sdp("127.0.0.1:9".parse().unwrap(), "0", "");
    let invite = dialog.request(&peer, "INVITE", "", &body);
    peer.send(invite);
    let (mut asked, _) = host.accept().unwrap();
    let limit = Duration::from_secs(20);
    asked.set_read_timeout(Some(limit)).unwrap();
    let cancel = dialog.of_invite(&peer, "CANCEL", None);
    peer.send(cancel);
    let mut request = Vec::new();
    // To the end of the connection, for which nothing was answered.
    asked.read_to_end(&mut request).unwrap();
    assert!(request.starts_with(b"GET /note.wav "));
    let refused = peer.await_that(|m| m.method() == "INVITE" && m.status() >= 200);
    assert_eq!(refused.status(), 487);
    let ack = dialog.of_invite(&peer, "ACK", refused.to_tag());
    peer.send(ack);
}

#[test]
fn sequences_say_what_the_parameters_say_and_languages_are_preferred() {
    let server = Config::new()
        .set("announcement", "directories", "[\"library\"]")
        .tables(
            "[[sequence]]\nname = \"code\"\nitems = [\"beep\", \"$1:digits\", \"beep\", \"$2:number\"]\n",
        )
        .start();
    let library = server.directory().join("library");
    std::fs::create_dir_all(library.join("de")).unwrap();
    tone::write(
        &library.join("note.wav"),
        &tone::sine_16(HZ, AMPLITUDE, 0.2),
    );
    tone::write(
        &library.join("de/note.wav"),
        &tone::sine_16(HZ, AMPLITUDE, 0.5),
    );
    on_time(|timing| {
        for (locale, milliseconds) in [("de-CH", 500usize), ("de", 500), ("fr", 200)] {
            let (heard, _) = hear(&server, timing, &format!(";play=note.wav;locale={locale}"));
            let runs = runs(&heard);
            assert!(runs[0].1.abs_diff(milliseconds) <= 10, "{locale}: {runs:?}");
        }
        let (heard, _) = hear(&server, timing, ";play=code;param1=47;param2=12");
        for name in ["digit-4", "digit-7", "number-12"] {
            let found = Prompt::named(name).all(&heard);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
        }
        let phone = Phone::v4(timing);
        for parameters in ["play=code;param1=47", "play=code;param1=x;param2=1"] {
            let answer = announce(&server, &phone, &format!(";{parameters}")).0;
            assert_eq!(answer.status(), 404, "{parameters}");
        }
    });
}

/// RFC 4240 §4: there is no VoiceXML here, and that is said as such.
#[test]
fn a_dialog_service_is_refused_as_one_that_is_not_here() {
    let server = Config::new().start();
    on_time(|timing| {
        let phone = Phone::v4(timing);
        let voicexml = "sip:dialog@;voicexml=http://127.0.0.1/x.vxml";
        assert_eq!(dial(&server, &phone, voicexml).0.status(), 488);
        assert_eq!(dial(&server, &phone, "sip:dialogue@").0.status(), 404);
    });
}
