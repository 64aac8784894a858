//! Where the frames of a WebSocket end (RFC 6455 §5.2), by their heads alone: whether what was read so
//! far ends within a message. The library reads ahead, and does not tell.

/// The longest head: two bytes, eight of length, four of mask.
const MAX_HEAD: usize = 14;
/// The first byte of a frame that is a message's last.
const FIN: u8 = 0x80;
/// Opcodes from here on are control frames, which may stand between the fragments of a message.
const CONTROL: u8 = 8;

/// Follows one direction from its first frame on.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; MAX_HEAD],
    /// How much of a head there is.
    have: usize,
    /// How much of a payload is still to come.
    payload: u64,
    /// The last fragment of a message is still to come.
    open: bool,
}

impl Frames {
    /// Takes what was read.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let here = self.payload.min(bytes.len() as u64);
                self.payload -= here;
                bytes = &bytes[here as usize..];
                continue;
            }
            bytes = rest;
            self.head[self.have] = byte;
            self.have += 1;
            if self.have == self.head_length() {
                self.have = 0;
                self.payload = self.length();
                if self.head[0] & 0x0f < CONTROL {
                    self.open = self.head[0] & FIN == 0;
                }
            }
        }
    }

    /// Whether a frame, or the last fragment of a message, is still to come whole.
    pub(super) fn is_within(&self) -> bool {
        self.open || self.have > 0 || self.payload > 0
    }

    /// The length of this head, as far as is known.
    fn head_length(&self) -> usize {
        if self.have < 2 {
            return MAX_HEAD;
        }
        let extended = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        2 + extended + mask
    }

    fn length(&self) -> u64 {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        match self.head[1] & 0x7f {
            126 => number(&self.head[2..4]),
            127 => number(&self.head[2..10]),
            short => u64::from(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let head = match length {
            short @ ..126 => vec![first, 0x80 | short as u8],
            long @ ..65_536 => [&[first, 0xfe][..], &(long as u16).to_be_bytes()].concat(),
            long => [&[first, 0xff][..], &(long as u64).to_be_bytes()].concat(),
        };
        [head, vec![0; 4 + length]].concat()
    }

    #[test]
    fn it_is_within_but_for_the_ends_of_messages() {
        // Text, ping, text, in three fragments with a ping between; lengths of all three forms.
        for lengths in [
            [0, 0, 0, 0],
            [1, 5, 125, 1],
            [126, 0, 65_535, 3],
            [65_536, 7, 9, 200],
        ] {
            let [a, b, c, d] = lengths;
            let frames = [
                (frame(0x81, a), true),
                (frame(0x89, 5), true),
                (frame(0x01, b), false),
                (frame(0x89, 0), false),
                (frame(0x00, c), false),
                (frame(0x80, d), true),
                (frame(0x82, a), true),
            ];
            let mut by_byte = Frames::default();
            for (bytes, ends) in &frames {
                for (n, byte) in bytes.iter().enumerate() {
                    by_byte.read(&[*byte]);
                    let last = n + 1 == bytes.len();
                    assert_eq!(by_byte.is_within(), !(last && *ends), "{lengths:?} {n}");
                }
            }
            let all: Vec<u8> = frames
                .iter()
                .flat_map(|(bytes, _)| bytes)
                .copied()
                .collect();
            for size in [3, 1000] {
                let mut by_piece = Frames::default();
                for piece in all.chunks(size) {
                    by_piece.read(piece);
                }
                assert!(!by_piece.is_within());
                by_piece.read(&[0x01]);
                assert!(by_piece.is_within());
            }
        }
    }
}
