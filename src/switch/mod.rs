//! Owns endpoint, calls, rooms and routes; links calls with each other and with rooms.
//!
//! Sans-IO: [`Switch::handle`] takes what the edge has seen, [`Switch::poll_output`] says what it
//! is to do, [`Switch::poll_timeout`] when to wake. One seed gives one run, byte for byte.

mod absent;
mod act;
mod bridge_media;
mod bridges;
mod connections;
mod dial;
mod dtls;
mod execute;
pub mod fuzz;
mod hops;
mod inspect;
mod invites;
mod loading;
mod login;
mod mail;
mod media;
mod message;
mod places;
mod programs;
mod recorded;
mod recording_log;
mod registered;
mod requests;
mod room_files;
mod room_plays;
mod room_recordings;
mod rooms;
pub mod routes;
mod snoop;
mod texts;

pub use absent::{Abandoned, Absence};
pub use bridge_media::{BridgePlay, BridgeRecord, Player};
pub use bridges::{BridgeEvent, BridgeNumber};
pub use dial::{DialSettings, Ways};
pub use inspect::CallView;
pub use login::Demand;
pub use message::{Event, Input, MailboxRequest, Output, RecordTarget, Summary};
pub use programs::{Muted, ProgramError};
pub use recording_log::{RecordedMember, RecordedPause, RecordingLog};
pub use room_files::{
    NewTrack, RecordingState, RoomFiles, RoomFilesDone, RoomRecord, RoomRecordingChange,
    RoomRecordingEvent, RoomRecordingView,
};
pub use routes::Routes;
pub use snoop::ExternalMedia;
pub use texts::{MAX_TEXT, TextMessage};

use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::app::menu::Menus;
use crate::app::room::{Entrant, RoomTable};
use crate::audio::process::ProcessSettings;
use crate::call::{self, Call, CallHandle};
use crate::dtls::Identity;
use crate::endpoint::{self, Endpoint};
use crate::leg::{LegId, LegMemory, LegParams};
use crate::room::Room;
use crate::rtp::latch::Stream;
use crate::sip::method::Method;
use crate::sip::registration::Registrar;
use crate::sip::transaction::{ClientId, Key, Keys, ServerId};
use crate::sip::transport::ConnectionId;
use crate::worker::{BridgeId, Command, SPARE_BRIDGES};
use bridges::Bridges;
use connections::OnConnections;
use dial::Dial;
use invites::Invites;
use loading::Loading;
use mail::{Pins, RoomPins};
use places::Places;
use programs::Driven;
use recorded::Recording;

/// What the switch is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For all calls.
    pub call: call::Settings,
    /// For the endpoint.
    pub endpoint: endpoint::Settings,
    /// Where users are asked for.
    pub demand: Demand,
    /// For registrations.
    pub registration: crate::sip::registration::Settings,
    /// The most calls at once; the next gets 503.
    pub max_calls: usize,
    /// The most rooms at once; a caller who needs one more gets 503.
    pub max_rooms: usize,
    /// Media workers.
    pub workers: usize,
    /// Places for legs in each worker.
    pub legs_per_worker: usize,
    /// The most INVITEs whose ACK, or PRACK, is awaited; one source has half of them at most.
    pub unacknowledged: usize,
    /// Places for bridges in each worker.
    pub bridges_per_worker: usize,
    /// Bound of the jitter buffer's delay, ms.
    pub jitter_max_ms: u32,
    /// Silence of RTP and RTCP after which a call ends, ms; 0: never.
    pub media_timeout_ms: u32,
    /// Where no telephone events were agreed on, digits are sought in the audio.
    pub inband_digits: bool,
    /// What is done to each party's audio, unless its call says otherwise.
    pub process: ProcessSettings,
}

/// Where a call's media runs.
#[derive(Clone, Copy, Debug)]
struct LegPlace {
    worker: usize,
    leg: LegId,
}

/// A leg on its way to another worker.
#[derive(Debug)]
struct Moving {
    to: usize,
    /// Commands that it gets over there.
    held: Vec<Command>,
}

