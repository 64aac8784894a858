//! What a web server has under an address (HTTP/1.1 over TCP or TLS), within limits.
//!
//! For announcements (`play=http://...`, RFC 4240 §3). Whom to trust with a request is the caller's
//! business, also where a redirection leads: [`Fetcher::get`] follows none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::tls::Tls;

/// The longest address that is looked at, bytes.
pub const MAX_URL: usize = 2048;

/// Where something is to be had: an address that has been looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    /// Without the brackets of an IPv6 address, in small letters.
    host: String,
    port: u16,
    target: String,
}

impl Url {
    /// Reads `http://HOST[:PORT]/PATH` or `https://...`; none: it is something else, or carries a
    /// user's name.
    pub fn parse(text: &str) -> Option<Url> {
        if text.len() > MAX_URL {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return None;
        }
        let target = uri.path_and_query().map_or("/", |p| p.as_str());
        Some(Url {
            secure,
            host: host.to_ascii_lowercase(),
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            target: target.to_owned(),
        })
    }

    /// The host, in small letters and without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where a redirection from here leads; none: nowhere that could be followed.
    pub fn follow(&self, location: &str) -> Option<Url> {
        if location.starts_with("//") {
            return Url::parse(&format!("{}:{location}", self.scheme()));
        }
        if location.starts_with('/') {
            let target = location.split('#').next()?.to_owned();
            let same = Url {
                target,
                ..self.clone()
            };
            return Url::parse(&same.to_string());
        }
        Url::parse(location)
    }

    /// Whether a redirection from here to there would give up the encryption.
    pub fn is_downgraded_by(&self, next: &Url) -> bool {
        self.secure && !next.secure
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let usual = if self.secure { 443 } else { 80 };
        if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme();
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

/// How much is taken, and how long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// For name, connection, request and response together.
    pub time: Duration,
    /// Of the body.
    pub bytes: usize,
}

/// What the last response said that is known here (RFC 9110 §8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`.
    pub tag: Option<String>,
    /// `Last-Modified`.
    pub modified: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// What is known is still right (304).
    Unchanged {
        /// How long it need not be asked for.
        fresh: Duration,
    },
    /// It is to be had elsewhere.
    Moved(String),
    /// Here it is.
    Body {
        /// The content.
        bytes: Bytes,
        /// `Content-Type` without its parameters, in small letters.
        kind: Option<String>,
        /// What to ask with next time.
        validators: Validators,
        /// How long it need not be asked for.
        fresh: Duration,
    },
}

/// Why there is nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// It took too long.
    #[error("no whole answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It is larger than what is taken.
    #[error("larger than {0} bytes")]
    TooLarge(usize),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke, or what came is not HTTP.
    #[error("{0}")]
    Broken(String),
    /// Another status than 200, 304 and redirections.
    #[error("status {0}")]
    Status(u16),
}

/// Fetches what web servers have.
#[derive(Clone, Debug)]
pub struct Fetcher {
    tls: Arc<Tls>,
    limits: FetchLimits,
}

impl Fetcher {
    /// One that trusts whom `tls` trusts.
    pub fn new(tls: Arc<Tls>, limits: FetchLimits) -> Self {
        Self { tls, limits }
    }

    /// How much it takes, and how long it waits.
    pub fn limits(&self) -> FetchLimits {
        self.limits
    }

