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
///     2 s of silence: by the same SSRC with a continuing sequence ----------'
/// ```
#[derive(Clone, Debug)]
pub struct Latch {
    signalled: Option<SocketAddr>,
    /// The last address that was signalled, through holds without one.
    named: Option<SocketAddr>,
    latched: Option<Latched>,
    candidate: Option<Candidate>,
    shunned: Option<Stream>,
    sources: Sources,
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
    /// A hold without an address is over, in which its NAT may have forgotten it.
    resumed: bool,
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

    /// Takes nothing of this stream, wherever the peer may be: it belongs to the call that had the port
    /// before, and goes on although that is over. The same phone in a new call begins another one.
    pub fn shun(&mut self, stream: Stream) {
        self.shunned = Some(stream);
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
        if let Some(shunned) = &mut self.shunned
            && (shunned.address, shunned.ssrc) == (from, packet.ssrc)
            && (-MAX_MISORDER..=MAX_DROPOUT).contains(&packet.seq.distance(shunned.seq))
        {
            shunned.seq = packet.seq;
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
    /// a latch, after 2 s of silence, while signalling has named another address, and in the
    /// first seconds of a source that is not the signalled one (which must be able to come in).
    pub fn is_connected_wanted(&self, now: MediaTime) -> Option<SocketAddr> {
        let latched = self.latched.as_ref()?;
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
        // Back from a hold without an address: the party is where it was, or behind the same NAT.
        if address.is_none() || address == self.named {
            if let (Some(latched), Some(address)) = (&mut self.latched, address) {
                latched.resumed = latched.address != address;
            }
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
        now.since(latched.heard) >= SILENCE && (goes_on || resumes)
    }
}

/// Packets in unbroken sequence that a source which was not signalled must show.
const CONSECUTIVE: u8 = 4;
/// Silence after which a latched source may be replaced.
const SILENCE: Duration = Duration::from_secs(2);
/// Silence after which a source that signalling has replaced is not sent to: one that pauses (DTX) is
/// heard of every 400 ms.
const LEFT: Duration = Duration::from_secs(1);
/// How long the signalled address can still come in against an active other source.
const SETTLED: Duration = Duration::from_secs(5);
/// RFC 3550 A.1: a larger jump is another stream.
const MAX_DROPOUT: i16 = 3000;
const MAX_MISORDER: i16 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::seq::{PayloadType, Timestamp};

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn packet(ssrc: u32, seq: u16) -> Packet<'static> {
        Packet {
            payload_type: PayloadType(0),
            marker: false,
            seq: SeqNo(seq),
            timestamp: Timestamp(u32::from(seq) * 160),
            ssrc: Ssrc(ssrc),
            payload: &[],
        }
    }

    fn ms(ms: u64) -> MediaTime {
        MediaTime::from_millis(ms)
    }

    #[test]
    fn the_signalled_address_may_at_once() {
        let mut latch = Latch::new(Some(address(1)));
        assert_eq!(latch.remote(), Some(address(1)));
        assert_eq!(latch.is_connected_wanted(ms(0)), None);
        assert_eq!(
            latch.on_packet(address(1), &packet(1, 1), ms(0)),
            Verdict::Latched(address(1))
        );
        assert_eq!(
            latch.on_packet(address(1), &packet(1, 2), ms(20)),
            Verdict::Accept
        );
        assert_eq!(latch.is_connected_wanted(ms(20)), Some(address(1)));
        assert_eq!(latch.is_connected_wanted(ms(2020)), None);
    }

    #[test]
    fn another_source_needs_four_in_sequence() {
        let mut latch = Latch::new(Some(address(1)));
        for seq in [65_534, 65_535, 0] {
            assert_eq!(
                latch.on_packet(address(2), &packet(1, seq), ms(0)),
                Verdict::Ignore
            );
        }
        assert_eq!(
            latch.on_packet(address(2), &packet(1, 1), ms(60)),
            Verdict::Latched(address(2))
        );
        assert_eq!(latch.remote(), Some(address(2)));
        // Not connected yet: the signalled address must be heard if it comes.
        assert_eq!(latch.is_connected_wanted(ms(60)), None);
        latch.on_packet(address(2), &packet(1, 2), ms(5059));
        assert_eq!(latch.is_connected_wanted(ms(5060)), Some(address(2)));
        // It takes over, and is not driven out again.
        assert_eq!(
            latch.on_packet(address(1), &packet(9, 1), ms(80)),
            Verdict::Latched(address(1))
        );
        for seq in 3..20 {
            assert_eq!(
                latch.on_packet(address(2), &packet(1, seq), ms(100)),
                Verdict::Ignore
            );
        }
    }

    /// A party behind a NAT, whose description has its private address.
    fn behind_nat() -> Latch {
        let mut latch = Latch::new(Some(address(1)));
        for seq in 0..10 {
            latch.on_packet(address(2), &packet(1, seq), ms(u64::from(seq) * 20));
        }
        assert_eq!(latch.remote(), Some(address(2)));
        latch
    }

    #[test]
    fn who_comes_back_from_a_hold_is_where_it_was() {
        let mut latch = behind_nat();
        latch.signalled(None, ms(6000));
        latch.signalled(Some(address(1)), ms(9000));
        latch.on_packet(address(2), &packet(1, 11), ms(9000));
        for seq in 0..20 {
            let verdict = latch.on_packet(address(3), &packet(9, seq), ms(9010));
            assert_eq!(verdict, Verdict::Ignore, "nobody takes the stream over");
        }
    }

    #[test]
    fn who_comes_back_from_a_hold_behind_another_port_of_its_nat_is_heard() {
        let mut latch = behind_nat();
        latch.signalled(None, ms(1000));
        latch.signalled(Some(address(1)), ms(40_000));
        let elsewhere: SocketAddr = ([203, 0, 113, 9], 7).into();
        let mut verdicts = Vec::new();
        for seq in 0..8 {
            let now = ms(40_000 + u64::from(seq) * 20);
            assert_eq!(
                latch.on_packet(elsewhere, &packet(8, seq), now),
                Verdict::Ignore
            );
            // Another stream, since the phone has made its own anew.
            verdicts.push(latch.on_packet(address(3), &packet(9, 500 + seq), now));
        }
        assert!(
            verdicts.iter().all(|verdict| *verdict == Verdict::Ignore),
            "they take turns"
        );
        for seq in 8..12 {
            let now = ms(40_000 + u64::from(seq) * 20);
            latch.on_packet(address(3), &packet(9, 500 + seq), now);
        }
        assert_eq!(latch.remote(), Some(address(3)));
    }

    #[test]
    fn who_stays_where_it_was_is_closed_to_others_again() {
        let mut latch = behind_nat();
        latch.signalled(Some(address(5)), ms(1000));
        // For a while it may come from anywhere.
        for n in 0..300u16 {
            let now = ms(1000 + u64::from(n) * 20);
            latch.on_packet(address(2), &packet(1, 10 + n), now);
        }
        assert_eq!(latch.remote(), Some(address(2)));
        assert_eq!(latch.is_connected_wanted(ms(7000)), Some(address(2)));
        for seq in 0..20 {
            let verdict = latch.on_packet(address(3), &packet(9, seq), ms(7000));
            assert_eq!(verdict, Verdict::Ignore);
        }
    }

    #[test]
    fn gaps_and_alternating_sources_never_latch() {
        let mut latch = Latch::new(None);
        for seq in (0..100).step_by(2) {
            assert_eq!(
                latch.on_packet(address(2), &packet(1, seq), ms(0)),
                Verdict::Ignore
            );
        }
        for seq in 0..100 {
            assert_eq!(
                latch.on_packet(address(2), &packet(1, seq), ms(0)),
                Verdict::Ignore
            );
            assert_eq!(
                latch.on_packet(address(3), &packet(2, seq), ms(0)),
                Verdict::Ignore
            );
        }
    }

    #[test]
    fn a_rebinding_nat_is_followed_after_silence() {
        let mut latch = Latch::new(Some(address(1)));
        latch.on_packet(address(1), &packet(1, 100), ms(0));
        let mut verdicts =
            (101..105).map(|seq| latch.on_packet(address(2), &packet(1, seq), ms(1999)));
        assert!(verdicts.all(|v| v == Verdict::Ignore));
        // After the silence: neither another SSRC nor a broken sequence, but the same stream.
        for seq in 105..120 {
            assert_eq!(
                latch.on_packet(address(3), &packet(2, seq), ms(3000)),
                Verdict::Ignore
            );
            let far = packet(1, seq + 20_000);
            assert_eq!(latch.on_packet(address(4), &far, ms(3000)), Verdict::Ignore);
        }
        for seq in 120..123 {
            assert_eq!(
                latch.on_packet(address(2), &packet(1, seq), ms(3000)),
                Verdict::Ignore
            );
        }
        let verdict = latch.on_packet(address(2), &packet(1, 123), ms(3000));
        assert_eq!(verdict, Verdict::Latched(address(2)));
    }

    #[test]
    fn a_stream_of_the_call_before_is_shunned_and_its_phone_is_not() {
        let mut before = Latch::new(Some(address(1)));
        before.on_packet(address(1), &packet(1, 65_530), ms(0));
        let mut latch = Latch::new(Some(address(1)));
        latch.shun(before.stream().unwrap());
        for n in 0..5000u16 {
            let late = packet(1, 65_531u16.wrapping_add(n));
            assert_eq!(latch.on_packet(address(1), &late, ms(0)), Verdict::Ignore);
        }
        let new = latch.on_packet(address(1), &packet(2, 4533), ms(0));
        assert_eq!(new, Verdict::Latched(address(1)));
        let mut latch = Latch::new(Some(address(1)));
        latch.shun(before.stream().unwrap());
        let again = latch.on_packet(address(1), &packet(1, 30_000), ms(0));
        assert_eq!(again, Verdict::Latched(address(1)));
    }

    #[test]
    fn signalling_moves_the_stream() {
        let mut latch = Latch::new(Some(address(1)));
        latch.on_packet(address(1), &packet(1, 1), ms(0));
        latch.signalled(Some(address(5)), ms(10));
        assert_eq!(latch.remote(), Some(address(5)));
        assert_eq!(latch.is_connected_wanted(ms(10)), None);
        assert_eq!(
            latch.on_packet(address(1), &packet(1, 2), ms(20)),
            Verdict::Accept
        );
        assert_eq!(
            latch.on_packet(address(5), &packet(2, 1), ms(30)),
            Verdict::Latched(address(5))
        );
        assert_eq!(
            latch.on_packet(address(1), &packet(1, 3), ms(40)),
            Verdict::Ignore
        );
    }

    #[test]
    fn a_new_source_behind_a_nat_wins_though_the_old_one_goes_on() {
        let mut latch = Latch::new(Some(address(1)));
        latch.on_packet(address(1), &packet(1, 1), ms(0));
        latch.signalled(Some(address(5)), ms(10));
        for n in 0..3 {
            latch.on_packet(address(1), &packet(1, 2 + n), ms(20));
            assert_eq!(
                latch.on_packet(address(6), &packet(2, n), ms(20)),
                Verdict::Ignore
            );
        }
        assert_eq!(
            latch.on_packet(address(6), &packet(2, 3), ms(90)),
            Verdict::Latched(address(6))
        );
        assert_eq!(
            latch.on_packet(address(1), &packet(1, 9), ms(91)),
            Verdict::Ignore
        );
    }

    #[test]
    fn the_same_source_behind_a_nat_is_sent_to_again() {
        let mut latch = Latch::new(Some(address(1)));
        latch.on_packet(address(1), &packet(1, 1), ms(0));
        latch.signalled(Some(address(5)), ms(10));
        for seq in 2..5 {
            assert_eq!(
                latch.on_packet(address(1), &packet(1, seq), ms(20)),
                Verdict::Accept
            );
            assert_eq!(latch.remote(), Some(address(5)));
        }
        assert_eq!(
            latch.on_packet(address(1), &packet(1, 5), ms(80)),
            Verdict::Latched(address(1))
        );
        assert_eq!(latch.remote(), Some(address(1)));
    }
}
