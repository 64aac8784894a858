//! Keys in a conference: the others hear what the member says before and after, and not the keys.

use crate::support::keys;
use crate::support::media;
use crate::support::server;
use crate::support::sip;

use keys::{Keys, OFFER};
use media::{Phone, Timing, level, on_time};
use server::{Config, Server};
use sip::{Call, Peer, sdp};

/// What the member says around its keys.
const SPEECH: f64 = 450.0;
/// How long, each time.
const SPOKEN_MS: usize = 600;
/// A tone counts as heard down to so many dB below its level: a quarter of its amplitude, which is
/// what a click at another tone's edge does not reach.
const SLACK: f64 = 12.0;

fn member(
    server: &Server,
    timing: &Timing,
    room: &str,
    (formats, lines): (&str, &str),
) -> (Call, Phone) {
    let phone = Phone::v4(timing);
    let body = sdp(phone.address, formats, lines);
    (Call::establish(Peer::udp(server.udp()), room, &body), phone)
}

/// What the other member hears while one sends this.
fn overheard(server: &Server, timing: &Timing, offer: (&str, &str), keys: &Keys) -> Vec<i16> {
    let room = format!("conf-{}", sip::unique());
    let (mut listening, ear) = member(server, timing, &room, ("0", ""));
    let (mut pressing, phone) = member(server, timing, &room, offer);
    // It is heard before anything counts.
    phone.say(pressing.ok.rtp(), media::tone(1850));
    ear.await_tone(1850.0, true);
    phone.hush();
    ear.await_tone(1850.0, false);
    let from = ear.all().samples().len();
    phone.perform(pressing.ok.rtp(), keys.sends());
    // What was sent last is heard at the latest with the deepest buffer.
    ear.listen(20);
    let heard = ear.all();
    heard.assert_unbroken();
    pressing.hang_up();
    listening.hang_up();
    heard.samples()[from..].to_vec()
}

/// For how many ms these frequencies are all heard, at most so much below their level.
fn ms_of(samples: &[i16], hz: &[f64], dbm0: f64) -> usize {
    let windows = samples.chunks_exact(80);
    let has = |w: &&[i16]| hz.iter().all(|hz| level(w, *hz) > dbm0 - SLACK);
    10 * windows.filter(has).count()
}

/// The leak of each key, and that what is said around them is there.
fn check(heard: &[i16], keys: &str, speech_ms: usize) -> Vec<(char, usize)> {
    let leaks = keys
        .chars()
        .map(|key| {
            let hz = keys::frequencies(key);
            (key, ms_of(heard, &hz, keys::KEY_DBM0))
        })
        .collect();
    let spoken = heard
        .chunks_exact(80)
        .filter(|w| (level(w, SPEECH) + 16.0).abs() < 3.0);
    let spoken = 10 * spoken.count();
    // A key's begin may be taken out of what is said right before it, and fades are not steady.
    let missing = speech_ms.saturating_sub(spoken);
    let pieces = keys.len() + 1;
    assert!(
        missing <= 60 * pieces,
        "{spoken} of {speech_ms} ms of speech around {keys}"
    );
    leaks
}

/// The tones are there where nobody takes them out, so that their absence says something.
#[test]
fn the_ear_hears_leaks() {
    let samples = |keys: &Keys| -> Vec<i16> {
        keys.sends()
            .iter()
            .flat_map(|s| s.payload.iter().map(|c| media::Law::Mu.decode(*c)))
            .collect()
    };
    let keys = Keys::new()
        .speech(SPEECH, 600)
        .tone('5', 40)
        .speech(SPEECH, 600);
    let heard = samples(&keys);
    let leaks = check(&heard, "5", 1200);
    assert!((40..=50).contains(&leaks[0].1), "{leaks:?}");
    let spoken = std::panic::catch_unwind(|| check(&heard[..heard.len() / 2], "5", 1200));
    assert!(spoken.is_err());
}

#[test]
fn events_are_not_heard_nor_the_tones_that_a_gateway_leaves_beside_them() {
    let server = Config::new().start();
    // Clean events; tones beside them; tones that come 40 ms before the first event, since the
    // gateway has to find out first, and go on for 20 ms behind the last.
    on_time(|timing| {
        std::thread::scope(|scope| {
            let server = &server;
            for (lead, tail, leaks) in [(0, 0, false), (0, 0, true), (40, 20, true)] {
                scope.spawn(move || {
                    let mut keys = Keys::new().speech(SPEECH, SPOKEN_MS);
                    for key in "5#1".chars() {
                        if lead > 0 {
                            keys = keys.tone(key, lead);
                        }
                        keys = keys.event_beside(key, 160, leaks);
                        if tail > 0 {
                            keys = keys.tone(key, tail);
                        }
                        keys = keys.speech(SPEECH, SPOKEN_MS);
                    }
                    let heard = overheard(server, timing, ("0 101", OFFER), &keys);
                    let heard = check(&heard, "5#1", 4 * SPOKEN_MS);
                    eprintln!("{lead}+{tail} ms around, beside: {leaks}: {heard:?}");
                    // A window that it only begins or ends in counts as well.
                    let edge = if lead + tail > 0 { 10 } else { 0 };
                    for (key, ms) in heard {
                        assert!(ms <= lead + tail + edge, "{ms} ms of {key}, lead {lead} ms");
                    }
                });
            }
        });
    });
}

#[test]
fn tones_are_heard_for_20_ms_at_most() {
    let server = Config::new().start();
    on_time(|timing| {
        std::thread::scope(|scope| {
            let server = &server;
            // With and without a pause around the key.
            for (ms, pause) in [(60, 60), (100, 60), (400, 60), (100, 0)] {
                scope.spawn(move || {
                    let mut keys = Keys::new().speech(SPEECH, SPOKEN_MS);
                    for key in "5#1D".chars() {
                        keys = keys.silence(pause).tone(key, ms).silence(pause);
                        keys = keys.speech(SPEECH, SPOKEN_MS);
                    }
                    let heard = overheard(server, timing, ("0", ""), &keys);
                    let heard = check(&heard, "5#1D", 5 * SPOKEN_MS);
                    eprintln!("{ms} ms, pause {pause} ms: {heard:?}");
                    for (key, leaked) in heard {
                        assert!(leaked <= 20, "{leaked} ms of {key}, which is {ms} ms long");
                    }
                });
            }
        });
    });
}