/// What the switch keeps for a call, besides the call.
#[derive(Debug)]
struct Entry {
    call: Call,
    leg: Option<LegPlace>,
    rtp_port: Option<u16>,
    /// What the leg was told last.
    params: Option<LegParams>,
    /// The rate that its ports have to serve besides that of these, Hz.
    ports_for: u32,
    process: ProcessSettings,
    room: Option<String>,
    /// As what it enters that room, while its leg is on the way; or another one, where that leads
    /// elsewhere.
    entrant: Option<Box<Entrant>>,
    /// Its leg is in a bridge, or on the way into one.
    mixed: bool,
    /// The class by which it hears in there, as it was told last.
    ears: Option<u8>,
    /// What its room adds to `process`: gains of what it says and hears, dB.
    room_gains: (i8, i8),
    /// The recording that is to be its spoken name, and all that were.
    naming: Option<u64>,
    names: Vec<u64>,
    /// A room has placed it, and it has not joined.
    dial: Option<Box<Dial>>,
    dialogs: Vec<Key>,
    /// On which it is looked up.
    connection: Option<ConnectionId>,
    invites: Vec<ServerId>,
    /// Requests of ours, answered ones among them.
    clients: Vec<ClientId>,
    wake: Option<Instant>,
    recording: Option<Recording>,
    moving: Option<Moving>,
    /// Where its keys come by DTLS.
    secured: Option<Box<dtls::Secured>>,
    /// The play whose files are being read.
    loading: Option<Loading>,
    /// Counts them.
    plays: u32,
    /// The last request about a mailbox, and the last recording that was to be a message.
    mailbox_request: u64,
    message: Option<u64>,
    /// The files of the last play, for the event where one breaks off.
    playing: Vec<PathBuf>,
    party: String,
    /// Somebody wants the media's figures while it runs; once.
    watched: bool,
    asked: bool,
    driven: Driven,
}

impl Entry {
    /// Whether we have placed it and it is not answered.
    fn is_ringing(&self) -> bool {
        self.dial.is_some() && self.call.times().1.is_none()
    }
}

/// The whole signalling side.
#[derive(Debug)]
pub struct Switch {
    settings: Settings,
    call_settings: Arc<call::Settings>,
    endpoint: Endpoint,
    registrar: Registrar,
    routes: Routes,
    /// Boxed: they are large, and the table moves what is in it.
    calls: FxHashMap<CallHandle, Box<Entry>>,
    dialog_keys: Keys,
    dialogs: FxHashMap<Key, CallHandle>,
    on_connections: OnConnections,
    invites: Invites,
    clients: FxHashMap<ClientId, (CallHandle, Method)>,
    farewells: HashMap<ClientId, login::Farewell>,
    legs: FxHashMap<(usize, LegId), CallHandle>,
    recordings: HashMap<u64, CallHandle>,
    rooms: HashMap<String, Room>,
    room_recordings: room_recordings::RoomRecordings,
    /// By where they are mixed.
    mixers: HashMap<(usize, BridgeId), String>,
    /// Somebody wants to know who talks.
    talkers_wanted: bool,
    bridges: Bridges,
    absent: absent::Absent,
    /// Where media of programs may go, besides loopback.
    external_media: Vec<ipnet::IpNet>,
    room_wakes: BTreeSet<(Instant, String)>,
    /// Whom rooms are to call, while it is being found out where.
    dials: HashMap<u64, Dial>,
    next_dial: u64,
    dial: DialSettings,
    hops: hops::Hops,
    /// What was heard last on each RTP port: it may go on into the next call.
    heard: HashMap<u16, Stream>,
    pins: Pins,
    room_pins: RoomPins,
    /// Where keys of a room may lead.
    menus: Menus,
    room_table: Arc<RoomTable>,
    leg_places: Vec<Places>,
    bridge_places: Vec<Places>,
    /// What legs that are over have left for others.
    leg_memory: Vec<LegMemory>,
    wakes: BTreeSet<(Instant, CallHandle)>,
    next_call: u64,
    next_recording: u64,
    accepting: bool,
    rng: StdRng,
    /// Where keys come from.
    keys: StdRng,
    /// What handshakes are made with; none: there are none.
    identity: Option<Identity>,
    /// Calls whose outputs are to be carried out.
    touched: VecDeque<CallHandle>,
    outputs: VecDeque<Output>,
}

