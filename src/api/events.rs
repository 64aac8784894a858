//! What is told to readers of events.

use std::path::Path;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::recordings::RoomRecordingBody;
use super::rooms::{RoomEventBody, TalkersBody};
use super::v1::{BanBody, CallBody, Figures};
use super::{Api, State};
use crate::call::{CallHandle, EndReason};
use crate::endpoint::Ban;
use crate::switch::{BridgeNumber, Event, Summary, Switch};

/// Something that happened.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type")]
pub(super) enum ApiEvent<'a> {
    /// A call came in and was routed, or was placed.
    #[serde(rename = "call.started")]
    Started {
        /// When (RFC 3339).
        time: &'a str,
        /// The call.
        call: Box<CallBody>,
    },
    /// It was answered.
    #[serde(rename = "call.answered")]
    Answered {
        /// When.
        time: &'a str,
        /// The call.
        call: Box<CallBody>,
    },
    /// The party has pressed a digit; told only where `digits=true` asks for it.
    #[serde(rename = "call.digit")]
    Digit {
        /// When.
        time: &'a str,
        /// The call's name in this API.
        id: String,
        /// Which: `0` to `9`, `*`, `#`, `A` to `D`.
        digit: String,
    },
    /// Something of it failed: it goes on all the same.
    #[serde(rename = "call.failed")]
    Failed {
        /// When.
        time: &'a str,
        /// Its SIP Call-ID.
        call_id: &'a str,
        /// `play`, `record`, `digits`, `media`, `rtcp` or `keys`.
        what: &'a str,
        /// Why.
        error: &'a str,
    },
    /// It is over.
    #[serde(rename = "call.ended")]
    Ended {
        /// When.
        time: &'a str,
        /// The call.
        call: Box<EndedBody<'a>>,
    },
    /// An INVITE was refused without a call.
    #[serde(rename = "call.refused")]
    Refused {
        /// When.
        time: &'a str,
        /// Where it came from.
        peer: String,
        /// The status that it got.
        status: u16,
        /// What was dialled.
        user: &'a str,
    },
    /// A recording has begun.
    #[serde(rename = "recording.started")]
    RecordingStarted {
        /// When.
        time: &'a str,
        /// The recording.
        recording: RecordingBody,
    },
    /// A recording is complete.
    #[serde(rename = "recording.ended")]
    RecordingEnded {
        /// When.
        time: &'a str,
        /// The recording.
        recording: RecordingBody,
    },
    /// A recording broke off: what there is of it is valid.
    #[serde(rename = "recording.failed")]
    RecordingFailed {
        /// When.
        time: &'a str,
        /// The recording.
        recording: RecordingBody,
    },
    /// Something happened in a conference room. Those of one room come in order, and whoever applies
    /// them all has its roster.
    #[serde(rename = "room")]
    Room {
        /// When.
        time: &'a str,
        /// The room.
        #[serde(flatten)]
        change: Box<RoomEventBody<'a>>,
    },
    /// Something became of a recording of a conference room.
    #[serde(rename = "room.recording")]
    RoomRecording {
        /// When.
        time: &'a str,
        /// The recording.
        #[serde(flatten)]
        change: Box<RoomRecordingBody<'a>>,
    },
    /// Who talks in a room has changed, or how loud, by 1 dB: every 100 ms at most. Told only where
    /// `talkers=true` or `types` asks for it.
    #[serde(rename = "room.talkers")]
    Talkers {
        /// When.
        time: &'a str,
        /// Who talks.
        #[serde(flatten)]
        talk: Box<TalkersBody<'a>>,
    },
    /// A source is not heard for a while.
    #[serde(rename = "ban.added")]
    BanAdded {
        /// When.
        time: &'a str,
        /// The ban.
        ban: BanBody,
    },
    /// Somebody has ended a ban.
    #[serde(rename = "ban.lifted")]
    BanLifted {
        /// When.
        time: &'a str,
        /// The source.
        address: String,
    },
}

/// All types.
pub(super) const TYPES: &[&str] = &[
    "call.started",
    "call.answered",
    DIGIT,
    "call.failed",
    "call.ended",
    "call.refused",
    "recording.started",
    "recording.ended",
    "recording.failed",
    "room",
    "room.recording",
    TALKERS,
    "ban.added",
    "ban.lifted",
];

/// The one that rooms are watched for.
pub(super) const TALKERS: &str = "room.talkers";

/// The one that may tell a PIN.
pub(super) const DIGIT: &str = "call.digit";

