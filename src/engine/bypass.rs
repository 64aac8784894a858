//! A media thread's way past the network stack (`net::sys::xdp`): whose frames they are, and the way back.
//!
//! A leg takes it up once its peer is known for a while, and only as long as the peer's packets come that way; its sockets stay what they are, and are used for all that this is not made for. What comes
//! is in lists, one for each leg, until its tick.

use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::audio::MediaTime;
use crate::leg::Sink;
use crate::net::ethernet::{self, HEADERS, Route};
use crate::net::media::{SocketPair, TOS_EXPEDITED};
use crate::net::sys;
use crate::net::sys::xdp::{Frame, Port};

/// Packets that wait for a leg at most; what comes on top is dropped.
const MOST_WAITING: u16 = 64;
/// Packets that are sent with one call.
const TOGETHER: u32 = 64;
/// So long a peer is known before; what a call begins with goes the way that is made for everything.
const SETTLED: Duration = Duration::from_millis(500);
/// So long the socket is read too: what was under way comes to it.
const CHANGE: Duration = Duration::from_secs(1);
/// Then it is once in so long, and where nothing has come this way for longer than [`MISSED`]: should
/// something be there, the peer's packets come by both ways.
const LOOK: Duration = Duration::from_secs(1);
const MISSED: Duration = Duration::from_millis(70);
/// A peer that is not heard for so long is left to the socket until it is heard there: either it is silent, or
/// what it sends gets lost here.
const SILENT: Duration = Duration::from_millis(250);
/// So often a leg's peer may have fallen silent as soon as it was to be heard here: then it never is.
const TRIES: u8 = 3;

/// Packets counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BypassCounts {
    pub received: u64,
    pub sent: u64,
    /// Of another than the peer, damaged, or more than may wait.
    pub dropped: u64,
    /// The interface has not taken what was to be sent.
    pub failures: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Use {
    #[default]
    Off,
    /// The peer is known since then.
    Soon(MediaTime),
    /// The port was taken then, and nothing has come yet.
    Trial(MediaTime),
    /// Since then something comes.
    On(MediaTime),
    /// The peer's packets do not come that way, or not that way alone.
    Futile,
}

/// A leg's end.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    used: Use,
    port: u16,
    waiting: u16,
    /// Trials without a packet.
    failed: u8,
    /// Frames by their index plus one; 0: none.
    first: u32,
    last: u32,
    heard: MediaTime,
    /// When the socket was read.
    looked: MediaTime,
    route: Option<Route>,
}

impl End {
    /// A frame of the peer's has come, to the interface's own address.
    fn heard_by(&mut self, frame: &[u8], from: SocketAddrV4, arrival: MediaTime) {
        if let Use::Trial(_) = self.used {
            self.used = Use::On(arrival);
            self.failed = 0;
        }
        self.heard = arrival;
        let known = |route: Route| route.is_of(frame) && route.peer() == from;
        if !self.route.is_some_and(known) {
            self.route = Route::back(frame, TOS_EXPEDITED as u8);
        }
    }

    /// The socket was read, and so many packets were there. What becomes of this way, if it changes.
    fn judge(&self, now: MediaTime, packets: usize) -> Option<Use> {
        match self.used {
            Use::Trial(since) if now.since(since) > SILENT && packets == 0 => {
                Some(if self.failed + 1 < TRIES {
                    Use::Off
                } else {
                    Use::Futile
                })
            }
            // It is heard, and not here.
            Use::Trial(since) if now.since(since) > CHANGE => Some(Use::Futile),
            Use::On(since) if packets > 0 && now.since(since) >= CHANGE => Some(Use::Futile),
            Use::On(_) if now.since(self.heard) > SILENT => Some(Use::Off),
            _ => None,
        }
    }
}

struct Place {
    frame: Option<Frame>,
    next: u32,
}

pub(super) struct Bypass {
    port: Port,
    ends: Box<[End]>,
    /// By port: the leg plus one.
    legs: Box<[u32]>,
    /// By the frames' index.
    places: Box<[Place]>,
    fresh: Vec<Frame>,
    pub counts: BypassCounts,
}

impl Bypass {
    pub fn new(port: Port, legs: usize) -> Self {
        let none = || Place {
            frame: None,
            next: 0,
        };
        Self {
            ends: vec![End::default(); legs].into(),
            legs: vec![0; 1 << 16].into(),
            places: (0..port.frames()).map(|_| none()).collect(),
            fresh: Vec::with_capacity(port.frames()),
            counts: BypassCounts::default(),
            port,
        }
    }

    fn end(&mut self, leg: u32) -> Option<&mut End> {
        self.ends.get_mut(leg as usize)
    }

    /// Whether a leg's packets may come this way.
    pub fn is_used(&self, leg: u32) -> bool {
        let used = self.ends.get(leg as usize).map(|end| end.used);
        matches!(used, Some(Use::Trial(_) | Use::On(_)))
    }

    /// Whether a leg's socket is to be read in this tick, if it has this way at all.
    pub fn looks(&self, leg: u32, now: MediaTime) -> Option<bool> {
        let end = self.ends.get(leg as usize)?;
        match end.used {
            Use::Off | Use::Soon(_) | Use::Futile => None,
            Use::Trial(_) => Some(true),
            Use::On(since) => Some(
                now.since(since) < CHANGE
                    || now.since(end.looked) >= LOOK
                    || now.since(end.heard) >= MISSED,
            ),
        }
    }

    /// The socket was read, and so many packets were there. Gives this way up where it leads nowhere, or is
    /// not the only one.
    pub fn looked(&mut self, leg: u32, now: MediaTime, packets: usize) {
        let Some(end) = self.end(leg) else {
            return;
        };
        end.looked = now;
        let Some(used) = end.judge(now, packets) else {
            return;
        };
        let failed = end.failed + u8::from(matches!(end.used, Use::Trial(_)));
        self.leave(leg);
        if let Some(end) = self.end(leg) {
            (end.used, end.failed) = (used, failed);
        }
    }

