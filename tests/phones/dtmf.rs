//! Keys that a phone presses, by each of the three ways, judged by ear: 530 speaks back what it has
//! read.

use crate::support::caller;
use crate::support::keys;
use crate::support::line;
use crate::support::media;
use crate::support::pacing;
use crate::support::prompts;
use crate::support::server;
use crate::support::sip;
use crate::support::tone;

use caller::{antiphon, call};
use keys::{Keys, Role};
use line::Line;
use media::{Phone, Timing, on_time};
use prompts::Prompt;
use server::{Config, Server};
use sip::sdp;

/// How `antiphon call` sends keys, and which: together every key but the one that ends an entry,
/// and some twice in a row.
const WAYS: [(&str, &str); 3] = [
    ("rfc4733", "1470AA"),
    ("info", "2589BB"),
    ("auto", "36*CDD"),
];

/// What follows "You entered", key by key.
fn spoken_back(heard: &[i16]) -> Result<String, String> {
    let found = Prompt::named("digits-you-entered").all(heard);
    match found.as_slice() {
        [once] => Ok(prompts::keys_said(&heard[once.at + once.len..])),
        other => Err(format!("\"You entered\" was heard at {other:?}")),
    }
}

#[test]
fn keys_of_the_call_command_are_spoken_back() {
    pacing::in_time(|watch| {
        let server = Config::new().start();
        let files = tempfile::tempdir().unwrap();
        let calls: Vec<_> = WAYS
            .map(|(method, keys)| {
                let heard = files.path().join(format!("{method}.wav"));
                let dialled = format!("{keys},#");
                let args = [
                    "--dtmf",
                    &dialled,
                    "--dtmf-method",
                    method,
                    "--record",
                    heard.to_str().unwrap(),
                    "--seconds",
                    "8",
                    "--json",
                ];
                let calling = call("530", server.udp(), &args);
                watch.add(calling.pid());
                (method, keys, heard, calling)
            })
            .into();
        for (method, keys, heard, calling) in calls {
            let ended = calling.wait();
            assert_eq!(ended.status, Some(0), "{ended:?}");
            assert_eq!(ended.json()["trouble"], serde_json::json!([]), "{ended:?}");
            let said = spoken_back(&tone::read(&heard)).map_err(|e| format!("{method}: {e}"))?;
            if said != keys {
                return Err(format!("{method}: {keys} pressed, {said} spoken back"));
            }
        }
        Ok(())
    });
}

/// A phone presses keys at 530 in its own way and listens until all are spoken back.
fn press(server: &Server, timing: &Timing, offer: (&str, &str), keys: &Keys) -> String {
    let mut line = Line::dial_with(server, timing, "530", offer.0, offer.1);
    line.perform(keys);
    hear_all(&mut line)
}

/// What is spoken back, until the next entry is asked for.
fn hear_all(line: &mut Line) -> String {
    line.await_whole("digits-you-entered");
    line.await_begin("digits-enter");
    line.hang_up();
    spoken_back(&line.heard()).unwrap()
}

/// Presses in many ways at once; each has to be spoken back as these keys.
fn all_spoken_back(keys: &str, cases: &[(&str, (&str, &str), Keys)]) {
    let server = Config::new().start();
    on_time(|timing| {
        let said: Vec<(&str, String)> = std::thread::scope(|scope| {
            let presses: Vec<_> = cases
                .iter()
                .map(|(name, offer, keys)| {
                    let press = || press(&server, timing, *offer, keys);
                    (*name, scope.spawn(press))
                })
                .collect();
            presses
                .into_iter()
                .map(|(name, press)| (name, press.join().expect(name)))
                .collect()
        });
        for (name, said) in said {
            assert_eq!(said, keys, "{name}");
        }
    });
}

/// What each phone sends before it presses anything.
fn lead() -> Keys {
    Keys::new().silence(200)
}

#[test]
fn events_count_once_whatever_the_network_does_to_them() {
    let press = |ms| {
        let mut keys = lead();
        for key in "447#".chars() {
            keys = keys.event(key, ms).silence(100);
        }
        keys
    };
    let plain = ("0 101", keys::OFFER);
    let wide = "a=rtpmap:101 telephone-event/48000\r\na=fmtp:101 0-15\r\n";
    let mut fast = lead();
    fast.clock = 6;
    for key in "447#".chars() {
        fast = fast.event(key, 100).silence(100);
    }
    all_spoken_back(
        "447",
        &[
            ("as they are", plain, press(100)),
            ("first lost", plain, press(100).lose(|r| r == Role::Begin)),
            ("marker lost", plain, press(100).unmarked()),
            ("ends lost", plain, press(100).lose(|r| r == Role::End)),
            (
                "one of each left",
                plain,
                press(60).lose(|r| r == Role::Begin || r == Role::End),
            ),
            ("doubled", plain, press(100).doubled()),
            ("swapped", plain, press(100).swapped()),
            ("long", plain, press(1000)),
            ("48 kHz clock", ("0 101", wide), fast),
        ],
    );
}

