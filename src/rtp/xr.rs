//! RTCP extended reports (RFC 3611): VoIP metrics, and round trips for who only receives.
//!
//! Sits beside `rtcp`, which hands packets of type 207 here; one is sent in the compound between SDES
//! and BYE. Neither way allocates: both run on the media thread.

use super::rtcp::{Rtcp, RtcpError, Writer};
use super::seq::Ssrc;

/// The VoIP metrics block (RFC 3611 §4.7), in its own units. What an end does not know is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoipMetrics {
    /// The source that is reported on.
    pub ssrc: Ssrc,
    /// Packets that never came, in 1/256 of those expected.
    pub loss_rate: u8,
    /// Packets that came too late or too early, in 1/256 of those expected.
    pub discard_rate: u8,
    /// Share of both within bursts, in 1/256.
    pub burst_density: u8,
    /// Share of both between bursts, in 1/256.
    pub gap_density: u8,
    /// Mean length of bursts, ms.
    pub burst_duration_ms: u16,
    /// Mean length of gaps, ms.
    pub gap_duration_ms: u16,
    /// Round trip between the two ends, ms; 0: not known.
    pub round_trip_ms: u16,
    /// What the end itself adds: collecting, encoding, jitter buffer, decoding, ms.
    pub end_system_delay_ms: u16,
    /// Level of speech, dBm0.
    pub signal_dbm0: Option<i8>,
    /// Level of the noise between, dBm0.
    pub noise_dbm0: Option<i8>,
    /// Residual echo return loss, dB.
    pub echo_return_loss_db: Option<u8>,
    /// The threshold between gap and burst, packets.
    pub gmin: u8,
    /// The R factor of the stream, 0 to 100.
    pub r_factor: Option<u8>,
    /// The R factor of the call's part in another network, 0 to 100.
    pub external_r_factor: Option<u8>,
    /// Listening quality, in tenths: 10 to 50.
    pub mos_lq: Option<u8>,
    /// Conversational quality, in tenths: 10 to 50.
    pub mos_cq: Option<u8>,
    /// Concealment and kind of jitter buffer (RFC 3611 §4.7.6).
    pub receiver_config: u8,
    /// Delay of the jitter buffer for a packet in time, ms.
    pub buffer_nominal_ms: u16,
    /// Its delay for the latest packet that is still played, ms.
    pub buffer_maximum_ms: u16,
    /// The most that this delay can become, ms.
    pub buffer_limit_ms: u16,
}

/// Standard concealment and an adaptive jitter buffer (RFC 3611 §4.7.6).
pub const STANDARD_CONCEALMENT_ADAPTIVE: u8 = 0b1111_0000;

/// What answers a reference time (RFC 3611 §4.5), in the units of a report block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelaySince {
    /// Who sent the reference time.
    pub ssrc: Ssrc,
    /// Middle 32 bits of it.
    pub last_reference: u32,
    /// Delay since it came, in 1/65536 s.
    pub delay: u32,
}

/// Writes an extended report with the blocks that there are. Returns its length; 0 if there are none
/// or `buf` is too short.
pub fn write(
    buf: &mut [u8],
    ssrc: Ssrc,
    metrics: Option<&VoipMetrics>,
    answer: Option<&DelaySince>,
) -> usize {
    let words = metrics.map_or(0, |_| 1 + METRICS_WORDS) + answer.map_or(0, |_| 1 + DELAY_WORDS);
    if words == 0 {
        return 0;
    }
    let mut out = Writer::new(buf);
    out.head(0, XR, 1 + words);
    out.word(ssrc.0);
    if let Some(answer) = answer {
        out.word(u32::from(DELAY_SINCE) << 24 | DELAY_WORDS as u32);
        out.word(answer.ssrc.0);
        out.word(answer.last_reference);
        out.word(answer.delay);
    }
    if let Some(m) = metrics {
        out.word(u32::from(METRICS) << 24 | METRICS_WORDS as u32);
        out.word(m.ssrc.0);
        out.bytes(&[m.loss_rate, m.discard_rate, m.burst_density, m.gap_density]);
        for (high, low) in [
            (m.burst_duration_ms, m.gap_duration_ms),
            (m.round_trip_ms, m.end_system_delay_ms),
        ] {
            out.word(u32::from(high) << 16 | u32::from(low));
        }
        let level = |level: Option<i8>| level.map_or(UNKNOWN, |db| db as u8);
        let value = |value: Option<u8>| value.unwrap_or(UNKNOWN);
        out.bytes(&[
            level(m.signal_dbm0),
            level(m.noise_dbm0),
            value(m.echo_return_loss_db),
            m.gmin,
            value(m.r_factor),
            value(m.external_r_factor),
            value(m.mos_lq),
            value(m.mos_cq),
        ]);
        out.word(u32::from(m.receiver_config) << 24 | u32::from(m.buffer_nominal_ms));
        out.word(u32::from(m.buffer_maximum_ms) << 16 | u32::from(m.buffer_limit_ms));
    }
    out.finish()
}

