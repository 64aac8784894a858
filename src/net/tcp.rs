//! SIP over TCP: the accept loop, and one task per connection that reads and writes at once, so
//! that neither direction waits for the other.
//!
//! ```text
//! accept --limits--> Reading/Writing --end of file, malformed--> Answering (1 s) --> Closing
//! send --connect-->        |--time over, framing lost, queue gone----------------------^
//!                          '--broken, peer does not read--> dropped
//! ```

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::net::connections::{Opened, Queued};
use crate::net::sip::{NetEvent, Shared, count};
use crate::sip::framing::{Frame, Framer};
use crate::sip::transport::{ConnectionId, Flow, Transport};

/// Read at a time, bytes.
const READ_BYTES: usize = 8192;
/// How long the accept loop pauses when the system has no descriptor left (EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers may still go out after the peer's last byte, or after a malformed message.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// How long what the peer still sends is read away after our last byte: closing on unread data
/// would reset the connection and destroy the answer on its way.
const DRAIN_TIME: Duration = Duration::from_millis(500);
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
    let Some(id) = flow.connection.or_else(|| connections.to(flow.remote)) else {
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
        Queued::Unknown(_) => false,
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
    // Silent from the start: as short as for a message. One that has spoken may be idle for long.
    let first = shared.settings.message_time;
    tokio::spawn(serve(stream, opened, flow, first, Arc::clone(shared)));
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
    let first = shared.settings.idle;
    serve(stream, opened, flow, first, shared).await;
}

async fn connect(flow: Flow) -> io::Result<TcpStream> {
    let socket = if flow.remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if !flow.local.ip().is_unspecified() {
        socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
    }
    socket.connect(flow.remote).await
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
    first: Duration,
    shared: Arc<Shared>,
) {
    let Opened {
        registered,
        mut queue,
        answers,
        kill,
    } = opened;
    // Only a hint to the kernel: a message is written whole anyway.
    let _ = stream.set_nodelay(true);
    let orderly = {
        let (reading, writing) = stream.split();
        let reader = Reader {
            flow,
            shared: &shared,
            answers,
        };
        let mut reader = pin!(reader.run(reading, first));
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
    /// Reads and frames until the end. `first`: how long the first message may take.
    async fn run(self, mut half: ReadHalf<'_>, first: Duration) -> End {
        let settings = &self.shared.settings;
        let mut framer = Framer::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut deadline = Instant::now() + first;
        let mut spoken = false;
        let mut partial = false;
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
            while let Some(frame) = framer.next() {
                complete = true;
                if let Some(end) = self.on_frame(frame).await {
                    return end;
                }
            }
            // A message has its time from its first byte, however its bytes trickle in.
            spoken |= complete;
            let began = framer.has_partial() && (complete || !partial);
            partial = framer.has_partial();
            if began && spoken {
                deadline = Instant::now() + settings.message_time;
            } else if !partial && spoken {
                deadline = Instant::now() + settings.idle;
            }
        }
    }

    /// Passes a frame on; waits while the control side is busy, and so does the peer. Returns the
    /// end, if this was it.
    async fn on_frame(&self, frame: Frame) -> Option<End> {
        let flow = self.flow;
        let event = match frame {
            Frame::Message(message) => NetEvent::Message { flow, message },
            Frame::Ping => {
                // A full queue drops it: a peer that does not read does not miss it.
                if let Some(answers) = self.answers.upgrade() {
                    let _ = answers.try_send(PONG.to_vec());
                }
                return None;
            }
            Frame::Pong => return None,
            Frame::Invalid(error) => {
                count(&self.shared.counters.tcp_malformed);
                let event = NetEvent::Malformed { flow, error };
                let sent = self.shared.events.send(event).await;
                return Some(sent.map_or(End::Unanswerable, |()| End::Malformed));
            }
            Frame::Error(_) => {
                count(&self.shared.counters.tcp_malformed);
                return Some(End::Unanswerable);
            }
        };
        let sent = self.shared.events.send(event).await;
        sent.err().map(|_| End::Unanswerable)
    }
}
