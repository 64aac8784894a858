//! `[[menu]]`: menus and their choices, and whether they lead anywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use super::apps::{
    AppConfig, Defaults, PromptList, Reference, Templates, Whose, read_app, read_prompts,
    read_reference,
};
use super::digits::SECONDS;
use super::error::{Fault, Place};
use super::media::{Conference, Recording};
use super::print::{Printer, seconds};
use super::reader::{Table, text};
use crate::app::collect::Pattern;
use crate::dtmf::Digit;

/// One menu.
#[derive(Clone, Debug, PartialEq)]
pub struct MenuConfig {
    /// What others call it.
    pub name: String,
    /// What it asks.
    pub prompts: PromptList,
    /// What is said first where the answer was none of the choices.
    pub invalid_prompts: PromptList,
    /// The same where there was no answer in time.
    pub timeout_prompts: PromptList,
    /// How long the first digit may take.
    pub first_digit: Duration,
    /// How long each further digit may take.
    pub inter_digit: Duration,
    /// How long all of them may take.
    pub total: Duration,
    /// What ends an answer before its time.
    pub terminator: Option<Digit>,
    /// Whether a digit ends the prompt.
    pub barge_in: bool,
    /// Whether digits pressed before the prompt count.
    pub type_ahead: bool,
    /// How often it asks again.
    pub retries: u32,
    /// The menu that follows one wrong answer too many; none: hang up.
    pub on_invalid: Option<Reference>,
    /// The menu that follows one missing answer too many; none: hang up.
    pub on_timeout: Option<Reference>,
    /// The answers.
    pub choices: Vec<ChoiceConfig>,
    /// Where it stands.
    pub place: Place,
}

/// One answer of a menu.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceConfig {
    /// Its digits.
    pub pattern: Pattern,
    /// The same as written.
    pub digits: String,
    /// What answers it.
    pub app: AppConfig,
    /// The menu that follows; none: hang up.
    pub then: Option<Reference>,
    /// Where it stands.
    pub place: Place,
}

/// What hangs up in the place of a menu's name.
const HANG_UP: &str = "hang-up";
/// The menu of a server that nobody has configured.
pub(super) const DEMO: &str = "demo";
const MENU_NAME: &str = "a name of letters, digits, \"-\" and \"_\" (but \"hang-up\")";
const DIGITS: &str = "digits 0 to 9, *, #, A to D, with X for any of 0 to 9, 32 at most";

