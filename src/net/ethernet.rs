//! UDP datagrams in Ethernet frames, as they come and go past the kernel's network stack (`net::sys::xdp`).

use std::net::{Ipv4Addr, SocketAddrV4};

/// Ethernet 14 bytes, IPv4 without options 20 (RFC 791), UDP 8 (RFC 768).
pub const HEADERS: usize = 42;
const IP: usize = 14;
const UDP: usize = 34;
const UDP_HEADER: usize = 8;

/// The local port that a frame is for, if its headers are there.
pub fn port(frame: &[u8]) -> Option<u16> {
    let bytes = frame.get(36..38).filter(|_| frame.len() >= HEADERS)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// A datagram, within its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// The local port.
    pub to: u16,
    /// What is in it.
    pub payload: &'a [u8],
}

/// Takes a frame apart. `None` where it is not a whole datagram over IPv4 without options, or its checksum
/// is wrong.
pub fn parse(frame: &[u8]) -> Option<Datagram<'_>> {
    let (headers, _) = frame.split_at_checked(HEADERS)?;
    let number = |at: usize| u16::from_be_bytes([headers[at], headers[at + 1]]);
    let is_plain = number(12) == 0x0800 && headers[IP] == 0x45 && number(20) << 2 == 0;
    if !is_plain || headers[23] != 17 {
        return None;
    }
    let (packet, datagram) = (usize::from(number(16)), usize::from(number(38)));
    if datagram < UDP_HEADER || packet < UDP - IP + datagram {
        return None;
    }
    let whole = frame.get(UDP..UDP + datagram)?;
    let pseudo_header = pseudo_header(headers, datagram);
    let right = match number(40) {
        0 => true,
        // The other end of a virtual cable leaves the sum to a network card that there is none of: it has
        // put in what it knows of, the pseudo header's.
        sum => fold(pseudo_header + sum_of(whole)) == 0xffff || sum == fold(pseudo_header),
    };
    right.then(|| {
        let source = [headers[26], headers[27], headers[28], headers[29]];
        Datagram {
            from: SocketAddrV4::new(Ipv4Addr::from(source), number(UDP)),
            to: number(36),
            payload: &whole[UDP_HEADER..],
        }
    })
}

/// The way back to where a datagram came from: by the station that it came through, which is the party
/// itself or a router to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    headers: [u8; HEADERS],
    peer: SocketAddrV4,
}

impl Route {
    /// The way back to where this came from; `None` where [`parse`] has nothing. `tos` marks what is sent
    /// (RFC 2474).
    pub fn back(frame: &[u8], tos: u8) -> Option<Route> {
        let peer = parse(frame)?.from;
        let mut headers = [0; HEADERS];
        headers[..6].copy_from_slice(&frame[6..12]);
        headers[6..12].copy_from_slice(&frame[..6]);
        headers[12..16].copy_from_slice(&[0x08, 0x00, 0x45, tos]);
        // Not to be fragmented, hence without a number (RFC 6864 §4.1), 64 hops, UDP.
        headers[20..24].copy_from_slice(&[0x40, 0, 64, 17]);
        headers[26..30].copy_from_slice(&frame[30..34]);
        headers[30..34].copy_from_slice(&frame[26..30]);
        headers[34..36].copy_from_slice(&frame[36..38]);
        headers[36..38].copy_from_slice(&frame[34..36]);
        Some(Route { headers, peer })
    }

    /// Where it leads to.
    pub fn peer(&self) -> SocketAddrV4 {
        self.peer
    }

    /// Whether a frame came through the station that this goes through.
    pub fn is_of(&self, frame: &[u8]) -> bool {
        frame.get(6..12) == Some(&self.headers[..6])
    }

