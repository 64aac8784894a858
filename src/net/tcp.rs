//! SIP over TCP: the accept loop, and one task per connection that reads and writes at once, so
//! that neither direction waits for the other.
//!
//! ```text
//! accept --limits--> Reading/Writing --end of file, malformed--> Answering (500 ms) --> Closing
//! send --connect-->        |--time over, framing lost, queue gone----------------------^
//!                          '--broken, peer does not read--> dropped
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::net::connections::{Opened, Queued};
use crate::net::sip::{NetEvent, Shared, count};
use crate::net::udp;
use crate::sip::framing::{Frame, Framer};
use crate::sip::message::{Message, ParseError};
use crate::sip::transport::{ConnectionId, Flow, Transport};

/// Read at a time, bytes.
const READ_BYTES: usize = 8192;
/// How long the accept loop pauses when the system has no descriptor left (EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers may still go out after the peer's last byte, or after a malformed message.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// How long what the peer still sends is read away after our last byte: closing on unread data
/// would reset the connection and destroy the answer on its way.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// Silence after which the kernel probes whether the peer's host is there.
const PROBE_TIME: Duration = Duration::from_mins(1);
/// How long the peer's host may leave sent data unacknowledged: a transaction's life (RFC 3261
/// §17.1.1.2: timer B, 32 s).
const ACKNOWLEDGE_TIME: Duration = Duration::from_secs(32);
/// The answer to a keep-alive ping (RFC 5626 §4.4.1).
const PONG: &[u8] = b"\r\n";

/// Accepts until aborted. Nothing that a peer does or omits holds it up.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                failing = false;
                admit(stream, remote, &shared);
            }
            // The peer gave up before we got to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "cannot accept TCP connections; trying on");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Queues a message on the flow's connection, or one to its peer, or a new one. Returns whether
/// it may still get there.
pub(super) fn send(shared: &Arc<Shared>, flow: Flow, bytes: Vec<u8>) -> bool {
    let mut connections = shared.connections();
    // A connection that is gone is replaced by another to the same peer (RFC 3261 §18.2.2).
    let named = flow.connection.filter(|&id| connections.contains(id));
    let Some(id) = named.or_else(|| connections.to(flow.remote)) else {
        let Some(opened) = connections.register(shared, flow.remote, false) else {
            return false;
        };
        // An empty queue takes it.
        let _ = connections.queue(opened.registered.id, bytes);
        drop(connections);
        let shared_of_task = Arc::clone(shared);
        shared.runtime.spawn(open(opened, flow, shared_of_task));
        return true;
    };
    match connections.queue(id, bytes) {
        Queued::Yes => true,
        Queued::Unknown => false,
        Queued::Full => {
            count(&shared.counters.tcp_slow_readers);
            false
        }
    }
}

fn admit(stream: TcpStream, remote: SocketAddr, shared: &Arc<Shared>) {
    let Ok(local) = stream.local_addr() else {
        return; // reset meanwhile
    };
    let Some(opened) = shared.connections().register(shared, remote, true) else {
        count(&shared.counters.tcp_refused);
        return;
    };
    count(&shared.counters.tcp_accepted);
    let flow = Flow {
        transport: Transport::Tcp,
        local,
        remote,
        connection: Some(opened.registered.id),
    };
    tokio::spawn(serve(stream, opened, flow, Trust::None, Arc::clone(shared)));
}

async fn open(opened: Opened, flow: Flow, shared: Arc<Shared>) {
    let connecting = timeout(shared.settings.connect_time, connect(flow));
    let stream = tokio::select! {
        stream = connecting => stream,
        () = opened.kill.notified() => Ok(Err(io::ErrorKind::ConnectionAborted.into())),
    };
    let Ok(Ok(stream)) = stream else {
        drop(opened); // first out of the registry: what is sent next may try anew
        let _ = shared.events.send(NetEvent::Failed(flow)).await;
        return;
    };
    let flow = Flow {
        local: stream.local_addr().unwrap_or(flow.local),
        connection: Some(opened.registered.id),
        ..flow
    };
    serve(stream, opened, flow, Trust::Spoken, shared).await;
}

