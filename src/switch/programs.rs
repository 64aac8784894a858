//! What programs do with calls: everything here is asked from outside, and answered at once.

use std::time::{Duration, Instant};

use super::bridges::BridgeNumber;
use super::recorded::Whose;
use super::{Entry, Event, Output, Switch};
use crate::app::{AppSpec, Order, Report, StasisSpec};
use crate::audio::process::ProcessSettings;
use crate::call::{Call, CallHandle, EndReason, Originate};
use crate::leg::{Feed, TalkWatch};
use crate::sip::message::Request;
use crate::sip::transport::Flow;
use crate::worker::Command;

/// A gain by which nothing is left of 16 bits.
const SILENT_DB: i8 = i8::MIN;

/// Why something that a program wants cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// There is no such call.
    #[error("there is no such call")]
    NoCall,
    /// The call is not a program's.
    #[error("the call is not in a Stasis application")]
    NotDriven,
    /// The call is not that far, or is over.
    #[error("the call's state does not allow it")]
    WrongState,
    /// There is no such bridge.
    #[error("there is no such bridge")]
    NoBridge,
    /// The call is in no bridge, or in another one.
    #[error("the call is not in this bridge")]
    NotInBridge,
    /// There are as many as there may be.
    #[error("there are as many as there may be")]
    Full,
    /// No route has such an extension, or one that takes running calls.
    #[error("no route leads to this extension")]
    NoRoute,
    /// The configuration does not let media go there.
    #[error("ari.external_media does not allow this address")]
    Forbidden,
}

/// What of a call is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Muted {
    /// What its party says.
    pub said: bool,
    /// What its party hears of others.
    pub heard: bool,
}

/// What the switch keeps of a call that a program drives.
#[derive(Debug, Default)]
pub(super) struct Driven {
    /// The program knows of it.
    pub entered: bool,
    /// The bridge that it is in, or on its way to.
    pub bridge: Option<BridgeNumber>,
    /// It has arrived there.
    pub arrived: bool,
    pub muted: Muted,
    /// It is told when its party begins and ceases to talk.
    pub talk: Option<TalkWatch>,
    /// Who listens in on it, and on whom it does.
    pub snoops: Vec<CallHandle>,
    pub snoops_on: Option<CallHandle>,
    /// Its leg's end of that, until the leg opens.
    pub feed: Option<Box<Feed>>,
}

impl Entry {
    /// How its audio is processed: as it is to be, and silent where it is muted.
    pub(super) fn heard_and_said(&self) -> ProcessSettings {
        let (said, heard) = self.room_gains;
        let mut settings = self.process;
        settings.gain_in_db = settings.gain_in_db.saturating_add(said);
        settings.gain_out_db = settings.gain_out_db.saturating_add(heard);
        if self.driven.muted.said {
            settings.gain_in_db = SILENT_DB;
        }
        if self.driven.muted.heard {
            settings.gain_out_db = SILENT_DB;
        }
        settings
    }
}

impl Switch {
    /// Places a call to `uri` on `flow`, or where that fails on one of the alternatives.
    pub fn originate(
        &mut self,
        uri: String,
        from_user: String,
        flow: Flow,
        alternatives: Vec<Flow>,
        spec: AppSpec,
        now: Instant,
    ) -> CallHandle {
        let handle = self.place(uri, from_user, flow, alternatives, spec, now);
        self.settle(now);
        handle
    }

    pub(super) fn place(
        &mut self,
        uri: String,
        from_user: String,
        flow: Flow,
        alternatives: Vec<Flow>,
        spec: AppSpec,
        now: Instant,
    ) -> CallHandle {
        let handle = self.next_handle();
        let originate = Originate {
            uri,
            from_user,
            flow,
            alternatives,
            spec,
            call_id: self.endpoint.new_call_id(),
            local_tag: self.endpoint.new_tag(),
        };
        let mut call = Call::outgoing(handle, self.call_settings.clone(), originate, now);
        call.set_trusted(|address| self.endpoint.trusts(address));
        self.add_call(call);
        handle
    }

