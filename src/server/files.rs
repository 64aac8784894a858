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

/// What is being loaded for a call.
pub(super) struct Loading {
    id: PlayId,
    /// The play that waits for that.
    next: Option<(Wanted, Vec<PlayItem>)>,
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
                self.load_next(&wanted);
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
    /// elsewhere, one play of a call at a time: of those that come meanwhile the last is wanted. None waits
    /// for what is fetched or said for its predecessor.
    pub(super) fn play(&mut self, wanted: Wanted, items: Vec<PlayItem>, now: Instant) {
        self.give_up_play(wanted.call);
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
        } else if let Some(loading) = self.loading.get_mut(&wanted.call) {
            loading.next = Some((wanted, items));
        } else {
            let (id, next) = (wanted.id, None);
            self.loading.insert(wanted.call, Loading { id, next });
            self.load(wanted, items);
        }
    }

    /// Nobody wants what is loaded for a call any more: nothing is fetched or said for it. Files are read to
    /// their end.
    pub(super) fn give_up_play(&mut self, call: CallHandle) {
        let Some(loading) = self.loading.get_mut(&call) else {
            return;
        };
        if let Some(task) = self.fetching.remove(&call) {
            task.abort();
            self.loading.remove(&call);
        } else {
            loading.next = None;
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
    fn load_next(&mut self, read: &Wanted) {
        let call = read.call;
        let loading = self.loading.get_mut(&call);
        let Some(loading) = loading.filter(|loading| loading.id == read.id) else {
            // It was given up when it had just been read.
            return;
        };
        if let Some((wanted, items)) = loading.next.take() {
            loading.id = wanted.id;
            self.fetching.remove(&call);
            self.load(wanted, items);
        } else {
            self.loading.remove(&call);
            self.fetching.remove(&call);
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;
    use std::path::Path;

    use super::super::testing::core;
    use super::*;
    use crate::wav::Writer;

    const CALL: CallHandle = CallHandle(1);
    const HOSTS: &str = "[announcement]\nweb_hosts = [\"127.0.0.1\"]\nweb_seconds = 60\n";

    fn wanted(id: u32) -> Wanted {
        Wanted {
            call: CALL,
            id: PlayId(id),
            repeat: 1,
            gap: Duration::ZERO,
        }
    }

    fn file(directory: &Path) -> Vec<PlayItem> {
        let path = directory.join("local.wav");
        let mut writer = Writer::create(File::create(&path).unwrap(), 8000).unwrap();
        writer.write(&[1000; 800]).unwrap();
        writer.finish().unwrap();
        vec![PlayItem::File(path)]
    }

    /// Something of a web server that takes connections and never answers.
    fn silent(server: &TcpListener, name: &str) -> Vec<PlayItem> {
        let address = server.local_addr().unwrap();
        vec![PlayItem::Web(format!("http://{address}/{name}.wav"))]
    }

    /// The play that was loaded next; long before the web server's time is over.
    async fn loaded(core: &mut Core) -> PlayId {
        let done = tokio::time::timeout(Duration::from_secs(20), core.done_rx.recv());
        let Ok(Some(Done::Loaded(wanted, Ok(_)))) = done.await else {
            panic!("nothing was loaded");
        };
        core.on_done(Done::Loaded(wanted, Ok(Vec::new())), Instant::now());
        wanted.id
    }

    #[tokio::test]
    async fn what_is_wanted_next_does_not_wait_for_what_is_fetched() {
        let here = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut core = core(here.path(), HOSTS);
        let now = Instant::now();
        core.play(wanted(1), silent(&server, "a"), now);
        core.play(wanted(2), file(here.path()), now);
        assert_eq!(loaded(&mut core).await, PlayId(2));
        // Stopped before.
        core.play(wanted(3), silent(&server, "a"), now);
        core.give_up_play(CALL);
        assert!(core.loading.is_empty() && core.fetching.is_empty());
        core.play(wanted(4), file(here.path()), now);
        assert_eq!(loaded(&mut core).await, PlayId(4));
        assert!(core.loading.is_empty() && core.fetching.is_empty());
    }

    #[tokio::test]
    async fn what_was_given_up_when_it_had_just_come_is_not_the_next_ones_end() {
        let here = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut core = core(here.path(), HOSTS);
        let now = Instant::now();
        core.play(wanted(1), silent(&server, "a"), now);
        core.play(wanted(2), silent(&server, "b"), now);
        core.on_done(Done::Loaded(wanted(1), Err("late".to_owned())), now);
        assert!(core.loading.contains_key(&CALL) && core.fetching.contains_key(&CALL));
        // So that it can still be given up.
        core.play(wanted(3), file(here.path()), now);
        assert_eq!(loaded(&mut core).await, PlayId(3));
    }
}
