//! Encodings of a bridge's common frame, shared by all that hear it: one encoding serves a room.
//!
//! Codecs without state are encoded into buffers of the worker. One with state needs an encoder
//! that goes along with the room: it comes with the first leg that can use it.

use crate::bridge::MAX_CLASSES;
use crate::codec::{Codec, CodecError, Encoder, MAX_PAYLOAD, OpusSettings};
use crate::leg::{EncodingKey, Outgoing};
use crate::rtp::packet::HEADER_LEN;

/// A packet's bytes: room for each listener's header, then the payload.
const BYTES: usize = HEADER_LEN + MAX_PAYLOAD;
/// Encoders with state in a room: more different parameters than this, and a leg encodes for itself.
pub(super) const MAX_ENCODERS: usize = 8;

/// More legs than this that linger with encoders of their own cost more than a change that may be
/// heard: hundreds can come in at once.
const MAX_LINGERING: usize = 16;

/// How long an encoder must have been idle to make room for another: 5 s.
const IDLE_TICKS: u32 = 250;

/// An encoder for all in a room that hear the same (their ear class is one) and have the same codec with the same parameters. Made on the
/// control side, where it also goes back to.
#[derive(Debug)]
pub struct SharedEncoder {
    key: EncodingKey,
    /// The ear class whose common frame it encodes.
    class: u8,
    encoder: Encoder,
    /// As `encoder` was before this tick, for those that leave it.
    before: Encoder,
    packet: [u8; BYTES],
    len: usize,
    /// Whether this tick's frame is encoded.
    done: bool,
    /// Ticks in which nobody wanted it.
    idle: u32,
    /// The expected loss in force, and the worst that its listeners report.
    loss: u8,
    worst_loss: u8,
}

impl SharedEncoder {
    /// An encoder for `codec`; none for a codec without state, which needs none.
    pub fn new(codec: Codec, opus: OpusSettings) -> Result<Option<Box<Self>>, CodecError> {
        if codec.is_stateless() {
            return Ok(None);
        }
        Ok(Some(Box::new(Self {
            key: EncodingKey::new(codec, opus),
            class: 0,
            encoder: Encoder::new(codec, &opus)?,
            before: Encoder::new(codec, &opus)?,
            packet: [0; BYTES],
            len: 0,
            done: false,
            idle: 0,
            loss: opus.expected_loss,
            worst_loss: 0,
        })))
    }

    /// A tick begins: what its listeners reported takes effect.
    fn begin(&mut self) {
        if self.done && self.worst_loss != self.loss {
            self.loss = self.worst_loss;
            self.encoder.set_expected_loss(self.loss);
        }
        self.worst_loss = 0;
        self.idle = if self.done {
            0
        } else {
            self.idle.saturating_add(1)
        };
        self.done = false;
    }

    fn packet(&mut self, samples: &[i16], expected_loss: u8) -> (&mut [u8], &Encoder) {
        self.worst_loss = self.worst_loss.max(expected_loss);
        if !self.done {
            self.before.copy_state(&self.encoder);
            self.len = self.encoder.encode(samples, &mut self.packet[HEADER_LEN..]);
            self.done = true;
        }
        (&mut self.packet[..HEADER_LEN + self.len], &self.before)
    }

    fn state(&self) -> &Encoder {
        if self.done {
            &self.before
        } else {
            &self.encoder
        }
    }
}

/// The encoders with state of a room.
#[derive(Debug, Default)]
pub(super) struct RoomEncoders([Option<Box<SharedEncoder>>; MAX_ENCODERS]);

impl RoomEncoders {
    /// Keeps an encoder for those of an ear class, or hands it back where there is one like it, or no
    /// room. One that nobody has wanted for some time makes room.
    pub fn add(
        &mut self,
        mut encoder: Box<SharedEncoder>,
        class: u8,
    ) -> Option<Box<SharedEncoder>> {
        if self.find(class, encoder.key).is_some() {
            return Some(encoder);
        }
        encoder.class = class;
        let idle = |place: &Option<Box<SharedEncoder>>| {
            place.as_ref().map_or(u32::MAX, |encoder| encoder.idle)
        };
        match self.0.iter_mut().max_by_key(|place| idle(place)) {
            Some(place) if idle(place) >= IDLE_TICKS => place.replace(encoder),
            _ => Some(encoder),
        }
    }

