//! The real network of a media thread's legs.

use std::net::SocketAddr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use super::bypass::{Bypass, BypassCounts};
use super::drain::{Drain, sequence};
use super::outbound::Outbound;
use crate::audio::MediaTime;
use crate::leg::{Channel, MediaIo, Sink};
use crate::net::media::{self, Batch, ClockMap, SendCounters, SendRing, SocketPair};
use crate::net::sys;
use crate::net::sys::xdp::Port;

#[derive(Debug)]
struct LegSockets {
    pair: Arc<SocketPair>,
    connected: Option<SocketAddr>,
    drain: Drain,
    ahead: Option<Ahead>,
    /// Whether it has its place in the ring.
    in_ring: bool,
    /// Nothing was read yet.
    fresh: bool,
}

/// So much is read at first, in batches: more than a socket's memory holds.
const FIRST_BATCHES: usize = 16;

/// What reading ahead gave.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// Which gathering this is of: a packet of another would be another leg's.
    gathering: u64,
    began: MediaTime,
    /// Its place among what was gathered.
    packet: Option<usize>,
}

/// The sockets of all legs of a thread, by the legs' places.
pub(super) struct Sockets {
    legs: Vec<Option<LegSockets>>,
    batch: Batch,
    /// What was read ahead.
    gathered: Batch,
    gathering: u64,
    outbound: Outbound,
    ring: Option<SendRing>,
    bypass: Option<Bypass>,
    pub clock: ClockMap,
    pub sends: SendCounters,
}

impl Sockets {
    /// Sends by `ring` what it can, where there is one, and past the network stack where there is such a way.
    pub fn new(max_legs: usize, ring: Option<SendRing>, bypass: Option<Port>) -> Self {
        Self {
            legs: (0..max_legs).map(|_| None).collect(),
            batch: Batch::new(),
            gathered: Batch::new(),
            gathering: 0,
            outbound: Outbound::new(),
            ring,
            bypass: bypass.map(|port| Bypass::new(port, max_legs)),
            clock: ClockMap::sample(),
            sends: SendCounters::default(),
        }
    }

    /// What went past the network stack.
    pub fn bypassed(&self) -> BypassCounts {
        self.bypass
            .as_ref()
            .map_or_else(BypassCounts::default, |b| b.counts)
    }

    /// Takes what has come for a leg past the stack, and what its socket has where that may be any. Whether
    /// the leg has that way.
    fn receive_bypassed(&mut self, leg: u32, sink: &mut Sink<'_>) -> bool {
        let Self {
            legs,
            batch,
            bypass: Some(bypass),
            clock,
            ..
        } = self
        else {
            return false;
        };
        let Some(Some(sockets)) = legs.get_mut(leg as usize) else {
            return false;
        };
        let Some(looks) = bypass.looks(leg, clock.now()) else {
            return false;
        };
        // What its socket has is older.
        let read = looks.then(|| sockets.read_on(batch, clock, 1, &mut None, sink));
        bypass.receive(leg, sockets.connected, sink);
        if let Some(read) = read {
            bypass.looked(leg, clock.now(), read);
        }
        true
    }

    pub fn open(&mut self, leg: u32, pair: Arc<SocketPair>) {
        self.leave_ring(leg);
        if let Some(place) = self.legs.get_mut(leg as usize) {
            *place = Some(LegSockets {
                pair,
                connected: None,
                drain: Drain::default(),
                ahead: None,
                in_ring: false,
                fresh: true,
            });
        }
    }

    /// Sends what waits. Before a socket changes, too: the packets are meant for it as it was.
    fn send_waiting(&mut self) {
        let Self {
            legs,
            outbound,
            ring,
            sends,
            ..
        } = self;
        let sockets = |leg: u32| legs.get(leg as usize)?.as_ref();
        let by_ring =
            |leg, to: Option<SocketAddr>| to.is_none() && sockets(leg).is_some_and(|s| s.in_ring);
        let mut again = 0;
        if let Some(ring) = ring {
            let packets = outbound.packets().filter(|&(leg, to, _)| by_ring(leg, to));
            again = ring.send(packets.map(|(leg, _, packet)| (leg, packet)), sends);
        }
        let mut n = 0;
        for (leg, to, packet) in outbound.packets() {
            let mut left = true;
            if by_ring(leg, to) {
                left = again & 1 << n != 0;
                n += 1;
            }
            if left && let Some(sockets) = sockets(leg) {
                media::send(&sockets.pair.rtp, packet, to, sends);
            }
        }
        outbound.clear();
    }

