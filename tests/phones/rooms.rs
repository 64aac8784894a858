//! Rooms with a PIN, over real sockets: what is asked and said, the spoken name's file, and a call
//! that a room places to a telephone which is busy.

use crate::support::line;
use crate::support::media;
use crate::support::server;

use std::net::UdpSocket;
use std::time::Duration;

use line::Line;
use media::{on_time, tone};
use server::Config;

const ROOMS: &str = r##"
[[room]]
name = "601"
pin = "3141"
moderator_pin = "27182"
names = "review"
moderator_keypad = "dials"

[[keypad]]
name = "dials"
[[keypad.key]]
digits = "3"
action = "count"
[[keypad.key]]
digits = "9"
action = "dial-out=sip:busy@BUSY"
[[keypad.key]]
digits = "#"
action = "end"
"##;

/// A telephone that is busy, for one call.
fn busy(socket: &UdpSocket) -> String {
    let mut bytes = [0; 4096];
    let (length, from) = socket.recv_from(&mut bytes).unwrap();
    let invite = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let headers = invite
        .lines()
        .filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let mut answer = "SIP/2.0 486 Busy Here\r\n".to_owned();
    for line in headers {
        let tag = if line.starts_with("To:") {
            ";tag=busy"
        } else {
            ""
        };
        answer = format!("{answer}{line}{tag}\r\n");
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    socket.send_to(answer.as_bytes(), from).unwrap();
    invite
}

/// Says its name, and accepts it.
fn name(line: &mut Line) {
    line.await_whole("conf-say-name");
    line.say(tone(440));
    line.await_whole("beep");
    std::thread::sleep(Duration::from_millis(900));
    // What it says would be heard above all announcements.
    line.hush();
    line.press("#");
    line.await_begin("conf-review");
    line.press("1");
}

#[test]
fn a_pin_a_name_and_a_call_out_of_the_room() {
    on_time(|timing| {
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        phone
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let rooms = ROOMS.replace("BUSY", &phone.local_addr().unwrap().to_string());
        let server = Config::new().tables(&rooms).start();
        let mut lead = Line::dial(&server, timing, "601");
        lead.await_begin("conf-pin");
        lead.press("27181#");
        lead.await_whole("conf-wrong-pin");
        lead.press("27182#");
        name(&mut lead);
        server.wait_log("joined");
        assert!(server.wait_log("PIN refused").contains("601"));
        let mut member = Line::dial(&server, timing, "601");
        member.await_begin("conf-pin");
        member.press("3141#");
        name(&mut member);
        lead.await_whole("conf-joined");
        lead.press("3");
        lead.await_whole("conf-count");
        lead.await_whole("digit-2");
        lead.press("9");
        let invite = busy(&phone);
        assert!(invite.contains("sip:conference@"), "{invite}");
        lead.await_whole("conf-not-joined");
        lead.press("#");
        member.await_whole("conf-ended");
        member.await_bye();
        lead.await_bye();
        server.wait_log("room is gone");
    });
}
