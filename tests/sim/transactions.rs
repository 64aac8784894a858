//! Two endpoints over a simulated network that loses, duplicates, delays and reorders: whatever it
//! does, each request reaches its server once, each client learns one end, and nothing is left.

use antiphon::endpoint::{ClientId, Endpoint, Input, Limits, Output, ServerId, Settings};
use antiphon::sip::header::Name;
use antiphon::sip::message::{Request, Response, parse_datagram};
use antiphon::sip::method::Method;
use antiphon::sip::transport::{Flow, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the network does to a datagram.
struct Weather {
    loss: f64,
    duplication: f64,
    delay_ms: std::ops::Range<u64>,
}

/// What the callee does with a call, by the user that is dialled.
const KINDS: [&str; 5] = ["answer", "ring", "busy", "cancel", "early"];

/// Things that happen later.
enum Due {
    Arrive { at_server: bool, bytes: Vec<u8> },
    Call(usize),
    Answer(ServerId, Box<Request>, u16),
    HangUp(usize),
    Cancel(ClientId),
}

/// What has become of one call.
#[derive(Debug, Default)]
struct Call {
    invites: u32,
    acks: u32,
    ack_timeouts: u32,
    cancels: u32,
    byes: u32,
    final_status: Vec<u16>,
    bye_status: Vec<u16>,
    /// The caller has seen a reliable provisional response.
    early: bool,
    pracks: u32,
    prack_timeouts: u32,
}

struct World {
    now: Instant,
    rng: StdRng,
    weather: Weather,
    client: Endpoint,
    server: Endpoint,
    queue: BTreeMap<(Instant, u64), Due>,
    sequence: u64,
    calls: Vec<Call>,
    by_client: HashMap<ClientId, (usize, Method)>,
    by_server: HashMap<ServerId, usize>,
    /// The INVITEs as the server got them, to answer them once more.
    invites: HashMap<usize, Request>,
    /// Their transactions.
    ids: HashMap<usize, ServerId>,
    peak: usize,
    sent: usize,
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5060))
}

fn flow(local: u8, remote: u8) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: address(local),
        remote: address(remote),
        connection: None,
        host: None,
    }
}

impl World {
    fn new(seed: u64, weather: Weather) -> Self {
        let settings = Settings {
            limits: Limits {
                calls_per_second_per_source: 0,
                ..Limits::default()
            },
            ..Settings::default()
        };
        World {
            now: Instant::now(),
            rng: StdRng::seed_from_u64(seed),
            weather,
            client: Endpoint::new(settings.clone(), seed + 1),
            server: Endpoint::new(settings, seed + 2),
            queue: BTreeMap::new(),
            sequence: 0,
            calls: Vec::new(),
            by_client: HashMap::new(),
            by_server: HashMap::new(),
            invites: HashMap::new(),
            ids: HashMap::new(),
            peak: 0,
            sent: 0,
        }
    }

    fn later(&mut self, ms: u64, due: Due) {
        self.sequence += 1;
        let at = self.now + Duration::from_millis(ms);
        self.queue.insert((at, self.sequence), due);
    }

    fn carry(&mut self, at_server: bool, bytes: &[u8]) {
        self.sent += 1;
        let copies = 1 + u32::from(self.rng.random_bool(self.weather.duplication));
        for _ in 0..copies {
            if !self.rng.random_bool(self.weather.loss) {
                let delay = self.rng.random_range(self.weather.delay_ms.clone());
                let bytes = bytes.to_vec();
                self.later(delay, Due::Arrive { at_server, bytes });
            }
        }
    }

    /// Starts `count` calls, one each `interval_ms`, and runs until nothing is left to happen.
    fn run(&mut self, count: usize, interval_ms: u64) {
        for n in 0..count {
            self.calls.push(Call::default());
            self.later(n as u64 * interval_ms, Due::Call(n));
        }
        loop {
            let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = timers.into_iter().flatten().chain(next).min() else {
                return;
            };
            assert!(at >= self.now, "time goes forward");
            self.now = at;
            if next == Some(at) {
                if let Some((_, due)) = self.queue.pop_first() {
                    self.happen(due);
                }
            } else {
                self.client.handle_timeout(at);
                self.server.handle_timeout(at);
            }
            self.drain();
            self.peak = self.peak.max(self.server.transactions());
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Arrive { at_server, bytes } => {
                let (endpoint, flow) = if at_server {
                    (&mut self.server, flow(1, 2))
                } else {
                    (&mut self.client, flow(2, 1))
                };
                let message = parse_datagram(&bytes).expect("endpoints send messages");
                endpoint.handle(Input::Message { flow, message }, self.now);
            }
            Due::Call(n) => self.request(n, Method::Invite, 1, ""),
            Due::Answer(id, request, status) => {
                let mut response = Response::to(&request, status);
                if status == 183 {
                    response.headers.push(Name::RSeq, "7");
                    response.headers.push(Name::Require, "100rel");
                }
                self.server.respond_reliable(id, response, self.now);
            }
            Due::HangUp(n) => self.request(n, Method::Bye, 3, ";tag=callee"),
            Due::Cancel(id) => self.client.cancel(id, self.now),
        }
    }

