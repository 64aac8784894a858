//! Typed header values: what stands behind the colon.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

use memchr::memchr;

use super::header::HeaderError;
use super::method::Method;
use super::name::Name;
use super::params::{Params, Written};
use super::uri::{AnyUri, Host, HostRef, Uri, host_port};
use super::{chars, syntax};

/// A `name-addr` or `addr-spec` with parameters: From, To, Contact, Route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name, quotes and their escapes resolved.
    pub display: Option<String>,
    /// The URI.
    pub uri: AnyUri,
    /// The header's parameters (`tag`, `expires`), not the URI's.
    pub params: Params,
}

impl NameAddr {
    /// Without display name and parameters.
    pub fn new(uri: impl Into<AnyUri>) -> NameAddr {
        NameAddr {
            display: None,
            uri: uri.into(),
            params: Params::new(),
        }
    }

    /// Reads one value, not a list.
    pub fn parse(text: &str) -> Result<NameAddr, &'static str> {
        let (display, uri, params) = pieces(text)?;
        Ok(NameAddr {
            display: display.map(|display| {
                if display.starts_with('"') {
                    syntax::unquote(display)
                } else {
                    display.to_owned()
                }
            }),
            uri: uri.parse().map_err(|_| "bad URI")?,
            params: Params::parse_header(params).map_err(|_| "bad parameters")?,
        })
    }

    /// Whether [`NameAddr::parse`] can read it.
    pub(crate) fn check(text: &str) -> Result<(), &'static str> {
        let (_, uri, params) = pieces(text)?;
        AnyUri::check(uri).map_err(|_| "bad URI")?;
        Params::check_header(params).map_err(|_| "bad parameters")
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag")
    }

    /// The tag of a value of which nothing else is wanted: its URI is not looked at.
    pub(crate) fn tag_in(text: &str) -> Option<&str> {
        let plain = match plain_params(text) {
            Some("") => return None,
            Some(params) => params.strip_prefix(";tag="),
            None => None,
        };
        match plain {
            Some(tag) if !tag.is_empty() && chars::all(tag, chars::HEADER_VALUE) => Some(tag),
            _ => any_tag(text),
        }
    }

    /// The SIP URI, where it is one.
    pub const fn sip_uri(&self) -> Option<&Uri> {
        self.uri.sip()
    }
}

/// What stands behind the brackets of a value that has some, and no quotes before them.
fn plain_params(text: &str) -> Option<&str> {
    let open = memchr(b'<', text.as_bytes())?;
    if text[..open].bytes().any(is_ambiguous) {
        return None;
    }
    let (_, params) = syntax::cut(&text[open + 1..], b'>')?;
    Some(params)
}

fn any_tag(text: &str) -> Option<&str> {
    let (_, _, params) = pieces(text).ok()?;
    Params::value_in_header(params, "tag")
}

/// Display names without quotes are tokens by the book; more is met, and harmless where it is not
/// ambiguous.
fn is_ambiguous(b: u8) -> bool {
    matches!(b, b',' | b';' | b':' | b'"' | b'>')
}

