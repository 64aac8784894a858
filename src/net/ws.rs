//! SIP over WebSocket (RFC 7118): the handshake, and a task per connection. Each message of the
//! WebSocket is one of SIP's; Content-Length is not needed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message as Part;
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::net::connections::Opened;
use crate::net::frames::Frames;
use crate::net::sip::{Shared, count};
use crate::net::stream::{self, End, Incoming, PING, PONG, Written};
use crate::sip::message::{self, MAX_MESSAGE, ParseError};
use crate::sip::transport::Flow;

/// The subprotocol that both sides name (RFC 7118 §4).
const SIP: &str = "sip";
/// What a peer may leave unread, bytes; beyond it the connection ends.
const WRITE_BUFFER: usize = 256 * 1024;
/// How often a connection on which nothing comes is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a ping may stay without an answer (RFC 5626 §4.4.1).
const PONG_TIME: Duration = Duration::from_secs(10);

/// A WebSocket whose frames are followed, so that a message that never ends is noticed.
pub(super) struct Socket<S> {
    stream: WebSocketStream<Followed<S>>,
    read: Shares,
}

/// What has come, once there are frames.
type Shares = Arc<Mutex<Option<Frames>>>;

fn lock(read: &Shares) -> MutexGuard<'_, Option<Frames>> {
    read.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server's half of the handshake; refused where the peer does not name the subprotocol, or is a
/// web page that is not among `origins` (if there are any).
pub(super) async fn accept<S>(stream: S, origins: &[String]) -> Option<Socket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let read = Shares::default();
    let followed = Followed {
        stream,
        read: Arc::clone(&read),
    };
    let terms = Terms { origins };
    let shaken = accept_hdr_async_with_config(followed, terms, Some(limits())).await;
    // Nothing may come before the handshake is answered: the library refuses what does.
    *lock(&read) = Some(Frames::default());
    shaken.ok().map(|stream| Socket { stream, read })
}

/// What a peer may make us hold.
pub fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// What a handshake has to bring.
struct Terms<'a> {
    origins: &'a [String],
}

impl Terms<'_> {
    /// Browsers alone name an origin, and cannot be made to name another's (RFC 6455 §10.2).
    fn admit(&self, request: &Request) -> bool {
        let named = request.headers().get_all(header::ORIGIN);
        self.origins.is_empty()
            || named.iter().all(|value| {
                let listed =
                    |origin: &String| value.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
                self.origins.iter().any(listed)
            })
    }
}

impl Callback for Terms<'_> {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        if !self.admit(request) {
            return Err(refusal(
                StatusCode::FORBIDDEN,
                "This page may not use SIP here: its Origin is not among sip.ws_origins",
            ));
        }
        let mut named = request
            .headers()
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        if named.any(|name| name.trim().eq_ignore_ascii_case(SIP)) {
            let mut response = response;
            let value = HeaderValue::from_static(SIP);
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, value);
            return Ok(response);
        }
        Err(refusal(
            StatusCode::BAD_REQUEST,
            "This is SIP over WebSocket (RFC 7118): Sec-WebSocket-Protocol has to name sip",
        ))
    }
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(Some(why.to_owned()));
    *refusal.status_mut() = status;
    refusal
}

/// A connection's life after its handshake.
pub(super) async fn serve<S>(socket: Socket<S>, opened: Opened, flow: Flow, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Opened {
        registered,
        mut queue,
        answers,
        kill,
    } = opened;
    let Socket { stream, read } = socket;
    let (mut sink, source) = stream.split();
    let reader = Reader {
        incoming: Incoming {
            flow,
            is_verified: false,
            known: &registered.known,
            shared: &shared,
        },
        answers,
        read,
    };
    let reading = reader.run(source);
    let writing = write(&mut sink, &mut queue, &shared);
    if stream::live(reading, writing, &kill, &registered, &shared).await {
        // The closing handshake is a courtesy: nobody waits for its other half.
        let _ = timeout(PONG_TIME, sink.close()).await;
    }
    drop(sink);
    stream::leave(registered, &shared).await;
}

/// Writes messages, and a ping where there is none to write for a while.
async fn write<W>(sink: &mut W, queue: &mut mpsc::Receiver<Vec<u8>>, shared: &Shared) -> Written
where
    W: futures_util::Sink<Part, Error = Error> + Unpin,
{
    let limit = shared.settings.message_time;
    let interval = shared.settings.keep_alive;
    loop {
        let part = match interval {
            None => queue.recv().await.map(part),
            Some(interval) => match timeout(interval, queue.recv()).await {
                Ok(bytes) => bytes.map(part),
                Err(_) => Some(Part::Ping(Bytes::new())),
            },
        };
        let Some(part) = part else {
            return Written::All;
        };
        match timeout(limit, sink.send(part)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Written::Broken,
            Err(_) => return Written::Unread,
        }
    }
}

