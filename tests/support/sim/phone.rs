//! A simulated telephone: its media, and what it needs to write SIP in one call.

use std::f64::consts::TAU;
use std::net::SocketAddr;

use antiphon::codec::Codec;
use antiphon::rtp::packet::{Header, write_header};
use antiphon::rtp::{HEADER_LEN, PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::sip::header::{Name, NameAddr};
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;

use super::SERVER;
use super::keys::Keys;

/// A packet that the phone got.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Arrival, us.
    pub at: u64,
    pub to: SocketAddr,
    pub from: SocketAddr,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload_type: u8,
    pub marker: bool,
    pub payload: Vec<u8>,
}

impl Heard {
    pub fn audio(&self) -> Vec<i16> {
        let codec = match self.payload_type {
            0 => Codec::Pcmu,
            8 => Codec::Pcma,
            other => panic!("payload type {other} was never offered"),
        };
        let mut out = vec![0; self.payload.len()];
        codec.decode(&self.payload, &mut out);
        out
    }
}

/// A SIP message that the phone got, with the address that it was sent to.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: u64,
    pub to: SocketAddr,
    pub message: Message,
    pub bytes: Vec<u8>,
}

/// What the phone says: one tone, continuous over everything.
#[derive(Clone, Debug)]
pub struct Voice {
    pub hz: f64,
    pub amplitude: f64,
    pub codec: Codec,
    pub ptime_ms: u32,
    pub ssrc: u32,
    pub seq: u16,
    pub timestamp: u32,
    pub samples: u64,
    /// Due time of the next packet, us; none: it is silent.
    pub next: Option<u64>,
    /// What is pressed from the next packet on.
    pub keys: Keys,
}

#[derive(Clone, Debug)]
pub struct Phone {
    pub index: usize,
    pub sip: SocketAddr,
    pub rtp: SocketAddr,
    pub voice: Voice,
    /// Where its RTP goes.
    pub target: Option<SocketAddr>,
    pub inbox: Vec<Received>,
    pub heard: Vec<Heard>,
    pub reports: Vec<(u64, Vec<u8>)>,
    /// Its DTLS.
    pub dtls: Vec<Vec<u8>>,
    /// The same that came to the port of RTCP.
    pub rtcp_dtls: Vec<Vec<u8>>,
    /// Gone: neither hears nor answers.
    pub vanished: bool,
    /// Whether it keeps what it hears.
    pub keep: bool,
    /// Whether its offers have telephone events (RFC 4733), as payload type 101.
    pub events: bool,
    // The call.
    pub call: u32,
    pub call_id: String,
    pub local: String,
    pub remote: String,
    pub remote_target: String,
    pub route: Vec<String>,
    pub cseq: u32,
    branch: u32,
    pub sdp_version: u32,
}

impl Phone {
    pub fn new(index: usize) -> Self {
        let ip = [10, 1 + (index >> 16) as u8, (index >> 8) as u8, index as u8];
        Self {
            index,
            sip: (ip, 5060).into(),
            rtp: (ip, 4000).into(),
            voice: Voice {
                // Primes: no product of the codec's distortion falls onto another's tone.
                hz: [311.0, 503.0, 727.0, 941.0, 1213.0, 1427.0, 1709.0, 419.0][index % 8],
                amplitude: 2500.0,
                codec: Codec::Pcmu,
                ptime_ms: 20,
                ssrc: 0x5000_0000 + index as u32,
                seq: 65_500,
                timestamp: u32::MAX - 4000,
                samples: 0,
                next: None,
                keys: Keys::default(),
            },
            events: false,
            target: None,
            inbox: Vec::new(),
            heard: Vec::new(),
            reports: Vec::new(),
            dtls: Vec::new(),
            rtcp_dtls: Vec::new(),
            vanished: false,
            keep: true,
            call: 0,
            call_id: String::new(),
            local: String::new(),
            remote: String::new(),
            remote_target: String::new(),
            route: Vec::new(),
            cseq: 0,
            branch: 0,
            sdp_version: 0,
        }
    }

