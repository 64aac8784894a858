//! The mixing bridge: every party hears the sum of all the others, or of those whom it is to hear.
//!
//! Sits between the legs' decoders and encoders; knows neither SIP nor RTP. The worker fills each
//! port's `rx`, calls [`Bridge::mix`] once per tick, and takes each port's `tx`. Each party has its
//! own rate (8, 16 or 48 kHz) and hears the others as far as that reaches. The sum is exact
//! in `i32`, a party's own audio is subtracted from it, and only then is it limited to 16 bits.
//! Joins and leaves happen between ticks and fade over 5 ms, so nobody hears a click; so do changes
//! of who hears whom ([`Relation`]).

mod bands;
mod classes;
mod memory;
mod part;
mod play;
mod port;
mod recording;
mod relation;
mod sums;
mod talker;

pub use classes::Classes;
pub use memory::PortMemory;
pub use play::{Ducking, ROOM_PLAYS, RoomPlay, RoomPlayEnds};
pub use port::{IDLE_PEAK, Port};
pub use recording::{RoomRecording, RoomRecordingSettings, Track};
pub use relation::{MAX_CLASSES, Relation};
pub use talker::RECENT_TALKERS;

use std::time::Duration;

use crate::audio::player::{PlayControl, PlayEnd};
use crate::audio::tap::{RecordControl, TapStop};
use crate::audio::{MediaTime, TICK_MS};
use play::Plays;
use port::Phase;
use sums::Sums;
use talker::Dominant;

/// Samples of the longest frame: 20 ms at 48 kHz.
pub const MAX_FRAME: usize = 960;

/// What one port hears in this tick.
#[derive(Debug, PartialEq, Eq)]
pub enum Tx<'a> {
    /// The sum of all who are heard by the party's ear class: the same for every silent party of that,
    /// so one encoding serves all.
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
    /// Whose they are: asked for long before the ports themselves are worked on.
    owners: Vec<u32>,
    sums: Sums,
    dominant: Dominant,
    talkers: usize,
    plays: Plays,
    /// When the last tick was, and where that is on a line of whole ticks.
    last_tick: Option<(MediaTime, MediaTime)>,
    recording: Option<Box<RoomRecording>>,
    /// Why the recording has stopped by itself.
    recorded: Option<TapStop>,
    /// Whether it is told who talks; who does in this tick.
    watched: bool,
    talking: Vec<u32>,
}

impl Bridge {
    /// A bridge for at most `max_ports` parties. All its memory is allocated here.
    pub fn new(max_ports: usize) -> Self {
        Self {
            ports: Vec::with_capacity(max_ports),
            owners: Vec::with_capacity(max_ports),
            sums: Sums::new(),
            dominant: Dominant::default(),
            talkers: 0,
            plays: Plays::new(),
            last_tick: None,
            recording: None,
            recorded: None,
            watched: false,
            talking: Vec::with_capacity(max_ports),
        }
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
        self.sums.bands.enter(port.band);
        for class in port.classes().into_iter().flatten() {
            self.sums.enter(class, port.band);
        }
        self.owners.push(port.owner);
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

    /// Whether a party fades out, or has: there will be a port less.
    pub fn is_vacating(&self) -> bool {
        let mut phases = self.ports.iter().map(|port| port.phase);
        phases.any(|phase| matches!(phase, Phase::Leaving | Phase::Left))
    }

    /// Takes a port out. The last port takes its number: the owner of that one is returned, if it
    /// is another.
    pub fn remove(&mut self, port: usize) -> Option<(Box<Port>, Option<u32>)> {
        if port >= self.ports.len() {
            return None;
        }
        let removed = self.ports.swap_remove(port);
        self.owners.swap_remove(port);
        self.sums.bands.exit(removed.band);
        for class in removed.classes().into_iter().flatten() {
            self.sums.exit(class, removed.band);
        }
        self.dominant.forget(removed.owner);
        Some((removed, self.ports.get(port).map(|p| p.owner)))
    }

    /// The party's samples have another rate, Hz, from now on: it fades in anew. `memory` is for that rate;
    /// what is not needed comes back there.
    pub fn set_rate(&mut self, port: usize, rate: u32, memory: &mut PortMemory) {
        let Some(p) = self.ports.get_mut(port) else {
            return;
        };
        let before = p.band;
        if before == bands::band_of(rate) || !p.set_rate(rate, memory) {
            return;
        }
        self.sums.bands.exit(before);
        self.sums.bands.enter(p.band);
        for class in p.classes().into_iter().flatten() {
            self.sums.exit(class, before);
            self.sums.enter(class, p.band);
        }
        p.memory.rx_mut(p.band).fill(0);
        if p.phase == Phase::Steady {
            p.phase = Phase::Joining;
        }
    }

    /// The port's owner.
    pub fn owner(&self, port: usize) -> Option<u32> {
        self.owners.get(port).copied()
    }

    /// The port itself, for whoever has its memory fetched ahead.
    pub fn port(&self, port: usize) -> Option<&Port> {
        self.ports.get(port).map(|p| &**p)
    }

    /// Where the worker writes what the party says, one frame of the party's rate.
    pub fn rx(&mut self, port: usize) -> Option<&mut [i16]> {
        self.ports.get_mut(port).map(|p| {
            p.silent = false;
            p.memory.rx_mut(p.band)
        })
    }

    /// What the party says, one frame of its rate; nothing is copied of what nobody hears.
    pub fn say(&mut self, port: usize, frame: &[i16]) {
        if port::is_idle(frame) {
            self.set_silent(port);
        } else if let Some(rx) = self.rx(port) {
            let len = frame.len().min(rx.len());
            rx[..len].copy_from_slice(&frame[..len]);
            rx[len..].fill(0);
        }
    }

    /// The party says nothing in this tick; in place of writing zeroes to [`Bridge::rx`].
    pub fn set_silent(&mut self, port: usize) {
        if let Some(p) = self.ports.get_mut(port) {
            p.silent = true;
        }
    }

    /// Leaves a party out of the next mix, or no longer: it neither speaks nor hears, and a fade
    /// that it is due waits.
    pub fn postpone(&mut self, port: usize, postponed: bool) {
        if let Some(p) = self.ports.get_mut(port) {
            p.postponed = postponed;
        }
    }

    /// Whether a party is left out of the next mix.
    pub fn is_postponed(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|p| p.postponed)
    }

