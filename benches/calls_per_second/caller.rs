//! All callers in one thread, on one SIP socket.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::support::sip::{Dialog, Response};

/// RFC 3261 §17.1.1.2.
const T1: Duration = Duration::from_millis(500);
/// After so long without any progress it gives up.
const STALLED: Duration = Duration::from_secs(40);

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls in all.
    pub calls: usize,
    /// From one INVITE to the next.
    pub interval: Duration,
    /// From the ACK to the BYE.
    pub hold: Duration,
    /// RTP packets of each call.
    pub rtp_packets: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// INVITEs answered with 200.
    pub answered: u64,
    /// BYEs answered with 200.
    pub ended: u64,
    /// Calls refused.
    pub refused: u64,
    /// Requests that were sent again, for want of a response within T1.
    pub resent: u64,
    /// Times that the server sent a 200 to an INVITE again.
    pub answers_again: u64,
    /// Times that it answered a BYE again.
    pub byes_again: u64,
}

#[derive(Debug)]
struct Call {
    dialog: Dialog,
    state: State,
    begun: Instant,
    media: Option<SocketAddr>,
}

/// ```text
/// Inviting --200--> Talking --hold--> Leaving --200--> Over
///     '--- 3xx to 6xx ----------------------------------^
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Inviting,
    Talking,
    Leaving,
    Over,
}

/// Why a call wakes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Nobody has answered; so long since the last attempt.
    Resend(Waiting, Duration),
    /// The RTP packet of this number.
    Rtp(u64),
    HangUp,
}

/// The states in which a request waits for its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waiting {
    Inviting,
    Leaving,
}

/// The calls.
#[derive(Debug)]
pub struct Caller {
    sip: UdpSocket,
    /// Where the server's audio goes. It is never read: what does not fit is dropped.
    rtp: UdpSocket,
    server: SocketAddr,
    plan: Plan,
    calls: Vec<Call>,
    timers: BinaryHeap<Reverse<(Instant, usize, Timer)>>,
    /// What happened.
    pub counts: Counts,
    /// INVITE to 200 of each call, us.
    pub set_up_us: Vec<i64>,
}

impl Caller {
    /// A caller on loopback.
    pub fn new(server: SocketAddr, plan: Plan) -> io::Result<Caller> {
        let sip = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        sip.set_recv_buffer_size(4 << 20)?;
        sip.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        sip.connect(&server.into())?;
        Ok(Caller {
            sip: sip.into(),
            rtp: UdpSocket::bind("127.0.0.1:0")?,
            server,
            plan,
            calls: Vec::with_capacity(plan.calls),
            timers: BinaryHeap::new(),
            counts: Counts::default(),
            set_up_us: Vec::with_capacity(plan.calls),
        })
    }

    /// Calls that are under way.
    pub fn running(&self) -> usize {
        self.calls.len() - (self.counts.ended + self.counts.refused) as usize
    }

    /// Makes all calls; `each` sees every step. Returns how long it took.
    pub fn run(&mut self, mut each: impl FnMut(&Caller)) -> Duration {
        let start = Instant::now();
        let mut progress = start;
        let mut buffer = vec![0; 65_536];
        while self.calls.len() < self.plan.calls || self.running() > 0 {
            let mut now = Instant::now();
            let done = self.counts.ended + self.counts.refused;
            let next = start + self.plan.interval.mul_f64(self.calls.len() as f64);
            if self.calls.len() < self.plan.calls && next <= now {
                self.invite(now);
            }
            while let Some(&Reverse((at, number, timer))) = self.timers.peek()
                && at <= now
            {
                self.timers.pop();
                self.on_timer(number, timer, now);
            }
            let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
            let wake = timer.map_or(next, |at| at.min(next.max(now)));
            let wait = wake.saturating_duration_since(now);
            let wait = wait.clamp(Duration::from_micros(50), Duration::from_millis(20));
            // It is not zero.
            let _ = self.sip.set_read_timeout(Some(wait));
            while let Ok(len) = self.sip.recv(&mut buffer) {
                now = Instant::now();
                if let Some(response) = Response::parse(&buffer[..len]) {
                    self.on_response(&response, now);
                }
                if now >= wake {
                    break;
                }
            }
            if self.counts.ended + self.counts.refused > done {
                progress = now;
                each(self);
            } else if now.duration_since(progress) > STALLED {
                break;
            }
        }
        start.elapsed()
    }