    /// The phone's next packet.
    pub fn packet(&mut self) -> Vec<u8> {
        let voice = &mut self.voice;
        let count = voice.ptime_ms as usize * 8;
        if self.events
            && let Some((timestamp, marker, event)) = voice.keys.event(voice.timestamp, count)
        {
            let mut bytes = vec![0u8; 12];
            let header = Header {
                payload_type: PayloadType(101),
                seq: SeqNo(voice.seq),
                timestamp: Timestamp(timestamp),
                ssrc: Ssrc(voice.ssrc),
                marker,
            };
            write_header(&mut bytes, &header);
            bytes.extend_from_slice(&event);
            voice.samples += count as u64;
            voice.seq = voice.seq.wrapping_add(1);
            voice.timestamp = voice.timestamp.wrapping_add(count as u32);
            return bytes;
        }
        let tones = (!self.events).then(|| voice.keys.tones(count)).flatten();
        let pcm: Vec<i16> = (0..count)
            .map(|n| {
                let at = (voice.samples + n as u64) as f64 / 8000.0;
                ((TAU * voice.hz * at).sin() * voice.amplitude).round() as i16
            })
            .collect();
        let pcm = tones.unwrap_or(pcm);
        let mut bytes = vec![0u8; 12 + count];
        let payload_type = voice.codec.static_payload_type().unwrap();
        let header = Header {
            payload_type: PayloadType(payload_type),
            seq: SeqNo(voice.seq),
            timestamp: Timestamp(voice.timestamp),
            ssrc: Ssrc(voice.ssrc),
            marker: voice.samples == 0,
        };
        let head = write_header(&mut bytes, &header);
        voice.codec.encode(&pcm, &mut bytes[head..]);
        voice.samples += count as u64;
        voice.seq = voice.seq.wrapping_add(1);
        voice.timestamp = voice.timestamp.wrapping_add(count as u32);
        bytes
    }

    /// What it heard in packets that arrived from `from_ms` to `to_ms`, one after the other.
    pub fn audio(&self, from_ms: u64, to_ms: u64) -> Vec<i16> {
        self.heard
            .iter()
            .filter(|h| (from_ms * 1000..to_ms * 1000).contains(&h.at))
            .flat_map(Heard::audio)
            .collect()
    }

    /// Begins another call to `user`.
    pub fn begin(&mut self, user: &str) {
        self.call += 1;
        let (n, call) = (self.index, self.call);
        self.call_id = format!("call-{n}-{call}");
        self.local = format!("<sip:phone{n}@{}>;tag=p{n}c{call}", self.sip.ip());
        self.remote = format!("<sip:{user}@{SERVER}>");
        self.remote_target = format!("sip:{user}@{SERVER}");
        self.route.clear();
        self.cseq = 0;
        self.sdp_version = 0;
    }

    /// Goes on with a call that it had before it began others.
    #[allow(dead_code, reason = "for who has many calls")]
    pub fn resume(&mut self, earlier: &Phone) {
        let call = earlier.clone();
        (self.call, self.call_id) = (call.call, call.call_id);
        (self.local, self.remote) = (call.local, call.remote);
        (self.remote_target, self.route) = (call.remote_target, call.route);
        (self.cseq, self.sdp_version) = (call.cseq, call.sdp_version);
        self.target = call.target;
    }

