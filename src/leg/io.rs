//! What a leg stands on: the clocks of a tick, and where its packets go.

use std::net::SocketAddr;
use std::time::Duration;

use crate::audio::MediaTime;

/// Which of a leg's two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The even port: RTP, and RTCP where it is muxed.
    Rtp,
    /// The next port: RTCP.
    Rtcp,
}

/// The clocks of one tick.
#[derive(Clone, Copy, Debug)]
pub struct TickTime {
    /// When the tick is due: the media time line.
    pub now: MediaTime,
    /// The wall clock as a 64-bit NTP timestamp, for reports.
    pub ntp: u64,
}

impl TickTime {
    /// The wall clock when something arrived: it may have waited for this tick.
    pub(super) fn ntp_at(&self, arrival: MediaTime) -> u64 {
        let units = |d: Duration| ((d.as_micros() as u64) << 32) / 1_000_000;
        let before = units(self.now.since(arrival).min(MAX_WAIT));
        let after = units(arrival.since(self.now).min(MAX_WAIT));
        self.ntp.wrapping_sub(before).wrapping_add(after)
    }
}

/// Nothing waits longer than this between arrival and tick; more is a clock gone wrong.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// What a leg has found in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The silence of G.711: nothing that stands right behind it belongs to the same moment.
    Silence,
    /// A sound, or anything else.
    Other,
}

/// Takes a packet, where it came from, and when.
pub type Sink<'a> = dyn FnMut(&[u8], SocketAddr, MediaTime) -> Content + 'a;

/// Where a leg's packets go; the engine's sockets, or a simulated network.
pub trait MediaIo {
    /// Drains what has arrived for a leg (at most 96 packets a call).
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>);
    /// Sends one packet; it may be held back until [`MediaIo::flush`].
    fn send(&mut self, leg: u32, channel: Channel, to: SocketAddr, packet: &[u8]);
    /// Lets only this peer in on the RTP socket (and makes sending cheaper), or everybody.
    fn connect(&mut self, leg: u32, peer: Option<SocketAddr>);
    /// The leg is closed: its sockets are let go of, before [`crate::leg`]'s owner hears of it.
    fn closed(&mut self, leg: u32);
    /// Everything of this tick has been sent.
    fn flush(&mut self);
    /// Reads ahead for a leg whose [`MediaIo::receive`] follows before [`MediaIo::begin_gathering`].
    fn gather(&mut self, _leg: u32) {}
    /// What was read ahead and not taken is let go of.
    fn begin_gathering(&mut self) {}
    /// Is going to use a leg's sockets: what the processor has of them not at hand, it fetches
    /// meanwhile. Twice: at first what leads to them.
    fn expect(&self, _leg: u32, _soon: bool) {}
    /// The same for memory.
    fn prefetch<T>(&self, _values: &[T]) {}
    /// How long the present tick has run; a simulated one takes no time.
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    /// Lets time pass until the present tick has run so long; some milliseconds at most.
    fn wait(&mut self, _elapsed: Duration) {}
}
