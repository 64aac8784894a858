//! What goes into a worker and what comes out of it.

use crate::audio::player::{PlayControl, PlayEnd};
use crate::audio::process::ProcessSettings;
use crate::audio::tap::{RecordControl, TapStop};
use crate::bridge::{Bridge, Classes, Port, PortMemory, Relation, RoomPlay, RoomRecording, Track};
use crate::codec::CodecError;
use crate::leg::player::Play;
use crate::leg::tap::Tap;
use crate::leg::{
    Coding, Dial, Flight, Keying, Leg, LegEvent, LegId, LegParams, LegStats, Reprocessing, Snoop,
    TalkWatch,
};

use super::shared::SharedEncoder;
use super::talkers::Talkers;

/// A bridge's handle: its place in a worker, and how often that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BridgeId {
    /// Place in the worker's table.
    pub index: u32,
    /// How many bridges had the place before.
    pub generation: u32,
}

/// The memory that another codec needs.
#[derive(Debug)]
pub struct Recoding {
    /// The leg's own.
    pub coding: Coding,
    /// For its room, where that has none like it.
    pub shared: Option<Box<SharedEncoder>>,
    /// For its port in the bridge that it is in, and for that in the one that it is on its way to.
    pub ports: [PortMemory; 2],
}

impl Recoding {
    /// All that a leg with these parameters needs.
    pub fn new(
        params: &LegParams,
        jitter_max_ms: u32,
        process: ProcessSettings,
    ) -> Result<Box<Self>, CodecError> {
        Ok(Box::new(Self {
            coding: Coding::new(params, jitter_max_ms, process)?,
            shared: SharedEncoder::new(params.codec, params.opus)?,
            ports: [(); 2].map(|()| PortMemory::new(params.codec.sample_rate())),
        }))
    }
}

/// A change to the media, applied between two ticks. Whatever owns memory is boxed by the control
/// side and comes back as an [`Event`].
#[derive(Debug)]
pub enum Command {
    /// A new leg; it ticks in a slot of its own.
    Open(Box<Leg>),
    /// Ends a leg (out of a bridge: after its fade). Comes back as [`Event::Closed`].
    Close(LegId),
    /// Takes a leg out of this worker (out of a bridge: after its fade), to go on in another. Comes
    /// back as [`Event::Detached`].
    Detach(LegId),
    /// What a re-INVITE or UPDATE decided, and what another codec needs.
    Configure(LegId, LegParams, Option<Box<Recoding>>),
    /// Keys for SRTP, others than before, or no encryption any more.
    Secure(LegId, Box<Keying>),
    /// DTLS to be sent, or an empty box for what comes; see [`Leg::exchange`].
    Exchange(LegId, Box<Flight>),
    /// Other processing of the audio.
    Process(LegId, Box<Reprocessing>),
    /// A new bridge.
    CreateBridge(BridgeId, Box<Bridge>),
    /// Ends a bridge; legs in it go on alone.
    CloseBridge(BridgeId),
    /// Moves a leg into a bridge, out of the one it was in.
    Join {
        /// Who.
        leg: LegId,
        /// Where.
        bridge: BridgeId,
        /// Its place in there.
        port: Box<Port>,
        /// An encoder for the room, where that has none like it; see [`SharedEncoder`].
        encoder: Option<Box<SharedEncoder>>,
    },
    /// Moves a leg out of its bridge.
    Leave(LegId),
    /// Who hears a leg and whom it hears, in the bridge that it is in or on its way to; it fades over
    /// with the next tick. A leg that joins brings its relation in its port. The encoder is one for
    /// its ear class, where the room may have none like it.
    Relate(LegId, Relation, Option<Box<SharedEncoder>>),
    /// Memory for more ear classes than class 0; to be there before a relation needs it. What was
    /// there before comes back as [`Freed::Classes`], and those classes go on.
    Classes(BridgeId, Box<Classes>),
    /// Starts a play of a room itself, in place of one that runs at its place. It comes back as
    /// [`Event::RoomPlayEnded`].
    PlayRoom(BridgeId, Box<RoomPlay>),
    /// Stops the room's play at this place.
    StopPlayRoom(BridgeId, u8),
    /// Pauses a leg's play, or moves within it.
    ControlPlay(LegId, PlayControl),
    /// The same for the room's play at this place.
    ControlPlayRoom(BridgeId, u8, PlayControl),
    /// Tells once who talks in a room, as soon as there is something to tell, but not within 100 ms of
    /// the last time; the box comes back as [`Event::Talkers`]. Without a box: no longer.
    WatchTalkers(BridgeId, Option<Box<Talkers>>),
    /// Starts to record a room, in place of a recording that runs. It comes back as
    /// [`Event::RoomRecorded`].
    RecordRoom(BridgeId, Box<RoomRecording>),
    /// Stops it.
    StopRecordRoom(BridgeId),
    /// Pauses it, or goes on.
    ControlRecordRoom(BridgeId, RecordControl),
    /// The same for a leg's recording.
    ControlRecord(LegId, RecordControl),
    /// Gives a leg a track in the recording of its room; one that joins later can bring it in its
    /// port. It comes back as [`Event::TrackEnded`].
    RecordTrack(LegId, Box<Track>),
    /// Starts a play, in place of one that runs.
    Play(LegId, Box<Play>),
    /// Stops the play.
    StopPlay(LegId),
    /// Starts a recording of what the party says.
    Record(LegId, Tap),
    /// Stops the recording.
    StopRecord(LegId),
    /// Echo on or off.
    Echo(LegId, bool),
    /// Sends digits, in place of those under way.
    Dial(LegId, Box<Dial>),
    /// Stops sending digits.
    StopDial(LegId),
    /// Tells the leg's statistics once, with the next tick but not within a second of the last time;
    /// they come back in the box, as [`LegEvent::Stats`]. Without a box: no longer.
    WatchStats(LegId, Option<Box<LegStats>>),
    /// Tells when a leg's party begins and ceases to talk, as [`LegEvent::Talk`], or no longer.
    WatchTalk(LegId, Option<TalkWatch>),
    /// Has somebody listen in on a leg; without room for one more, the box comes back.
    Snoop(LegId, Box<Snoop>),
    /// Who has this number listens in no longer; its box comes back.
    Unsnoop(LegId, u64),
}