impl Switch {
    /// A switch with these routes; `seed` decides all that is random in it.
    pub fn new(settings: Settings, routes: Routes, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut keys = StdRng::seed_from_u64(!seed);
        let places = |count, spare| {
            let of_worker = |_| Places::new(count, spare);
            (0..settings.workers).map(of_worker).collect()
        };
        Self {
            call_settings: Arc::new(settings.call.clone()),
            endpoint: Endpoint::new(settings.endpoint.clone(), rng.random()),
            registrar: Registrar::new(settings.registration),
            routes,
            calls: FxHashMap::default(),
            dialog_keys: Keys::new(keys.random()),
            dialogs: FxHashMap::default(),
            on_connections: OnConnections::default(),
            invites: Invites::default(),
            clients: FxHashMap::default(),
            farewells: HashMap::new(),
            legs: FxHashMap::default(),
            recordings: HashMap::new(),
            rooms: HashMap::new(),
            room_recordings: room_recordings::RoomRecordings::default(),
            mixers: HashMap::new(),
            talkers_wanted: false,
            bridges: Bridges::default(),
            absent: absent::Absent::default(),
            external_media: Vec::new(),
            room_wakes: BTreeSet::new(),
            dials: HashMap::new(),
            next_dial: 1,
            dial: DialSettings::default(),
            hops: hops::Hops::default(),
            menus: Menus::default(),
            room_table: Arc::default(),
            heard: HashMap::new(),
            pins: Pins::default(),
            room_pins: RoomPins::default(),
            leg_places: places(settings.legs_per_worker, 0),
            bridge_places: places(settings.bridges_per_worker, SPARE_BRIDGES),
            leg_memory: Vec::new(),
            wakes: BTreeSet::new(),
            next_call: 1,
            next_recording: 1,
            accepting: true,
            keys,
            identity: None,
            rng,
            touched: VecDeque::new(),
            outputs: VecDeque::new(),
            settings,
        }
    }

    /// Has keys come from here: the seed of [`Switch::new`] is too short for secrets.
    pub fn set_key_source(&mut self, keys: StdRng) {
        self.keys = keys;
    }

    /// Puts other routes in force for calls to come.
    pub fn set_routes(&mut self, routes: Routes) {
        self.routes = routes;
    }

    /// What rooms are like, for calls that no route has led to one.
    pub fn set_room_table(&mut self, rooms: Arc<RoomTable>) {
        self.room_table = rooms;
    }

    /// What rooms are like.
    pub fn room_table(&self) -> &Arc<RoomTable> {
        &self.room_table
    }

    /// Menus that the keys of a room may lead to.
    pub fn set_menus(&mut self, menus: Menus) {
        self.menus = menus;
    }

    /// New calls get 503 from now on; running ones go on.
    pub fn stop_accepting(&mut self) {
        self.accepting = false;
    }

    /// Calls that are not over yet.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Requests of ours that nobody has answered yet: the BYE of calls that are over, too.
    pub fn unanswered(&self) -> usize {
        self.clients.len() + self.hops.len()
    }

    /// Rooms with anybody in them.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// SIP transactions that have not ended.
    pub fn transactions(&self) -> usize {
        self.endpoint.transactions()
    }

    /// Gives back the room of tables that were fuller once.
    pub fn shrink(&mut self) {
        self.endpoint.shrink();
        self.invites.shrink();
        self.calls.shrink_to_fit();
        self.dialogs.shrink_to_fit();
        self.on_connections.shrink();
        self.clients.shrink_to_fit();
        self.legs.shrink_to_fit();
        self.recordings.shrink_to_fit();
        self.rooms.shrink_to_fit();
        self.leg_memory = Vec::new();
        self.touched.shrink_to_fit();
        self.outputs.shrink_to_fit();
    }

    /// Everything that is kept for calls, by count: all zero when no call is left and all
    /// transactions have ended.
    pub fn leftovers(&self) -> usize {
        self.calls.len()
            + self.farewells.len()
            + self.dialogs.len()
            + self.on_connections.len()
            + self.invites.len()
            + self.clients.len()
            + self.legs.len()
            + self.recordings.len()
            + self.rooms.len()
            + self.mixers.len()
            + self.room_wakes.len()
            + self.dials.len()
            + self.hops.len()
            + self.room_recordings.leftovers()
            + self.bridges.leftovers()
            + self.absent.leftovers()
            + self.wakes.len()
            + self.leg_places.iter().map(Places::in_use).sum::<usize>()
            + self.bridge_places.iter().map(Places::in_use).sum::<usize>()
    }