    fn request(&mut self, n: usize, method: Method, cseq: u32, to_tag: &str) {
        let request = request(n, &method, cseq, to_tag);
        let id = self
            .client
            .request(request, flow(2, 1), self.now)
            .expect("within the limit");
        if method == Method::Invite && kind(n) == "cancel" {
            let after = self.rng.random_range(0..3000);
            self.later(after, Due::Cancel(id));
        }
        self.by_client.insert(id, (n, method));
    }

    fn drain(&mut self) {
        loop {
            if let Some(output) = self.client.poll_output() {
                self.at_client(output);
            } else if let Some(output) = self.server.poll_output() {
                self.at_server(output);
            } else {
                return;
            }
        }
    }

    fn at_client(&mut self, output: Output) {
        let (id, status, response) = match output {
            Output::Transmit { bytes, .. } => return self.carry(true, &bytes),
            Output::Response {
                transaction,
                response,
            } => (transaction, response.status, Some(response)),
            Output::Timeout { transaction } => (transaction, 408, None),
            other => panic!("{other:?}"),
        };
        let (n, method) = self.by_client[&id].clone();
        let call = &mut self.calls[n];
        if status < 200 {
            let reliable = response.is_some_and(|r| r.headers.contains(&Name::RSeq));
            if reliable && !std::mem::replace(&mut call.early, true) {
                self.request(n, Method::Prack, 2, ";tag=callee");
            }
            return;
        }
        if method == Method::Prack {
            return;
        }
        if method == Method::Bye {
            call.bye_status.push(status);
            return;
        }
        let first = call.final_status.is_empty();
        if first || status >= 300 {
            call.final_status.push(status);
        }
        if status < 300 {
            assert_eq!(response.and_then(|r| r.to_tag()).as_deref(), Some("callee"));
            let ack = request(n, &Method::Ack, 1, ";tag=callee");
            self.client.send_ack(ack, flow(2, 1));
            if first {
                self.later(1000, Due::HangUp(n));
            }
        }
    }