#[test]
fn tones_of_a_phone_without_events() {
    let tones = |ms: usize, pause: usize| {
        let mut keys = lead();
        for key in "55*8#".chars() {
            keys = keys.tone(key, ms).silence(pause);
        }
        keys
    };
    all_spoken_back(
        "55*8",
        &[
            ("100 ms", ("0", ""), tones(100, 100)),
            ("60 ms", ("0", ""), tones(60, 60)),
            ("500 ms", ("0", ""), tones(500, 100)),
        ],
    );
}

#[test]
fn a_press_that_comes_in_the_media_and_by_info_is_one_digit() {
    let server = Config::new().start();
    on_time(|timing| {
        let mut line = Line::dial(&server, timing, "530");
        for key in "2290#".chars() {
            line.perform(&lead().event(key, 100));
            let kind = "Content-Type: application/dtmf-relay\r\n";
            let body = format!("Signal={key}\r\nDuration=100\r\n");
            let answer = line.call.request("INFO", kind, &body);
            assert_eq!(answer.status(), 200);
        }
        assert_eq!(hear_all(&mut line), "2290");
    });
}

/// A phone that is called: it answers with this description, and hangs up when told.
struct Called {
    socket: std::net::UdpSocket,
    phone: Phone,
    rtp: std::net::SocketAddr,
}

impl Called {
    fn ring(timing: &Timing) -> (Self, String) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(sip::PATIENCE)).unwrap();
        let uri = format!("sip:phone@{}", socket.local_addr().unwrap());
        let phone = Phone::v4(timing);
        let rtp = phone.address;
        (Self { socket, phone, rtp }, uri)
    }

    fn recv(&self) -> (sip::Message, std::net::SocketAddr) {
        let mut buffer = vec![0; 65_536];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("a request");
        buffer.truncate(length);
        (
            sip::Message::parse(&String::from_utf8(buffer).unwrap()),
            from,
        )
    }

    /// Takes the call; its events have this payload type, if any.
    fn answer(&mut self, events: bool) {
        let (invite, from) = self.recv();
        assert!(invite.start.starts_with("INVITE"), "{invite:?}");
        self.rtp = invite.rtp();
        // The keys of these tests have the same.
        let number = events.then(|| {
            let lines = &mut invite.body.split("\r\n");
            let line = lines.find(|l| l.ends_with(" telephone-event/8000"));
            let text = line.expect("events are offered").strip_prefix("a=rtpmap:");
            let number = text.unwrap().split(' ').next().unwrap().to_owned();
            assert_eq!(number, keys::EVENTS.to_string());
            number
        });
        let body = match number {
            Some(n) => sdp(
                self.phone.address,
                &format!("0 {n}"),
                &format!("a=rtpmap:{n} telephone-event/8000\r\na=fmtp:{n} 0-15\r\n"),
            ),
            None => sdp(self.phone.address, "0", ""),
        };
        let tagged = sip::response(&invite, "200 OK").replacen(
            &format!("To: {}", invite.header("To")),
            &format!("To: {};tag=called", invite.header("To")),
            1,
        );
        let contact = format!(
            "Contact: <sip:phone@{}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            self.socket.local_addr().unwrap(),
            body.len()
        );
        let ok = tagged.replacen("Content-Length: 0\r\n\r\n", &contact, 1);
        self.socket.send_to(ok.as_bytes(), from).unwrap();
        let (ack, _) = self.recv();
        assert!(ack.start.starts_with("ACK"), "{ack:?}");
    }

    /// Answers requests until the caller hangs up; those that came before its BYE.
    fn until_bye(&self) -> Vec<sip::Message> {
        let mut seen = Vec::new();
        loop {
            let (request, from) = self.recv();
            let ok = sip::response(&request, "200 OK");
            self.socket.send_to(ok.as_bytes(), from).unwrap();
            if request.start.starts_with("BYE") {
                return seen;
            }
            seen.push(request);
        }
    }
}

/// The keys in audio, by the two loudest of the eight frequencies in each 10 ms; each run of the
/// same for at least 30 ms is a key, with its length in ms.
fn keys_heard(samples: &[i16]) -> Vec<(char, usize)> {
    let mut runs: Vec<(Option<char>, usize)> = Vec::new();
    for window in samples.chunks_exact(80) {
        let is = |key: &char| {
            let loud = |hz: f64| media::level(window, hz) > -16.0;
            keys::frequencies(*key).into_iter().all(loud)
        };
        let best = |a: &char, b: &char| {
            let sum = |key: char| -> f64 {
                let levels = keys::frequencies(key).map(|hz| media::level(window, hz));
                levels.iter().sum()
            };
            sum(*a).total_cmp(&sum(*b))
        };
        let key = "1234567890*#ABCD".chars().filter(is).max_by(best);
        match runs.last_mut() {
            Some((last, length)) if *last == key => *length += 10,
            _ => runs.push((key, 10)),
        }
    }
    runs.into_iter()
        .filter_map(|(key, length)| Some((key?, length)))
        .filter(|(_, length)| *length >= 30)
        .collect()
}

