//! What waits for the control side: datagrams and what comes on streams apart, taken in turns, so that
//! neither keeps the other out however much of it comes.
//!
//! A full queue of datagrams loses the next (its sender retransmits), a full one of streams is waited
//! for: each connection has one message at the door, and they are let in by turns.

use tokio::sync::mpsc;

use super::sip::NetEvent;

/// Where the network puts what it tells.
#[derive(Clone, Debug)]
pub struct Queues {
    pub(super) datagrams: mpsc::Sender<NetEvent>,
    pub(super) streams: mpsc::Sender<NetEvent>,
}

/// The control side's end.
#[derive(Debug)]
pub struct Inbox {
    datagrams: mpsc::Receiver<NetEvent>,
    streams: mpsc::Receiver<NetEvent>,
    /// Whose turn it is.
    streams_next: bool,
}

/// Room for so many events of datagrams, and for so many of streams.
pub fn queues(datagrams: usize, streams: usize) -> (Queues, Inbox) {
    let (datagrams_in, datagrams) = mpsc::channel(datagrams);
    let (streams_in, streams) = mpsc::channel(streams);
    let queues = Queues {
        datagrams: datagrams_in,
        streams: streams_in,
    };
    let inbox = Inbox {
        datagrams,
        streams,
        streams_next: false,
    };
    (queues, inbox)
}

/// One queue for all, where nobody floods.
impl From<mpsc::Sender<NetEvent>> for Queues {
    fn from(sender: mpsc::Sender<NetEvent>) -> Self {
        Self {
            datagrams: sender.clone(),
            streams: sender,
        }
    }
}

impl Inbox {
    /// The next event; none: the network is gone.
    pub async fn next(&mut self) -> Option<NetEvent> {
        if let Some(event) = self.try_next() {
            return Some(event);
        }
        tokio::select! {
            Some(event) = self.datagrams.recv() => Some(event),
            Some(event) = self.streams.recv() => Some(event),
            else => None,
        }
    }

    /// The next event, if one waits: one of each kind in turn.
    pub fn try_next(&mut self) -> Option<NetEvent> {
        self.streams_next = !self.streams_next;
        let (first, second) = if self.streams_next {
            (&mut self.datagrams, &mut self.streams)
        } else {
            (&mut self.streams, &mut self.datagrams)
        };
        first.try_recv().or_else(|_| second.try_recv()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transport::{ConnectionId, Flow, Transport};

    fn closed() -> NetEvent {
        let connection = ConnectionId(1);
        NetEvent::Closed { connection }
    }

    fn failed() -> NetEvent {
        let here = ([192, 0, 2, 1], 5060).into();
        NetEvent::Failed(Flow {
            transport: Transport::Udp,
            local: here,
            remote: here,
            connection: None,
            host: None,
        })
    }

    #[tokio::test]
    async fn each_kind_has_its_turn_and_its_room() {
        let (queues, mut inbox) = queues(50, 10);
        let datagrams = (0..100).filter(|_| queues.datagrams.try_send(failed()).is_ok());
        assert_eq!(datagrams.count(), 50);
        let streams = (0..100).filter(|_| queues.streams.try_send(closed()).is_ok());
        assert_eq!(streams.count(), 10, "a flood of datagrams takes none of it");
        let is_stream = |event: Option<NetEvent>| matches!(event.unwrap(), NetEvent::Closed { .. });
        let mut streams = 0;
        for _ in 0..10 {
            streams += usize::from(is_stream(inbox.next().await));
            streams += usize::from(is_stream(inbox.try_next()));
        }
        assert_eq!(streams, 10);
        let mut rest = 0;
        while inbox.try_next().is_some() {
            rest += 1;
        }
        assert_eq!(rest, 40);
        queues.streams.try_send(closed()).unwrap();
        assert!(is_stream(inbox.next().await));
        drop(queues);
        assert!(inbox.next().await.is_none());
    }
}
