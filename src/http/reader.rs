//! A reader of events: a WebSocket on which we write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::Shared;
use super::hub::{End, MAX_BYTES, Queue};
use super::limits::Place;
use crate::api::Subscription;

/// The close code for who does not read (RFC 6455 §7.4.2: for private use).
const TOO_SLOW: u16 = 4_008;
/// The same for events that were lost before they could be written.
const OVERRUN: u16 = 4_009;
/// The same for who is not there any more.
const SILENT: u16 = 4_010;
/// After how much silence a reader is asked whether it is still there, and again until it answers.
const PING: Duration = Duration::from_secs(30);
/// Pings that may stay without an answer.
const MAX_PINGS: u32 = 2;
/// How long a reader may take for the closing handshake.
const CLOSE: Duration = Duration::from_secs(2);
/// What a reader may send in one message: nobody wants to know what.
const MAX_MESSAGE: usize = 4 * 1024;

/// What a reader may make us hold.
fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_write_buffer_size(2 * MAX_BYTES)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// One who reads events from the moment of its subscription on; taken out when this is dropped,
/// whether its WebSocket ever was there or not.
pub struct Reader {
    queue: Queue,
    subscription: Subscription,
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn enter(subscription: Subscription, shared: Arc<Shared>) -> Self {
        Self {
            queue: shared.hub.enter(&subscription),
            subscription,
            shared,
        }
    }

    /// Its life, once its connection is its own.
    pub(super) async fn live(mut self, upgraded: Upgraded, place: Arc<Place>) {
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits())).await;
        serve(socket, &mut self.queue).await;
        drop(place);
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What all connections share has secrets.
        self.subscription.fmt(f)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.hub.leave(&self.queue);
        // Refused only when the core is gone.
        let _ = self.shared.left.send(self.subscription.clone());
    }
}

async fn serve(socket: WebSocketStream<TokioIo<Upgraded>>, queue: &mut Queue) {
    let (mut sink, mut source) = socket.split();
    // Pings since anything was heard.
    let pinged = AtomicU32::new(0);
    let reading = async {
        // Pings are answered, and whatever else comes is dropped, by reading it.
        while let Some(Ok(message)) = source.next().await {
            pinged.store(0, Ordering::Relaxed);
            if let Message::Close(_) = message {
                break;
            }
        }
    };
    let mut end = queue.end.clone();
    let at_last = queue.end.clone();
    let writing = async {
        let mut pings = interval_at(Instant::now() + PING, PING);
        loop {
            tokio::select! {
                event = queue.next() => {
                    let Some(event) = event else { return Ok(()) };
                    sink.feed(Message::Text(event)).await?;
                    while let Some(event) = queue.ready() {
                        sink.feed(Message::Text(event)).await?;
                    }
                    sink.flush().await?;
                }
                _ = pings.tick() => {
                    if pinged.fetch_add(1, Ordering::Relaxed) >= MAX_PINGS {
                        return Err(Error::ConnectionClosed);
                    }
                    sink.send(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    };
    let why = tokio::select! {
        biased;
        why = end.wait_for(|end| *end != End::Not) => why.map_or(End::Stop, |why| *why),
        () = reading => End::Not,
        result = writing => match result {
            Ok(()) => *at_last.borrow(),
            Err(Error::ConnectionClosed) => End::Silent,
            Err(_) => return,
        },
    };
    let (code, reason) = match why {
        End::Not => {
            // The other half of its closing handshake.
            let _ = timeout(CLOSE, sink.close()).await;
            return;
        }
        End::Slow => (
            CloseCode::from(TOO_SLOW),
            "too slow: more than 1024 events or 1 MiB were unread",
        ),
        End::Overrun => (CloseCode::from(OVERRUN), "events were lost in the server"),
        End::Silent => (CloseCode::from(SILENT), "two pings were not answered"),
        End::Key => (CloseCode::Policy, "the key is no longer good for this"),
        End::Stop => (CloseCode::Away, "the server ends"),
    };
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    let closing = async {
        if why == End::Stop {
            while let Some(event) = queue.ready() {
                if sink.feed(Message::Text(event)).await.is_err() {
                    return;
                }
            }
        }
        if sink.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = source.next().await {}
        }
    };
    let _ = timeout(CLOSE, closing).await;
}
