//! A stream connection's life, TCP or TLS: one task that reads and writes at once, so that neither
//! direction waits for the other.
//!
//! ```text
//! Reading/Writing --end of file, malformed--> Answering (500 ms) --> Closing
//!       |--time over, framing lost, queue gone----------------------^
//!       '--broken, peer does not read--> dropped
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::net::connections::{Known, Opened, Registered};
use crate::net::sip::{NetEvent, Shared, count};
use crate::net::udp;
use crate::sip::framing::{Frame, Framer};
use crate::sip::header::Name;
use crate::sip::message::{Message, ParseError};
use crate::sip::transport::{ConnectionId, Flow};

/// Read at a time, bytes.
const READ_BYTES: usize = 8192;
/// How long answers may still go out after the peer's last byte, or after a malformed message.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// How long what the peer still sends is read away after our last byte: closing on unread data
/// would reset the connection and destroy the answer on its way.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// Keeps a connection open through a NAT, and asks whether the peer is there (RFC 5626 §4.4.1).
pub(super) const PING: &[u8] = b"\r\n\r\n";
/// The answer to it.
pub(super) const PONG: &[u8] = b"\r\n";

/// What a connection is, beyond its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Whether it may be idle.
    pub(super) trust: Trust,
    /// Whether the peer has shown a certificate that we have checked.
    pub(super) is_verified: bool,
}

/// Whether a connection may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Accepted, and no message has come yet: it has the time of one, whatever pings come.
    None,
    /// It has spoken SIP, or we opened it.
    Spoken,
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer sends no more, but may read.
    Eof,
    /// A message was malformed, and the framing lost with it; the endpoint may answer.
    Malformed,
    /// Nothing to answer: lost framing, time over, or the control side gone.
    Unanswerable,
    /// The connection is broken.
    Broken,
}

/// Why writing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The queue has ended, and all of it is sent.
    All,
    /// The connection is broken.
    Broken,
    /// The peer did not read a message in time.
    Unread,
}

/// A connection's life from its first byte of SIP.
pub(super) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    opened: Opened,
    flow: Flow,
    kind: Kind,
    shared: Arc<Shared>,
) {
    let Opened {
        registered,
        mut queue,
        answers,
        kill,
    } = opened;
    let (reading, mut writing) = tokio::io::split(&mut stream);
    let pings = Pings::new(kind.trust == Trust::Spoken);
    let reader = Reader {
        incoming: Incoming {
            flow,
            is_verified: kind.is_verified,
            known: &registered.known,
            shared: &shared,
        },
        answers,
        pings: &pings,
    };
    let reading = reader.run(reading, kind.trust);
    let writer = write(&mut writing, &mut queue, &shared, &pings);
    let orderly = live(reading, writer, &kill, &registered, &shared).await;
    if orderly {
        close(&mut stream).await;
    }
    drop(stream);
    leave(registered, &shared).await;
}

/// Reads and writes until one of both ends. Whether the end is orderly: what was sent may still be
/// on its way.
pub(super) async fn live(
    reader: impl Future<Output = End>,
    writer: impl Future<Output = Written>,
    kill: &Notify,
    registered: &Registered,
    shared: &Shared,
) -> bool {
    let mut reader = pin!(reader);
    let mut writer = pin!(writer);
    tokio::select! {
        biased;
        () = kill.notified() => false,
        written = &mut writer => {
            if written == Written::Unread {
                count(&shared.counters.tcp_slow_readers);
            }
            written == Written::All
        },
        end = &mut reader => {
            registered.retire();
            if matches!(end, End::Eof | End::Malformed) {
                // Answers to what came before; over when the time is, or nothing can follow.
                tokio::select! {
                    _ = timeout(ANSWER_TIME, &mut writer) => {}
                    () = kill.notified() => {}
                }
            }
            end != End::Broken
        }
    }
}

/// Takes the connection out of the registry and tells its end to who knows of it.
pub(super) async fn leave(registered: Registered, shared: &Shared) {
    let connection: ConnectionId = registered.id;
    let known = registered.known.clone();
    // Until here something may be queued on it.
    drop(registered);
    if !known.get() {
        return;
    }
    // Fails only when the control side is gone.
    let _ = shared
        .events
        .streams
        .send(NetEvent::Closed { connection })
        .await;
}

/// Ends our direction and reads away what still comes, so that the last answer arrives.
async fn close(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let drain = async {
        if stream.shutdown().await.is_ok() {
            let mut rest = [0; 1024];
            while matches!(stream.read(&mut rest).await, Ok(length) if length > 0) {}
        }
    };
    let _ = timeout(DRAIN_TIME, drain).await;
}

/// Our pings on a connection that we opened. Many peers answer none: silence means something only
/// where one has been answered before.
struct Pings {
    wanted: bool,
    answers: AtomicBool,
    unanswered: AtomicBool,
}

impl Pings {
    fn new(wanted: bool) -> Self {
        Self {
            wanted,
            answers: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
        }
    }

    /// Whether the peer is gone, told when the next ping is due.
    fn due(&self) -> bool {
        self.unanswered.swap(true, Ordering::Relaxed) && self.answers.load(Ordering::Relaxed)
    }

    fn heard(&self, bytes: &[u8]) {
        if bytes == PONG {
            self.answers.store(true, Ordering::Relaxed);
        }
        self.unanswered.store(false, Ordering::Relaxed);
    }
}

