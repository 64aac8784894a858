//! SIP and SIPS URIs (RFC 3261 §19.1).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memchr;

pub use super::params::Params;
use super::params::ParamsError;
use super::{chars, syntax};

/// `sip:` or `sips:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`.
    Sip,
    /// `sips:`: TLS on each hop.
    Sips,
}

impl Scheme {
    /// The scheme without its colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
        }
    }
}

/// The host of a URI or of a Via.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name, as written.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; in brackets on the wire.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a host: a name, an IPv4 address, an IPv6 address in brackets.
    pub fn parse(text: &str) -> Option<Host> {
        HostRef::parse(text).map(HostRef::to_owned)
    }

    /// The address of a literal; `None` for a name.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(a) => Some(IpAddr::V4(*a)),
            Host::V6(a) => Some(IpAddr::V6(*a)),
        }
    }

    /// Whether both are the same host: names without case.
    pub fn equivalent(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => Host::V4(a),
            IpAddr::V6(a) => Host::V6(a),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(a) => a.fmt(f),
            Host::V6(a) => write!(f, "[{a}]"),
        }
    }
}

/// A host, borrowed from the text that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostRef<'a> {
    Name(&'a str),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl<'a> HostRef<'a> {
    fn parse(text: &'a str) -> Option<HostRef<'a>> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(HostRef::V6);
        }
        if text.starts_with(|c: char| c.is_ascii_digit())
            && let Ok(address) = text.parse()
        {
            return Some(HostRef::V4(address));
        }
        (!text.is_empty() && chars::all(text, chars::HOST)).then_some(HostRef::Name(text))
    }

    pub(crate) const fn ip(self) -> Option<IpAddr> {
        match self {
            HostRef::Name(_) => None,
            HostRef::V4(a) => Some(IpAddr::V4(a)),
            HostRef::V6(a) => Some(IpAddr::V6(a)),
        }
    }

    pub(crate) fn to_owned(self) -> Host {
        match self {
            HostRef::Name(name) => Host::Name(name.to_owned()),
            HostRef::V4(a) => Host::V4(a),
            HostRef::V6(a) => Host::V6(a),
        }
    }
}

/// Reads `host` or `host:port`.
pub(crate) fn host_port(text: &str) -> Option<(HostRef<'_>, Option<u16>)> {
    let host_end = match text.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => memchr(b':', text.as_bytes()).unwrap_or(text.len()),
    };
    // Around the colon white space may stand in a Via (`sent-by`, RFC 3261 §25.1); the caller
    // has refused it elsewhere.
    let host = HostRef::parse(syntax::trim(&text[..host_end]))?;
    let rest = syntax::trim(&text[host_end..]);
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = syntax::number(syntax::trim(rest.strip_prefix(':')?))?;
    Some((host, Some(port)))
}

/// Why a text is not a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// A scheme other than `sip` and `sips` (416 in a Request-URI).
    #[error("unsupported URI scheme")]
    Scheme,
    /// No scheme at all.
    #[error("not a URI")]
    NotAUri,
    /// White space, brackets, quotes, control characters.
    #[error("character not allowed in a URI")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("bad escape in URI")]
    Escape,
    /// An empty user part, or a second `@`.
    #[error("bad user part in URI")]
    User,
    /// No host, or not a host, or a bad port.
    #[error("bad host or port in URI")]
    Host,
    /// Bad parameters.
    #[error("{0} in URI")]
    Params(ParamsError),
    /// Empty or bad headers after `?`.
    #[error("bad headers in URI")]
    Headers,
}

/// A SIP or SIPS URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user, escapes resolved.
    pub user: Option<String>,
    /// The password, escapes resolved. Never log it.
    pub password: Option<String>,
    /// The host.
    pub host: Host,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// The parameters, escapes as written.
    pub params: Params,
    /// What stands behind `?`, as written.
    pub headers: Option<String>,
    /// The userinfo as it was written, where our own writing of it would differ: a peer may
    /// compare its Contact byte by byte.
    written: Option<Box<str>>,
}

impl Uri {
    /// A `sip:` URI without parameters.
    pub fn new(user: Option<&str>, host: Host, port: Option<u16>) -> Uri {
        Uri {
            scheme: Scheme::Sip,
            user: user.map(str::to_owned),
            password: None,
            host,
            port,
            params: Params::new(),
            headers: None,
            written: None,
        }
    }

    /// The address, where the host is a literal. Names are for a resolver.
    pub fn socket_address(&self, default_port: u16) -> Option<SocketAddr> {
        let ip = self.host.ip()?;
        Some(SocketAddr::new(ip, self.port.unwrap_or(default_port)))
    }

