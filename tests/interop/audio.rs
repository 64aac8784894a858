//! Calls with audio over real sockets, judged by ear: which tone is heard by whom, how loud.

use crate::support::media;
use crate::support::server;
use crate::support::sip;

use std::f64::consts::TAU;
use std::time::Duration;

use media::{Heard, Law, Phone, Timing, Tone, assert_level, level, on_time, tone};
use server::{Config, Server};
use sip::{Call, Peer, sdp};

/// Tones of parties: apart from each other and from each other's sums and multiples, whole periods
/// in 20 ms.
const TONES: [u32; 3] = [450, 1050, 1850];

/// Calls a user over a transport with a phone of the same family.
fn call(server: &Server, timing: &Timing, transport: &str, v6: bool, user: &str) -> (Call, Phone) {
    let peer = Peer::over(transport, server.address(transport, v6));
    let phone = Phone::new(timing, peer.local.ip());
    let call = Call::establish(peer, user, &sdp(phone.address, "0", ""));
    (call, phone)
}

#[test]
fn the_ear_hears_what_is_there() {
    // The helpers themselves: a tone is found at its level, a hole in it is noticed.
    let wave = |hz: f64, amplitude: f64| -> Vec<i16> {
        let sample = |n| (amplitude * (TAU * hz * f64::from(n) / 8000.0).sin()) as i16;
        (0..800).map(sample).collect()
    };
    // A full-scale sine is +3.14 dBm0, a tenth of it 20 dB less.
    let samples = wave(1050.0, 3276.7);
    assert!((level(&samples, 1050.0) + 16.86).abs() < 0.1);
    assert!(level(&samples, 450.0) < -60.0);
    let broken = Heard(Vec::new());
    assert!(std::panic::catch_unwind(|| broken.assert_tone(tone(450))).is_err());
    assert_eq!(Law::Mu.decode(0xff), 0);
    assert_eq!(Law::Mu.decode(0x80), 32124);
    assert_eq!(Law::A.decode(0xd5), 8);
    assert_eq!(Law::A.decode(0xaa), 32256);
}

#[test]
fn echo_gives_back_the_tone_over_udp_and_tcp_and_both_families() {
    let server = Config::new().start();
    for (transport, v6) in [("udp", false), ("tcp", false), ("udp", true), ("tcp", true)] {
        on_time(|timing| {
            let (mut call, phone) = call(&server, timing, transport, v6, "500");
            assert_eq!(call.ok.rtp().is_ipv6(), v6);
            phone.say(call.ok.rtp(), tone(1000));
            phone.await_tone(1000.0, true);
            phone.listen(50).assert_steady(tone(1000));
            phone.say(
                call.ok.rtp(),
                Tone {
                    hz: 1000.0,
                    dbm0: -30.0,
                },
            );
            phone.listen(25);
            let quiet = phone.listen(25);
            quiet.assert_steady(Tone {
                hz: 1000.0,
                dbm0: -30.0,
            });
            quiet.assert_absent(450.0);
            call.hang_up();
        });
    }
}

#[test]
fn echo_in_a_law() {
    let server = Config::new().start();
    on_time(|timing| {
        let phone = Phone::v4(timing);
        let offer = sdp(phone.address, "8", "");
        let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer);
        phone.say_in(call.ok.rtp(), tone(1050), Law::A);
        phone.await_tone(1050.0, true);
        let heard = phone.listen(50);
        assert!(heard.0.iter().all(|p| p.payload_type == 8));
        heard.assert_steady(tone(1050));
        call.hang_up();
    });
}

#[test]
fn play_is_heard_whole_then_the_server_hangs_up() {
    let server = Config::new()
        .route("user = \"700\"\napp = \"play\"\ntone_hz = 1000")
        .start();
    for transport in ["udp", "tcp"] {
        on_time(|timing| {
            let (mut call, phone) = call(&server, timing, transport, false, "700");
            let bye = call.serve("BYE");
            assert_eq!(bye.header("Call-ID"), call.dialog.call_id);
            phone.await_break(Duration::from_millis(100));
            let samples = phone.all().samples();
            phone.all().assert_unbroken();
            // One second of tone, wherever it begins; its edges are not whole windows.
            let loud = samples
                .chunks_exact(80)
                .filter(|w| level(w, 1000.0) > -17.0)
                .count();
            assert!((98..=101).contains(&loud), "{loud} windows of 10 ms");
            let first = samples
                .chunks_exact(80)
                .position(|w| level(w, 1000.0) > -17.0)
                .unwrap();
            assert_level(&samples[(first + 1) * 80..(first + 97) * 80], tone(1000));
        });
    }
}

