//! What calls want of files: plays, recordings, messages, announcements. Whatever blocks is done on
//! tokio's blocking threads and comes back as a [`Done`].

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::api::{Looked, Placing};
use super::core::Core;
use super::names::{MIN_NAME, name_path, remove_names};
use super::reload::{ReloadError, Reloaded};
use super::room_files::RoomDone;
use super::sources::{samples, samples_at, sources};
use crate::api::RecordingChange;
use crate::app::{Happened, MessageOutcome, PlayId, PlayItem};
use crate::audio::source::Source;
use crate::audio::{MediaTime, NARROWBAND};
use crate::call::CallHandle;
use crate::config::Config;
use crate::leg::player::Play;
use crate::leg::tap::{Tap, TapSettings, length};
use crate::net::resolve::Target;
use crate::net::sys;
use crate::store::layout;
use crate::store::recorder::{RecorderEvent, RecordingFormat, SpaceLimit};
use crate::store::voicemail::{MessageStore, NewMessage, Origin, StoreError};
use crate::switch::{BridgePlay, BridgeRecord, Input, MailboxRequest, Output, RecordTarget};

/// What a blocking task has found.
pub(super) enum Done {
    Reloaded(PathBuf, Result<Box<Reloaded>, ReloadError>),
    Loaded(Wanted, Result<Vec<Source>, String>),
    Opened(Opened),
    Mailbox(CallHandle, u64, Happened),
    MessageLeft(CallHandle, u64, MessageOutcome),
    Located(CallHandle, Option<Vec<PlayItem>>),
    Looked(Box<Looked>),
    BridgeLoaded(Box<BridgePlay>, Result<Vec<Source>, String>),
    BridgeOpened(BridgeRecord, u32, Result<PathBuf, String>),
    Room(RoomDone),
    Callee(Box<Placing>, Result<Vec<Target>, String>),
    Resolved(u64, String, Result<Vec<Target>, String>),
}

/// A play that is being loaded.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub call: CallHandle,
    pub id: PlayId,
    pub repeat: u32,
    pub gap: Duration,
}

/// A recording whose file is open, or not.
pub(super) struct Opened {
    recording: u64,
    max: Option<Duration>,
    silence: Option<Duration>,
    format: RecordingFormat,
    file: Result<PathBuf, (MessageOutcome, String)>,
}

/// A recording under way.
pub(super) struct Recorded {
    call: CallHandle,
    call_id: String,
    /// It is to be a message.
    message: Option<Message>,
    /// It is to be the spoken name of a call.
    name: Option<CallHandle>,
}

/// A message that is being left.
#[derive(Clone)]
struct Message {
    call: CallHandle,
    mailbox: String,
    from: Origin,
}

impl Core {
    /// A blocking task has ended.
    pub(super) fn on_done(&mut self, done: Done, now: Instant) {
        let input = match done {
            Done::Reloaded(path, result) => {
                self.adopt(&path, result);
                return;
            }
            Done::Loaded(wanted, sources) => {
                self.load_next(wanted.call);
                loaded(wanted, sources)
            }
            Done::Opened(opened) => self.opened(opened, now),
            Done::Mailbox(call, request, happened) => Input::Mailbox {
                call,
                request,
                happened,
            },
            Done::MessageLeft(call, recording, outcome) => Input::MessageLeft {
                call,
                recording,
                outcome,
            },
            Done::Located(call, items) => {
                self.fetching.remove(&call);
                Input::Located { call, items }
            }
            Done::Looked(looked) => return self.looked(*looked, now),
            Done::BridgeLoaded(wanted, found) => return self.bridge_loaded(&wanted, found, now),
            Done::BridgeOpened(wanted, rate, opened) => {
                return self.bridge_opened(&wanted, rate, opened, now);
            }
            Done::Room(done) => return self.room_done(done, now),
            Done::Callee(placing, targets) => {
                self.located_callee(*placing, targets, now);
                return;
            }
            Done::Resolved(dial, uri, targets) => {
                self.resolved(dial, &uri, targets, now);
                return;
            }
        };
        self.switch.handle(input, now);
        self.carry_out(now);
    }