    /// Whether a Route with this URI is loose (`lr`, RFC 3261 §16.12).
    pub fn is_loose_route(&self) -> bool {
        self.params.contains("lr")
    }

    /// Equality of RFC 3261 §19.1.4.
    pub fn equivalent(&self, other: &Uri) -> bool {
        self.scheme == other.scheme
            && self.user == other.user
            && self.password == other.password
            && self.host.equivalent(&other.host)
            && self.port == other.port
            && params_equivalent(&self.params, &other.params)
            && headers_equivalent(self.headers.as_deref(), other.headers.as_deref())
    }

    /// Keeps the userinfo as it was written, where ours would be another.
    fn keep_written(&mut self, user: &str, password: Option<&str>) {
        let info = match password {
            Some(password) => format!("{user}:{password}"),
            None => user.to_owned(),
        };
        let mut ours = String::with_capacity(info.len());
        // Writing to a String cannot fail.
        let _ = self.write_user(&mut ours);
        if ours != info {
            self.written = Some(info.into());
        }
    }

    fn write_user(&self, f: &mut impl fmt::Write) -> fmt::Result {
        let Some(user) = &self.user else {
            return Ok(());
        };
        syntax::percent_encode(f, user, |b| chars::is(b, chars::USER))?;
        if let Some(password) = &self.password {
            f.write_char(':')?;
            syntax::percent_encode(f, password, |b| chars::is(b, chars::PASSWORD))?;
        }
        Ok(())
    }

    /// The userinfo as written, unless the fields have been changed since.
    fn written_user(&self) -> Option<&str> {
        let written = self.written.as_deref()?;
        let (user, password) = match written.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (written, None),
        };
        let same = self.user.as_ref().is_some_and(|own| *own == unescape(user))
            && self.password == password.map(unescape);
        same.then_some(written)
    }
}

/// A part of a URI with its escapes resolved (RFC 3261 §19.1.2); none where that is no text.
pub fn unescaped(text: &str) -> Option<String> {
    String::from_utf8(syntax::percent_decode(text)?).ok()
}

/// What has only whole escapes, with them resolved; what is no text then becomes U+FFFD.
fn unescape(text: &str) -> String {
    if memchr(b'%', text.as_bytes()).is_none() {
        return text.to_owned();
    }
    let bytes = syntax::percent_decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn params_equivalent(a: &Params, b: &Params) -> bool {
    // These count even where only one URI has them (RFC 3261 §19.1.4).
    const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    let same = |x: Option<&str>, y: Option<&str>| match (x, y) {
        (Some(x), Some(y)) => match (syntax::percent_decode(x), syntax::percent_decode(y)) {
            (Some(x), Some(y)) => x.eq_ignore_ascii_case(&y),
            _ => false,
        },
        (x, y) => x == y,
    };
    let decisive = DECISIVE
        .iter()
        .all(|name| match (a.get(name), b.get(name)) {
            (Some(x), Some(y)) => same(x, y),
            (None, None) => true,
            _ => false,
        });
    // Of a parameter that is there twice, the first counts.
    let both = |name| match (a.get(name), b.get(name)) {
        (Some(x), Some(y)) => same(x, y),
        _ => true,
    };
    decisive && a.iter().all(|(name, _)| both(name))
}

fn headers_equivalent(a: Option<&str>, b: Option<&str>) -> bool {
    let split = |text: Option<&str>| {
        let mut headers: Vec<_> = text
            .unwrap_or_default()
            .split('&')
            .filter(|h| !h.is_empty())
            .map(|h| {
                let (name, value) = h.split_once('=').unwrap_or((h, ""));
                let value = syntax::percent_decode(value);
                (name.to_ascii_lowercase(), value)
            })
            .collect();
        headers.sort();
        headers
    };
    split(a) == split(b)
}

/// A URI that has been read and is right, borrowed from its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UriRef<'a> {
    scheme: Scheme,
    /// User and password, as written.
    user: Option<(&'a str, Option<&'a str>)>,
    host: HostRef<'a>,
    port: Option<u16>,
    params: &'a str,
    headers: Option<&'a str>,
}

impl<'a> UriRef<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<UriRef<'a>, UriError> {
        let (scheme, rest) = syntax::cut(text, b':').ok_or(UriError::NotAUri)?;
        let scheme = if scheme.eq_ignore_ascii_case("sip") {
            Scheme::Sip
        } else if scheme.eq_ignore_ascii_case("sips") {
            Scheme::Sips
        } else if is_scheme(scheme) {
            return Err(UriError::Scheme);
        } else {
            return Err(UriError::NotAUri);
        };
        let marks = Marks::of(rest)?;
        let (info, rest) = match marks.at {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        if marks.again {
            return Err(UriError::User);
        }
        let (rest, headers) = match rest.find('?').filter(|_| marks.question) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        if headers.is_some_and(|h| h.is_empty() || !syntax::escapes_are_whole(h)) {
            return Err(UriError::Headers);
        }
        let (host, params) = syntax::split_before(rest, b';');
        let (host, port) = host_port(host).ok_or(UriError::Host)?;
        Params::check_uri(params).map_err(UriError::Params)?;
        Ok(UriRef {
            scheme,
            user: info
                .map(|info| read_user(info, marks.percent))
                .transpose()?,
            host,
            port,
            params,
            headers,
        })
    }

