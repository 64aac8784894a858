//! Hands events to their readers. Each has a queue with a bound; whose queue is full is cut off. Readers
//! have a turn before more is handed out than a queue holds, however much comes at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::count;
use crate::api::{Published, Subscription};

/// Events that a reader may leave unread.
pub(super) const MAX_EVENTS: usize = 1_024;
/// Bytes that it may.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Events that are handed out before the readers have a turn.
const PIECE_EVENTS: usize = MAX_EVENTS / 4;
/// Bytes that are.
const PIECE_BYTES: usize = MAX_BYTES / 4;
/// Readers that certainly have their turn while we give way once: the runtime runs 61 tasks, and a
/// reader may need it more than once.
const READERS_A_TURN: usize = 16;
/// Events that may wait to be handed out; the last bunch may go beyond it.
const MAX_WAITING: usize = 65_536;

/// Why a reader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It goes on.
    Not,
    /// It has left too much unread.
    Slow,
    /// We could not keep up.
    Overrun,
    /// It does not answer.
    Silent,
    /// Its key is not what it was.
    Key,
    /// The server ends.
    Stop,
}

/// All readers.
#[derive(Debug, Default)]
pub(super) struct Hub {
    readers: Mutex<Readers>,
    /// Events that are not handed out yet.
    waiting: AtomicUsize,
    dropped: AtomicU64,
    events: AtomicU64,
}

/// What was handed out since the readers had a turn.
#[derive(Debug, Default)]
pub(super) struct Pace {
    events: usize,
    bytes: usize,
}

impl Pace {
    fn is_over(&self) -> bool {
        self.events >= PIECE_EVENTS || self.bytes >= PIECE_BYTES
    }
}

#[derive(Debug, Default)]
struct Readers {
    next: u64,
    closed: bool,
    all: Vec<Reader>,
}

#[derive(Debug)]
struct Reader {
    number: u64,
    topics: Vec<String>,
    key: Option<String>,
    queue: mpsc::Sender<Utf8Bytes>,
    unread: Arc<AtomicUsize>,
    end: watch::Sender<End>,
}

/// A reader's own side.
#[derive(Debug)]
pub(super) struct Queue {
    number: u64,
    events: mpsc::Receiver<Utf8Bytes>,
    unread: Arc<AtomicUsize>,
    pub(super) end: watch::Receiver<End>,
}

impl Queue {
    /// The next event; none: there will be no more.
    pub(super) async fn next(&mut self) -> Option<Utf8Bytes> {
        let event = self.events.recv().await?;
        self.unread.fetch_sub(event.len(), Ordering::Relaxed);
        Some(event)
    }