/// Display name (with its quotes), URI and parameters of one value.
fn pieces(text: &str) -> Result<(Option<&str>, &str, &str), &'static str> {
    let text = syntax::trim(text);
    let (display, rest) = if text.starts_with('"') {
        let len = syntax::quoted_len(text).ok_or("unterminated quoted string")?;
        let rest = syntax::trim(&text[len..]);
        if !rest.starts_with('<') {
            return Err("no URI after the display name");
        }
        (Some(&text[..len]), rest)
    } else if let Some(open) = memchr(b'<', text.as_bytes()) {
        let display = syntax::trim(&text[..open]);
        if display.bytes().any(is_ambiguous) {
            return Err("display name needs quotes");
        }
        ((!display.is_empty()).then_some(display), &text[open..])
    } else {
        (None, text)
    };
    let (uri, params) = if let Some(inner) = rest.strip_prefix('<') {
        syntax::cut(inner, b'>').ok_or("missing '>'")?
    } else {
        let end = rest.bytes().position(|b| matches!(b, b';' | b' ' | b'\t'));
        let (uri, params) = rest.split_at(end.unwrap_or(rest.len()));
        // RFC 3261 §20: such a URI must stand in brackets.
        if uri.bytes().any(|b| matches!(b, b'?' | b',')) {
            return Err("URI needs angle brackets");
        }
        (uri, params)
    };
    Ok((display, uri, params))
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", syntax::quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// One Via value (RFC 3261 §20.42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The transport token, as written: `UDP`, `TCP`, or one that we do not know.
    pub transport: String,
    /// Where the sender says that it is.
    pub sent_by_host: Host,
    /// Its port, where one is written.
    pub sent_by_port: Option<u16>,
    /// `branch`, `received`, `rport` and others.
    pub params: Params,
}

impl Via {
    /// Reads one value, not a list.
    pub fn parse(text: &str) -> Result<Via, &'static str> {
        let via = ViaRef::parse(text)?;
        Ok(Via {
            transport: via.transport.to_owned(),
            sent_by_host: via.host.to_owned(),
            sent_by_port: via.port,
            params: Params::parse_header(via.params).map_err(|_| "bad parameters")?,
        })
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch")
    }
}

/// A Via that has been read and is right, borrowed from its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViaRef<'a> {
    transport: &'a str,
    pub(crate) host: HostRef<'a>,
    pub(crate) port: Option<u16>,
    params: &'a str,
}

impl<'a> ViaRef<'a> {
    /// Reads one value, not a list.
    pub(crate) fn parse(text: &'a str) -> Result<ViaRef<'a>, &'static str> {
        let (name, rest) = syntax::cut(text, b'/').ok_or("bad protocol")?;
        let (version, rest) = syntax::cut(rest, b'/').ok_or("bad protocol")?;
        if !syntax::trim(name).eq_ignore_ascii_case("SIP") || syntax::trim(version) != "2.0" {
            return Err("bad protocol");
        }
        let rest = syntax::trim(rest);
        let blank = rest.bytes().position(|b| matches!(b, b' ' | b'\t'));
        let (transport, rest) = rest.split_at(blank.ok_or("no sent-by")?);
        if !syntax::is_token(transport) {
            return Err("bad transport");
        }
        let (sent_by, params) = syntax::split_before(rest, b';');
        let (host, port) = host_port(syntax::trim(sent_by)).ok_or("bad sent-by")?;
        Params::check_header(params).map_err(|_| "bad parameters")?;
        Ok(ViaRef {
            transport,
            host,
            port,
            params,
        })
    }

