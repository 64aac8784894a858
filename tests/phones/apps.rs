//! A real telephone and the built-in numbers: over UDP, TCP and IPv6, with and without having
//! registered, hung up from either side.

use crate::support::baresip;
use crate::support::pacing;
use crate::support::prompts;
use crate::support::server;
use crate::support::tone;

use std::path::Path;
use std::time::Duration;

use baresip::{Phone, Source};
use server::Server;

const HZ: f64 = 450.0;
const AMPLITUDE: f64 = 0.25;
const TALK: Duration = Duration::from_secs(2);

/// The three ways to a server.
#[derive(Clone, Copy, Debug)]
enum Way {
    Udp,
    Tcp,
    V6,
}

fn phone<'a>(server: &Server, way: Way, source: Source<'a>) -> Phone<'a> {
    match way {
        Way::Udp => Phone::new("alice", server.udp(), source),
        Way::Tcp => Phone::new("alice", server.tcp(), source).tcp(),
        Way::V6 => Phone::new("alice", server.address("udp", true), source),
    }
}

/// The tone is there for `seconds`, within what setting up and hanging up takes.
fn check_tone(samples: &[i16], seconds: f64, what: &str) -> Result<(), String> {
    let expected = tone::db(AMPLITUDE);
    let run = tone::longest_run(samples, HZ, expected, 3.0);
    let length = tone::seconds(run.len());
    if (length - seconds).abs() > 0.3 {
        return Err(format!(
            "{what}: {length:.2} s of the tone, {seconds:.2} expected"
        ));
    }
    let inner = run.start + tone::FRAME..run.end - tone::FRAME;
    tone::check_steady(&samples[inner], HZ, expected, what)
}

fn echo(way: Way) {
    pacing::in_time(|watch| {
        let server = server::Config::new().start();
        let mut phone = phone(&server, way, Source::Tone(HZ, AMPLITUDE)).start();
        watch.add(phone.pid());
        phone.dial("500");
        std::thread::sleep(TALK);
        phone.hang_up();
        let line = server.wait_log(" ended ");
        assert!(line.contains("reason=\"remote-hung-up\""), "{line}");
        assert!(line.contains("rx_lost=0 "), "{line}");
        check_tone(&phone.heard(), TALK.as_secs_f64(), "the echo")
    });
}

#[test]
fn echo_over_udp() {
    echo(Way::Udp);
}

#[test]
fn echo_over_tcp() {
    echo(Way::Tcp);
}

#[test]
fn echo_over_ipv6() {
    echo(Way::V6);
}

fn record(way: Way) {
    pacing::in_time(|watch| {
        let server = server::Config::new().start();
        let mut phone = phone(&server, way, Source::Tone(HZ, AMPLITUDE)).start();
        watch.add(phone.pid());
        phone.dial("520");
        std::thread::sleep(TALK);
        phone.hang_up();
        let closed = server.wait_log("recording closed");
        let ended = server.wait_log(" ended ");
        let files = server.recordings();
        assert_eq!(files.len(), 1, "{files:?}");
        let name = files[0].file_name().unwrap().to_str().unwrap();
        assert!(name.contains("-alice-"), "{name}");
        let samples = tone::read(&files[0]);
        let length = tone::seconds(samples.len());
        let talked = field(&ended, "talked_s");
        assert!(
            (length - field(&closed, "seconds")).abs() < 1e-3,
            "{closed}"
        );
        if (length - talked).abs() > 0.1 {
            return Err(format!("{length:.3} s recorded of a call of {talked:.3} s"));
        }
        check_tone(&samples, TALK.as_secs_f64(), "the recording")
    });
}

#[test]
fn record_over_udp() {
    record(Way::Udp);
}

#[test]
fn record_over_tcp() {
    record(Way::Tcp);
}

#[test]
fn record_over_ipv6() {
    record(Way::V6);
}

/// A figure of a log line: `NAME=1.5`.
fn field(line: &str, name: &str) -> f64 {
    let text = line
        .split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    text.unwrap_or_else(|| panic!("no {name}: {line}"))
        .parse()
        .unwrap()
}

