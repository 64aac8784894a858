//! A leg's transport: plain RTP, or SRTP.
//!
//! Sits between the socket and [`Packet`](crate::rtp::Packet), both ways. What it needs is made on
//! the control side and exchanged by [`Keying`], before the leg opens or while it runs; what is no
//! longer in use goes back the same way. Without a key for a direction, nothing passes in it: so a
//! leg can wait for keys that are agreed on later, in the media (RFC 5764).

use std::time::Duration;

use super::Channel;
use crate::audio::MediaTime;
use crate::srtp::{Inbound, MAX_OVERHEAD, MasterKey, Outbound, SrtpError};

/// The longest packet that is taken or sent, bytes: more than an Ethernet frame holds.
const MAX_PACKET: usize = 2048;
/// How long packets under the key before are still let in: those that were on their way.
const EARLIER: Duration = Duration::from_secs(5);

/// Keys for a leg, or none; what was in use before comes back in it.
#[derive(Debug)]
pub struct Keying {
    /// Whose they are.
    channel: Channel,
    transport: Transport,
}

impl Keying {
    /// No encryption.
    pub fn plain() -> Box<Self> {
        Box::new(Self {
            channel: Channel::Rtp,
            transport: Transport::Plain,
        })
    }

    /// SRTP. `rx` protects what the party sends, `tx` what we send; none: the key that there is stays,
    /// with its roll-over counter, or is still to come.
    pub fn srtp(rx: Option<&MasterKey>, tx: Option<&MasterKey>) -> Box<Self> {
        Box::new(Self {
            channel: Channel::Rtp,
            transport: Transport::Srtp(Box::new(Srtp {
                inbound: rx.map(|key| Box::new(Inbound::new(key))),
                earlier: None,
                outbound: tx.map(|key| Box::new(Outbound::new(key))),
                rx: [0; MAX_PACKET],
                tx: [0; MAX_PACKET + MAX_OVERHEAD],
            })),
        })
    }

    /// The same, for RTCP alone where it has keys of its own ([`Channel::Rtcp`]), or for all.
    pub fn of(mut self: Box<Self>, channel: Channel) -> Box<Self> {
        self.channel = channel;
        self
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel
    }
}

/// How a leg's packets travel.
#[derive(Debug, Default)]
pub(super) enum Transport {
    /// As they are.
    #[default]
    Plain,
    /// Encrypted and authenticated.
    Srtp(Box<Srtp>),
}

/// SRTP with its keys, as far as they have come, and room for a packet each way.
#[derive(Debug)]
pub(super) struct Srtp {
    inbound: Option<Box<Inbound>>,
    /// The one before, and until when it counts.
    earlier: Option<(Box<Inbound>, MediaTime)>,
    outbound: Option<Box<Outbound>>,
    rx: [u8; MAX_PACKET],
    tx: [u8; MAX_PACKET + MAX_OVERHEAD],
}

/// RTP or RTCP: they have keys of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

impl Transport {
    /// Takes what `keying` brings; what is no longer in use is left in it.
    pub fn rekey(&mut self, keying: &mut Keying, now: MediaTime) {
        let (Transport::Srtp(old), Transport::Srtp(new)) = (&mut *self, &mut keying.transport)
        else {
            std::mem::swap(self, &mut keying.transport);
            return;
        };
        if let Some(mut inbound) = new.inbound.take() {
            if let Some(earlier) = &old.inbound {
                inbound.follow(earlier);
            }
            let before = old.inbound.replace(inbound);
            new.earlier = old.earlier.take();
            old.earlier = before.map(|before| (before, now + EARLIER));
        }
        if new.outbound.is_some() {
            std::mem::swap(&mut old.outbound, &mut new.outbound);
        }
    }

    /// Opens a packet.
    pub fn open<'a>(
        &'a mut self,
        protocol: Protocol,
        data: &'a [u8],
        arrival: MediaTime,
    ) -> Result<&'a [u8], SrtpError> {
        let Transport::Srtp(srtp) = self else {
            return Ok(data);
        };
        let Srtp {
            inbound,
            earlier,
            rx,
            ..
        } = &mut **srtp;
        let room = rx.get_mut(..data.len()).ok_or(SrtpError::Malformed)?;
        room.copy_from_slice(data);
        let inbound = inbound.as_deref_mut().ok_or(SrtpError::NoKey)?;
        let mut result = unprotect(inbound, protocol, room);
        if result == Err(SrtpError::NotAuthentic)
            && let Some((earlier, until)) = earlier
            && arrival < *until
        {
            result = unprotect(earlier, protocol, room);
        }
        result.map(|len| &room[..len])
    }

    /// Hands the packet to `send` as it goes out; not at all where there is no key for it, or none
    /// that may be used any more.
    pub fn seal(&mut self, protocol: Protocol, packet: &[u8], send: impl FnOnce(&[u8])) {
        let Transport::Srtp(srtp) = self else {
            send(packet);
            return;
        };
        let Srtp { outbound, tx, .. } = &mut **srtp;
        let (Some(outbound), Some(room)) = (outbound, tx.get_mut(..packet.len())) else {
            return;
        };
        room.copy_from_slice(packet);
        let sealed = match protocol {
            Protocol::Rtp => outbound.protect_rtp(tx, packet.len()),
            Protocol::Rtcp => outbound.protect_rtcp(tx, packet.len()),
        };
        if let Ok(len) = sealed {
            send(&tx[..len]);
        }
    }

    /// Whether what is sealed goes out: its key has come.
    pub fn can_send(&self) -> bool {
        match self {
            Transport::Plain => true,
            Transport::Srtp(srtp) => srtp.outbound.is_some(),
        }
    }

    /// Whether packets are encrypted.
    pub fn is_secure(&self) -> bool {
        matches!(self, Transport::Srtp(_))
    }
}

