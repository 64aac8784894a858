//! Carries out what an application wants.

use std::time::{Duration, Instant};

use super::bridge_media::{play_control, record_control};
use super::loading::Loading;
use super::message::{MailboxRequest, RecordTarget};
use super::recorded::{Recording, Whose};
use super::{Output, Switch};
use crate::app::{
    Action, AppSpec, DtmfMethod, Happened, MenuSpec, PlayChange, PlayId, PlayItem, PlayOutcome,
    RecordChange, RecordOutcome,
};
use crate::audio::player::PlayControl;
use crate::call::{CallHandle, EndReason};
use crate::dtmf::Digit;
use crate::leg::player::Play;
use crate::leg::tap::Tap;
use crate::leg::{Dial, DialEnd, DialMethod, DigitString};
use crate::worker::Command;

impl Switch {
    pub(super) fn act(&mut self, handle: CallHandle, action: Action, now: Instant) {
        match action {
            Action::Play {
                id,
                items,
                repeat,
                gap,
            } => self.play(handle, id, items, repeat, gap),
            Action::StopPlay => {
                self.give_up_play(handle);
                if let Some(entry) = self.calls.get_mut(&handle)
                    // What is still being loaded is not wanted any more.
                    && let Some(loading) = entry.loading.take()
                    && matches!(entry.call.spec(), AppSpec::Stasis(_))
                {
                    let stopped =
                        Happened::PlayEnded(loading.id, PlayOutcome::Stopped, Duration::ZERO);
                    self.with_call(handle, |c| c.happened(&stopped, now));
                }
                self.media(handle, Command::StopPlay);
            }
            Action::Record { file, max, silence } => {
                let trusted = self
                    .calls
                    .get(&handle)
                    .is_some_and(|e| matches!(e.call.spec(), AppSpec::Script(_)));
                let target = RecordTarget::File { file, trusted };
                self.record(handle, target, max, silence);
            }
            Action::LeaveMessage {
                mailbox,
                max,
                silence,
            } => self.record(
                handle,
                RecordTarget::Message { mailbox },
                Some(max),
                silence,
            ),
            Action::RecordNamed {
                order,
                name,
                overwrite,
                max,
                silence,
            } => {
                let target = RecordTarget::Named { name, overwrite };
                self.record(handle, target, max, silence);
                let entry = self.calls.get_mut(&handle);
                if let Some(recording) = entry.and_then(|e| e.recording.as_mut()) {
                    recording.order = Some(order);
                }
            }
            Action::DiscardRecord => self.discard_recording(Whose::Call(handle)),
            Action::StopRecord => self.stop_record(handle),
            Action::ControlPlay(change) => self.control_play(handle, change),
            Action::ControlRecord(change) => self.control_record(handle, change),
            Action::Report(report) => self.reported(handle, report),
            Action::Echo(on) => {
                self.media(handle, |leg| Command::Echo(leg, on));
            }
            Action::Join(entrant) => self.join(handle, entrant, now),
            Action::Room(request) => self.room_request(handle, request, now),
            Action::LeaveRoom => self.quit_room(handle, now),
            Action::UnlockRoom(tried) => self.unlock_room(handle, &tried, now),
            Action::RecordName { max, silence } => {
                self.record(handle, RecordTarget::Name, Some(max), Some(silence));
            }
            Action::GoTo(menu) => self.go_to(handle, &menu, now),
            Action::SendDigits {
                digits,
                method,
                tone,
                pause,
            } => self.dial(handle, &digits, method, (tone, pause)),
            Action::Unlock { mailbox, right } => self.unlock(handle, &mailbox, right, now),
            Action::ListMessages(mailbox) => self.mailbox(handle, MailboxRequest::List { mailbox }),
            Action::SaveMessage { mailbox, id } => {
                self.mailbox(handle, MailboxRequest::Save { mailbox, id });
            }
            Action::DeleteMessage { mailbox, id } => {
                self.mailbox(handle, MailboxRequest::Delete { mailbox, id });
            }
            // The call itself carries this out.
            Action::HangUp => {}
        }
    }