    /// The INVITE that a call began with.
    pub fn invite(&self, handle: CallHandle) -> Option<&Request> {
        self.calls.get(&handle).map(|entry| entry.call.invite())
    }

    /// Which program drives a call.
    pub fn program(&self, handle: CallHandle) -> Option<&StasisSpec> {
        match self.calls.get(&handle)?.call.spec() {
            AppSpec::Stasis(spec) => Some(spec),
            _ => None,
        }
    }

    pub(super) fn driven(&self, handle: CallHandle) -> Result<(), ProgramError> {
        if !self.calls.contains_key(&handle) {
            return Err(ProgramError::NoCall);
        }
        let driven = self.program(handle).is_some();
        driven.then_some(()).ok_or(ProgramError::NotDriven)
    }

    /// Tells the caller that somebody is alerted.
    pub fn ring(&mut self, handle: CallHandle, now: Instant) -> Result<(), ProgramError> {
        self.driven(handle)?;
        let rung = self.with_call(handle, |call| call.ring(now));
        self.settle(now);
        rung.filter(|rung| *rung)
            .map(drop)
            .ok_or(ProgramError::WrongState)
    }

    /// Answers a call that came in.
    pub fn answer(&mut self, handle: CallHandle, now: Instant) -> Result<(), ProgramError> {
        self.driven(handle)?;
        let answered = self.with_call(handle, |call| call.answer_now(now));
        self.settle(now);
        answered
            .filter(|answered| *answered)
            .map(drop)
            .ok_or(ProgramError::WrongState)
    }

    /// Ends a call; one that is not answered yet gets this status.
    pub fn hang_up_with(
        &mut self,
        handle: CallHandle,
        status: u16,
        now: Instant,
    ) -> Result<(), ProgramError> {
        let is_up = self.calls.get(&handle).map(|e| e.call.is_answered());
        let reason = if is_up.ok_or(ProgramError::NoCall)? {
            EndReason::HungUp
        } else {
            crate::call::rejected(status)
        };
        self.with_call(handle, |call| call.end(reason));
        self.settle(now);
        Ok(())
    }

    /// Has a call do something, once it is answered and what was ordered before is done.
    pub fn order(
        &mut self,
        handle: CallHandle,
        order: Order,
        now: Instant,
    ) -> Result<(), ProgramError> {
        self.takes_orders(handle)?;
        self.with_call(handle, |call| call.order(order, now));
        self.settle(now);
        Ok(())
    }

    /// Whether a call can be had to do anything now.
    pub fn takes_orders(&self, handle: CallHandle) -> Result<(), ProgramError> {
        self.driven(handle)?;
        let entry = self.calls.get(&handle);
        let is_up = entry.is_some_and(|entry| entry.call.takes_orders());
        is_up.then_some(()).ok_or(ProgramError::WrongState)
    }

    /// Gives up a call that we have placed where nobody answers in this time.
    pub fn ring_at_most(&mut self, handle: CallHandle, time: Duration, now: Instant) {
        self.with_call(handle, |call| call.ring_at_most(time, now));
        self.settle(now);
    }

    /// What of a call is silent.
    pub fn muted(&self, handle: CallHandle) -> Muted {
        let entry = self.calls.get(&handle);
        entry.map_or_else(Muted::default, |entry| entry.driven.muted)
    }

