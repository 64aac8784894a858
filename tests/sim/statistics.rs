//! What is told of a call's media, in simulated time: counts that are exact, reports that both sides
//! exchange, opinions that follow the loss.

use crate::support::sim;

use std::net::SocketAddr;

use antiphon::call::CallHandle;
use antiphon::leg::LegStats;
use antiphon::rtp::Ssrc;
use antiphon::rtp::bursts::{Bursts, Fate};
use antiphon::rtp::rtcp::{self, Rtcp};
use antiphon::rtp::xr::{self, VoipMetrics};
use antiphon::switch::Event;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sim::net::{Faults, Kind};
use sim::phone::put_sdp;
use sim::{Setup, World};

/// Later than any jitter buffer waits.
const TOO_LATE_US: u64 = 450_000;

/// The figures of a call that has ended.
fn figures(world: &World, phone: usize) -> LegStats {
    world.ended(phone).unwrap().stats.unwrap()
}

/// The phone talks, and each packet has the fate that is drawn for it.
fn talk(world: &mut World, phone: usize, packets: u32, mut fate: impl FnMut(u32) -> Fate) {
    let at = world.phones[phone].voice.next.unwrap();
    world.hush(phone);
    world.run((at - world.us()).div_ceil(1000));
    for n in 0..packets {
        let bytes = world.phones[phone].packet();
        let (us, from) = (world.us(), world.phones[phone].rtp);
        let target = world.phones[phone].target.unwrap();
        let later = match fate(n) {
            Fate::Received => Some(0),
            Fate::Discarded => Some(TOO_LATE_US),
            Fate::Lost => None,
        };
        if let Some(later) = later {
            world
                .net
                .send(Kind::Media, us + later, from, target, &bytes);
        }
        world.run(20);
    }
}

#[test]
fn each_loss_and_each_discard_is_counted_where_it_was() {
    for seed in 1..=5 {
        let mut world = World::new(seed);
        let phone = world.phone();
        world.dial(phone, "500");
        let said = world.phones[phone].voice.samples / 160;
        let mut expected = Bursts::default();
        expected.push_many(Fate::Received, said);
        let mut random = StdRng::seed_from_u64(seed);
        let packets = 1500;
        talk(&mut world, phone, packets, |n| {
            // The call ends with packets that come, else nobody knows that they are missing.
            let last = n + 50 > packets;
            let fate = match random.random_range(0..100) {
                0..3 if !last => Fate::Lost,
                3 if !last => Fate::Discarded,
                _ => Fate::Received,
            };
            expected.push(fate);
            fate
        });
        world.run(100);
        world.hang_up(phone);
        world.run(200);
        let stats = figures(&world, phone);
        let expected = expected.pattern();
        assert_eq!(stats.loss, expected, "seed {seed}");
        assert!(expected.lost > 20 && expected.discarded > 5, "seed {seed}");
        assert_eq!(stats.receive.lost, expected.lost as i64, "seed {seed}");
        let came = expected.received + expected.discarded;
        assert_eq!(stats.receive.packets, came, "seed {seed}");
        assert_eq!(stats.packet_time.as_millis(), 20, "seed {seed}");
        // Until the last transaction is forgotten: 64*T1.
        world.run(40_000);
        world.check_empty();
    }
}

#[test]
fn opinion_falls_with_loss() {
    let mut last = 4.5;
    for percent in [0, 2, 5, 10, 20] {
        let mut world = World::with(Setup {
            seed: 5,
            media: Faults {
                loss: f64::from(percent) / 100.0,
                ..Faults::NONE
            },
            ..Setup::default()
        });
        let phone = world.phone();
        world.dial(phone, "500");
        world.run(20_000);
        world.hang_up(phone);
        world.run(200);
        let stats = figures(&world, phone);
        let rating = stats.rating.unwrap();
        let measured = 100.0 * stats.loss.missing_rate();
        assert!((measured - percent as f32).abs() < 0.3 * percent as f32 + 0.1);
        assert!(rating.mos_cq < last - 0.05, "{percent} %: {rating:?}");
        assert!(rating.mos_lq >= rating.mos_cq, "{percent} %: {rating:?}");
        last = rating.mos_cq;
        if percent == 0 {
            // 93.2 less what 20 ms and a millisecond of network cost.
            assert!((rating.mos_lq - 4.41).abs() < 0.01, "{rating:?}");
            assert!((91.0..93.2).contains(&rating.r_factor), "{rating:?}");
        }
    }
    assert!(last < 3.0, "a fifth is lost: {last}");
}

/// What the phone was told in RTCP.
fn told(world: &World, phone: usize) -> Vec<Rtcp> {
    let mut items = Vec::new();
    for (_, bytes) in &world.phones[phone].reports {
        rtcp::parse(bytes, |item| items.push(item)).unwrap();
    }
    items
}

