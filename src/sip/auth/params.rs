//! The grammar that challenges and credentials share: `Digest name=value, name="value"`
//! (RFC 7616 §3.3, §3.4; RFC 3261 §25.1).

use super::header::HeaderFault;
use crate::sip::syntax;

/// Parameters of one header; more is refused.
const MAX_PARAMS: usize = 32;
/// Bytes of one header; more is refused.
const MAX_TEXT: usize = 4096;

/// The parameters of a `Digest` header, quotes and escapes resolved.
pub(super) struct Params<'a>(Vec<(&'a str, String)>);

impl<'a> Params<'a> {
    /// Reads a whole header value. What the standard does not name is kept and ignored; what is
    /// there twice is refused, since two readers could see two things in it.
    pub(super) fn parse(text: &'a str) -> Result<Self, HeaderFault> {
        let text = syntax::trim(text);
        if text.len() > MAX_TEXT {
            return Err(HeaderFault::Syntax);
        }
        let (scheme, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(HeaderFault::Scheme);
        }
        let mut params: Vec<(&str, String)> = Vec::new();
        for item in split(rest)? {
            let (name, value) = item.split_once('=').ok_or(HeaderFault::Syntax)?;
            let (name, value) = (syntax::trim(name), syntax::trim(value));
            if !syntax::is_token(name) || params.len() == MAX_PARAMS {
                return Err(HeaderFault::Syntax);
            }
            if params.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
                return Err(HeaderFault::Repeated);
            }
            params.push((name, read(value)?));
        }
        Ok(Self(params))
    }

    /// The value of a parameter, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter that has to be there.
    pub(super) fn need(&self, name: &'static str) -> Result<String, HeaderFault> {
        let value = self.get(name).ok_or(HeaderFault::Missing(name))?;
        Ok(value.to_owned())
    }
}

/// The items between commas outside quotes; empty ones are skipped (RFC 9110 §5.6.1).
fn split(text: &str) -> Result<Vec<&str>, HeaderFault> {
    let mut items = Vec::new();
    let (mut start, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at += syntax::quoted_len(&text[at..]).ok_or(HeaderFault::Syntax)?,
            b',' => {
                items.push(&text[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    items.push(&text[start..]);
    let items = items.into_iter().map(syntax::trim);
    Ok(items.filter(|item| !item.is_empty()).collect())
}

/// A token, or a whole quoted string.
fn read(value: &str) -> Result<String, HeaderFault> {
    if value.starts_with('"') {
        let whole = syntax::quoted_len(value) == Some(value.len());
        return whole
            .then(|| syntax::unquote(value))
            .ok_or(HeaderFault::Syntax);
    }
    // Some phones leave the quotes out where the value has none but token characters and "/", ":", "@".
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',');
    let good = !value.is_empty() && value.bytes().all(plain);
    good.then(|| value.to_owned()).ok_or(HeaderFault::Syntax)
}