fn unprotect(
    inbound: &mut Inbound,
    protocol: Protocol,
    packet: &mut [u8],
) -> Result<usize, SrtpError> {
    match protocol {
        Protocol::Rtp => inbound.unprotect_rtp(packet),
        Protocol::Rtcp => inbound.unprotect_rtcp(packet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::packet::{Header, write_header};
    use crate::rtp::{HEADER_LEN, SeqNo, Ssrc};
    use crate::srtp::Suite;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn key(seed: u64) -> MasterKey {
        MasterKey::random(Suite::AeadAes128Gcm, &mut StdRng::seed_from_u64(seed))
    }

    fn packet(seq: u16) -> Vec<u8> {
        let mut packet = vec![7; HEADER_LEN + 160];
        let header = Header {
            seq: SeqNo(seq),
            ssrc: Ssrc(9),
            ..Header::default()
        };
        write_header(&mut packet, &header);
        packet
    }

    fn keyed(rx: Option<&MasterKey>, tx: Option<&MasterKey>) -> Transport {
        let mut transport = Transport::default();
        transport.rekey(&mut Keying::srtp(rx, tx), MediaTime::ZERO);
        transport
    }

    fn sealed(transport: &mut Transport, seq: u16) -> Option<Vec<u8>> {
        let mut out = None;
        transport.seal(Protocol::Rtp, &packet(seq), |sealed| {
            out = Some(sealed.to_vec());
        });
        out
    }

    #[test]
    fn plain_passes_as_it_is_and_without_a_key_nothing_passes() {
        let mut plain = Transport::default();
        assert_eq!(sealed(&mut plain, 1), Some(packet(1)));
        let now = MediaTime::ZERO;
        assert_eq!(plain.open(Protocol::Rtp, &[1, 2], now), Ok(&[1u8, 2][..]));
        let mut waiting = keyed(None, None);
        assert_eq!(sealed(&mut waiting, 1), None);
        assert!(waiting.open(Protocol::Rtp, &packet(1), now).is_err());
        // The keys come later, one direction after the other.
        let mut ours = keyed(None, Some(&key(1)));
        let wire = sealed(&mut ours, 1).unwrap();
        waiting.rekey(&mut Keying::srtp(Some(&key(1)), None), now);
        assert_eq!(waiting.open(Protocol::Rtp, &wire, now), Ok(&packet(1)[..]));
        assert_eq!(sealed(&mut waiting, 1), None);
        waiting.rekey(&mut Keying::srtp(None, Some(&key(2))), now);
        assert!(sealed(&mut waiting, 1).is_some());
    }

    #[test]
    fn an_unchanged_key_keeps_its_state_and_the_one_before_counts_for_a_while() {
        let now = MediaTime::ZERO;
        let mut party = keyed(None, Some(&key(1)));
        let mut leg = keyed(Some(&key(1)), Some(&key(5)));
        let first = sealed(&mut party, 1).unwrap();
        let on_its_way = sealed(&mut party, 2).unwrap();
        let late = sealed(&mut party, 3).unwrap();
        assert!(leg.open(Protocol::Rtp, &first, now).is_ok());
        leg.rekey(&mut Keying::srtp(None, Some(&key(6))), now);
        assert_eq!(
            leg.open(Protocol::Rtp, &first, now),
            Err(SrtpError::Replayed)
        );
        leg.rekey(&mut Keying::srtp(Some(&key(2)), None), now);
        let mut party = keyed(None, Some(&key(2)));
        let new = sealed(&mut party, 4).unwrap();
        assert!(leg.open(Protocol::Rtp, &new, now).is_ok());
        assert!(leg.open(Protocol::Rtp, &on_its_way, now).is_ok());
        let later = now + EARLIER;
        assert_eq!(
            leg.open(Protocol::Rtp, &late, later),
            Err(SrtpError::NotAuthentic)
        );
    }

    #[test]
    fn what_is_no_longer_in_use_comes_back() {
        let mut leg = keyed(Some(&key(1)), Some(&key(2)));
        let mut to = Keying::plain();
        leg.rekey(&mut to, MediaTime::ZERO);
        assert!(!leg.is_secure() && to.transport.is_secure());
        let mut party = keyed(Some(&key(1)), None);
        for seed in 2..5 {
            let mut keying = Keying::srtp(Some(&key(seed)), None);
            party.rekey(&mut keying, MediaTime::ZERO);
            let Transport::Srtp(old) = &keying.transport else {
                panic!("srtp");
            };
            assert_eq!(old.earlier.is_some(), seed > 2);
        }
    }
}