    /// Takes memory for more ear classes than class 0, or for another number of them; what was there
    /// before goes back.
    pub fn set_classes(&mut self, classes: Box<Classes>) -> Option<Box<Classes>> {
        let old = self.sums.set_classes(classes);
        for port in &self.ports {
            for class in port.classes().into_iter().flatten() {
                self.sums.enter(class, port.band);
            }
        }
        old
    }

    /// Who hears a party, and whom it hears, from the next mix on; it fades over.
    pub fn relate(&mut self, port: usize, relation: Relation) {
        let Some(p) = self.ports.get_mut(port).filter(|p| p.next != relation) else {
            return;
        };
        if p.next != p.relation {
            self.sums.exit(p.next.ears, p.band);
        }
        if relation != p.relation {
            self.sums.enter(relation.ears, p.band);
        }
        p.next = relation;
        p.relating = true;
    }

    /// Who hears a party, and whom it hears, as it was asked for last.
    pub fn relation(&self, port: usize) -> Relation {
        self.ports
            .get(port)
            .map_or(Relation::OPEN, |p| p.relation_asked_for())
    }

    /// The ear class that a party has followed until this tick, whose common frames it has heard; and
    /// the class whose frame, and so whose encoding, is the one that it hears as [`Tx::Common`]: its
    /// ear class, or class 0 where that hears the same in this tick.
    pub fn classes_of(&self, port: usize) -> (u8, u8) {
        match self.ports.get(port) {
            Some(p) if p.was.ears | p.relation.ears != 0 => {
                let frame = self.sums.frame_of_class(p.relation.ears, p.band);
                (p.was.ears, frame)
            }
            _ => (0, 0),
        }
    }

    /// Mixes one tick: once around for the sums, once around for everybody's share of them.
    pub fn mix(&mut self) {
        self.mix_at(MediaTime::ZERO);
    }

    /// The same; a recording needs to know when.
    pub fn mix_at(&mut self, now: MediaTime) {
        let line = self.advance(now);
        let ducked = self.plays.begin(self.sums.heard_band());
        if let Some(recording) = &mut self.recording {
            recording.begin(line);
        }
        self.talking.clear();
        let mut voice = false;
        self.sums.clear();
        self.dominant.begin();
        self.talkers = 0;
        let mut loudest = None;
        for (port, n) in self.ports.iter_mut().zip(0..) {
            if port.relating && !port.postponed {
                if port.was != port.relation {
                    self.sums.exit(port.was.ears, port.band);
                }
                let (left, changes) = (port.relation.ears, port.next != port.relation);
                port.take_up();
                if changes && !port.relating {
                    self.sums.exit(left, port.band);
                }
            }
            port.prepare();
            if self.watched {
                // As it is said, and not as it is heard when it makes way.
                let said = port.contributes.then(|| port.memory.rx(port.band));
                if port.talk.follow(said) {
                    self.talking.push(n);
                }
            }
            if port.contributes {
                self.talkers += 1;
                voice |= port.loudness.is_voice();
                let said = port.memory.rx_mut(port.band);
                ducked.apply(said);
                self.sums.add(port.band, said, port.was, port.relation);
                self.dominant.hear(port, &mut loudest);
            }
            if port.track.is_some()
                && let Some(recording) = &mut self.recording
                && let Some(mut track) = port.track.take()
            {
                recording.take(port, &mut track, port.part(0));
                port.track = Some(track);
            }
        }
        self.dominant.end(loudest);
        self.plays.add(voice, &mut self.sums);
        self.sums.finish();
        if let Some(recording) = &mut self.recording {
            self.recorded = recording.finish(&self.sums.bands, line);
        }
        for port in &mut self.ports {
            if port.own_mix || port.heard_own {
                port.hear(&self.sums);
            }
        }
    }