impl MenuConfig {
    pub(super) fn read(
        mut table: Table<'_, '_>,
        recording: &Recording,
        conference: &Conference,
    ) -> Option<Self> {
        let place = table.own_place();
        let name = table.optional("name", MENU_NAME, |value| {
            text(value).filter(|name| is_name(name))
        });
        if name.is_none() && table.find("name").is_none() {
            table.missing("name", MENU_NAME);
        }
        let prompts = read_prompts(&mut table, "prompts", &[]);
        let invalid_prompts = read_prompts(&mut table, "invalid_prompts", &["menu-invalid"]);
        let timeout_prompts = read_prompts(&mut table, "timeout_prompts", &["menu-timeout"]);
        let duration = |table: &mut Table<'_, '_>, key, default| {
            Duration::from_secs(table.number(key, default, SECONDS))
        };
        let first_digit = duration(&mut table, "first_digit_seconds", 6);
        let inter_digit = duration(&mut table, "inter_digit_seconds", 3);
        let total = duration(&mut table, "total_seconds", 30);
        let terminator = table.value(
            "terminator",
            Some(Digit::POUND),
            "one digit, or \"\"",
            |v| {
                let mut chars = v.as_str()?.chars();
                match (chars.next(), chars.next()) {
                    (None, _) => Some(None),
                    (Some(c), None) => Digit::from_char(c).map(Some),
                    _ => None,
                }
            },
        );
        let barge_in = table.boolean("barge_in", true);
        let type_ahead = table.boolean("type_ahead", true);
        let retries = table.number("retries", 2, 0..=100);
        let on_invalid = read_follower(&mut table, "on_invalid");
        let on_timeout = read_follower(&mut table, "on_timeout");
        let choices = table.tables("choice", |choice| {
            ChoiceConfig::read(choice, recording, conference)
        });
        if table.find("choice").is_none() {
            let why = "a menu without a [[menu.choice]]: no answer leads anywhere";
            table.report(&place, Fault::Senseless(why.to_owned()));
        }
        table.finish();
        Some(MenuConfig {
            name: name?,
            prompts: prompts?,
            invalid_prompts: invalid_prompts?,
            timeout_prompts: timeout_prompts?,
            first_digit,
            inter_digit,
            total,
            terminator,
            barge_in,
            type_ahead,
            retries,
            on_invalid,
            on_timeout,
            choices,
            place,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[menu]]");
        out.key("name", self.name.as_str(), "What others call it.");
        let list = |out: &mut Printer, key, prompts: &PromptList, comment| {
            out.list(key, &prompts.names, comment);
        };
        list(out, "prompts", &self.prompts, "What it asks.");
        let comment = "What is said first after a wrong answer.";
        list(out, "invalid_prompts", &self.invalid_prompts, comment);
        let comment = "What is said first after no answer.";
        list(out, "timeout_prompts", &self.timeout_prompts, comment);
        let key = "first_digit_seconds";
        out.key(
            key,
            seconds(self.first_digit),
            "How long the first digit may take.",
        );
        let key = "inter_digit_seconds";
        out.key(
            key,
            seconds(self.inter_digit),
            "How long each further digit may take.",
        );
        let key = "total_seconds";
        out.key(key, seconds(self.total), "How long all of them may take.");
        let terminator = self.terminator.map_or_else(String::new, |d| d.to_string());
        out.key(
            "terminator",
            terminator,
            "What ends an answer; \"\": nothing.",
        );
        out.key(
            "barge_in",
            self.barge_in,
            "Whether a digit ends the prompt.",
        );
        let comment = "Whether digits pressed before the prompt count.";
        out.key("type_ahead", self.type_ahead, comment);
        out.key(
            "retries",
            i64::from(self.retries),
            "How often it asks again.",
        );
        let follower = |menu: &Option<Reference>| {
            menu.as_ref()
                .map_or(HANG_UP, |m| m.name.as_str())
                .to_owned()
        };
        let comment = "What follows one wrong answer too many.";
        out.key("on_invalid", follower(&self.on_invalid), comment);
        let comment = "What follows one missing answer too many.";
        out.key("on_timeout", follower(&self.on_timeout), comment);
        for choice in &self.choices {
            out.section("[[menu.choice]]");
            out.key("digits", choice.digits.as_str(), "X: any of 0 to 9.");
            out.key("app", choice.app.name(), "What answers.");
            choice.app.print(out);
            if choice.leads_on() {
                out.key("then", follower(&choice.then), "What follows.");
            }
        }
    }

    /// The menus that may follow: by name, and where that is said.
    fn references(&self) -> impl Iterator<Item = &Reference> {
        self.on_invalid
            .iter()
            .chain(&self.on_timeout)
            .chain(self.choices.iter().flat_map(|choice| {
                let menu = match &choice.app {
                    AppConfig::Menu(menu) => Some(menu),
                    _ => None,
                };
                choice.then.iter().chain(menu)
            }))
    }
}

impl ChoiceConfig {
    fn read(
        mut table: Table<'_, '_>,
        recording: &Recording,
        conference: &Conference,
    ) -> Option<Self> {
        let place = table.own_place();
        let digits = table.optional("digits", DIGITS, |value| {
            let text = text(value)?;
            Pattern::parse(&text).map(|pattern| (text, pattern))
        });
        if digits.is_none() && table.find("digits").is_none() {
            table.missing("digits", DIGITS);
        }
        let then = read_follower(&mut table, "then");
        let then_at = table.find("then").map(|value| table.place("then", value));
        let defaults = Defaults {
            templates: Templates::Digits,
            recording,
            conference,
        };
        let name = table.find("app").and_then(|v| v.get_ref().as_str());
        let ends = matches!(name, Some("menu" | "hang-up"));
        if let (true, Some(place)) = (ends, &then_at) {
            let why = "nothing follows a menu or a hang-up";
            table.report(place, Fault::Senseless(why.to_owned()));
        }
        let app = read_app(table, Whose::Choice, defaults)?;
        let (digits, pattern) = digits?;
        Some(Self {
            pattern,
            digits,
            app,
            then,
            place,
        })
    }