    /// Writes a datagram into a frame of [`HEADERS`] bytes more than it has.
    pub fn write(&self, frame: &mut [u8], payload: &[u8]) {
        let (headers, rest) = frame.split_at_mut(HEADERS);
        rest.copy_from_slice(payload);
        headers.copy_from_slice(&self.headers);
        let datagram = (payload.len() + UDP_HEADER) as u16;
        headers[16..18].copy_from_slice(&(datagram + 20).to_be_bytes());
        headers[38..40].copy_from_slice(&datagram.to_be_bytes());
        let sum = !fold(sum_of(&headers[IP..UDP]));
        headers[24..26].copy_from_slice(&sum.to_be_bytes());
        let sums = pseudo_header(headers, usize::from(datagram))
            + sum_of(&headers[UDP..])
            + sum_of(payload);
        // None is sent as its other form (RFC 768).
        let sum = match !fold(sums) {
            0 => 0xffff,
            sum => sum,
        };
        headers[40..42].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The sum of what UDP's checksum covers besides the datagram: addresses, protocol, length.
fn pseudo_header(headers: &[u8], datagram: usize) -> u64 {
    sum_of(&headers[26..34]) + 17 + datagram as u64
}

/// The sum of 16-bit numbers (RFC 1071), of a length that is even or ends in a zero.
fn sum_of(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut sum: u64 = 0;
    for word in &mut words {
        sum += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    sum + u64::from(u32::from_be_bytes(last))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of another implementation's: from 10.77.0.2:20000 to 10.77.0.1:16384.
    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0xb8];
        frame.extend((payload.len() as u16 + 28).to_be_bytes());
        frame.extend([
            0x12, 0x34, 0x40, 0, 63, 17, 0, 0, 10, 77, 0, 2, 10, 77, 0, 1,
        ]);
        frame.extend(20_000u16.to_be_bytes());
        frame.extend(16_384u16.to_be_bytes());
        frame.extend((payload.len() as u16 + 8).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }

    /// By the letter of RFC 1071: 16 bits at a time.
    fn by_the_letter(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn a_datagram_is_found_in_its_frame() {
        let mut frame = frame(b"hello");
        let found = parse(&frame).unwrap();
        assert_eq!(found.from, "10.77.0.2:20000".parse().unwrap());
        assert_eq!((found.to, found.payload), (16_384, &b"hello"[..]));
        // The wire makes short frames longer.
        frame.extend([0; 20]);
        assert_eq!(parse(&frame).unwrap().payload, b"hello");
    }

    #[test]
    fn what_is_no_whole_datagram_is_none() {
        let whole = frame(b"hello");
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), None, "{len}");
        }
        let with = |at: usize, value: u8| {
            let mut frame = whole.clone();
            frame[at] = value;
            parse(&frame).is_some()
        };
        assert!(with(15, 0) && with(20, 0));
        for (at, value) in [
            (12, 0x86),
            (14, 0x46),
            (20, 0x20),
            (21, 1),
            (23, 6),
            (39, 7),
        ] {
            assert!(!with(at, value), "{at}");
        }
        assert!(!with(38, 255) && !with(17, 32));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_in_a_frame_is_taken_as_it_is(
            at in 0usize..80, bytes in proptest::collection::vec(0u8.., 0..40), len in 0usize..120,
        ) {
            let mut frame = frame(&[7; 33]);
            for (old, new) in frame.iter_mut().skip(at).zip(&bytes) {
                *old = *new;
            }
            frame.truncate(len);
            port(&frame);
            if let Some(datagram) = parse(&frame) {
                proptest::prop_assert!(datagram.payload.len() + HEADERS <= frame.len());
                let route = Route::back(&frame, 0).unwrap();
                let mut back = vec![0; HEADERS + datagram.payload.len()];
                route.write(&mut back, datagram.payload);
                let heard = parse(&back).unwrap();
                proptest::prop_assert_eq!(heard.payload, datagram.payload);
                proptest::prop_assert_eq!(heard.to, datagram.from.port());
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_seen_and_one_that_is_left_to_a_card_is_not() {
        let mut there = frame(&[7; 33]);
        let mut back = vec![0; HEADERS + 33];
        Route::back(&there, 0).unwrap().write(&mut back, &[7; 33]);
        assert!(parse(&back).is_some());
        back[60] ^= 1;
        assert_eq!(parse(&back), None);
        let partial = fold(pseudo_header(&there, 41));
        there[40..42].copy_from_slice(&partial.to_be_bytes());
        assert!(parse(&there).is_some());
        there[41] ^= 1;
        assert_eq!(parse(&there), None);
    }

    #[test]
    fn the_way_back_is_that_of_the_frame() {
        let there = frame(b"hello");
        let route = Route::back(&there, 0xb8).unwrap();
        assert_eq!(route.peer(), "10.77.0.2:20000".parse().unwrap());
        assert!(route.is_of(&there));
        for len in [0, 1, 2, 3, 4, 171, 172, 1472] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8 | 0x80).collect();
            let mut back = vec![0xff; HEADERS + len];
            route.write(&mut back, &payload);
            assert_eq!(back[..14], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
            assert_eq!((back[15], back[22]), (0xb8, 64));
            assert_eq!(by_the_letter(&back[14..34]), 0xffff);
            let mut covered = back[26..34].to_vec();
            covered.extend([0, 17, back[38], back[39]]);
            covered.extend(&back[34..]);
            assert_eq!(by_the_letter(&covered), 0xffff, "{len}");
            let heard = parse(&back).unwrap();
            assert_eq!(heard.from, "10.77.0.1:16384".parse().unwrap());
            assert_eq!((heard.to, heard.payload), (20_000, &payload[..]));
            assert!(!route.is_of(&back));
        }
    }

    #[test]
    fn a_sum_of_nothing_is_sent_in_its_other_form() {
        let route = Route::back(&frame(b""), 0).unwrap();
        let mut frame = vec![0; HEADERS + 2];
        // What makes the sum all ones.
        route.write(&mut frame, &[0, 0]);
        let rest = u16::from_be_bytes([frame[40], frame[41]]);
        route.write(&mut frame, &rest.to_be_bytes());
        assert_eq!(frame[40..42], [0xff, 0xff]);
    }
}
