//! Media of an address, by a server that listens for SIP on streams alone.

use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite;

use crate::program::SECRET;
use crate::support::web;

#[test]
fn external_media_needs_no_sip_over_udp() {
    let server = crate::configured().set("sip", "udp", "[]").start();
    let here = server.address("http", false);
    let url = format!("ws://{here}/ari/events?app=meeting&api_key=meeting:{SECRET}");
    // It is read as long as the channel lives.
    let (_socket, _) = tungstenite::client(url, TcpStream::connect(here).unwrap()).unwrap();
    let media = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Some(Duration::from_secs(15));
    media.set_read_timeout(patience).unwrap();
    let there = media.local_addr().unwrap();
    let post = |path: &str| {
        let (status, body) = web::ask("POST", here, &format!("/ari/channels/{path}"), SECRET);
        assert!((200..300).contains(&status), "{path}: {status} {body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let channel = post(&format!(
        "externalMedia?app=meeting&format=ulaw&external_host={there}&channelId=ext"
    ));
    let variables = &channel["channelvars"];
    assert_eq!(variables["UNICASTRTP_LOCAL_ADDRESS"], "127.0.0.1");
    post("ext/play?media=tone:1000/10000");
    let (_, from) = media.recv_from(&mut [0; 1500]).unwrap();
    let port = &variables["UNICASTRTP_LOCAL_PORT"];
    assert_eq!(*port, from.port().to_string());
}