#[test]
fn voip_metrics_are_exchanged_where_both_ask_for_them() {
    let mut world = World::new(9);
    let (asks, silent) = (world.phone(), world.phone());
    let mut invite = world.phones[asks].invite("500");
    let sdp = world.phones[asks].sdp("sendrecv") + "a=rtcp-xr:voip-metrics\r\n";
    put_sdp(&mut invite, &sdp);
    let ok = world.dial_with(asks, &invite);
    let answer = String::from_utf8(ok.body).unwrap();
    assert!(answer.contains("a=rtcp-xr:voip-metrics\r\n"), "{answer}");
    world.dial(silent, "500");
    world.run(10_000);
    let metrics: Vec<VoipMetrics> = told(&world, asks)
        .into_iter()
        .filter_map(|item| match item {
            Rtcp::VoipMetrics { metrics, .. } => Some(metrics),
            _ => None,
        })
        .collect();
    let first = metrics[0];
    assert_eq!(first.ssrc.0, world.phones[asks].voice.ssrc);
    assert_eq!(
        (first.loss_rate, first.discard_rate, first.gmin),
        (0, 0, 16)
    );
    assert_eq!((first.mos_lq, first.mos_cq), (Some(44), Some(44)));
    // A sine of amplitude 2500 is -25.4 dBov, 6.15 dB more in dBm0.
    assert_eq!((first.signal_dbm0, first.noise_dbm0), (Some(-19), None));
    assert_eq!(first.end_system_delay_ms, 40);

    // The other way round, and a reference time to be answered.
    let ours = Ssrc(world.phones[asks].heard[0].ssrc);
    let theirs = VoipMetrics {
        ssrc: ours,
        loss_rate: 26,
        mos_lq: Some(31),
        ..first
    };
    let from = Ssrc(world.phones[asks].voice.ssrc);
    let mut bytes = [0; 256];
    let mut len = rtcp::write_compound(&mut bytes, from, None, &[], "phone", false);
    len += xr::write(&mut bytes[len..], from, Some(&theirs), None);
    let mut bytes = bytes[..len].to_vec();
    bytes.extend([0x80, 207, 0, 4]);
    bytes.extend(from.0.to_be_bytes());
    bytes.extend([4, 0, 0, 2, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0]);
    let next = |a: SocketAddr| SocketAddr::new(a.ip(), a.port() + 1);
    let to = next(world.phones[asks].target.unwrap());
    let (us, at) = (world.us(), next(world.phones[asks].rtp));
    world.net.send(Kind::Media, us, at, to, &bytes);
    world.run(8_000);
    let answered = told(&world, asks).into_iter().find_map(|item| match item {
        Rtcp::DelaySince { answer, .. } => Some(answer),
        _ => None,
    });
    let answered = answered.unwrap();
    assert_eq!(
        (answered.ssrc, answered.last_reference),
        (from, 0x1234_5678)
    );
    assert!(answered.delay < 8 << 16, "{answered:?}");

    world.hang_up(asks);
    world.hang_up(silent);
    world.run(200);
    let stats = figures(&world, asks);
    assert_eq!(stats.peer.voip, Some(theirs));
    assert_eq!(stats.counts.xr_received, 1);
    assert!(stats.counts.xr_sent >= 3, "{:?}", stats.counts);
    let stats = figures(&world, silent);
    assert_eq!((stats.counts.xr_sent, stats.peer.voip), (0, None));
    let extended = |item: &Rtcp| matches!(item, Rtcp::VoipMetrics { .. });
    assert!(!told(&world, silent).iter().any(extended));
    assert!(!told(&world, silent).is_empty());
}

fn handles(world: &World) -> Vec<CallHandle> {
    let started = world.events.iter().filter_map(|event| match event {
        Event::Started { call, .. } => Some(*call),
        _ => None,
    });
    started.collect()
}

/// The figures that were told of a call so far.
fn watched(world: &World, handle: CallHandle) -> Vec<&LegStats> {
    let told = world.events.iter().filter_map(|event| match event {
        Event::Stats { call, stats } if *call == handle => Some(&**stats),
        _ => None,
    });
    told.collect()
}

#[test]
fn who_watches_is_told_once_a_second_and_nobody_else() {
    let mut world = World::new(11);
    let phones = world.phones(3);
    for &phone in &phones {
        let user = if phone == 0 { "500" } else { "700" };
        world.dial(phone, user);
    }
    let calls = handles(&world);
    for &call in &calls[..2] {
        world.switch.watch_stats(call, true);
        // Asking twice is not being told twice.
        world.switch.watch_stats(call, true);
    }
    world.carry_out();
    world.run(10_100);
    for &call in &calls[..2] {
        let told = watched(&world, call);
        assert!((10..=11).contains(&told.len()), "{} tellings", told.len());
        for pair in told.windows(2) {
            let packets = pair[1].receive.packets - pair[0].receive.packets;
            assert!((50..=52).contains(&packets), "{packets} packets a second");
        }
    }
    assert!(watched(&world, calls[2]).is_empty());
    world.switch.watch_stats(calls[0], false);
    world.carry_out();
    world.run(3_000);
    assert!(watched(&world, calls[0]).len() <= 11);
    assert!(watched(&world, calls[1]).len() >= 13);
    for &phone in &phones {
        world.hang_up(phone);
    }
    world.run(40_000);
    world.check_empty();
}

#[test]
fn the_level_and_the_talk_time_are_those_of_the_party() {
    let mut world = World::new(13);
    let phone = world.phone();
    world.dial(phone, "500");
    world.run(4_000);
    world.hush(phone);
    world.run(3_000);
    world.hang_up(phone);
    world.run(200);
    let level = figures(&world, phone).level;
    assert!((level.speech_dbov + 25.4).abs() < 0.3, "{level:?}");
    let talked = level.talked.as_millis();
    assert!((3960..=4100).contains(&talked), "{level:?}");
    assert!(level.now_dbov < -60.0, "{level:?}");
}