async fn connect(flow: Flow) -> io::Result<TcpStream> {
    let socket = if flow.remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A link-local address wants the interface named too, which the flow need not know: the
    // kernel's choice is the same.
    let is_link_local = match flow.local.ip() {
        IpAddr::V6(address) => address.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    if !flow.local.ip().is_unspecified() && !is_link_local {
        socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
    }
    socket.connect(flow.remote).await
}

/// Whether a connection may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Accepted, and nothing complete has come yet: it has the time of one message.
    None,
    /// It has said something, or we opened it.
    Spoken,
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer sends no more, but may read.
    Eof,
    /// A message was malformed, and the framing lost with it; the endpoint may answer.
    Malformed,
    /// Nothing to answer: lost framing, time over, or the control side gone.
    Unanswerable,
    /// The connection is broken.
    Broken,
}

/// A connection's life from its first byte.
async fn serve(
    mut stream: TcpStream,
    opened: Opened,
    flow: Flow,
    trust: Trust,
    shared: Arc<Shared>,
) {
    let Opened {
        registered,
        mut queue,
        answers,
        kill,
    } = opened;
    set_options(&stream);
    let orderly = {
        let (reading, writing) = stream.split();
        let reader = Reader {
            flow,
            shared: &shared,
            answers,
        };
        let mut reader = pin!(reader.run(reading, trust));
        let mut writer = pin!(write(writing, &mut queue, shared.settings.message_time));
        tokio::select! {
            biased;
            () = kill.notified() => false,
            orderly = &mut writer => orderly.unwrap_or_else(|| {
                count(&shared.counters.tcp_slow_readers);
                false
            }),
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
    };
    if orderly {
        close(&mut stream).await;
    }
    drop(stream);
    let connection = registered.id;
    drop(registered);
    announce_end(connection, &shared).await;
}

async fn announce_end(connection: ConnectionId, shared: &Shared) {
    // Fails only when the control side is gone.
    let _ = shared.events.send(NetEvent::Closed { connection }).await;
}

/// Ends our direction and reads away what still comes, so that the last answer arrives.
async fn close(stream: &mut TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let mut rest = [0; 1024];
        while matches!(stream.read(&mut rest).await, Ok(length) if length > 0) {}
    };
    let _ = timeout(DRAIN_TIME, drain).await;
}

/// Writes until the queue ends (`Some(true)`), the connection breaks (`Some(false)`) or the peer
/// does not read a message in time (`None`).
async fn write(
    mut half: WriteHalf<'_>,
    queue: &mut mpsc::Receiver<Vec<u8>>,
    limit: Duration,
) -> Option<bool> {
    while let Some(bytes) = queue.recv().await {
        match timeout(limit, half.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Some(false),
            Err(_) => return None,
        }
    }
    Some(true)
}

struct Reader<'a> {
    flow: Flow,
    shared: &'a Shared,
    answers: mpsc::WeakSender<Vec<u8>>,
}

impl Reader<'_> {
    /// Reads and frames until the end.
    async fn run(self, mut half: ReadHalf<'_>, mut trust: Trust) -> End {
        let settings = &self.shared.settings;
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
                    count(&self.shared.counters.tcp_timed_out);
                    return End::Unanswerable;
                }
            };
            framer.push(&buffer[..length]);
            let mut complete = false;
            for frame in framer.by_ref() {
                complete = true;
                trust = Trust::Spoken;
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
        let flow = self.flow;
        let event = match frame {
            Frame::Message(message) => match within(message, self.shared.settings.max_message) {
                Ok(message) => NetEvent::Message { flow, message },
                Err(error) => return Some(self.malformed(error).await),
            },
            Frame::Ping => {
                // A full queue drops it: a peer that does not read does not miss it.
                if let Some(answers) = self.answers.upgrade() {
                    let _ = answers.try_send(PONG.to_vec());
                }
                return None;
            }
            Frame::Pong => return None,
            Frame::Invalid(error) => return Some(self.malformed(error).await),
            Frame::Error(_) => {
                count(&self.shared.counters.tcp_malformed);
                return Some(End::Unanswerable);
            }
        };
        let sent = self.shared.events.send(event).await;
        sent.err().map(|_| End::Unanswerable)
    }

    async fn malformed(&self, error: ParseError) -> End {
        count(&self.shared.counters.tcp_malformed);
        let flow = self.flow;
        let event = NetEvent::Malformed { flow, error };
        let sent = self.shared.events.send(event).await;
        sent.map_or(End::Unanswerable, |()| End::Malformed)
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

/// Ends idle connections to hosts that are gone: the kernel probes them, and gives up on what
/// they do not acknowledge. Only hints: a kernel without them closes by `idle`.
fn set_options(stream: &TcpStream) {
    // A message is written whole: nothing to wait for.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_TIME));
    let _ = socket.set_tcp_user_timeout(Some(ACKNOWLEDGE_TIME));
}
