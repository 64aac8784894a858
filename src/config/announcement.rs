//! `[announcement]` and `[[sequence]]`: what may be played by name (RFC 4240 §3).

use std::path::PathBuf;
use std::time::Duration;

use super::error::{Fault, Place};
use super::print::{Printer, seconds};
use super::reader::{Table, text};

/// `[announcement]`: what may be played by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Directories of WAV files.
    pub directories: Vec<PathBuf>,
    /// Hosts of the web whose files may be played.
    pub web_hosts: Vec<String>,
    /// Where those are kept; none: below the system's directory for temporary files.
    pub web_directory: Option<PathBuf>,
    /// How long fetching one may take.
    pub web_time: Duration,
    /// The largest, MB.
    pub web_file_mb: u32,
    /// All that are kept, MB.
    pub web_cache_mb: u32,
}

/// `[[sequence]]`: prompts and what the caller's parameters say, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// What `play=` calls it.
    pub name: String,
    /// What is said.
    pub items: Vec<SequenceItem>,
    /// Where it stands.
    pub place: Place,
}

/// A part of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SequenceItem {
    /// A prompt.
    Prompt(String),
    /// The digits of a parameter (1 to 9), one by one.
    Digits(u8),
    /// A parameter as a number.
    Number(u8),
    /// The prompt that a parameter names.
    Named(u8),
}

const HOST: &str = "the name of a host, *.DOMAIN for those below a domain, or * for all";
const NAME: &str = "a name of letters, digits, \"-\", \"_\" and \".\"";
const ITEM: &str = "the name of a prompt, or $1 to $9 with \":digits\", \":number\" or \":prompt\"";

impl Announcement {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let is_path = |path: &str| {
            let good = !path.trim().is_empty() && !path.contains(char::is_control);
            good.then(|| PathBuf::from(path))
        };
        let announcement = Self {
            directories: table.list("directories", Vec::new(), "a path", is_path),
            web_hosts: table.list("web_hosts", Vec::new(), HOST, host),
            web_directory: table.optional("web_directory", "a path", |value| {
                text(value).map(PathBuf::from)
            }),
            web_time: Duration::from_secs(table.number("web_seconds", 5, 1..=60)),
            web_file_mb: table.number("web_file_mb", 16, 1..=1_000),
            web_cache_mb: table.number("web_cache_mb", 256, 1..=100_000),
        };
        table.finish();
        announcement
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[announcement]");
        let names: Vec<_> = self
            .directories
            .iter()
            .map(|d| d.to_string_lossy())
            .collect();
        out.list(
            "directories",
            &names,
            "Directories whose WAV files may be played by play=file:NAME (RFC 4240); prompts may\n\
             always, by their names.",
        );
        out.list(
            "web_hosts",
            &self.web_hosts,
            "Hosts of the web whose files may be played by play=http://HOST/...; * for all.",
        );
        let directory = self.web_directory.as_ref();
        out.optional(
            "web_directory",
            directory.map(|d| d.to_string_lossy().into_owned()),
            "/var/cache/antiphon",
            "Where they are kept; unset: antiphon-web in the system's directory for temporary files.",
        );
        let comment = "How long fetching one may take.";
        out.key("web_seconds", seconds(self.web_time), comment);
        out.key("web_file_mb", i64::from(self.web_file_mb), "The largest.");
        let comment = "All that are kept; those used longest ago are thrown away.";
        out.key("web_cache_mb", i64::from(self.web_cache_mb), comment);
    }
}

impl Sequence {
    pub(super) fn read(mut table: Table<'_, '_>) -> Option<Self> {
        let place = table.own_place();
        let name = table.optional("name", NAME, |value| text(value).filter(|n| is_name(n)));
        if name.is_none() && table.find("name").is_none() {
            table.missing("name", NAME);
        }
        // A part may come twice, so this is no list of things that are there once.
        let items = table.optional("items", &format!("a list, each {ITEM}"), |value| {
            let items = value.as_array()?;
            let items = items.iter().map(|item| part(item.get_ref().as_str()?));
            items
                .collect::<Option<Vec<_>>>()
                .filter(|items| (1..=32).contains(&items.len()))
        });
        if items.is_none() && table.find("items").is_none() {
            table.missing("items", format!("a list, each {ITEM}"));
        }
        table.finish();
        Some(Self {
            name: name?,
            items: items?,
            place,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[sequence]]");
        out.key("name", self.name.as_str(), "What play= calls it.");
        let items: Vec<String> = self.items.iter().map(SequenceItem::to_string).collect();
        out.list("items", &items, "What is said, one after the other.");
    }

    /// Finds sequences that are there twice.
    pub(super) fn check(sequences: &[Sequence], root: &mut Table<'_, '_>) {
        for (n, sequence) in sequences.iter().enumerate() {
            if sequences[..n].iter().any(|o| o.name == sequence.name) {
                let why = format!("there is another sequence {:?} above", sequence.name);
                root.report(&sequence.place, Fault::Senseless(why));
            }
        }
    }
}

impl std::fmt::Display for SequenceItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SequenceItem::Prompt(name) => f.write_str(name),
            SequenceItem::Digits(n) => write!(f, "${n}:digits"),
            SequenceItem::Number(n) => write!(f, "${n}:number"),
            SequenceItem::Named(n) => write!(f, "${n}:prompt"),
        }
    }
}

fn part(text: &str) -> Option<SequenceItem> {
    let Some(parameter) = text.strip_prefix('$') else {
        return is_name(text).then(|| SequenceItem::Prompt(text.to_owned()));
    };
    let (number, how) = parameter.split_once(':')?;
    let number = number.parse::<u8>().ok().filter(|n| (1..=9).contains(n))?;
    match how {
        "digits" => Some(SequenceItem::Digits(number)),
        "number" => Some(SequenceItem::Number(number)),
        "prompt" => Some(SequenceItem::Named(number)),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(good)
}

fn host(text: &str) -> Option<String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let good = text == "*" || (!name.is_empty() && name.len() <= 253 && name.chars().all(good));
    good.then(|| text.to_ascii_lowercase())
}