#[test]
fn the_welcome_prompt_is_heard_as_it_is_and_the_server_hangs_up() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/media/welcome.wav"));
    // Either sample of a pair may be the one that the server's resampler keeps.
    let wholes = [0, 1].map(|phase| prompts::narrowband(path, phase));
    for way in [Way::Udp, Way::Tcp, Way::V6] {
        pacing::in_time(|watch| {
            let server = server::Config::new().start();
            let mut phone = phone(&server, way, Source::Tone(HZ, AMPLITUDE)).start();
            watch.add(phone.pid());
            phone.dial("510");
            phone.wait_closed();
            let line = server.wait_log(" ended ");
            assert!(line.contains("reason=\"hung-up\""), "{line}");
            let heard = phone.heard();
            // At the BYE baresip throws away what is in its buffers: 100 ms here. That the very end
            // is sent is for phones_playing.rs, by lengths.
            let parts = wholes
                .each_ref()
                .map(|p| &p[tone::FRAME..p.len() - 8 * tone::FRAME]);
            if heard.len() < parts[0].len() {
                let (heard, whole) = (tone::seconds(heard.len()), tone::seconds(parts[0].len()));
                return Err(format!("{way:?}: {heard:.3} s heard of {whole:.3} s"));
            }
            let found = parts.map(|part| (correlation(part, &heard), part));
            let best = |a: &((f64, usize), _), b: &((f64, usize), _)| a.0.0.total_cmp(&b.0.0);
            let ((likeness, at), part) = found.into_iter().max_by(best).unwrap();
            let gain = level(&heard[at..at + part.len()]) - level(part);
            if likeness < 0.97 || gain.abs() > 1.0 {
                return Err(format!(
                    "{way:?}: correlation {likeness:.3} at {at}, {gain:.1} dB"
                ));
            }
            Ok(())
        });
    }
}

/// The best likeness of `what` in `heard`, and where: it begins in the first 300 ms.
fn correlation(what: &[f64], heard: &[i16]) -> (f64, usize) {
    let likeness = prompts::correlate(what, heard);
    likeness
        .into_iter()
        .take(2400)
        .zip(0..)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

fn level<T: Copy + Into<f64>>(samples: &[T]) -> f64 {
    let square = samples
        .iter()
        .map(|s| (*s).into() * (*s).into())
        .sum::<f64>();
    tone::db((square / samples.len() as f64).sqrt() / 32768.0)
}

#[test]
fn a_phone_registers_and_then_dials() {
    for way in [Way::Udp, Way::Tcp, Way::V6] {
        let server = server::Config::new().start();
        let mut phone = phone(&server, way, Source::Tone(HZ, AMPLITUDE))
            .register()
            .start();
        assert!(phone.registered(), "{way:?}");
        phone.dial("500");
        phone.hang_up();
        server.wait_log(" ended ");
    }
}

#[test]
fn a_server_that_takes_no_registrations_says_so() {
    let server = server::Config::new().set("sip", "registrations", 0).start();
    let source = Source::Tone(HZ, AMPLITUDE);
    let mut phone = phone(&server, Way::Udp, source).register().start();
    assert!(!phone.registered());
}

#[test]
fn an_unknown_user_is_told_so() {
    let server = server::Config::new().start();
    let mut phone = phone(&server, Way::Udp, Source::Tone(HZ, AMPLITUDE)).start();
    assert_eq!(phone.dial_in_vain("nobody"), "404 Not Found");
}

#[test]
fn a_shutdown_hangs_up_on_a_phone() {
    let server = server::Config::new()
        .set("server", "shutdown_seconds", 1)
        .start();
    let mut phone = phone(&server, Way::Udp, Source::Tone(HZ, AMPLITUDE)).start();
    phone.dial("520");
    server.terminate();
    phone.wait_closed();
    assert!(server.wait_exit().success());
    let line = server.wait_log(" ended ");
    assert!(line.contains("reason=\"shutdown\""), "{line}");
    let files = server.recordings();
    let samples = tone::read(&files[0]);
    assert!(samples.len() > tone::RATE / 2, "{} samples", samples.len());
}
