//! One request: where it goes, who asks, what comes with it, and what is answered.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request as HttpRequest, Response as HttpResponse, StatusCode, Version};
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, info};

use super::auth::Shown;
use super::limits::{Asker, Place};
use super::pieces::Pieces;
use super::{Ask, LONG, MAX_UNREAD, Monitoring, Outcome, Shared, count};
use crate::api::{self, Access, Method, Problem, Request, Response, Routed, Scope, Tree, Unrouted};

type Answer = HttpResponse<Pieces>;

/// What is asked for with a key is asked for like this.
const CHALLENGE: &str = "Basic realm=\"antiphon\", charset=\"UTF-8\", Bearer realm=\"antiphon\"";

/// Answers a request.
pub(super) async fn answer(
    mut request: HttpRequest<Incoming>,
    remote: SocketAddr,
    shared: &Arc<Shared>,
    place: Arc<Place>,
) -> Answer {
    let path = request.uri().path().to_owned();
    let method = request.method().as_str().to_owned();
    let tree = api::tree(&path);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut key: Option<(Arc<str>, Scope)> = None;
    let result = respond(&mut request, remote, shared, (tree, &path), &mut key, place).await;
    let response = result.and_then(|response| weighed(response, shared));
    let response = response.unwrap_or_else(|problem| problem.response(tree.format));
    let status = response.status;
    if let Some(counter) = usize::from(status / 100).checked_sub(1) {
        shared.counters.answers.get(counter).map(count);
    }
    let key = key.as_ref().map_or("-", |(name, _)| name);
    if Method::parse(&method).is_some_and(|m| m != Method::Get) {
        info!(peer = %remote, key, method, path, status, "API");
    } else {
        debug!(peer = %remote, key, method, path, status, "API");
    }
    let mut answer = written(response, shared);
    if let Some(origin) = origin {
        allow_origin(&origin, shared, answer.headers_mut());
    }
    answer
}

/// What a route, a key and the limits say; then what the core says.
async fn respond(
    request: &mut HttpRequest<Incoming>,
    remote: SocketAddr,
    shared: &Arc<Shared>,
    (tree, path): (&'static Tree, &str),
    key: &mut Option<(Arc<str>, Scope)>,
    place: Arc<Place>,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let query = api::query(request.uri().query().unwrap_or_default())?;
    let shown = shown(request.headers(), &query, tree, shared);
    let asker = match &shown {
        Shown::Key(name, scope) => {
            *key = Some((Arc::clone(name), *scope));
            Asker::Key(Arc::clone(name))
        }
        _ => Asker::source(remote.ip()),
    };
    if let Err(seconds) = shared.rates.take(asker, began) {
        return Err(Problem::later(429, "too many requests", seconds));
    }
    let name = request.method().as_str();
    if name == "OPTIONS" {
        return options(path);
    }
    let routed = match api::route(Method::parse(name), path) {
        Ok(routed) => routed,
        Err(Unrouted::NotFound) => return Err(Problem::new(404, "there is no such path")),
        Err(Unrouted::Method(methods)) => {
            let allow = api::allow(&methods);
            let problem = Problem::new(405, format!("this path takes {allow}"));
            return Err(problem.header("Allow", allow));
        }
    };
    authorise(&routed, &shown, remote, shared)?;
    if routed.operation.method != Method::Get || upgrades(request).is_some() {
        refuse_foreign(request.headers(), shared)?;
    }
    let by = began + shared.settings.request_time;
    let accept = upgrades(request);
    let body = body(request, &routed, shared, by).await?;
    let host = request.headers().get(header::HOST);
    let asked = Request {
        host: host.and_then(|host| host.to_str().ok()).map(str::to_owned),
        secure: shared.settings.security.is_some(),
        path: routed.path,
        query,
        body,
        key: key.as_ref().map(|(name, _)| Arc::clone(name)),
        scope: key.as_ref().map(|(_, scope)| *scope),
        upgrades: accept.is_some(),
    };
    let (answer, answered) = oneshot::channel();
    let ask = Ask {
        operation: routed.operation,
        request: asked,
        answer,
    };
    let busy = || Problem::later(503, "the server is busy", 1);
    shared.asks.try_send(ask).map_err(|_| busy())?;
    match timeout_at(by.into(), answered).await {
        Err(_) => Err(busy()),
        Ok(Err(_)) => Err(Problem::later(503, "the server ends", 5)),
        Ok(Ok(Outcome::Response(response))) => Ok(response),
        Ok(Ok(Outcome::Job(job))) => run(job, shared, by).await,
        Ok(Ok(Outcome::Reader(reader))) => {
            let upgrade = hyper::upgrade::on(request);
            tokio::spawn(async move {
                if let Ok(upgraded) = upgrade.await {
                    reader.live(upgraded, place).await;
                }
            });
            Ok(Response {
                status: 101,
                content_type: None,
                headers: vec![
                    ("Connection", "Upgrade".to_owned()),
                    ("Upgrade", "websocket".to_owned()),
                    ("Sec-WebSocket-Accept", accept.unwrap_or_default()),
                ],
                body: Vec::new(),
            })
        }
    }
}

/// What may block, on a thread for that.
async fn run(
    job: Box<dyn FnOnce() -> Response + Send>,
    shared: &Shared,
    by: Instant,
) -> Result<Response, Problem> {
    let jobs = Arc::clone(&shared.jobs);
    let running = async {
        let permit = jobs.acquire_owned().await.ok()?;
        let task = tokio::task::spawn_blocking(move || {
            let response = job();
            drop(permit);
            response
        });
        task.await.ok()
    };
    match timeout_at(by.into(), running).await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(Problem::new(500, "the request was given up")),
        Err(_) => Err(Problem::later(503, "the server is busy", 1)),
    }
}