impl Command {
    /// The same for a leg that has another handle by now.
    pub fn for_leg(self, id: LegId) -> Command {
        match self {
            Command::Close(_) => Command::Close(id),
            Command::Detach(_) => Command::Detach(id),
            Command::Configure(_, params, recoding) => Command::Configure(id, params, recoding),
            Command::Secure(_, keying) => Command::Secure(id, keying),
            Command::Exchange(_, flight) => Command::Exchange(id, flight),
            Command::Process(_, to) => Command::Process(id, to),
            Command::Join {
                bridge,
                port,
                encoder,
                ..
            } => Command::Join {
                leg: id,
                bridge,
                port,
                encoder,
            },
            Command::Leave(_) => Command::Leave(id),
            Command::Relate(_, relation, encoder) => Command::Relate(id, relation, encoder),
            Command::ControlPlay(_, control) => Command::ControlPlay(id, control),
            Command::ControlRecord(_, control) => Command::ControlRecord(id, control),
            Command::RecordTrack(_, track) => Command::RecordTrack(id, track),
            Command::Play(_, play) => Command::Play(id, play),
            Command::StopPlay(_) => Command::StopPlay(id),
            Command::Record(_, tap) => Command::Record(id, tap),
            Command::StopRecord(_) => Command::StopRecord(id),
            Command::Echo(_, on) => Command::Echo(id, on),
            Command::Dial(_, dial) => Command::Dial(id, dial),
            Command::StopDial(_) => Command::StopDial(id),
            Command::WatchStats(_, room) => Command::WatchStats(id, room),
            Command::WatchTalk(_, watch) => Command::WatchTalk(id, watch),
            Command::Snoop(_, snoop) => Command::Snoop(id, snoop),
            Command::Unsnoop(_, number) => Command::Unsnoop(id, number),
            other @ (Command::Open(_)
            | Command::CreateBridge(..)
            | Command::CloseBridge(_)
            | Command::Classes(..)
            | Command::PlayRoom(..)
            | Command::StopPlayRoom(..)
            | Command::ControlPlayRoom(..)
            | Command::WatchTalkers(..)
            | Command::RecordRoom(..)
            | Command::StopRecordRoom(_)
            | Command::ControlRecordRoom(..)) => other,
        }
    }
}

/// What a worker tells the control side.
#[derive(Debug)]
pub enum Event {
    /// From a leg.
    Leg(LegId, LegEvent),
    /// A leg has ended; its statistics, tap and play are in it.
    Closed(Box<Leg>),
    /// A leg is out of this worker, and goes on where it is opened again.
    Detached(Box<Leg>),
    /// A bridge has ended.
    BridgeClosed(BridgeId, Box<Bridge>),
    /// A leg could not join: no such bridge, or it is full. It may be on its way to another by then.
    JoinRefused(LegId, BridgeId, Box<Port>),
    /// A room's play came to its end.
    RoomPlayEnded(BridgeId, Box<RoomPlay>, PlayEnd),
    /// Who talks in a room; the next is told when the box is given again.
    Talkers(BridgeId, Box<Talkers>),
    /// The recording of a room has ended, by itself where there is a reason; or there was no such room.
    /// Its tracks end before.
    RoomRecorded(BridgeId, Box<RoomRecording>, Option<TapStop>),
    /// A leg's track has ended: it has left the room, or the recording is over; or there was none.
    TrackEnded(LegId, Box<Track>),
    /// Memory to be freed away from the media thread.
    Freed(Freed),
}

/// What is merely to be dropped.
#[derive(Debug)]
pub enum Freed {
    /// A port whose party has left.
    Port(Box<Port>),
    /// A play for a leg that is gone.
    Play(Box<Play>),
    /// Digits for a leg that is gone.
    Dial(Box<Dial>),
    /// What was in use before another codec.
    Recoding(Box<Recoding>),
    /// Keys that are no longer in use.
    Keying(Box<Keying>),
    /// A box for DTLS that its leg has no place for.
    Flight(Box<Flight>),
    /// Processing that is no longer in use.
    Reprocessing(Box<Reprocessing>),
    /// An encoder that a room had already, or has no more use for.
    Encoder(Box<SharedEncoder>),
    /// Ear classes that were replaced, or whose room is gone.
    Classes(Box<Classes>),
    /// Room for talkers that nobody wants any more.
    Talkers(Box<Talkers>),
    /// Room for statistics that nobody wants any more.
    Stats(Box<LegStats>),
    /// The end of somebody who listens in no longer.
    Snoop(Box<Snoop>),
    /// A leg that found its place taken: a bug of the control side, never of a peer.
    Leg(Box<Leg>),
    /// A bridge that found its place taken.
    Bridge(Box<Bridge>),
}