#[test]
fn the_call_command_sends_tones_where_asked_or_where_there_are_no_events() {
    for (method, events) in [("inband", true), ("auto", false)] {
        on_time(|timing| {
            let (mut called, uri) = Called::ring(timing);
            let args = [
                "call",
                &uri,
                "--dtmf",
                "15#D",
                "--dtmf-method",
                method,
                "--dtmf-tone",
                "120",
                "--dtmf-pause",
                "80",
                "--seconds",
                "2",
                "--json",
            ];
            let calling = antiphon(&args);
            called.answer(events);
            assert!(called.until_bye().is_empty());
            let ended = calling.wait();
            assert_eq!(ended.status, Some(0), "{ended:?}");
            let all = called.phone.all();
            assert!(all.0.iter().all(|p| p.payload_type == 0), "audio alone");
            let heard = keys_heard(&all.samples());
            let keys: String = heard.iter().map(|(key, _)| key).collect();
            assert_eq!(keys, "15#D", "{method}: {heard:?}");
            for (key, ms) in &heard {
                assert!((110..=130).contains(ms), "{key} sounds {ms} ms");
            }
        });
    }
}

#[test]
fn the_call_command_sends_info_and_says_what_it_cannot_send() {
    on_time(|timing| {
        let (mut called, uri) = Called::ring(timing);
        let args = [
            "call",
            &uri,
            "--dtmf",
            "9*",
            "--dtmf-method",
            "info",
            "--seconds",
            "2",
        ];
        let calling = antiphon(&args);
        called.answer(false);
        let told: Vec<(String, String)> = called
            .until_bye()
            .iter()
            .map(|info| (info.header("Content-Type").to_owned(), info.body.clone()))
            .collect();
        let kind = "application/dtmf-relay".to_owned();
        let body = |key: char| format!("Signal={key}\r\nDuration=100\r\n");
        assert_eq!(told, [(kind.clone(), body('9')), (kind, body('*'))]);
        assert_eq!(calling.wait().status, Some(0));

        let (mut called, uri) = Called::ring(timing);
        let args = [
            "call",
            &uri,
            "--dtmf",
            "1",
            "--dtmf-method",
            "rfc4733",
            "--seconds",
            "1",
            "--json",
        ];
        let calling = antiphon(&args);
        called.answer(false);
        called.until_bye();
        let ended = calling.wait();
        assert_eq!(
            ended.status,
            Some(1),
            "what was not sent is a failure: {ended:?}"
        );
        let trouble = ended.json()["trouble"].to_string();
        assert!(trouble.contains("--dtmf: "), "{ended:?}");
    });
}

#[test]
fn the_call_command_tells_what_the_other_side_has_pressed() {
    on_time(|timing| {
        let (mut called, uri) = Called::ring(timing);
        let calling = antiphon(&["call", &uri, "--seconds", "3", "--json"]);
        called.answer(false);
        called
            .phone
            .perform(called.rtp, Keys::tones("607", 100, 100).sends());
        called.until_bye();
        assert_eq!(calling.wait().json()["digits"], "607");
        let (mut called, uri) = Called::ring(timing);
        let calling = antiphon(&["call", &uri, "--seconds", "2"]);
        called.answer(true);
        called
            .phone
            .perform(called.rtp, Keys::events("*41", 100, 60).sends());
        called.until_bye();
        let ended = calling.wait();
        assert!(ended.out.contains("pressed     *41\n"), "{ended:?}");
    });
}

#[test]
fn wrong_keys_lengths_and_methods_are_refused_clearly() {
    let long = "1".repeat(300);
    for (args, said) in [
        (["--dtmf", "12x"].as_slice(), "'x' is no key"),
        (&["--dtmf", ""], "key"),
        (&["--dtmf", &long], "64 keys"),
        (&["--dtmf", "1", "--dtmf-tone", "39"], "39"),
        (&["--dtmf", "1", "--dtmf-tone", "10001"], "10001"),
        (&["--dtmf", "1", "--dtmf-pause", "0"], "40..=10000"),
        (&["--dtmf", "1", "--dtmf-method", "morse"], "rfc4733"),
        (&["--dtmf-method", "info"], "--dtmf"),
        (&["--dtmf-tone", "50"], "--dtmf"),
    ] {
        // Nobody listens there, and nobody is called.
        let ended = antiphon(&[&["call", "sip:530@127.0.0.1:9"], args].concat()).wait();
        assert_eq!(ended.status, Some(2), "{args:?}: {ended:?}");
        assert!(ended.err.contains(said), "{args:?}: {ended:?}");
        assert_eq!(ended.out, "", "{args:?}");
    }
}
