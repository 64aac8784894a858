use super::*;
use crate::sip::header::Name;
use crate::sip::message::parse_datagram;
use crate::sip::transport::Transport;
use std::net::SocketAddr;

mod client;
mod corners;
mod refusals;

/// A request in which each test changes what it is about.
const INVITE: &str = "INVITE sip:bob@192.0.2.1 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKa1\r\n\
    From: <sip:alice@h>;tag=f1\r\n\
    To: <sip:bob@h>\r\n\
    Call-ID: c1\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@192.0.2.9:5070>\r\n\
    Max-Forwards: 70\r\n\r\n";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn flow(transport: Transport) -> Flow {
    Flow {
        transport,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "192.0.2.9:5070".parse().unwrap(),
        connection: transport.is_reliable().then_some(ConnectionId(1)),
        host: None,
    }
}

/// An endpoint at one instant, and what it has put out since it was last asked.
struct Bench {
    endpoint: Endpoint,
    now: Instant,
    flow: Flow,
    sent: Vec<(Flow, Message)>,
    events: Vec<Output>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Bench {
            endpoint: Endpoint::new(settings, 7),
            now: Instant::now(),
            flow: flow(Transport::Udp),
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    fn tcp() -> Self {
        let mut bench = Bench::new(Settings::default());
        bench.flow = flow(Transport::Tcp);
        bench
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { flow, bytes, .. } => {
                    self.sent.push((flow, parse_datagram(&bytes).unwrap()));
                }
                event => self.events.push(event),
            }
        }
    }

    fn receive(&mut self, text: &str) {
        let flow = self.flow;
        let input = match parse_datagram(text.as_bytes()) {
            Ok(message) => Input::Message { flow, message },
            Err(error) => Input::Malformed { flow, error },
        };
        self.endpoint.handle(input, self.now);
        self.drain();
    }

    /// Lets time pass, stopping at each timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.endpoint.handle_timeout(at);
            self.drain();
        }
        self.now = end;
    }

    /// The responses sent since the last call.
    fn responses(&mut self) -> Vec<Response> {
        std::mem::take(&mut self.sent)
            .into_iter()
            .filter_map(|(_, message)| match message {
                Message::Response(response) => Some(response),
                Message::Request(_) => None,
            })
            .collect()
    }

    fn statuses(&mut self) -> Vec<u16> {
        self.responses().iter().map(|r| r.status).collect()
    }

    /// The requests sent since the last call.
    fn requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.sent)
            .into_iter()
            .filter_map(|(_, message)| match message {
                Message::Request(request) => Some(request),
                Message::Response(_) => None,
            })
            .collect()
    }

    fn events(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.events)
    }

    /// The one request that has come to the caller.
    fn request(&mut self) -> (ServerId, Request) {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        match events.remove(0) {
            Output::Request {
                transaction,
                request,
                ..
            } => (transaction, request),
            other => panic!("not a request: {other:?}"),
        }
    }

    fn respond(&mut self, id: ServerId, request: &Request, status: u16) {
        let response = Response::to(request, status);
        self.endpoint.respond(id, response, self.now);
        self.drain();
    }
}

/// The ACK or CANCEL that fits `INVITE`, or another request on a branch of its own.
fn follow_up(method: &str, branch: &str, to_tag: &str) -> String {
    INVITE
        .replacen("INVITE", method, 1)
        .replace("1 INVITE", &format!("1 {method}"))
        .replace("z9hG4bKa1", branch)
        .replace("<sip:bob@h>", &format!("<sip:bob@h>{to_tag}"))
}
