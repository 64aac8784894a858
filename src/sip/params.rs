//! Parameters `;name=value` of URIs and header values.

use std::fmt;

use super::syntax;

/// Parameters in their order. Names compare without case; values are kept as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(Vec<Param>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Param {
    name: String,
    value: Option<String>,
}

/// The text is not a list of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// `;;`, or `;=x`.
    #[error("empty parameter")]
    Empty,
    /// A name with characters that no name has.
    #[error("bad parameter name")]
    Name,
    /// A value with characters that no value has.
    #[error("bad parameter value")]
    Value,
    /// A quoted string without its end.
    #[error("unterminated quoted string")]
    Quote,
}

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads header parameters (RFC 3261 §25.1 `generic-param`): white space around `;` and `=`
    /// is allowed, values may be quoted. `text` is empty or starts with `;`.
    pub fn parse_header(text: &str) -> Result<Params, ParamsError> {
        let params = header_params(text).map(|param| {
            param.map(|(name, value)| Param {
                name: name.to_owned(),
                value: value.map(str::to_owned),
            })
        });
        params.collect::<Result<_, _>>().map(Params)
    }

    /// What [`Params::value`] of [`Params::parse_header`] has, without taking memory.
    pub(crate) fn value_in_header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        let mut found = None;
        for param in header_params(text) {
            let (is, value) = param.ok()?;
            if found.is_none() && is.eq_ignore_ascii_case(name) {
                found = Some(value);
            }
        }
        found.flatten().map(bare)
    }

    /// Reads URI parameters (RFC 3261 §25.1 `uri-parameters`): no white space, no quotes.
    /// `text` is empty or starts with `;`.
    pub fn parse_uri(text: &str) -> Result<Params, ParamsError> {
        let Some(text) = text.strip_prefix(';') else {
            return if text.is_empty() {
                Ok(Params::new())
            } else {
                Err(ParamsError::Value)
            };
        };
        let mut params = Vec::new();
        for part in text.split(';') {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (part, None),
            };
            if name.is_empty() {
                return Err(ParamsError::Empty);
            }
            if !is_uri_param(name) {
                return Err(ParamsError::Name);
            }
            if value.is_some_and(|v| v.is_empty() || !is_uri_param(v)) {
                return Err(ParamsError::Value);
            }
            params.push(Param {
                name: name.to_owned(),
                value: value.map(str::to_owned),
            });
        }
        Ok(Params(params))
    }

    /// `None`: no such parameter; `Some(None)`: a parameter without a value. Quotes around the
    /// value are not part of it.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0
            .iter()
            .find(|p| p.name.eq_ignore_ascii_case(name))
            .map(|p| p.value.as_deref().map(bare))
    }

    /// The value of a parameter that has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).flatten()
    }

    /// The same with its escapes resolved (RFC 3261 §19.1.2); none: there is no such text.
    pub fn unescaped(&self, name: &str) -> Option<String> {
        super::uri::unescaped(self.value(name)?)
    }

    /// Whether the parameter is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets or replaces a parameter in its place; a new one goes last. The caller quotes a value
    /// that needs it.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self
            .0
            .iter_mut()
            .find(|p| p.name.eq_ignore_ascii_case(name))
        {
            Some(param) => param.value = value,
            None => self.0.push(Param {
                name: name.to_owned(),
                value,
            }),
        }
    }

    /// Removes every parameter of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|p| !p.name.eq_ignore_ascii_case(name));
    }

    /// Names and values in their order, quotes taken off.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0
            .iter()
            .map(|p| (p.name.as_str(), p.value.as_deref().map(bare)))
    }

    /// Names and values as they are written.
    pub(super) fn written(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let both = self.0.iter();
        both.map(|p| (p.name.as_str(), p.value.as_deref()))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            write!(f, ";{}", param.name)?;
            if let Some(value) = &param.value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// Names and values as they are written; nothing more behind what is wrong.
fn header_params(text: &str) -> impl Iterator<Item = Result<Written<'_>, ParamsError>> {
    let mut rest = syntax::trim(text);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (param, after) = match header_param(rest) {
            Ok((param, after)) => (Ok(param), after),
            Err(error) => (Err(error), ""),
        };
        rest = after;
        Some(param)
    })
}