    /// Moves the line of whole ticks to the tick at `now`: by one, and past any that were skipped. One that
    /// is some milliseconds off is one tick: the bridge moves, and its recordings do not.
    fn advance(&mut self, now: MediaTime) -> MediaTime {
        let tick = Duration::from_millis(u64::from(TICK_MS));
        let line = self.last_tick.map_or(now, |(last, line)| {
            let ticks = (now.since(last) + tick / 2).as_micros() / tick.as_micros();
            line + tick * ticks.max(1) as u32
        });
        self.last_tick = Some((now, line));
        line
    }

    /// Starts a play of the room's own; what it replaces goes back.
    pub fn play(&mut self, play: Box<RoomPlay>) -> RoomPlayEnds {
        self.plays.start(play)
    }

    /// Stops the play at this place; it fades out within 5 ms.
    pub fn stop_play(&mut self, place: u8) -> RoomPlayEnds {
        self.plays.stop(place)
    }

    /// Pauses the play at this place, or moves within it.
    pub fn control_play(&mut self, place: u8, control: PlayControl) {
        self.plays.control(place, control, self.sums.heard_band());
    }

    /// A play that has ended by itself; to be asked for after each mix.
    pub fn take_ended_play(&mut self) -> Option<(Box<RoomPlay>, PlayEnd)> {
        self.plays.take_ended()
    }

    /// Takes any play away, whatever it does.
    pub fn take_play(&mut self) -> Option<(Box<RoomPlay>, PlayEnd)> {
        self.plays.take()
    }

    /// Starts to record; a recording that ran goes back.
    pub fn record(&mut self, recording: Box<RoomRecording>) -> Option<Box<RoomRecording>> {
        self.recorded = None;
        self.recording.replace(recording)
    }

    /// Takes the recording away.
    pub fn take_recording(&mut self) -> Option<Box<RoomRecording>> {
        self.recorded = None;
        self.recording.take()
    }

    /// Pauses the recording, or goes on.
    pub fn control_recording(&mut self, control: RecordControl) {
        if let Some(recording) = &mut self.recording {
            recording.control(control);
        }
    }

    /// Why the recording has stopped in the last mix, if it has: it is to be taken.
    pub fn recording_stopped(&self) -> Option<TapStop> {
        self.recorded
    }

    /// Gives a party a track; one that it had goes back. Without such a port, the track does.
    pub fn set_track(&mut self, port: usize, track: Box<Track>) -> Option<Box<Track>> {
        match self.ports.get_mut(port) {
            Some(port) => port.set_track(track),
            None => Some(track),
        }
    }

    /// Takes a party's track in this recording away.
    pub fn take_track(&mut self, port: usize, recording: u64) -> Option<Box<Track>> {
        let track = &mut self.ports.get_mut(port)?.track;
        track.take_if(|track| track.recording == recording)
    }

    /// Follows who talks, or no longer.
    pub fn watch(&mut self, watched: bool) {
        self.watched = watched;
    }

    /// How many talk, by level and not merely by being heard; while they are watched.
    pub fn talking(&self) -> usize {
        self.talking.len()
    }

    /// Tells `tell` of each who talks: the owner, the level since it was told last, dBov, and for how
    /// many ticks it has talked since it joined.
    pub fn tell_talking(&mut self, mut tell: impl FnMut(u32, f32, u32)) {
        for port in &self.talking {
            if let Some(port) = self.ports.get_mut(*port as usize) {
                let (level, talked) = port.talk.tell();
                tell(port.owner, level, talked);
            }
        }
    }

    /// What the party hears after [`Bridge::mix`]; nothing where it was left out.
    pub fn tx(&self, port: usize) -> Option<Tx<'_>> {
        let p = self.ports.get(port).filter(|p| !p.postponed)?;
        Some(if p.own_mix {
            Tx::Own(p.memory.tx(p.band))
        } else {
            Tx::Common(self.sums.heard(p.relation.ears, p.band).common)
        })
    }

    /// How many parties were heard in the last mix.
    pub fn talkers(&self) -> usize {
        self.talkers
    }

    /// The owner of the dominant party: who was clearly the loudest last.
    pub fn dominant(&self) -> Option<u32> {
        self.dominant.owner()
    }

    /// The owners of parties that were heard in the last minute, [`RECENT_TALKERS`] at most.
    pub fn recent_talkers(&self) -> impl Iterator<Item = u32> {
        self.dominant.recent()
    }

    /// Whether nobody was heard in the last two mixes.
    pub fn is_quiet(&self) -> bool {
        self.dominant.is_quiet()
    }

    /// Whether somebody other than the dominant party was heard in the last mix.
    pub fn others_talk(&self) -> bool {
        self.dominant.others_talk()
    }
}

#[cfg(test)]
mod played;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod relating;
#[cfg(test)]
mod tests;
