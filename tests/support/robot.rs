//! A phone that calls by itself, repeats what is lost, and misbehaves as its seed says.

use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;
use rand::Rng;
use rand::rngs::StdRng;

use super::sim::World;
use super::sim::phone::{Phone, put_sdp};

/// What a robot does besides calling and hanging up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Polite,
    /// Gone after a while, without a word.
    Vanishes,
    /// CANCELs, perhaps too late.
    Cancels,
    /// Never acknowledges the 200.
    NoAck,
    /// Hangs up before it acknowledges.
    EarlyBye,
    /// Holds and resumes.
    Holds,
    /// Sends a re-INVITE of its own before it answers ours.
    Glare,
    /// Hangs up in the moment in which the server does.
    Crosses,
    /// Sends broken copies of requests in between.
    Garbles,
}

/// Requires reliable provisionals, brings its offer late, or does as most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Late,
    Reliable,
}

/// A request that is repeated until it is answered.
#[derive(Debug)]
struct Pending {
    request: Request,
    next: u64,
    interval: u64,
    until: u64,
}

#[derive(Debug)]
pub struct Robot {
    phone: usize,
    manner: Manner,
    style: Style,
    user: String,
    /// When it does what its manner says, and when it hangs up; ms.
    acts_at: u64,
    ends_at: u64,
    acted: bool,
    talking: bool,
    pending: Vec<Pending>,
    invite: Option<Request>,
    last_ack: Option<Request>,
    early: Option<u32>,
    gone_at: u64,
    /// Answers that it holds back, and until when.
    later: Vec<(u64, Response)>,
    /// It asks for a session timer, and for the server to refresh.
    refreshed: bool,
    pub done: bool,
}

impl Robot {
    pub fn new(phone: usize, now: u64, rng: &mut StdRng) -> Self {
        let manner = match rng.random_range(0..100) {
            0..45 => Manner::Polite,
            45..55 => Manner::Vanishes,
            55..63 => Manner::Cancels,
            63..68 => Manner::NoAck,
            68..75 => Manner::EarlyBye,
            75..84 => Manner::Holds,
            84..90 => Manner::Glare,
            90..95 => Manner::Crosses,
            _ => Manner::Garbles,
        };
        let style = match rng.random_range(0..10) {
            0..6 => Style::Plain,
            6..8 => Style::Late,
            _ => Style::Reliable,
        };
        let user = match rng.random_range(0..20) {
            0..5 => "500".to_owned(),
            5..7 => "510".to_owned(),
            7..9 => "520".to_owned(),
            9 => "404".to_owned(),
            10..12 => format!("80{}", rng.random_range(0..4)),
            _ => format!("{}0{}", rng.random_range(6..8), rng.random_range(0..9)),
        };
        Self {
            phone,
            manner,
            style,
            user,
            // A CANCEL that is to be in time must be quick.
            acts_at: now
                + match manner {
                    Manner::Cancels => rng.random_range(0..150),
                    _ => rng.random_range(0..1500),
                },
            ends_at: now + rng.random_range(500..5000),
            acted: false,
            talking: false,
            pending: Vec::new(),
            invite: None,
            last_ack: None,
            early: None,
            // Later than any call of the server's own can last.
            gone_at: now + 180_000,
            later: Vec::new(),
            refreshed: false,
            done: false,
        }
    }

    /// When it does something by itself next, ms; it may do more when it gets something.
    #[allow(dead_code)] // of use where time is skipped
    pub fn next(&self, now: u64) -> Option<u64> {
        if self.done {
            return None;
        }
        let repeats = self.pending.iter().map(|p| p.next.min(p.until));
        let later = self.later.iter().map(|(at, _)| *at);
        let acts = Some(self.acts_at).filter(|&at| at > now && !self.acted);
        let own = [Some(self.gone_at), Some(self.ends_at), acts];
        repeats.chain(later).chain(own.into_iter().flatten()).min()
    }

    /// One that meets the server's re-INVITE with its own stays until there is one, after 45 s.
    #[allow(dead_code)] // of use where calls are long
    pub fn stay_for_refresh(&mut self) {
        if self.manner == Manner::Glare {
            self.refreshed = true;
            self.ends_at += 55_000;
        }
    }

    /// Whether its re-INVITE has crossed the server's.
    #[allow(dead_code)] // of use where calls are long
    pub fn has_glared(&self) -> bool {
        self.manner == Manner::Glare && self.acted
    }

