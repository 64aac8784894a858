//! `antiphon calls` and `antiphon rooms`: thin clients of the control API.

pub mod calls;
pub mod rooms;
mod table;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::net::tls::{self, Tls, TlsError, TlsSettings, server_name};
use crate::server::control::socket_path;
use crate::server::own_key;

/// How long the server may take to answer.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const MAX_ANSWER: usize = 16 << 20;

/// Which server, and what is shown to it.
#[derive(Clone)]
pub struct Target {
    /// `http://127.0.0.1:8080`, or `https://...`.
    pub url: String,
    /// A secret, or NAME:SECRET; none: nothing is shown.
    pub key: Option<String>,
    /// Who may have signed its certificate; none: whom the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// The SHA-256 of the one certificate that it may show, in hex; none: it has to be for its name,
    /// and signed.
    pub certificate: Option<String>,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL makes no sense.
    #[error("{0:?} is no URL of a server; it looks like http://127.0.0.1:8080")]
    Url(String),
    /// A key file.
    #[error("{file}: {error}", file = .0.display(), error = .1)]
    KeyFile(PathBuf, io::Error),
    /// Nobody is there.
    #[error(
        "no server answers at {0} ({1}); is it running, and does http.listen have that address? \
         (--url names another)"
    )]
    Unreachable(String, String),
    /// Its certificate is not for its name, not signed by whom we trust, or too old.
    #[error(
        "the certificate of {0} does not do for that name ({1}): --url with the name that it has, or \
         --tls-ca with who has signed it"
    )]
    Certificate(String, String),
    /// Somebody else is where the server of the key file was.
    #[error(
        "{0} shows another certificate than the file beside the control socket says: it is not the \
         server that has written the file"
    )]
    Stranger(String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No key, and one is wanted.
    #[error(
        "the server wants a key, and there is none: as its own user it is found beside the control \
         socket (--config), else name one by --key-file or the variable ANTIPHON_KEY"
    )]
    NoKey,
    /// The key is not known.
    #[error(
        "the server does not know this key (--key-file, the variable ANTIPHON_KEY, or the file beside \
         the control socket)"
    )]
    WrongKey,
    /// The server's own words.
    #[error("{0}")]
    Refused(String),
    /// What answers is no server of ours.
    #[error("{0} answers, and not as antiphon does: {1}")]
    Foreign(String, String),
}

impl Target {
    /// Finds the server: what is named, else what the file beside the control socket says, else
    /// where it listens if nothing is configured.
    pub fn find(
        url: Option<String>,
        key: Option<String>,
        control_socket: Option<&Path>,
        tls_ca: Option<PathBuf>,
    ) -> Self {
        let file = socket_path(control_socket).map(|path| own_key::path(&path));
        let text = file.and_then(|file| std::fs::read_to_string(file).ok());
        let text = text.unwrap_or_default();
        let mut lines = text.lines().map(str::to_owned);
        let (own_url, own_key) = (lines.next(), lines.next());
        // An older server has not written it.
        let own_certificate = lines.next().filter(|line| !line.is_empty());
        // The key of one server is not shown to another.
        let is_own = url.is_none() || url == own_url;
        Self {
            url: url
                .or(own_url)
                .unwrap_or_else(|| "http://127.0.0.1:8080".to_owned()),
            key: key.or(own_key.filter(|_| is_own)),
            tls_ca,
            certificate: own_certificate.filter(|_| is_own),
        }
    }

    /// Asks, and gives what is answered; null: nothing.
    pub async fn ask(&self, method: &str, path: &str) -> Result<Value, ClientError> {
        self.send(method, path, None).await
    }

