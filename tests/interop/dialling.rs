//! Rooms that call a name.

use crate::support::dns::{Entry, NameServer};
use crate::support::server::{Config, PATIENCE};
use crate::support::sip::{Call, Peer, sdp};

use std::net::{SocketAddr, UdpSocket};

const ROOM: &str = r#"
[[room]]
name = "601"
keypad = "dials"

[[keypad]]
name = "dials"
[[keypad.key]]
digits = "9"
action = "dial-out=sip:desk@pbx.example"
"#;

fn desk() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Knows where one desk is.
fn names_of(desk: &UdpSocket) -> NameServer {
    let port = desk.local_addr().unwrap().port();
    let service = "_sip._udp.pbx.example";
    NameServer::start(vec![
        (service, Entry::Srv(1, 1, port, "host.example")),
        ("host.example", Entry::Address([127, 0, 0, 1].into())),
    ])
}

fn asking(names: &NameServer) -> Config {
    let servers = format!("[\"{}\"]", names.address);
    Config::new()
        .set("sip", "dns_servers", servers)
        .tables(ROOM)
}

#[test]
fn a_room_asks_the_name_servers_that_are_configured_and_others_after_sighup() {
    let desks = [desk(), desk()];
    let names = desks.each_ref().map(names_of);
    let server = asking(&names[0]).start();
    let offer = sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "");
    let mut call = Call::establish(Peer::udp(server.udp()), "601", &offer);
    server.wait_log("joined");
    for (n, desk) in desks.iter().enumerate() {
        if n > 0 {
            server.rewrite(&asking(&names[n]));
            server.hang_up();
            server.wait_log("SIGHUP: routes");
        }
        let kind = "Content-Type: application/dtmf-relay\r\n";
        let answer = call.request("INFO", kind, "Signal=9\r\nDuration=160\r\n");
        assert_eq!(answer.status(), 200);
        let mut invite = [0; 4096];
        let (length, _) = desk.recv_from(&mut invite).unwrap();
        let invite = String::from_utf8_lossy(&invite[..length]);
        assert!(
            invite.starts_with("INVITE sip:desk@pbx.example "),
            "{invite}"
        );
    }
}
