//! What programs are told, each of what it is concerned with.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::state::{Ari, Channel, Kind, Target};
use super::view;
use crate::api::State;
use crate::app::{OrderEnd, Report};
use crate::call::CallHandle;
use crate::dtmf::Digit;
use crate::sip::header::NameAddr;
use crate::switch::{BridgeEvent, BridgeNumber, Event, Summary, Switch};

/// Digits are told when they begin: their length is not known, and this is told, ms.
const DIGIT_MS: u64 = 100;

/// Whom an event is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Concerns<'a> {
    Channel(CallHandle),
    Bridge(&'a str),
    Both(CallHandle, &'a str),
    /// This program alone.
    App(&'a str),
    /// These programs.
    Apps(&'a [String]),
    /// Who is subscribed to this.
    Source(&'a str),
}

impl State {
    /// Tells an event to the programs that it is for.
    pub(super) fn tell_programs(
        &mut self,
        concerns: Concerns<'_>,
        kind: &str,
        fields: Value,
        now: Instant,
    ) {
        if self.ari.apps.is_empty() {
            return;
        }
        let mut event = json!({"type": kind, "timestamp": view::time(&self.clock, now)});
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        for name in self.ari.concerned(concerns) {
            let Some(app) = self.ari.apps.get(&name) else {
                continue;
            };
            let wanted = app.allowed.is_empty() || app.allowed.contains(kind);
            if wanted
                && !app.refused.contains(kind)
                && let Some(topic) = app.topic.clone()
            {
                event["application"] = json!(name);
                self.publish(topic, &event);
            }
        }
    }

    fn tell_of_channel(&mut self, call: CallHandle, kind: &str, mut fields: Value, now: Instant) {
        if let Some(channel) = self.ari.channels.get(&call) {
            fields["channel"] = view::channel(channel, &self.clock);
            self.tell_programs(Concerns::Channel(call), kind, fields, now);
        }
    }

    /// A channel has another state.
    pub(super) fn set_state(&mut self, call: CallHandle, state: &'static str, now: Instant) {
        let channel = self.ari.channels.get_mut(&call);
        let changed = channel.is_some_and(|c| std::mem::replace(&mut c.state, state) != state);
        if changed {
            self.tell_of_channel(call, "ChannelStateChange", json!({}), now);
        }
    }

    /// A variable has a value.
    pub(super) fn tell_variable(
        &mut self,
        call: CallHandle,
        name: &str,
        value: &str,
        now: Instant,
    ) {
        let fields = json!({"variable": name, "value": value});
        self.tell_of_channel(call, "ChannelVarset", fields, now);
    }

    /// A bridge, as it is now.
    pub(super) fn tell_of_bridge(
        &mut self,
        id: &str,
        kind: &str,
        channel: Option<CallHandle>,
        switch: &Switch,
        now: Instant,
    ) {
        let Some(bridge) = self.ari.bridges.get(id) else {
            return;
        };
        let mut fields = json!({
            "bridge": view::bridge_now(bridge, switch, &self.ari, &self.clock),
        });
        let concerns = match channel.and_then(|call| Some((call, self.ari.channels.get(&call)?))) {
            Some((call, channel)) => {
                fields["channel"] = view::channel(channel, &self.clock);
                Concerns::Both(call, id)
            }
            None => Concerns::Bridge(id),
        };
        self.tell_programs(concerns, kind, fields, now);
    }

    fn tell_of_task(&mut self, number: u32, now: Instant) {
        let Some(task) = self.ari.tasks.get(&number) else {
            return;
        };
        let body = view::task(task);
        let over = matches!(task.state, "done" | "canceled");
        let (field, kind) = match (&task.kind, task.state) {
            (Kind::Playback { .. }, "playing") => ("playback", "PlaybackStarted"),
            (Kind::Playback { .. }, _) => ("playback", "PlaybackFinished"),
            (Kind::Recording { .. }, "recording") => ("recording", "RecordingStarted"),
            (Kind::Recording { .. }, _) if over => ("recording", "RecordingFinished"),
            (Kind::Recording { .. }, _) => ("recording", "RecordingFailed"),
        };
        let (target, left) = (task.target.clone(), task.left.clone());
        let concerns = match (&left, &target) {
            (Some(apps), _) => Concerns::Apps(apps),
            (None, target) => target.concerns(),
        };
        self.tell_programs(concerns, kind, json!({field: body}), now);
    }

    /// How a play or a recording is getting on.
    pub(super) fn reported(&mut self, report: &Report, now: Instant) {
        match report {
            Report::Started(number) => {
                if let Some(task) = self.ari.tasks.get_mut(number) {
                    task.began = Some(now);
                    task.state = match task.kind {
                        Kind::Playback { .. } => "playing",
                        Kind::Recording { .. } => "recording",
                    };
                    self.tell_of_task(*number, now);
                }
            }
            Report::Ended(number, how, length) => {
                if let Some(task) = self.ari.tasks.get_mut(number) {
                    task.state = match how {
                        Ok(OrderEnd::Discarded) => "canceled",
                        Ok(_) => "done",
                        Err(_) => "failed",
                    };
                    task.cause = how.as_ref().err().cloned();
                    task.seconds = Some((length.as_millis() as u64 + 500) / 1000);
                }
                self.tell_of_task(*number, now);
                self.ari.tasks.remove(number);
            }
        }
    }

    /// What was played and recorded of something that is over. What has a file is told of when
    /// that is closed.
    pub(super) fn finish_tasks(&mut self, target: &Target, now: Instant) {
        for number in self.ari.tasks_of(target) {
            let Some(task) = self.ari.tasks.get(&number) else {
                continue;
            };
            let length = task.began.map_or_else(Default::default, |at| now - at);
            let how = match (&task.kind, task.began) {
                (Kind::Recording { .. }, Some(_)) => {
                    let apps = self.ari.concerned(target.concerns());
                    if let Some(task) = self.ari.tasks.get_mut(&number) {
                        task.left = Some(apps);
                    }
                    continue;
                }
                // There is no file of it.
                (Kind::Recording { .. }, None) => Err("it ended before that began".to_owned()),
                _ => Ok(OrderEnd::Finished),
            };
            let report = Report::Ended(number, how, length);
            self.reported(&report, now);
        }
    }

    /// Something happened in the switch.
    pub(in crate::api) fn ari_event(&mut self, event: &Event, switch: &mut Switch, now: Instant) {
        match event {
            Event::Started { call, .. } => self.channel_started(*call, switch, now),
            Event::Progress { call, status } if *status == 180 => {
                self.set_state(*call, "Ringing", now);
                self.dialled(*call, "RINGING", now);
            }
            Event::Answered { call, .. } => {
                self.set_state(*call, "Up", now);
                self.dialled(*call, "ANSWER", now);
            }
            Event::Entered { call, app, args } => self.entered(*call, app, args, switch, now),
            Event::Left { call, .. } => self.left_program(*call, now),
            Event::Reported { report, .. } => self.reported(report, now),
            Event::Digit { call, digit } => self.digit(*call, *digit, now),
            Event::Talking {
                call,
                talking,
                lasted,
            } => {
                let (kind, fields) = if *talking {
                    ("ChannelTalkingStarted", json!({}))
                } else {
                    let fields = json!({"duration": lasted.as_millis() as u64});
                    ("ChannelTalkingFinished", fields)
                };
                self.tell_of_channel(*call, kind, fields, now);
            }
            Event::Text(user, text) => {
                let message = json!({
                    "from": text.from,
                    "to": text.to,
                    "body": text.body,
                    "variables": {},
                });
                let endpoint = json!({
                    "technology": "PJSIP",
                    "resource": user,
                    "state": "unknown",
                    "channel_ids": [],
                });
                let fields = json!({"message": message, "endpoint": endpoint});
                let source = format!("endpoint:PJSIP/{user}");
                let concerns = Concerns::Source(&source);
                self.tell_programs(concerns, "TextMessageReceived", fields, now);
            }
            Event::Held { call, held } => {
                let kind = if *held {
                    "ChannelHold"
                } else {
                    "ChannelUnhold"
                };
                self.tell_of_channel(*call, kind, json!({}), now);
            }
            Event::Bridge { bridge, event } => self.bridged(*bridge, event, switch, now),
            Event::Ended(summary) => self.channel_ended(summary, now),
            _ => {}
        }
    }

    fn channel_started(&mut self, call: CallHandle, switch: &Switch, now: Instant) {
        if !self.ari.channels.contains_key(&call) {
            let id = self.call_id(call);
            self.adopt(call, id, switch, now);
        }
        self.tell_of_channel(call, "ChannelCreated", json!({}), now);
        self.dialled(call, "", now);
    }

    /// Makes a channel of a call, by this name.
    pub(super) fn adopt(&mut self, call: CallHandle, id: String, switch: &Switch, now: Instant) {
        let Some(invite) = switch.invite(call) else {
            return;
        };
        let outgoing = switch.view(call).is_some_and(|view| view.is_outgoing);
        let from = invite.headers.from().ok().map(|from| party(&from));
        let from = from.unwrap_or_default();
        let to = invite.headers.to().ok().map(|to| party(&to));
        let to = to.unwrap_or_default();
        let dialled = invite.parsed_uri().ok().and_then(|uri| uri.user);
        let exten = dialled.unwrap_or_else(|| to.1.clone());
        let (caller, connected) = if outgoing { (to, from) } else { (from, to) };
        let whose = if caller.1.is_empty() {
            "anonymous"
        } else {
            &caller.1
        };
        let channel = Channel {
            name: format!("PJSIP/{whose}-{:08x}", call.0),
            id: id.clone(),
            state: if outgoing { "Down" } else { "Ring" },
            protocol_id: invite.headers.call_id().unwrap_or_default().to_owned(),
            caller,
            connected: if outgoing {
                connected
            } else {
                Default::default()
            },
            exten: if outgoing { String::new() } else { exten },
            created: now,
            outgoing,
            app: None,
            start_missed: false,
            placed_by: None,
            variables: BTreeMap::default(),
            cause: None,
            music: None,
            held: false,
            language: "en".to_owned(),
        };
        self.ari.channels.insert(call, channel);
        self.ari.ids.insert(id, call);
    }

    /// How a call that we have placed gets on.
    fn dialled(&mut self, call: CallHandle, status: &str, now: Instant) {
        let Some(channel) = self.ari.channels.get(&call).filter(|c| c.outgoing) else {
            return;
        };
        let peer = view::channel(channel, &self.clock);
        let dialled = channel.caller.1.clone();
        let fields =
            json!({"peer": peer, "dialstatus": status, "dialstring": dialled, "forward": ""});
        self.tell_programs(Concerns::Channel(call), "Dial", fields, now);
    }

    fn entered(
        &mut self,
        call: CallHandle,
        app: &str,
        args: &[String],
        switch: &mut Switch,
        now: Instant,
    ) {
        let otherwise = switch.program(call).and_then(|spec| spec.otherwise.clone());
        let is_read = self.ari.is_read(app);
        let outgoing = self.ari.channels.get(&call).is_some_and(|c| c.outgoing);
        // Whom a program has called does not pay for its connection.
        let waits = !is_read && outgoing && switch.waits_for(app);
        let known = (is_read || waits) && self.ari.app(app).is_some();
        if !known {
            switch.fall_back(call, otherwise.as_deref(), now);
            return;
        }
        if let Some(channel) = self.ari.channels.get_mut(&call) {
            channel.app = Some((app.to_owned(), args.to_vec()));
            channel.start_missed = waits;
            channel.placed_by = None;
        }
        self.tell_of_channel(call, "StasisStart", json!({"args": args}), now);
    }

    /// Somebody reads again: programs are told of channels that came to them meanwhile.
    pub(in crate::api) fn tell_missed_starts(&mut self, now: Instant) {
        let ari = &self.ari;
        let is_told = |channel: &Channel| {
            let app = channel.app.as_ref().filter(|_| channel.start_missed);
            app.is_some_and(|(app, _)| ari.is_read(app))
        };
        let missed = ari.channels.iter().filter(|(_, channel)| is_told(channel));
        let missed: Vec<CallHandle> = missed.map(|(call, _)| *call).collect();
        for call in missed {
            let Some(channel) = self.ari.channels.get_mut(&call) else {
                continue;
            };
            channel.start_missed = false;
            let Some((app, args)) = channel.app.clone() else {
                continue;
            };
            let shown = view::channel(channel, &self.clock);
            let fields = json!({"args": args, "channel": shown});
            self.tell_programs(Concerns::App(&app), "StasisStart", fields, now);
        }
    }

    fn left_program(&mut self, call: CallHandle, now: Instant) {
        self.tell_left(call, now);
        self.forget_program(call);
    }

    fn tell_left(&mut self, call: CallHandle, now: Instant) {
        self.finish_tasks(&Target::Channel(call), now);
        let channel = self.ari.channels.get(&call);
        if channel.is_some_and(|c| c.app.is_some()) {
            self.tell_of_channel(call, "StasisEnd", json!({}), now);
        }
    }

    fn forget_program(&mut self, call: CallHandle) {
        let channel = self.ari.channels.get_mut(&call);
        let app = channel.and_then(|channel| {
            // Whatever has it next has asked for no music.
            (channel.music, channel.held) = (None, false);
            channel.app.take()
        });
        if let Some((app, _)) = app {
            self.ari.forget(&app);
        }
    }

    fn digit(&mut self, call: CallHandle, digit: Digit, now: Instant) {
        let fields = json!({"digit": digit.as_char().to_string(), "duration_ms": DIGIT_MS});
        self.tell_of_channel(call, "ChannelDtmfReceived", fields, now);
    }

    fn bridged(
        &mut self,
        number: BridgeNumber,
        event: &BridgeEvent,
        switch: &Switch,
        now: Instant,
    ) {
        if let BridgeEvent::Reported(report) = event {
            // Of one that is gone, too.
            return self.reported(report, now);
        }
        let Some(id) = self.ari.numbers.get(&number).cloned() else {
            return;
        };
        match event {
            BridgeEvent::Reported(_) => {}
            BridgeEvent::Entered(call) => {
                let channel = self.ari.channels.get(call);
                let app = channel
                    .and_then(|c| c.app.as_ref())
                    .map(|(app, _)| app.clone());
                if let (Some(app), Some(bridge)) = (app, self.ari.bridges.get_mut(&id)) {
                    bridge.apps.insert(app);
                }
                self.tell_of_bridge(&id, "ChannelEnteredBridge", Some(*call), switch, now);
            }
            BridgeEvent::Left(call) => {
                self.tell_of_bridge(&id, "ChannelLeftBridge", Some(*call), switch, now);
            }
            BridgeEvent::Destroyed => {
                self.finish_tasks(&Target::Bridge(id.clone()), now);
                self.tell_of_bridge(&id, "BridgeDestroyed", None, switch, now);
                self.ari.numbers.remove(&number);
                self.ari.bridges.remove(&id);
                let source = format!("bridge:{id}");
                for app in self.ari.apps.values_mut() {
                    app.subscriptions.remove(&source);
                }
            }
        }
    }

    fn channel_ended(&mut self, summary: &Summary, now: Instant) {
        let call = summary.call;
        let (mut cause, _) = view::cause(&summary.reason);
        if let Some(given) = self.ari.channels.get(&call).and_then(|c| c.cause) {
            cause = given;
        }
        if summary.reason == crate::call::EndReason::RemoteHungUp {
            let fields = json!({"cause": cause, "soft": false});
            self.tell_of_channel(call, "ChannelHangupRequest", fields, now);
        }
        let status = match cause {
            _ if summary.set_up.is_some() => None,
            17 => Some("BUSY"),
            18 | 19 => Some("NOANSWER"),
            16 => Some("CANCEL"),
            34 => Some("CONGESTION"),
            _ => Some("CHANUNAVAIL"),
        };
        if let Some(status) = status {
            self.dialled(call, status, now);
        }
        self.tell_left(call, now);
        // Whose it was is told this too.
        let fields = json!({"cause": cause, "cause_txt": view::cause_text(cause)});
        self.tell_of_channel(call, "ChannelDestroyed", fields, now);
        self.forget_program(call);
        if let Some(channel) = self.ari.channels.remove(&call) {
            self.ari.ids.remove(&channel.id);
            let source = format!("channel:{}", channel.id);
            for app in self.ari.apps.values_mut() {
                app.subscriptions.remove(&source);
            }
        }
    }
}

/// Name and number of a party.
fn party(address: &NameAddr) -> (String, String) {
    let user = address.sip_uri().and_then(|uri| uri.user.clone());
    let name = address.display.clone().unwrap_or_default();
    (name, user.unwrap_or_default())
}

impl Ari {
    /// The programs that an event is for.
    fn concerned(&self, concerns: Concerns<'_>) -> Vec<String> {
        let (call, bridge) = match concerns {
            Concerns::Channel(call) => (Some(call), None),
            Concerns::Bridge(id) => (None, Some(id)),
            Concerns::Both(call, id) => (Some(call), Some(id)),
            Concerns::App(name) => return vec![name.to_owned()],
            Concerns::Apps(names) => return names.to_vec(),
            Concerns::Source(source) => {
                let told = self.apps.iter();
                let told = told.filter(|(_, app)| app.all || app.subscriptions.contains(source));
                return told.map(|(name, _)| name.clone()).collect();
            }
        };
        let mut sources = BTreeSet::new();
        let mut whose = BTreeSet::new();
        if let Some(channel) = call.and_then(|call| self.channels.get(&call)) {
            sources.insert(format!("channel:{}", channel.id));
            sources.insert(format!("endpoint:PJSIP/{}", channel.caller.1));
            whose.extend(channel.app.iter().map(|(app, _)| app.as_str()));
            whose.extend(channel.placed_by.as_deref());
        }
        if let Some(bridge) = bridge.and_then(|id| self.bridges.get(id)) {
            sources.insert(format!("bridge:{}", bridge.id));
            whose.extend(bridge.apps.iter().map(String::as_str));
        }
        let told = self.apps.iter().filter(|(name, app)| {
            app.all || whose.contains(name.as_str()) || !app.subscriptions.is_disjoint(&sources)
        });
        told.map(|(name, _)| name.clone()).collect()
    }
}