    /// Whether something stands behind `?`.
    pub(crate) const fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    pub(crate) fn to_owned(self) -> Uri {
        let mut uri = Uri::new(None, self.host.to_owned(), self.port);
        uri.scheme = self.scheme;
        uri.params = Params::written_as(self.params);
        uri.headers = self.headers.map(str::to_owned);
        if let Some((user, password)) = self.user {
            uri.user = Some(unescape(user));
            uri.password = password.map(unescape);
            let plain = chars::all(user, chars::USER)
                && password.is_none_or(|p| chars::all(p, chars::PASSWORD));
            if !plain {
                uri.keep_written(user, password);
            }
        }
        uri
    }
}

/// What stands in a URI behind its scheme: one look at each byte.
struct Marks {
    /// The first `@`, and whether there is another.
    at: Option<usize>,
    again: bool,
    percent: bool,
    question: bool,
}

impl Marks {
    fn of(text: &str) -> Result<Marks, UriError> {
        let mut marks = Marks {
            at: None,
            again: false,
            percent: false,
            question: false,
        };
        for (n, b) in text.bytes().enumerate() {
            match b {
                b'@' if marks.at.is_none() => marks.at = Some(n),
                b'@' => marks.again = true,
                b'%' => marks.percent = true,
                b'?' => marks.question = true,
                _ if chars::is(b, chars::URI) => {}
                _ => return Err(UriError::Character),
            }
        }
        Ok(marks)
    }
}

/// User and password of a userinfo.
fn read_user(info: &str, percent: bool) -> Result<(&str, Option<&str>), UriError> {
    let (user, password) = match syntax::cut(info, b':') {
        Some((user, password)) => (user, Some(password)),
        None => (info, None),
    };
    if user.is_empty() {
        return Err(UriError::User);
    }
    if percent && !syntax::escapes_are_whole(info) {
        return Err(UriError::Escape);
    }
    Ok((user, password))
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Uri, UriError> {
        UriRef::parse(text).map(UriRef::to_owned)
    }
}

fn check_characters(text: &str) -> Result<(), UriError> {
    if chars::all(text, chars::URI) {
        Ok(())
    } else {
        Err(UriError::Character)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

impl Uri {
    /// Writes what `Display` does.
    pub(crate) fn write(&self, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str(self.scheme.as_str())?;
        f.write_char(':')?;
        if self.user.is_some() {
            match self.written_user() {
                Some(written) => f.write_str(written)?,
                None => self.write_user(f)?,
            }
            f.write_char('@')?;
        }
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::V4(a) => syntax::push_host(IpAddr::V4(*a), f),
            Host::V6(a) => syntax::push_host(IpAddr::V6(*a), f),
        }
        if let Some(port) = self.port {
            f.write_char(':')?;
            syntax::push_number(u32::from(port), f);
        }
        f.write_str(self.params.as_str())?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// A URI of any scheme, as From, To and Contact may hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnyUri {
    /// `sip:` or `sips:`.
    Sip(Uri),
    /// Any other, as written: `tel:+1`.
    Other(String),
}

impl AnyUri {
    /// The SIP URI, where it is one.
    pub const fn sip(&self) -> Option<&Uri> {
        match self {
            AnyUri::Sip(uri) => Some(uri),
            AnyUri::Other(_) => None,
        }
    }
}

impl AnyUri {
    /// Whether `text` is one.
    pub(crate) fn check(text: &str) -> Result<(), UriError> {
        match UriRef::parse(text) {
            Ok(_) => Ok(()),
            Err(UriError::Scheme) => check_characters(text),
            Err(error) => Err(error),
        }
    }
}

impl FromStr for AnyUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<AnyUri, UriError> {
        match text.parse() {
            Ok(uri) => Ok(AnyUri::Sip(uri)),
            Err(UriError::Scheme) => {
                check_characters(text)?;
                Ok(AnyUri::Other(text.to_owned()))
            }
            Err(error) => Err(error),
        }
    }
}

impl From<Uri> for AnyUri {
    fn from(uri: Uri) -> Self {
        AnyUri::Sip(uri)
    }
}

impl fmt::Display for AnyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyUri::Sip(uri) => uri.fmt(f),
            AnyUri::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
