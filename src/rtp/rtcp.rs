//! RTCP (RFC 3550 §6): compound packets written by hand, parsed by `rtcp-types`; extended reports by
//! `xr`.
//!
//! Neither allocates: both run on the media thread.

use std::time::Duration;

use rtcp_types::{Bye, Compound, ReceiverReport, RtcpPacketParser, SenderReport};

use super::seq::{Ssrc, Timestamp};
use super::xr::{self, DelaySince, VoipMetrics, XR};

/// One reception report (RFC 3550 §6.4.1), as sent or as received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that is reported on.
    pub ssrc: Ssrc,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; 24 bits on the wire, negative with duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number received, extended by the count of wraps.
    pub highest_seq: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 if there was none.
    pub last_sender_report: u32,
    /// Delay since that report, in 1/65536 s.
    pub delay_since: u32,
}

/// What a sender report says about its sender (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time, 32.32 fixed point seconds since 1900.
    pub ntp: u64,
    /// The same instant on the RTP time line.
    pub timestamp: Timestamp,
    /// Packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

/// One item of a received compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtcp {
    /// Sender information.
    SenderReport {
        /// Who sends.
        ssrc: Ssrc,
        /// Its clocks and counters.
        info: SenderInfo,
    },
    /// A reception report by `from`; about us if `block.ssrc` is ours.
    ReportBlock {
        /// Who reports.
        from: Ssrc,
        /// What it received.
        block: ReportBlock,
    },
    /// A source leaves.
    Bye {
        /// Which.
        ssrc: Ssrc,
    },
    /// How well `from` hears; us if `metrics.ssrc` is ours (RFC 3611 §4.7).
    VoipMetrics {
        /// Who reports.
        from: Ssrc,
        /// What it says.
        metrics: VoipMetrics,
    },
    /// The clock of a receiver that sends no reports of its own sending (RFC 3611 §4.4).
    ReferenceTime {
        /// Whose.
        from: Ssrc,
        /// NTP time, 32.32 fixed point.
        ntp: u64,
    },
    /// The answer to a reference time; to ours if `answer.ssrc` is ours (RFC 3611 §4.5).
    DelaySince {
        /// Who answers.
        from: Ssrc,
        /// What.
        answer: DelaySince,
    },
}

/// Why a datagram is not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// The framing, or a packet inside the compound, is malformed.
    #[error("malformed RTCP packet")]
    Malformed,
}

/// Parses a compound (or reduced-size, RFC 5506) packet. Items are handed to `on_item` up to
/// the first malformed one; other packet types are skipped.
pub fn parse(datagram: &[u8], mut on_item: impl FnMut(Rtcp)) -> Result<(), RtcpError> {
    // The framing of all of it. The packets are taken one by one below and not from its iterator,
    // which would parse source descriptions too, into vectors.
    Compound::parse(datagram).map_err(|_| RtcpError::Malformed)?;
    let mut rest = datagram;
    while let [_, kind, high, low, ..] = *rest {
        let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let Some((packet, behind)) = rest.split_at_checked(len) else {
            return Err(RtcpError::Malformed);
        };
        if kind == XR {
            xr::parse(packet, &mut on_item)?;
        } else {
            parse_packet(kind, packet, &mut on_item).map_err(|_| RtcpError::Malformed)?;
        }
        rest = behind;
    }
    Ok(())
}

fn parse_packet(
    kind: u8,
    packet: &[u8],
    on_item: &mut impl FnMut(Rtcp),
) -> Result<(), rtcp_types::RtcpParseError> {
    match kind {
        SR => {
            let report = SenderReport::parse(packet)?;
            let from = Ssrc(report.ssrc());
            let info = SenderInfo {
                ntp: report.ntp_timestamp(),
                timestamp: Timestamp(report.rtp_timestamp()),
                packets: report.packet_count(),
                octets: report.octet_count(),
            };
            on_item(Rtcp::SenderReport { ssrc: from, info });
            for block in report.report_blocks() {
                let block = ReportBlock::received(&block);
                on_item(Rtcp::ReportBlock { from, block });
            }
        }
        RR => {
            let report = ReceiverReport::parse(packet)?;
            let from = Ssrc(report.ssrc());
            for block in report.report_blocks() {
                let block = ReportBlock::received(&block);
                on_item(Rtcp::ReportBlock { from, block });
            }
        }
        BYE => {
            for ssrc in Bye::parse(packet)?.ssrcs() {
                on_item(Rtcp::Bye { ssrc: Ssrc(ssrc) });
            }
        }
        _ => {}
    }
    Ok(())
}