#[test]
fn record_keeps_the_tone_and_the_silence_before_it() {
    let server = Config::new()
        .route("user = \"take-(.*)\"\napp = \"record\"\nname = \"$1\"\nbeep = false")
        .start();
    for (transport, v6) in [("udp", false), ("tcp", true)] {
        on_time(|timing| {
            let name = sip::unique();
            let (mut call, phone) = call(&server, timing, transport, v6, &format!("take-{name}"));
            // Half a second of nothing, a second of tone.
            phone.listen(25);
            phone.say(call.ok.rtp(), tone(1050));
            phone.listen(50);
            call.hang_up();
            server.wait_log(&format!("{name}.wav seconds"));
            let file = server
                .directory()
                .join("recordings")
                .join(format!("{name}.wav"));
            let mut wav = hound::WavReader::open(file).unwrap();
            assert_eq!(wav.spec().sample_rate, 8000);
            let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
            let loud = |w: &[i16]| level(w, 1050.0) > -17.0;
            let first = samples.chunks_exact(160).position(loud).unwrap();
            assert!(
                (15..=40).contains(&first),
                "the tone begins at {} ms",
                first * 20
            );
            assert!(media::power(&samples[..(first - 2) * 160]) < media::SILENT);
            let last = samples.chunks_exact(160).rposition(loud).unwrap();
            assert!(
                (46..=54).contains(&(last - first)),
                "{} ms of tone",
                (last - first) * 20
            );
            for window in samples[(first + 1) * 160..last * 160].chunks_exact(160) {
                assert_level(window, tone(1050));
            }
        });
    }
}

#[test]
fn a_conference_gives_each_the_others_and_not_itself() {
    let server = Config::new().start();
    on_time(|timing| {
        let room = format!("conf-{}", sip::unique());
        let mut parties: Vec<_> = [("udp", false), ("tcp", false), ("udp", true)]
            .into_iter()
            .map(|(transport, v6)| call(&server, timing, transport, v6, &room))
            .collect();
        parties[0].1.listen(5).assert_silent();
        for ((call, phone), hz) in parties.iter().zip(TONES) {
            phone.say(call.ok.rtp(), tone(hz));
        }
        for (n, (_, phone)) in parties.iter().enumerate() {
            for (other, hz) in TONES
                .into_iter()
                .enumerate()
                .filter(|(other, _)| *other != n)
            {
                assert_ne!(other, n);
                phone.await_tone(f64::from(hz), true);
            }
        }
        for (n, (_, phone)) in parties.iter().enumerate() {
            let heard = phone.listen(50);
            for (other, hz) in TONES.into_iter().enumerate() {
                if other == n {
                    heard.assert_absent(f64::from(hz));
                } else {
                    heard.assert_steady(tone(hz));
                }
            }
        }
        // One leaves: the others hear it no more, and each other without a break.
        let (mut leaving, phone) = parties.remove(0);
        leaving.hang_up();
        drop(phone);
        parties[0].1.await_tone(f64::from(TONES[0]), false);
        let heard = parties[0].1.listen(25);
        heard.assert_absent(f64::from(TONES[0]));
        heard.assert_steady(tone(TONES[2]));
        for (call, _) in &mut parties {
            call.hang_up();
        }
    });
}

#[test]
fn rooms_do_not_hear_each_other() {
    let server = Config::new().start();
    on_time(|timing| {
        let rooms = [sip::unique(), sip::unique()];
        let parties: Vec<_> = (0..4)
            .map(|n| {
                call(
                    &server,
                    timing,
                    "udp",
                    false,
                    &format!("conf-{}", rooms[n / 2]),
                )
            })
            .collect();
        parties[0].1.say(parties[0].0.ok.rtp(), tone(TONES[0]));
        parties[2].1.say(parties[2].0.ok.rtp(), tone(TONES[1]));
        for (listener, own, other) in [(1, 0, 1), (3, 1, 0)] {
            let phone = &parties[listener].1;
            phone.await_tone(f64::from(TONES[own]), true);
            let heard = phone.listen(25);
            heard.assert_steady(tone(TONES[own]));
            heard.assert_absent(f64::from(TONES[other]));
        }
        for (mut call, _) in parties {
            call.hang_up();
        }
    });
}
