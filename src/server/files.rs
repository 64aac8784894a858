//! What calls want of files: plays, messages, announcements. Whatever blocks is done on
//! tokio's blocking threads and comes back as a [`Done`].

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::warn;

use super::api::{Looked, Placing};
use super::core::Core;
use super::recordings::Opened;
use super::reload::{ReloadError, Reloaded};
use super::room_files::RoomDone;
use super::sources::{samples, sources};
use crate::app::{Happened, MessageOutcome, PlayId, PlayItem};
use crate::audio::source::Source;
use crate::call::CallHandle;
use crate::leg::player::Play;
use crate::net::resolve::Target;
use crate::store::voicemail::StoreError;
use crate::switch::{BridgePlay, BridgeRecord, Input, MailboxRequest, Output};

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

impl Core {
    /// A blocking task has ended.
    pub(super) fn on_done(&mut self, done: Done, now: Instant) {
        let input = match done {
            Done::Reloaded(path, result) => {
                self.reloaded(&path, result);
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
            let library = self.announcements.library();
            let sources = sources(&items, &self.prompts, library, &self.names);
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
        let names = self.names.clone();
        let elsewhere =
            |item: &PlayItem| matches!(item, PlayItem::Web(_) | PlayItem::Speech { .. });
        if !items.iter().any(elsewhere) {
            self.spawn(move || {
                let library = announcements.library();
                Done::Loaded(wanted, sources(&items, &prompts, library, &names))
            });
            return;
        }
        let done = self.done.clone();
        let task = tokio::spawn(async move {
            let read = announcements.sources(items, prompts, names).await;
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
            // Somebody may have deleted it since it was listed.
            let changed = |change: Result<(), StoreError>| match change {
                Err(StoreError::NoMessage { .. }) => Ok(false),
                other => other.map(|()| true).map_err(text),
            };
            let happened = match request {
                MailboxRequest::List { mailbox } => {
                    Happened::Messages(result.and_then(|s| s.list(&mailbox).map_err(text)))
                }
                MailboxRequest::Save { mailbox, id } => {
                    Happened::MessageChanged(result.and_then(|s| changed(s.save(&mailbox, &id))))
                }
                MailboxRequest::Delete { mailbox, id } => {
                    Happened::MessageChanged(result.and_then(|s| changed(s.delete(&mailbox, &id))))
                }
            };
            Done::Mailbox(call, number, happened)
        });
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
