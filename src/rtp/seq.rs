//! The wrapping numbers of RTP (RFC 3550 §5.1).

use std::fmt;

/// A sequence number; wraps at 2^16. Not `Ord`: wrapping order is not transitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNo(pub u16);

impl SeqNo {
    /// How far `self` lies after `earlier`; negative when before. Shortest way round.
    pub const fn distance(self, earlier: SeqNo) -> i16 {
        self.0.wrapping_sub(earlier.0) as i16
    }

    /// The number `n` packets later.
    pub const fn add(self, n: u16) -> SeqNo {
        SeqNo(self.0.wrapping_add(n))
    }

    /// The next number.
    pub const fn next(self) -> SeqNo {
        self.add(1)
    }
}

/// A media timestamp, in units of the payload's clock rate; wraps at 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// How many samples `self` lies after `earlier`; negative when before. Shortest way round.
    pub const fn distance(self, earlier: Timestamp) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// The timestamp `samples` later.
    pub const fn add(self, samples: u32) -> Timestamp {
        Timestamp(self.0.wrapping_add(samples))
    }
}

/// A synchronisation source (RFC 3550 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A payload type, 0..=127 (RFC 3551 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PayloadType(pub u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_takes_the_short_way_round_the_wrap() {
        assert_eq!(SeqNo(2).distance(SeqNo(65_534)), 4);
        assert_eq!(SeqNo(65_534).distance(SeqNo(2)), -4);
        assert_eq!(SeqNo(65_535).next(), SeqNo(0));
        assert_eq!(Timestamp(80).distance(Timestamp(u32::MAX - 79)), 160);
        assert_eq!(Timestamp(u32::MAX - 79).distance(Timestamp(80)), -160);
        assert_eq!(Timestamp(u32::MAX).add(1), Timestamp(0));
    }
}
