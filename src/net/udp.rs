//! One task per UDP listener: datagram -> message -> event.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::net::pktinfo;
use crate::net::sip::{NetEvent, Shared, count};
use crate::sip::message::{self, Message, ParseError};
use crate::sip::transport::{Flow, Transport};

/// Above the largest datagram (65,507 bytes over IPv4, 65,527 over IPv6).
const DATAGRAM_BYTES: usize = 65_536;
/// How a datagram begins that may want a call.
const INVITE: &[u8] = b"INVITE ";
/// Datagrams that are read before others have their turn: under a flood more than they then take, so
/// that what is to be dropped does not wait in the kernel, and what is not with it.
const AT_ONCE: usize = 256;
/// Pause after a failed receive (no memory), so that it does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Receives until aborted.
pub(super) async fn receive(socket: Arc<UdpSocket>, bound: SocketAddr, shared: Arc<Shared>) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut control = pktinfo::control_buffer();
    loop {
        // Fails only when the runtime ends.
        let _ = socket.readable().await;
        let mut more = true;
        for _ in 0..AT_ONCE {
            let received = socket.try_io(Interest::READABLE, || {
                pktinfo::receive(&socket, &mut buffer, &mut control)
            });
            match received {
                Ok((length, remote, to)) => {
                    on_datagram(&buffer[..length], remote, to, bound, &shared);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                Err(error) => {
                    tracing::warn!(%bound, %error, "cannot receive from UDP");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
        // To wait for more is a turn for the others as well.
        if more {
            tokio::task::yield_now().await;
        }
    }
}

fn on_datagram(
    bytes: &[u8],
    remote: SocketAddr,
    to: Option<IpAddr>,
    bound: SocketAddr,
    shared: &Shared,
) {
    count(&shared.counters.udp_received);
    if !shared.gate.admits(Transport::Udp, remote.ip()) {
        count(&shared.counters.not_heard);
        return;
    }
    if !is_sip(bytes) {
        count(&shared.counters.udp_ignored);
        return;
    }
    // New calls give way first: what is under way, and questions after our health, still get in.
    let events = &shared.events.datagrams;
    if bytes.starts_with(INVITE) && events.capacity() < events.max_capacity() / 4 * 3 {
        count(&shared.counters.udp_dropped);
        return;
    }
    let local = if bound.ip().is_unspecified() {
        // The address that it was sent to; without a route back there is nobody to answer.
        let own = to.filter(|ip| !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast(ip));
        let Some(ip) = own.or_else(|| shared.local_address_for(remote).ok()) else {
            count(&shared.counters.udp_dropped);
            return;
        };
        SocketAddr::new(ip, bound.port())
    } else {
        bound
    };
    let flow = Flow {
        transport: Transport::Udp,
        local,
        remote,
        connection: None,
        host: None,
    };
    let event = match parse(bytes, shared.settings.max_message) {
        Ok(message) => NetEvent::Message { flow, message },
        Err(error) => NetEvent::Malformed { flow, error },
    };
    if events.try_send(event).is_err() {
        count(&shared.counters.udp_dropped);
    }
}

fn parse(bytes: &[u8], max_message: usize) -> Result<Message, ParseError> {
    let message = message::parse_datagram(bytes)?;
    if bytes.len() > max_message {
        return Err(too_large(message));
    }
    Ok(message)
}

/// RFC 3261 §21.5.7.
pub(super) fn too_large(message: Message) -> ParseError {
    let request = match message {
        Message::Request(request) => Some(Box::new(request)),
        Message::Response(_) => None,
    };
    ParseError {
        status: 513,
        phrase: "Message Too Large".to_owned(),
        request,
    }
}

fn is_broadcast(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
}

/// Whether this is worth parsing: not a keep-alive (CRLF, NUL, "jaK"), nor STUN (RFC 7983: first
/// byte 0 to 3), which nobody expects an answer to here.
fn is_sip(bytes: &[u8]) -> bool {
    let content = bytes.trim_ascii();
    content.len() > 4 && content[0] > 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives_and_stun_are_not_sip() {
        for other in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"jaK", b" "] {
            assert!(!is_sip(other), "{other:?}");
        }
        assert!(!is_sip(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]));
        assert!(is_sip(b"BYE sip:x SIP/2.0\r\n\r\n"));
        assert!(is_sip(b"\r\nBYE sip:x SIP/2.0\r\n\r\n"));
    }
}
