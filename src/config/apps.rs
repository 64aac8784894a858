//! What answers a call, with its settings: of a `[[route]]`, or of a choice in a `[[menu]]`.

use std::time::Duration;

use regex::Regex;

use super::error::Place;
use super::media::{Conference, MEMBERS, RECORDING_SECONDS, Recording, SILENCE_SECONDS};
use super::print::{Printer, seconds};
use super::reader::{Table, integer, text};
use super::signalling::{positive, to_i64};
use crate::app::room::is_name;
use crate::app::{MAX_FILE_NAME, split_reference};

/// Names of prompts, or WAV files, and where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptList {
    /// One after the other; one may come twice.
    pub names: Vec<String>,
    /// Where the list stands.
    pub place: Place,
}

impl PromptList {
    /// Bundled prompts.
    pub(super) fn built_in(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            place: Place::built_in("prompts"),
        }
    }
}

/// The name of a menu or a mailbox, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name; of a mailbox: a template ([`super::Route::expand`]).
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

impl Reference {
    pub(super) fn built_in(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            place: Place::built_in(name),
        }
    }
}

/// An application with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum AppConfig {
    /// Sends back what it hears.
    Echo,
    /// Plays prompts or a tone, then hangs up.
    Play {
        /// What.
        prompts: PromptList,
        /// How often; 0: for ever.
        repeat: u32,
        /// A tone after the prompts or alone, Hz.
        tone_hz: Option<f32>,
    },
    /// Records the caller.
    Record {
        /// Whether a beep is played before.
        beep: bool,
        /// The longest recording.
        max: Duration,
        /// The silence that ends it; none: silence does not.
        silence: Option<Duration>,
        /// The file's name without `.wav`, a template ([`super::Route::expand`]); none: by time and
        /// call.
        name: Option<String>,
    },
    /// Joins a conference.
    Conference {
        /// The room, a template ([`super::Route::expand`]).
        room: String,
        /// Whether a lone member is told so.
        lone_prompt: bool,
        /// The most members.
        max_members: usize,
    },
    /// Reads digits and speaks them back.
    Digits,
    /// What the request's URI asks for (RFC 4240 §3).
    Announcement,
    /// A menu.
    Menu(Reference),
    /// Leaves a message, or hears one's own.
    Voicemail {
        /// The box; none: the caller is asked.
        mailbox: Option<Reference>,
        /// Leave one, and not hear them.
        leave: bool,
    },
    /// Is a program's (ARI).
    Stasis {
        /// The program's name.
        program: String,
        /// What it is told, templates ([`super::Route::expand`]).
        args: Vec<String>,
        /// What is dialled where the program is not there, a template; none: 503.
        otherwise: Option<String>,
    },
    /// Ends the call; in menus alone.
    HangUp,
}

