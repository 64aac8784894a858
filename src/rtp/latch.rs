//! Symmetric RTP, latched: which source may speak, and where our packets go.
//!
//! Sits after `rtp::packet`, before `rtp::session`. Pure decision; the socket follows.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::packet::Packet;
use super::seq::{SeqNo, Ssrc};
use crate::audio::MediaTime;

/// The addresses of [`Sources::Of`].
pub const MAX_SOURCES: usize = 3;

/// Who may be the party, where that is at another address than its description says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sources {
    /// Anybody.
    #[default]
    Any,
    /// Who sends from one of these, or from the described address at another port.
    Of([Option<IpAddr>; MAX_SOURCES]),
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// From the latched source: use it.
    Accept,
    /// Use it, and send to this address from now on (connect the socket to it).
    Latched(SocketAddr),
    /// From anybody else: drop it.
    Ignore,
}

/// The latch of one leg.
///
/// ```text
///            packet from the signalled address, or 4 consecutive of another that may be it
///   Open ------------------------------------------------------------> Latched
///                                                                        |  ^
///     signalling changes the address: for 5 s may be replaced so again <-' |
///     2 s of silence: by the same SSRC with a continuing sequence, or with  '
///     any from the same address behind a hold, or by whoever has the keys --'
/// ```
#[derive(Clone, Debug)]
pub struct Latch {
    signalled: Option<SocketAddr>,
    /// The last address that was signalled, through holds without one.
    named: Option<SocketAddr>,
    latched: Option<Latched>,
    candidate: Option<Candidate>,
    shunned: Option<Shunned>,
    sources: Sources,
    /// What comes is authentic: it is of who has the keys.
    secure: bool,
    /// The party listens at the signalled address alone.
    listens_as_described: bool,
}

/// Who sends, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where it comes from.
    pub address: SocketAddr,
    /// Its source.
    pub ssrc: Ssrc,
    /// Its last sequence number.
    pub seq: SeqNo,
}

#[derive(Clone, Copy, Debug)]
struct Latched {
    address: SocketAddr,
    ssrc: Ssrc,
    seq: SeqNo,
    heard: MediaTime,
    since: MediaTime,
    /// Signalling named another address after this source had latched.
    outdated: bool,
    /// Packets heard since then: at `CONSECUTIVE` we send there again.
    heard_since: u8,
    /// A hold is over, in which its NAT may have forgotten it.
    resumed: bool,
}

/// A stream of which nothing is taken.
#[derive(Clone, Copy, Debug)]
struct Shunned {
    stream: Stream,
    /// When the leg began: it is over if it has not come soon.
    since: MediaTime,
    /// It goes on, and is no part of this call however long it pauses.
    has_come: bool,
}

impl Shunned {
    /// Whether the packet is of it. Its phone may call again from the same port with the same source:
    /// that stream begins behind a pause, or with a number that was there before.
    fn goes_on(&self, from: SocketAddr, packet: &Packet<'_>) -> bool {
        let least = if self.has_come { -MAX_MISORDER } else { 1 };
        let gap = packet.seq.distance(self.stream.seq);
        (self.stream.address, self.stream.ssrc) == (from, packet.ssrc)
            && (least..=MAX_DROPOUT).contains(&gap)
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: Ssrc,
    seq: SeqNo,
    count: u8,
}

impl Latch {
    /// A latch that knows the address of the peer's SDP, if there is one yet.
    pub fn new(signalled: Option<SocketAddr>) -> Self {
        Self {
            signalled,
            named: signalled,
            latched: None,
            candidate: None,
            shunned: None,
            sources: Sources::Any,
            secure: false,
            listens_as_described: false,
        }
    }

    /// The same, where not anybody may be the party.
    pub fn of(signalled: Option<SocketAddr>, sources: Sources) -> Self {
        Self {
            sources,
            ..Self::new(signalled)
        }
    }

    /// Who may be the party from now on.
    pub fn set_sources(&mut self, sources: Sources) {
        self.sources = sources;
    }