    /// What it dials.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Dials this instead.
    pub fn dial(&mut self, user: &str) {
        user.clone_into(&mut self.user);
    }

    /// Its INVITE.
    pub fn invite(&mut self, world: &mut World, rng: &mut StdRng) {
        let phone = &mut world.phones[self.phone];
        let mut invite = if self.style == Style::Late {
            phone.invite_without_offer(&self.user)
        } else {
            phone.invite(&self.user)
        };
        if self.style == Style::Reliable {
            invite.headers.push(Name::Require, "100rel");
        }
        if self.refreshed || rng.random_bool(0.3) {
            invite.headers.push(Name::Supported, "timer");
            let ours = !self.refreshed && rng.random_bool(0.5);
            let refresher = if ours { "uac" } else { "uas" };
            invite
                .headers
                .push(Name::SessionExpires, format!("90;refresher={refresher}"));
        }
        world.send(self.phone, &invite);
        self.invite = Some(invite.clone());
        self.repeat(world.ms, invite);
    }

    pub fn step(&mut self, world: &mut World, rng: &mut StdRng) {
        let now = world.ms;
        for (_, response) in self.later.extract_if(.., |(at, _)| *at <= now) {
            world.reply(self.phone, &response);
        }
        let calling = self.talking && self.ends_at != u64::MAX;
        if self.manner == Manner::Garbles && calling && rng.random_bool(0.01) {
            self.garble(world, rng);
        }
        let inbox = std::mem::take(&mut world.phones[self.phone].inbox);
        for received in inbox {
            match received.message {
                Message::Response(response) => self.on_response(world, &response),
                Message::Request(request) => self.on_request(world, &request),
            }
        }
        self.act(world);
        self.resend(world);
        if world.ms >= self.gone_at {
            self.done = true;
            world.hush(self.phone);
        }
    }

    fn repeat(&mut self, now: u64, request: Request) {
        self.pending.push(Pending {
            request,
            next: now + 500,
            interval: 500,
            until: now + 32_000,
        });
    }

    fn request(&mut self, world: &mut World, request: Request) {
        world.send(self.phone, &request);
        self.repeat(world.ms, request);
    }

    fn resend(&mut self, world: &mut World) {
        let now = world.ms;
        self.pending.retain(|p| now < p.until);
        let mut due = Vec::new();
        for pending in self.pending.iter_mut().filter(|p| p.next <= now) {
            pending.interval = (pending.interval * 2).min(4000);
            pending.next = now + pending.interval;
            due.push(pending.request.clone());
        }
        for request in due {
            world.send(self.phone, &request);
        }
    }

    fn answered(&mut self, response: &Response) -> bool {
        let Ok(cseq) = response.headers.cseq() else {
            return false;
        };
        let before = self.pending.len();
        self.pending.retain(|p| {
            let ours = p.request.headers.cseq().unwrap();
            ours.number != cseq.number || ours.method != cseq.method
        });
        self.pending.len() < before
    }

    fn on_response(&mut self, world: &mut World, response: &Response) {
        // The answer to something broken may be broken there, too.
        let Ok(cseq) = response.headers.cseq() else {
            return;
        };
        let method = cseq.method;
        if response.status < 200 {
            if method == Method::Invite {
                self.answered(response);
                self.on_provisional(world, response);
            }
            return;
        }
        self.answered(response);
        if method != Method::Invite {
            return;
        }
        let phone = &mut world.phones[self.phone];
        if response.status >= 300 {
            let ack = phone.ack(response);
            world.send(self.phone, &ack);
            return;
        }
        let first = !self.talking;
        if first {
            phone.learn(response);
        }
        if first && self.manner == Manner::EarlyBye && !self.acted {
            self.acted = true;
            let bye = world.phones[self.phone].request(Method::Bye);
            self.request(world, bye);
        }
        if self.manner == Manner::NoAck {
            return;
        }
        if first {
            self.talking = true;
            let phone = &mut world.phones[self.phone];
            let mut ack = phone.ack(response);
            if self.style == Style::Late && !response.body.is_empty() {
                put_sdp(&mut ack, &phone.sdp("sendrecv"));
            }
            self.last_ack = Some(ack.clone());
            world.send(self.phone, &ack);
            world.speak(self.phone);
        } else if let Some(ack) = &self.last_ack {
            // The same for a repeated 200, and good enough for a re-INVITE's.
            let mut ack = ack.clone();
            let number = response.headers.cseq().unwrap().number;
            ack.headers.set(Name::CSeq, format!("{number} ACK"));
            ack.headers.set(
                Name::Via,
                format!(
                    "SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKa{}-{number}",
                    self.phone
                ),
            );
            world.send(self.phone, &ack);
        }
    }