    fn leave_ring(&mut self, leg: u32) {
        if let Some(Some(sockets)) = self.legs.get_mut(leg as usize)
            && std::mem::take(&mut sockets.in_ring)
            && let Some(ring) = &mut self.ring
        {
            ring.take_out(leg);
        }
    }
}

impl LegSockets {
    /// Whether an address is of its IP version: a peer behind a translator may name one that is not, and is
    /// sent to where its packets come from.
    fn reaches(&self, to: SocketAddr) -> bool {
        to.is_ipv4() == self.pair.address.is_ipv4()
    }

    fn gather(&mut self, gathered: &mut Batch, gathering: u64) {
        if self.drain.is_even() {
            let began = sys::monotonic_now();
            let packet = media::receive_more(&self.pair.rtp, gathered, self.connected);
            self.ahead = Some(Ahead {
                gathering,
                began,
                packet,
            });
        }
    }

    fn receive_rtp(
        &mut self,
        batch: &mut Batch,
        (gathered, gathering): (&Batch, u64),
        clock: &ClockMap,
        sink: &mut Sink<'_>,
    ) -> usize {
        let socket = &self.pair.rtp;
        let ahead = self.ahead.take().filter(|a| a.gathering == gathering);
        let began = ahead.map_or_else(sys::monotonic_now, |ahead| ahead.began);
        let mut packets = 0;
        let mut last = None;
        if self.drain.is_even() || ahead.is_some() {
            // What came from elsewhere before the socket was connected was read long ago.
            let packet = match ahead {
                Some(ahead) => ahead.packet.and_then(|n| media::packet(gathered, clock, n)),
                None => media::receive_one(socket, batch, clock, self.connected),
            };
            let Some((bytes, from, arrival)) = packet else {
                self.drain.done(began, 0, None);
                return 0;
            };
            packets = 1;
            last = sequence(bytes);
            let heard = sink(bytes, from, arrival.unwrap_or(clock.now()));
            if self.drain.is_enough(last, arrival, began, heard) {
                self.drain.done(began, packets, last);
                return packets;
            }
        }
        // What has waited for the leg is out of the way at once: while it fills the socket, the kernel
        // drops what comes. It may have rung for long.
        let (batches, clock) = if std::mem::take(&mut self.fresh) {
            (FIRST_BATCHES, clock.of_unread())
        } else {
            (1, *clock)
        };
        packets += self.read_on(batch, &clock, batches, &mut last, sink);
        self.drain.done(began, packets, last);
        packets
    }

    /// Reads what waits, in so many batches at most. How many packets there were; `last` is the number of the
    /// last.
    fn read_on(
        &self,
        batch: &mut Batch,
        clock: &ClockMap,
        batches: usize,
        last: &mut Option<u16>,
        sink: &mut Sink<'_>,
    ) -> usize {
        let mut packets = 0;
        for _ in 0..batches {
            let read = media::receive(&self.pair.rtp, batch, clock, |bytes, from, arrival| {
                *last = sequence(bytes);
                sink(bytes, from, arrival);
            });
            packets += read;
            if read < sys::BATCH_PACKETS {
                break;
            }
        }
        packets
    }
}

