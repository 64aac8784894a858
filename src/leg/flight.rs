//! DTLS in the media (RFC 7983): what comes is handed to the control side, what it answers is sent.
//!
//! The boxes go round: the control side gives them, empty or with datagrams to send; the leg fills one
//! for each datagram that comes and tells it. Without one at hand what comes is dropped, so a flood
//! costs no more than the boxes.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{Channel, Leg, MediaIo};

/// Boxes that a leg can hold; more go back as they come.
pub const MAX_FLIGHTS: usize = 16;
/// Bytes of a box.
const ROOM: usize = 6144;
/// Datagrams of a box.
const MAX_DATAGRAMS: usize = 8;
/// The longest datagram that is taken, bytes.
const MAX_DATAGRAM: usize = 2048;

/// Some DTLS datagrams.
#[derive(Debug)]
pub struct Flight {
    /// Whose port they come to, or go out of.
    channel: Channel,
    bytes: [u8; ROOM],
    lens: [u16; MAX_DATAGRAMS],
    count: usize,
}

impl Flight {
    /// One without any.
    pub fn boxed() -> Box<Self> {
        Box::new(Self {
            channel: Channel::Rtp,
            bytes: [0; ROOM],
            lens: [0; MAX_DATAGRAMS],
            count: 0,
        })
    }

    /// Whose port the datagrams come to, or go out of.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// They are of that port.
    pub fn set_channel(&mut self, channel: Channel) {
        self.channel = channel;
    }

    /// Adds a datagram; whether there was room.
    pub fn push(&mut self, datagram: &[u8]) -> bool {
        let used = self.used();
        let room = self.bytes.get_mut(used..used + datagram.len());
        let (Some(room), Some(len)) = (room, self.lens.get_mut(self.count)) else {
            return false;
        };
        room.copy_from_slice(datagram);
        *len = datagram.len() as u16;
        self.count += 1;
        true
    }

    /// The datagrams, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        self.lens[..self.count].iter().filter_map(move |len| {
            let end = at + usize::from(*len);
            let datagram = self.bytes.get(at..end);
            at = end;
            datagram
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    fn used(&self) -> usize {
        let lens = self.lens[..self.count].iter();
        lens.map(|len| usize::from(*len)).sum()
    }
}

/// The boxes of a leg.
#[derive(Debug)]
pub(super) struct Flights {
    free: Vec<Box<Flight>>,
    full: VecDeque<Box<Flight>>,
}

impl Flights {
    pub fn new() -> Self {
        Self {
            free: Vec::with_capacity(MAX_FLIGHTS),
            full: VecDeque::with_capacity(MAX_FLIGHTS),
        }
    }
}

impl Leg {
    /// Sends what is in the box to where RTP or RTCP goes, and keeps the box; one too many comes back.
    pub fn exchange<I: MediaIo>(
        &mut self,
        mut flight: Box<Flight>,
        io: &mut I,
    ) -> Option<Box<Flight>> {
        let channel = flight.channel();
        if let Some(to) = self.associate(channel) {
            for datagram in flight.datagrams() {
                io.send(self.id.index, channel, to, datagram);
            }
        }
        flight.clear();
        if self.flights.free.len() + self.flights.full.len() >= MAX_FLIGHTS {
            return Some(flight);
        }
        self.flights.free.push(flight);
        None
    }

    /// The next that has come, for [`LegEvent::Dtls`](super::LegEvent::Dtls).
    pub fn take_flight(&mut self) -> Option<Box<Flight>> {
        self.flights.full.pop_front()
    }

    /// With whose address hands are shaken.
    fn associate(&self, channel: Channel) -> Option<SocketAddr> {
        match channel {
            // Who has been heard so far goes on for a while, and may have the same certificate.
            Channel::Rtp => self.latch.awaited().or_else(|| self.latch.remote()),
            Channel::Rtcp => self.params.remote_rtcp.filter(|_| self.params.rtcp_keys),
        }
    }

    /// A datagram of DTLS has come. It counts where it comes from the party's address and the control
    /// side waits for such.
    pub(super) fn on_dtls(&mut self, channel: Channel, datagram: &[u8], from: SocketAddr) {
        if self.associate(channel) != Some(from) {
            self.statistics.foreign += 1;
            return;
        }
        let free = &mut self.flights.free;
        match free.pop_if(|flight| datagram.len() <= MAX_DATAGRAM && flight.push(datagram)) {
            Some(mut flight) => {
                flight.set_channel(channel);
                self.flights.full.push_back(flight);
            }
            None => self.statistics.invalid += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_gives_back_what_was_put_in_and_no_more_than_fits() {
        let mut flight = Flight::boxed();
        let parts: Vec<Vec<u8>> = (1..=8).map(|n| vec![n; usize::from(n) * 100]).collect();
        assert!(parts.iter().all(|part| flight.push(part)));
        assert!(flight.datagrams().eq(parts.iter().map(Vec::as_slice)));
        assert!(!flight.push(&[1]), "eight are enough");
        flight.clear();
        assert!(flight.is_empty() && flight.datagrams().next().is_none());
        assert!(!flight.push(&[0; ROOM + 1]));
        assert!(flight.push(&[0; ROOM]) && !flight.push(&[1]));
    }
}
