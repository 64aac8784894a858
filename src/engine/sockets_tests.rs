use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::Instant;

use super::*;
use crate::codec::Codec;
use crate::leg::{Content, Leg, LegId, LegParams, LegSettings, TickTime};
use crate::net::media::PortPool;
use crate::rtp::packet::{Header, write_header};
use crate::rtp::{SeqNo, Ssrc, Timestamp};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The tests are about both ways of sending. Where the system forbids io_uring, as many containers do, the
/// second is what the first is.
const WAYS: [bool; 2] = [false, true];

fn ring(wanted: bool, places: usize) -> Option<SendRing> {
    let ring = wanted.then(|| SendRing::new(places))?;
    ring.inspect_err(|error| eprintln!("no io_uring here: {error}"))
        .ok()
}

/// Two legs, each connected to a phone of its own.
struct Line {
    sockets: Sockets,
    phones: Vec<(UdpSocket, SocketAddr)>,
    sequence: u16,
}

impl Line {
    fn new() -> Self {
        Self::sending(true)
    }

    fn sending(by_ring: bool) -> Self {
        Self::at(41_000..=41_199, by_ring)
    }

    fn at(ports: RangeInclusive<u16>, by_ring: bool) -> Self {
        let rest = Duration::from_millis(1);
        let mut pool = PortPool::new(ports, vec![HERE], rest, 0);
        let mut sockets = Sockets::new(2, ring(by_ring, 8), None);
        let phones = (0..2).map(|leg| {
            let pair = pool.reserve(HERE, Instant::now()).unwrap();
            let to = SocketAddr::new(HERE, pair.rtp_port);
            let phone = UdpSocket::bind((HERE, 0)).unwrap();
            phone.set_nonblocking(true).unwrap();
            sockets.open(leg, Arc::new(pair));
            sockets.connect(leg, Some(phone.local_addr().unwrap()));
            (phone, to)
        });
        let phones = phones.collect();
        Self {
            sockets,
            phones,
            sequence: 0,
        }
    }

    /// Each phone sends its next packet, which ends in its number.
    fn talk(&mut self) {
        for (n, (phone, to)) in self.phones.iter().enumerate() {
            let [high, low] = self.sequence.to_be_bytes();
            let packet = [0x80, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 1, n as u8];
            phone.send_to(&packet, to).unwrap();
        }
        self.sequence += 1;
    }

    /// The last octets of what a leg is given.
    fn take(&mut self, leg: u32) -> Vec<u8> {
        let mut taken = Vec::new();
        self.sockets.receive(leg, Channel::Rtp, &mut |bytes, _, _| {
            taken.push(bytes[bytes.len() - 1]);
            Content::Silence
        });
        taken
    }

    /// Until their streams are even: only those are read ahead.
    fn settle(&mut self) {
        for _ in 0..30 {
            self.talk();
            assert_eq!(self.take(0), [0]);
            assert_eq!(self.take(1), [1]);
        }
    }

    fn heard(&self, phone: usize) -> Vec<u8> {
        let mut buffer = [0; 100];
        std::iter::from_fn(|| {
            let len = self.phones[phone].0.recv(&mut buffer).ok()?;
            Some(buffer[len - 1])
        })
        .collect()
    }
}

#[test]
fn what_has_waited_for_a_leg_is_read_at_once() {
    let mut line = Line::new();
    for _ in 0..100 {
        line.talk();
    }
    assert_eq!(line.take(0).len(), 100);
    for _ in 0..100 {
        line.talk();
    }
    assert_eq!(
        line.take(0).len(),
        sys::BATCH_PACKETS,
        "a flood has its bound"
    );
}

#[test]
fn what_was_read_ahead_goes_to_its_own_leg_in_any_order() {
    let mut line = Line::new();
    line.settle();
    for _ in 0..100 {
        line.talk();
        line.sockets.begin_gathering();
        line.sockets.gather(0);
        line.sockets.gather(1);
        assert_eq!(line.take(1), [1]);
        assert_eq!(line.take(0), [0]);
    }
    // What comes behind the reading ahead is there with the next read.
    line.sockets.begin_gathering();
    line.sockets.gather(0);
    line.talk();
    assert!(line.take(0).is_empty());
    assert_eq!(line.take(0), [0]);
}

#[test]
fn what_was_read_ahead_and_not_taken_is_heard_by_nobody_else() {
    let mut line = Line::new();
    line.settle();
    line.talk();
    line.sockets.begin_gathering();
    line.sockets.gather(0);
    line.sockets.begin_gathering();
    line.sockets.gather(1);
    assert!(line.take(0).is_empty(), "another leg's packet");
    assert_eq!(line.take(1), [1]);
    line.talk();
    assert_eq!(line.take(0), [0]);
}

#[test]
fn packets_go_in_order_at_the_flush_or_when_there_are_many() {
    for way in WAYS {
        let mut line = Line::sending(way);
        let to = line.phones[0].0.local_addr().unwrap();
        let most = super::super::outbound::MOST as u8;
        for n in 0..most {
            line.sockets.send(0, Channel::Rtp, to, &[0x80, n]);
        }
        assert!(line.heard(0).is_empty());
        line.sockets.send(0, Channel::Rtp, to, &[0x80, most]);
        assert_eq!(line.heard(0), (0..most).collect::<Vec<_>>());
        line.sockets.flush();
        assert_eq!(line.heard(0), [most]);
        assert_eq!(line.sockets.sends.sent, u64::from(most) + 1);
    }
}

