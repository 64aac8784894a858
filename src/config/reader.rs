//! Reads TOML tables key by key, and gathers every problem with its line.
//!
//! Works on `toml`'s own tree and not on derived types: only so does each value keep its place
//! in the file, and one run report all problems. A bad value is replaced by its default, so that
//! reading goes on; the configuration is thrown away if there was any problem.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Fault, Place, Problem};

/// A value and where it stands.
pub(super) type Value<'d> = Spanned<DeValue<'d>>;

/// The whole file: problems so far, and every key that anything asked for.
#[derive(Debug, Default)]
pub(super) struct Reader<'d> {
    file: &'d str,
    text: &'d str,
    problems: Vec<Problem>,
    known: Vec<(&'static str, &'static str)>,
    unknown: Vec<Unknown>,
}

#[derive(Debug)]
struct Unknown {
    offset: usize,
    section: &'static str,
    path: String,
    key: String,
}

impl<'d> Reader<'d> {
    pub(super) fn new(text: &'d str, file: &'d str) -> Self {
        Reader {
            file,
            text,
            ..Reader::default()
        }
    }

    /// The top-level table.
    pub(super) fn root<'r>(&'r mut self, table: &'r DeTable<'d>) -> Table<'r, 'd> {
        Table {
            reader: self,
            entries: Some(table),
            section: "",
            path: String::new(),
            offset: 0,
            known: Vec::new(),
        }
    }

    /// The problems in the order of their lines.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for unknown in std::mem::take(&mut self.unknown) {
            let nearest = self.nearest(&unknown);
            let key = join(&unknown.path, &unknown.key);
            self.report(unknown.offset, key, Fault::Unknown { nearest });
        }
        self.problems.sort_by_key(|problem| problem.line);
        self.problems
    }

    pub(super) fn report(&mut self, offset: usize, key: String, fault: Fault) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: self.line(offset),
            key,
            fault,
        });
    }

    fn place(&self, offset: usize, key: String) -> Place {
        Place {
            file: self.file.into(),
            line: self.line(offset),
            key,
            offset,
        }
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    /// Reports what is not TOML, with the line as it stands.
    pub(super) fn report_syntax(&mut self, offset: usize, message: &str) {
        let before = self.text.get(..offset).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text.get(start..).and_then(|rest| rest.lines().next());
        let line = line.unwrap_or_default().trim();
        // What was meant to be a PIN or a password is not shown.
        let lower = line.to_ascii_lowercase();
        let secret = ["pin", "pass", "ha1", "secret"]
            .into_iter()
            .find(|key| lower.contains(key));
        let line = match secret {
            Some(key) => format!("{key} = ..."),
            None => shortened(format!("{line:?}")),
        };
        let message = message.lines().collect::<Vec<_>>().join(", ");
        let fault = Fault::Syntax(format!("{message}, at {line}"));
        self.report(offset, String::new(), fault);
    }

    fn nearest(&self, unknown: &Unknown) -> String {
        // The same section counts for more, but a key that exists elsewhere was meant as that.
        const SAME_SECTION: f64 = 0.2;
        let likeness = |(section, key): &(&str, &str)| {
            let bonus = if *section == unknown.section {
                SAME_SECTION
            } else {
                0.0
            };
            bonus + strsim::normalized_damerau_levenshtein(&unknown.key, key)
        };
        let best = self
            .known
            .iter()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        best.map_or_else(String::new, |(section, key)| join(section, key))
    }
}

/// One table, while it is read.
pub(super) struct Table<'r, 'd> {
    reader: &'r mut Reader<'d>,
    entries: Option<&'r DeTable<'d>>,
    /// The section's name in the documentation: `route` for each route.
    section: &'static str,
    /// The section's name in messages: `route[2]`.
    path: String,
    offset: usize,
    known: Vec<&'static str>,
}

impl<'r, 'd> Table<'r, 'd> {
    /// Reads a sub-table; an absent one gives every default.
    pub(super) fn section(&mut self, name: &'static str) -> Table<'_, 'd> {
        self.subsection(name, name)
    }