impl AppConfig {
    /// The application's name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            AppConfig::Echo => "echo",
            AppConfig::Play { .. } => "play",
            AppConfig::Record { .. } => "record",
            AppConfig::Conference { .. } => "conference",
            AppConfig::Digits => "digits",
            AppConfig::Announcement => "announcement",
            AppConfig::Menu(_) => "menu",
            AppConfig::Voicemail { .. } => "voicemail",
            AppConfig::Stasis { .. } => "stasis",
            AppConfig::HangUp => "hang-up",
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        match self {
            AppConfig::Echo | AppConfig::Digits | AppConfig::Announcement | AppConfig::HangUp => {}
            AppConfig::Play {
                prompts,
                repeat,
                tone_hz,
            } => {
                if !prompts.names.is_empty() {
                    out.list("prompts", &prompts.names, "Names of prompts, or WAV files.");
                }
                out.key("repeat", i64::from(*repeat), "How often; 0: for ever.");
                if let Some(tone_hz) = tone_hz {
                    out.key("tone_hz", f64::from(*tone_hz), "A tone.");
                }
            }
            AppConfig::Record {
                beep,
                max,
                silence,
                name,
            } => {
                out.key("beep", *beep, "Whether a beep is played before.");
                out.key("max_seconds", seconds(*max), "The longest recording.");
                let silence = silence.map_or(0, seconds);
                out.key(
                    "silence_seconds",
                    silence,
                    "The silence that ends it; 0: none.",
                );
                if let Some(name) = name {
                    out.key("name", name.as_str(), "The file's name.");
                }
            }
            AppConfig::Conference {
                room,
                lone_prompt,
                max_members,
            } => {
                out.key("room", room.as_str(), "The room.");
                out.key(
                    "lone_prompt",
                    *lone_prompt,
                    "Whether a lone member is told so.",
                );
                out.key("max_members", to_i64(*max_members), "The most members.");
            }
            AppConfig::Stasis {
                program,
                args,
                otherwise,
            } => {
                out.key("program", program.as_str(), "The program's name.");
                out.list("args", args, "What it is told of the call.");
                if let Some(otherwise) = otherwise {
                    let about = "What is dialled where the program is not there.";
                    out.key("otherwise", otherwise.as_str(), about);
                }
            }
            AppConfig::Menu(menu) => out.key("menu", menu.name.as_str(), "Which menu."),
            AppConfig::Voicemail { mailbox, leave } => {
                if let Some(mailbox) = mailbox {
                    out.key("mailbox", mailbox.name.as_str(), "Which mailbox.");
                }
                let task = if *leave { "leave" } else { "listen" };
                out.key("task", task, "Leave a message, or listen to one's own.");
            }
        }
    }
}

const PLAY: &[&str] = &["prompts", "repeat", "tone_hz"];
const RECORD: &[&str] = &["beep", "max_seconds", "silence_seconds", "name"];
const CONFERENCE: &[&str] = &["room", "lone_prompt", "max_members"];
const MENU: &[&str] = &["menu"];
const VOICEMAIL: &[&str] = &["mailbox", "task"];
const STASIS: &[&str] = &["program", "args", "otherwise"];

/// The applications of a route, and those of a choice.
const OF_ROUTE: &str = "one of \"echo\", \"play\", \"record\", \"conference\", \"digits\", \
                        \"announcement\", \"menu\", \"voicemail\", \"stasis\"";
const OF_CHOICE: &str = "one of \"menu\", \"play\", \"record\", \"voicemail\", \"conference\", \
                         \"digits\", \"echo\", \"hang-up\"";

/// What an application is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Route,
    Choice,
}

/// What templates may refer to.
#[derive(Clone, Copy)]
pub(super) enum Templates<'a> {
    /// The groups of a route's pattern; an unread pattern refuses none, it has its own problem.
    Groups(Option<&'a Regex>),
    /// `$0`, the digits of a choice, and nothing else.
    Digits,
}

impl Templates<'_> {
    fn allow(self, template: &str) -> bool {
        match self {
            Templates::Groups(pattern) => is_template(template, pattern),
            Templates::Digits => !template.replace("$0", "").contains('$'),
        }
    }

    /// Whether a file can be called so, whatever callers put in.
    fn is_file_name(self, template: &str) -> bool {
        let mut literal = String::new();
        match self {
            Templates::Groups(_) => {
                let mut rest = template;
                while let Some((before, reference, behind)) = split_reference(rest) {
                    literal.push_str(before);
                    if reference == "$$" {
                        literal.push('$');
                    }
                    rest = behind;
                }
                literal.push_str(rest);
            }
            Templates::Digits => literal = template.replace("$0", ""),
        }
        let is_below = !template.starts_with('.') && !template.contains('/');
        is_below && literal.chars().count() <= MAX_FILE_NAME
    }

    /// What they are, in a message.
    fn hint(self) -> &'static str {
        match self {
            Templates::Groups(_) => "with $1 or ${1} for what the first group of user captured",
            Templates::Digits => "with $0 for the digits",
        }
    }
}

/// What an application's settings default to, and what their templates refer to.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'a> {
    pub(super) templates: Templates<'a>,
    pub(super) recording: &'a Recording,
    pub(super) conference: &'a Conference,
}

