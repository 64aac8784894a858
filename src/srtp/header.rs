//! As much of a header as encryption needs: read before anything is authenticated.

use super::SrtpError;

/// Bytes of an RTP header without CSRC and extension.
const FIXED: usize = 12;
/// Bytes of an RTCP header with the sender's SSRC.
const RTCP_FIXED: usize = 8;

/// Of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RtpHeader {
    pub ssrc: u32,
    pub seq: u16,
    /// Bytes of the whole header: what stays in the clear.
    pub len: usize,
}

impl RtpHeader {
    pub fn read(packet: &[u8]) -> Result<Self, SrtpError> {
        let fixed: &[u8; FIXED] = packet.first_chunk().ok_or(SrtpError::Malformed)?;
        if fixed[0] >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let mut len = FIXED + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let words = packet.get(len + 2..len + 4).ok_or(SrtpError::Malformed)?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        if len > packet.len() {
            return Err(SrtpError::Malformed);
        }
        Ok(Self {
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            seq: u16::from_be_bytes([fixed[2], fixed[3]]),
            len,
        })
    }
}

/// The sender of an RTCP packet.
pub(super) fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    let fixed: &[u8; RTCP_FIXED] = packet.first_chunk().ok_or(SrtpError::Malformed)?;
    if fixed[0] >> 6 != 2 {
        return Err(SrtpError::Malformed);
    }
    Ok(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]))
}