    /// Asks once. `language`: what is preferred (RFC 9110 §12.5.4).
    pub async fn get(
        &self,
        url: &Url,
        known: &Validators,
        language: Option<&str>,
    ) -> Result<Fetched, FetchError> {
        let asked = self.ask(url, known, language);
        match tokio::time::timeout(self.limits.time, asked).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::TimedOut(self.limits.time)),
        }
    }

    async fn ask(
        &self,
        url: &Url,
        known: &Validators,
        language: Option<&str>,
    ) -> Result<Fetched, FetchError> {
        let connect = |error: &dyn fmt::Display| FetchError::Connect(error.to_string());
        let stream = TcpStream::connect((url.host.as_str(), url.port))
            .await
            .map_err(|e| connect(&e))?;
        let request = request(url, known, language).map_err(|e| connect(&e))?;
        if !url.secure {
            return self.exchange(stream, request).await;
        }
        let connector = self.tls.connector().await;
        let connector = connector.map_err(|e| connect(&e))?;
        let name = ServerName::try_from(url.host.clone()).map_err(|e| connect(&e))?;
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|e| connect(&e))?;
        self.exchange(stream, request).await
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        request: Request<Empty<Bytes>>,
    ) -> Result<Fetched, FetchError> {
        let broken = |error: hyper::Error| FetchError::Broken(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends with the sender, or when this future is dropped at its time-out.
        let connection = AbortOnDrop(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let response = sender.send_request(request).await.map_err(broken)?;
        let headers = response.headers().clone();
        let fresh = freshness(&headers);
        let result = match response.status() {
            StatusCode::NOT_MODIFIED => Ok(Fetched::Unchanged { fresh }),
            status if status.is_redirection() => text(&headers, &header::LOCATION)
                .map(Fetched::Moved)
                .ok_or(FetchError::Status(status.as_u16())),
            StatusCode::OK => {
                let limited = Limited::new(response.into_body(), self.limits.bytes);
                let bytes = limited.collect().await.map_err(|error| {
                    if error.is::<http_body_util::LengthLimitError>() {
                        FetchError::TooLarge(self.limits.bytes)
                    } else {
                        FetchError::Broken(error.to_string())
                    }
                })?;
                Ok(Fetched::Body {
                    bytes: bytes.to_bytes(),
                    kind: text(&headers, &header::CONTENT_TYPE).map(|kind| media_type(&kind)),
                    validators: Validators {
                        tag: text(&headers, &header::ETAG),
                        modified: text(&headers, &header::LAST_MODIFIED),
                    },
                    fresh,
                })
            }
            status => Err(FetchError::Status(status.as_u16())),
        };
        drop(connection);
        result
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(
    url: &Url,
    known: &Validators,
    language: Option<&str>,
) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let mut builder = Request::get(url.target.as_str())
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, "antiphon")
        .header(
            header::ACCEPT,
            "audio/wav, audio/x-wav, audio/*;q=0.8, */*;q=0.1",
        )
        .header(header::CONNECTION, "close");
    let optional = [
        (header::ACCEPT_LANGUAGE, language),
        (header::IF_NONE_MATCH, known.tag.as_deref()),
        (header::IF_MODIFIED_SINCE, known.modified.as_deref()),
    ];
    for (name, value) in optional {
        if let Some(value) = value.and_then(|v| HeaderValue::from_str(v).ok()) {
            builder = builder.header(name, value);
        }
    }
    builder.body(Empty::new())
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= MAX_URL).then(|| value.to_owned())
}

/// A content type without its parameters, in small letters.
pub fn media_type(text: &str) -> String {
    let kind = text.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// How long a response may be used without asking again (RFC 9111 §5.2.2): `max-age` as far as nothing
/// forbids it, at most a day.
fn freshness(headers: &HeaderMap) -> Duration {
    let control = text(headers, &header::CACHE_CONTROL).unwrap_or_default();
    let mut age = 0;
    for directive in control.split(',') {
        let directive = directive.trim().to_ascii_lowercase();
        match directive.split_once('=') {
            None if directive == "no-cache" || directive == "no-store" => return Duration::ZERO,
            Some(("max-age", seconds)) => age = seconds.trim_matches('"').parse().unwrap_or(0),
            _ => {}
        }
    }
    Duration::from_secs(age).min(Duration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed() {
        for (text, host, printed) in [
            (
                "http://Media.Example/a.wav",
                "media.example",
                "http://media.example/a.wav",
            ),
            ("https://h:443/x?y=1", "h", "https://h/x?y=1"),
            (
                "http://[2001:db8::1]:8080/",
                "2001:db8::1",
                "http://[2001:db8::1]:8080/",
            ),
            ("http://h", "h", "http://h/"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.host(), url.to_string().as_str()), (host, printed));
        }
        for text in [
            "ftp://h/x",
            "file:///etc/passwd",
            "http://user@h/",
            "http://",
            "h/x",
            "",
            "http://h/a b",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
        assert_eq!(
            Url::parse(&format!("http://h/{}", "x".repeat(MAX_URL))),
            None
        );
    }

    #[test]
    fn redirections_lead_on() {
        let here = Url::parse("https://h/a/b.wav").unwrap();
        let to = |location: &str| here.follow(location).map(|u| u.to_string());
        assert_eq!(to("/c.wav#x").as_deref(), Some("https://h/c.wav"));
        assert_eq!(to("//o/c").as_deref(), Some("https://o/c"));
        assert_eq!(to("http://o/c").as_deref(), Some("http://o/c"));
        assert_eq!(to("c.wav"), None);
        assert!(here.is_downgraded_by(&Url::parse("http://h/").unwrap()));
    }

    #[test]
    fn freshness_is_what_the_server_allows() {
        for (control, seconds) in [
            ("max-age=60", 60),
            ("public, max-age=\"5\"", 5),
            ("max-age=60, no-cache", 0),
            ("no-store", 0),
            ("max-age=99999999", 86_400),
            ("max-age=x", 0),
            ("", 0),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, control.parse().unwrap());
            assert_eq!(freshness(&headers).as_secs(), seconds, "{control}");
        }
    }
}
