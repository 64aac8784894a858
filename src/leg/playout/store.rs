//! Payloads of codecs with state, until their turn to be decoded comes. All memory is taken at
//! construction.

use crate::codec::Codec;
use crate::rtp::SeqNo;

/// A payload that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) seq: SeqNo,
    pub(super) codec: Codec,
    /// Its place on the line, and how long it is, samples of the playout.
    pub(super) at: i64,
    pub(super) len: i64,
    /// Where in the store its bytes are.
    from: usize,
    bytes: usize,
}

/// What became of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Stored,
    /// One with that number or place waits already.
    Duplicate,
    /// There is no room.
    Full,
}

/// Up to [`MAX_WAITING`] payloads, by their place on the line.
#[derive(Debug)]
pub(super) struct Store {
    waiting: Vec<Waiting>,
    bytes: Box<[u8]>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            waiting: Vec::with_capacity(MAX_WAITING),
            bytes: vec![0; MAX_BYTES].into(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The one whose turn comes next.
    pub(super) fn first(&self) -> Option<Waiting> {
        self.waiting.first().copied()
    }

    /// The end of the last one on the line.
    pub(super) fn end(&self) -> Option<i64> {
        self.waiting.last().map(|w| w.at + w.len)
    }

    pub(super) fn payload(&self, waiting: &Waiting) -> &[u8] {
        &self.bytes[waiting.from..waiting.from + waiting.bytes]
    }

    /// Forgets the first one.
    pub(super) fn pop(&mut self) {
        if !self.waiting.is_empty() {
            self.waiting.remove(0);
        }
    }

    pub(super) fn put(
        &mut self,
        seq: SeqNo,
        codec: Codec,
        (at, len): (i64, i64),
        payload: &[u8],
    ) -> Kept {
        let place = self.waiting.partition_point(|w| w.at < at);
        if self.waiting.get(place).is_some_and(|w| w.at == at) {
            return Kept::Duplicate;
        }
        let Some(from) = self.room(payload.len()) else {
            return Kept::Full;
        };
        self.bytes[from..from + payload.len()].copy_from_slice(payload);
        let waiting = Waiting {
            seq,
            codec,
            at,
            len,
            from,
            bytes: payload.len(),
        };
        self.waiting.insert(place, waiting);
        Kept::Stored
    }

    /// The first place with so many free bytes: each collision moves behind one that waits, so
    /// that there are at most as many rounds as those.
    fn room(&self, bytes: usize) -> Option<usize> {
        if self.waiting.len() == MAX_WAITING {
            return None;
        }
        let mut from = 0;
        while let Some(taken) = self
            .waiting
            .iter()
            .find(|w| w.from < from + bytes && from < w.from + w.bytes)
        {
            from = taken.from + taken.bytes;
        }
        (from + bytes <= MAX_BYTES).then_some(from)
    }
}

/// 1.28 s of packets of 20 ms.
const MAX_WAITING: usize = 64;
/// 64 packets of 256 bytes; a packet may have more.
const MAX_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &mut Store, at: i64, payload: &[u8]) -> Kept {
        store.put(SeqNo(at as u16), Codec::Opus, (at, 1), payload)
    }

    #[test]
    fn payloads_come_out_by_place_and_whole() {
        let mut store = Store::new();
        for at in [5, 3, 9, 4] {
            assert_eq!(put(&mut store, at, &[at as u8; 100]), Kept::Stored);
        }
        assert_eq!(put(&mut store, 9, &[1]), Kept::Duplicate);
        assert_eq!(store.end(), Some(10));
        for at in [3, 4, 5, 9] {
            let first = store.first().unwrap();
            assert_eq!(first.at, at);
            assert_eq!(store.payload(&first), [at as u8; 100]);
            store.pop();
        }
        assert!(store.first().is_none());
    }

    #[test]
    fn room_is_bounded_and_used_again() {
        let mut store = Store::new();
        for at in 0..64 {
            assert_eq!(put(&mut store, at, &[at as u8; 256]), Kept::Stored);
        }
        assert_eq!(put(&mut store, 64, &[0]), Kept::Full);
        for at in 64..300 {
            store.pop();
            assert_eq!(put(&mut store, at, &[at as u8; 256]), Kept::Stored);
        }
        let first = store.first().unwrap();
        assert_eq!(store.payload(&first), [first.at as u8; 256]);
        store.clear();
        for at in 0..10 {
            assert_eq!(put(&mut store, at, &[7; 1600]), Kept::Stored);
        }
        assert_eq!(put(&mut store, 10, &[7; 1600]), Kept::Full);
    }
}
