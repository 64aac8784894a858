//! What goes into the switch and what comes out of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::bridge_media::{BridgePlay, BridgeRecord, Player};
use super::bridges::{BridgeEvent, BridgeNumber};
use super::dial::Ways;
use super::room_files::{RoomFiles, RoomFilesDone, RoomRecordingEvent};
use super::texts::TextMessage;
use crate::app::{Happened, MessageOutcome, PlayId, PlayItem, Report, Wanted};
use crate::bridge::RoomRecording;
use crate::call::{CallHandle, EndReason};
use crate::dtmf::Digit;
use crate::endpoint::{self, Ban};
use crate::leg::player::Play;
use crate::leg::tap::Tap;
use crate::leg::{Leg, LegStats};
use crate::room::{RoomEvent, RoomTalk};
use crate::sip::transaction::ClientId;
use crate::sip::transport::Flow;
use crate::worker;

/// What the edge tells the switch.
#[derive(Debug)]
pub enum Input {
    /// From the SIP transports.
    Sip(endpoint::Input),
    /// The ports that a call asked for.
    MediaReady {
        /// Whose.
        call: CallHandle,
        /// The even one.
        rtp_port: u16,
        /// The next.
        rtcp_port: u16,
    },
    /// No ports for a call.
    MediaFailed {
        /// Whose.
        call: CallHandle,
        /// Why.
        why: String,
    },
    /// From a media worker.
    Media {
        /// Which worker.
        worker: usize,
        /// What it told.
        event: worker::Event,
    },
    /// A play that was asked for.
    PlayReady {
        /// Whose.
        call: CallHandle,
        /// Which.
        id: PlayId,
        /// What is played.
        play: Box<Play>,
    },
    /// A play that a bridge or room has asked for, or what was to be played and why it cannot be.
    BridgePlayReady {
        /// Whose.
        player: Player,
        /// Its place in the mix.
        place: u8,
        /// Which.
        id: PlayId,
        /// What is played.
        play: Result<Box<Play>, String>,
    },
    /// The file of a recording is closed: it can be read.
    RecordingClosed(u64),
    /// The file of a bridge's recording is open.
    BridgeRecordReady(Box<RoomRecording>),
    /// What has become of the files of a room's recording.
    RoomFiles(RoomFilesDone),
    /// The file of a recording is open.
    RecordReady {
        /// Which.
        recording: u64,
        /// What fills it.
        tap: Tap,
    },
    /// What became of a [`Output::Mailbox`].
    Mailbox {
        /// Whose.
        call: CallHandle,
        /// Its number.
        request: u64,
        /// What the application is told.
        happened: Happened,
    },
    /// What became of a message.
    MessageLeft {
        /// Whose.
        call: CallHandle,
        /// Its recording.
        recording: u64,
        /// What became of it.
        outcome: MessageOutcome,
    },
    /// Where to call, or why nowhere.
    Resolved {
        /// For which [`Output::Resolve`].
        dial: u64,
        /// The ways.
        ways: Ways,
    },
    /// A spoken name is in its file, or there is nothing in it.
    NameRecorded {
        /// Whose.
        call: CallHandle,
        /// Its recording.
        recording: u64,
        /// Whether anything was said.
        kept: bool,
    },
    /// What an announcement is; none: there is no such thing.
    Located {
        /// Whose.
        call: CallHandle,
        /// What is heard.
        items: Option<Vec<PlayItem>>,
    },
    /// A play could not start.
    PlayFailed {
        /// Whose.
        call: CallHandle,
        /// Which.
        id: PlayId,
        /// What was to be played and why it cannot be.
        error: String,
    },
    /// A recording could not start or go on.
    RecordingFailed {
        /// Which.
        recording: u64,
        /// Which file and why.
        error: String,
    },
}

