//! What the server sends, under one master key.

use super::cipher::{Cipher, RTCP_CLEAR};
use super::header::{RtpHeader, rtcp_ssrc};
use super::{MasterKey, SrtpError, window};

/// The highest SRTCP index (RFC 3711 §3.4): 31 bits.
const MAX_RTCP_INDEX: u32 = (1 << 31) - 1;

/// Protects the packets of our one source. The roll-over counter begins at zero, as with each new
/// key that is agreed on in a session description (RFC 4568 §6.4, §7.1.4).
#[derive(Debug)]
pub struct Outbound {
    rtp: Cipher,
    rtcp: Cipher,
    ssrc: Option<u32>,
    /// The index of the last RTP packet.
    last: Option<u64>,
    /// The index of the next RTCP packet.
    next_rtcp: u32,
}

impl Outbound {
    /// Derives the session keys.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            rtp: Cipher::rtp(master),
            rtcp: Cipher::rtcp(master),
            ssrc: None,
            last: None,
            next_rtcp: 0,
        }
    }

    /// Protects the RTP packet in the first `len` bytes; returns its length with the tag. Each packet
    /// has to be behind the last one, or its key stream would be used twice.
    pub fn protect_rtp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let text = packet.get(..len).ok_or(SrtpError::NoRoom)?;
        let header = RtpHeader::read(text)?;
        self.check_source(header.ssrc)?;
        let index = match self.last {
            Some(last) => window::estimate(last, header.seq)?,
            None => header.seq.into(),
        };
        if self.last.is_some_and(|last| index <= last) {
            return Err(SrtpError::Replayed);
        }
        let len = self
            .rtp
            .seal_rtp(packet, (header.len, len), header.ssrc, index)?;
        self.ssrc = Some(header.ssrc);
        self.last = Some(index);
        Ok(len)
    }

    /// Protects the compound RTCP packet in the first `len` bytes; returns its length with tag and
    /// index.
    pub fn protect_rtcp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let text = packet.get(..len).ok_or(SrtpError::NoRoom)?;
        let ssrc = rtcp_ssrc(text)?;
        self.check_source(ssrc)?;
        if self.next_rtcp > MAX_RTCP_INDEX || len < RTCP_CLEAR {
            return Err(SrtpError::Exhausted);
        }
        let len = self.rtcp.seal_rtcp(packet, len, ssrc, self.next_rtcp)?;
        self.ssrc = Some(ssrc);
        self.next_rtcp += 1;
        Ok(len)
    }

    fn check_source(&self, ssrc: u32) -> Result<(), SrtpError> {
        match self.ssrc {
            Some(ours) if ours != ssrc => Err(SrtpError::TooManySources),
            _ => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn begin_at(&mut self, last: u64, next_rtcp: u32) {
        self.last = Some(last);
        self.next_rtcp = next_rtcp;
    }
}