    /// The same with a body.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Value, ClientError> {
        let url = || ClientError::Url(self.url.clone());
        let uri: Uri = self.url.parse().map_err(|_| url())?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(url()),
        };
        let host = uri.host().ok_or_else(url)?.to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let unreachable = |why: &dyn std::fmt::Display| {
            ClientError::Unreachable(self.url.clone(), why.to_string())
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, uri.authority().map_or("", |a| a.as_str()));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Bytes::from(body.unwrap_or_default().to_owned());
        let request = request.body(Full::new(body)).map_err(|_| url())?;
        let exchange = async {
            let stream = TcpStream::connect((bare, port)).await;
            let stream = stream.map_err(|error| unreachable(&error))?;
            if !is_secure {
                return exchange(stream, request).await.map_err(|e| unreachable(&e));
            }
            let connector = self.connector().await?;
            let peer = stream.peer_addr().map_err(|error| unreachable(&error))?;
            let stream = connector.connect(server_name(Some(bare), peer.ip()), stream);
            let stream = stream.await.map_err(|error| self.no_handshake(&error))?;
            exchange(stream, request).await.map_err(|e| unreachable(&e))
        };
        let answer = timeout(TIME, exchange).await;
        let (status, body) = answer.map_err(|_| unreachable(&"no answer in time"))??;
        self.judge(status, &body)
    }

    async fn connector(&self) -> Result<TlsConnector, TlsError> {
        if let Some(certificate) = &self.certificate {
            return tls::pinned(certificate.clone());
        }
        let settings = TlsSettings {
            ca: self.tls_ca.clone(),
            ..TlsSettings::default()
        };
        let tls = Tls::load(&settings, false)?;
        tls.connector().await
    }

    fn no_handshake(&self, error: &io::Error) -> ClientError {
        let (url, why) = (self.url.clone(), error.to_string());
        if !tls::is_about_certificate(error) {
            ClientError::Unreachable(url, why)
        } else if self.certificate.is_some() {
            ClientError::Stranger(url)
        } else {
            ClientError::Certificate(url, why)
        }
    }

    fn judge(&self, status: u16, body: &[u8]) -> Result<Value, ClientError> {
        let text = || String::from_utf8_lossy(body).chars().take(200).collect();
        let foreign = || ClientError::Foreign(self.url.clone(), text());
        let value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).map_err(|_| foreign())?
        };
        match status {
            200..=299 => Ok(value),
            401 if self.key.is_none() => Err(ClientError::NoKey),
            401 => Err(ClientError::WrongKey),
            _ => match value["detail"].as_str() {
                Some(detail) => Err(ClientError::Refused(detail.to_owned())),
                None => Err(foreign()),
            },
        }
    }

    /// Asks for a list, page by page.
    pub async fn list(&self, path: &str, name: &str) -> Result<Vec<Value>, ClientError> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let mut page = self
                .ask("GET", &format!("{path}?limit=1000{after}"))
                .await?;
            if let Some(entries) = page[name].as_array_mut() {
                all.append(entries);
            }
            let Some(next) = page["next"].as_str() else {
                return Ok(all);
            };
            after = format!("&after={}", escaped(next));
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Vec<u8>), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MAX_ANSWER)
        .collect()
        .await?;
    Ok((status, body.to_bytes().to_vec()))
}

/// A text as one segment of a path, or one value of a query.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_is_told_in_words() {
        let target = |key: Option<&str>| Target {
            url: "http://x".to_owned(),
            key: key.map(str::to_owned),
            tls_ca: None,
            certificate: None,
        };
        let judge = |status, body: &str| target(Some("k")).judge(status, body.as_bytes());
        assert_eq!(judge(204, "").unwrap(), Value::Null);
        assert_eq!(judge(200, "[1]").unwrap()[0], 1);
        assert!(matches!(judge(401, "{}"), Err(ClientError::WrongKey)));
        let none = target(None).judge(401, b"{}");
        assert!(matches!(none, Err(ClientError::NoKey)));
        let refused = judge(404, r#"{"detail":"there is no call \"x\""}"#);
        assert_eq!(refused.unwrap_err().to_string(), "there is no call \"x\"");
        assert!(matches!(
            judge(200, "<html>"),
            Err(ClientError::Foreign(..))
        ));
    }

    #[test]
    fn what_stands_in_a_path_is_escaped() {
        assert_eq!(escaped("a/b é?"), "a%2Fb%20%C3%A9%3F");
        assert_eq!(escaped("1764.12"), "1764.12");
    }

    #[test]
    fn the_key_of_the_server_here_goes_to_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control.sock");
        let write = |text: &str| std::fs::write(own_key::path(&socket), text).unwrap();
        write("http://127.0.0.1:1\nsecret\n");
        let find =
            |url: Option<&str>| Target::find(url.map(str::to_owned), None, Some(&socket), None);
        assert_eq!(find(None).url, "http://127.0.0.1:1");
        assert_eq!(find(None).key.as_deref(), Some("secret"));
        assert_eq!(
            find(Some("http://127.0.0.1:1")).key.as_deref(),
            Some("secret")
        );
        assert_eq!(find(Some("http://192.0.2.1:1")).key, None);
        assert_eq!(find(None).certificate, None);
        // Nor is another taken for it.
        write("https://127.0.0.1:1\nsecret\naa\n");
        assert_eq!(find(None).certificate.as_deref(), Some("aa"));
        assert_eq!(find(Some("https://192.0.2.1:1")).certificate, None);
    }
}
