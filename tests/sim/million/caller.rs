//! A caller as small as can be: one call, one manner.

use std::fmt::Write;
use std::net::SocketAddr;

use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;
use rand::Rng;
use rand::rngs::StdRng;

use super::world::Tally;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Polite,
    /// Gone without a word, once it talks.
    Vanishes,
    Cancels,
    NeverAcknowledges,
    /// Hangs up before it acknowledges.
    EarlyBye,
    /// Puts on hold by a re-INVITE.
    Holds,
    /// Sends broken messages in between.
    Garbles,
    /// Leaves it to the server to hang up.
    Stays,
}

/// A request that is sent again until it is answered.
struct Pending {
    cseq: u32,
    method: Method,
    bytes: Vec<u8>,
    at: u64,
    interval: u64,
    until: u64,
}

pub struct Caller {
    index: u32,
    manner: Manner,
    user: String,
    cseq: u32,
    tag: String,
    talking: bool,
    gone: bool,
    acts_at: u64,
    ends_at: u64,
    armed: u64,
    pending: Vec<Pending>,
    /// The final responses of its INVITEs: each has one.
    finals: Vec<(u32, Vec<u8>)>,
}

const NEVER: u64 = u64::MAX;
const T1_US: u64 = 500_000;

impl Caller {
    pub fn new(index: u32, us: u64, rng: &mut StdRng) -> Self {
        let manner = match rng.random_range(0..100) {
            0..50 => Manner::Polite,
            50..58 => Manner::Vanishes,
            58..66 => Manner::Cancels,
            66..71 => Manner::NeverAcknowledges,
            71..78 => Manner::EarlyBye,
            78..86 => Manner::Holds,
            86..92 => Manner::Garbles,
            _ => Manner::Stays,
        };
        let user = match rng.random_range(0..10) {
            0..4 => "e".to_owned(),
            4..6 => "p".to_owned(),
            6 => "r".to_owned(),
            7 if rng.random_bool(0.2) => "nobody".to_owned(),
            _ => format!("c{:02}", rng.random_range(0..99)),
        };
        Self {
            index,
            manner,
            user,
            cseq: 0,
            tag: String::new(),
            talking: false,
            gone: false,
            acts_at: us
                + match manner {
                    Manner::Cancels => rng.random_range(0..300_000),
                    _ => rng.random_range(0..1_500_000),
                },
            ends_at: us + rng.random_range(300_000..6_000_000),
            armed: NEVER,
            pending: Vec::new(),
            finals: Vec::new(),
        }
    }

    pub fn address(index: u32) -> SocketAddr {
        let [a, b, c, d] = index.to_be_bytes();
        SocketAddr::from(([10 + a, b, c, d], 5060))
    }

    pub fn index(address: SocketAddr) -> Option<u32> {
        let SocketAddr::V4(v4) = address else {
            return None;
        };
        let [a, b, c, d] = v4.ip().octets();
        Some(u32::from_be_bytes([a.checked_sub(10)?, b, c, d]))
    }

    pub fn start(&mut self, us: u64, out: &mut Vec<Vec<u8>>) {
        self.ask(Method::Invite, "sendrecv", us, out);
    }

    /// When it is to be woken, where that is not known yet.
    pub fn arm(&mut self) -> Option<u64> {
        let next = self.pending.iter().map(|p| p.at.min(p.until)).min();
        let next = next.unwrap_or(NEVER).min(self.acts_at).min(self.ends_at);
        if next >= self.armed {
            return None;
        }
        self.armed = next;
        Some(next)
    }

    pub fn wake(&mut self, us: u64, garble: u64, out: &mut Vec<Vec<u8>>, tally: &mut Tally) {
        self.armed = NEVER;
        if self.gone {
            return;
        }
        if us >= self.acts_at {
            self.acts_at = NEVER;
            self.act(us, garble, out, tally);
        }
        if us >= self.ends_at {
            self.ends_at = NEVER;
            if self.talking && self.manner != Manner::Stays {
                self.ask(Method::Bye, "", us, out);
            }
        }
        self.pending.retain(|p| us < p.until);
        for pending in self.pending.iter_mut().filter(|p| p.at <= us) {
            pending.interval = (pending.interval * 2).min(8 * T1_US);
            pending.at = us + pending.interval;
            out.push(pending.bytes.clone());
        }
    }

    fn act(&mut self, us: u64, garble: u64, out: &mut Vec<Vec<u8>>, tally: &mut Tally) {
        match self.manner {
            Manner::Vanishes if self.talking => {
                tally.vanished += 1;
                self.leave();
            }
            Manner::Cancels => {
                tally.cancelled += 1;
                let bytes = self.message(&Method::Cancel, 1, "z9hG4bK", "");
                self.pend(Method::Cancel, 1, bytes, us, out);
            }
            Manner::Holds if self.talking => {
                self.ask(Method::Invite, "sendonly", us, out);
            }
            Manner::Garbles if self.talking => {
                tally.garbled += 1;
                let mut bytes = self.message(&Method::Options, 99, "z9hG4bKg", "");
                let at = garble as usize % bytes.len();
                bytes[at] = (garble >> 32) as u8;
                if garble & 1 << 63 == 0 {
                    bytes.truncate(at.max(1));
                }
                out.push(bytes);
            }
            _ => {}
        }
    }