    fn opened(&mut self, opened: Opened, now: Instant) -> Input {
        let recording = opened.recording;
        match opened.file {
            Ok(path) => {
                info!(recording, path = %path.display(), "recording");
                let recorded = self.recordings.get(&recording);
                if let Some(recorded) = recorded.filter(|r| r.name.is_none()) {
                    let which = (recording, recorded.call, path.as_path());
                    self.programs
                        .api
                        .on_recording(which, RecordingChange::Started, now);
                }
                let RecordingFormat { rate, stereo, .. } = opened.format;
                let samples = |time| samples_at(time, rate);
                let settings = TapSettings {
                    recording,
                    max_samples: opened.max.map(samples),
                    silence_stop_samples: opened.silence.map(samples),
                    start: MediaTime::ZERO,
                };
                let mut tap = Tap::new(settings, self.recorder.sender());
                if rate != NARROWBAND || stereo {
                    tap = tap.converting(rate, stereo);
                }
                Input::RecordReady { recording, tap }
            }
            Err((outcome, error)) => {
                self.discarded.remove(&recording);
                let recorded = self.recordings.remove(&recording);
                if let Some(recorded) = recorded.as_ref().filter(|r| r.name.is_none()) {
                    let directory = self.config.recording.directory.clone();
                    let which = (recording, recorded.call, directory.as_path());
                    let change = RecordingChange::Failed(&error);
                    self.programs.api.on_recording(which, change, now);
                }
                let message = recorded.and_then(|r| r.message);
                if let Some(Message { call, .. }) = message {
                    let input = Input::MessageLeft {
                        call,
                        recording,
                        outcome,
                    };
                    self.switch.handle(input, now);
                }
                Input::RecordingFailed { recording, error }
            }
        }
    }

    /// What is in memory starts at once: a stop that follows must not overtake it. Files are read
    /// elsewhere, one play of a call at a time: of those that come meanwhile the last is wanted.
    pub(super) fn play(&mut self, wanted: Wanted, items: Vec<PlayItem>, now: Instant) {
        let blocks = items.iter().any(|item| {
            matches!(
                item,
                PlayItem::File(_)
                    | PlayItem::Recording(_)
                    | PlayItem::Library(_)
                    | PlayItem::Web(_)
                    | PlayItem::Speech { .. }
            )
        });
        if !blocks {
            let directory = &self.config.recording.directory;
            let library = self.announcements.library();
            let sources = sources(&items, &self.prompts, library, directory);
            // What follows from it is carried out by who has called this.
            self.switch.handle(loaded(wanted, sources), now);
        } else if let Some(waiting) = self.loading.get_mut(&wanted.call) {
            *waiting = Some((wanted, items));
        } else {
            self.loading.insert(wanted.call, None);
            self.load(wanted, items);
        }
    }

    fn load(&mut self, wanted: Wanted, items: Vec<PlayItem>) {
        let prompts = self.prompts.clone();
        let announcements = self.announcements.clone();
        let directory = self.config.recording.directory.clone();
        let elsewhere =
            |item: &PlayItem| matches!(item, PlayItem::Web(_) | PlayItem::Speech { .. });
        if !items.iter().any(elsewhere) {
            self.spawn(move || {
                let library = announcements.library();
                Done::Loaded(wanted, sources(&items, &prompts, library, &directory))
            });
            return;
        }
        let done = self.done.clone();
        let task = tokio::spawn(async move {
            let read = announcements.sources(items, prompts, directory).await;
            // Refused only when the core is gone.
            let _ = done.send(Done::Loaded(wanted, read));
        });
        self.fetching.insert(wanted.call, task.abort_handle());
    }

    /// A play was read: another one of the call may have waited for it.
    fn load_next(&mut self, call: CallHandle) {
        self.fetching.remove(&call);
        match self.loading.get_mut(&call).map(Option::take) {
            Some(Some((wanted, items))) => self.load(wanted, items),
            _ => {
                self.loading.remove(&call);
            }
        }
    }

    /// Does on another thread what may block.
    pub(super) fn spawn(&self, work: impl FnOnce() -> Done + Send + 'static) {
        let done = self.done.clone();
        tokio::task::spawn_blocking(move || {
            // Refused only when the core is gone.
            let _ = done.send(work());
        });
    }

