//! What must hold for any bytes at all. The targets in `fuzz/` and `tests/fuzz_bodies.rs` call
//! these.

use std::net::{Ipv4Addr, SocketAddr};

use super::latch::{Latch, Verdict};
use super::packet::{HEADER_LEN, Header, Packet, is_rtcp, write_header};
use super::redundancy::{MAX_BLOCKS, blocks};
use super::rtcp::{self, Rtcp, write_compound};
use super::session::Receiver;
use super::xr;
use crate::audio::MediaTime;

/// Reads `bytes` as a run of datagrams, each behind its length in one byte, and takes them
/// through latch and session. The header of what was read prints to what reads the same.
///
/// # Panics
/// Where it does not: that is a bug.
pub fn packets(bytes: &[u8]) {
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    let mut latch = Latch::new(Some(from));
    let mut receiver = Receiver::new(8000);
    let mut now = MediaTime::ZERO;
    let mut rest = bytes;
    while let Some((&len, behind)) = rest.split_first() {
        let (datagram, behind) = behind.split_at(behind.len().min(len.into()));
        rest = behind;
        now = now + std::time::Duration::from_millis(20);
        if is_rtcp(datagram) {
            continue;
        }
        let Ok(packet) = Packet::parse(datagram) else {
            continue;
        };
        assert!(packet.payload.len() + HEADER_LEN <= datagram.len());
        let mut again = [0; HEADER_LEN];
        let header = Header {
            payload_type: packet.payload_type,
            marker: packet.marker,
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
        };
        write_header(&mut again, &header);
        let read = Packet::parse(&again).expect("what we print can be read");
        assert_eq!(
            (read.seq, read.timestamp, read.ssrc, read.marker),
            (packet.seq, packet.timestamp, packet.ssrc, packet.marker)
        );
        if latch.on_packet(from, &packet, now) != Verdict::Ignore {
            let _ = receiver.on_packet(&packet, now);
            if packet.marker {
                receiver.discarded(packet.seq);
            }
        }
    }
    let stats = receiver.stats();
    let _ = receiver.report_block(now);
    let pattern = receiver.pattern();
    assert!((0.0..=1.0).contains(&pattern.missing_rate()));
    assert!(pattern.burst_ratio.is_finite() && pattern.burst_packets.is_finite());
    assert!(stats.duplicates <= stats.packets, "counted once at most");
}

/// Reads `bytes` as redundant audio: the blocks lie behind each other in it, and one ends it.
///
/// # Panics
/// Where they do not: that is a bug.
pub fn redundancy(bytes: &[u8]) {
    let Some(found) = blocks(bytes) else {
        return;
    };
    let found: Vec<_> = found.collect();
    assert!(found.len() <= MAX_BLOCKS);
    let len: usize = found.iter().map(|block| block.payload.len()).sum();
    assert!(len < bytes.len());
    assert_eq!(
        bytes[bytes.len() - len..],
        found
            .iter()
            .map(|block| block.payload)
            .collect::<Vec<_>>()
            .concat()
    );
    assert!(found.iter().all(|block| block.payload_type.0 < 128));
    assert!(found.iter().all(|block| block.timestamp_offset < 1 << 14));
}

/// Reads `bytes` as RTCP; a report that was read prints to what reads the same, plain and extended.
///
/// # Panics
/// Where it does not: that is a bug.
pub fn control(bytes: &[u8]) {
    let mut report = None;
    let mut extended = (None, None);
    let _ = rtcp::parse(bytes, |item| match item {
        Rtcp::SenderReport { ssrc, info } => report = Some((ssrc, Some(info), None)),
        Rtcp::ReportBlock { from, block } => {
            let _ = rtcp::round_trip(block.last_sender_report, block.delay_since, u64::MAX);
            report = Some((from, None, Some(block)));
        }
        Rtcp::VoipMetrics { metrics, .. } => extended.0 = Some(metrics),
        Rtcp::DelaySince { answer, .. } => extended.1 = Some(answer),
        Rtcp::Bye { .. } | Rtcp::ReferenceTime { .. } => {}
    });
    read_back(extended.0, extended.1);
    let Some((ssrc, info, block)) = report else {
        return;
    };
    let mut buffer = [0; 128];
    let len = write_compound(
        &mut buffer,
        ssrc,
        info.as_ref(),
        block.as_slice(),
        "x",
        true,
    );
    let mut items = Vec::new();
    rtcp::parse(&buffer[..len], |item| items.push(item)).expect("what we print can be read");
    if let Some(info) = info {
        assert_eq!(items[0], Rtcp::SenderReport { ssrc, info });
    }
    if let Some(block) = block {
        assert_eq!(items[0], Rtcp::ReportBlock { from: ssrc, block });
    }
    assert_eq!(items.last(), Some(&Rtcp::Bye { ssrc }));
}

fn read_back(metrics: Option<xr::VoipMetrics>, answer: Option<xr::DelaySince>) {
    let from = super::Ssrc(1);
    let mut buffer = [0; 128];
    let len = xr::write(&mut buffer, from, metrics.as_ref(), answer.as_ref());
    if len == 0 {
        return;
    }
    let mut items = Vec::new();
    rtcp::parse(&buffer[..len], |item| items.push(item)).expect("what we print can be read");
    if let Some(answer) = answer {
        assert_eq!(items[0], Rtcp::DelaySince { from, answer });
    }
    if let Some(metrics) = metrics {
        assert_eq!(items.last(), Some(&Rtcp::VoipMetrics { from, metrics }));
    }
}
