//! A switch without media, asked from any address over any transport: who gets in, and who does not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon::endpoint::{self, Access, Ban, BanSettings};
use antiphon::sip::auth::{self, Algorithm, Client, Ha1, Login, Users};
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response, parse_datagram};
use antiphon::sip::method::Method;
use antiphon::sip::transport::{ConnectionId, Flow, Transport};
use antiphon::switch::{Demand, Input, Output, Routes, Switch};

use super::{SERVER, routes, settings};

pub const PASSWORD: &str = "correct horse";

/// Alice, and bans as they are by default.
pub fn access() -> Access {
    let mut users = Users::default();
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let ha1 = Ha1::new(algorithm, "alice", "antiphon", PASSWORD);
        users.add("alice", algorithm, ha1);
    }
    Access {
        trusted: vec!["10.5.0.0/16".parse().unwrap()],
        drop_user_agents: vec!["Friendly-Scanner".into(), "sipvicious".into()],
        bans: Some(BanSettings::default()),
        auth: Some(auth::Settings::default()),
        users,
        keys: None,
    }
}

/// The usual routes; 500 wants a user.
pub fn guarded_routes() -> Routes {
    let mut routes = routes();
    routes.0[0].auth = true;
    routes
}

pub fn udp(ip: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: SERVER,
        remote: SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 5060),
        connection: None,
        host: None,
    }
}

pub fn tcp(ip: &str) -> Flow {
    Flow {
        transport: Transport::Tcp,
        connection: Some(ConnectionId(7)),
        ..udp(ip)
    }
}

pub fn client(user: &str, password: &str) -> Client {
    let (user, password) = (user.to_owned(), password.to_owned());
    Client::new(Arc::new(Login { user, password }), 7)
}

/// The server, and what it has said.
pub struct Door {
    pub switch: Switch,
    pub now: Instant,
    pub bans: Vec<Ban>,
    /// Sources that are heard again because somebody wanted so.
    pub unbanned: Vec<IpAddr>,
    /// Calls that were let in.
    pub calls: usize,
    next: u32,
}

impl Door {
    pub fn new(access: Access, demand: Demand, routes: Routes) -> Self {
        let mut settings = settings();
        settings.endpoint.access = access;
        settings.demand = demand;
        Self {
            switch: Switch::new(settings, routes, 1),
            now: Instant::now(),
            bans: Vec::new(),
            unbanned: Vec::new(),
            calls: 0,
            next: 0,
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.switch.handle_timeout(self.now);
        self.drain();
    }

    /// A request of its own transaction and dialog.
    pub fn request(&mut self, method: Method, user: &str) -> Request {
        self.next += 1;
        let n = self.next;
        let mut request = Request::new(method.clone(), &format!("sip:{user}@{SERVER}"));
        let headers = &mut request.headers;
        headers.push(
            Name::Via,
            format!("SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK{n:06};rport"),
        );
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, format!("<sip:alice@192.0.2.99>;tag={n:06}"));
        headers.push(Name::To, format!("<sip:{user}@{SERVER}>"));
        headers.push(Name::CallId, format!("call-{n:06}"));
        headers.push(Name::CSeq, format!("1000 {method}"));
        headers.push(Name::Contact, "<sip:alice@192.0.2.99>");
        request
    }

    /// The same once more, as a new transaction.
    pub fn again(&mut self, request: &Request) -> Request {
        self.next += 1;
        let mut request = request.clone();
        let via = format!(
            "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK{:06};rport",
            self.next
        );
        request.headers.set(Name::Via, via);
        let cseq = format!("{} {}", 1000 + self.next, request.method);
        request.headers.set(Name::CSeq, cseq);
        request
    }

    /// What the server answers at once.
    pub fn send(&mut self, request: &Request, flow: Flow) -> Option<Response> {
        let message = Message::Request(request.clone());
        let input = endpoint::Input::Message { flow, message };
        self.switch.handle(Input::Sip(input), self.now);
        self.drain()
    }

    /// And its status; 0: nothing, and no call either.
    pub fn status(&mut self, request: &Request, flow: Flow) -> u16 {
        let calls = self.calls;
        match self.send(request, flow) {
            Some(response) => response.status,
            None if self.calls > calls => 100,
            None => 0,
        }
    }

    /// Sends bytes as a datagram.
    pub fn datagram(&mut self, bytes: &[u8], flow: Flow) -> Option<Response> {
        let input = match parse_datagram(bytes) {
            Ok(message) => endpoint::Input::Message { flow, message },
            Err(error) => endpoint::Input::Malformed { flow, error },
        };
        self.switch.handle(Input::Sip(input), self.now);
        self.drain()
    }

    /// Sends a request as a user: once without credentials, once with them.
    pub fn login(&mut self, request: &Request, flow: Flow, client: &mut Client) -> u16 {
        let response = self.send(request, flow).expect("a challenge");
        assert_eq!(response.status, 401);
        assert!(client.challenged(&response));
        let mut request = self.again(request);
        client.authorize(&mut request);
        self.status(&request, flow)
    }

    fn drain(&mut self) -> Option<Response> {
        let mut last = None;
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { bytes, .. } => {
                    if let Ok(Message::Response(response)) = parse_datagram(&bytes) {
                        last = Some(response);
                    }
                }
                Output::Banned(ban) => self.bans.push(ban),
                Output::Unbanned(source) => self.unbanned.push(source),
                // No ports: the call ends, which is enough here.
                Output::Reserve { call, .. } => {
                    self.calls += 1;
                    let why = "a test".to_owned();
                    self.switch
                        .handle(Input::MediaFailed { call, why }, self.now);
                    while self.switch.poll_output().is_some() {}
                    return None;
                }
                _ => {}
            }
        }
        last
    }
}