    /// Whether something may follow it.
    fn leads_on(&self) -> bool {
        !matches!(self.app, AppConfig::Menu(_) | AppConfig::HangUp)
    }
}

/// Finds what is wrong between menus: names twice, branches to nowhere, choices that exclude each
/// other, loops that nobody's digit leaves.
pub(super) fn check(menus: &[MenuConfig], effective: &[MenuConfig], root: &mut Table<'_, '_>) {
    for (n, menu) in menus.iter().enumerate() {
        if menus[..n].iter().any(|other| other.name == menu.name) {
            let why = format!("there is another menu {:?} above", menu.name);
            root.report(&menu.place, Fault::Senseless(why));
        }
        for reference in menu.references() {
            check_reference(reference, effective, root);
        }
        for (n, choice) in menu.choices.iter().enumerate() {
            let before = &menu.choices[..n];
            if let Some(other) = before.iter().find(|o| o.pattern.overlaps(&choice.pattern)) {
                let why = format!(
                    "{:?} is answered by {:?} above",
                    choice.digits, other.digits
                );
                root.report(&choice.place, Fault::Senseless(why));
            }
        }
    }
    check_loops(menus, root);
}

/// Whether a menu that is referred to exists.
pub(super) fn check_reference(
    reference: &Reference,
    menus: &[MenuConfig],
    root: &mut Table<'_, '_>,
) {
    if menus.iter().any(|menu| menu.name == reference.name) {
        return;
    }
    let mut names: Vec<&str> = menus.iter().map(|menu| menu.name.as_str()).collect();
    names.sort_unstable();
    let why = format!(
        "there is no menu {:?}; menus are: {}",
        reference.name,
        names.join(", ")
    );
    root.report(&reference.place, Fault::Senseless(why));
}

/// A caller that presses nothing goes from `on_timeout` to `on_timeout`: it has to end somewhere.
fn check_loops(menus: &[MenuConfig], root: &mut Table<'_, '_>) {
    let next: BTreeMap<&str, &Reference> = menus
        .iter()
        .filter_map(|menu| Some((menu.name.as_str(), menu.on_timeout.as_ref()?)))
        .collect();
    for menu in menus {
        let mut path = vec![menu.name.as_str()];
        while let Some(reference) = path.last().and_then(|name| next.get(name)) {
            let name = reference.name.as_str();
            path.push(name);
            if name == menu.name {
                // Told once: at the first of its menus in the order of names.
                if path.iter().min() == Some(&menu.name.as_str()) {
                    let why = format!(
                        "a loop without input: {}; a caller who presses nothing stays in it for ever",
                        path.join(" -> ")
                    );
                    let place = menu.on_timeout.as_ref().map(|r| r.place.clone());
                    root.report(&place.unwrap_or_default(), Fault::Senseless(why));
                }
                break;
            }
            if path[..path.len() - 1].contains(&name) {
                break;
            }
        }
    }
}

/// The demonstration: what a server offers that nobody has configured. Without a mailbox of its own
/// it asks for one.
pub(super) fn built_in(conference: &Conference, mailbox: Option<&str>) -> MenuConfig {
    let demo = || Some(Reference::built_in(DEMO));
    let choice = |digits: &str, app, then| {
        Some(ChoiceConfig {
            pattern: Pattern::parse(digits)?,
            digits: digits.to_owned(),
            app,
            then,
            place: Place::built_in("menu"),
        })
    };
    let room = AppConfig::Conference {
        room: "600".to_owned(),
        lone_prompt: conference.lone_prompt,
        max_members: conference.max_members,
    };
    let voicemail = |leave| AppConfig::Voicemail {
        mailbox: mailbox.map(Reference::built_in),
        leave,
    };
    let announcement = AppConfig::Play {
        prompts: PromptList::built_in(&["menu-announcement"]),
        repeat: 1,
        tone_hz: None,
    };
    MenuConfig {
        name: DEMO.to_owned(),
        prompts: PromptList::built_in(&["menu-main"]),
        invalid_prompts: PromptList::built_in(&["menu-invalid"]),
        timeout_prompts: PromptList::built_in(&["menu-timeout"]),
        first_digit: Duration::from_secs(6),
        inter_digit: Duration::from_secs(3),
        total: Duration::from_secs(30),
        terminator: None,
        barge_in: true,
        type_ahead: true,
        retries: 2,
        on_invalid: None,
        on_timeout: None,
        choices: [
            choice("1", AppConfig::Echo, demo()),
            choice("2", room, demo()),
            choice("3", voicemail(true), demo()),
            choice("4", voicemail(false), demo()),
            choice("5", announcement, demo()),
            choice("*", AppConfig::Menu(Reference::built_in(DEMO)), None),
            choice("#", AppConfig::HangUp, None),
        ]
        .into_iter()
        .flatten()
        .collect(),
        place: Place::built_in("menu"),
    }
}

/// A menu's name, or [`HANG_UP`], which is also the default.
fn read_follower(table: &mut Table<'_, '_>, key: &'static str) -> Option<Reference> {
    read_reference(table, key).filter(|reference| reference.name != HANG_UP)
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name != HANG_UP && name.len() <= 64 && name.chars().all(allowed)
}