/// Text where it is text, as browsers expect.
fn part(bytes: Vec<u8>) -> Part {
    match String::from_utf8(bytes) {
        Ok(text) => Part::Text(text.into()),
        Err(error) => Part::Binary(error.into_bytes().into()),
    }
}

struct Reader<'a> {
    incoming: Incoming<'a>,
    answers: mpsc::WeakSender<Vec<u8>>,
    read: Shares,
}

impl Reader<'_> {
    async fn run(self, mut source: impl StreamExt<Item = Result<Part, Error>> + Unpin) -> End {
        let shared = self.incoming.shared;
        let mut patience = Patience::new(shared);
        loop {
            let look = patience.next_look();
            let part = match timeout_at(look, source.next()).await {
                Ok(None | Some(Ok(Part::Close(_)))) => return End::Eof,
                Ok(Some(Ok(part))) => part,
                Ok(Some(Err(error))) => return self.failed(&error),
                Err(_) if patience.is_over(self.is_within()) => {
                    count(&shared.counters.tcp_timed_out);
                    return End::Unanswerable;
                }
                Err(_) => continue,
            };
            patience.heard(&part);
            // Pings between the fragments of a message do not make it shorter.
            if patience.is_over(self.is_within()) {
                count(&shared.counters.tcp_timed_out);
                return End::Unanswerable;
            }
            if let Some(end) = self.on_part(&part, &mut patience).await {
                return end;
            }
        }
    }

    /// Whether what has come ends within a message.
    fn is_within(&self) -> bool {
        lock(&self.read).as_ref().is_some_and(Frames::is_within)
    }

    async fn on_part(&self, part: &Part, patience: &mut Patience) -> Option<End> {
        let bytes = match part {
            Part::Text(text) => text.as_bytes(),
            Part::Binary(bytes) => bytes,
            // Pings are answered by the library, and closing ends the stream.
            _ => return None,
        };
        if bytes == PING {
            if let Some(answers) = self.answers.upgrade() {
                let _ = answers.try_send(PONG.to_vec());
            }
            return None;
        }
        if bytes.trim_ascii().is_empty() {
            return None;
        }
        match message::parse_datagram(bytes) {
            Ok(message) => {
                patience.silent_until = None;
                self.incoming.message(message).await
            }
            Err(error) => self.malformed(error).await,
        }
    }

    /// Where a message ends is certain here: one that is wrong spoils none behind it.
    async fn malformed(&self, error: ParseError) -> Option<End> {
        match self.incoming.malformed(error).await {
            End::Malformed => None,
            end => Some(end),
        }
    }

    fn failed(&self, error: &Error) -> End {
        match error {
            Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_) => {
                count(&self.incoming.shared.counters.tcp_malformed);
                End::Unanswerable
            }
            _ => End::Broken,
        }
    }
}

/// How long a peer may take for a whole message, and be without a word: a browser that only waits
/// for calls has none to say, but answers pings. It has registered before: the first message has the
/// time of one, whatever pings come.
struct Patience {
    message_time: Duration,
    silence: Duration,
    /// Since when a message has begun that has not ended.
    partial_since: Option<Instant>,
    /// Until when the first message has to have come.
    silent_until: Option<Instant>,
    last: Instant,
}

impl Patience {
    fn new(shared: &Shared) -> Self {
        let settings = &shared.settings;
        Self {
            message_time: settings.message_time,
            // A peer that answers pings is there.
            silence: settings
                .keep_alive
                .map_or(settings.idle, |interval| interval + PONG_TIME),
            partial_since: None,
            silent_until: Some(Instant::now() + settings.message_time),
            last: Instant::now(),
        }
    }

    fn next_look(&self) -> Instant {
        let ends = [
            self.partial_since.map(|since| since + self.message_time),
            self.silent_until,
            Some(self.last + self.silence),
        ];
        let end = ends.into_iter().flatten().min();
        let look = Instant::now() + LOOK.min(self.message_time);
        end.map_or(look, |end| end.min(look))
    }

    /// A whole part has come. What has come behind it began with it.
    fn heard(&mut self, part: &Part) {
        self.last = Instant::now();
        if matches!(part, Part::Text(_) | Part::Binary(_)) {
            self.partial_since = None;
        }
    }

    /// Whether patience has ended; `within`: what has come ends within a message.
    fn is_over(&mut self, within: bool) -> bool {
        let now = Instant::now();
        if within {
            self.partial_since.get_or_insert(now);
        } else {
            self.partial_since = None;
        }
        let is_past = |end: Option<Instant>| end.is_some_and(|end| now >= end);
        is_past(self.partial_since.map(|since| since + self.message_time))
            || is_past(self.silent_until)
            || now >= self.last + self.silence
    }
}

/// Follows the frames that are read.
struct Followed<S> {
    stream: S,
    read: Shares,
}

impl<S: AsyncRead + Unpin> AsyncRead for Followed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(frames) = &mut *lock(&self.read) {
            frames.read(&buffer.filled()[before..]);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Followed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