    /// Whether the party listens at the signalled address, wherever it sends from.
    pub fn set_listens_as_described(&mut self, as_described: bool) {
        self.listens_as_described = as_described;
    }

    /// Whether all that comes is authentic from now on (SRTP).
    pub fn set_secure(&mut self, secure: bool) {
        self.secure = secure;
    }

    /// The party is back from a hold, at whose end signalling names no other address than before: it is
    /// where it was, or behind another port of its NAT.
    pub fn resumed(&mut self) {
        if let (Some(latched), Some(signalled)) = (&mut self.latched, self.signalled) {
            latched.resumed = latched.address != signalled;
        }
    }

    /// Takes nothing of this stream, wherever the peer may be: it belongs to the call that had the port
    /// before, and goes on although that is over. The same phone in a new call begins another one: it
    /// is heard where the stream has not gone on soon.
    pub fn shun(&mut self, stream: Stream) {
        self.shunned = Some(Shunned {
            stream,
            since: MediaTime::ZERO,
            has_come: false,
        });
    }

    /// The leg begins: from now on a shunned stream has to go on.
    pub fn begin(&mut self, now: MediaTime) {
        if let Some(shunned) = &mut self.shunned {
            shunned.since = now;
        }
    }

    /// The stream that was taken last.
    pub fn stream(&self) -> Option<Stream> {
        self.latched.as_ref().map(|latched| Stream {
            address: latched.address,
            ssrc: latched.ssrc,
            seq: latched.seq,
        })
    }

    /// Judges a valid RTP packet.
    pub fn on_packet(&mut self, from: SocketAddr, packet: &Packet<'_>, now: MediaTime) -> Verdict {
        self.shunned
            .take_if(|shunned| !shunned.has_come && now.since(shunned.since) >= LEFT);
        if let Some(shunned) = &mut self.shunned
            && shunned.goes_on(from, packet)
        {
            shunned.stream.seq = packet.seq;
            shunned.has_come = true;
            return Verdict::Ignore;
        }
        if let Some(latched) = &mut self.latched
            && latched.address == from
        {
            latched.ssrc = packet.ssrc;
            latched.seq = packet.seq;
            latched.heard = now;
            latched.resumed = false;
            if !latched.outdated {
                self.candidate = None;
                return Verdict::Accept;
            }
            latched.heard_since = latched.heard_since.saturating_add(1);
            if latched.heard_since == CONSECUTIVE {
                return Verdict::Latched(from);
            }
            // The party has stayed where it was, behind a NAT that its description knows nothing of.
            if latched.heard_since > CONSECUTIVE && now.since(latched.since) >= SETTLED {
                latched.outdated = false;
                self.candidate = None;
            }
            return Verdict::Accept;
        }
        if self.signalled == Some(from) {
            return self.latch(from, packet, now);
        }
        if !self.may_replace(from, packet, now) {
            self.candidate = None;
            return Verdict::Ignore;
        }
        let count = match &self.candidate {
            Some(c) if c.address == from && c.ssrc == packet.ssrc && packet.seq == c.seq.next() => {
                c.count + 1
            }
            _ => 1,
        };
        if count >= CONSECUTIVE {
            return self.latch(from, packet, now);
        }
        self.candidate = Some(Candidate {
            address: from,
            ssrc: packet.ssrc,
            seq: packet.seq,
            count,
        });
        Verdict::Ignore
    }

    /// Where to send: the latched source, else the signalled address.
    pub fn remote(&self) -> Option<SocketAddr> {
        if self.listens_as_described {
            return self.signalled;
        }
        match (&self.latched, self.signalled) {
            (Some(l), Some(signalled)) if l.outdated && l.heard_since < CONSECUTIVE => {
                Some(signalled)
            }
            (Some(l), _) => Some(l.address),
            (None, signalled) => signalled,
        }
    }

    /// The address that signalling has named since the source of now has latched: whoever comes there in
    /// its place has yet to be heard.
    pub fn awaited(&self) -> Option<SocketAddr> {
        let outdated = self.latched.is_some_and(|latched| latched.outdated);
        self.signalled.filter(|_| outdated)
    }

