//! Header fields: an ordered list of raw values, read into types when somebody asks.

use std::ops::Range;

use memchr::memchr2;

pub use super::name::Name;
use super::syntax;
pub(crate) use super::values::ViaRef;
pub use super::values::{CSeq, NameAddr, RAck, Refresher, SessionExpires, Via};

/// Room for so many headers is taken at once.
const USUAL: usize = 16;

/// Why a typed header could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It is not there.
    #[error("missing {0} header")]
    Missing(Name),
    /// It is there more than once, and may not be.
    #[error("more than one {0} header")]
    Repeated(Name),
    /// It is there, and broken in this way.
    #[error("bad {0} header: {1}")]
    Invalid(Name, &'static str),
}

/// The header fields of a message, in their order. Values are raw: folds have become spaces, and
/// bytes that are not UTF-8 have become U+FFFD.
///
/// All values lie in one text, that of the message which they were read from and what was added
/// behind it.
#[derive(Clone, Default)]
pub struct Headers {
    text: String,
    fields: Vec<Field>,
}

/// A field: its value is `text[start..end]`.
#[derive(Clone)]
struct Field {
    name: Name,
    start: u32,
    end: u32,
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

/// Without credentials: they are in no log.
impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |(name, value): (&Name, &str)| match name {
            Name::Authorization | Name::ProxyAuthorization => (name.clone(), "(hidden)".to_owned()),
            _ => (name.clone(), value.to_owned()),
        };
        f.debug_list().entries(self.iter().map(shown)).finish()
    }
}

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self {
            text: String::new(),
            fields: Vec::new(),
        }
    }

    /// Room for the usual number of headers, with so many bytes of values.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self::of_text(String::with_capacity(bytes))
    }

    /// No headers yet: they are parts of `text`.
    pub(super) fn of_text(text: String) -> Self {
        Self {
            text,
            fields: Vec::with_capacity(USUAL),
        }
    }

    /// The text that values lie in.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Adds a header whose value is a part of the text, without a line break.
    pub(super) fn push_part(&mut self, name: Name, part: Range<usize>) {
        self.fields.push(Field {
            name,
            start: part.start as u32,
            end: part.end as u32,
        });
    }

    fn value(&self, field: &Field) -> &str {
        &self.text[field.start as usize..field.end as usize]
    }

    /// Puts a value behind the text. Line breaks in it would be header injection: they become spaces.
    fn store(&mut self, name: Name, value: &str) -> Field {
        let start = self.text.len() as u32;
        if memchr2(b'\r', b'\n', value.as_bytes()).is_some() {
            let breaks = |c| matches!(c, '\r' | '\n');
            self.text
                .extend(value.chars().map(|c| if breaks(c) { ' ' } else { c }));
        } else {
            self.text.push_str(value);
        }
        let end = self.text.len() as u32;
        Field { name, start, end }
    }

    /// The first value of that name.
    pub fn get(&self, name: &Name) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.name == *name);
        field.map(|field| self.value(field))
    }

    /// The values of that name, one for each header line.
    pub fn get_all(&self, name: &Name) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter();
        let named = fields.filter(move |field| field.name == *name);
        named.map(|field| self.value(field))
    }

    /// The elements of a comma-separated header, over all of its lines; empty ones are skipped.
    pub fn list(&self, name: &Name) -> impl Iterator<Item = &str> {
        self.get_all(name).flat_map(syntax::List::new)
    }

    /// Whether a header of that name is there.
    pub fn contains(&self, name: &Name) -> bool {
        self.get(name).is_some()
    }

    /// Adds a header behind all others. Line breaks in `value` would be header injection: they
    /// become spaces.
    pub fn push(&mut self, name: Name, value: impl AsRef<str>) {
        let field = self.store(name, value.as_ref());
        self.fields.push(field);
    }

    /// Adds a header before all others.
    pub fn push_front(&mut self, name: Name, value: impl AsRef<str>) {
        let field = self.store(name, value.as_ref());
        self.fields.insert(0, field);
    }

    /// Makes this the only header of its name, in the place of the first one.
    pub fn set(&mut self, name: Name, value: impl AsRef<str>) {
        let Some(at) = self.fields.iter().position(|field| field.name == name) else {
            return self.push(name, value);
        };
        self.fields[at] = self.store(name.clone(), value.as_ref());
        let mut index = 0;
        self.fields.retain(|field| {
            let keep = index <= at || field.name != name;
            index += 1;
            keep
        });
    }

    /// Removes every header of that name.
    pub fn remove(&mut self, name: &Name) {
        self.fields.retain(|field| field.name != *name);
    }

    /// How many header lines there are.
    pub const fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All header lines in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &str)> {
        let fields = self.fields.iter();
        fields.map(|field| (&field.name, self.value(field)))
    }

    /// The value of a header that may stand only once.
    pub fn single(&self, name: &Name) -> Result<&str, HeaderError> {
        let mut values = self.get_all(name);
        let value = values.next().ok_or(HeaderError::Missing(name.clone()))?;
        if values.next().is_some() {
            return Err(HeaderError::Repeated(name.clone()));
        }
        Ok(value)
    }

    fn optional<T>(
        &self,
        name: &Name,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, HeaderError> {
        match self.single(name) {
            Ok(value) => match read(syntax::trim(value)) {
                Some(value) => Ok(Some(value)),
                None => Err(HeaderError::Invalid(name.clone(), "bad value")),
            },
            Err(HeaderError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn name_addr(&self, name: &Name) -> Result<NameAddr, HeaderError> {
        NameAddr::parse(self.single(name)?).map_err(|why| HeaderError::Invalid(name.clone(), why))
    }

    fn name_addrs(&self, name: &Name) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(name)
            .map(|value| {
                NameAddr::parse(value).map_err(|why| HeaderError::Invalid(name.clone(), why))
            })
            .collect()
    }

    /// The top Via.
    pub fn via(&self) -> Result<Via, HeaderError> {
        let value = self
            .list(&Name::Via)
            .next()
            .ok_or(HeaderError::Missing(Name::Via))?;
        Via::parse(value).map_err(|why| HeaderError::Invalid(Name::Via, why))
    }

    /// Every Via, the top one first.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.list(&Name::Via)
            .map(|value| Via::parse(value).map_err(|why| HeaderError::Invalid(Name::Via, why)))
            .collect()
    }

    /// The top Via, borrowed.
    pub(crate) fn top_via(&self) -> Result<ViaRef<'_>, HeaderError> {
        let value = self.list(&Name::Via).next();
        let value = value.ok_or(HeaderError::Missing(Name::Via))?;
        ViaRef::parse(value).map_err(|why| HeaderError::Invalid(Name::Via, why))
    }

    /// The top Via, where each can be read.
    pub(crate) fn check_vias(&self) -> Result<ViaRef<'_>, HeaderError> {
        let mut top = None;
        for value in self.list(&Name::Via) {
            let via = ViaRef::parse(value);
            let via = via.map_err(|why| HeaderError::Invalid(Name::Via, why))?;
            top.get_or_insert(via);
        }
        top.ok_or(HeaderError::Missing(Name::Via))
    }

    /// Whether a header is there once and is an address.
    pub(crate) fn check_address(&self, name: &Name) -> Result<(), HeaderError> {
        NameAddr::check(self.single(name)?).map_err(|why| HeaderError::Invalid(name.clone(), why))
    }

    /// Whether each value of a list is an address.
    pub(crate) fn check_addresses(&self, name: &Name) -> Result<(), HeaderError> {
        self.list(name).try_for_each(|value| {
            NameAddr::check(value).map_err(|why| HeaderError::Invalid(name.clone(), why))
        })
    }

    /// Replaces the top Via, the one of [`Headers::via`], and leaves the others, also those on the
    /// same line.
    pub fn replace_top_via(&mut self, via: &Via) {
        self.replace_first_via(&via.to_string());
    }

    /// Replaces the text of the top Via, where there is one.
    pub(crate) fn replace_first_via(&mut self, via: &str) {
        let has_via = |field: &Field| {
            field.name == Name::Via && syntax::List::new(self.value(field)).next().is_some()
        };
        let Some(at) = self.fields.iter().position(has_via) else {
            return self.push_front(Name::Via, via);
        };
        let others: Vec<_> = syntax::List::new(self.value(&self.fields[at]))
            .skip(1)
            .collect();
        let field = if others.is_empty() {
            self.store(Name::Via, via)
        } else {
            let line = format!("{via}, {}", others.join(", "));
            self.store(Name::Via, &line)
        };
        self.fields[at] = field;
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.name_addr(&Name::From)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.name_addr(&Name::To)
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        let value = syntax::trim(self.single(&Name::CallId)?);
        let well_formed = match value.split_once('@') {
            Some((left, right)) => syntax::is_word(left) && syntax::is_word(right),
            None => syntax::is_word(value),
        };
        if well_formed {
            Ok(value)
        } else {
            Err(HeaderError::Invalid(Name::CallId, "bad character"))
        }
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.single(&Name::CSeq)?.parse()
    }

    /// The next number in CSeq: the same request once more (RFC 3261 §8.1.3.5).
    pub fn increment_cseq(&mut self) {
        if let Ok(CSeq { number, method }) = self.cseq() {
            let number = number.saturating_add(1);
            self.set(Name::CSeq, CSeq { number, method }.to_string());
        }
    }

    /// Every Contact that is an address. `*` is an error here: see [`Headers::get`].
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.name_addrs(&Name::Contact)
    }

    /// Every Route, in order.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.name_addrs(&Name::Route)
    }

    /// Every Record-Route, in order.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.name_addrs(&Name::RecordRoute)
    }

    /// Max-Forwards, 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.optional(&Name::MaxForwards, syntax::number)
    }

    /// Content-Length in bytes.
    pub fn content_length(&self) -> Result<Option<usize>, HeaderError> {
        self.optional(&Name::ContentLength, syntax::number)
    }

    /// The media type of Content-Type in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.get(&Name::ContentType)?;
        let end = value.find(';').unwrap_or(value.len());
        let mut media: String = value[..end].to_ascii_lowercase();
        media.retain(|c| !matches!(c, ' ' | '\t'));
        Some(media)
    }

    /// Whether Accept admits this media type, given in lower case (RFC 3261 §20.1): without
    /// the header `application/sdp` alone, with an empty one nothing.
    pub fn accepts(&self, media: &str) -> bool {
        if !self.contains(&Name::Accept) {
            return media == "application/sdp";
        }
        let main = media.split('/').next().unwrap_or_default();
        self.list(&Name::Accept).any(|range| {
            let end = range.find(';').unwrap_or(range.len());
            let range = syntax::trim(&range[..end]);
            range == "*/*"
                || range.eq_ignore_ascii_case(media)
                || range
                    .strip_suffix("/*")
                    .is_some_and(|m| m.eq_ignore_ascii_case(main))
        })
    }

    /// The option tags of Require.
    pub fn require(&self) -> Vec<&str> {
        self.list(&Name::Require).collect()
    }

    /// The option tags of Supported.
    pub fn supported(&self) -> Vec<&str> {
        self.list(&Name::Supported).collect()
    }

    /// Session-Expires (RFC 4028).
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        self.optional(&Name::SessionExpires, |value| value.parse().ok())
    }

    /// Min-SE in seconds (RFC 4028).
    pub fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(&Name::MinSe, |value| {
            super::values::delta_and_params(value).map(|(seconds, _)| seconds)
        })
    }

    /// RSeq (RFC 3262).
    pub fn rseq(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(&Name::RSeq, syntax::number)
    }

    /// RAck (RFC 3262).
    pub fn rack(&self) -> Result<RAck, HeaderError> {
        self.single(&Name::RAck)?.parse()
    }

    /// Expires in seconds.
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(&Name::Expires, syntax::number)
    }
}