    /// Changes what of a call is silent.
    pub fn mute(
        &mut self,
        handle: CallHandle,
        muted: Muted,
        now: Instant,
    ) -> Result<(), ProgramError> {
        self.driven(handle)?;
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.driven.muted = muted;
            let settings = entry.process;
            self.process(handle, settings);
        }
        self.settle(now);
        Ok(())
    }

    /// Tells when a call's party begins and ceases to talk, or no longer.
    pub fn watch_talk(
        &mut self,
        handle: CallHandle,
        watch: Option<TalkWatch>,
    ) -> Result<(), ProgramError> {
        self.driven(handle)?;
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.driven.talk = watch;
        }
        self.media(handle, |leg| Command::WatchTalk(leg, watch));
        Ok(())
    }

    /// Sends the other side elsewhere: by 302 before the answer, by REFER after it.
    pub fn redirect(
        &mut self,
        handle: CallHandle,
        uri: &str,
        now: Instant,
    ) -> Result<(), ProgramError> {
        self.driven(handle)?;
        let sent = self.with_call(handle, |call| call.redirect(uri));
        self.settle(now);
        sent.filter(|sent| *sent)
            .map(drop)
            .ok_or(ProgramError::WrongState)
    }

    /// Has a call go on as if this extension had been dialled; without one it ends.
    pub fn go_on(
        &mut self,
        handle: CallHandle,
        extension: Option<&str>,
        now: Instant,
    ) -> Result<(), ProgramError> {
        self.driven(handle)?;
        let Some(extension) = extension else {
            self.leave_program(handle, now);
            return self.hang_up_with(handle, 480, now);
        };
        let source = self.calls.get(&handle).map(|e| e.call.flow().remote.ip());
        let spec = source.and_then(|source| self.routes.resolve(extension, source));
        let spec = spec.ok_or(ProgramError::NoRoute)?;
        // What it plays would have to be in the request.
        if matches!(spec, AppSpec::Announcement(_)) {
            return Err(ProgramError::NoRoute);
        }
        self.hand_on(handle, spec, now);
        Ok(())
    }

    /// Hands a call to another program.
    pub fn move_to(
        &mut self,
        handle: CallHandle,
        spec: StasisSpec,
        now: Instant,
    ) -> Result<(), ProgramError> {
        self.driven(handle)?;
        self.hand_on(handle, AppSpec::Stasis(spec), now);
        Ok(())
    }

    /// A call's program is not there: the call goes on at this extension, or ends.
    pub fn fall_back(&mut self, handle: CallHandle, extension: Option<&str>, now: Instant) {
        match self.otherwise(handle, extension) {
            Some(spec) => {
                self.with_call(handle, |call| call.hand_on(spec, now));
                self.settle(now);
            }
            None => {
                // It is there: its program was to be told of it.
                let _ = self.hang_up_with(handle, 503, now);
            }
        }
    }

    pub(super) fn hand_on(&mut self, handle: CallHandle, spec: AppSpec, now: Instant) {
        self.leave_program(handle, now);
        self.with_call(handle, |call| call.hand_on(spec, now));
        self.enter_program(handle);
        self.settle(now);
    }

    /// A call is out of its program's hands: nothing is played to it or recorded any more.
    pub(super) fn leave_program(&mut self, handle: CallHandle, now: Instant) {
        self.leave_bridge(handle, now);
        self.give_up_play(handle);
        let app = self.program(handle).map(|spec| spec.app.clone());
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        entry.loading = None;
        let watched = entry.driven.talk.take().is_some();
        let muted = std::mem::take(&mut entry.driven.muted);
        let entered = std::mem::take(&mut entry.driven.entered);
        let settings = entry.process;
        self.media(handle, Command::StopPlay);
        self.stop_record(handle);
        // Whatever has the call next has asked for no recording.
        self.orphan_recordings(Whose::Call(handle));
        let entry = self.calls.get_mut(&handle);
        if let Some(recording) = entry.and_then(|e| e.recording.take()) {
            self.recordings.remove(&recording.number);
        }
        if muted != Muted::default() {
            self.process(handle, settings);
        }
        if watched {
            self.media(handle, |leg| Command::WatchTalk(leg, None));
        }
        if let Some(app) = app.filter(|_| entered) {
            let event = Event::Left { call: handle, app };
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Tells a call's program that there is such a call, once.
    pub(super) fn enter_program(&mut self, handle: CallHandle) {
        let Some(StasisSpec { app, args, .. }) = self.program(handle).cloned() else {
            return;
        };
        if let Some(entry) = self.calls.get_mut(&handle)
            && !std::mem::replace(&mut entry.driven.entered, true)
        {
            let event = Event::Entered {
                call: handle,
                app,
                args,
            };
            self.outputs.push_back(Output::Event(event));
        }
    }

    pub(super) fn reported(&mut self, handle: CallHandle, report: Report) {
        let event = Event::Reported {
            call: handle,
            report,
        };
        self.outputs.push_back(Output::Event(event));
    }
}
