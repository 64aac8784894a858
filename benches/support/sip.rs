//! Just enough SIP to call: texts out, a few fields in.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::generator::format::Format;

/// What a caller must keep of a call.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The number in the Call-ID.
    pub number: usize,
    /// What was dialled.
    pub user: String,
    /// The caller's SIP address.
    pub local: SocketAddr,
    /// The server.
    pub server: SocketAddr,
    /// The answer's To tag; empty before.
    pub tag: String,
    /// Where requests within the dialog go; empty before the answer.
    pub target: String,
}

/// What a caller looks at in a response.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The number in the Call-ID.
    pub number: usize,
    /// The method in CSeq.
    pub method: &'a str,
    text: &'a str,
}

impl Dialog {
    /// A call that is about to be made.
    pub fn new(
        number: usize,
        user: impl Into<String>,
        local: SocketAddr,
        server: SocketAddr,
    ) -> Self {
        Self {
            number,
            user: user.into(),
            local,
            server,
            tag: String::new(),
            target: String::new(),
        }
    }

    /// The INVITE, offering PCMU at `media`.
    pub fn invite(&self, media: SocketAddr) -> String {
        self.invite_in(Format::Pcmu, media, None)
    }

    /// The INVITE, offering one format at `media`, and telephone events as payload type 101, as phones
    /// do; encrypted with the key in `crypto` (RFC 4568).
    pub fn invite_in(&self, format: Format, media: SocketAddr, crypto: Option<&str>) -> String {
        let (ip, port) = (media.ip(), media.port());
        let (profile, key) = match crypto {
            Some(crypto) => ("RTP/SAVP", format!("a=crypto:{crypto}\r\n")),
            None => ("RTP/AVP", String::new()),
        };
        let sdp = format!(
            "v=0\r\no=- {} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} {profile} {pt} 101\r\na=rtpmap:{pt} {}\r\na=rtpmap:101 telephone-event/{clock}\r\na=ptime:20\r\n\
             a=rtcp-mux\r\n{key}",
            self.number,
            format.rtpmap(),
            pt = format.payload_type(),
            clock = format.clock_rate(),
        );
        let body = format!(
            "Contact: <sip:bench@{}>\r\nContent-Type: application/sdp\r\n",
            self.local
        );
        self.request("INVITE", 1, &body, &sdp)
    }

    /// The ACK of a 200.
    pub fn ack(&self) -> String {
        self.request("ACK", 1, "", "")
    }

    /// The BYE.
    pub fn bye(&self) -> String {
        self.request("BYE", 2, "", "")
    }

    /// Keeps what the 200 said, once.
    pub fn answered(&mut self, response: &Response<'_>) {
        response.tag().clone_into(&mut self.tag);
        response.contact().clone_into(&mut self.target);
    }

    fn request(&self, method: &str, cseq: u32, headers: &str, body: &str) -> String {
        let Dialog {
            number: n,
            user,
            local,
            server,
            ..
        } = self;
        let uri = if self.target.is_empty() {
            format!("sip:{user}@{server}")
        } else {
            self.target.clone()
        };
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};rport;branch=z9hG4bK-{n}-{method}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:bench@{local}>;tag=b{n}\r\n\
             To: <sip:{user}@{server}>"
        );
        if !self.tag.is_empty() {
            let _ = write!(text, ";tag={}", self.tag);
        }
        let _ = write!(
            text,
            "\r\nCall-ID: bench-{n}@{local}\r\nCSeq: {cseq} {method}\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        text
    }
}

impl<'a> Response<'a> {
    /// Reads a datagram; `None` where it is no response to one of ours.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let status = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
        let call_id = field(text, "Call-ID")?;
        let number = call_id.strip_prefix("bench-")?.split('@').next()?;
        Some(Self {
            status,
            number: number.parse().ok()?,
            method: field(text, "CSeq")?.split(' ').nth(1)?,
            text,
        })
    }

    /// All of it.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The status line.
    pub fn first_line(&self) -> &'a str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The RTP port of the answer.
    pub fn media_port(&self) -> Option<u16> {
        let media = self.text.split("m=audio ").nth(1)?;
        media.split(' ').next()?.parse().ok()
    }

    fn tag(&self) -> &'a str {
        let to = field(self.text, "To").unwrap_or_default();
        to.split(";tag=").nth(1).unwrap_or_default()
    }

    fn contact(&self) -> &'a str {
        let contact = field(self.text, "Contact").unwrap_or_default();
        contact.split(['<', '>']).nth(1).unwrap_or(contact)
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\r\n{name}: "))?;
    rest.split("\r\n").next()
}