    pub(super) fn record(&mut self, output: Output) {
        let Output::Record {
            call,
            recording,
            target,
            max,
            silence,
            caller,
            call_id,
        } = output
        else {
            return;
        };
        let directory = self.config.recording.directory.clone();
        let name = (target == RecordTarget::Name).then_some(call);
        let mut format = RecordingFormat::wav(self.config.recording.rate);
        // What is played to others later has the one side of it.
        let is_kept = matches!(target, RecordTarget::File { .. } | RecordTarget::Named(_));
        format.stereo = self.config.recording.stereo && is_kept;
        let (path, message) = match target {
            RecordTarget::Name => (Ok(name_path(&directory, recording)), None),
            RecordTarget::File {
                file: Some(file),
                trusted: true,
            } => (Ok(file), None),
            RecordTarget::File {
                file: Some(file), ..
            } => {
                let name = layout::sanitise(&file.to_string_lossy());
                (Ok(directory.join(format!("{name}.wav"))), None)
            }
            RecordTarget::Named(name) => (Ok(directory.join(format!("{name}.wav"))), None),
            RecordTarget::File { file: None, .. } => {
                let now = SystemTime::now();
                let path = layout::recording_path(&directory, now, &caller, &call_id);
                (Ok(path), None)
            }
            RecordTarget::Message { mailbox } => {
                let from = Origin {
                    caller,
                    call_id: call_id.clone(),
                };
                let message = Message {
                    call,
                    mailbox,
                    from,
                };
                (Err(message.clone()), Some(message))
            }
        };
        self.recordings.insert(
            recording,
            Recorded {
                call,
                call_id,
                message,
                name,
            },
        );
        let space = space_limit(&self.config);
        let recorder = self.recorder.clone();
        let store = self.store.clone();
        self.spawn(move || {
            let opened = path.or_else(|message| draft(store.as_deref(), &message));
            let file = opened.and_then(|path| {
                if name.is_some() {
                    // Left behind by a server of the same number.
                    let _ = std::fs::remove_file(&path);
                }
                free_space(&path, space)
                    .and_then(|()| {
                        recorder
                            .open_as(recording, &path, &format)
                            .map_err(|e| e.to_string())
                    })
                    .map_err(|error| {
                        if let Some(store) = &store {
                            // A draft that never began; a plain recording is none of the store's.
                            let _ = store.discard(&path);
                        }
                        (MessageOutcome::Failed(error.clone()), error)
                    })
            });
            Done::Opened(Opened {
                recording,
                max,
                silence,
                format,
                file,
            })
        });
    }

    pub(super) fn mailbox(&mut self, output: Output) {
        let Output::Mailbox {
            call,
            call_id,
            number,
            request,
        } = output
        else {
            return;
        };
        let store = self.store.clone();
        self.spawn(move || {
            let result = store
                .ok_or(())
                .map_err(|()| "there are no mailboxes".to_owned());
            let text = |error: StoreError| {
                warn!(call_id, %error, "voicemail");
                error.to_string()
            };
            let happened = match request {
                MailboxRequest::List { mailbox } => {
                    Happened::Messages(result.and_then(|s| s.list(&mailbox).map_err(text)))
                }
                MailboxRequest::Save { mailbox, id } => Happened::MessageChanged(
                    result.and_then(|s| s.save(&mailbox, &id).map_err(text)),
                ),
                MailboxRequest::Delete { mailbox, id } => Happened::MessageChanged(
                    result.and_then(|s| s.delete(&mailbox, &id).map_err(text)),
                ),
            };
            Done::Mailbox(call, number, happened)
        });
    }

    pub(super) fn on_recorder(&mut self, event: &RecorderEvent, now: Instant) {
        if self.room_file_event(event, now) {
            return;
        }
        let (RecorderEvent::Closed { id, .. }
        | RecorderEvent::RolledOver { id, .. }
        | RecorderEvent::Failed { id, .. }) = event;
        super::log::recorder(event, self.recordings.get(id).map(|r| r.call_id.as_str()));
        if matches!(event, RecorderEvent::RolledOver { .. }) {
            return;
        }
        let recorded = self.recordings.remove(id);
        self.remove_discarded(event);
        self.switch.handle(Input::RecordingClosed(*id), now);
        if let Some(recorded) = recorded.as_ref().filter(|r| r.name.is_none()) {
            let (path, change) = match event {
                RecorderEvent::RolledOver { .. } => return,
                RecorderEvent::Closed {
                    path,
                    samples,
                    rate,
                    ..
                } => (path, RecordingChange::Ended(length(*samples, *rate))),
                RecorderEvent::Failed { path, error, .. } => (path, RecordingChange::Failed(error)),
            };
            let which = (*id, recorded.call, path.as_path());
            self.programs.api.on_recording(which, change, now);
        }
        if let Some(call) = recorded.as_ref().and_then(|r| r.name) {
            let kept = matches!(
                event,
                RecorderEvent::Closed { samples, rate, .. } if length(*samples, *rate) >= MIN_NAME
            );
            let input = Input::NameRecorded {
                call,
                recording: *id,
                kept,
            };
            self.switch.handle(input, now);
        }
        if let Some(message) = recorded.and_then(|r| r.message) {
            let recording = *id;
            let (store, min, event) =
                (self.store.clone(), self.config.voicemail.min, event.clone());
            self.spawn(move || {
                let outcome = finish(store.as_deref(), &message, min, &event);
                Done::MessageLeft(message.call, recording, outcome)
            });
        }
        if let RecorderEvent::Failed {
            id, path, error, ..
        } = event
        {
            let input = Input::RecordingFailed {
                recording: *id,
                error: format!("{}: {error}", path.display()),
            };
            self.switch.handle(input, now);
        }
    }