    /// Takes the encoders out, one by one.
    pub fn take(&mut self) -> Option<Box<SharedEncoder>> {
        self.0.iter_mut().find_map(Option::take)
    }

    /// Whether there is an encoder for this key.
    pub fn has(&self, class: u8, key: EncodingKey) -> bool {
        let mut encoders = self.0.iter().flatten();
        encoders.any(|encoder| encoder.class == class && encoder.key == key)
    }

    fn find(&mut self, class: u8, key: EncodingKey) -> Option<&mut SharedEncoder> {
        self.0
            .iter_mut()
            .flatten()
            .map(|encoder| &mut **encoder)
            .find(|encoder| encoder.class == class && encoder.key == key)
    }
}

/// Whose common frame a party hears.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    /// The ear class that it follows: encoders with state are of classes.
    pub followed: u8,
    /// The class whose frame this is in the present tick: class 0 where a class hears the same.
    pub frame: u8,
}

/// The codecs whose payloads stand by themselves and fit a tick into a packet.
const STATELESS: [Codec; 4] = [Codec::Pcmu, Codec::Pcma, Codec::L16Narrow, Codec::L16Wide];

/// Places for what is encoded: a common frame of each ear class, and the silence of the deaf.
const PLACES: usize = STATELESS.len() * (MAX_CLASSES + 1);

/// What a tick of one bridge is encoded to, each at most once for each ear class.
#[derive(Debug)]
pub(super) struct SharedEncodings {
    packets: Box<[[u8; BYTES]]>,
    len: [usize; PLACES],
    /// The places in use reach to here.
    used: usize,
    /// Legs that encode the common frame by themselves in this tick.
    lingering: usize,
}

impl SharedEncodings {
    pub fn new() -> Self {
        Self {
            packets: vec![[0; BYTES]; PLACES].into(),
            len: [0; PLACES],
            used: 0,
            lingering: 0,
        }
    }

    /// Whether one more leg may encode the common frame by itself in this tick, since it cannot change
    /// to the shared encoding unheard yet.
    pub fn may_linger(&mut self) -> bool {
        let may = self.lingering < MAX_LINGERING;
        self.lingering += usize::from(may);
        may
    }

    /// A bridge's tick begins.
    pub fn begin(&mut self, room: &mut RoomEncoders) {
        self.len[..self.used].fill(0);
        self.used = 0;
        self.lingering = 0;
        for encoder in room.0.iter_mut().flatten() {
            encoder.begin();
        }
    }

    /// The common frame of an ear class for a leg with this key.
    pub fn common<'a>(
        &'a mut self,
        room: &'a mut RoomEncoders,
        class: Class,
        key: EncodingKey,
        expected_loss: u8,
        samples: &'a [i16],
    ) -> Outgoing<'a> {
        let mut outgoing = Outgoing::own(samples);
        if let Some(i) = STATELESS.iter().position(|&codec| codec == key.codec) {
            let frame = usize::from(class.frame).min(MAX_CLASSES);
            let i = frame * STATELESS.len() + i;
            let packet = &mut self.packets[i];
            if self.len[i] == 0 {
                self.len[i] = key.codec.encode(samples, &mut packet[HEADER_LEN..]);
                self.used = self.used.max(i + 1);
            }
            outgoing.shared = Some(&mut packet[..HEADER_LEN + self.len[i]]);
        } else if let Some(encoder) = room.find(class.followed, key) {
            let (packet, before) = encoder.packet(samples, expected_loss);
            outgoing.shared = Some(packet);
            outgoing.encoder = Some(before);
        }
        outgoing
    }

    /// A frame of the leg's own, with the encoder that it may have followed.
    pub fn own<'a>(
        room: &'a mut RoomEncoders,
        class: Class,
        key: EncodingKey,
        samples: &'a [i16],
    ) -> Outgoing<'a> {
        let mut outgoing = Outgoing::own(samples);
        if !key.codec.is_stateless() {
            outgoing.encoder = room
                .find(class.followed, key)
                .map(|encoder| encoder.state());
        }
        outgoing
    }
}
