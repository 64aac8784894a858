//! RTP sockets: made on the control side, read and written by a media thread. Sits between the
//! kernel and `leg`: `sys` below does the calls, this names the pair and maps arrival times.
//!
//! rx and tx are the server's.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::audio::MediaTime;
use crate::net::sys;

pub use crate::net::ports::{PoolError, PortPool};
pub use crate::net::sys::{
    Batch, ClockMap, ReceiveCounters, SendCounters, SendRing, connect, disconnect, send, send_batch,
};

/// SO_RCVBUF asked for, bytes (the kernel doubles it). 500 ms of 10 ms packets are 50, and a
/// driver may charge 4.25 KiB for each however short: 213 KiB of the 256.
const RECEIVE_BUFFER: usize = 128 * 1024;
/// DSCP EF (RFC 3246) in the position of the TOS octet.
pub const TOS_EXPEDITED: u32 = 46 << 2;

/// The sockets of one leg: an even RTP port and the RTCP port above it (RFC 3550 §11). Both close
/// on drop; the port goes back by [`PortPool::release`] or [`PortPool::release_port`].
#[derive(Debug)]
pub struct SocketPair {
    /// Receives and sends RTP, and RTCP too where it is muxed (RFC 5761).
    pub rtp: UdpSocket,
    /// RTCP where it is not muxed.
    pub rtcp: UdpSocket,
    /// The even port.
    pub rtp_port: u16,
    /// The odd port above it.
    pub rtcp_port: u16,
    /// The local address that both are bound to; may be the wildcard.
    pub address: IpAddr,
}

impl SocketPair {
    /// Binds both ports. `rtp_port` is even, so the next one exists.
    pub(super) fn bind(address: IpAddr, rtp_port: u16) -> io::Result<Self> {
        let rtcp_port = rtp_port | 1;
        Ok(Self {
            rtp: bind(SocketAddr::new(address, rtp_port))?,
            rtcp: bind(SocketAddr::new(address, rtcp_port))?,
            rtp_port,
            rtcp_port,
            address,
        })
    }
}

/// Takes what waits on a socket, at most [`sys::BATCH_PACKETS`] packets, and hands over each with
/// its source and its time of arrival. Never blocks or allocates. Returns how many there were.
pub fn receive(
    socket: &UdpSocket,
    batch: &mut Batch,
    clock: &ClockMap,
    mut each: impl FnMut(&[u8], SocketAddr, MediaTime),
) -> usize {
    let count = sys::recv_batch(socket, batch);
    for packet in batch.packets() {
        let arrival = packet
            .stamp
            .map_or(clock.now(), |stamp| clock.media_time(stamp));
        each(packet.bytes, packet.from, arrival);
    }
    count
}

/// Takes one packet from a socket, if one waits, with its source and its time of arrival, which is
/// missing where the kernel did not stamp it. With `peer`, the one that the socket is connected to,
/// the kernel is not asked for the source. Never blocks or allocates.
pub fn receive_one<'a>(
    socket: &UdpSocket,
    batch: &'a mut Batch,
    clock: &ClockMap,
    peer: Option<SocketAddr>,
) -> Option<(&'a [u8], SocketAddr, Option<MediaTime>)> {
    sys::recv_one(socket, batch, peer);
    packet(batch, clock, 0)
}

/// The same behind the packets of other sockets that are in the batch. Which one it is there.
pub fn receive_more(
    socket: &UdpSocket,
    batch: &mut Batch,
    peer: Option<SocketAddr>,
) -> Option<usize> {
    let n = batch.len();
    (sys::recv_more(socket, batch, peer) && batch.len() > n).then_some(n)
}

/// A packet of a batch, as [`receive_one`] gives it.
pub fn packet<'a>(
    batch: &'a Batch,
    clock: &ClockMap,
    n: usize,
) -> Option<(&'a [u8], SocketAddr, Option<MediaTime>)> {
    let packet = batch.packet(n)?;
    let arrival = packet.stamp.map(|stamp| clock.media_time(stamp));
    Some((packet.bytes, packet.from, arrival))
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    // Marking is a favour to the network: a host that forbids it still carries the call.
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        let _ = socket.set_tclass_v6(TOS_EXPEDITED);
    } else {
        let _ = socket.set_tos_v4(TOS_EXPEDITED);
    }
    sys::enable_timestamps(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