    fn on_provisional(&mut self, world: &mut World, response: &Response) {
        if !response.headers.require().contains(&"100rel") {
            return;
        }
        let rseq = response.headers.rseq().unwrap();
        if self.early == rseq || self.manner == Manner::NoAck {
            return;
        }
        self.early = rseq;
        let phone = &mut world.phones[self.phone];
        phone.learn(response);
        let prack = phone.prack(response);
        self.request(world, prack);
    }

    fn on_request(&mut self, world: &mut World, request: &Request) {
        let phone = &mut world.phones[self.phone];
        match request.method {
            Method::Ack => {}
            Method::Invite if !request.has_to_tag() => {
                // A call to us: the phone answers, refuses or says nothing.
                if phone.call_id.is_empty() {
                    phone.called(request);
                }
                let status = match self.manner {
                    Manner::NoAck => return,
                    Manner::Cancels => 486,
                    Manner::Vanishes => 180,
                    _ => 200,
                };
                let mut response = phone.response(request, status);
                if status == 200 {
                    response.headers.set(Name::ContentType, "application/sdp");
                    response.body = phone.sdp("sendrecv").into_bytes();
                    world.speak(self.phone);
                }
                world.reply(self.phone, &response);
            }
            Method::Cancel => {
                let mut response = Response::to(request, 200);
                response.add_to_tag("c");
                world.reply(self.phone, &response);
            }
            _ => {
                let mut response = phone.response(request, 200);
                if request.method == Method::Invite {
                    response.headers.set(Name::ContentType, "application/sdp");
                    response.body = phone.sdp("sendrecv").into_bytes();
                }
                if request.method == Method::Bye {
                    world.hush(self.phone);
                }
                if request.method == Method::Invite && self.manner == Manner::Glare && !self.acted {
                    self.acted = true;
                    self.later.push((world.ms + 300, response));
                    let phone = &mut world.phones[self.phone];
                    let sdp = phone.sdp("sendrecv");
                    let ours = phone.reinvite(&sdp);
                    self.request(world, ours);
                    return;
                }
                world.reply(self.phone, &response);
            }
        }
    }

    fn act(&mut self, world: &mut World) {
        let now = world.ms;
        if now >= self.acts_at && !self.acted {
            self.acted = true;
            match self.manner {
                Manner::Vanishes => {
                    world.phones[self.phone].vanished = true;
                    self.pending.clear();
                    self.ends_at = u64::MAX;
                    world.hush(self.phone);
                }
                Manner::Cancels => {
                    if let Some(invite) = &self.invite {
                        let cancel = Phone::cancel(invite);
                        self.request(world, cancel);
                    }
                }
                // It acts when the server does.
                Manner::Glare => self.acted = false,
                Manner::Holds if self.talking => {
                    let phone = &mut world.phones[self.phone];
                    let sdp = phone.sdp("sendonly");
                    let hold = phone.reinvite(&sdp);
                    self.request(world, hold);
                }
                _ => {}
            }
        }
        if now >= self.ends_at {
            self.ends_at = u64::MAX;
            world.hush(self.phone);
            let early = self.early.is_some() && self.manner != Manner::NoAck;
            if self.manner == Manner::Crosses {
                world.server_hangs_up(self.phone);
            }
            if self.talking || early {
                let bye = world.phones[self.phone].request(Method::Bye);
                self.request(world, bye);
            }
        }
    }

    /// A request of the dialog, with some of its bytes changed; never an INVITE, which would begin
    /// something that the robot does not know of.
    fn garble(&mut self, world: &mut World, rng: &mut StdRng) {
        let methods = [Method::Options, Method::Info, Method::Bye, Method::Update];
        let method = methods[rng.random_range(0..methods.len())].clone();
        let request = world.phones[self.phone].request(method);
        let mut bytes = request.to_bytes();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.drain(at..(at + 9).min(bytes.len()))),
                _ => bytes.insert(at, b"\r\n:;,<>\"0\0"[rng.random_range(0..10)]),
            }
            if bytes.is_empty() {
                return;
            }
        }
        if !bytes.starts_with(b"INVITE") {
            world.send_bytes(self.phone, &bytes);
        }
    }
}