impl ReportBlock {
    fn received(block: &rtcp_types::ReportBlock<'_>) -> Self {
        ReportBlock {
            ssrc: Ssrc(block.ssrc()),
            fraction_lost: block.fraction_lost(),
            // 24-bit two's complement.
            cumulative_lost: ((block.cumulative_lost() << 8) as i32) >> 8,
            highest_seq: block.extended_sequence_number(),
            jitter: block.interarrival_jitter(),
            last_sender_report: block.last_sender_report_timestamp(),
            delay_since: block.delay_since_last_sender_report_timestamp(),
        }
    }
}

/// Writes SR (or RR without `sender`), SDES CNAME and, at the end, BYE. Returns the length, or 0
/// if `buf` is too short. At most 31 blocks and 255 bytes of `cname` are written.
pub fn write_compound(
    buf: &mut [u8],
    ssrc: Ssrc,
    sender: Option<&SenderInfo>,
    blocks: &[ReportBlock],
    cname: &str,
    bye: bool,
) -> usize {
    let blocks = &blocks[..blocks.len().min(MAX_BLOCKS)];
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    let mut out = Writer::new(buf);

    let info_words = if sender.is_some() { 5 } else { 0 };
    let kind = if sender.is_some() { SR } else { RR };
    out.head(blocks.len(), kind, 1 + info_words + 6 * blocks.len());
    out.word(ssrc.0);
    if let Some(info) = sender {
        out.word((info.ntp >> 32) as u32);
        out.word(info.ntp as u32);
        out.word(info.timestamp.0);
        out.word(info.packets);
        out.word(info.octets);
    }
    for block in blocks {
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
        out.word(block.ssrc.0);
        out.word(u32::from(block.fraction_lost) << 24 | (lost as u32 & 0xff_ffff));
        out.word(block.highest_seq);
        out.word(block.jitter);
        out.word(block.last_sender_report);
        out.word(block.delay_since);
    }

    // RFC 3550 §6.5: the item list ends with at least one null octet, padded to a word.
    let item_words = (2 + cname.len() + 1).div_ceil(4);
    out.head(1, SDES, 1 + item_words);
    out.word(ssrc.0);
    out.bytes(&[CNAME, cname.len() as u8]);
    out.bytes(cname);
    out.bytes(&[0; 4][..4 * item_words - 2 - cname.len()]);

    if bye {
        out.head(1, BYE, 1);
        out.word(ssrc.0);
    }
    out.finish()
}

/// Writes a BYE by itself, for the end of a compound. Returns the length, or 0 if `buf` is too short.
pub fn write_bye(buf: &mut [u8], ssrc: Ssrc) -> usize {
    let mut out = Writer::new(buf);
    out.head(1, BYE, 1);
    out.word(ssrc.0);
    out.finish()
}

/// 20 ms in units of 1/65536 s. Many count in milliseconds, or in ticks of 10 ms, at both ends of the wait.
const COARSE: i32 = 20 * 65_536 / 1000;

/// The round trip that a report block tells (RFC 3550 §6.4.1); `now_ntp` is 32.32 fixed point.
/// `None` if the block refers to no sender report, or to an impossible time. Zero where the peer says
/// that it waited longer than it took in all, by what a coarse clock of its own explains.
pub fn round_trip(last_sender_report: u32, delay_since: u32, now_ntp: u64) -> Option<Duration> {
    if last_sender_report == 0 {
        return None;
    }
    let now = (now_ntp >> 16) as u32;
    let trip = now
        .wrapping_sub(last_sender_report)
        .wrapping_sub(delay_since) as i32;
    // A minute is no round trip but a peer that counts wrongly.
    if !(-COARSE..60 << 16).contains(&trip) {
        return None;
    }
    let trip = trip.max(0) as u64;
    Some(Duration::from_micros(trip * 1_000_000 / 65_536))
}