/// What the switch wants of the edge.
#[derive(Debug)]
pub enum Output {
    /// Send a SIP message.
    Transmit {
        /// On which path.
        flow: Flow,
        /// The message.
        bytes: Vec<u8>,
        /// A request's transaction, which is to hear on which connection it went
        /// ([`Switch::sent`](super::Switch::sent)).
        transaction: Option<ClientId>,
    },
    /// Bind a pair of RTP ports; [`Input::MediaReady`] or [`Input::MediaFailed`] answers.
    Reserve {
        /// For which call.
        call: CallHandle,
        /// On which address.
        address: IpAddr,
    },
    /// The call's ports are free again.
    Release {
        /// Of which call.
        call: CallHandle,
    },
    /// A leg with the call's sockets.
    Open {
        /// On which worker.
        worker: usize,
        /// Whose sockets.
        call: CallHandle,
        /// The leg.
        leg: Box<Leg>,
    },
    /// A command for a worker.
    Media {
        /// Which worker.
        worker: usize,
        /// What to do.
        command: worker::Command,
    },
    /// Find what is to be heard; [`Input::PlayReady`] or [`Input::PlayFailed`] answers.
    Play {
        /// Whose.
        call: CallHandle,
        /// Which.
        id: PlayId,
        /// What.
        items: Vec<PlayItem>,
        /// How often; 0: until stopped.
        repeat: u32,
        /// Silence between two passes.
        gap: Duration,
    },
    /// What is to be played to a call, and not there yet, is not wanted any more.
    GiveUpPlay(CallHandle),
    /// Open a file to record into; [`Input::RecordReady`] or [`Input::RecordingFailed`] answers.
    Record {
        /// Whose.
        call: CallHandle,
        /// Its number, fresh.
        recording: u64,
        /// Where it goes.
        target: RecordTarget,
        /// Stop after so long.
        max: Option<Duration>,
        /// Stop after so much silence.
        silence: Option<Duration>,
        /// Who is recorded.
        caller: String,
        /// The Call-ID.
        call_id: String,
    },
    /// Do something with a mailbox; [`Input::Mailbox`] answers.
    Mailbox {
        /// Whose application.
        call: CallHandle,
        /// Its Call-ID, for logs.
        call_id: String,
        /// The number of the request: an answer to another comes too late.
        number: u64,
        /// What.
        request: MailboxRequest,
    },
    /// Find an announcement; [`Input::Located`] answers.
    Locate {
        /// Whose.
        call: CallHandle,
        /// Its Call-ID, for logs.
        call_id: String,
        /// What was asked for.
        wanted: Wanted,
    },
    /// A recording has all its frames: so many samples.
    CloseRecording {
        /// Which.
        recording: u64,
        /// Its length.
        samples: u64,
    },
    /// Find the ways to whom a room calls, or to the next hop of a call; [`Input::Resolved`] answers.
    Resolve {
        /// Its number.
        dial: u64,
        /// Whom.
        uri: String,
    },
    /// Spoken names that will not be asked for much longer.
    ForgetNames(Vec<u64>),
    /// The same as [`Output::Play`] for a bridge or room; [`Input::BridgePlayReady`] answers.
    PlayInBridge(BridgePlay),
    /// The same as [`Output::Record`] for a bridge; [`Input::BridgeRecordReady`] or
    /// [`Input::RecordingFailed`] answers.
    RecordBridge(BridgeRecord),
    /// What the recording of a room wants of files; [`Input::RoomFiles`] answers.
    RoomFiles(RoomFiles),
    /// Nothing of a recording is to be kept: it goes when it is closed.
    DiscardRecording(u64),
    /// Do not hear a source any more.
    Banned(Ban),
    /// Hear a source again: somebody has ended its bans.
    Unbanned(IpAddr),
    /// Something that people and programs may want to know.
    Event(Event),
}

/// Where a recording goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordTarget {
    /// A file.
    File {
        /// The one that was asked for; none: by time and caller.
        file: Option<PathBuf>,
        /// Whether that is the command line's own choice, and not below the directory.
        trusted: bool,
    },
    /// What a caller says of itself; [`Input::NameRecorded`] follows.
    Name,
    /// A file of this name in the recording directory; it leads nowhere else.
    Named {
        /// Its name, without `.wav`.
        name: String,
        /// Whether it takes the place of one of this name.
        overwrite: bool,
    },
    /// A mailbox: whether it is kept is told by [`Input::MessageLeft`].
    Message {
        /// Whose.
        mailbox: String,
    },
}

impl RecordTarget {
    /// Whether it takes the place of what is there.
    pub fn overwrites(&self) -> bool {
        matches!(self, Self::Named { overwrite, .. } if *overwrite)
    }
}

/// What is to be done with a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxRequest {
    /// Tell what is in it.
    List {
        /// Which box.
        mailbox: String,
    },
    /// Mark a message as saved.
    Save {
        /// Which box.
        mailbox: String,
        /// Which message.
        id: String,
    },
    /// Delete a message.
    Delete {
        /// Which box.
        mailbox: String,
        /// Which message.
        id: String,
    },
}

