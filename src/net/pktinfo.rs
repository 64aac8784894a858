//! UDP on a wildcard socket that keeps to the address it was spoken to at: an answer has to leave
//! from the address that the request was sent to (RFC 3581 §4, RFC 3261 §18.2.2).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use tokio::net::UdpSocket;

/// Asks the kernel to tell where each datagram was sent to.
pub(super) fn enable(socket: &impl std::os::fd::AsFd, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    Ok(())
}

/// Room for what the kernel tells with a datagram.
pub(super) fn control_buffer() -> Vec<u8> {
    nix::cmsg_space!(nix::libc::in_pktinfo, nix::libc::in6_pktinfo)
}

/// A datagram's length, who sent it, and the address of ours that it was sent to; `control` is a
/// [`control_buffer`].
pub(super) fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let remote = message
        .address
        .as_ref()
        .and_then(socket_address)
        .ok_or(io::ErrorKind::InvalidData)?;
    let local = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    });
    Ok((message.bytes, remote, local))
}

/// Sends a datagram from `local`.
pub(super) fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    remote: SocketAddr,
    local: IpAddr,
) -> io::Result<()> {
    let to = SockaddrStorage::from(remote);
    let parts = [IoSlice::new(bytes)];
    let send = |control: ControlMessage<'_>| {
        sendmsg(
            socket.as_raw_fd(),
            &parts,
            &[control],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            Some(&to),
        )
    };
    match local {
        IpAddr::V4(address) => send(ControlMessage::Ipv4PacketInfo(&nix::libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: nix::libc::in_addr {
                s_addr: u32::from_ne_bytes(address.octets()),
            },
            ipi_addr: nix::libc::in_addr { s_addr: 0 },
        }))?,
        IpAddr::V6(address) => send(ControlMessage::Ipv6PacketInfo(&nix::libc::in6_pktinfo {
            ipi6_addr: nix::libc::in6_addr {
                s6_addr: address.octets(),
            },
            ipi6_ifindex: 0,
        }))?,
    };
    Ok(())
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::V6(std::net::SocketAddrV6::new(
        v6.ip(),
        v6.port(),
        v6.flowinfo(),
        v6.scope_id(),
    )))
}
