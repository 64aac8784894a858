//! Accepts connections, and has hyper read requests from them.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::hub::{Hub, Pace};
use super::limits::{Connections, Place};
use super::stream::{Bytes, Stream};
use super::{DRAIN, Shared, count, serve};
use crate::api::Published;

/// Bytes of a request's head; what is longer gets 431 or 414.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after a failed accept (no descriptor left).
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The thread's life.
pub(super) async fn run(
    listeners: Vec<std::net::TcpListener>,
    shared: Arc<Shared>,
    mut events: mpsc::Receiver<Vec<Published>>,
) {
    let mut stop = shared.stop.clone();
    let mut accepting = Vec::new();
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => accepting.push(tokio::spawn(accept(listener, Arc::clone(&shared)))),
            Err(error) => warn!(%error, "cannot listen for HTTP"),
        }
    }
    let mut pace = Pace::default();
    loop {
        tokio::select! {
            bunch = events.recv() => match bunch {
                Some(bunch) => hand_out(bunch, &shared.hub, &mut pace).await,
                None => break,
            },
            () = stopped(&mut stop) => break,
        }
    }
    // What was told before the end is heard.
    while let Ok(bunch) = events.try_recv() {
        hand_out(bunch, &shared.hub, &mut pace).await;
    }
    for task in accepting {
        task.abort();
    }
    shared.hub.close();
    let drained = async {
        while shared.connections.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(DRAIN, drained).await;
}

async fn hand_out(bunch: Vec<Published>, hub: &Hub, pace: &mut Pace) {
    let count = bunch.len();
    hub.publish(bunch, pace).await;
    hub.forget_events(count);
}

/// Waits until the server ends.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => match Connections::enter(&shared.connections, remote.ip()) {
                Some(place) => {
                    tokio::spawn(live(stream, remote, place, Arc::clone(&shared)));
                }
                None => count(&shared.counters.refused),
            },
            Err(error) => {
                warn!(%error, "cannot accept HTTP connections");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// A connection's life.
async fn live(stream: TcpStream, remote: SocketAddr, place: Place, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let shaking = async {
        match &shared.settings.security {
            None => Some(Bytes::Plain(stream)),
            Some(tls) => {
                let stream = tls.http_acceptor()?.accept(stream).await;
                stream.ok().map(|stream| Bytes::Secure(Box::new(stream)))
            }
        }
    };
    let Ok(Some(bytes)) = timeout(shared.settings.header_time, shaking).await else {
        debug!(peer = %remote, "no TLS handshake");
        return;
    };
    let stream = Stream::new(bytes, shared.settings.request_time);
    // A WebSocket goes on in a task of its own, and keeps the place.
    let place = Arc::new(place);
    let service = service_fn(|request| {
        let (shared, place) = (Arc::clone(&shared), Arc::clone(&place));
        async move {
            let answer = serve::answer(request, remote, &shared, place).await;
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.settings.header_time)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stop = shared.stop.clone();
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(peer = %remote, %error, "an HTTP connection ended");
    }
}
