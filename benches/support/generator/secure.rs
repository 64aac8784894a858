//! The keys of an encrypted leg: what it offers (RFC 4568), what it sends and hears with.

use std::hint::black_box;

use antiphon::sdp::crypto::Crypto;
use antiphon::srtp::{Inbound, MAX_OVERHEAD, MasterKey, Outbound, Suite};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// One leg's.
#[derive(Debug)]
pub struct Secure {
    offer: String,
    outbound: Outbound,
    inbound: Option<Inbound>,
    scratch: Vec<u8>,
    worked: u16,
}

impl Secure {
    /// With a key of its own for each leg.
    pub fn new(suite: Suite, leg: usize) -> Secure {
        let key = MasterKey::random(suite, &mut StdRng::seed_from_u64(leg as u64));
        Secure {
            outbound: Outbound::new(&key),
            offer: Crypto { tag: 1, key }.to_string(),
            inbound: None,
            scratch: Vec::with_capacity(2048),
            worked: 0,
        }
    }

    /// The value of `a=crypto` in its offer.
    pub fn offer(&self) -> &str {
        &self.offer
    }

    /// Takes the server's key from the answer.
    pub fn answered(&mut self, body: &str) {
        let crypto = body.lines().find_map(|l| l.strip_prefix("a=crypto:"));
        let crypto = crypto.and_then(Crypto::parse);
        let crypto = crypto.expect("an encrypted offer gets an encrypted answer");
        self.inbound = Some(Inbound::new(&crypto.key));
    }

    /// Protects the packet in the first `len` bytes; its new length.
    pub fn seal(&mut self, packet: &mut [u8], len: usize) -> usize {
        let sealed = self.outbound.protect_rtp(packet, len);
        sealed.expect("packets in their order, with room behind them")
    }

    /// As much as sealing or opening a packet costs, and nothing of it kept.
    pub fn work(&mut self, packet: &[u8]) {
        let len = packet.len();
        self.scratch.clear();
        self.scratch.extend_from_slice(packet);
        self.scratch.resize(len + MAX_OVERHEAD, 0);
        // One stream, whatever the packet is of.
        self.worked = self.worked.wrapping_add(1);
        self.scratch[2..4].copy_from_slice(&self.worked.to_be_bytes());
        self.scratch[8..12].fill(0);
        let _ = black_box(self.outbound.protect_rtp(&mut self.scratch, len));
    }

    /// The packet in the clear; none where it is not authentic.
    pub fn open(&mut self, packet: &[u8]) -> Option<&[u8]> {
        self.scratch.clear();
        self.scratch.extend_from_slice(packet);
        let len = self.inbound.as_mut()?.unprotect_rtp(&mut self.scratch);
        Some(&self.scratch[..len.ok()?])
    }
}
