//! Recordings of calls and of programs' bridges, and what is to become of them when they are closed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::bridge_files::remove_discarded;
use super::core::Core;
use super::files::Done;
use super::names::{MIN_NAME, NAME_REST, Names};
use super::room_files::write_all;
use super::sources::samples_at;
use crate::api;
use crate::api::RecordingChange;
use crate::app::MessageOutcome;
use crate::audio::{MediaTime, NARROWBAND};
use crate::call::CallHandle;
use crate::config::Config;
use crate::leg::tap::{Spoken, Tap, TapSettings, length};
use crate::net::sys;
use crate::store::layout;
use crate::store::recorder::{RecorderEvent, RecordingFormat, STOP_TIME, SpaceLimit};
use crate::store::voicemail::{MessageStore, NewMessage, Origin, StoreError};
use crate::switch::{Input, Output, RecordTarget};

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
    what: api::Recorded,
    /// The Call-ID, or the bridge's name.
    call_id: String,
    /// It is to be a message.
    message: Option<Message>,
    /// It is to be the spoken name of a call.
    name: Option<CallHandle>,
}

impl Recorded {
    /// One of a program's bridge.
    pub fn bridge(name: String) -> Self {
        Self {
            what: api::Recorded::Bridge(name.clone()),
            call_id: name,
            message: None,
            name: None,
        }
    }

    /// Whether it is for what its party says, at a rate.
    fn spoken(&self, rate: u32) -> Option<Spoken> {
        if self.name.is_some() {
            return Some(Spoken::Trimmed(samples_at(NAME_REST, rate)));
        }
        self.message.is_some().then_some(Spoken::Whole)
    }

    /// It ends when its call does.
    pub fn is_of_call(&self) -> bool {
        matches!(self.what, api::Recorded::Call(_))
    }
}

/// A message that is being left.
#[derive(Clone)]
struct Message {
    call: CallHandle,
    mailbox: String,
    from: Origin,
}