/// Reads a packet of type 207, header included. Blocks of other types are skipped.
pub(super) fn parse(packet: &[u8], on_item: &mut impl FnMut(Rtcp)) -> Result<(), RtcpError> {
    let (head, mut rest) = packet
        .split_first_chunk::<8>()
        .ok_or(RtcpError::Malformed)?;
    let from = Ssrc(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
    if head[0] & PADDING != 0 {
        let padding = usize::from(rest.last().copied().unwrap_or_default());
        let kept = rest.len().checked_sub(padding);
        let kept = kept.filter(|_| padding > 0).ok_or(RtcpError::Malformed)?;
        rest = &rest[..kept];
    }
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk::<4>().ok_or(RtcpError::Malformed)?;
        let len = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (block, behind) = behind.split_at_checked(len).ok_or(RtcpError::Malformed)?;
        rest = behind;
        match head[0] {
            REFERENCE_TIME => {
                let ntp = block.try_into().map_err(|_| RtcpError::Malformed)?;
                let ntp = u64::from_be_bytes(ntp);
                on_item(Rtcp::ReferenceTime { from, ntp });
            }
            DELAY_SINCE => {
                let (answers, []) = block.as_chunks::<{ 4 * DELAY_WORDS }>() else {
                    return Err(RtcpError::Malformed);
                };
                for answer in answers {
                    let answer = DelaySince {
                        ssrc: Ssrc(word(answer, 0)),
                        last_reference: word(answer, 1),
                        delay: word(answer, 2),
                    };
                    on_item(Rtcp::DelaySince { from, answer });
                }
            }
            METRICS => {
                let block: &[u8; 4 * METRICS_WORDS] =
                    block.try_into().map_err(|_| RtcpError::Malformed)?;
                let metrics = read_metrics(block);
                on_item(Rtcp::VoipMetrics { from, metrics });
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_metrics(block: &[u8; 4 * METRICS_WORDS]) -> VoipMetrics {
    let half = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let value = |at: usize| Some(block[at]).filter(|&v| v != UNKNOWN);
    let level = |at: usize| value(at).map(|v| v as i8);
    // What is out of range is as good as not known.
    let within = |at: usize, low: u8, high: u8| value(at).filter(|v| (low..=high).contains(v));
    VoipMetrics {
        ssrc: Ssrc(word(block, 0)),
        loss_rate: block[4],
        discard_rate: block[5],
        burst_density: block[6],
        gap_density: block[7],
        burst_duration_ms: half(8),
        gap_duration_ms: half(10),
        round_trip_ms: half(12),
        end_system_delay_ms: half(14),
        signal_dbm0: level(16),
        noise_dbm0: level(17),
        echo_return_loss_db: value(18),
        gmin: block[19],
        r_factor: within(20, 0, 100),
        external_r_factor: within(21, 0, 100),
        mos_lq: within(22, 10, 50),
        mos_cq: within(23, 10, 50),
        receiver_config: block[24],
        buffer_nominal_ms: half(26),
        buffer_maximum_ms: half(28),
        buffer_limit_ms: half(30),
    }
}

fn word(bytes: &[u8], index: usize) -> u32 {
    let at = 4 * index;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The packet type (RFC 3611 §2).
pub(super) const XR: u8 = 207;
const PADDING: u8 = 0x20;
// Block types (RFC 3611 §4), and their words behind the block's head.
const REFERENCE_TIME: u8 = 4;
const DELAY_SINCE: u8 = 5;
const METRICS: u8 = 7;
const DELAY_WORDS: usize = 3;
const METRICS_WORDS: usize = 8;
/// RFC 3611 §4.7.4 and §4.7.5.
const UNKNOWN: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::rtcp;

    const METRICS: VoipMetrics = VoipMetrics {
        ssrc: Ssrc(0x0102_0304),
        loss_rate: 5,
        discard_rate: 6,
        burst_density: 7,
        gap_density: 8,
        burst_duration_ms: 0x0910,
        gap_duration_ms: 0x1112,
        round_trip_ms: 0x1314,
        end_system_delay_ms: 0x1516,
        signal_dbm0: Some(-20),
        noise_dbm0: None,
        echo_return_loss_db: None,
        gmin: 16,
        r_factor: Some(93),
        external_r_factor: None,
        mos_lq: Some(44),
        mos_cq: Some(43),
        receiver_config: STANDARD_CONCEALMENT_ADAPTIVE,
        buffer_nominal_ms: 0x1718,
        buffer_maximum_ms: 0x1920,
        buffer_limit_ms: 0x2122,
    };
    const ANSWER: DelaySince = DelaySince {
        ssrc: Ssrc(9),
        last_reference: 0x1234_5678,
        delay: 65_536,
    };

    fn items(bytes: &[u8]) -> Result<Vec<Rtcp>, RtcpError> {
        let mut items = Vec::new();
        rtcp::parse(bytes, |item| items.push(item)).map(|()| items)
    }

    #[test]
    fn the_layout_is_that_of_the_rfc() {
        let mut buf = [0xaa; 64];
        let len = write(&mut buf, Ssrc(0xf0f1_f2f3), Some(&METRICS), None);
        let expected = [
            0x80, 207, 0, 10, 0xf0, 0xf1, 0xf2, 0xf3, 7, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x10,
            0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0xec, 127, 127, 16, 93, 127, 44, 43, 0xf0, 0, 0x17,
            0x18, 0x19, 0x20, 0x21, 0x22,
        ];
        assert_eq!(buf[..len], expected);
    }

    #[test]
    fn what_is_written_reads_back_within_a_compound() {
        let mut buf = [0; 256];
        let ssrc = Ssrc(77);
        let mut len = rtcp::write_compound(&mut buf, ssrc, None, &[], "x", false);
        len += write(&mut buf[len..], ssrc, Some(&METRICS), Some(&ANSWER));
        len += rtcp::write_bye(&mut buf[len..], ssrc);
        let expected = vec![
            Rtcp::DelaySince {
                from: ssrc,
                answer: ANSWER,
            },
            Rtcp::VoipMetrics {
                from: ssrc,
                metrics: METRICS,
            },
            Rtcp::Bye { ssrc },
        ];
        assert_eq!(items(&buf[..len]), Ok(expected));
        assert_eq!(write(&mut buf, ssrc, None, None), 0);
        assert_eq!(write(&mut buf[..40], ssrc, Some(&METRICS), None), 0);
    }

    #[test]
    fn a_reference_time_and_unknown_blocks() {
        let bytes = [
            0x80, 207, 0, 6, 0, 0, 0, 1, // head
            200, 0, 0, 1, 1, 2, 3, 4, // of another type
            4, 0, 0, 2, 0, 0, 0, 5, 0x80, 0, 0, 0, // five and a half seconds
        ];
        let expected = Rtcp::ReferenceTime {
            from: Ssrc(1),
            ntp: 5 << 32 | 0x8000_0000,
        };
        assert_eq!(items(&bytes), Ok(vec![expected]));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let mut buf = [0; 64];
        let len = write(&mut buf, Ssrc(1), Some(&METRICS), None);
        // The block says that it is longer, or shorter, than it can be.
        for words in [7, 9, 255] {
            let mut bytes = buf;
            bytes[11] = words;
            assert_eq!(items(&bytes[..len]), Err(RtcpError::Malformed), "{words}");
        }
        // More padding than there is, or none where some is announced.
        for padding in [0, 200] {
            let mut bytes = buf;
            bytes[0] |= PADDING;
            bytes[len - 1] = padding;
            assert_eq!(items(&bytes[..len]), Err(RtcpError::Malformed), "{padding}");
        }
    }

    #[test]
    fn impossible_values_are_not_known() {
        let mut buf = [0; 64];
        let len = write(&mut buf, Ssrc(1), Some(&METRICS), None);
        buf[32..36].copy_from_slice(&[101, 200, 9, 51]);
        let Ok([Rtcp::VoipMetrics { metrics, .. }]) = items(&buf[..len])
            .as_deref()
            .map(|i| <[Rtcp; 1]>::try_from(i).unwrap())
        else {
            panic!("no metrics")
        };
        let factors = (metrics.r_factor, metrics.external_r_factor);
        assert_eq!(factors, (None, None));
        assert_eq!((metrics.mos_lq, metrics.mos_cq), (None, None));
    }
}
