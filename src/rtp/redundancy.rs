//! Redundant audio (RFC 2198): one payload that holds the last frames again beside the newest.
//!
//! Sits after [`Packet`](super::Packet), before the playout: each block is put there as if it had
//! come in a packet of its own, with its own payload type and an earlier timestamp. Borrows, keeps
//! nothing, allocates nothing.

use super::PayloadType;

/// More blocks than that are no audio of ours: a sender goes back by one to three frames.
pub const MAX_BLOCKS: usize = 16;

/// One frame of a redundant payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The format of `payload`.
    pub payload_type: PayloadType,
    /// How much earlier than the packet's timestamp it begins, in units of that; below 16,384. 0 for
    /// the newest frame.
    pub timestamp_offset: u32,
    /// What a packet of its own would have carried; never empty.
    pub payload: &'a [u8],
}

/// The blocks of a payload, in the order that they stand in: as a rule the oldest first, the newest
/// frame last.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    headers: &'a [u8],
    data: &'a [u8],
}

/// Takes a payload apart. None where it is malformed: a header or a block that is cut short, or more
/// than [`MAX_BLOCKS`].
pub fn blocks(payload: &[u8]) -> Option<Blocks<'_>> {
    let mut rest = payload;
    let mut redundant = 0;
    for _ in 0..MAX_BLOCKS {
        let (first, behind) = rest.split_first()?;
        if first & MORE == 0 {
            let headers = payload.len() - behind.len();
            let (headers, data) = payload.split_at(headers);
            return (redundant <= data.len()).then_some(Blocks { headers, data });
        }
        let (header, behind) = rest.split_first_chunk::<HEADER_LEN>()?;
        redundant += length(*header);
        rest = behind;
    }
    None
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        loop {
            let (&first, behind) = self.headers.split_first()?;
            let payload_type = PayloadType(first & !MORE);
            let (timestamp_offset, len);
            if first & MORE == 0 {
                (timestamp_offset, len) = (0, self.data.len());
                self.headers = behind;
            } else {
                let (header, behind) = self.headers.split_first_chunk::<HEADER_LEN>()?;
                let word = u32::from_be_bytes(*header);
                (timestamp_offset, len) = (word >> 10 & 0x3fff, length(*header));
                self.headers = behind;
            }
            let (payload, rest) = self.data.split_at_checked(len)?;
            self.data = rest;
            // A block of nothing stands for a frame that was not sent.
            if !payload.is_empty() {
                return Some(Block {
                    payload_type,
                    timestamp_offset,
                    payload,
                });
            }
        }
    }
}

/// The lowest ten bits of a redundant block's header.
fn length(header: [u8; HEADER_LEN]) -> usize {
    (u32::from_be_bytes(header) & 0x3ff) as usize
}

/// Another header follows.
const MORE: u8 = 0x80;
/// The header of a redundant block: one bit, seven of payload type, fourteen of timestamp offset, ten
/// of length. The newest frame's has one byte.
const HEADER_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(payload_type: u8, offset: u32, len: u32) -> [u8; 4] {
        (u32::from(payload_type | MORE) << 24 | offset << 10 | len).to_be_bytes()
    }

    fn all(payload: &[u8]) -> Option<Vec<(u8, u32, Vec<u8>)>> {
        let blocks = blocks(payload)?;
        Some(
            blocks
                .map(|b| (b.payload_type.0, b.timestamp_offset, b.payload.to_vec()))
                .collect(),
        )
    }

    #[test]
    fn old_frames_and_the_newest() {
        let payload = [
            &header(96, 1920, 3)[..],
            &header(0, 16_383, 2),
            &[111],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9],
        ]
        .concat();
        assert_eq!(
            all(&payload).unwrap(),
            [
                (96, 1920, vec![1, 2, 3]),
                (0, 16_383, vec![4, 5]),
                (111, 0, vec![6, 7, 8, 9]),
            ]
        );
        assert_eq!(all(&[8, 7]).unwrap(), [(8, 0, vec![7])]);
        // Blocks of nothing.
        let payload = [&header(96, 960, 0)[..], &[111, 1]].concat();
        assert_eq!(all(&payload).unwrap(), [(111, 0, vec![1])]);
        let payload = [&header(96, 960, 1)[..], &[111, 1]].concat();
        assert_eq!(all(&payload).unwrap(), [(96, 960, vec![1])]);
        assert_eq!(all(&[8]).unwrap(), []);
    }

    #[test]
    fn what_is_cut_short_or_endless_is_refused() {
        let whole = [&header(96, 960, 1000)[..], &[111], &[7; 1001]].concat();
        assert_eq!(all(&whole).unwrap().len(), 2);
        for len in 0..1005 {
            assert_eq!(all(&whole[..len]), None, "{len}");
        }
        let many = |count: usize| [vec![header(96, 0, 0); count].concat(), vec![0, 1]].concat();
        assert_eq!(all(&many(MAX_BLOCKS - 1)).unwrap().len(), 1);
        assert_eq!(all(&many(MAX_BLOCKS)), None);
        assert_eq!(all(&[0xff; 1500]), None);
    }
}