    fn at_server(&mut self, output: Output) {
        match output {
            Output::Transmit { flow, bytes, .. } => {
                assert_eq!(flow.remote, address(2));
                self.carry(false, &bytes);
            }
            Output::Request {
                transaction,
                request,
                ..
            } => {
                let call_id = request.headers.call_id().expect("checked");
                let n: usize = call_id.parse().expect("we wrote it");
                self.by_server.insert(transaction, n);
                self.asked(n, transaction, &request);
            }
            Output::Cancelled { transaction, .. } => {
                let n = self.by_server[&transaction];
                self.calls[n].cancels += 1;
                let invite = &self.invites[&n];
                self.server
                    .respond(transaction, Response::to(invite, 487), self.now);
            }
            Output::Ack { transaction, .. } => self.calls[self.by_server[&transaction]].acks += 1,
            Output::AckTimeout { transaction } => {
                self.calls[self.by_server[&transaction]].ack_timeouts += 1;
            }
            Output::ProvisionalTimeout { transaction } => {
                self.calls[self.by_server[&transaction]].prack_timeouts += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    fn asked(&mut self, n: usize, id: ServerId, request: &Request) {
        let mut request = Box::new(request.clone());
        if request.method == Method::Bye {
            self.calls[n].byes += 1;
            return self.later(0, Due::Answer(id, request, 200));
        }
        if request.method == Method::Prack {
            self.calls[n].pracks += 1;
            let invite = self.ids[&n];
            let expected = self.server.provisional_acknowledged(invite, 7);
            let status = if expected { 200 } else { 481 };
            return self.later(0, Due::Answer(id, request, status));
        }
        self.calls[n].invites += 1;
        self.ids.insert(n, id);
        request.headers.set(Name::To, "<sip:b@h>;tag=callee");
        let steps: &[(u64, u16)] = match kind(n) {
            "answer" => &[(0, 200)],
            "ring" => &[(50, 180), (2500, 200)],
            "busy" => &[(300, 486)],
            "early" => &[(30, 183), (2500, 200)],
            // Should its caller give up without a word, as no provisional response has reached it.
            _ => &[(20, 180), (60_000, 480)],
        };
        for (after, status) in steps {
            self.later(*after, Due::Answer(id, request.clone(), *status));
        }
        self.invites.insert(n, *request);
    }
}

fn kind(n: usize) -> &'static str {
    KINDS[n % KINDS.len()]
}

fn request(n: usize, method: &Method, cseq: u32, to_tag: &str) -> Request {
    let mut request = Request::new(method.clone(), "sip:b@192.0.2.1");
    for (name, value) in [
        (Name::From, format!("<sip:a@h>;tag=caller{n}")),
        (Name::To, format!("<sip:b@h>{to_tag}")),
        (Name::CallId, n.to_string()),
        (Name::CSeq, format!("{cseq} {method}")),
    ] {
        request.headers.push(name, value);
    }
    request
}

#[test]
fn a_clean_network_needs_no_repetition() {
    let mut world = World::new(
        1,
        Weather {
            loss: 0.0,
            duplication: 0.0,
            delay_ms: 1..10,
        },
    );
    world.run(400, 5);
    for (n, call) in world.calls.iter().enumerate() {
        let (status, byes) = match kind(n) {
            "busy" => (486, 0),
            "cancel" => (487, 0),
            _ => (200, 1),
        };
        assert_eq!(call.final_status, [status], "{n}");
        assert_eq!((call.invites, call.byes), (1, byes), "{n}");
        assert_eq!((call.acks, call.ack_timeouts), (byes, 0), "{n}");
        let early = u32::from(kind(n) == "early");
        assert_eq!((call.pracks, call.prack_timeouts), (early, 0), "{n}");
    }
    // answer: INVITE 200 ACK BYE 200; ring: 180 more; busy: INVITE 100 486 ACK; cancel: INVITE 180
    // CANCEL 200 487 ACK; early: INVITE 183 PRACK 200 200 ACK BYE 200.
    assert_eq!(world.sent, 80 * (5 + 6 + 4 + 6 + 8));
}

#[test]
fn a_bad_network_changes_no_outcome() {
    for seed in 0..20 {
        let mut world = World::new(
            seed,
            Weather {
                loss: 0.25,
                duplication: 0.2,
                delay_ms: 1..400,
            },
        );
        world.run(200, 20);
        let left = (world.client.transactions(), world.server.transactions());
        assert_eq!(left, (0, 0), "seed {seed}");
        for (n, call) in world.calls.iter().enumerate() {
            check(n, call, seed);
        }
    }
}

fn check(n: usize, call: &Call, seed: u64) {
    let context = format!("call {n} ({}), seed {seed}: {call:?}", kind(n));
    // Seven INVITEs may all be lost, in either direction; then it is 408, and only then.
    assert!(call.invites <= 1, "{context}");
    assert_eq!(call.final_status.len(), 1, "one end: {context}");
    let status = call.final_status[0];
    let expected: &[u16] = match kind(n) {
        "busy" => &[486, 408],
        "cancel" => &[487, 408],
        _ => &[200, 408],
    };
    assert!(expected.contains(&status), "{context}");
    assert!(call.cancels <= 1, "{context}");
    let early = u32::from(kind(n) == "early");
    assert!(call.pracks + call.prack_timeouts <= early, "{context}");
    if status == 200 {
        assert_eq!(call.acks + call.ack_timeouts, 1, "{context}");
        assert!(call.byes <= 1, "{context}");
        assert_eq!(call.bye_status.len(), 1, "{context}");
        assert!(call.bye_status != [200] || call.byes == 1, "{context}");
    } else {
        assert_eq!((call.acks, call.byes), (0, 0), "{context}");
    }
}

#[test]
fn a_dead_network_ends_in_timeouts() {
    let mut world = World::new(
        3,
        Weather {
            loss: 1.0,
            duplication: 0.0,
            delay_ms: 1..2,
        },
    );
    let start = world.now;
    world.run(4, 0);
    assert!(world.calls.iter().all(|call| call.final_status == [408]));
    assert_eq!(world.now - start, Duration::from_secs(32));
    assert_eq!(world.sent, 4 * 7);
}

#[test]
fn many_calls_leave_nothing_behind() {
    let mut world = World::new(
        4,
        Weather {
            loss: 0.01,
            duplication: 0.01,
            delay_ms: 1..30,
        },
    );
    world.run(20_000, 5);
    assert_eq!(world.client.transactions(), 0);
    assert_eq!(world.server.transactions(), 0);
    // 200 calls per second, each with an INVITE for 36 s; most with a BYE, some with a PRACK for 32 s.
    assert!(world.peak < 200 * (36 + 26), "{}", world.peak);
    for (n, call) in world.calls.iter().enumerate() {
        check(n, call, 4);
    }
}
