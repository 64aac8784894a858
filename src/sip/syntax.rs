//! The lexical ground of RFC 3261 §25.1: tokens, quoted strings, lists, escapes.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use memchr::memchr;

use super::chars;

/// Whether `s` is a token: not empty, and only token characters.
pub(crate) fn is_token(s: &str) -> bool {
    !s.is_empty() && chars::all(s, chars::TOKEN)
}

/// Whether `s` is a word (RFC 3261 §25.1), as Call-ID is made of.
pub(crate) fn is_word(s: &str) -> bool {
    !s.is_empty() && chars::all(s, chars::WORD)
}

/// Trims the white space of a header value. Folds have become spaces before.
pub(crate) fn trim(s: &str) -> &str {
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    let bytes = s.as_bytes();
    let (mut start, mut end) = (0, bytes.len());
    while start < end && blank(bytes.get(start)) {
        start += 1;
    }
    while end > start && blank(bytes.get(end - 1)) {
        end -= 1;
    }
    &s[start..end]
}

/// What stands before and behind the first `b`, which is ASCII.
pub(crate) fn cut(s: &str, b: u8) -> Option<(&str, &str)> {
    let at = memchr(b, s.as_bytes())?;
    Some((&s[..at], &s[at + 1..]))
}

/// `s` up to the first `b`, which is ASCII, and from there on.
pub(crate) fn split_before(s: &str, b: u8) -> (&str, &str) {
    s.split_at(memchr(b, s.as_bytes()).unwrap_or(s.len()))
}

/// Whether each `%` in `s` has its two hexadecimal digits.
pub(crate) fn escapes_are_whole(s: &str) -> bool {
    let bytes = s.as_bytes();
    let mut percents = memchr::memchr_iter(b'%', bytes);
    percents.all(|at| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Decimal digits only: no sign, no space, not empty. `None` also where the number does not fit.
pub(crate) fn number<T: std::str::FromStr>(s: &str) -> Option<T> {
    if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    s.parse().ok()
}

/// Writes a number behind `out`, digits only. An error of `out` is dropped, as by the others here: a
/// String has none.
pub(crate) fn push_number(number: u32, out: &mut impl Write) {
    let mut digits = [0; 10];
    let (mut rest, mut at) = (number, digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    for &digit in &digits[at..] {
        let _ = out.write_char(char::from(digit));
    }
}

/// Writes an address behind `out` as a URI and a Via have it: IPv6 in brackets.
pub(crate) fn push_host(ip: IpAddr, out: &mut impl Write) {
    match ip {
        IpAddr::V4(address) => push_v4(address, out),
        IpAddr::V6(address) => {
            let _ = write!(out, "[{address}]");
        }
    }
}

/// Writes an IPv4 address behind `out`.
pub(crate) fn push_v4(address: Ipv4Addr, out: &mut impl Write) {
    for (n, octet) in address.octets().into_iter().enumerate() {
        if n > 0 {
            let _ = out.write_char('.');
        }
        push_number(u32::from(octet), out);
    }
}

/// `s` starts with a quote: the length of the quoted string with both quotes, `None` if it never
/// ends.
pub(crate) fn quoted_len(s: &str) -> Option<usize> {
    let bytes = s.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The content of a quoted string (with its quotes), escapes resolved.
pub(crate) fn unquote(s: &str) -> String {
    let inner = s
        .strip_prefix('"')
        .and_then(|s| s.strip_suffix('"'))
        .unwrap_or(s);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// `s` as a quoted string.
pub(crate) fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Where the first of `wanted` stands outside quotes and angle brackets.
pub(crate) fn find_outside(s: &str, wanted: u8) -> Option<usize> {
    let bytes = s.as_bytes();
    let (mut quoted, mut bracketed) = (false, false);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b if b == wanted && !quoted && !bracketed => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The elements of a comma-separated list; empty ones are skipped.
pub(crate) struct List<'a> {
    rest: Option<&'a str>,
}

impl<'a> List<'a> {
    pub(crate) const fn new(value: &'a str) -> Self {
        Self { rest: Some(value) }
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while let Some(rest) = self.rest {
            // Most are no list at all.
            let listed = memchr(b',', rest.as_bytes()).and_then(|_| find_outside(rest, b','));
            let element = if let Some(comma) = listed {
                self.rest = Some(&rest[comma + 1..]);
                &rest[..comma]
            } else {
                self.rest = None;
                rest
            };
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// Resolves `%xx`. `None` where a percent sign is not followed by two hexadecimal digits.
pub(crate) fn percent_decode(s: &str) -> Option<Vec<u8>> {
    let bytes = s.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let hex = bytes.get(at + 1..at + 3)?;
            out.push(hex_digit(hex[0])? << 4 | hex_digit(hex[1])?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    Some(out)
}

const fn hex_digit(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// Writes `s` with each byte that `plain` does not admit as `%XX`.
pub(crate) fn percent_encode(
    f: &mut impl Write,
    s: &str,
    plain: impl Fn(u8) -> bool,
) -> std::fmt::Result {
    for b in s.bytes() {
        if plain(b) {
            f.write_char(b as char)?;
        } else {
            write!(f, "%{b:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_respect_quotes_and_brackets() {
        let parts: Vec<_> =
            List::new(r#""a, \", b" <sip:x,y@h>;p="1,2" , ,<sip:z>,"open , never"#).collect();
        assert_eq!(
            parts,
            [
                r#""a, \", b" <sip:x,y@h>;p="1,2""#,
                "<sip:z>",
                "\"open , never"
            ]
        );
    }

    #[test]
    fn numbers_have_no_sign() {
        assert_eq!(number::<u32>("12"), Some(12));
        assert_eq!(number::<u32>("+12"), None);
        assert_eq!(number::<u32>("-1"), None);
        assert_eq!(number::<u32>(""), None);
        assert_eq!(number::<u32>("4294967296"), None);
    }

    #[test]
    fn quoting_reverses() {
        let text = r#"J "the \ man" Ö"#;
        assert_eq!(unquote(&quote(text)), text);
        assert_eq!(quoted_len(r#""a\"b" <"#), Some(6));
        assert_eq!(quoted_len(r#""a\""#), None);
        assert_eq!(quoted_len("\"\\"), None);
    }

    #[test]
    fn broken_escapes_are_refused() {
        assert_eq!(percent_decode("a%00b"), Some(b"a\0b".to_vec()));
        assert_eq!(percent_decode("%Z1"), None);
        assert_eq!(percent_decode("%4"), None);
    }
}