/// What happened to a call.
#[derive(Debug)]
pub enum Event {
    /// A call came in and was routed, or was placed.
    Started {
        /// Our handle.
        call: CallHandle,
        /// Its Call-ID.
        call_id: String,
        /// The peer's address.
        flow: Flow,
        /// The other party.
        party: String,
        /// We have placed it.
        is_outgoing: bool,
        /// Where it was routed.
        app: &'static str,
    },
    /// It was answered.
    Answered {
        /// Our handle.
        call: CallHandle,
        /// Its Call-ID.
        call_id: String,
    },
    /// The called party is alerted (180), or there is something to hear of the network (183).
    Progress {
        /// Our handle.
        call: CallHandle,
        /// Of the response.
        status: u16,
    },
    /// A call is a program's now: it came in and waits for its answer, or was placed and is answered,
    /// or another application has handed it on.
    Entered {
        /// Our handle.
        call: CallHandle,
        /// Whose.
        app: String,
        /// What it is told of the call.
        args: Vec<String>,
    },
    /// A call is not a program's any more, and goes on.
    Left {
        /// Our handle.
        call: CallHandle,
        /// Whose it was.
        app: String,
    },
    /// What came of a program's order.
    Reported {
        /// Our handle.
        call: CallHandle,
        /// What.
        report: Report,
    },
    /// Something about a bridge of a program's.
    Bridge {
        /// Which.
        bridge: BridgeNumber,
        /// What.
        event: BridgeEvent,
    },
    /// The party has pressed a digit. It may be part of a PIN: never logged.
    Digit {
        /// Our handle.
        call: CallHandle,
        /// Which.
        digit: Digit,
    },
    /// The party of a program's call begins to talk, or has ceased to.
    Talking {
        /// Our handle.
        call: CallHandle,
        /// It begins.
        talking: bool,
        /// How long it has talked, where it has ceased to.
        lasted: Duration,
    },
    /// The other side has put the call on hold, or takes it up again.
    Held {
        /// Our handle.
        call: CallHandle,
        /// It is on hold.
        held: bool,
    },
    /// A text has come from this user, outside of calls.
    Text(String, Box<TextMessage>),
    /// A PIN was refused.
    PinRefused {
        /// Its Call-ID.
        call_id: String,
        /// Where the call comes from.
        flow: Flow,
        /// Of which box.
        mailbox: String,
        /// How many wrong ones count, over all calls.
        failures: u32,
    },
    /// The PIN of a room was refused.
    RoomPinRefused {
        /// Its Call-ID.
        call_id: String,
        /// Where the call comes from.
        flow: Flow,
        /// Of which room.
        room: String,
        /// How many wrong ones count, over all calls.
        failures: u32,
    },
    /// Something happened in a conference room.
    Room(Box<RoomEvent>),
    /// Something became of a recording of a room.
    RoomRecording(Box<RoomRecordingEvent>),
    /// Who talks in a room has changed, or how loud; every 100 ms at most.
    Talkers(Box<RoomTalk>),
    /// Digits could not be sent.
    DigitsNotSent {
        /// Its Call-ID.
        call_id: String,
        /// Why.
        error: String,
    },
    /// The media's figures while the call runs, for who has asked by `Switch::watch_stats`.
    Stats {
        /// Our handle.
        call: CallHandle,
        /// The figures so far.
        stats: Box<LegStats>,
    },
    /// It is over.
    Ended(Box<Summary>),
    /// The library of a codec has refused: the call goes without media.
    MediaFailed {
        /// Which call.
        call_id: String,
        /// What it said.
        error: String,
    },
    /// Something could not be played.
    PlayFailed {
        /// Its Call-ID.
        call_id: String,
        /// What and why.
        error: String,
    },
    /// A bridge of a program's could not play something.
    BridgePlayFailed {
        /// Which bridge.
        bridge: BridgeNumber,
        /// What and why.
        error: String,
    },
    /// RTCP has a DTLS handshake of its own, and that has failed: the call goes on without RTCP.
    RtcpFailed {
        /// Its Call-ID.
        call_id: String,
        /// Why.
        error: String,
    },
    /// A handshake for other keys came to nothing: the call goes on with those that it has.
    RekeyFailed {
        /// Its Call-ID.
        call_id: String,
        /// Why.
        error: String,
    },
    /// A recording broke off; what is written is valid.
    RecordingFailed {
        /// Its Call-ID.
        call_id: String,
        /// Which file and why.
        error: String,
    },
    /// An INVITE was refused without a call.
    Refused {
        /// The path it came on.
        flow: Flow,
        /// The status that it got.
        status: u16,
        /// What was dialled.
        user: String,
    },
}

/// A call that is over.
#[derive(Debug)]
pub struct Summary {
    /// Our handle.
    pub call: CallHandle,
    /// Its Call-ID.
    pub call_id: String,
    /// The other party.
    pub party: String,
    /// Where it was routed.
    pub app: &'static str,
    /// How it ended.
    pub reason: EndReason,
    /// From its first message to the answer.
    pub set_up: Option<Duration>,
    /// From the answer to the end.
    pub talked: Duration,
    /// The codec that we sent.
    pub codec: Option<&'static str>,
    /// The media's figures.
    pub stats: Option<LegStats>,
}
