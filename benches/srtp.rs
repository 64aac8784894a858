//! The cost of SRTP: `cargo bench --bench srtp`. Prints nanoseconds of CPU per packet of 20 ms of
//! G.711, protected and opened, and per report: the median of several rounds, and the least, since what
//! disturbs a round only makes it longer.

use std::hint::black_box;

use antiphon::rtp::packet::{Header, write_header};
use antiphon::rtp::{HEADER_LEN, SeqNo, Ssrc};
use antiphon::srtp::{Inbound, MAX_OVERHEAD, MasterKey, Outbound, Suite};
use rand::SeedableRng;
use rand::rngs::StdRng;

const ROUNDS: usize = 11;
/// The kernel counts a thread's time in ticks of some ms.
const ROUND_NS: u64 = 100_000_000;
/// Packets that are made at once.
const PACKETS: usize = 1000;
/// G.711, 20 ms.
const PAYLOAD: usize = 160;
/// A sender report with one block, SDES and VoIP metrics.
const REPORT: usize = 120;

fn main() {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!(
            "cargo bench --bench srtp\n\nNanoseconds of CPU per packet of 172 bytes and per report of \
             120. It has no options."
        );
        return;
    }
    println!(
        "| suite | protect ns: median (least) | open ns: median (least) | report: protect | report: open |\n\
         |---|---|---|---|---|"
    );
    for suite in Suite::ALL {
        let key = MasterKey::random(suite, &mut StdRng::seed_from_u64(1));
        let [protect, open] = both(&key, HEADER_LEN + PAYLOAD, true);
        let [report, read] = both(&key, REPORT, false);
        println!(
            "| {} | {:.0} ({:.0}) | {:.0} ({:.0}) | {:.0} | {:.0} |",
            suite.name(),
            protect.0,
            protect.1,
            open.0,
            open.1,
            report.0,
            read.0
        );
    }
}

/// What it takes to protect and to open a packet of `len` bytes.
fn both(key: &MasterKey, len: usize, rtp: bool) -> [(f64, f64); 2] {
    let mut room = [0x55u8; 512];
    let mut out = Outbound::new(key);
    let mut seq = 0u16;
    let mut protect = |room: &mut [u8; 512]| {
        let header = Header {
            seq: SeqNo(seq),
            ssrc: Ssrc(7),
            ..Header::default()
        };
        write_header(room, &header);
        seq = seq.wrapping_add(1);
        if rtp {
            out.protect_rtp(room, len)
        } else {
            room[1] = 200;
            room[4..8].copy_from_slice(&7u32.to_be_bytes());
            out.protect_rtcp(room, len)
        }
        .expect("there is room")
    };
    let sealing = rounds(|| {
        black_box(protect(black_box(&mut room)));
    });
    // Each packet is opened once, by a context that has seen none of them.
    let mut out = Outbound::new(key);
    let mut sealed = Vec::new();
    for seq in 0..PACKETS as u16 {
        let mut packet = vec![0x55; len + MAX_OVERHEAD];
        let header = Header {
            seq: SeqNo(seq),
            ssrc: Ssrc(7),
            ..Header::default()
        };
        write_header(&mut packet, &header);
        let whole = if rtp {
            out.protect_rtp(&mut packet, len)
        } else {
            packet[1] = 200;
            packet[4..8].copy_from_slice(&7u32.to_be_bytes());
            out.protect_rtcp(&mut packet, len)
        }
        .expect("there is room");
        packet.truncate(whole);
        sealed.push(packet);
    }
    let mut inbound = Inbound::new(key);
    let mut next = 0;
    let opening = rounds(|| {
        if next == sealed.len() {
            inbound = Inbound::new(key);
            next = 0;
        }
        let packet = &sealed[next];
        next += 1;
        room[..packet.len()].copy_from_slice(packet);
        let packet = &mut room[..packet.len()];
        let opened = if rtp {
            inbound.unprotect_rtp(packet)
        } else {
            inbound.unprotect_rtcp(packet)
        };
        black_box(opened.expect("authentic"));
    });
    [sealing, opening]
}

/// Median and least, nanoseconds each.
fn rounds(mut one: impl FnMut()) -> (f64, f64) {
    let mut round = |times: u64| {
        let begin = cpu_ns();
        (0..times).for_each(|_| one());
        cpu_ns() - begin
    };
    let mut times = 1;
    while round(times) < ROUND_NS {
        times *= 2;
    }
    let mut all: Vec<f64> = (0..ROUNDS)
        .map(|_| round(times) as f64 / times as f64)
        .collect();
    all.sort_by(f64::total_cmp);
    (all[ROUNDS / 2], all[0])
}

/// What this thread has had of a CPU, so that others on the machine do not count.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let ns = text.split(' ').next().and_then(|word| word.parse().ok());
    ns.expect("time on a CPU")
}