#[test]
fn packets_go_to_the_peer_that_they_were_made_for() {
    for way in WAYS {
        let mut line = Line::sending(way);
        let first = line.phones[0].0.local_addr().unwrap();
        let other = line.phones[1].0.local_addr().unwrap();
        line.sockets.send(0, Channel::Rtp, first, &[0x80, 1]);
        line.sockets.connect(0, Some(other));
        line.sockets.send(0, Channel::Rtp, other, &[0x80, 2]);
        // Not connected to that one: it goes one by one, in the same batch.
        line.sockets.send(1, Channel::Rtp, first, &[0x80, 9]);
        line.sockets.closed(0);
        assert_eq!(line.heard(0), [1, 9]);
        assert_eq!(line.heard(1), [2]);
        // One too large for the batch goes at once, behind what waits.
        line.sockets.send(1, Channel::Rtp, other, &[0x80, 3]);
        line.sockets.send(1, Channel::Rtp, other, &vec![4; 20_000]);
        assert_eq!(line.heard(1), [3, 4]);
        let counted = line.sockets.sends;
        assert_eq!((counted.sent, counted.would_block + counted.failed), (5, 0));
    }
}

#[test]
fn nothing_is_sent_to_an_address_of_the_other_ip_version() {
    for way in WAYS {
        let mut line = Line::sending(way);
        let other = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 9));
        for channel in [Channel::Rtp, Channel::Rtcp] {
            line.sockets.send(0, channel, other, &[0x80, 1]);
        }
        line.sockets.flush();
        let counted = line.sockets.sends;
        assert_eq!(
            (counted.sent, counted.failed, counted.icmp_errors),
            (0, 0, 0)
        );
    }
}

#[test]
fn a_packet_behind_an_icmp_error_is_sent_all_the_same() {
    for way in WAYS {
        let mut line = Line::sending(way);
        let gone = UdpSocket::bind((HERE, 0)).unwrap();
        let to = gone.local_addr().unwrap();
        drop(gone);
        line.sockets.connect(0, Some(to));
        // The answer to the first is told instead of sending the second, which then is sent.
        for n in 0..2 {
            line.sockets.send(0, Channel::Rtp, to, &[0x80, n]);
            line.sockets.flush();
        }
        let back = UdpSocket::bind(to).unwrap();
        back.set_nonblocking(true).unwrap();
        line.sockets.send(
            1,
            Channel::Rtp,
            line.phones[1].0.local_addr().unwrap(),
            &[0x80, 7],
        );
        line.sockets.send(0, Channel::Rtp, to, &[0x80, 8]);
        line.sockets.flush();
        let mut buffer = [0; 10];
        assert_eq!(back.recv(&mut buffer).unwrap(), 2);
        assert_eq!(buffer[1], 8);
        assert_eq!(line.heard(1), [7]);
        let counted = line.sockets.sends;
        assert_eq!((counted.sent, counted.icmp_errors), (4, 2));
    }
}

#[test]
fn a_closed_leg_leaves_its_port_to_others() {
    // Ports that no other test takes meanwhile.
    let mut line = Line::at(41_300..=41_399, true);
    let port = line.phones[0].1;
    line.sockets.closed(0);
    UdpSocket::bind(port).expect("nobody holds the port");
    // So does one in whose place another leg is opened.
    let port = line.phones[1].1;
    let mut pool = PortPool::new(41_200..=41_299, vec![HERE], Duration::ZERO, 0);
    let pair = pool.reserve(HERE, Instant::now()).unwrap();
    line.sockets.open(1, Arc::new(pair));
    UdpSocket::bind(port).expect("nobody holds the port");
}

#[test]
fn a_leg_without_a_place_in_the_ring_is_heard_all_the_same() {
    let mut line = Line::new();
    line.sockets.ring = ring(true, 1);
    for leg in 0..2 {
        let to = line.phones[leg].0.local_addr().unwrap();
        line.sockets.connect(leg as u32, Some(to));
        line.sockets.send(leg as u32, Channel::Rtp, to, &[0x80, 5]);
    }
    line.sockets.flush();
    assert_eq!((line.heard(0), line.heard(1)), (vec![5], vec![5]));
    assert_eq!(line.sockets.sends.sent, 2);
}

/// Ten seconds of ringing: the kernel has kept the oldest packets. Neither they nor what it has dropped
/// behind them are of the call.
#[test]
fn the_ringing_of_many_seconds_is_not_taken_in() {
    let mut line = Line::at(41_500..=41_599, false);
    let (phone, to) = &line.phones[0];
    let say = |number: u16| {
        let mut packet = [0x90; 172];
        let header = Header {
            seq: SeqNo(number),
            timestamp: Timestamp(u32::from(number) * 160),
            ssrc: Ssrc(7),
            ..Header::default()
        };
        write_header(&mut packet, &header);
        phone.send_to(&packet, to).unwrap();
    };
    let settings = LegSettings::fixed(1);
    let id = LegId {
        index: 0,
        generation: 0,
    };
    let params = LegParams::g711(Codec::Pcmu, Some(phone.local_addr().unwrap()));
    let mut leg = Leg::new(id, params, settings).unwrap();
    for number in 0..150 {
        say(number);
    }
    let answered = ClockMap::sample().later(Duration::from_secs(8));
    let mut rx = [0; 160];
    for tick in 0..30u16 {
        if tick >= 10 {
            say(500 + tick);
        }
        line.sockets.clock = answered.later(Duration::from_millis(20) * u32::from(tick));
        let now = line.sockets.clock.now();
        leg.tick_rx(&mut rx, TickTime { now, ntp: 0 }, &mut line.sockets);
        assert!(tick >= 10 || rx.iter().all(|&s| s == 0), "old ring-back");
    }
    let stats = leg.stats();
    assert_eq!((stats.receive.packets, stats.receive.lost), (20, 0));
    assert_eq!((stats.playout.late, stats.playout.overflow), (0, 0));
}
