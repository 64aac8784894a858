//! Parameters `;name=value` of URIs and header values.

use std::fmt;

use memchr::memchr;

use super::{chars, syntax};

/// Parameters in their order. Names compare without case; values are kept as written.
///
/// One text: `;name=value` for each, without white space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(String);

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
        Self(String::new())
    }

    /// Reads header parameters (RFC 3261 §25.1 `generic-param`): white space around `;` and `=`
    /// is allowed, values may be quoted. `text` is empty or starts with `;`.
    pub fn parse_header(text: &str) -> Result<Params, ParamsError> {
        let mut params = Params(String::with_capacity(text.len()));
        for param in header_params(text) {
            let (name, value) = param?;
            params.push(name, value);
        }
        Ok(params)
    }

    /// Whether [`Params::parse_header`] can read it.
    pub(crate) fn check_header(text: &str) -> Result<(), ParamsError> {
        header_params(text).try_for_each(|param| param.map(drop))
    }

    /// The first parameter of that name in what [`Params::parse_header`] can read, without taking
    /// memory; quotes around its value are not part of it.
    pub(crate) fn find_in_header<'a>(text: &'a str, name: &str) -> Option<Written<'a>> {
        let mut found = None;
        for param in header_params(text) {
            let (is, value) = param.ok()?;
            if found.is_none() && is.eq_ignore_ascii_case(name) {
                found = Some((is, value.map(bare)));
            }
        }
        found
    }

    /// What [`Params::value`] of [`Params::parse_header`] has, without taking memory.
    pub(crate) fn value_in_header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        Params::find_in_header(text, name)?.1
    }

    /// Names and values of header parameters as they are written; nothing more behind what is wrong.
    pub(crate) fn written_in_header(text: &str) -> impl Iterator<Item = Written<'_>> {
        header_params(text).map_while(Result::ok)
    }

    /// Reads URI parameters (RFC 3261 §25.1 `uri-parameters`): no white space, no quotes.
    /// `text` is empty or starts with `;`.
    pub fn parse_uri(text: &str) -> Result<Params, ParamsError> {
        Params::check_uri(text)?;
        Ok(Params::written_as(text))
    }

    /// Those of a text that [`Params::check_uri`] has found right.
    pub(crate) fn written_as(text: &str) -> Params {
        Params(text.to_owned())
    }

    /// Whether [`Params::parse_uri`] can read it.
    pub(crate) fn check_uri(text: &str) -> Result<(), ParamsError> {
        if text.is_empty() {
            return Ok(());
        }
        let text = text.strip_prefix(';').ok_or(ParamsError::Value)?;
        for part in text.split(';') {
            let (name, value) = match syntax::cut(part, b'=') {
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
        }
        Ok(())
    }

    /// `None`: no such parameter; `Some(None)`: a parameter without a value. Quotes around the
    /// value are not part of it.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        let mut all = self.written();
        let found = all.find(|(is, _)| is.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.map(bare))
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
        let mut set = Params::new();
        let mut found = false;
        for (is, was) in self.written() {
            if !found && is.eq_ignore_ascii_case(name) {
                found = true;
                set.push(is, value);
            } else {
                set.push(is, was);
            }
        }
        if !found {
            set.push(name, value);
        }
        *self = set;
    }

    /// Removes every parameter of that name.
    pub fn remove(&mut self, name: &str) {
        if !self.contains(name) {
            return;
        }
        let mut left = Params::new();
        for (is, value) in self.written() {
            if !is.eq_ignore_ascii_case(name) {
                left.push(is, value);
            }
        }
        *self = left;
    }

    /// Names and values in their order, quotes taken off.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.written().map(|(name, value)| (name, value.map(bare)))
    }

    /// Names and values as they are written.
    fn written(&self) -> impl Iterator<Item = Written<'_>> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let text = rest.strip_prefix(';')?;
            let end = text.bytes().position(|b| matches!(b, b'=' | b';'));
            let (name, after) = text.split_at(end.unwrap_or(text.len()));
            let Some(value) = after.strip_prefix('=') else {
                rest = after;
                return Some((name, None));
            };
            let end = if value.starts_with('"') {
                syntax::quoted_len(value).unwrap_or(value.len())
            } else {
                memchr(b';', value.as_bytes()).unwrap_or(value.len())
            };
            rest = &value[end..];
            Some((name, Some(&value[..end])))
        })
    }

    fn push(&mut self, name: &str, value: Option<&str>) {
        self.0.push(';');
        self.0.push_str(name);
        if let Some(value) = value {
            self.0.push('=');
            self.0.push_str(value);
        }
    }

    /// All of them as they are written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.written().count()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
