//! RTP packets: parsing by `rtp-rs`, writing by hand (RFC 3550 §5.1).
//!
//! Sits after the socket and the transport stage, before `rtp::latch` and `rtp::session`.

use rtp_rs::{RtpReader, RtpReaderError};

use super::seq::{PayloadType, SeqNo, Ssrc, Timestamp};

/// Bytes of a header without CSRC and extension: the only kind that we write.
pub const HEADER_LEN: usize = 12;

/// A parsed packet; the payload is without padding, CSRC list and extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The payload type.
    pub payload_type: PayloadType,
    /// The marker: with audio, the first packet of a talk-spurt (RFC 3551 §4.1).
    pub marker: bool,
    /// The sequence number.
    pub seq: SeqNo,
    /// The sampling instant of the first sample.
    pub timestamp: Timestamp,
    /// The synchronisation source.
    pub ssrc: Ssrc,
    /// The encoded media; may be empty.
    pub payload: &'a [u8],
}

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than the fixed header.
    #[error("{0} bytes are too short for RTP")]
    TooShort(usize),
    /// The version field is not 2.
    #[error("RTP version {0} is not 2")]
    Version(u8),
    /// The CSRC list or the extension runs past the end.
    #[error("RTP header runs past the end of the packet")]
    HeaderTruncated,
    /// The padding count is zero or larger than the payload.
    #[error("RTP padding of {0} bytes does not fit")]
    Padding(u8),
}

impl<'a> Packet<'a> {
    /// Parses a datagram.
    pub fn parse(datagram: &'a [u8]) -> Result<Packet<'a>, PacketError> {
        let reader = RtpReader::new(datagram).map_err(|error| match error {
            RtpReaderError::BufferTooShort(len) => PacketError::TooShort(len),
            RtpReaderError::UnsupportedVersion(version) => PacketError::Version(version),
            RtpReaderError::HeadersTruncated { .. } => PacketError::HeaderTruncated,
            RtpReaderError::PaddingLengthInvalid(len) => PacketError::Padding(len),
        })?;
        Ok(Packet {
            payload_type: PayloadType(reader.payload_type()),
            marker: reader.mark(),
            seq: SeqNo(reader.sequence_number().into()),
            timestamp: Timestamp(reader.timestamp()),
            ssrc: Ssrc(reader.ssrc()),
            payload: reader.payload(),
        })
    }
}

/// The fields of a header that we send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The payload type.
    pub payload_type: PayloadType,
    /// The marker.
    pub marker: bool,
    /// The sequence number.
    pub seq: SeqNo,
    /// The timestamp.
    pub timestamp: Timestamp,
    /// Our synchronisation source.
    pub ssrc: Ssrc,
}

/// Writes `header` to the front of `buf`: [`HEADER_LEN`] bytes, or 0 if `buf` is shorter.
pub fn write_header(buf: &mut [u8], header: &Header) -> usize {
    let Some(out) = buf.first_chunk_mut::<HEADER_LEN>() else {
        return 0;
    };
    out[0] = 0x80;
    out[1] = (header.payload_type.0 & 0x7f) | (u8::from(header.marker) << 7);
    out[2..4].copy_from_slice(&header.seq.0.to_be_bytes());
    out[4..8].copy_from_slice(&header.timestamp.0.to_be_bytes());
    out[8..12].copy_from_slice(&header.ssrc.0.to_be_bytes());
    HEADER_LEN
}

/// What a datagram on the RTP port is, by its first bytes (RFC 7983, RFC 5761 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RTP or SRTP: 128 to 191.
    Rtp,
    /// RTCP or SRTCP, muxed.
    Rtcp,
    /// DTLS: 20 to 63.
    Dtls,
    /// STUN (0 to 3), or nothing that we know.
    Other,
}

impl Kind {
    /// The kind of a datagram.
    pub fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(128..=191) if is_rtcp(datagram) => Kind::Rtcp,
            Some(128..=191) => Kind::Rtp,
            Some(20..=63) => Kind::Dtls,
            _ => Kind::Other,
        }
    }
}

/// Whether a datagram on a shared port is RTCP: packet types 192 to 223 (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, kind, ..] if first >> 6 == 2 && (192..=223).contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header {
        payload_type: PayloadType(8),
        marker: true,
        seq: SeqNo(0xfffe),
        timestamp: Timestamp(0x0102_0304),
        ssrc: Ssrc(0xdead_beef),
    };

    #[test]
    fn what_is_written_parses_back() {
        let mut buf = [7u8; HEADER_LEN + 3];
        assert_eq!(write_header(&mut buf, &HEADER), HEADER_LEN);
        let packet = Packet::parse(&buf).unwrap();
        assert_eq!(packet.payload_type, HEADER.payload_type);
        assert!(packet.marker);
        assert_eq!(packet.seq, HEADER.seq);
        assert_eq!(packet.timestamp, HEADER.timestamp);
        assert_eq!(packet.ssrc, HEADER.ssrc);
        assert_eq!(packet.payload, [7, 7, 7]);
        assert_eq!(write_header(&mut [0; 11], &HEADER), 0);
    }

    #[test]
    fn csrc_extension_and_padding_are_not_payload() {
        let mut bytes = vec![0x80 | 0x20 | 0x10 | 2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([9; 8]); // two CSRC
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // extension of one word
        bytes.extend([42, 43]);
        bytes.extend([0, 0, 3]); // padding
        assert_eq!(Packet::parse(&bytes).unwrap().payload, [42, 43]);
    }

    #[test]
    fn malformed_packets_are_named() {
        assert_eq!(Packet::parse(&[0x80; 11]), Err(PacketError::TooShort(11)));
        assert_eq!(Packet::parse(&[0x40; 12]), Err(PacketError::Version(1)));
        let mut csrc = [0u8; 14];
        csrc[0] = 0x8f;
        assert_eq!(Packet::parse(&csrc), Err(PacketError::HeaderTruncated));
        let mut padded = [0u8; 14];
        padded[0] = 0xa0;
        padded[13] = 3;
        assert_eq!(Packet::parse(&padded), Err(PacketError::Padding(3)));
        padded[13] = 0;
        assert_eq!(Packet::parse(&padded), Err(PacketError::Padding(0)));
    }

    #[test]
    fn rtcp_is_told_from_rtp_on_one_port() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(is_rtcp(&[0x81, 201]));
        assert!(!is_rtcp(&[0x80, 0, 0, 0]));
        assert!(!is_rtcp(&[0x80, 0x80 | 8, 0, 0])); // marker and PCMA
        assert!(!is_rtcp(&[0x00, 200])); // STUN
        assert!(!is_rtcp(&[0x80]));
        let kinds = [
            &[0x80, 200][..],
            &[0x80, 0],
            &[0xbf, 96],
            &[0, 1],
            &[22, 254],
            &[],
        ];
        let expected = [
            Kind::Rtcp,
            Kind::Rtp,
            Kind::Rtp,
            Kind::Other,
            Kind::Dtls,
            Kind::Other,
        ];
        assert_eq!(kinds.map(Kind::of), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = 0x80 | (*first & 0x3f);
            }
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert!(packet.payload.len() + HEADER_LEN <= bytes.len());
            }
        }
    }
}