    /// One that is there already.
    pub(super) fn ready(&mut self) -> Option<Utf8Bytes> {
        let event = self.events.try_recv().ok()?;
        self.unread.fetch_sub(event.len(), Ordering::Relaxed);
        Some(event)
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more reader.
    pub(super) fn enter(&self, subscription: &Subscription) -> Queue {
        let mut readers = self.lock();
        let (queue, events) = mpsc::channel(MAX_EVENTS);
        let end = if readers.closed { End::Stop } else { End::Not };
        let (end, ending) = watch::channel(end);
        let unread = Arc::new(AtomicUsize::new(0));
        readers.next += 1;
        let number = readers.next;
        readers.all.push(Reader {
            number,
            topics: subscription.topics.clone(),
            key: subscription.key.clone(),
            queue,
            unread: Arc::clone(&unread),
            end,
        });
        Queue {
            number,
            events,
            unread,
            end: ending,
        }
    }

    /// A reader has gone.
    pub(super) fn leave(&self, queue: &Queue) {
        self.lock()
            .all
            .retain(|reader| reader.number != queue.number);
    }

    /// Whether so many events more may wait to be handed out; then they do.
    pub(super) fn await_events(&self, count: usize) -> bool {
        let fits = self.waiting.load(Ordering::Relaxed) < MAX_WAITING;
        if fits {
            self.waiting.fetch_add(count, Ordering::Relaxed);
        }
        fits
    }

    /// So many that waited do so no more.
    pub(super) fn forget_events(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    /// Hands out events, and gives way to their readers as often as it takes.
    pub(super) async fn publish(&self, bunch: Vec<Published>, pace: &mut Pace) {
        let mut bunch = bunch.into_iter();
        while !bunch.as_slice().is_empty() {
            let readers = self.hand_out(&mut bunch, pace);
            if pace.is_over() {
                *pace = Pace::default();
                for _ in 0..=readers / READERS_A_TURN {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Hands out events until the readers are to have a turn; how many there are. The bytes of one are
    /// shared by all.
    fn hand_out(&self, bunch: &mut std::vec::IntoIter<Published>, pace: &mut Pace) -> usize {
        let mut readers = self.lock();
        while !pace.is_over()
            && let Some(Published { topic, text }) = bunch.next()
        {
            pace.events += 1;
            pace.bytes += text.len();
            let text = Utf8Bytes::from(text);
            readers.all.retain(|reader| {
                if !reader.topics.iter().any(|t| *t == topic) {
                    return true;
                }
                let before = reader.unread.fetch_add(text.len(), Ordering::Relaxed);
                let fits = before + text.len() <= MAX_BYTES;
                if fits && reader.queue.try_send(text.clone()).is_ok() {
                    count(&self.events);
                    return true;
                }
                count(&self.dropped);
                let _ = reader.end.send(End::Slow);
                false
            });
        }
        readers.all.len()
    }

    /// Events were lost: whoever reads is to know.
    pub(super) fn overrun(&self) {
        self.end(End::Overrun);
    }

    /// Ends those who were let in by one of these keys.
    pub(super) fn end_keys(&self, gone: &[Arc<str>]) {
        self.lock().all.retain(|reader| {
            let key = reader.key.as_deref();
            let ends = key.is_some_and(|key| gone.iter().any(|name| **name == *key));
            if ends {
                let _ = reader.end.send(End::Key);
            }
            !ends
        });
    }

    /// The server ends.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.end(End::Stop);
    }

    fn end(&self, end: End) {
        for reader in self.lock().all.drain(..) {
            let _ = reader.end.send(end);
        }
    }

    /// Readers, those that were cut off, events that were handed out.
    pub(super) fn stats(&self) -> (u64, u64, u64) {
        let readers = self.lock().all.len() as u64;
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (readers, load(&self.dropped), load(&self.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &str) -> Vec<Published> {
        vec![Published {
            topic: "a".into(),
            text: text.to_owned(),
        }]
    }

    fn subscription() -> Subscription {
        Subscription {
            topics: vec!["a".to_owned()],
            key: None,
        }
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_and_others_go_on() {
        let hub = Hub::default();
        let slow = hub.enter(&subscription());
        let mut quick = hub.enter(&subscription());
        for _ in 0..=MAX_EVENTS {
            hub.publish(published("{}"), &mut Pace::default()).await;
            assert!(quick.ready().is_some());
        }
        assert_eq!(*slow.end.borrow(), End::Slow);
        assert_eq!(*quick.end.borrow(), End::Not);
        assert_eq!(hub.stats(), (1, 1, 2 * MAX_EVENTS as u64 + 1));
        hub.leave(&slow);
        hub.leave(&quick);
        assert_eq!(hub.stats().0, 0);
    }

    #[tokio::test]
    async fn bytes_are_bounded_too_and_topics_kept_apart() {
        let hub = Hub::default();
        let reader = hub.enter(&subscription());
        let mut other = hub.enter(&Subscription {
            topics: vec!["b".to_owned()],
            key: None,
        });
        let large = "x".repeat(MAX_BYTES / 4);
        for _ in 0..4 {
            hub.publish(published(&large), &mut Pace::default()).await;
            assert_eq!(*reader.end.borrow(), End::Not);
        }
        hub.publish(published("{}"), &mut Pace::default()).await;
        assert_eq!(*reader.end.borrow(), End::Slow);
        assert!(other.ready().is_none());
        hub.close();
        assert_eq!(*other.end.borrow(), End::Stop);
        assert_eq!(*hub.enter(&subscription()).end.borrow(), End::Stop);
    }

    #[tokio::test]
    async fn a_bunch_of_any_length_reaches_all_who_read_and_ends_who_does_not() {
        const EVENTS: usize = 5_000;
        // More than have a turn at once.
        const READERS: usize = 200;
        let hub = Hub::default();
        let idle = hub.enter(&subscription());
        let mut reading = tokio::task::JoinSet::new();
        for _ in 0..READERS {
            let mut queue = hub.enter(&subscription());
            reading.spawn(async move {
                let mut read = 0;
                while read < EVENTS && queue.next().await.is_some() {
                    read += 1;
                }
                read
            });
        }
        let bunch = (0..EVENTS).flat_map(|_| published("{}")).collect();
        hub.publish(bunch, &mut Pace::default()).await;
        assert_eq!(*idle.end.borrow(), End::Slow);
        assert_eq!(reading.join_all().await, [EVENTS; READERS]);
        assert_eq!(hub.stats().1, 1, "one was cut off");
    }

    #[test]
    fn what_waits_to_be_handed_out_is_bounded() {
        let hub = Hub::default();
        assert!(hub.await_events(MAX_WAITING - 1));
        assert!(hub.await_events(5_000), "a bunch is taken whole");
        assert!(!hub.await_events(1));
        hub.forget_events(5_000);
        assert!(hub.await_events(1));
    }
}