impl Core {
    pub(super) fn opened(&mut self, opened: Opened, now: Instant) -> Input {
        let recording = opened.recording;
        match opened.file {
            Ok(path) => {
                info!(recording, path = %path.display(), "recording");
                self.tell_recording(recording, &path, RecordingChange::Started, now);
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
                let recorded = self.recordings.get(&recording);
                if let Some(spoken) = recorded.and_then(|r| r.spoken(rate)) {
                    tap = tap.for_speech(spoken);
                }
                Input::RecordReady { recording, tap }
            }
            Err((outcome, error)) => {
                self.discarded.remove(&recording);
                let recorded = self.could_not_record(recording, &error, now);
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
        let name = (target == RecordTarget::Name).then_some(call);
        let mut format = RecordingFormat::wav(self.config.recording.rate);
        // What is played to others later has the one side of it.
        let is_kept = matches!(
            target,
            RecordTarget::File { .. } | RecordTarget::Named { .. }
        );
        let overwrite = target.overwrites();
        format.stereo = self.config.recording.stereo && is_kept;
        let place = self.place(target, call, caller, &call_id);
        let message = match &place {
            Place::Draft(message) => Some(message.clone()),
            _ => None,
        };
        self.recordings.insert(
            recording,
            Recorded {
                what: api::Recorded::Call(call),
                call_id,
                message,
                name,
            },
        );
        let space = space_limit(&self.config);
        let recorder = self.recorder.clone();
        let store = self.store.clone();
        let names = self.names.clone();
        self.spawn(move || {
            let path = place.path(recording, &names, store.as_deref());
            let file = path.and_then(|path| {
                free_space(&path, space)
                    .and_then(|()| clear(&path, overwrite))
                    .and_then(|()| {
                        let opened = if is_kept {
                            recorder.open_as(recording, &path, &format)
                        } else {
                            recorder.open_cuttable(recording, &path, format.rate)
                        };
                        opened.map_err(|e| e.to_string())
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

    /// Where a recording is to lie.
    fn place(
        &self,
        target: RecordTarget,
        call: CallHandle,
        caller: String,
        call_id: &str,
    ) -> Place {
        let directory = &self.config.recording.directory;
        let named = |name: &str| directory.join(format!("{name}.wav"));
        match target {
            RecordTarget::Name => Place::Name,
            RecordTarget::File {
                file: Some(file),
                trusted: true,
            } => Place::File(file),
            RecordTarget::File {
                file: Some(file), ..
            } => Place::File(named(&layout::file_name(&file.to_string_lossy()))),
            RecordTarget::Named { name, .. } => Place::File(named(&name)),
            RecordTarget::File { file: None, .. } => {
                let now = SystemTime::now();
                Place::File(layout::recording_path(directory, now, &caller, call_id))
            }
            RecordTarget::Message { mailbox } => {
                let call_id = call_id.to_owned();
                let from = Origin { caller, call_id };
                Place::Draft(Message {
                    call,
                    mailbox,
                    from,
                })
            }
        }
    }

    /// Tells programs what has become of a recording; spoken names are nobody's business.
    pub(super) fn tell_recording(
        &mut self,
        number: u64,
        path: &Path,
        change: RecordingChange<'_>,
        now: Instant,
    ) {
        let recorded = self.recordings.get(&number);
        if let Some(recorded) = recorded.filter(|r| r.name.is_none()) {
            let which = (number, &recorded.what, path);
            self.programs.api.on_recording(which, change, now);
        }
    }

    /// The file of a recording cannot be opened.
    pub(super) fn could_not_record(
        &mut self,
        number: u64,
        error: &str,
        now: Instant,
    ) -> Option<Recorded> {
        let directory = self.config.recording.directory.clone();
        self.tell_recording(number, &directory, RecordingChange::Failed(error), now);
        self.recordings.remove(&number)
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
        match event {
            RecorderEvent::RolledOver { .. } => {}
            RecorderEvent::Closed {
                path,
                samples,
                rate,
                ..
            } => {
                let change = RecordingChange::Ended(length(*samples, *rate));
                self.tell_recording(*id, path, change, now);
            }
            RecorderEvent::Failed { path, error, .. } => {
                self.tell_recording(*id, path, RecordingChange::Failed(error), now);
            }
        }
        let recorded = self.recordings.remove(id);
        if let Some(path) = self.discarded_file(event) {
            tokio::task::spawn_blocking(move || remove_discarded(&path));
        }
        if matches!(event, RecorderEvent::Closed { .. }) {
            self.switch.handle(Input::RecordingClosed(*id), now);
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
        write_all(self.cut_room_recordings(Instant::now()));
        if self.recorder.stop(STOP_TIME) {
            self.last_work()();
        }
    }

    /// The writer has closed all: what makes of it what it is to be, and may block.
    pub(super) fn last_work(&mut self) -> Box<dyn FnOnce() + Send> {
        let (mut rooms, mut messages, mut discarded) = (Vec::new(), Vec::new(), Vec::new());
        while let Ok(event) = self.recorder.events().try_recv() {
            let (RecorderEvent::Closed { id, .. }
            | RecorderEvent::RolledOver { id, .. }
            | RecorderEvent::Failed { id, .. }) = &event;
            if let Some((_, finished)) = self.room_files.heard(&event) {
                rooms.extend(finished);
                continue;
            }
            super::log::recorder(&event, self.recordings.get(id).map(|r| r.call_id.as_str()));
            if matches!(event, RecorderEvent::RolledOver { .. }) {
                continue;
            }
            if let Some(path) = self.discarded_file(&event) {
                discarded.push(path);
            }
            if let Some(message) = self.recordings.remove(id).and_then(|r| r.message) {
                messages.push((message, event));
            }
        }
        let names = Arc::clone(&self.names);
        let (store, min) = (self.store.clone(), self.config.voicemail.min);
        Box::new(move || {
            names.remove();
            for path in discarded {
                remove_discarded(&path);
            }
            write_all(rooms);
            for (message, event) in messages {
                finish(store.as_deref(), &message, min, &event);
            }
        })
    }
}

/// Where a recording is to lie.
enum Place {
    File(PathBuf),
    /// Among the spoken names.
    Name,
    /// Where the store puts it.
    Draft(Message),
}

impl Place {
    /// Its path. Blocks.
    fn path(
        self,
        recording: u64,
        names: &Names,
        store: Option<&dyn MessageStore>,
    ) -> Result<PathBuf, (MessageOutcome, String)> {
        match self {
            Self::File(path) => Ok(path),
            Self::Draft(message) => draft(store, &message),
            Self::Name => names.path(recording).map_err(|error| {
                let error = format!("spoken names: {error}");
                (MessageOutcome::Failed(error.clone()), error)
            }),
        }
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

/// Takes away the recording whose place another takes; just before that is opened, so that what never
/// begins costs nothing.
pub(super) fn clear(path: &Path, overwrite: bool) -> Result<(), String> {
    if !overwrite {
        return Ok(());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_recording_goes_only_where_it_is_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.wav");
        std::fs::write(&path, "old").unwrap();
        assert_eq!(clear(&path, false), Ok(()));
        assert!(path.exists());
        assert_eq!(clear(&path, true), Ok(()));
        assert!(!path.exists());
        assert_eq!(clear(&path, true), Ok(()), "there is none");
        // What cannot be taken away is told.
        std::fs::create_dir(&path).unwrap();
        assert!(clear(&path, true).is_err());
    }
}
