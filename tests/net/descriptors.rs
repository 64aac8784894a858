//! A listener when the process has no descriptor left: it waits, and goes on when there is one.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use antiphon::net::sip::{Net, NetEvent, Settings};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(5);
const OPTIONS: &[u8] = b"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\n\
    Via: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:b@127.0.0.1>;tag=1\r\n\
    To: <sip:a@127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

/// In a process of its own, since the limit holds for all tests of one.
#[test]
fn accepting_goes_on_after_descriptors_ran_out() {
    let here = std::env::current_exe().unwrap();
    let status = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 40; exec \"$0\" --exact --ignored descriptors::within_40_descriptors",
        ])
        .arg(here)
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
#[ignore = "run by accepting_goes_on_after_descriptors_ran_out, under its limit"]
async fn within_40_descriptors() {
    let (sender, mut events) = mpsc::channel(16);
    let settings = Settings {
        tcp: vec!["127.0.0.1:0".parse().unwrap()],
        ..Settings::default()
    };
    let net = Net::bind(settings, sender).unwrap();
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
        assert!(held.len() < 100, "the limit does not hold");
    }
    held.pop();
    // The client takes the last one: the kernel completes the connection, nobody can accept it.
    let mut client = TcpStream::connect(net.listening()[0].1).await.unwrap();
    client.write_all(OPTIONS).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(net.stats().tcp_accepted, 0);
    held.clear();
    let event = timeout(LONG, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, NetEvent::Message { .. }));
}
