//! RTP sockets over the loopback: batches, arrival times, connecting, ICMP errors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use antiphon::audio::MediaTime;
use antiphon::net::media::{
    Batch, ClockMap, PortPool, SendCounters, SocketPair, connect, disconnect, receive, send,
    send_batch,
};
use antiphon::net::sys;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A pair from a range that each test has for itself.
fn pair(address: IpAddr, first: u16) -> SocketPair {
    let rest = Duration::ZERO;
    let mut pool = PortPool::new(first..=first + 99, vec![address], rest, 0);
    pool.reserve(address, Instant::now()).unwrap()
}

fn peer(address: IpAddr) -> UdpSocket {
    UdpSocket::bind((address, 0)).unwrap()
}

fn drain(socket: &UdpSocket, batch: &mut Batch) -> Vec<(Vec<u8>, SocketAddr, MediaTime)> {
    let clock = ClockMap::sample();
    let mut got = Vec::new();
    receive(socket, batch, &clock, |bytes, from, at| {
        got.push((bytes.to_vec(), from, at));
    });
    got
}

#[test]
fn a_batch_brings_bytes_source_and_order_on_both_families() {
    for (address, first) in [(V4, 21_000), (V6, 21_100)] {
        let pair = pair(address, first);
        let peer = peer(address);
        let to = SocketAddr::new(address, pair.rtp_port);
        for i in 0..10u8 {
            peer.send_to(&vec![i; 100 + usize::from(i)], to).unwrap();
        }
        let mut batch = Batch::new();
        let got = drain(&pair.rtp, &mut batch);
        assert_eq!(got.len(), 10);
        for (i, (bytes, from, _)) in got.iter().enumerate() {
            assert_eq!(*bytes, vec![i as u8; 100 + i]);
            assert_eq!(*from, peer.local_addr().unwrap());
        }
        assert!(drain(&pair.rtp, &mut batch).is_empty());
    }
}

#[test]
fn a_batch_takes_at_most_32_and_leaves_the_rest() {
    let pair = pair(V4, 21_200);
    let peer = peer(V4);
    for i in 0..40u8 {
        peer.send_to(&[i], (V4, pair.rtp_port)).unwrap();
    }
    let mut batch = Batch::new();
    let first = drain(&pair.rtp, &mut batch);
    let second = drain(&pair.rtp, &mut batch);
    let order: Vec<u8> = first
        .iter()
        .chain(&second)
        .map(|(bytes, ..)| bytes[0])
        .collect();
    assert_eq!((first.len(), second.len()), (32, 8));
    assert_eq!(order, (0..40).collect::<Vec<u8>>());
}

#[test]
fn arrival_is_when_the_kernel_got_it_not_when_we_looked() {
    let pair = pair(V4, 21_300);
    let peer = peer(V4);
    let mut batch = Batch::new();
    // The kernel turns stamping on in the background with the first socket that asks.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let before = sys::monotonic_now();
        peer.send_to(&[1], (V4, pair.rtp_port)).unwrap();
        let sent = sys::monotonic_now();
        sys::sleep_until(sent + Duration::from_millis(30));
        peer.send_to(&[2], (V4, pair.rtp_port)).unwrap();
        sys::sleep_until(sent + Duration::from_millis(60));
        let got = drain(&pair.rtp, &mut batch);
        let (first, second) = (got[0].2, got[1].2);
        // Mapping two clocks is exact to some microseconds.
        let slack = Duration::from_micros(200);
        let in_time = first + slack >= before && first <= sent + slack;
        let apart = second.since(first) >= Duration::from_millis(29);
        if in_time && apart {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{before:?} {sent:?} {first:?} {second:?}"
        );
    }
}

#[test]
fn a_stall_of_500_ms_loses_nothing() {
    let pair = pair(V4, 21_400);
    let peer = peer(V4);
    // 10 ms packets at their longest here: PCMU with ptime 60 would be 500 bytes.
    for i in 0..50u8 {
        peer.send_to(&[i; 1400], (V4, pair.rtp_port)).unwrap();
    }
    let mut batch = Batch::new();
    let total = drain(&pair.rtp, &mut batch).len() + drain(&pair.rtp, &mut batch).len();
    assert_eq!(total, 50);
}