/// Reads `app` and its settings, and closes the table.
pub(super) fn read_app(
    mut table: Table<'_, '_>,
    whose: Whose,
    defaults: Defaults<'_>,
) -> Option<AppConfig> {
    let apps = match whose {
        Whose::Route => OF_ROUTE,
        Whose::Choice => OF_CHOICE,
    };
    let Some(value) = table.find("app") else {
        table.missing("app", apps);
        return None;
    };
    let templates = defaults.templates;
    let name = value.get_ref().as_str().unwrap_or_default();
    let (app, takes) = match (name, whose) {
        ("echo", _) => (Some(AppConfig::Echo), &[][..]),
        ("play", _) => (read_play(&mut table), PLAY),
        ("record", _) => {
            let app = read_record(&mut table, templates, defaults.recording);
            (Some(app), RECORD)
        }
        ("conference", _) => {
            let app = read_conference(&mut table, templates, defaults.conference);
            (Some(app), CONFERENCE)
        }
        ("digits", _) => (Some(AppConfig::Digits), &[][..]),
        ("announcement", Whose::Route) => (Some(AppConfig::Announcement), &[][..]),
        ("menu", _) => (read_menu(&mut table), MENU),
        ("voicemail", _) => (Some(read_voicemail(&mut table, templates)), VOICEMAIL),
        ("stasis", Whose::Route) => (read_stasis(&mut table, templates), STASIS),
        ("hang-up", Whose::Choice) => (Some(AppConfig::HangUp), &[][..]),
        _ => {
            table.refuse("app", value, apps);
            return None;
        }
    };
    let all = [PLAY, RECORD, CONFERENCE, MENU, VOICEMAIL, STASIS].concat();
    table.finish_app(name, takes, &all);
    app
}

fn read_play(table: &mut Table<'_, '_>) -> Option<AppConfig> {
    let prompts = read_prompts(table, "prompts", &[]);
    let repeat = table.number("repeat", 1, 0..=1_000_000);
    let tone_hz = table.optional("tone_hz", "a frequency from 50 to 3400", |value| {
        let number = integer(value).map(|number| number as f32);
        let number = number.or_else(|| value.as_float()?.as_str().parse().ok())?;
        (50.0..=3400.0).contains(&number).then_some(number)
    });
    let prompts = prompts?;
    if prompts.names.is_empty() && tone_hz.is_none() {
        table.missing("prompts", "names of prompts or WAV files, or tone_hz");
        return None;
    }
    Some(AppConfig::Play {
        prompts,
        repeat,
        tone_hz,
    })
}

/// A list of prompts; none if it was refused.
pub(super) fn read_prompts(
    table: &mut Table<'_, '_>,
    key: &'static str,
    default: &[&str],
) -> Option<PromptList> {
    let Some(value) = table.find(key) else {
        return Some(PromptList::built_in(default));
    };
    let entries = value.get_ref().as_array().and_then(|list| {
        let entries = list.iter().map(|entry| text(entry.get_ref()));
        entries.collect::<Option<Vec<String>>>()
    });
    if entries.is_none() {
        table.refuse(key, value, "a list of names of prompts or WAV files");
    }
    Some(PromptList {
        names: entries?,
        place: table.place(key, value),
    })
}

fn read_record(
    table: &mut Table<'_, '_>,
    templates: Templates<'_>,
    recording: &Recording,
) -> AppConfig {
    let max = table.number("max_seconds", recording.max.as_secs(), RECORDING_SECONDS);
    let silence = recording.silence.map_or(0, |time| time.as_secs());
    let name = table.optional(
        "name",
        &format!(
            "a file name of {MAX_FILE_NAME} characters at most, without \"/\" and a leading \".\", {}",
            templates.hint()
        ),
        |value| text(value).filter(|name| templates.allow(name) && templates.is_file_name(name)),
    );
    AppConfig::Record {
        beep: table.boolean("beep", recording.beep),
        max: Duration::from_secs(max),
        silence: positive(table.number("silence_seconds", silence, SILENCE_SECONDS)),
        name,
    }
}