/// A name with its value.
type Written<'a> = (&'a str, Option<&'a str>);

/// The parameter at the start of `text`, and what follows it.
fn header_param(text: &str) -> Result<(Written<'_>, &str), ParamsError> {
    let text = syntax::trim(text.strip_prefix(';').ok_or(ParamsError::Value)?);
    let end = text.find(['=', ';', '"']).unwrap_or(text.len());
    let name = syntax::trim(&text[..end]);
    if name.is_empty() {
        return Err(ParamsError::Empty);
    }
    if !syntax::is_token(name) {
        return Err(ParamsError::Name);
    }
    let rest = &text[end..];
    match rest.strip_prefix('=') {
        None => Ok(((name, None), rest)),
        Some(after) => {
            let (value, after) = header_value(syntax::trim(after))?;
            Ok(((name, Some(value)), after))
        }
    }
}

fn bare(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|v| v.strip_suffix('"'))
        .unwrap_or(value)
}

/// The value at the start of `text`, and what follows it: nothing, or `;`.
fn header_value(text: &str) -> Result<(&str, &str), ParamsError> {
    let end = if text.starts_with('"') {
        syntax::quoted_len(text).ok_or(ParamsError::Quote)?
    } else {
        let end = text.find(';').unwrap_or(text.len());
        let value = syntax::trim(&text[..end]);
        // Beyond `token / host`, which lets a bare IPv6 address through; not a list, not a quote.
        let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b'<' | b'>');
        if value.is_empty() || !value.bytes().all(|b| fits(b) || b >= 0x80) {
            return Err(ParamsError::Value);
        }
        return Ok((value, &text[end..]));
    };
    let rest = syntax::trim(&text[end..]);
    if rest.is_empty() || rest.starts_with(';') {
        Ok((&text[..end], rest))
    } else {
        Err(ParamsError::Value)
    }
}

/// `paramchar`, with `%` checked, and with what is met in the wild: text that is not ASCII.
fn is_uri_param(s: &str) -> bool {
    let fits = |b: u8| {
        b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b'<' | b'>' | b'@' | b'?' | b'=')
            || b >= 0x80
    };
    s.bytes().all(fits) && (!s.contains('%') || syntax::percent_decode(s).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_params() {
        let p = Params::parse_header("; a = b ;C;q=\"x;y\\\"\" ; r=2001:db8::1").expect("valid");
        assert_eq!(p.value("A"), Some("b"));
        assert_eq!(p.get("c"), Some(None));
        assert_eq!(p.value("q"), Some("x;y\\\""));
        assert_eq!(p.to_string(), ";a=b;C;q=\"x;y\\\"\";r=2001:db8::1");
    }

    #[test]
    fn broken_header_params() {
        for (text, error) in [
            (";;", ParamsError::Empty),
            (";", ParamsError::Empty),
            (";a=", ParamsError::Value),
            (";a=\"b", ParamsError::Quote),
            (";a=\"b\"c", ParamsError::Value),
            (";a b=c", ParamsError::Name),
            ("x", ParamsError::Value),
        ] {
            assert_eq!(Params::parse_header(text), Err(error), "{text}");
        }
    }

    #[test]
    fn set_and_remove() {
        let mut p = Params::parse_uri(";lr;transport=udp").expect("valid");
        p.set("Transport", Some("tcp"));
        p.set("x", None);
        p.remove("LR");
        assert_eq!(p.to_string(), ";transport=tcp;x");
        assert!(Params::parse_uri(";a=%4").is_err());
        assert!(Params::parse_uri(";;").is_err());
    }
}