#[test]
fn a_packet_beyond_the_buffer_is_dropped_and_counted() {
    let pair = pair(V4, 21_500);
    let peer = peer(V4);
    let to = (V4, pair.rtp_port);
    peer.send_to(&[1; sys::PACKET_BYTES], to).unwrap();
    peer.send_to(&[2; sys::PACKET_BYTES + 1], to).unwrap();
    peer.send_to(&[3; 5], to).unwrap();
    let mut batch = Batch::new();
    let got = drain(&pair.rtp, &mut batch);
    let lengths: Vec<usize> = got.iter().map(|(bytes, ..)| bytes.len()).collect();
    assert_eq!(lengths, [sys::PACKET_BYTES, 5]);
    assert_eq!(got[1].0, [3; 5]);
    assert_eq!(batch.counters().truncated, 1);
}

#[test]
fn a_connected_socket_hears_its_peer_only_until_disconnected() {
    for (address, first) in [(V4, 21_600), (V6, 21_700)] {
        let pair = pair(address, first);
        let (friend, stranger) = (peer(address), peer(address));
        let to = SocketAddr::new(address, pair.rtp_port);
        let mut batch = Batch::new();
        let mut heard = |expected: &[u8]| {
            stranger.send_to(b"s", to).unwrap();
            friend.send_to(b"f", to).unwrap();
            let got: Vec<u8> = drain(&pair.rtp, &mut batch)
                .iter()
                .map(|(b, ..)| b[0])
                .collect();
            assert_eq!(got, expected);
        };
        heard(b"sf");
        connect(&pair.rtp, friend.local_addr().unwrap()).unwrap();
        heard(b"f");
        connect(&pair.rtp, stranger.local_addr().unwrap()).unwrap();
        heard(b"s");
        disconnect(&pair.rtp).unwrap();
        heard(b"sf");
        assert_eq!(pair.rtp.local_addr().unwrap(), to);
    }
}

#[test]
fn sends_reach_the_given_or_the_connected_peer() {
    for (address, first) in [(V4, 21_800), (V6, 21_900)] {
        let pair = pair(address, first);
        let peer = peer(address);
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let to = peer.local_addr().unwrap();
        let mut counters = SendCounters::default();
        let mut buffer = [0; 16];

        assert!(send(&pair.rtp, b"a", Some(to), &mut counters));
        connect(&pair.rtp, to).unwrap();
        assert!(send(&pair.rtp, b"b", None, &mut counters));
        let many: Vec<[u8; 1]> = (0..40).map(|i| [i]).collect();
        let many: Vec<&[u8]> = many.iter().map(|packet| &packet[..]).collect();
        assert_eq!(send_batch(&pair.rtp, &many, None, &mut counters), 40);

        let mut expected: Vec<u8> = b"ab".to_vec();
        expected.extend(0..40);
        for byte in expected {
            let (length, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((length, buffer[0]), (1, byte));
            assert_eq!(from.port(), pair.rtp_port);
        }
        assert_eq!(
            counters,
            SendCounters {
                sent: 42,
                ..SendCounters::default()
            }
        );
    }
}

#[test]
fn a_refused_port_is_counted_and_does_not_stop_the_stream() {
    let pair = pair(V4, 22_000);
    let gone = peer(V4);
    let to = gone.local_addr().unwrap();
    drop(gone);
    connect(&pair.rtp, to).unwrap();
    let mut counters = SendCounters::default();
    for _ in 0..3 {
        // Over the loopback the ICMP answer is there when the call returns.
        assert!(send(&pair.rtp, b"x", None, &mut counters));
    }
    assert_eq!(
        (counters.sent, counters.icmp_errors, counters.failed),
        (3, 2, 0)
    );
    assert_eq!(send_batch(&pair.rtp, &[b"x", b"y"], None, &mut counters), 2);

    // The receiving side steps over what is left of it.
    let mut batch = Batch::new();
    assert!(drain(&pair.rtp, &mut batch).is_empty());
    assert_eq!(
        (batch.counters().icmp_errors, batch.counters().failed),
        (1, 0)
    );
    let back = UdpSocket::bind(to).unwrap();
    back.send_to(b"z", (V4, pair.rtp_port)).unwrap();
    assert_eq!(drain(&pair.rtp, &mut batch).len(), 1);
}

#[test]
fn rtp_is_marked_for_expedited_forwarding() {
    let v4 = pair(V4, 22_100);
    assert_eq!(socket2::SockRef::from(&v4.rtp).tos_v4().unwrap(), 0xB8);
    let v6 = pair(V6, 22_200);
    let v6 = socket2::SockRef::from(&v6.rtp);
    assert_eq!(v6.tclass_v6().unwrap(), 0xB8);
    assert!(v6.only_v6().unwrap());
}

#[test]
fn real_time_priority_is_granted_or_refused_by_name() {
    // On a thread of its own: the class sticks.
    let result = std::thread::spawn(|| sys::set_fifo(1)).join().unwrap();
    if let Err(error) = result {
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    }
}