/// Writes until the queue ends, the connection breaks or the peer does not read in time.
async fn write(
    half: &mut (impl AsyncWrite + Unpin),
    queue: &mut mpsc::Receiver<Vec<u8>>,
    shared: &Shared,
    pings: &Pings,
) -> Written {
    let limit = shared.settings.message_time;
    let interval = shared.settings.keep_alive.filter(|_| pings.wanted);
    loop {
        let next = match interval {
            None => queue.recv().await,
            Some(interval) => match timeout(interval, queue.recv()).await {
                Ok(next) => next,
                Err(_) if pings.due() => return Written::Broken,
                Err(_) => Some(PING.to_vec()),
            },
        };
        let Some(bytes) = next else {
            return Written::All;
        };
        let writing = async {
            half.write_all(&bytes).await?;
            half.flush().await
        };
        match timeout(limit, writing).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Written::Broken,
            Err(_) => return Written::Unread,
        }
    }
}

struct Reader<'a> {
    incoming: Incoming<'a>,
    answers: mpsc::WeakSender<Vec<u8>>,
    pings: &'a Pings,
}

impl Reader<'_> {
    /// Reads and frames until the end.
    async fn run(self, mut half: impl AsyncRead + Unpin, mut trust: Trust) -> End {
        let settings = &self.incoming.shared.settings;
        let mut framer = Framer::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut partial = false;
        let mut deadline = Instant::now()
            + match trust {
                Trust::None => settings.message_time,
                Trust::Spoken => settings.idle,
            };
        loop {
            let length = match timeout_at(deadline, half.read(&mut buffer)).await {
                Ok(Ok(0)) => return End::Eof,
                Ok(Ok(length)) => length,
                Ok(Err(_)) => return End::Broken,
                Err(_) => {
                    count(&self.incoming.shared.counters.tcp_timed_out);
                    return End::Unanswerable;
                }
            };
            self.pings.heard(&buffer[..length]);
            framer.push(&buffer[..length]);
            let mut complete = false;
            for frame in framer.by_ref() {
                complete = true;
                if matches!(frame, Frame::Message(_)) {
                    trust = Trust::Spoken;
                }
                if let Some(end) = self.on_frame(frame).await {
                    return end;
                }
            }
            let was_partial = partial && !complete;
            partial = framer.has_partial();
            if trust == Trust::None || (partial && was_partial) {
                continue; // a message has its time from its first byte, however it trickles in
            }
            let time = if partial {
                settings.message_time
            } else {
                settings.idle
            };
            deadline = Instant::now() + time;
        }
    }

    /// Passes a frame on; waits while the control side is busy, and so does the peer. Returns the
    /// end, if this was it.
    async fn on_frame(&self, frame: Frame) -> Option<End> {
        match frame {
            Frame::Message(message) => self.incoming.message(message).await,
            Frame::Ping => {
                // A full queue drops it: a peer that does not read does not miss it.
                if let Some(answers) = self.answers.upgrade() {
                    let _ = answers.try_send(PONG.to_vec());
                }
                None
            }
            Frame::Pong => None,
            Frame::Malformed(error) => match self.incoming.malformed(error).await {
                End::Malformed => None,
                end => Some(end),
            },
            Frame::Invalid(error) => Some(self.incoming.malformed(error).await),
            Frame::Error(_) => {
                count(&self.incoming.shared.counters.tcp_malformed);
                Some(End::Unanswerable)
            }
        }
    }
}

/// What a connection passes on.
pub(super) struct Incoming<'a> {
    pub(super) flow: Flow,
    pub(super) is_verified: bool,
    pub(super) known: &'a Known,
    pub(super) shared: &'a Shared,
}

impl Incoming<'_> {
    /// Passes a message on; waits while the control side is busy. Returns the end, if this was it.
    pub(super) async fn message(&self, message: Message) -> Option<End> {
        let flow = self.flow;
        self.known.note();
        self.note_alias(&message);
        let event = match within(message, self.shared.settings.max_message) {
            Ok(message) => NetEvent::Message { flow, message },
            Err(error) => return Some(self.malformed(error).await),
        };
        let sent = self.shared.events.streams.send(event).await;
        sent.err().map(|_| End::Unanswerable)
    }

    pub(super) async fn malformed(&self, error: ParseError) -> End {
        count(&self.shared.counters.tcp_malformed);
        let flow = self.flow;
        self.known.note();
        let event = NetEvent::Malformed { flow, error };
        let sent = self.shared.events.streams.send(event).await;
        sent.map_or(End::Unanswerable, |()| End::Malformed)
    }

    /// A peer that asks for it is called back on its own connection (RFC 5923), if it has proven
    /// who it is: the address is only its word.
    fn note_alias(&self, message: &Message) {
        let (true, Message::Request(request)) = (self.is_verified, message) else {
            return;
        };
        let Ok(via) = request.headers.via() else {
            return;
        };
        if via.params.contains("alias") && request.headers.get_all(&Name::Via).count() == 1 {
            let transport = self.flow.transport;
            let port = via.sent_by_port.unwrap_or(transport.default_port());
            let mut remote = self.flow.remote;
            remote.set_port(port);
            if let Some(id) = self.flow.connection {
                self.shared.connections().alias(id, (transport, remote));
            }
        }
    }
}

/// Holds a message against the configured limit, which may be below the framer's own. By its
/// text and body: the framer has given up the exact length, and the difference is separators.
fn within(message: Message, max_message: usize) -> Result<Message, ParseError> {
    let (headers, body) = match &message {
        Message::Request(request) => (&request.headers, &request.body),
        Message::Response(response) => (&response.headers, &response.body),
    };
    let text: usize = headers.iter().map(|(_, value)| value.len()).sum();
    if text + body.len() > max_message {
        return Err(udp::too_large(message));
    }
    Ok(message)
}