    /// Takes the port of a leg that has just been heard from its peer, unless that was tried to no end.
    pub fn take_up(&mut self, leg: u32, pair: &SocketPair, peer: SocketAddr, now: MediaTime) {
        let (Some(end), SocketAddr::V4(peer)) = (self.end(leg), peer) else {
            return;
        };
        match end.used {
            Use::Off => {
                end.used = Use::Soon(now);
                return;
            }
            Use::Soon(since) if now.since(since) >= SETTLED => {}
            _ => return,
        }
        // Connected, it has an address, be it bound to all.
        let Ok(SocketAddr::V4(local)) = pair.rtp.local_addr() else {
            end.used = Use::Futile;
            return;
        };
        end.used = Use::Trial(now);
        end.port = local.port();
        self.legs[usize::from(local.port())] = leg + 1;
        self.port.take_port(local, peer);
    }

    /// Gives it back, with what waits; a new peer may come this way again.
    pub fn leave(&mut self, leg: u32) {
        let used = self.is_used(leg);
        let Some(end) = self.ends.get_mut(leg as usize) else {
            return;
        };
        if used {
            self.port.leave_port(end.port);
            self.legs[usize::from(end.port)] = 0;
        }
        while let Some(frame) = self.next(leg) {
            self.port.release(frame);
            self.counts.dropped += 1;
        }
        if let Some(end) = self.end(leg) {
            *end = End::default();
        }
    }

    /// Puts what has come into the legs' lists.
    pub fn pull(&mut self) {
        let Self {
            port,
            ends,
            legs,
            places,
            fresh,
            counts,
        } = self;
        port.receive(|frame| fresh.push(frame));
        for frame in fresh.iter() {
            port.prefetch(frame, HEADERS as u32);
        }
        for frame in fresh.drain(..) {
            let leg = ethernet::port(port.bytes(&frame)).map_or(0, |to| legs[usize::from(to)]);
            let end = (leg as usize)
                .checked_sub(1)
                .and_then(|leg| ends.get_mut(leg));
            let Some(end) = end.filter(|end| end.waiting < MOST_WAITING) else {
                port.release(frame);
                counts.dropped += 1;
                continue;
            };
            let n = frame.index();
            if places[n].frame.is_some() {
                // Given twice, as kernels with CVE-2025-37920 may do: it has its place already.
                counts.dropped += 1;
                continue;
            }
            places[n] = Place {
                frame: Some(frame),
                next: 0,
            };
            let place = n as u32 + 1;
            match end.waiting {
                0 => end.first = place,
                _ => places[end.last as usize - 1].next = place,
            }
            end.last = place;
            end.waiting += 1;
        }
    }

    fn next(&mut self, leg: u32) -> Option<Frame> {
        let end = self.ends.get_mut(leg as usize)?;
        let place = self.places.get_mut((end.first as usize).checked_sub(1)?)?;
        end.first = place.next;
        end.waiting -= 1;
        place.frame.take()
    }

    /// Hands over what has come for a leg from its peer, with its time of arrival.
    pub fn receive(&mut self, leg: u32, peer: Option<SocketAddr>, sink: &mut Sink<'_>) {
        if self
            .ends
            .get(leg as usize)
            .is_some_and(|end| end.waiting == 0)
        {
            self.pull();
        }
        let station = self.port.station();
        while let Some(frame) = self.next(leg) {
            let bytes = self.port.bytes(&frame);
            let datagram = ethernet::parse(bytes).filter(|d| {
                let from = Some(SocketAddr::V4(d.from));
                let is_for_us = bytes[..6] == station;
                is_for_us && from == peer && d.payload.len() <= sys::PACKET_BYTES
            });
            if let Some(datagram) = datagram
                && let Some(end) = self.ends.get_mut(leg as usize)
            {
                let arrival = sys::monotonic_time(self.port.stamp(&frame));
                end.heard_by(bytes, datagram.from, arrival);
                sink(datagram.payload, datagram.from.into(), arrival);
                self.counts.received += 1;
            } else {
                self.counts.dropped += 1;
            }
            self.port.release(frame);
        }
    }

    /// Sends a packet to a leg's peer, at [`Bypass::flush`] at the latest. Whether it goes this way.
    pub fn send(&mut self, leg: u32, to: SocketAddr, packet: &[u8]) -> bool {
        let Some(End {
            used: Use::On(_),
            route: Some(route),
            ..
        }) = self.ends.get(leg as usize)
        else {
            return false;
        };
        let len = HEADERS + packet.len();
        let fits = len <= self.port.mtu() + 14;
        if !fits || SocketAddr::V4(route.peer()) != to {
            return false;
        }
        let sent = self.port.push(len, |frame| route.write(frame, packet));
        self.counts.sent += u64::from(sent);
        if self.port.unsent() >= TOGETHER {
            self.port.send();
        }
        sent
    }

    /// Sends what waits.
    pub fn flush(&mut self) {
        self.port.settle();
        self.counts.failures = self.port.failures();
    }

    /// Is going to use a leg's end: twice, as [`crate::leg::MediaIo::expect`].
    pub fn expect(&self, leg: u32, soon: bool) {
        let Some(end) = self.ends.get(leg as usize) else {
            return;
        };
        if !soon {
            sys::prefetch(std::slice::from_ref(end));
        } else if let Some(place) = (end.first as usize).checked_sub(1)
            && let Some(frame) = self.places.get(place).and_then(|p| p.frame.as_ref())
        {
            // A packet of G.711.
            self.port.prefetch(frame, 256);
        }
    }
}