impl MediaIo for Sockets {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        if channel == Channel::Rtp && self.receive_bypassed(leg, sink) {
            return;
        }
        let Some(Some(sockets)) = self.legs.get_mut(leg as usize) else {
            return;
        };
        match channel {
            Channel::Rtp => {
                let gathered = (&self.gathered, self.gathering);
                let read = sockets.receive_rtp(&mut self.batch, gathered, &self.clock, sink);
                if let (Some(bypass), Some(peer)) = (&mut self.bypass, sockets.connected)
                    && read > 0
                {
                    bypass.take_up(leg, &sockets.pair, peer, self.clock.now());
                }
            }
            Channel::Rtcp => {
                let (socket, batch) = (&sockets.pair.rtcp, &mut self.batch);
                media::receive(socket, batch, &self.clock, |bytes, from, arrival| {
                    sink(bytes, from, arrival);
                });
            }
        }
    }

    fn send(&mut self, leg: u32, channel: Channel, to: SocketAddr, packet: &[u8]) {
        let Some(Some(sockets)) = self.legs.get(leg as usize) else {
            return;
        };
        match channel {
            Channel::Rtp => {
                if let Some(bypass) = &mut self.bypass
                    && bypass.send(leg, to, packet)
                {
                    return;
                }
                let to = (sockets.connected != Some(to)).then_some(to);
                if to.is_some_and(|to| !sockets.reaches(to)) {
                    return;
                }
                if self.outbound.push(leg, to, packet) {
                    return;
                }
                self.send_waiting();
                if !self.outbound.push(leg, to, packet)
                    && let Some(Some(sockets)) = self.legs.get(leg as usize)
                {
                    // Larger than a whole batch.
                    media::send(&sockets.pair.rtp, packet, to, &mut self.sends);
                }
            }
            Channel::Rtcp if sockets.reaches(to) => {
                media::send(&sockets.pair.rtcp, packet, Some(to), &mut self.sends);
            }
            Channel::Rtcp => {}
        }
    }

    fn connect(&mut self, leg: u32, peer: Option<SocketAddr>) {
        self.send_waiting();
        self.leave_ring(leg);
        if let Some(bypass) = &mut self.bypass {
            bypass.leave(leg);
        }
        let Some(Some(sockets)) = self.legs.get_mut(leg as usize) else {
            return;
        };
        sockets.drain = Drain::default();
        // A socket that cannot be connected still works: each packet then names its peer.
        sockets.connected = if let Some(peer) = peer {
            media::connect(&sockets.pair.rtp, peer)
                .is_ok()
                .then_some(peer)
        } else {
            let _ = media::disconnect(&sockets.pair.rtp);
            None
        };
        if sockets.connected.is_some()
            && let Some(ring) = &mut self.ring
        {
            sockets.in_ring = ring.put(leg, &sockets.pair.rtp);
        }
    }

    fn closed(&mut self, leg: u32) {
        self.send_waiting();
        self.leave_ring(leg);
        if let Some(bypass) = &mut self.bypass {
            bypass.leave(leg);
        }
        // The control side holds another reference until it hears of the close: the descriptor is
        // not closed here.
        if let Some(place) = self.legs.get_mut(leg as usize) {
            *place = None;
        }
    }

    fn flush(&mut self) {
        self.send_waiting();
        if let Some(bypass) = &mut self.bypass {
            bypass.flush();
        }
    }

    fn begin_gathering(&mut self) {
        self.gathered.clear();
        self.gathering += 1;
        if let Some(bypass) = &mut self.bypass {
            bypass.pull();
        }
    }

    fn gather(&mut self, leg: u32) {
        if self.bypass.as_ref().is_some_and(|b| b.is_used(leg)) {
            return;
        }
        if let Some(Some(sockets)) = self.legs.get_mut(leg as usize) {
            sockets.gather(&mut self.gathered, self.gathering);
        }
    }

    fn expect(&self, leg: u32, soon: bool) {
        if let Some(bypass) = &self.bypass {
            bypass.expect(leg, soon);
        }
        let Some(place) = self.legs.get(leg as usize) else {
            return;
        };
        match place {
            _ if !soon => sys::prefetch(slice::from_ref(place)),
            Some(sockets) => sys::prefetch(slice::from_ref(&*sockets.pair)),
            None => {}
        }
    }

    fn prefetch<T>(&self, values: &[T]) {
        sys::prefetch(values);
    }

    fn elapsed(&self) -> Duration {
        sys::monotonic_now().since(self.clock.now())
    }

    fn wait(&mut self, elapsed: Duration) {
        // What is due goes out meanwhile.
        self.flush();
        sys::sleep_until(self.clock.now() + elapsed);
    }
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