    fn invite(&mut self, now: Instant) {
        let number = self.calls.len();
        let local = self.sip.local_addr().expect("it is bound");
        let media = self.rtp.local_addr().expect("it is bound");
        let dialog = Dialog::new(number, "500", local, self.server);
        self.send(&dialog.invite(media));
        self.calls.push(Call {
            dialog,
            state: State::Inviting,
            begun: now,
            media: None,
        });
        self.at(now + T1, number, Timer::Resend(Waiting::Inviting, T1));
    }

    fn on_timer(&mut self, number: usize, timer: Timer, now: Instant) {
        let call = &mut self.calls[number];
        match timer {
            Timer::HangUp => {
                call.state = State::Leaving;
                let bye = call.dialog.bye();
                self.send(&bye);
                self.at(now + T1, number, Timer::Resend(Waiting::Leaving, T1));
            }
            Timer::Rtp(n) => {
                if let (Some(to), State::Talking) = (call.media, call.state) {
                    let mut packet = [0xff; 172];
                    packet[..12].copy_from_slice(&[0x80, 0, 0, n as u8, 0, 0, 0, 0, 0, 0, 0, 1]);
                    packet[6..8].copy_from_slice(&(n as u16 * 160).to_be_bytes());
                    // Loss is the network's normal state.
                    let _ = self.rtp.send_to(&packet, to);
                    if n < self.plan.rtp_packets {
                        let at = now + Duration::from_millis(20);
                        self.at(at, number, Timer::Rtp(n + 1));
                    }
                }
            }
            Timer::Resend(waiting, after) => {
                let text = match (waiting, call.state) {
                    (Waiting::Inviting, State::Inviting) => {
                        let media = self.rtp.local_addr().expect("it is bound");
                        call.dialog.invite(media)
                    }
                    (Waiting::Leaving, State::Leaving) => call.dialog.bye(),
                    _ => return,
                };
                self.counts.resent += 1;
                self.send(&text);
                let after = after * 2;
                self.at(now + after, number, Timer::Resend(waiting, after));
            }
        }
    }

    fn on_response(&mut self, response: &Response<'_>, now: Instant) {
        let number = response.number;
        let Some(call) = self.calls.get_mut(number) else {
            return;
        };
        if response.status < 200 {
            return;
        }
        match (response.method, call.state) {
            ("INVITE", State::Inviting) if response.status < 300 => {
                call.state = State::Talking;
                call.dialog.answered(response);
                let ip = self.server.ip();
                call.media = response.media_port().map(|p| SocketAddr::new(ip, p));
                let set_up = now.duration_since(call.begun);
                self.set_up_us.push(set_up.as_micros() as i64);
                self.counts.answered += 1;
                let ack = call.dialog.ack();
                self.send(&ack);
                if self.plan.rtp_packets > 0 {
                    self.at(now, number, Timer::Rtp(1));
                }
                self.at(now + self.plan.hold, number, Timer::HangUp);
            }
            ("INVITE", State::Inviting) => {
                call.state = State::Over;
                if self.counts.refused == 0 {
                    println!("call {number} is refused: {}", response.first_line());
                }
                self.counts.refused += 1;
                // An ACK of a refusal belongs to the INVITE's transaction; the server's resends
                // of the refusal do not matter here.
            }
            ("INVITE", _) => {
                self.counts.answers_again += 1;
                let ack = call.dialog.ack();
                self.send(&ack);
            }
            ("BYE", State::Leaving) => {
                call.state = State::Over;
                self.counts.ended += 1;
                // What is kept of 50,000 calls should be little.
                call.dialog.target = String::new();
            }
            ("BYE", _) => self.counts.byes_again += 1,
            _ => {}
        }
    }

    fn send(&self, text: &str) {
        // A full socket buffer is loss, which the timers repair and the counts show.
        let _ = self.sip.send(text.as_bytes());
    }

    fn at(&mut self, at: Instant, number: usize, timer: Timer) {
        self.timers.push(Reverse((at, number, timer)));
    }
}
