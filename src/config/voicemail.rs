//! `[voicemail]` and `[[mailbox]]`: what is stored for callers, and what of it they
//! may ask for.

use std::path::PathBuf;
use std::time::Duration;

use super::apps::{AppConfig, PromptList, Reference, read_prompts};
use super::error::{Fault, Place};
use super::print::{Printer, seconds};
use super::reader::{Table, text};
use super::signalling::{positive, to_i64};

/// `[voicemail]`: where messages go and how long they get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voicemail {
    /// Where messages are kept, a directory for each box.
    pub directory: PathBuf,
    /// The longest message.
    pub max: Duration,
    /// What is shorter is no message.
    pub min: Duration,
    /// The silence that ends a message; none: silence does not.
    pub silence: Option<Duration>,
    /// The most messages of a box.
    pub max_messages: usize,
}

/// `[[mailbox]]`: one box.
#[derive(Clone, PartialEq, Eq)]
pub struct MailboxConfig {
    /// Its number.
    pub number: String,
    /// What opens it.
    pub pin: String,
    /// What callers hear before the tone.
    pub greeting: PromptList,
    /// Where it stands.
    pub place: Place,
}

/// The mailbox of a server that nobody has configured.
pub(super) const DEMO_MAILBOX: &str = "100";
/// And its PIN: known to everybody, so it is for trying out alone.
const DEMO_PIN: &str = "1234";
const GREETING: &[&str] = &["vm-greeting"];

impl Voicemail {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let directory = table.value("directory", "voicemail".into(), "a path", |value| {
            text(value).map(PathBuf::from)
        });
        let voicemail = Self {
            directory,
            max: Duration::from_secs(table.number("max_seconds", 180, 1..=3_600)),
            min: Duration::from_secs(table.number("min_seconds", 1, 0..=60)),
            silence: positive(table.number("silence_seconds", 10, 0..=3_600)),
            max_messages: table.number("max_messages", 100, 1..=10_000),
        };
        if voicemail.min >= voicemail.max
            && let Some(value) = table
                .find("min_seconds")
                .or_else(|| table.find("max_seconds"))
        {
            let place = table.place("min_seconds", value);
            let why = format!(
                "min_seconds is {} and max_seconds {}: no message could be kept",
                voicemail.min.as_secs(),
                voicemail.max.as_secs()
            );
            table.report(&place, Fault::Senseless(why));
        }
        table.finish();
        voicemail
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[voicemail]");
        out.key(
            "directory",
            self.directory.to_string_lossy().as_ref(),
            "Where messages are kept, a directory for each box; relative to where the server was\n\
             started.",
        );
        out.key("max_seconds", seconds(self.max), "The longest message.");
        out.key(
            "min_seconds",
            seconds(self.min),
            "What is shorter is no message, and is not kept.",
        );
        out.key(
            "silence_seconds",
            self.silence.map_or(0, seconds),
            "So much silence ends a message; 0: silence does not.",
        );
        out.key(
            "max_messages",
            to_i64(self.max_messages),
            "The most messages of a box; callers are told when it is full.",
        );
    }
}

impl MailboxConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Option<Self> {
        const NUMBER: &str = "a number of up to 32 digits";
        const PIN: &str = "a PIN of 4 to 16 digits";
        let place = table.own_place();
        let number = table.optional("number", NUMBER, |v| digits(v.as_str()?, 1..=32));
        if number.is_none() && table.find("number").is_none() {
            table.missing("number", NUMBER);
        }
        // What is wrong with a PIN is said without showing it.
        let pin = table.find("pin").map(|value| {
            let pin = value.get_ref().as_str().and_then(|t| digits(t, 4..=16));
            if pin.is_none() {
                let place = table.place("pin", value);
                table.report(&place, Fault::Senseless(format!("expected {PIN}")));
            }
            pin
        });
        if pin.is_none() {
            table.missing("pin", PIN);
        }
        let greeting = read_prompts(&mut table, "greeting", GREETING);
        table.finish();
        Some(Self {
            number: number?,
            pin: pin.flatten()?,
            greeting: greeting?,
            place,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[mailbox]]");
        out.key("number", self.number.as_str(), "Its number.");
        out.secret("pin", &self.pin, "What opens it.");
        let comment = "What callers hear before the tone.";
        out.list("greeting", &self.greeting.names, comment);
    }

    /// The one of the demonstration.
    pub(super) fn built_in() -> Self {
        Self {
            number: DEMO_MAILBOX.to_owned(),
            pin: DEMO_PIN.to_owned(),
            greeting: PromptList::built_in(GREETING),
            place: Place::built_in("mailbox"),
        }
    }
}

impl std::fmt::Debug for MailboxConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailboxConfig")
            .field("number", &self.number)
            .field("greeting", &self.greeting)
            .finish_non_exhaustive()
    }
}

/// Finds boxes that are there twice.
pub(super) fn check(mailboxes: &[MailboxConfig], root: &mut Table<'_, '_>) {
    for (n, mailbox) in mailboxes.iter().enumerate() {
        if mailboxes[..n].iter().any(|o| o.number == mailbox.number) {
            let why = format!("there is another mailbox {} above", mailbox.number);
            root.report(&mailbox.place, Fault::Senseless(why));
        }
    }
}

/// Whether a mailbox that is named outright exists; a template is looked up when it is dialled.
pub(super) fn check_app(app: &AppConfig, mailboxes: &[MailboxConfig], root: &mut Table<'_, '_>) {
    let AppConfig::Voicemail {
        mailbox: Some(Reference { name, place }),
        ..
    } = app
    else {
        return;
    };
    if name.contains('$') || mailboxes.iter().any(|m| m.number == *name) {
        return;
    }
    let numbers: Vec<&str> = mailboxes.iter().map(|m| m.number.as_str()).collect();
    let why = format!(
        "there is no mailbox {name:?}; mailboxes are: {}",
        numbers.join(", ")
    );
    root.report(place, Fault::Senseless(why));
}

fn digits(text: &str, count: std::ops::RangeInclusive<usize>) -> Option<String> {
    let good = count.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.to_owned())
}