    /// Ends every recording properly; nothing is written after.
    pub fn close_recordings(&mut self) {
        self.cut_room_recordings(Instant::now());
        self.recorder.stop();
        remove_names(&self.config.recording.directory);
        while let Ok(event) = self.recorder.events().try_recv() {
            let (RecorderEvent::Closed { id, .. }
            | RecorderEvent::RolledOver { id, .. }
            | RecorderEvent::Failed { id, .. }) = &event;
            if self.room_file_closed(&event) {
                continue;
            }
            super::log::recorder(&event, self.recordings.get(id).map(|r| r.call_id.as_str()));
            if matches!(event, RecorderEvent::RolledOver { .. }) {
                continue;
            }
            if let Some(message) = self.recordings.remove(id).and_then(|r| r.message) {
                let min = self.config.voicemail.min;
                finish(self.store.as_deref(), &message, min, &event);
            }
        }
    }
}

fn loaded(wanted: Wanted, sources: Result<Vec<Source>, String>) -> Input {
    let Wanted {
        call,
        id,
        repeat,
        gap,
    } = wanted;
    match sources {
        Ok(items) => Input::PlayReady {
            call,
            id,
            play: Box::new(Play {
                id: u64::from(id.0),
                items,
                repeat,
                gap_samples: samples(gap),
            }),
        },
        Err(error) => Input::PlayFailed { call, id, error },
    }
}

/// A place for a message's recording.
fn draft(
    store: Option<&dyn MessageStore>,
    message: &Message,
) -> Result<PathBuf, (MessageOutcome, String)> {
    let failed = |error: String| (MessageOutcome::Failed(error.clone()), error);
    let store = store.ok_or_else(|| failed("there are no mailboxes".to_owned()))?;
    store
        .draft(&message.mailbox, &message.from)
        .map_err(|error| match error {
            StoreError::Full { .. } => (MessageOutcome::Full, error.to_string()),
            other => failed(other.to_string()),
        })
}

/// Makes a closed recording a message, or throws it away where it is too short.
fn finish(
    store: Option<&dyn MessageStore>,
    message: &Message,
    min: Duration,
    event: &RecorderEvent,
) -> MessageOutcome {
    let (path, length, failure) = match event {
        RecorderEvent::Closed {
            path,
            samples,
            rate,
            ..
        } => (path, length(*samples, *rate), None),
        RecorderEvent::Failed {
            path,
            samples,
            rate,
            error,
            ..
        } => (path, length(*samples, *rate), Some(error.clone())),
        RecorderEvent::RolledOver { .. } => return MessageOutcome::Kept,
    };
    let Some(store) = store else {
        return MessageOutcome::Failed("there are no mailboxes".to_owned());
    };
    let mailbox = &message.mailbox;
    let result = if length < min || length.is_zero() {
        store.discard(path).map(|()| MessageOutcome::TooShort)
    } else {
        let new = NewMessage {
            mailbox: mailbox.clone(),
            from: message.from.clone(),
            received: SystemTime::now(),
            length,
        };
        store.keep(path, &new).map(|kept| {
            info!(
                call_id = message.from.call_id,
                mailbox,
                id = kept.id,
                seconds = length.as_secs_f64(),
                "message left"
            );
            MessageOutcome::Kept
        })
    };
    match (result, failure) {
        (Ok(_), Some(error)) => MessageOutcome::Failed(error),
        (Ok(outcome), None) => outcome,
        (Err(error), _) => {
            // Its recording stays where it is, and is found at the next start.
            warn!(call_id = message.from.call_id, mailbox, %error, "message not stored");
            MessageOutcome::Failed(error.to_string())
        }
    }
}

/// What is to stay free on the disk of the recordings.
pub(super) fn space_limit(config: &Config) -> Option<SpaceLimit> {
    let min_free_bytes = config.recording.min_free_mb * 1_000_000;
    (min_free_bytes > 0).then_some(SpaceLimit {
        min_free_bytes,
        free_bytes: sys::free_bytes,
    })
}

/// Refuses a recording where the disk has too little left.
pub(super) fn free_space(path: &Path, limit: Option<SpaceLimit>) -> Result<(), String> {
    let Some(limit) = limit else {
        return Ok(());
    };
    let existing = path
        .ancestors()
        .skip(1)
        .find(|p| p.exists() || p.as_os_str().is_empty());
    match existing {
        Some(p) if !p.as_os_str().is_empty() => limit.check(p),
        _ => limit.check(Path::new(".")),
    }
}