pub(crate) type Written<'a> = (&'a str, Option<&'a str>);

/// The parameter at the start of `text`, and what follows it.
fn header_param(text: &str) -> Result<(Written<'_>, &str), ParamsError> {
    let text = text.strip_prefix(';').ok_or(ParamsError::Value)?;
    plain_param(text).map_or_else(|| any_param(syntax::trim(text)), Ok)
}

/// The parameter at the start of `text`, if there is no white space and no quote in it.
fn plain_param(text: &str) -> Option<(Written<'_>, &str)> {
    let (name, rest) = text.split_at(chars::count(text, chars::TOKEN));
    if name.is_empty() {
        return None;
    }
    let Some(rest) = rest.strip_prefix('=') else {
        let ends = rest.is_empty() || rest.starts_with(';');
        return ends.then_some(((name, None), rest));
    };
    let (value, rest) = rest.split_at(chars::count(rest, chars::HEADER_VALUE));
    let ends = rest.is_empty() || rest.starts_with(';');
    (ends && !value.is_empty()).then_some(((name, Some(value)), rest))
}

fn any_param(text: &str) -> Result<(Written<'_>, &str), ParamsError> {
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
        let (value, rest) = syntax::split_before(text, b';');
        let value = syntax::trim(value);
        if value.is_empty() || !chars::all(value, chars::HEADER_VALUE) {
            return Err(ParamsError::Value);
        }
        return Ok((value, rest));
    };
    let rest = syntax::trim(&text[end..]);
    if rest.is_empty() || rest.starts_with(';') {
        Ok((&text[..end], rest))
    } else {
        Err(ParamsError::Value)
    }
}

/// `paramchar`, with `%` checked.
fn is_uri_param(s: &str) -> bool {
    chars::all(s, chars::URI_PARAM) && syntax::escapes_are_whole(s)
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

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

    proptest! {
        /// The quick way reads what the other does, and what it kept reads as what was written.
        #[test]
        fn quick_is_as_right(text in "(; ?[ab]{0,2}[= ]{0,2}[ab\",< \t%ä]{0,3}){0,3}") {
            let quick: Vec<_> = super::header_params(&text).collect();
            let mut slow = Vec::new();
            let mut rest = syntax::trim(&text);
            while !rest.is_empty() {
                let param = rest.strip_prefix(';').ok_or(ParamsError::Value);
                match param.and_then(|text| any_param(syntax::trim(text))) {
                    Ok((param, after)) => {
                        slow.push(Ok(param));
                        rest = after;
                    }
                    Err(error) => {
                        slow.push(Err(error));
                        break;
                    }
                }
            }
            prop_assert_eq!(&quick, &slow);
            let read = Params::parse_header(&text);
            prop_assert_eq!(Params::check_header(&text), read.clone().map(drop));
            if let Ok(params) = read {
                let written: Vec<_> = slow.into_iter().flatten().collect();
                prop_assert_eq!(params.written().collect::<Vec<_>>(), written);
                for (name, _) in params.iter() {
                    let found = Params::find_in_header(&text, name).map(|(_, value)| value);
                    prop_assert_eq!(found, params.get(name));
                }
            }
        }
    }
}