    /// The same below a section; `section` is its whole name.
    pub(super) fn subsection(
        &mut self,
        name: &'static str,
        section: &'static str,
    ) -> Table<'_, 'd> {
        let value = self.find(name);
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            self.refuse(name, value, "a table");
        }
        Table {
            offset: value.map_or(0, |value| value.span().start),
            path: join(&self.path, name),
            reader: self.reader,
            entries: table,
            section,
            known: Vec::new(),
        }
    }

    /// Reads an array of tables, each with `read`.
    pub(super) fn tables<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(Table<'_, 'd>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.find(name) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let expected = format!("tables, each opened with [[{}]]", join(self.section, name));
            self.refuse(name, value, expected);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, entry) in array.iter().enumerate() {
            let Some(table) = entry.get_ref().as_table() else {
                self.refuse(name, entry, "a table");
                continue;
            };
            all.extend(read(Table {
                reader: self.reader,
                entries: Some(table),
                section: name,
                path: join(&self.path, &format!("{name}[{}]", index + 1)),
                offset: entry.span().start,
                known: Vec::new(),
            }));
        }
        all
    }

    /// The value of a key, which is known from here on.
    pub(super) fn find(&mut self, key: &'static str) -> Option<&'r Value<'d>> {
        self.known.push(key);
        if !self.reader.known.contains(&(self.section, key)) {
            self.reader.known.push((self.section, key));
        }
        let mut entries = self.entries?.iter();
        entries.find_map(|(name, value)| (name.get_ref() == key).then_some(value))
    }

    /// Where a value stands, for what can only be checked later.
    pub(super) fn place(&self, key: &str, value: &Value<'_>) -> Place {
        self.reader.place(value.span().start, join(&self.path, key))
    }

    /// Where the table itself stands.
    pub(super) fn own_place(&self) -> Place {
        self.reader.place(self.offset, self.path.clone())
    }

    /// Reports what is wrong at a place.
    pub(super) fn report(&mut self, place: &Place, fault: Fault) {
        self.reader.report(place.offset, place.key.clone(), fault);
    }

    /// Reports a value.
    pub(super) fn refuse(&mut self, key: &str, value: &Value<'_>, expected: impl Into<String>) {
        let fault = Fault::Value {
            found: shown(value.get_ref()),
            expected: expected.into(),
        };
        self.reader
            .report(value.span().start, join(&self.path, key), fault);
    }

    /// Reports a required key that is not there.
    pub(super) fn missing(&mut self, key: &str, expected: impl Into<String>) {
        let fault = Fault::Missing {
            expected: expected.into(),
        };
        self.reader
            .report(self.offset, join(&self.path, key), fault);
    }

    /// A value by a conversion; absent or refused ones give the default.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        default: T,
        expected: &str,
        read: impl FnOnce(&DeValue<'d>) -> Option<T>,
    ) -> T {
        self.optional(key, expected, read).unwrap_or(default)
    }

    /// The same without a default.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&DeValue<'d>) -> Option<T>,
    ) -> Option<T> {
        let value = self.find(key)?;
        let result = read(value.get_ref());
        if result.is_none() {
            self.refuse(key, value, expected);
        }
        result
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        self.value(key, default, "true or false", DeValue::as_bool)
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(
        &mut self,
        key: &'static str,
        default: T,
        allowed: RangeInclusive<T>,
    ) -> T
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let expected = format!(
            "a whole number from {} to {}",
            allowed.start(),
            allowed.end()
        );
        self.value(key, default, &expected, |value| {
            let number = T::try_from(integer(value)?).ok()?;
            allowed.contains(&number).then_some(number)
        })
    }

    /// A list, each entry by a conversion, and only once.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        self.read_list(key, default, expected, read, <[T]>::contains)
    }

    /// A list whose entries mean something by their place: equal ones may follow each other.
    pub(super) fn in_order<T>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        self.read_list(key, default, expected, read, |_, _| false)
    }

    fn read_list<T>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
        is_twice: impl Fn(&[T], &T) -> bool,
    ) -> Vec<T> {
        let Some(value) = self.find(key) else {
            return default;
        };
        let Some(array) = value.get_ref().as_array() else {
            self.refuse(key, value, format!("a list, each entry {expected}"));
            return default;
        };
        let mut entries = Vec::new();
        for entry in array {
            match entry.get_ref().as_str().and_then(&read) {
                None => self.refuse(key, entry, expected),
                Some(value) if is_twice(&entries, &value) => {
                    self.refuse(key, entry, "each entry only once");
                }
                Some(value) => entries.push(value),
            }
        }
        entries
    }

    /// Closes the table: keys that nobody asked for are unknown. A key among `elsewhere` belongs
    /// to another application than `app`, which has the settings `takes`.
    pub(super) fn finish_app(self, app: &str, takes: &[&'static str], elsewhere: &[&str]) {
        for (name, _) in self.entries.into_iter().flatten() {
            let key: &str = name.get_ref();
            if !self.known.contains(&key) && elsewhere.contains(&key) {
                let fault = Fault::Misplaced {
                    app: app.to_owned(),
                    takes: takes.to_vec(),
                };
                let path = join(&self.path, key);
                self.reader.report(name.span().start, path, fault);
            } else if !self.known.contains(&key) {
                self.reader.unknown.push(Unknown {
                    offset: name.span().start,
                    section: self.section,
                    path: self.path.clone(),
                    key: key.to_owned(),
                });
            }
        }
    }

    /// Closes the table: keys that nobody asked for are unknown.
    pub(super) fn finish(self) {
        self.finish_app("", &[], &[]);
    }
}

/// A whole number, if it is one.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A text that is not empty and has no control characters.
pub(super) fn text(value: &DeValue<'_>) -> Option<String> {
    let text = value.as_str()?;
    let is_good = !text.trim().is_empty() && !text.contains(char::is_control);
    is_good.then(|| text.to_owned())
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A value as a message shows it.
fn shown(value: &DeValue<'_>) -> String {
    shortened(match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(array) if array.is_empty() => "[]".to_owned(),
        DeValue::Array(array) => format!("a list of {}", array.len()),
        DeValue::Table(_) => "a table".to_owned(),
    })
}

fn shortened(text: String) -> String {
    const MAX_CHARS: usize = 60;
    if text.chars().count() <= MAX_CHARS {
        return text;
    }
    let head: String = text.chars().take(MAX_CHARS).collect();
    format!("{head}...")
}
