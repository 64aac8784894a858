//! The mixing bridge: every party hears the sum of all the others.
//!
//! Sits between the legs' decoders and encoders; knows neither SIP nor RTP. The worker fills each
//! port's `rx`, calls [`Bridge::mix`] once per tick, and takes each port's `tx`. The sum is exact
//! in `i32`, a party's own audio is subtracted from it, and only then is it limited to 16 bits.
//! Joins and leaves happen between ticks and fade over 5 ms, so nobody hears a click.

mod port;

pub use port::{IDLE_PEAK, Port};

use crate::audio::limiter;
use port::Phase;

/// Samples of the longest frame: 20 ms at 8 kHz. Grows with the first wideband codec.
pub const MAX_FRAME: usize = 160;

/// What one port hears in this tick.
#[derive(Debug, PartialEq, Eq)]
pub enum Tx<'a> {
    /// The sum of all who speak: the same for every silent party, so one encoding serves all.
    Common(&'a [i16]),
    /// The sum without the party itself, or fading.
    Own(&'a [i16]),
}

/// The bridge has as many ports as it may.
#[derive(Debug)]
pub struct Full(pub Box<Port>);

/// A mixing bridge with a fixed bound on its ports.
#[derive(Debug)]
pub struct Bridge {
    #[expect(
        clippy::vec_box,
        reason = "a port comes and goes boxed: nothing is freed here"
    )]
    ports: Vec<Box<Port>>,
    sum: [i32; MAX_FRAME],
    common: [i16; MAX_FRAME],
    frame: usize,
    rate: u32,
}

impl Bridge {
    /// A bridge at `rate` Hz for at most `max_ports` parties. All its memory is allocated here.
    pub fn new(rate: u32, max_ports: usize) -> Self {
        let frame = rate as usize / 50;
        assert!(frame <= MAX_FRAME, "the rate fits the frame buffers");
        Self {
            ports: Vec::with_capacity(max_ports),
            sum: [0; MAX_FRAME],
            common: [0; MAX_FRAME],
            frame,
            rate,
        }
    }

    /// Samples per tick.
    pub fn frame(&self) -> usize {
        self.frame
    }

    /// How many parties are in, those that are fading out included.
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Adds a party; it fades in with its first frame. Returns its port number, or the port when
    /// the bridge is full.
    pub fn join(&mut self, port: Box<Port>) -> Result<usize, Full> {
        if self.ports.len() == self.ports.capacity() {
            return Err(Full(port));
        }
        self.ports.push(port);
        Ok(self.ports.len() - 1)
    }

    /// Starts the leave of a party: its next frame fades out, after which [`Bridge::has_left`] is
    /// true and [`Bridge::remove`] may take the port.
    pub fn leave(&mut self, port: usize) {
        if let Some(p) = self.ports.get_mut(port) {
            p.phase = match p.phase {
                // Nobody has heard it yet: nothing to fade.
                Phase::Joining | Phase::Left => Phase::Left,
                Phase::Steady | Phase::Leaving => Phase::Leaving,
            };
        }
    }

    /// Whether a leaving party has faded out.
    pub fn has_left(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|p| p.phase == Phase::Left)
    }

    /// Takes a port out. The last port takes its number: the owner of that one is returned, if it
    /// is another.
    pub fn remove(&mut self, port: usize) -> Option<(Box<Port>, Option<u32>)> {
        if port >= self.ports.len() {
            return None;
        }
        let removed = self.ports.swap_remove(port);
        Some((removed, self.ports.get(port).map(|p| p.owner)))
    }

    /// The port's owner.
    pub fn owner(&self, port: usize) -> Option<u32> {
        self.ports.get(port).map(|p| p.owner)
    }

    /// Where the worker writes what the party says, one frame.
    pub fn rx(&mut self, port: usize) -> Option<&mut [i16]> {
        let frame = self.frame;
        self.ports.get_mut(port).map(|p| &mut p.rx[..frame])
    }

    /// Leaves a party out of the next mix, or no longer: it neither speaks nor hears, and a fade
    /// that it is due waits.
    pub fn postpone(&mut self, port: usize, postponed: bool) {
        if let Some(p) = self.ports.get_mut(port) {
            p.postponed = postponed;
        }
    }

    /// Mixes one tick: once around for the sum, once around for everybody's share of it.
    pub fn mix(&mut self) {
        let frame = self.frame;
        let sum = &mut self.sum[..frame];
        sum.fill(0);
        for port in &mut self.ports {
            port.prepare(frame, self.rate);
            if port.contributes {
                limiter::accumulate(sum, &port.rx[..frame]);
            }
        }
        limiter::limit_slice(sum, &mut self.common[..frame]);
        for port in &mut self.ports {
            if !port.own_mix {
                continue;
            }
            if port.contributes {
                limiter::limit_without(sum, &port.rx[..frame], &mut port.tx[..frame]);
            } else {
                port.tx[..frame].copy_from_slice(&self.common[..frame]);
            }
            port.finish(frame, self.rate);
        }
    }

    /// What the party hears after [`Bridge::mix`]; nothing where it was left out.
    pub fn tx(&self, port: usize) -> Option<Tx<'_>> {
        let p = self.ports.get(port).filter(|p| !p.postponed)?;
        Some(if p.own_mix {
            Tx::Own(&p.tx[..self.frame])
        } else {
            Tx::Common(&self.common[..self.frame])
        })
    }

    /// How many parties were heard in the last mix.
    pub fn talkers(&self) -> usize {
        self.ports.iter().filter(|p| p.contributes).count()
    }
}

#[cfg(test)]
mod tests;
