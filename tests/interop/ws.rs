//! A call over WebSocket, as a browser's SIP library makes it (its media aside): echo, and a
//! hang-up of the server's over the same connection.

use crate::support::server;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response, parse_datagram};
use antiphon::sip::method::Method;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Part;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(10);

struct Browser {
    socket: WebSocketStream<TcpStream>,
    media: UdpSocket,
    cseq: u32,
}

impl Browser {
    async fn connect(to: SocketAddr) -> Self {
        let mut request = "ws://127.0.0.1/".into_client_request().unwrap();
        let name = "Sec-WebSocket-Protocol";
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static("sip"));
        let stream = TcpStream::connect(to).await.unwrap();
        let (socket, _) = client_async(request, stream).await.unwrap();
        let media = UdpSocket::bind("127.0.0.1:0").unwrap();
        media.set_read_timeout(Some(PATIENCE)).unwrap();
        let cseq = 0;
        Self {
            socket,
            media,
            cseq,
        }
    }

    fn request(&mut self, method: &Method, user: &str, to: &str) -> Request {
        if *method != Method::Ack {
            self.cseq += 1;
        }
        let mut request = Request::new(method.clone(), &format!("sip:{user}@pbx.invalid"));
        let headers = &mut request.headers;
        let branch = format!("z9hG4bK{method}{}", self.cseq);
        headers.set(Name::Via, format!("SIP/2.0/WS b.invalid;branch={branch}"));
        headers.set(Name::MaxForwards, "70");
        headers.set(Name::From, "<sip:b@b.invalid>;tag=b");
        headers.set(Name::To, to);
        headers.set(Name::CallId, "browser");
        headers.set(Name::CSeq, format!("{} {method}", self.cseq));
        headers.set(Name::Contact, "<sip:b@b.invalid;transport=ws>");
        request
    }

    async fn send(&mut self, message: &[u8]) {
        let text = String::from_utf8(message.to_vec()).unwrap();
        self.socket.send(Part::Text(text.into())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        loop {
            let part = timeout(PATIENCE, self.socket.next()).await.unwrap();
            if let Part::Text(text) = part.unwrap().unwrap() {
                return parse_datagram(text.as_bytes()).unwrap();
            }
        }
    }

    /// Dials, and acknowledges the 200; where the server's media is.
    async fn dial(&mut self, user: &str) -> (Response, SocketAddr) {
        let mut invite = self.request(&Method::Invite, user, &format!("<sip:{user}@pbx.invalid>"));
        let port = self.media.local_addr().unwrap().port();
        invite.headers.set(Name::ContentType, "application/sdp");
        invite.body = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\n"
        )
        .into_bytes();
        self.send(&invite.to_bytes()).await;
        let answer = loop {
            match self.next().await {
                Message::Response(response) if response.status >= 200 => break response,
                _ => {}
            }
        };
        assert_eq!(answer.status, 200);
        let contact = answer.headers.get(&Name::Contact).unwrap();
        assert!(contact.ends_with(";transport=ws>"), "{contact}");
        let to = answer.headers.get(&Name::To).unwrap().to_owned();
        let ack = self.request(&Method::Ack, user, &to);
        self.send(&ack.to_bytes()).await;
        let sdp = String::from_utf8(answer.body.clone()).unwrap();
        let media = sdp.lines().find_map(|line| line.strip_prefix("m=audio "));
        let port = media.unwrap().split(' ').next().unwrap().parse().unwrap();
        (answer, SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

fn packet(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&number.to_be_bytes());
    packet.extend_from_slice(&(u32::from(number) * 160).to_be_bytes());
    packet.extend_from_slice(&7_u32.to_be_bytes());
    // A square wave of 400 Hz in u-law.
    packet.extend((0..160).map(|n| if n / 10 % 2 == 0 { 0x90 } else { 0x10 }));
    packet
}

#[tokio::test]
async fn a_browser_hears_its_echo() {
    let server = server::Config::new()
        .set("sip", "ws", "[\"127.0.0.1:0\"]")
        .start();
    let mut browser = Browser::connect(server.address("ws", false)).await;
    let (answer, media) = browser.dial("500").await;
    let mut echoed = 0;
    for number in 0..50 {
        browser.media.send_to(&packet(number), media).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    browser.media.set_nonblocking(true).unwrap();
    let mut buffer = [0; 500];
    while let Ok(length) = browser.media.recv(&mut buffer) {
        let loud = buffer[12..length].iter().filter(|b| **b & 0x7f == 0x10);
        echoed += usize::from(loud.count() == 160);
    }
    assert!(echoed > 30, "{echoed} packets of the echo");
    let to = answer.headers.get(&Name::To).unwrap().to_owned();
    let bye = browser.request(&Method::Bye, "500", &to);
    browser.send(&bye.to_bytes()).await;
    assert!(matches!(browser.next().await, Message::Response(r) if r.status == 200));
    server.wait_log(" ended ");
}

#[tokio::test]
async fn the_server_hangs_up_over_the_browsers_connection() {
    let server = server::Config::new()
        .set("sip", "ws", "[\"127.0.0.1:0\"]")
        .start();
    let mut browser = Browser::connect(server.address("ws", false)).await;
    browser.dial("510").await;
    let Message::Request(bye) = browser.next().await else {
        panic!("no request");
    };
    assert_eq!(bye.method, Method::Bye);
    let reply = Response::to(&bye, 200);
    browser.send(&reply.to_bytes()).await;
    let line = server.wait_log(" ended ");
    assert!(line.contains("reason=\"hung-up\""), "{line}");
}