    /// The `branch` parameter.
    pub(crate) fn branch(&self) -> Option<&'a str> {
        self.param("branch")?.1
    }

    /// The parameter of that name, as [`Params::find_in_header`].
    pub(crate) fn param(&self, name: &str) -> Option<Written<'a>> {
        Params::find_in_header(self.params, name)
    }

    /// Writes it behind `out` as `Display` of [`Via`] does, but with what only the receiver knows: where
    /// it came from, in place of what the sender says of that, and from which port, where the sender
    /// wants to be told (RFC 3261 §18.2.1, RFC 3581 §4).
    pub(crate) fn push_stamped(
        &self,
        received: Option<IpAddr>,
        rport: Option<u16>,
        out: &mut String,
    ) {
        out.push_str("SIP/2.0/");
        out.push_str(self.transport);
        out.push(' ');
        match self.host {
            HostRef::Name(name) => out.push_str(name),
            HostRef::V4(address) => syntax::push_v4(address, out),
            HostRef::V6(address) => syntax::push_host(IpAddr::V6(address), out),
        }
        if let Some(port) = self.port {
            out.push(':');
            syntax::push_number(u32::from(port), out);
        }
        let mut rport = rport;
        for (name, value) in Params::written_in_header(self.params) {
            if name.eq_ignore_ascii_case("received") {
                continue;
            }
            out.push(';');
            out.push_str(name);
            if name.eq_ignore_ascii_case("rport")
                && let Some(port) = rport.take()
            {
                out.push('=');
                syntax::push_number(u32::from(port), out);
            } else if let Some(value) = value {
                out.push('=');
                out.push_str(value);
            }
        }
        match received {
            Some(IpAddr::V4(address)) => {
                out.push_str(";received=");
                syntax::push_v4(address, out);
            }
            Some(IpAddr::V6(address)) => {
                let _ = write!(out, ";received={address}");
            }
            None => {}
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.sent_by_host)?;
        if let Some(port) = self.sent_by_port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Less than 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl FromStr for CSeq {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<CSeq, HeaderError> {
        let invalid = |why| HeaderError::Invalid(Name::CSeq, why);
        let (number, method) = text
            .trim()
            .split_once([' ', '\t'])
            .ok_or(invalid("no method"))?;
        Ok(CSeq {
            number: sequence(number).ok_or(invalid("bad number"))?,
            method: Method::parse(syntax::trim(method)).ok_or(invalid("bad method"))?,
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// RFC 3261 §8.1.1.5: less than 2^31.
fn sequence(text: &str) -> Option<u32> {
    syntax::number(text).filter(|n| *n < 1 << 31)
}

/// RAck (RFC 3262 §7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq that is acknowledged.
    pub rseq: u32,
    /// The CSeq of the response that is acknowledged.
    pub cseq: CSeq,
}

impl FromStr for RAck {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<RAck, HeaderError> {
        let invalid = HeaderError::Invalid(Name::RAck, "bad value");
        let (rseq, cseq) = text.trim().split_once([' ', '\t']).ok_or(invalid.clone())?;
        Ok(RAck {
            rseq: syntax::number(rseq).ok_or(invalid.clone())?,
            cseq: cseq.parse().map_err(|_| invalid)?,
        })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// Who refreshes a session (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Whoever sent the request.
    Uac,
    /// Whoever answered it.
    Uas,
}

/// Session-Expires (RFC 4028 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// Who refreshes, where it is said.
    pub refresher: Option<Refresher>,
}

impl FromStr for SessionExpires {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<SessionExpires, HeaderError> {
        let invalid = HeaderError::Invalid(Name::SessionExpires, "bad value");
        let (seconds, params) = delta_and_params(text).ok_or(invalid.clone())?;
        let refresher = match params.value("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            Some(_) => return Err(invalid),
            None => None,
        };
        Ok(SessionExpires { seconds, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// `delta-seconds` with parameters: Session-Expires, Min-SE.
pub(crate) fn delta_and_params(text: &str) -> Option<(u32, Params)> {
    let end = text.find(';').unwrap_or(text.len());
    let seconds = syntax::number(syntax::trim(&text[..end]))?;
    Some((seconds, Params::parse_header(&text[end..]).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        /// What is only checked is right exactly where it can be read.
        #[test]
        fn a_check_is_a_reading(
            text in "(\"?[a,]\"? ?)?<?(sips?|tel):[ab@%41?;=:\\[\\]]{0,8}>?( ?;[ab=;\" ]{0,4})?"
        ) {
            prop_assert_eq!(NameAddr::check(&text), NameAddr::parse(&text).map(drop));
        }

        /// The quick way finds the tag that the other does.
        #[test]
        fn a_plain_tag_is_the_tag(
            text in "([a ]?|[\",:>a ]{1,2})(<a?>|<?[a>]{0,2})(;tag=[ab\";,@= ]{0,3}| ?;(TAG|ab)=?b?){0,2}"
        ) {
            prop_assert_eq!(NameAddr::tag_in(&text), any_tag(&text));
        }
    }
}