    fn play(
        &mut self,
        handle: CallHandle,
        id: PlayId,
        items: Vec<PlayItem>,
        repeat: u32,
        gap: Duration,
    ) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let files = items.iter().filter_map(|item| match item {
            PlayItem::File(path) => Some(path.clone()),
            _ => None,
        });
        entry.playing = files.collect();
        // Applications number their own from the start, one after the other in a call.
        entry.plays = entry.plays.wrapping_add(1);
        let number = PlayId(entry.plays);
        entry.loading = Some(Loading::new(number, id));
        self.outputs.push_back(Output::Play {
            call: handle,
            id: number,
            items,
            repeat,
            gap,
        });
    }

    /// A play is ready: it starts, unless it was stopped or replaced meanwhile.
    pub(super) fn play_ready(
        &mut self,
        handle: CallHandle,
        number: PlayId,
        mut play: Box<Play>,
        now: Instant,
    ) {
        if let Some(entry) = self.calls.get_mut(&handle)
            && let Some(loading) = entry.loading.take_if(|wanted| wanted.number == number)
        {
            let Loading { id, paused, .. } = loading;
            play.id = u64::from(entry.call.run_number()) << 32 | u64::from(id.0);
            self.media(handle, |leg| Command::Play(leg, play));
            if paused {
                let pause = PlayControl::Pause;
                self.media(handle, |leg| Command::ControlPlay(leg, pause));
            }
            // Whatever that has the application do comes behind the play.
            self.with_call(handle, |c| c.happened(&Happened::PlayBegan(id), now));
        }
    }

    /// Pauses what a call plays, or moves within it. What was heard before one that is still being
    /// looked for is not meant.
    fn control_play(&mut self, handle: CallHandle, change: PlayChange) {
        let entry = self.calls.get_mut(&handle);
        if let Some(loading) = entry.and_then(|entry| entry.loading.as_mut()) {
            loading.change(change);
            return;
        }
        let control = play_control(change);
        self.media(handle, |leg| Command::ControlPlay(leg, control));
    }

    /// Pauses what a call records, or goes on; one whose file is still being opened begins like that.
    fn control_record(&mut self, handle: CallHandle, change: RecordChange) {
        let control = record_control(change);
        let entry = self.calls.get_mut(&handle);
        match entry.and_then(|entry| entry.recording.as_mut()) {
            Some(recording) if !recording.running => recording.control = Some(control),
            _ => {
                self.media(handle, |leg| Command::ControlRecord(leg, control));
            }
        }
    }

    fn record(
        &mut self,
        handle: CallHandle,
        target: RecordTarget,
        max: Option<Duration>,
        silence: Option<Duration>,
    ) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let number = self.next_recording;
        self.next_recording += 1;
        entry.recording = Some(Recording::new(number, None));
        match target {
            RecordTarget::Message { .. } => entry.message = Some(number),
            RecordTarget::Name => {
                entry.naming = Some(number);
                entry.names.push(number);
            }
            RecordTarget::File { .. } | RecordTarget::Named { .. } => {}
        }
        self.recordings.insert(number, handle);
        self.outputs.push_back(Output::Record {
            call: handle,
            recording: number,
            target,
            max,
            silence,
            caller: entry.party.clone(),
            call_id: entry.call.call_id().to_owned(),
        });
    }

    pub(super) fn stop_record(&mut self, handle: CallHandle) {
        let recording = self
            .calls
            .get_mut(&handle)
            .and_then(|e| e.recording.as_mut());
        match recording {
            // Its file is still being opened.
            Some(recording) if !recording.running => recording.stop = true,
            _ => {
                self.media(handle, Command::StopRecord);
            }
        }
    }

    /// The file of a recording is open: it starts, unless it was stopped meanwhile.
    pub(super) fn record_ready(&mut self, number: u64, mut tap: Tap, now: Instant) {
        let handle = self.recordings.get(&number).copied();
        let entry = handle.and_then(|handle| self.calls.get_mut(&handle));
        let recording = entry.and_then(|e| e.recording.as_mut());
        match (handle, recording.filter(|r| r.number == number)) {
            (Some(handle), Some(recording)) if !recording.stop => {
                recording.running = true;
                if let Some(control) = recording.control {
                    tap.control(control);
                }
                if self.media(handle, |leg| Command::Record(leg, tap)) {
                    return;
                }
            }
            (Some(handle), Some(_)) => {
                self.recordings.remove(&number);
                let entry = self.calls.get_mut(&handle);
                let kept = entry.and_then(|entry| entry.recording.take());
                self.nothing_recorded(handle, kept, RecordOutcome::Stopped, now);
            }
            _ => {}
        }
        self.outputs.push_back(Output::CloseRecording {
            recording: number,
            samples: 0,
        });
    }

    /// INFO is the call's own business and does not come here.
    fn dial(
        &mut self,
        handle: CallHandle,
        digits: &[Digit],
        method: DtmfMethod,
        (tone, pause): (Duration, Duration),
    ) {
        let method = match method {
            DtmfMethod::Auto | DtmfMethod::Info => DialMethod::Auto,
            DtmfMethod::Rfc4733 => DialMethod::Events,
            DtmfMethod::Inband => DialMethod::Tones,
        };
        let ms = |d: Duration| d.as_millis().min(u128::from(u32::MAX)) as u32;
        let digits = DigitString::new(digits.iter().copied());
        let dial = Box::new(Dial::new(0, digits, method, ms(tone), ms(pause)));
        self.media(handle, |leg| Command::Dial(leg, dial));
    }

    /// A call goes on in a menu; where there is no such menu any more, it ends.
    fn go_to(&mut self, handle: CallHandle, menu: &str, now: Instant) {
        let start = self.menus.iter().position(|known| known.name == menu);
        let spec = start.map(|start| {
            AppSpec::Menu(MenuSpec {
                menus: self.menus.clone(),
                start,
            })
        });
        self.with_call(handle, |call| match spec {
            Some(spec) => call.run(&spec, now),
            None => call.end(EndReason::HungUp),
        });
    }

    pub(super) fn dialled(&mut self, handle: CallHandle, end: DialEnd, now: Instant) {
        let result = match end {
            DialEnd::Finished => Ok(()),
            DialEnd::Stopped => Err("stopped".to_owned()),
            DialEnd::NotNegotiated => Err(
                "the other side takes no telephone events (RFC 4733); other methods are inband and info"
                    .to_owned(),
            ),
        };
        self.with_call(handle, |c| c.digits_sent(result, now));
    }
}
