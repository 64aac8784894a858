//! Telephone events in RTP payloads (RFC 4733 §2.3).
//!
//! ```text
//!  0                   1                   2                   3
//! |     event     |E|R| volume    |          duration             |
//! ```

/// Bytes of one event.
pub const EVENT_LEN: usize = 4;
/// Events that are read of one packet (RFC 4733 §2.5.1.5 lets several be packed): more than anybody
/// presses in the time of one.
pub const MAX_PACKED: usize = 8;
/// The longest duration that the field holds; longer events go on in segments.
pub const MAX_DURATION: u16 = u16::MAX;

/// One report on an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its code: 0 to 15 are digits, 16 is flash, others are tones and signals.
    pub code: u8,
    /// It has ended: the duration is final.
    pub end: bool,
    /// Its level, -dBm0, 0 to 63.
    pub volume: u8,
    /// How long it has lasted, in units of the payload's clock.
    pub duration: u16,
}

impl Event {
    /// Reads one event.
    pub const fn read(bytes: [u8; EVENT_LEN]) -> Event {
        Event {
            code: bytes[0],
            end: bytes[1] & 0x80 != 0,
            volume: bytes[1] & 0x3f,
            duration: u16::from_be_bytes([bytes[2], bytes[3]]),
        }
    }

    /// Its four bytes.
    pub const fn to_bytes(self) -> [u8; EVENT_LEN] {
        let duration = self.duration.to_be_bytes();
        let end = if self.end { 0x80 } else { 0 };
        [
            self.code,
            end | (self.volume & 0x3f),
            duration[0],
            duration[1],
        ]
    }
}

/// The events of a payload with their place on the time line: how far behind the packet's timestamp
/// each begins. Bytes that make no whole event are left out.
pub fn events(payload: &[u8]) -> impl Iterator<Item = (u32, Event)> + '_ {
    let (chunks, _) = payload.as_chunks::<EVENT_LEN>();
    let mut offset = 0u32;
    chunks.iter().take(MAX_PACKED).map(move |bytes| {
        let event = Event::read(*bytes);
        let at = offset;
        offset = offset.wrapping_add(u32::from(event.duration));
        (at, event)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let event = Event {
            code: 11,
            end: true,
            volume: 10,
            duration: 1600,
        };
        assert_eq!(event.to_bytes(), [11, 0x8a, 0x06, 0x40]);
        assert_eq!(Event::read(event.to_bytes()), event);
        // The reserved bit is passed over (RFC 4733 §2.3.3).
        assert_eq!(Event::read([11, 0xca, 0x06, 0x40]), event);
    }

    #[test]
    fn packed_events_follow_each_other() {
        let payload = [1, 0x8a, 0x01, 0x90, 2, 0x8a, 0x01, 0x90, 3, 0x0a, 0, 160, 9];
        let read: Vec<_> = events(&payload)
            .map(|(at, e)| (at, e.code, e.end))
            .collect();
        assert_eq!(read, [(0, 1, true), (400, 2, true), (800, 3, false)]);
        assert_eq!(events(&[1, 2, 3]).count(), 0);
        assert_eq!(events(&[0; 1000]).count(), MAX_PACKED);
    }
}