fn read_conference(
    table: &mut Table<'_, '_>,
    templates: Templates<'_>,
    conference: &Conference,
) -> AppConfig {
    let room = table.value(
        "room",
        "$0".to_owned(),
        &format!("a name, {}", templates.hint()),
        // What a group captures is looked at when it is dialled.
        |value| {
            let room = text(value).filter(|room| templates.allow(room))?;
            (room.contains('$') || is_name(&room)).then_some(room)
        },
    );
    AppConfig::Conference {
        room,
        lone_prompt: table.boolean("lone_prompt", conference.lone_prompt),
        max_members: table.number("max_members", conference.max_members, MEMBERS),
    }
}

fn read_menu(table: &mut Table<'_, '_>) -> Option<AppConfig> {
    let reference = read_reference(table, "menu");
    if reference.is_none() && table.find("menu").is_none() {
        table.missing("menu", "the name of a menu");
    }
    reference.map(AppConfig::Menu)
}

/// The name of a menu, which is looked up when all are read.
pub(super) fn read_reference(table: &mut Table<'_, '_>, key: &'static str) -> Option<Reference> {
    let value = table.find(key)?;
    let name = text(value.get_ref());
    if name.is_none() {
        table.refuse(key, value, "the name of a menu");
    }
    Some(Reference {
        name: name?,
        place: table.place(key, value),
    })
}

fn read_voicemail(table: &mut Table<'_, '_>, templates: Templates<'_>) -> AppConfig {
    let mailbox = table.find("mailbox").and_then(|value| {
        let name = text(value.get_ref()).filter(|name| templates.allow(name));
        if name.is_none() {
            let expected = format!("a mailbox number, {}", templates.hint());
            table.refuse("mailbox", value, expected);
        }
        Some(Reference {
            name: name?,
            place: table.place("mailbox", value),
        })
    });
    let leave = table.value(
        "task",
        true,
        "\"leave\" or \"listen\"",
        |value| match value.as_str()? {
            "leave" => Some(true),
            "listen" => Some(false),
            _ => None,
        },
    );
    AppConfig::Voicemail { mailbox, leave }
}

fn read_stasis(table: &mut Table<'_, '_>, templates: Templates<'_>) -> Option<AppConfig> {
    const PROGRAM: &str = "a name of 1 to 128 bytes, without \"/\" and \",\"";
    if table.find("program").is_none() {
        table.missing("program", PROGRAM);
    }
    let program = table.optional("program", PROGRAM, |value| {
        let fits = |name: &String| {
            let odd = |c: char| c == '/' || c == ',' || c.is_control();
            (1..=128).contains(&name.len()) && !name.contains(odd)
        };
        text(value).filter(fits)
    });
    let expected = format!("a text, {}", templates.hint());
    let args = table.in_order("args", Vec::new(), &expected, |arg| {
        templates.allow(arg).then(|| arg.to_owned())
    });
    let otherwise = table.optional("otherwise", &expected, |value| {
        text(value).filter(|extension| templates.allow(extension))
    });
    Some(AppConfig::Stasis {
        program: program?,
        args,
        otherwise,
    })
}

/// Whether each reference of a template exists in the pattern. An unread pattern refuses none:
/// it has its own problem.
fn is_template(template: &str, pattern: Option<&Regex>) -> bool {
    let Some(pattern) = pattern else {
        return true;
    };
    let exists = |name: &str| match name.parse::<usize>() {
        Ok(number) => number < pattern.captures_len(),
        Err(_) => pattern.capture_names().flatten().any(|known| known == name),
    };
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('$') {
        let (name, tail) = if let Some(escaped) = after.strip_prefix('$') {
            ("0", escaped)
        } else if let Some(braced) = after.strip_prefix('{') {
            braced.split_once('}').unwrap_or(("", ""))
        } else {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            after.split_at(after.find(|c| !is_part(c)).unwrap_or(after.len()))
        };
        if !exists(name) {
            return false;
        }
        rest = tail;
    }
    true
}
