//! What a test makes phones do.

use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;

use super::net::Kind;
use super::phone::Received;
use super::{SERVER, World};

/// How long an answer of the server may take in here, ms.
const PROMPT: u64 = 50;

impl World {
    /// A phone sends a request.
    pub fn send(&mut self, phone: usize, request: &Request) {
        self.send_bytes(phone, &request.to_bytes());
    }

    /// A phone sends a response.
    pub fn reply(&mut self, phone: usize, response: &Response) {
        self.send_bytes(phone, &response.to_bytes());
    }

    pub fn send_bytes(&mut self, phone: usize, bytes: &[u8]) {
        let (us, from) = (self.us(), self.phones[phone].sip);
        self.net.send(Kind::Sip, us, from, SERVER, bytes);
    }

    /// The next SIP message for a phone, but for 100.
    pub fn next(&mut self, phone: usize, within_ms: u64) -> Option<Received> {
        for _ in 0..=within_ms {
            while !self.phones[phone].inbox.is_empty() {
                let received = self.phones[phone].inbox.remove(0);
                if !matches!(&received.message, Message::Response(r) if r.status == 100) {
                    return Some(received);
                }
            }
            self.step();
        }
        None
    }

    /// The next message must be a response with this status.
    #[track_caller]
    pub fn expect(&mut self, phone: usize, status: u16) -> Response {
        match self.next(phone, PROMPT).map(|r| r.message) {
            Some(Message::Response(r)) if r.status == status => r,
            other => panic!("phone {phone} waits for {status}, and gets {other:#?}"),
        }
    }

    /// The next message must be a request with this method.
    #[track_caller]
    pub fn expect_request(&mut self, phone: usize, method: &Method) -> Request {
        self.expect_request_within(phone, method, PROMPT)
    }

    #[track_caller]
    pub fn expect_request_within(&mut self, phone: usize, method: &Method, ms: u64) -> Request {
        match self.next(phone, ms).map(|r| r.message) {
            Some(Message::Request(r)) if r.method == *method => r,
            other => panic!("phone {phone} waits for {method}, and gets {other:#?}"),
        }
    }

    /// Nothing may come for so long.
    #[track_caller]
    pub fn expect_nothing(&mut self, phone: usize, ms: u64) {
        if let Some(other) = self.next(phone, ms) {
            panic!("phone {phone} waits for nothing, and gets {other:#?}");
        }
    }

    /// Dials, and acknowledges the answer; the phone talks from then on.
    #[track_caller]
    pub fn dial(&mut self, phone: usize, user: &str) -> Response {
        let invite = self.phones[phone].invite(user);
        self.dial_with(phone, &invite)
    }

    #[track_caller]
    pub fn dial_with(&mut self, phone: usize, invite: &Request) -> Response {
        let ok = self.set_up(phone, invite);
        self.speak(phone);
        self.run(2);
        ok
    }

    /// Dials, and acknowledges the answer.
    #[track_caller]
    pub fn set_up(&mut self, phone: usize, invite: &Request) -> Response {
        self.send(phone, invite);
        let ok = self.expect(phone, 200);
        self.phones[phone].learn(&ok);
        let ack = self.phones[phone].ack(&ok);
        self.send(phone, &ack);
        ok
    }

    /// The phone begins to talk at a phase of its own.
    pub fn speak(&mut self, phone: usize) {
        self.phones[phone].voice.next = Some(self.us() + 313 + 700 * phone as u64);
    }

    pub fn hush(&mut self, phone: usize) {
        self.phones[phone].voice.next = None;
    }

    /// The phone hangs up.
    #[track_caller]
    pub fn hang_up(&mut self, phone: usize) {
        let bye = self.phones[phone].request(Method::Bye);
        self.send(phone, &bye);
        self.expect(phone, 200);
        self.hush(phone);
    }

    /// A request in the phone's dialog and its answer.
    #[track_caller]
    pub fn ask(&mut self, phone: usize, request: &Request, status: u16) -> Response {
        self.send(phone, request);
        let response = self.expect(phone, status);
        if request.method == Method::Invite {
            let ack = self.phones[phone].ack(&response);
            self.send(phone, &ack);
            if status < 300 {
                self.phones[phone].learn_target(&response.body);
            }
            self.run(2);
        }
        response
    }
}
