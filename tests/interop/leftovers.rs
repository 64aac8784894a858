//! After real calls with real faults the process holds as many descriptors and threads as before:
//! no socket, file or thread is left of any of them.

use crate::support::server;
use crate::support::sip;
use crate::support::sipp;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use server::{Config, Server};
use sip::{Call, Peer, sdp};
use sipp::Sipp;

/// Ports rest 5 s, a call without media ends after 2 s, one without ACK after 64*T1.
const REST: Duration = Duration::from_secs(25);

/// What a directory of `/proc/PID` lists.
fn count(server: &Server, what: &str) -> usize {
    let path = format!("/proc/{}/{what}", server.pid());
    fs::read_dir(path).unwrap().count()
}

/// Calls of all kinds, over both transports; some callers vanish.
fn calls(server: &Server, each: u32) {
    for transport in ["udp", "tcp"] {
        let address = server.address(transport, false);
        for (name, user) in [
            ("short_call", "500"),
            ("cancel", "500"),
            ("hold_resume", "520"),
        ] {
            Sipp::scenario(name)
                .user(user)
                .calls(each, 5)
                .run(transport, address);
        }
        for user in ["500", "520", "600"] {
            let body = sdp("127.0.0.1:9".parse().unwrap(), "0", "");
            // Dropped without a word, in the call and before its ACK.
            drop(Call::establish(Peer::over(transport, address), user, &body));
            let mut peer = Peer::over(transport, address);
            let mut half = sip::Dialog::new(&peer, user);
            let invite = half.request(&peer, "INVITE", "", &body);
            peer.send(&invite);
            peer.answer();
            peer.send(&invite.as_bytes()[..invite.len() / 2]);
        }
    }
}

#[test]
fn no_descriptor_and_no_thread_is_left_of_calls() {
    let config = Config::new()
        .set("sip", "t1_ms", 100)
        .set("media", "timeout_seconds", 2);
    let server = config.start();
    // What is opened once and kept is opened now.
    calls(&server, 1);
    sleep(REST);
    let before = (count(&server, "fd"), count(&server, "task"));
    calls(&server, 12);
    assert!(count(&server, "fd") > before.0, "calls hold sockets");
    let until = Instant::now() + REST;
    loop {
        let now = (count(&server, "fd"), count(&server, "task"));
        if now == before {
            return;
        }
        assert!(
            Instant::now() < until,
            "descriptors and threads: {before:?} before, {now:?} after"
        );
        sleep(Duration::from_millis(200));
    }
}