/// A call that is over.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EndedBody<'a> {
    /// Its name in this API.
    id: String,
    /// Its SIP Call-ID.
    call_id: &'a str,
    /// The other party's user, or host.
    party: &'a str,
    /// What it did.
    app: &'a str,
    /// How it ended: `hung-up`, `remote-hung-up`, `cancelled`, `rejected`, `no-answer`, `no-ack`,
    /// `media-timeout`, `handshake-failed`, `session-expired`, `max-length`, `shutdown`,
    /// `transport-failed`.
    reason: &'a str,
    /// The status of SIP, where it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// From its first message to the answer, ms. Absent: it was not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_up_ms: Option<u64>,
    /// From the answer to the end, ms.
    talked_ms: u64,
    /// The codec that we sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<&'a str>,
    /// The figures of its media.
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<Figures>,
}

/// A recording.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RecordingBody {
    /// Counts the recordings since the start.
    number: u64,
    /// Its call.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    /// Its bridge, where a program of `/ari` records one.
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge: Option<String>,
    /// The file.
    file: String,
    /// How long it is, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    length_ms: Option<u64>,
    /// Why it broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What is recorded.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// What a call's party says, or both sides of it.
    Call(CallHandle),
    /// What is heard in the bridge of this name.
    Bridge(String),
}

/// What becomes of a recording.
#[derive(Clone, Copy, Debug)]
pub enum RecordingChange<'a> {
    /// Its file is open.
    Started,
    /// It is complete, so long.
    Ended(Duration),
    /// It broke off: why.
    Failed(&'a str),
}

impl ApiEvent<'_> {
    fn topic(&self) -> &'static str {
        match self {
            ApiEvent::Started { .. } => "call.started",
            ApiEvent::Answered { .. } => "call.answered",
            ApiEvent::Digit { .. } => DIGIT,
            ApiEvent::Failed { .. } => "call.failed",
            ApiEvent::Ended { .. } => "call.ended",
            ApiEvent::Refused { .. } => "call.refused",
            ApiEvent::RecordingStarted { .. } => "recording.started",
            ApiEvent::RecordingEnded { .. } => "recording.ended",
            ApiEvent::RecordingFailed { .. } => "recording.failed",
            ApiEvent::Room { .. } => "room",
            ApiEvent::RoomRecording { .. } => "room.recording",
            ApiEvent::Talkers { .. } => TALKERS,
            ApiEvent::BanAdded { .. } => "ban.added",
            ApiEvent::BanLifted { .. } => "ban.lifted",
        }
    }
}

impl State {
    fn tell(&mut self, event: &ApiEvent<'_>) {
        self.publish(event.topic(), event);
    }
}

impl Api {
    /// Something happened in the switch.
    pub fn on_event(&mut self, event: &Event, switch: &mut Switch, now: Instant) {
        self.state.counters.count(event);
        self.state.ari_event(event, switch, now);
        // Without readers an event costs no more than its counting.
        if !self.state.has_readers() {
            return;
        }
        let state = &mut self.state;
        let time = state.clock.text(now);
        let time = time.as_str();
        let failed = |call_id, what, error| ApiEvent::Failed {
            time,
            call_id,
            what,
            error,
        };
        let event = match event {
            // As it was when it began: it may be over already.
            Event::Started {
                call,
                call_id,
                flow,
                party,
                is_outgoing,
                app,
            } => {
                let (who, what) = ((*call, &**call_id, &**party), (flow, *is_outgoing, *app));
                let call = Box::new(CallBody::begun(who, what, state, now));
                ApiEvent::Started { time, call }
            }
            Event::Answered { call, .. } => {
                let Some(call) = body(*call, switch, state, now) else {
                    return;
                };
                ApiEvent::Answered { time, call }
            }
            Event::Digit { call, digit } => ApiEvent::Digit {
                time,
                id: state.call_id(*call),
                digit: digit.as_char().to_string(),
            },
            Event::Ended(summary) => ApiEvent::Ended {
                time,
                call: Box::new(ended(summary, state)),
            },
            Event::Refused { flow, status, user } => ApiEvent::Refused {
                time,
                peer: flow.remote.to_string(),
                status: *status,
                user,
            },
            Event::Room(event) => ApiEvent::Room {
                time,
                change: Box::new(RoomEventBody::of(event, state)),
            },
            Event::RoomRecording(event) => ApiEvent::RoomRecording {
                time,
                change: Box::new(RoomRecordingBody::of(event)),
            },
            Event::Talkers(talk) if state.is_read(TALKERS) => ApiEvent::Talkers {
                time,
                talk: Box::new(TalkersBody::of(talk, state)),
            },
            Event::RtcpFailed { call_id, error } => failed(call_id, "rtcp", error),
            Event::RekeyFailed { call_id, error } => failed(call_id, "keys", error),
            Event::PlayFailed { call_id, error } => failed(call_id, "play", error),
            Event::RecordingFailed { call_id, error } => failed(call_id, "record", error),
            Event::DigitsNotSent { call_id, error } => failed(call_id, "digits", error),
            Event::MediaFailed { call_id, error } => failed(call_id, "media", error),
            Event::PinRefused { .. }
            | Event::RoomPinRefused { .. }
            | Event::Stats { .. }
            | Event::Progress { .. }
            | Event::Entered { .. }
            | Event::Left { .. }
            | Event::Reported { .. }
            | Event::Talkers(_)
            | Event::Talking { .. }
            | Event::Held { .. }
            | Event::Text(..)
            | Event::BridgePlayFailed { .. }
            | Event::Bridge { .. } => return,
        };
        state.tell(&event);
    }