    /// A request of the call, complete; each but ACK takes the next CSeq.
    pub fn request(&mut self, method: Method) -> Request {
        if method != Method::Ack {
            self.cseq += 1;
        }
        self.branch += 1;
        let mut request = Request::new(method.clone(), &self.remote_target);
        let headers = &mut request.headers;
        let branch = format!("z9hG4bK{}x{}", self.index, self.branch);
        headers.push(
            Name::Via,
            format!("SIP/2.0/UDP {};branch={branch};rport", self.sip),
        );
        for route in &self.route {
            headers.push(Name::Route, route.clone());
        }
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, self.local.clone());
        headers.push(Name::To, self.remote.clone());
        headers.push(Name::CallId, self.call_id.clone());
        headers.push(Name::CSeq, format!("{} {method}", self.cseq));
        headers.push(Name::Contact, self.contact());
        request
    }

    pub fn contact(&self) -> String {
        format!("<sip:phone{}@{}>", self.index, self.sip)
    }

    /// The INVITE of another call, with an offer.
    pub fn invite(&mut self, user: &str) -> Request {
        let mut request = self.invite_without_offer(user);
        put_sdp(&mut request, &self.sdp("sendrecv"));
        request
    }

    pub fn invite_without_offer(&mut self, user: &str) -> Request {
        self.begin(user);
        self.request(Method::Invite)
    }

    /// An INVITE of the running call with this description.
    pub fn reinvite(&mut self, sdp: &str) -> Request {
        let mut request = self.request(Method::Invite);
        put_sdp(&mut request, sdp);
        request
    }

    /// The phone's description: its codec first.
    pub fn sdp(&mut self, direction: &str) -> String {
        self.sdp_version += 1;
        let types = match self.voice.codec {
            Codec::Pcmu => "0 8",
            Codec::Pcma => "8 0",
            other => panic!("the phone does not speak {}", other.name()),
        };
        let (ip, port) = (self.rtp.ip(), self.rtp.port());
        let (number, map) = if self.events {
            (" 101", "a=rtpmap:101 telephone-event/8000\r\n")
        } else {
            ("", "")
        };
        format!(
            "v=0\r\no=- {} {} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {types}{number}\r\n{map}a=ptime:{}\r\na={direction}\r\n",
            1000 + self.call,
            self.sdp_version,
            self.voice.ptime_ms
        )
    }

    /// The ACK for a final response.
    pub fn ack(&mut self, response: &Response) -> Request {
        let cseq = response.headers.cseq().unwrap().number;
        let mut ack = self.request(Method::Ack);
        ack.headers.set(Name::CSeq, format!("{cseq} ACK"));
        ack.headers
            .set(Name::To, response.headers.get(&Name::To).unwrap());
        if response.status >= 300 {
            // The transaction's own (RFC 3261 §17.1.1.3).
            let via = response.headers.get(&Name::Via).unwrap();
            let via = via.split(";received").next().unwrap().to_owned();
            ack.headers.set(Name::Via, via);
        }
        ack
    }

    /// The CANCEL of an INVITE.
    pub fn cancel(invite: &Request) -> Request {
        let mut cancel = Request::new(Method::Cancel, &invite.uri);
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::Route] {
            for value in invite.headers.get_all(&name) {
                cancel.headers.push(name.clone(), value);
            }
        }
        let number = invite.headers.cseq().unwrap().number;
        cancel.headers.push(Name::CSeq, format!("{number} CANCEL"));
        cancel.headers.push(Name::MaxForwards, "70");
        cancel
    }

    /// The PRACK of a reliable provisional response.
    pub fn prack(&mut self, response: &Response) -> Request {
        let rseq = response.headers.rseq().unwrap().unwrap();
        let cseq = response.headers.cseq().unwrap();
        let mut prack = self.request(Method::Prack);
        prack.headers.set(Name::RAck, format!("{rseq} {cseq}"));
        prack
    }

    /// Takes the dialog, and where media goes, from a response to its INVITE.
    pub fn learn(&mut self, response: &Response) {
        let headers = &response.headers;
        headers.get(&Name::To).unwrap().clone_into(&mut self.remote);
        if let Some(contact) = headers.get(&Name::Contact) {
            self.remote_target = NameAddr::parse(contact).unwrap().uri.to_string();
        }
        self.route = headers
            .list(&Name::RecordRoute)
            .map(str::to_owned)
            .collect();
        self.route.reverse();
        self.learn_target(&response.body);
    }

    pub fn learn_target(&mut self, sdp: &[u8]) {
        if let Some(target) = media_address(sdp) {
            self.target = Some(target);
        }
    }

    /// Becomes the called side of this INVITE.
    pub fn called(&mut self, invite: &Request) {
        self.call += 1;
        let tag = format!("u{}c{}", self.index, self.call);
        let headers = &invite.headers;
        headers.call_id().unwrap().clone_into(&mut self.call_id);
        self.local = format!("{};tag={tag}", headers.get(&Name::To).unwrap());
        headers
            .get(&Name::From)
            .unwrap()
            .clone_into(&mut self.remote);
        self.remote_target = headers.contacts().unwrap()[0].uri.to_string();
        self.route.clear();
        self.cseq = 100;
        self.learn_target(&invite.body);
    }

    /// A response in the phone's dialog.
    pub fn response(&self, request: &Request, status: u16) -> Response {
        let mut response = Response::to(request, status);
        if status > 100 && !request.has_to_tag() {
            response.headers.set(Name::To, self.local.clone());
        }
        response.headers.set(Name::Contact, self.contact());
        response
    }
}

pub fn put_sdp(request: &mut Request, sdp: &str) {
    request.headers.set(Name::ContentType, "application/sdp");
    request.body = sdp.as_bytes().to_vec();
}

/// The packet that was heard, as it came.
#[allow(dead_code, reason = "for encrypted calls")]
pub fn whole(heard: &Heard) -> Vec<u8> {
    let mut packet = vec![0; HEADER_LEN];
    let header = Header {
        payload_type: PayloadType(heard.payload_type),
        marker: heard.marker,
        seq: SeqNo(heard.seq),
        timestamp: Timestamp(heard.timestamp),
        ssrc: Ssrc(heard.ssrc),
    };
    write_header(&mut packet, &header);
    packet.extend(&heard.payload);
    packet
}

/// Where a description wants its first stream.
pub fn media_address(sdp: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(sdp).ok()?;
    let ip = text
        .lines()
        .find_map(|l| l.strip_prefix("c=IN IP4 "))?
        .trim();
    let port = text
        .lines()
        .find_map(|l| l.strip_prefix("m=audio "))?
        .split(' ')
        .next()?;
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}
