//! What the party sends, under one master key.

use super::cipher::{Cipher, ENCRYPTED};
use super::header::{RtpHeader, rtcp_ssrc};
use super::window::{self, Window};
use super::{MasterKey, SrtpError};

/// Sources that one key is followed for: a gateway that puts a party through to others has one for
/// each. Only authentic packets make one; those of further ones are refused until there is another
/// key, since one that was forgotten could be replayed.
pub const MAX_SOURCES: usize = 32;
/// The roll-over counter has 32 bits.
const MAX_ROC: u64 = (1 << 32) - 1;

/// Opens the packets of all sources that have the key.
#[derive(Debug)]
pub struct Inbound {
    rtp: Cipher,
    rtcp: Cipher,
    sources: Vec<Source>,
    /// The one of the last packet.
    last: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Source {
    ssrc: u32,
    rtp: Window,
    rtcp: Window,
    /// Its roll-over counter under the key before.
    earlier_roc: u64,
}

impl Inbound {
    /// Derives the session keys, and takes the memory for [`MAX_SOURCES`].
    pub fn new(master: &MasterKey) -> Self {
        Self {
            rtp: Cipher::rtp(master),
            rtcp: Cipher::rtcp(master),
            sources: Vec::with_capacity(MAX_SOURCES),
            last: 0,
        }
    }

    /// Takes the place of `earlier`, whose key is no longer sent with. RFC 4568 §7.1.4 sets the
    /// roll-over counter to zero with a new key, RFC 3711 §3.3.1 keeps it: both are tried, each with the
    /// next, which the sender may be at by the first packet that comes.
    pub fn follow(&mut self, earlier: &Inbound) {
        for old in &earlier.sources {
            let roc = old.rtp.highest().unwrap_or(0) >> 16;
            let earlier_roc = roc.max(old.earlier_roc);
            if let Some(source) = self.sources.iter_mut().find(|s| s.ssrc == old.ssrc) {
                source.earlier_roc = earlier_roc;
            } else if earlier_roc > 0 && self.sources.len() < MAX_SOURCES {
                self.sources.push(Source {
                    ssrc: old.ssrc,
                    earlier_roc,
                    ..Source::default()
                });
            }
        }
    }

    /// Opens an RTP packet; returns its length without the tag.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = RtpHeader::read(packet)?;
        let at = self.find(header.ssrc);
        let source = at.map(|at| &self.sources[at]);
        if let Some(highest) = source.and_then(|s| s.rtp.highest()) {
            let index = window::estimate(highest, header.seq)?;
            if let Some(source) = source {
                source.rtp.check(index)?;
            }
            return self.open_rtp(packet, header, index);
        }
        // The first of its source: before the first roll-over, just behind it (what came before is
        // lost, or late), where the source was under the key before, or just behind that.
        let earlier = source.map_or(0, |s| s.earlier_roc);
        let counters = [0, 1, earlier, (earlier + 1).min(MAX_ROC)];
        let mut result = Err(SrtpError::NotAuthentic);
        for (at, &roc) in counters.iter().enumerate() {
            if counters[..at].contains(&roc) {
                continue;
            }
            result = self.open_rtp(packet, header, roc << 16 | u64::from(header.seq));
            if result != Err(SrtpError::NotAuthentic) {
                break;
            }
        }
        result
    }

    fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header: RtpHeader,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let len = self.rtp.open_rtp(packet, header.len, header.ssrc, index)?;
        self.source(header.ssrc)?.rtp.mark(index);
        Ok(len)
    }

    /// Opens a compound RTCP packet; returns its length without tag and index. One that is not
    /// encrypted is refused: it was not agreed on.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet)?;
        let word = self.rtcp.rtcp_word(packet)?;
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::NotAuthentic);
        }
        let index = u64::from(word & !ENCRYPTED);
        if let Some(at) = self.find(ssrc) {
            self.sources[at].rtcp.check(index)?;
        }
        let len = self.rtcp.open_rtcp(packet, ssrc, word)?;
        self.source(ssrc)?.rtcp.mark(index);
        Ok(len)
    }

    fn find(&self, ssrc: u32) -> Option<usize> {
        let is = |source: &Source| source.ssrc == ssrc;
        if self.sources.get(self.last).is_some_and(is) {
            return Some(self.last);
        }
        self.sources.iter().position(is)
    }

    /// The state of a source that has been authenticated.
    fn source(&mut self, ssrc: u32) -> Result<&mut Source, SrtpError> {
        self.last = match self.find(ssrc) {
            Some(at) => at,
            None if self.sources.len() < MAX_SOURCES => {
                self.sources.push(Source {
                    ssrc,
                    ..Source::default()
                });
                self.sources.len() - 1
            }
            None => return Err(SrtpError::TooManySources),
        };
        Ok(&mut self.sources[self.last])
    }

    #[cfg(test)]
    pub(super) fn sources(&self) -> usize {
        self.sources.len()
    }
}
