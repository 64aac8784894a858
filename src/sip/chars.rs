//! Which bytes may stand where (RFC 3261 §25.1): one table, one look for each byte.

/// `token`.
pub(crate) const TOKEN: u8 = 1;
/// `word`, as Call-ID is made of.
pub(crate) const WORD: u8 = 2;
/// The value of a header's parameter, unquoted. Beyond `token / host`, which lets a bare IPv6 address
/// through; not a list, not a quote.
pub(crate) const HEADER_VALUE: u8 = 4;
/// `paramchar` of a URI, and with it what is met in the wild: text that is not ASCII.
pub(crate) const URI_PARAM: u8 = 8;
/// A URI at all: no white space, brackets, quotes, control characters.
pub(crate) const URI: u8 = 16;
/// `unreserved / user-unreserved`.
pub(crate) const USER: u8 = 32;
/// `password`.
pub(crate) const PASSWORD: u8 = 64;
/// A host name. The underscore is in none by the book, and in many in the field.
pub(crate) const HOST: u8 = 128;

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = classes(b as u8);
        b += 1;
    }
    table
};

/// Whether `b` is of that class.
pub(crate) fn is(b: u8, class: u8) -> bool {
    CLASSES[usize::from(b)] & class != 0
}

/// Whether each byte of `text` is of that class.
pub(crate) fn all(text: &str, class: u8) -> bool {
    text.bytes().all(|b| is(b, class))
}

/// How many bytes at the start of `text` are of that class.
pub(crate) fn count(text: &str, class: u8) -> usize {
    let first = text.bytes().position(|b| !is(b, class));
    first.unwrap_or(text.len())
}

const fn classes(b: u8) -> u8 {
    let mut of = 0;
    if is_token(b) {
        of |= TOKEN | WORD;
    }
    if matches!(
        b,
        b'(' | b')' | b'<' | b'>' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'{' | b'}'
    ) {
        of |= WORD;
    }
    let shown = b.is_ascii_graphic() || b >= 0x80;
    if shown && !matches!(b, b'"' | b',' | b'<' | b'>' | b';') {
        of |= HEADER_VALUE;
    }
    if shown && !matches!(b, b'"' | b',' | b'<' | b'>' | b'@' | b'?' | b'=') {
        of |= URI_PARAM;
    }
    if !(b <= b' ' || b == 0x7f || matches!(b, b'<' | b'>' | b'"')) {
        of |= URI;
    }
    if is_unreserved(b) || matches!(b, b'&' | b'=' | b'+' | b'$' | b',') {
        of |= USER | PASSWORD;
    }
    if matches!(b, b';' | b'?' | b'/') {
        of |= USER;
    }
    if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') {
        of |= HOST;
    }
    of
}

const fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}