/// Counts past the end of the buffer without writing, so that one check at the end suffices.
pub(super) struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// The length; 0 if it did not fit.
    pub(super) fn finish(self) -> usize {
        if self.len <= self.buf.len() {
            self.len
        } else {
            0
        }
    }

    pub(super) fn head(&mut self, count: usize, kind: u8, words: usize) {
        self.word(0x8000_0000 | (count as u32) << 24 | u32::from(kind) << 16 | words as u32);
    }

    pub(super) fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(space) = self.buf.get_mut(self.len..end) {
            space.copy_from_slice(bytes);
        }
        self.len = end;
    }
}

// RFC 3550 §12.1 and §12.2.
const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const CNAME: u8 = 1;
const MAX_BLOCKS: usize = 31;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtcp_types::Packet;

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: Ssrc(7),
        fraction_lost: 12,
        cumulative_lost: -3,
        highest_seq: 0x1_0002,
        jitter: 99,
        last_sender_report: 0x1234_5678,
        delay_since: 65_536,
    };

    const INFO: SenderInfo = SenderInfo {
        ntp: 0x0123_4567_89ab_cdef,
        timestamp: Timestamp(160),
        packets: 5,
        octets: 800,
    };

    fn items(bytes: &[u8]) -> Vec<Rtcp> {
        let mut items = Vec::new();
        parse(bytes, |item| items.push(item)).unwrap();
        items
    }

    #[test]
    fn a_compound_reads_back() {
        let ssrc = Ssrc(0xaabb_ccdd);
        // Each residue of the CNAME length pads differently.
        for cname in ["a", "ab", "abc", "abcd", "antiphon@198.51.100.1"] {
            let mut buf = [0u8; 256];
            let len = write_compound(&mut buf, ssrc, Some(&INFO), &[BLOCK], cname, true);
            assert_eq!(len % 4, 0);
            let expected = [
                Rtcp::SenderReport { ssrc, info: INFO },
                Rtcp::ReportBlock {
                    from: ssrc,
                    block: BLOCK,
                },
                Rtcp::Bye { ssrc },
            ];
            assert_eq!(items(&buf[..len]), expected);
            let compound = Compound::parse(&buf[..len]).unwrap();
            let found = compound.filter_map(Result::ok).any(|packet| match packet {
                Packet::Sdes(sdes) => sdes
                    .chunks()
                    .any(|chunk| chunk.items().any(|item| item.value() == cname.as_bytes())),
                _ => false,
            });
            assert!(found, "{cname}");
        }
    }

    #[test]
    fn without_a_sender_it_is_a_receiver_report() {
        let mut buf = [0u8; 64];
        let len = write_compound(&mut buf, Ssrc(1), None, &[], "x", false);
        assert_eq!(buf[1], RR);
        assert_eq!(len, 8 + 12);
        assert_eq!(items(&buf[..len]), []);
    }

    #[test]
    fn a_short_buffer_gives_nothing() {
        let mut buf = [0u8; 19];
        assert_eq!(write_compound(&mut buf, Ssrc(1), None, &[], "x", false), 0);
    }

    #[test]
    fn round_trip_follows_the_example_of_the_rfc() {
        // RFC 3550 figure 2: A = b710:8000, LSR = b705:2000, DLSR = 5.250 s, 6.125 s in all.
        let trip = round_trip(0xb705_2000, 0x0005_4000, 0xb710_8000 << 16);
        assert_eq!(trip, Some(Duration::from_millis(6125)));
        assert_eq!(round_trip(0, 0, 5 << 32), None);
        assert_eq!(round_trip(10 << 16, 1 << 16, 5 << 32), None);
        // A peer that rounds its second up to the next millisecond.
        let after_a_second = (11u64 << 32) + (20 << 16);
        assert_eq!(
            round_trip(10 << 16, 65_600, after_a_second),
            Some(Duration::ZERO)
        );
        assert_eq!(round_trip(10 << 16, 68_000, after_a_second), None);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
            kind in 199u8..208,
        ) {
            if bytes.len() > 3 {
                bytes[0] = 0x80 | (bytes[0] & 0x3f);
                bytes[1] = kind;
                bytes[2] = 0;
                bytes[3] = (bytes.len() / 4 - 1) as u8;
            }
            let _ = parse(&bytes, |_| {});
        }
    }
}