    fn leave(&mut self) {
        self.gone = true;
        self.pending.clear();
        self.acts_at = NEVER;
        self.ends_at = NEVER;
    }

    pub fn receive(
        &mut self,
        message: Message,
        bytes: &[u8],
        us: u64,
        out: &mut Vec<Vec<u8>>,
        tally: &mut Tally,
    ) {
        if self.gone {
            return;
        }
        match message {
            Message::Request(request) => self.on_request(&request, out, tally),
            Message::Response(response) => self.on_response(&response, bytes, us, out, tally),
        }
    }

    fn on_request(&mut self, request: &Request, out: &mut Vec<Vec<u8>>, tally: &mut Tally) {
        if request.method == Method::Ack {
            return;
        }
        if request.method == Method::Bye {
            tally.server_byes += 1;
            self.talking = false;
        }
        let mut response = Response::to(request, 200);
        if request.method == Method::Invite {
            response.headers.set(Name::ContentType, "application/sdp");
            response.body = self.sdp("sendrecv").into_bytes();
        }
        out.push(response.to_bytes());
    }

    fn on_response(
        &mut self,
        response: &Response,
        bytes: &[u8],
        us: u64,
        out: &mut Vec<Vec<u8>>,
        tally: &mut Tally,
    ) {
        // The answer to something broken may be broken there, too.
        let Ok(cseq) = response.headers.cseq() else {
            return;
        };
        if response.status >= 200 || cseq.method == Method::Invite {
            self.pending
                .retain(|p| p.cseq != cseq.number || p.method != cseq.method);
        }
        if response.status < 200 || cseq.method != Method::Invite {
            return;
        }
        let known = self
            .finals
            .iter()
            .find(|(number, _)| *number == cseq.number);
        let again = known.is_some();
        if let Some((_, known)) = known {
            assert_eq!(known, bytes, "an INVITE has two final responses");
        } else {
            self.finals.push((cseq.number, bytes.to_vec()));
        }
        if response.status >= 300 {
            tally.refused += u64::from(!again && cseq.number == 1);
            let ack = self.message(&Method::Ack, cseq.number, "z9hG4bK", response_to(response));
            out.push(ack);
            return;
        }
        let first = cseq.number == 1 && !again;
        if first {
            response
                .to_tag()
                .unwrap_or_default()
                .clone_into(&mut self.tag);
        }
        if self.manner == Manner::NeverAcknowledges {
            tally.silent += u64::from(first);
            return;
        }
        if first {
            tally.answered += 1;
            self.talking = true;
            if self.manner == Manner::EarlyBye {
                self.ends_at = NEVER;
                self.ask(Method::Bye, "", us, out);
            }
        }
        out.push(self.message(&Method::Ack, cseq.number, "z9hG4bKack", ""));
    }

    /// Sends a request of its own, again until it is answered.
    fn ask(&mut self, method: Method, direction: &str, us: u64, out: &mut Vec<Vec<u8>>) {
        self.cseq += 1;
        let body = if direction.is_empty() {
            String::new()
        } else {
            self.sdp(direction)
        };
        let mut bytes = self.message(&method, self.cseq, "z9hG4bK", "");
        if !body.is_empty() {
            bytes.truncate(bytes.len() - b"Content-Length: 0\r\n\r\n".len());
            let head = format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            bytes.extend_from_slice(head.as_bytes());
        }
        self.pend(method, self.cseq, bytes, us, out);
    }

    fn pend(&mut self, method: Method, cseq: u32, bytes: Vec<u8>, us: u64, out: &mut Vec<Vec<u8>>) {
        out.push(bytes.clone());
        self.pending.push(Pending {
            cseq,
            method,
            bytes,
            at: us + T1_US,
            interval: T1_US,
            until: us + 64 * T1_US,
        });
    }

    /// A message of the call without a body; `to` where that is given by a response.
    fn message(&self, method: &Method, cseq: u32, branch: &str, to: &str) -> Vec<u8> {
        let (n, user, ip) = (self.index, &self.user, Self::address(self.index).ip());
        let mut text = format!(
            "{method} sip:{user}@10.255.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {ip}:5060;branch={branch}{n}x{cseq};rport\r\n\
             From: <sip:{n}@{ip}>;tag=f{n}\r\n"
        );
        let in_dialog = cseq > 1 || (*method == Method::Ack && !self.tag.is_empty());
        let _ = match (to, in_dialog) {
            ("", true) => write!(text, "To: <sip:{user}@10.255.0.1>;tag={}\r\n", self.tag),
            ("", false) => write!(text, "To: <sip:{user}@10.255.0.1>\r\n"),
            (to, _) => write!(text, "To: {to}\r\n"),
        };
        let _ = write!(
            text,
            "Call-ID: c{n}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:{n}@{ip}>\r\nContent-Length: 0\r\n\r\n"
        );
        text.into_bytes()
    }

    fn sdp(&self, direction: &str) -> String {
        let ip = Self::address(self.index).ip();
        let version = self.cseq;
        format!(
            "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 0\r\na={direction}\r\n"
        )
    }
}

fn response_to(response: &Response) -> &str {
    response.headers.get(&Name::To).unwrap_or_default()
}
