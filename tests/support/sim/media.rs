//! The workers' sockets in the simulation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

use antiphon::audio::MediaTime;
use antiphon::leg::{Channel, MediaIo, Sink};

use super::SERVER_IP;

/// Datagrams drained by one call, as from `recvmmsg`.
const BATCH: usize = 32;

type Queue = VecDeque<(Vec<u8>, SocketAddr, MediaTime)>;

#[derive(Default)]
struct Pair {
    connected: Option<SocketAddr>,
    rtp: Queue,
    rtcp: Queue,
}

/// All RTP sockets of the server, by their even port.
#[derive(Default)]
pub struct Sockets {
    pairs: HashMap<u16, Pair>,
    legs: HashMap<(usize, u32), u16>,
    /// Legs that have no peer, and so no sockets.
    without: HashSet<(usize, u32)>,
    /// The worker that runs.
    pub worker: usize,
    /// What was sent: from, to, bytes.
    pub sent: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
}

impl Sockets {
    pub fn bind(&mut self, port: u16) {
        assert!(
            self.pairs.insert(port, Pair::default()).is_none(),
            "port {port} is bound twice"
        );
    }

    pub fn release(&mut self, port: u16) {
        assert!(self.pairs.remove(&port).is_some(), "port {port} is free");
        assert!(
            self.legs.values().all(|&p| p != port),
            "port {port} is released under a leg that still runs"
        );
    }

    pub fn bound(&self) -> usize {
        self.pairs.len()
    }

    /// How many packets wait there.
    pub fn open(&mut self, worker: usize, leg: u32, port: u16) -> usize {
        self.legs.insert((worker, leg), port);
        self.pairs.get(&port).map_or(0, |pair| pair.rtp.len())
    }

    /// A leg without a peer runs there.
    pub fn open_without(&mut self, worker: usize, leg: u32) {
        self.without.insert((worker, leg));
    }

    fn has_none(&self, leg: u32) -> bool {
        self.without.contains(&(self.worker, leg))
    }

    pub fn deliver(&mut self, to: u16, bytes: Vec<u8>, from: SocketAddr, at: MediaTime) {
        if let Some(pair) = self.pairs.get_mut(&(to & !1)) {
            if to & 1 == 1 {
                pair.rtcp.push_back((bytes, from, at));
            } else if pair.connected.is_none_or(|peer| peer == from) {
                pair.rtp.push_back((bytes, from, at));
            }
        }
    }
}

impl MediaIo for Sockets {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        if self.has_none(leg) {
            return;
        }
        let port = self.legs[&(self.worker, leg)];
        let Some(pair) = self.pairs.get_mut(&port) else {
            panic!("a leg reads port {port}, which is released");
        };
        let queue = match channel {
            Channel::Rtp => &mut pair.rtp,
            Channel::Rtcp => &mut pair.rtcp,
        };
        for _ in 0..BATCH {
            let Some((bytes, from, at)) = queue.pop_front() else {
                return;
            };
            sink(&bytes, from, at);
        }
    }

    fn send(&mut self, leg: u32, channel: Channel, to: SocketAddr, packet: &[u8]) {
        // A leg that has closed has nothing left to say.
        let port = self.legs[&(self.worker, leg)];
        let from = match channel {
            Channel::Rtp => port,
            Channel::Rtcp => port + 1,
        };
        self.sent
            .push((SocketAddr::new(SERVER_IP, from), to, packet.to_vec()));
    }

    fn connect(&mut self, leg: u32, peer: Option<SocketAddr>) {
        if self.has_none(leg) {
            return;
        }
        let port = self.legs[&(self.worker, leg)];
        if let Some(pair) = self.pairs.get_mut(&port) {
            pair.connected = peer;
        }
    }

    fn closed(&mut self, leg: u32) {
        self.legs.remove(&(self.worker, leg));
        self.without.remove(&(self.worker, leg));
    }

    fn flush(&mut self) {}
}