    /// The address to which the socket may be connected, or `None` if it must hear all: before
    /// a latch, after 2 s of silence, while signalling has named another address, in the
    /// first seconds of a source that is not the signalled one (which must be able to come in),
    /// and where the party listens elsewhere than it sends from.
    pub fn is_connected_wanted(&self, now: MediaTime) -> Option<SocketAddr> {
        let latched = self.latched.as_ref()?;
        if self.listens_as_described && self.signalled != Some(latched.address) {
            return None;
        }
        if latched.outdated || now.since(latched.heard) >= SILENCE {
            return None;
        }
        let expected = self
            .signalled
            .is_none_or(|signalled| signalled == latched.address);
        let settled = expected || now.since(latched.since) >= SETTLED;
        settled.then_some(latched.address)
    }

    /// Signalling names the peer's address (again). A new one is sent to at once; the source
    /// heard so far is still accepted until another takes its place.
    pub fn signalled(&mut self, address: Option<SocketAddr>, now: MediaTime) {
        if address == self.signalled {
            return;
        }
        self.signalled = address;
        if address.is_none() || address == self.named {
            self.resumed();
            return;
        }
        self.named = address;
        self.candidate = None;
        if let (Some(latched), Some(address)) = (&mut self.latched, address) {
            latched.outdated = latched.address != address;
            latched.heard_since = 0;
            latched.since = now;
        }
    }

    /// Once a tick: whom signalling has moved elsewhere, and who sends no more, is not sent to again. A
    /// relay goes on for a while after it was left.
    pub fn settle(&mut self, now: MediaTime) {
        if let Some(latched) = &mut self.latched
            && latched.outdated
            && now.since(latched.heard) >= LEFT
        {
            latched.heard_since = 0;
        }
    }

    fn may_be(&self, address: IpAddr) -> bool {
        let known = [self.signalled, self.named, self.latched.map(|l| l.address)];
        let described = known
            .into_iter()
            .flatten()
            .any(|known| known.ip() == address);
        match &self.sources {
            Sources::Any => true,
            Sources::Of(all) => described || all.contains(&Some(address.to_canonical())),
        }
    }

    fn latch(&mut self, from: SocketAddr, packet: &Packet<'_>, now: MediaTime) -> Verdict {
        self.candidate = None;
        self.latched = Some(Latched {
            address: from,
            ssrc: packet.ssrc,
            seq: packet.seq,
            heard: now,
            since: now,
            outdated: false,
            heard_since: 0,
            resumed: false,
        });
        Verdict::Latched(from)
    }

    /// Whether a source that is not the signalled one may compete at all.
    fn may_replace(&self, from: SocketAddr, packet: &Packet<'_>, now: MediaTime) -> bool {
        let Some(latched) = &self.latched else {
            return self.may_be(from.ip());
        };
        if latched.outdated {
            return self.may_be(from.ip());
        }
        // A NAT that rebinds: the same stream from another port.
        let gap = packet.seq.distance(latched.seq);
        let goes_on = packet.ssrc == latched.ssrc && (1..=MAX_DROPOUT).contains(&gap);
        let resumes = latched.resumed && from.ip() == latched.address.ip();
        now.since(latched.heard) >= SILENCE && (goes_on || resumes || self.secure)
    }
}

/// Packets in unbroken sequence that a source which was not signalled must show.
const CONSECUTIVE: u8 = 4;
/// Silence after which a latched source may be replaced.
const SILENCE: Duration = Duration::from_secs(2);
/// Silence after which a source that signalling has replaced is not sent to, and a stream of the call
/// before that has not come yet is over: one that pauses (DTX) is heard of every 400 ms.
const LEFT: Duration = Duration::from_secs(1);
/// How long the signalled address can still come in against an active other source.
const SETTLED: Duration = Duration::from_secs(5);
/// RFC 3550 A.1: a larger jump is another stream.
const MAX_DROPOUT: i16 = 3000;
const MAX_MISORDER: i16 = 100;

#[cfg(test)]
#[path = "latch_tests.rs"]
mod tests;