    /// Takes what the edge has seen.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Sip(input) => self.on_sip(input, now),
            Input::MediaReady {
                call,
                rtp_port,
                rtcp_port,
            } => self.media_ready(call, rtp_port, rtcp_port, now),
            Input::MediaFailed { call, why } => {
                self.with_call(call, |c| c.media_failed(&why));
            }
            Input::Media { worker, event } => self.on_media(worker, event, now),
            Input::PlayReady { call, id, play } => self.play_ready(call, id, play, now),
            Input::BridgePlayReady {
                player,
                place,
                id,
                play,
            } => self.bridge_play_ready((player, place, id), play, now),
            Input::RecordingClosed(recording) => self.recording_closed(recording, now),
            Input::BridgeRecordReady(recording) => self.bridge_record_ready(recording),
            Input::RoomFiles(done) => self.room_files_done(done, now),
            Input::RecordReady { recording, tap } => self.record_ready(recording, tap, now),
            Input::Mailbox {
                call,
                request,
                happened,
            } => self.mailbox_answered(call, request, &happened, now),
            Input::MessageLeft {
                call,
                recording,
                outcome,
            } => self.message_left(call, recording, outcome, now),
            Input::Resolved { dial, ways } => self.resolved(dial, ways, now),
            Input::NameRecorded {
                call,
                recording,
                kept,
            } => self.name_recorded(call, recording, kept, now),
            Input::Located { call, items } => {
                self.with_call(call, |c| c.located(items));
            }
            Input::PlayFailed { call, id, error } => self.play_failed(call, id, error, now),
            Input::RecordingFailed { recording, error } => {
                self.recording_failed(recording, error, now);
            }
        }
        self.settle(now);
    }

    /// When [`Switch::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let call = self.wakes.first().map(|&(at, _)| at);
        let room = self.room_wakes.first().map(|&(at, _)| at);
        let absent = self.absent.due();
        [self.endpoint.poll_timeout(), call, room, absent]
            .into_iter()
            .flatten()
            .min()
    }

    /// Some timer is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        while let Some(&(at, handle)) = self.wakes.first() {
            if at > now {
                break;
            }
            self.wakes.pop_first();
            if let Some(entry) = self.calls.get_mut(&handle) {
                entry.wake = None;
            }
            self.with_call(handle, |c| c.handle_timeout(now));
            self.handshake_timeout(handle, now);
            self.dial_timeout(handle, now);
        }
        self.room_timeouts(now);
        self.absence_timeout(now);
        self.settle(now);
    }

    /// The next thing for the edge to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_handle(&mut self) -> CallHandle {
        let handle = CallHandle(self.next_call);
        self.next_call += 1;
        handle
    }

    fn add_call(&mut self, call: Call) {
        let handle = call.handle();
        let party = call.remote_name();
        self.outputs.push_back(Output::Event(Event::Started {
            call: handle,
            call_id: call.call_id().to_owned(),
            flow: call.flow(),
            party: party.clone(),
            is_outgoing: call.is_outgoing(),
            app: call.spec().name(),
        }));
        let entry = Entry {
            call,
            leg: None,
            rtp_port: None,
            params: None,
            ports_for: 0,
            process: self.settings.process,
            room: None,
            entrant: None,
            mixed: false,
            ears: None,
            room_gains: (0, 0),
            naming: None,
            names: Vec::new(),
            dial: None,
            dialogs: Vec::new(),
            connection: None,
            invites: Vec::new(),
            clients: Vec::new(),
            wake: None,
            recording: None,
            moving: None,
            secured: None,
            loading: None,
            plays: 0,
            mailbox_request: 0,
            message: None,
            playing: Vec::new(),
            watched: false,
            asked: false,
            driven: Driven::default(),
            party,
        };
        self.calls.insert(handle, Box::new(entry));
        self.touched.push_back(handle);
    }

    /// Does something to a call and remembers to carry out what it then wants.
    fn with_call<T>(&mut self, handle: CallHandle, f: impl FnOnce(&mut Call) -> T) -> Option<T> {
        let entry = self.calls.get_mut(&handle)?;
        self.touched.push_back(handle);
        Some(f(&mut entry.call))
    }

    /// Carries out everything that follows from what has just happened.
    fn settle(&mut self, now: Instant) {
        loop {
            while let Some(handle) = self.touched.pop_front() {
                self.drain_call(handle, now);
            }
            match self.endpoint.poll_output() {
                Some(output) => self.on_endpoint(output, now),
                None if self.touched.is_empty() => return,
                None => {}
            }
        }
    }

    fn drain_call(&mut self, handle: CallHandle, now: Instant) {
        while let Some(output) = self
            .calls
            .get_mut(&handle)
            .and_then(|entry| entry.call.poll_output(now))
        {
            self.execute(handle, output, now);
        }
        self.note_connection(handle);
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let handshake = entry.secured.as_ref().and_then(|s| s.poll_timeout());
        let call = entry.call.poll_timeout();
        let dial = entry.dial.as_ref().filter(|_| entry.is_ringing());
        let dial = dial.map(|dial| dial.until);
        let wake = call.into_iter().chain(handshake).chain(dial).min();
        if wake != entry.wake {
            if let Some(old) = entry.wake.take() {
                self.wakes.remove(&(old, handle));
            }
            if let Some(at) = wake {
                self.wakes.insert((at, handle));
            }
            entry.wake = wake;
        }
    }
}