fn shown(headers: &HeaderMap, query: &[(String, String)], tree: &Tree, shared: &Shared) -> Shown {
    let keys = shared.keys.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        return value.to_str().map_or(Shown::Wrong, |v| keys.of_header(v));
    }
    let named = query.iter().find(|(name, _)| name == "api_key");
    match named {
        Some((_, text)) if tree.key_in_query => keys.find(text),
        _ => Shown::Nothing,
    }
}

fn authorise(
    routed: &Routed,
    shown: &Shown,
    remote: SocketAddr,
    shared: &Shared,
) -> Result<(), Problem> {
    let needed = match routed.operation.access {
        Access::Key(scope) => scope,
        Access::Monitoring => {
            let open = match shared.settings.monitoring {
                Monitoring::Anywhere => true,
                Monitoring::Loopback => remote.ip().to_canonical().is_loopback(),
                Monitoring::Nowhere => false,
            };
            if open {
                return Ok(());
            }
            api::Scope::Read
        }
    };
    match shown {
        Shown::Key(_, scope) if *scope >= needed => Ok(()),
        Shown::Key(name, scope) => {
            let (has, needs) = (scope.as_str(), needed.as_str());
            let why = format!("this needs a key of scope {needs}; {name:?} has {has}");
            Err(Problem::new(403, why))
        }
        Shown::Nothing | Shown::Wrong => {
            let why = if *shown == Shown::Wrong {
                "there is no such key"
            } else {
                "this needs a key"
            };
            Err(Problem::new(401, why).header("WWW-Authenticate", CHALLENGE))
        }
    }
}

fn options(path: &str) -> Result<Response, Problem> {
    let methods = match api::route(None, path) {
        Err(Unrouted::Method(methods)) => methods,
        _ if path == "*" => Method::ALL.to_vec(),
        _ => return Err(Problem::new(404, "there is no such path")),
    };
    Ok(Response::empty().header("Allow", api::allow(&methods)))
}

/// A browser sends what it has been told of keys along with whatever any page has it ask for: what
/// changes something, or opens a WebSocket, is refused to pages of others.
fn refuse_foreign(headers: &HeaderMap, shared: &Shared) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let own = origin.split_once("://").map(|(_, host)| host);
    if (own.is_some() && own == host) || is_allowed(origin, shared) {
        return Ok(());
    }
    Err(Problem::new(
        403,
        "pages of other origins may not (http.cors_origins)",
    ))
}

fn is_allowed(origin: &str, shared: &Shared) -> bool {
    let mut origins = shared.settings.cors_origins.iter();
    origins.any(|known| known == "*" || known.eq_ignore_ascii_case(origin))
}

fn allow_origin(origin: &HeaderValue, shared: &Shared, headers: &mut HeaderMap) {
    if shared.settings.cors_origins.is_empty() {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if !origin
        .to_str()
        .is_ok_and(|origin| is_allowed(origin, shared))
    {
        return;
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PUT, DELETE",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Location, Retry-After",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The value of Sec-WebSocket-Accept, where the connection is to become a WebSocket (RFC 6455 §4.2.1).
fn upgrades(request: &HttpRequest<Incoming>) -> Option<String> {
    let headers = request.headers();
    let names = |name: HeaderName, word: &str| {
        let mut values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        values.any(|value| {
            value
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(word))
        })
    };
    let wanted = request.method() == hyper::Method::GET
        && request.version() == Version::HTTP_11
        && names(header::CONNECTION, "upgrade")
        && names(header::UPGRADE, "websocket")
        && names(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| wanted)?;
    Some(derive_accept_key(key.as_bytes()))
}

/// The body, where the operation takes one: whole, in time, and no longer than it may be.
async fn body(
    request: &mut HttpRequest<Incoming>,
    routed: &Routed,
    shared: &Shared,
    by: Instant,
) -> Result<Vec<u8>, Problem> {
    let most = shared.settings.max_body;
    let too_long = || Problem::new(413, format!("the body is longer than {most} bytes"));
    if request.body().size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    if routed.operation.body.is_none() || request.body().is_end_stream() {
        return Ok(Vec::new());
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(api::JSON) {
        let problem = Problem::new(415, "the body has to be application/json");
        return Err(problem.header("Accept", api::JSON));
    }
    let whole = Limited::new(request.body_mut(), most).collect();
    match timeout_at(by.into(), whole).await {
        Err(_) => Err(Problem::new(408, "the body did not come in time")),
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => Err(Problem::new(400, "the body is broken")),
    }
}

/// The response, or that there are too many long ones that nobody has read yet.
fn weighed(response: Response, shared: &Shared) -> Result<Response, Problem> {
    let length = response.body.len();
    if length <= LONG || shared.unread.fetch_add(length, Ordering::Relaxed) + length <= MAX_UNREAD {
        return Ok(response);
    }
    shared.unread.fetch_sub(length, Ordering::Relaxed);
    let why = "too many long answers wait to be read";
    Err(Problem::later(503, why, 5))
}

fn written(response: Response, shared: &Shared) -> Answer {
    let unread = (response.body.len() > LONG).then(|| Arc::clone(&shared.unread));
    let mut answer = HttpResponse::new(Pieces::of(response.body, unread));
    let status = StatusCode::from_u16(response.status);
    *answer.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    if let Some(kind) = response.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        // What is true now may not be in a moment, and none of it is a page's.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let name = header::X_CONTENT_TYPE_OPTIONS;
        headers.insert(name, HeaderValue::from_static("nosniff"));
    }
    for (name, value) in response.headers {
        let value = HeaderValue::from_str(&value);
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value) {
            headers.append(name, value);
        }
    }
    answer
}
