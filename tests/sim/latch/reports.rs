//! RTCP: what our reports say, and what we make of the peer's.

use std::net::SocketAddr;

use antiphon::rtp::rtcp::{ReportBlock, Rtcp, SenderInfo, parse, write_bye, write_compound};
use antiphon::rtp::{Ssrc, Timestamp};

use super::sim::net::{Faults, Kind};
use super::sim::{Setup, World};
use super::stats;

fn call(loss: f64) -> World {
    let mut world = World::with(Setup {
        media: Faults {
            loss,
            ..Faults::NONE
        },
        seed: 62,
        ..Setup::default()
    });
    let phone = world.phone();
    world.dial(phone, "500");
    world
}

fn items(report: &[u8]) -> Vec<Rtcp> {
    let mut items = Vec::new();
    parse(report, |item| items.push(item)).unwrap();
    items
}

#[test]
fn sender_reports_stand_on_the_streams_own_line() {
    let mut world = call(0.0);
    world.run(30_000);
    let phone = &world.phones[0];
    assert!((4..=13).contains(&phone.reports.len()));
    for (at, bytes) in &phone.reports {
        let items = items(bytes);
        let Rtcp::SenderReport { ssrc, info } = items[0] else {
            panic!("who sends says so: {items:?}");
        };
        // What was sent in the same tick as the report.
        let nearest = phone
            .heard
            .iter()
            .rev()
            .find(|h| h.at <= *at)
            .expect("a packet before the report");
        assert_eq!(ssrc.0, nearest.ssrc);
        let apart = info.timestamp.0.wrapping_sub(nearest.timestamp) as i32;
        assert!(
            (0..=160).contains(&apart),
            "{apart} samples from its packet"
        );
        let sent = phone.heard.iter().filter(|h| h.at <= *at).count() as u32;
        assert_eq!(info.packets, sent);
        assert_eq!(info.octets, sent * 160);
        let Rtcp::ReportBlock { block, .. } = items[1] else {
            panic!("and what it gets: {items:?}");
        };
        assert_eq!(block.ssrc.0, phone.voice.ssrc);
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 0));
        assert!(block.jitter <= 8, "{} on a steady line", block.jitter);
    }
}

#[test]
fn loss_is_reported_and_bye_said_at_the_end() {
    let mut world = call(0.1);
    world.run(30_000);
    world.net.media.loss = 0.0;
    world.run(10_000);
    let last = world.phones[0].reports.last().unwrap().1.clone();
    let block = items(&last)
        .into_iter()
        .find_map(|i| match i {
            Rtcp::ReportBlock { block, .. } => Some(block),
            _ => None,
        })
        .unwrap();
    assert!(
        (100..200).contains(&block.cumulative_lost),
        "{block:?}, seed 62"
    );
    let stats = stats(&mut world);
    assert_eq!(stats.receive.lost, i64::from(block.cumulative_lost));
    let goodbye = items(&world.phones[0].reports.last().unwrap().1);
    assert!(goodbye.iter().any(|i| matches!(i, Rtcp::Bye { .. })));
}

/// Goodbyes and false figures in the peer's name: from elsewhere, and from another port of its address.
#[test]
fn reports_of_others_end_nothing_move_nothing_and_tell_nothing() {
    let mut world = call(0.0);
    world.run(200);
    let (to, own) = (world.phones[0].target.unwrap(), world.phones[0].rtp);
    let to: SocketAddr = (to.ip(), to.port() + 1).into();
    let report = |world: &World, lost: u8, bye: bool| {
        let block = ReportBlock {
            ssrc: Ssrc(world.phones[0].heard[0].ssrc),
            fraction_lost: lost,
            ..ReportBlock::default()
        };
        let from = Ssrc(world.phones[0].voice.ssrc);
        let mut out = [0u8; 512];
        let mut len = write_compound(&mut out, from, None, &[block], "phone", false);
        if bye {
            len += write_bye(&mut out[len..], from);
        }
        out[..len].to_vec()
    };
    let others: [SocketAddr; 2] = [([10, 9, 0, 1], 4001).into(), (own.ip(), 7777).into()];
    for _ in 0..20 {
        let (us, good) = (world.us(), report(&world, 3, false));
        let real = (own.ip(), own.port() + 1).into();
        world.net.send(Kind::Media, us, real, to, &good);
        world.run(500);
        for from in others {
            let (us, bad) = (world.us(), report(&world, 200, true));
            world.net.send(Kind::Media, us, from, to, &bad);
        }
        world.run(500);
    }
    let until = world.ms;
    let heard = world.phones[0].audio(until - 1000, until);
    assert!(heard.len() > 7000, "the stream goes on");
    let stats = stats(&mut world);
    assert!(!stats.counts.peer_bye);
    assert_eq!((stats.counts.rtcp_received, stats.counts.foreign), (20, 40));
    assert_eq!(stats.peer.fraction_lost, 3);
    // All of ours went to the phone: it would have missed those that did not.
    assert!(world.phones[0].reports.len() >= 3);
}

#[test]
fn the_peers_report_gives_the_round_trip() {
    let mut world = call(0.0);
    world.run(6000);
    let (at, bytes) = world.phones[0].reports.last().unwrap().clone();
    let Rtcp::SenderReport { ssrc, info } = items(&bytes)[0] else {
        panic!("a sender report");
    };
    // Received 1 ms after it was sent; answered now, and 1 ms on the way; read twice a second.
    let block = ReportBlock {
        ssrc,
        fraction_lost: 64,
        cumulative_lost: 12,
        highest_seq: 0,
        jitter: 80,
        last_sender_report: (info.ntp >> 16) as u32,
        delay_since: ((world.us() - at) * 65_536 / 1_000_000) as u32,
    };
    let theirs = SenderInfo {
        ntp: info.ntp,
        timestamp: Timestamp(1),
        packets: 1,
        octets: 160,
    };
    let mut out = [0u8; 512];
    let from = Ssrc(world.phones[0].voice.ssrc);
    let len = write_compound(&mut out, from, Some(&theirs), &[block], "phone", false);
    let (us, rtp) = (world.us(), world.phones[0].rtp);
    let to = world.phones[0].target.unwrap();
    let (from, to) = (
        (rtp.ip(), rtp.port() + 1).into(),
        (to.ip(), to.port() + 1).into(),
    );
    world.net.send(Kind::Media, us, from, to, &out[..len]);
    world.run(1000);
    let stats = stats(&mut world);
    assert_eq!(stats.counts.rtcp_received, 1);
    let peer = stats.peer;
    assert_eq!((peer.fraction_lost, peer.lost, peer.jitter), (64, 12, 80));
    let round_trip = peer.round_trip.unwrap();
    assert!(round_trip.as_millis() <= 10, "{round_trip:?} for 2 ms");
}