    /// What programs call a bridge.
    pub fn bridge_name(&self, bridge: BridgeNumber) -> String {
        self.state.ari.bridge_name(bridge)
    }

    /// Something became of a recording.
    pub fn on_recording(
        &mut self,
        (number, recorded, file): (u64, &Recorded, &Path),
        change: RecordingChange<'_>,
        now: Instant,
    ) {
        let state = &mut self.state;
        state.counters.recording(&change);
        let (call, bridge) = match recorded {
            Recorded::Call(call) => (Some(state.call_id(*call)), None),
            Recorded::Bridge(name) => (None, Some(name.clone())),
        };
        let mut recording = RecordingBody {
            number,
            call,
            bridge,
            file: file.display().to_string(),
            length_ms: None,
            error: None,
        };
        let time = &state.clock.text(now);
        let event = match change {
            RecordingChange::Started => ApiEvent::RecordingStarted { time, recording },
            RecordingChange::Ended(length) => {
                recording.length_ms = Some(ms(length));
                ApiEvent::RecordingEnded { time, recording }
            }
            RecordingChange::Failed(error) => {
                recording.error = Some(error.to_owned());
                ApiEvent::RecordingFailed { time, recording }
            }
        };
        state.tell(&event);
    }

    /// A source was banned.
    pub fn on_ban(&mut self, ban: &Ban, now: Instant) {
        self.state.counters.banned(ban.reason.word());
        let time = &self.state.clock.text(now);
        let ban = BanBody::of(ban, now);
        self.state.tell(&ApiEvent::BanAdded { time, ban });
    }

    /// A ban was ended by somebody.
    pub fn on_ban_lifted(&mut self, source: std::net::IpAddr, now: Instant) {
        let time = &self.state.clock.text(now);
        let address = source.to_string();
        self.state.tell(&ApiEvent::BanLifted { time, address });
    }
}

fn body(call: CallHandle, switch: &Switch, state: &State, now: Instant) -> Option<Box<CallBody>> {
    let view = switch.view(call)?;
    Some(Box::new(CallBody::of(&view, state, now)))
}

fn ended<'a>(summary: &'a Summary, state: &State) -> EndedBody<'a> {
    EndedBody {
        id: state.call_id(summary.call),
        call_id: &summary.call_id,
        party: &summary.party,
        app: summary.app,
        reason: summary.reason.word(),
        status: match &summary.reason {
            EndReason::Rejected(status, _) => Some(*status),
            _ => None,
        },
        set_up_ms: summary.set_up.map(ms),
        talked_ms: ms(summary.talked),
        codec: summary.codec,
        media: summary.stats.as_ref().map(Figures::of),
    }
}

fn ms(length: Duration) -> u64 {
    length.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_declared_and_is_what_the_event_says() {
        let time = "";
        let event = ApiEvent::BanLifted {
            time,
            address: String::new(),
        };
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(value["type"], event.topic());
        let schema = schemars::schema_for!(ApiEvent<'_>);
        let mut declared: Vec<_> = schema.as_value()["oneOf"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                one["properties"]["type"]["const"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        let mut types = TYPES.to_vec();
        types.sort_unstable();
        declared.sort_unstable();
        assert_eq!(declared, types);
    }
}
