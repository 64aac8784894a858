//! sipp walks through voicemail, by INFO and by telephone events; the audio of its call is the
//! test's own, heard and spoken.

use crate::support::media;
use crate::support::prompts;
use crate::support::server;
use crate::support::sipp;
use crate::support::tone;

use std::net::{SocketAddr, UdpSocket};

use media::{Phone, Timing, on_time};
use server::{Config, Server};
use sipp::Sipp;

const HZ: f64 = 1050.0;
/// What a phone says, dB relative to full scale.
const SAID_DB: f64 = -16.0 - media::OVERLOAD_DBM0;
/// How many packets of it.
const SAID: usize = 125;

/// A phone whose port is so far above free ones as sipp has to be told.
fn phone(timing: &Timing) -> Phone {
    for _ in 0..50 {
        let phone = Phone::v4(timing);
        let below = |n| UdpSocket::bind(("127.0.0.1", phone.address.port() - n)).is_ok();
        if (1..=4).all(below) {
            return phone;
        }
    }
    panic!("no free ports");
}

/// Waits until the call is there and gives the server's RTP address: the first packet's source.
fn peer(phone: &Phone) -> SocketAddr {
    phone.listen(1).0[0].from
}

fn walk(timing: &Timing, scenario: &str) {
    let server = Config::new().start();
    let phone = phone(timing);
    let port = phone.address.port();
    let spoken = std::thread::scope(|scope| {
        let sipp = scope.spawn(|| {
            let (rtp, media) = (port.to_string(), (port - 4).to_string());
            let run = Sipp::scenario(scenario).user("540");
            let run = run.arguments(&["-key", "rtp", &rtp, "-mp", &media]);
            run.run("udp", server.udp())
        });
        let rtp = peer(&phone);
        server.wait_log(" recording recording=");
        phone.say(rtp, media::tone(HZ as u32));
        phone.listen(SAID);
        phone.hush();
        server.wait_log("message left");
        let spoken = check_message(&server);
        assert_eq!(sipp.join().unwrap().successful, 1);
        spoken
    });
    let ended = server.wait_log(" ended ");
    assert!(ended.contains("reason=\"remote-hung-up\""), "{ended}");
    assert!(server.files_below("voicemail").is_empty(), "deleted");
    let heard = phone.all();
    heard.assert_unbroken();
    let heard = heard.samples();
    let names = [
        "menu-main",
        "vm-greeting",
        "vm-kept",
        "goodbye",
        "vm-pin",
        "vm-you-have",
        "digit-1",
        "vm-message",
        "vm-options",
        "vm-message-deleted",
        "vm-wrong",
        "menu-invalid",
    ];
    let said = prompts::said(&heard, &names);
    let expected = "menu-main vm-greeting vm-kept menu-main vm-pin vm-you-have digit-1 \
                    vm-message vm-message digit-1 vm-options vm-message-deleted";
    // What follows the deletion is cut short by the end of the call.
    let names = prompts::names(&said).join(" ");
    assert!(names.starts_with(expected), "{scenario}: {names}");
    // The message is heard behind its number.
    let number = said.iter().filter(|f| f.name == "digit-1").nth(1).unwrap();
    let run = tone::longest_run(&heard, HZ, SAID_DB, 3.0);
    let seconds = tone::seconds(run.len());
    assert!(
        (seconds - spoken).abs() < 0.1 && run.start > number.at,
        "{run:?}"
    );
}

/// The message is whole, on disk; how long the tone in it is, seconds.
fn check_message(server: &Server) -> f64 {
    let files = server.files_below("voicemail/100");
    let [sidecar, wav] = files.as_slice() else {
        panic!("{files:?}");
    };
    let sidecar = std::fs::read_to_string(sidecar).unwrap();
    assert!(sidecar.contains("\"sipp\""), "{sidecar}");
    let samples = tone::read(wav);
    let run = tone::longest_run(&samples, HZ, SAID_DB, 3.0);
    let said = tone::seconds(run.len());
    // The end of what comes is concealed for a moment.
    assert!((2.4..2.7).contains(&said), "{run:?}");
    let inner = &samples[run.start + tone::FRAME..run.end - tone::FRAME];
    tone::check_steady(inner, HZ, SAID_DB, "the message").unwrap();
    // The key that ended it came a second or so behind.
    let rest = tone::seconds(samples.len()) - said;
    assert!((0.2..2.5).contains(&rest), "{rest} s beside what was said");
    assert!(media::power(&samples[run.end + 10 * tone::FRAME..]) < media::SILENT);
    said
}

#[test]
fn by_info_and_by_events() {
    on_time(|timing| {
        std::thread::scope(|scope| {
            for scenario in ["voicemail_info", "voicemail_events"] {
                scope.spawn(move || walk(timing, scenario));
            }
        });
    });
}
