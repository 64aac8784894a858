//! `[[room]]` and `[[room_profile]]`: what conference rooms are like.

use std::time::Duration;

use regex::Regex;

use super::apps::{PromptList, Reference, read_prompts};
use super::error::{Fault, Place};
use super::keypads::KeypadConfig;
use super::media::{Conference, MEMBERS};
use super::menus::{MenuConfig, check_reference};
use super::print::{Printer, seconds};
use super::reader::{Table, text};
use super::room_recording::RecordOptions;
use super::routes::anchored;
use super::signalling::{positive, to_i64};
use crate::app::keypad::KeypadAction;
use crate::app::room::{DUCKING_DB, Ducking, Names};

/// A room, or a pattern for rooms.
#[derive(Clone, Debug)]
pub struct RoomConfig {
    /// The room's name, or all names that match as a whole.
    pub name: RoomNameConfig,
    /// Whose settings it begins with.
    pub profile: Option<Reference>,
    /// What it is like.
    pub options: RoomOptions,
    /// Where it stands.
    pub place: Place,
}

/// Which rooms a `[[room]]` is for.
#[derive(Clone, Debug)]
pub enum RoomNameConfig {
    /// One.
    Is(String),
    /// All whose whole name matches.
    Matches(Regex),
}

/// A `[[room_profile]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomProfile {
    /// What rooms call it.
    pub name: String,
    /// What they begin with.
    pub options: RoomOptions,
    /// Where it stands.
    pub place: Place,
}

/// What a room is like.
#[derive(Clone, PartialEq)]
pub struct RoomOptions {
    /// The most members.
    pub max_members: usize,
    /// Whether a lone member is told so.
    pub lone_prompt: bool,
    /// What lets members in.
    pub pin: Option<String>,
    /// What lets moderators in.
    pub moderator_pin: Option<String>,
    /// Whether it begins locked.
    pub locked: bool,
    /// Whether members wait for a moderator.
    pub wait_for_moderator: bool,
    /// What they hear meanwhile.
    pub waiting_music: PromptList,
    /// What a member hears that is on hold.
    pub hold_music: PromptList,
    /// Whether members come in muted.
    pub start_muted: bool,
    /// Whether names are recorded and announced.
    pub names: Names,
    /// Whether tones tell who comes and goes.
    pub tones: bool,
    /// Whether who comes is told how many are in.
    pub announce_count: bool,
    /// How long after its last moderator it ends; none: it goes on.
    pub end_without_moderator: Option<Duration>,
    /// How long it may be; none: as long as anybody is in it.
    pub max_length: Option<Duration>,
    /// How long before that all are told.
    pub warning: Duration,
    /// Whether all are told of a recording.
    pub announce_recording: bool,
    /// How it is recorded.
    pub record: RecordOptions,
    /// Who makes way for announcements.
    pub ducking: DuckingConfig,
    /// By how many dB.
    pub ducking_db: u8,
    /// Whether it is always followed who talks.
    pub watch_talkers: bool,
    /// The keys of members: a `[[keypad]]`, [`BUILT_IN`] or [`NO_KEYS`].
    pub keypad: Reference,
    /// The keys of moderators.
    pub moderator_keypad: Reference,
}

/// Who makes way when a room plays something while somebody talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuckingConfig {
    /// Who talks.
    Speech,
    /// What is played.
    Plays,
    /// Nobody.
    Off,
}

impl DuckingConfig {
    fn read(table: &mut Table<'_, '_>, base: Self) -> Self {
        let words = "\"speech\", \"plays\" or \"off\"";
        table.value("ducking", base, words, |value| match value.as_str()? {
            "speech" => Some(Self::Speech),
            "plays" => Some(Self::Plays),
            "off" => Some(Self::Off),
            _ => None,
        })
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Speech => "speech",
            Self::Plays => "plays",
            Self::Off => "off",
        }
    }
}

/// The keypad of who has chosen none.
pub const BUILT_IN: &str = "built-in";
/// No key does anything.
pub const NO_KEYS: &str = "none";

const NAME: &str = "a name of up to 64 characters";
const MATCH: &str = "a regular expression for the whole name of a room";
const PIN: &str = "a PIN of 4 to 16 digits";
const SECONDS: std::ops::RangeInclusive<u64> = 0..=604_800;

impl RoomOptions {
    fn new(conference: &Conference) -> Self {
        Self {
            max_members: conference.max_members,
            lone_prompt: conference.lone_prompt,
            pin: None,
            moderator_pin: None,
            locked: false,
            wait_for_moderator: false,
            waiting_music: PromptList::built_in(&[]),
            hold_music: PromptList::built_in(&[]),
            start_muted: false,
            names: Names::Off,
            tones: false,
            announce_count: false,
            end_without_moderator: None,
            max_length: None,
            warning: Duration::from_mins(1),
            announce_recording: true,
            record: RecordOptions::default(),
            ducking: DuckingConfig::Speech,
            ducking_db: DUCKING_DB,
            watch_talkers: false,
            keypad: Reference::built_in(BUILT_IN),
            moderator_keypad: Reference::built_in(BUILT_IN),
        }
    }

    fn read(table: &mut Table<'_, '_>, base: &Self) -> Self {
        let names = table.value(
            "names",
            base.names,
            "\"off\", \"record\" or \"review\"",
            |value| match value.as_str()? {
                "off" => Some(Names::Off),
                "record" => Some(Names::Record),
                "review" => Some(Names::Review),
                _ => None,
            },
        );
        let grace = base.end_without_moderator;
        let ends = table.boolean("end_without_moderator", grace.is_some());
        let grace = table.number(
            "moderator_grace_seconds",
            grace.unwrap_or(GRACE).as_secs(),
            SECONDS,
        );
        let max = base.max_length.map_or(0, |length| length.as_secs());
        let max_length = positive(table.number("max_seconds", max, SECONDS));
        let warning = table.number("warning_seconds", base.warning.as_secs(), SECONDS);
        let options = Self {
            max_members: table.number("max_members", base.max_members, MEMBERS),
            lone_prompt: table.boolean("lone_prompt", base.lone_prompt),
            pin: read_pin(table, "pin", base.pin.as_ref()),
            moderator_pin: read_pin(table, "moderator_pin", base.moderator_pin.as_ref()),
            locked: table.boolean("locked", base.locked),
            wait_for_moderator: table.boolean("wait_for_moderator", base.wait_for_moderator),
            waiting_music: read_music(table, "waiting_music", &base.waiting_music),
            hold_music: read_music(table, "hold_music", &base.hold_music),
            start_muted: table.boolean("start_muted", base.start_muted),
            names,
            tones: table.boolean("tones", base.tones),
            announce_count: table.boolean("announce_count", base.announce_count),
            end_without_moderator: ends.then_some(Duration::from_secs(grace)),
            max_length,
            warning: Duration::from_secs(warning),
            announce_recording: table.boolean("announce_recording", base.announce_recording),
            record: RecordOptions::read(table, &base.record),
            ducking: DuckingConfig::read(table, base.ducking),
            ducking_db: table.number("ducking_db", base.ducking_db, 1..=60),
            watch_talkers: table.boolean("watch_talkers", base.watch_talkers),
            keypad: read_keypad(table, "keypad", &base.keypad),
            moderator_keypad: read_keypad(table, "moderator_keypad", &base.moderator_keypad),
        };
        options.check(table);
        options
    }

    /// Who makes way for announcements, and for music in the background.
    pub fn ducking(&self) -> (Ducking, Ducking) {
        let (speech, play) = (
            Ducking::Speech(self.ducking_db),
            Ducking::Play(self.ducking_db),
        );
        match self.ducking {
            DuckingConfig::Speech => (speech, play),
            DuckingConfig::Plays => (play, play),
            DuckingConfig::Off => (Ducking::Off, Ducking::Off),
        }
    }

    /// Finds settings that exclude each other.
    fn check(&self, table: &mut Table<'_, '_>) {
        let place = table.own_place();
        if self.pin.is_some() && self.pin == self.moderator_pin {
            let why = "pin and moderator_pin are the same: everybody would be a moderator";
            table.report(&place, Fault::Senseless(why.to_owned()));
        }
    }

    fn print(&self, out: &mut Printer) {
        out.key("max_members", to_i64(self.max_members), "The most members.");
        let comment = "Whether a lone member is told so.";
        out.key("lone_prompt", self.lone_prompt, comment);
        print_pin(out, "pin", self.pin.as_deref(), "What lets members in.");
        let comment = "What lets moderators in.";
        print_pin(out, "moderator_pin", self.moderator_pin.as_deref(), comment);
        let comment = "Whether it begins locked: moderators alone come in.";
        out.key("locked", self.locked, comment);
        let comment = "Whether members wait until a moderator is there.";
        out.key("wait_for_moderator", self.wait_for_moderator, comment);
        let comment = "What they hear meanwhile, over and over.";
        out.list("waiting_music", &self.waiting_music.names, comment);
        let comment = "What a member hears that is on hold.";
        out.list("hold_music", &self.hold_music.names, comment);
        let comment = "Whether members come in muted; they may unmute themselves.";
        out.key("start_muted", self.start_muted, comment);
        let names = match self.names {
            Names::Off => "off",
            Names::Record => "record",
            Names::Review => "review",
        };
        let comment = "Whether names are recorded and announced: off, record, review.";
        out.key("names", names, comment);
        let comment = "Whether tones tell who comes and goes.";
        out.key("tones", self.tones, comment);
        let comment = "Whether who comes is told how many are in.";
        out.key("announce_count", self.announce_count, comment);
        let grace = self.end_without_moderator;
        let comment = "Whether it ends when its last moderator has gone.";
        out.key("end_without_moderator", grace.is_some(), comment);
        let comment = "How long after that.";
        out.key(
            "moderator_grace_seconds",
            seconds(grace.unwrap_or(GRACE)),
            comment,
        );
        let comment = "How long it may be; 0: as long as anybody is in it.";
        out.key("max_seconds", self.max_length.map_or(0, seconds), comment);
        let comment = "How long before its end all are told; 0: they are not.";
        out.key("warning_seconds", seconds(self.warning), comment);
        let comment = "Whether all are told of a recording.";
        out.key("announce_recording", self.announce_recording, comment);
        self.record.print(out);
        let comment = "Who makes way when it plays while somebody talks: speech, plays, off.";
        out.key("ducking", self.ducking.word(), comment);
        let comment = "By how many dB; music in the background makes way by as much.";
        out.key("ducking_db", i64::from(self.ducking_db), comment);
        let comment = "Whether it is always followed who talks, for the log and programs.";
        out.key("watch_talkers", self.watch_talkers, comment);
        let comment = "What members' keys do.";
        out.key("keypad", self.keypad.name.as_str(), comment);
        let comment = "What moderators' keys do.";
        out.key(
            "moderator_keypad",
            self.moderator_keypad.name.as_str(),
            comment,
        );
    }
}

/// How long a room goes on without its moderator, unless something else is configured.
const GRACE: Duration = Duration::from_secs(30);

impl std::fmt::Debug for RoomOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoomOptions")
            .field("max_members", &self.max_members)
            .field("pin", &self.pin.is_some())
            .field("moderator_pin", &self.moderator_pin.is_some())
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl RoomProfile {
    pub(super) fn read(mut table: Table<'_, '_>, conference: &Conference) -> Option<Self> {
        let place = table.own_place();
        let name = read_name(&mut table);
        let options = RoomOptions::read(&mut table, &RoomOptions::new(conference));
        table.finish();
        Some(Self {
            name: name?,
            options,
            place,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[room_profile]]");
        out.key("name", self.name.as_str(), "What rooms call it.");
        self.options.print(out);
    }
}

impl RoomConfig {
    pub(super) fn read(
        mut table: Table<'_, '_>,
        conference: &Conference,
        profiles: &[RoomProfile],
    ) -> Option<Self> {
        let place = table.own_place();
        let one = table.optional("name", NAME, |value| text(value).filter(|n| n.len() <= 64));
        let pattern = table.optional("match", MATCH, |value| anchored(value.as_str()?));
        let (has_name, has_match) = (table.find("name").is_some(), table.find("match").is_some());
        if !has_name && !has_match {
            table.missing("name", "the name of a room, or match for a pattern");
        } else if has_name && has_match {
            let why = "name and match: a room has one, or a pattern for many has the other";
            table.report(&place, Fault::Senseless(why.to_owned()));
        }
        let profile = table.find("profile").map(|value| {
            let name = value.get_ref().as_str().unwrap_or_default().to_owned();
            let place = table.place("profile", value);
            Reference { name, place }
        });
        let known = profile
            .as_ref()
            .map(|profile| (profile, profiles.iter().find(|p| p.name == profile.name)));
        let base = match known {
            None => RoomOptions::new(conference),
            Some((_, Some(profile))) => profile.options.clone(),
            Some((profile, None)) => {
                let names: Vec<&str> = profiles.iter().map(|p| p.name.as_str()).collect();
                let names = if names.is_empty() {
                    "there are none".to_owned()
                } else {
                    format!("profiles are: {}", names.join(", "))
                };
                let why = format!("there is no [[room_profile]] {:?}; {names}", profile.name);
                table.report(&profile.place, Fault::Senseless(why));
                RoomOptions::new(conference)
            }
        };
        let options = RoomOptions::read(&mut table, &base);
        table.finish();
        let name = one.map(RoomNameConfig::Is);
        Some(Self {
            name: name.or(pattern.map(RoomNameConfig::Matches))?,
            profile,
            options,
            place,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[room]]");
        match &self.name {
            RoomNameConfig::Is(name) => {
                out.key("name", name.as_str(), "Its name.");
                out.optional("match", None, "6\\d\\d", "Or all whose name matches.");
            }
            RoomNameConfig::Matches(pattern) => {
                out.optional("name", None, "600", "Its name.");
                let pattern = super::routes::unanchored(pattern);
                out.key("match", pattern, "Or all whose name matches.");
            }
        }
        let profile = self.profile.as_ref().map(|p| p.name.clone());
        let comment = "The [[room_profile]] that it begins with.";
        out.optional("profile", profile, "board", comment);
        self.options.print(out);
    }

    fn shown(&self) -> &str {
        match &self.name {
            RoomNameConfig::Is(name) => name,
            RoomNameConfig::Matches(pattern) => super::routes::unanchored(pattern),
        }
    }
}

impl PartialEq for RoomConfig {
    fn eq(&self, other: &Self) -> bool {
        let kind = |room: &Self| matches!(room.name, RoomNameConfig::Is(_));
        kind(self) == kind(other)
            && self.shown() == other.shown()
            && self.profile == other.profile
            && self.options == other.options
    }
}

/// Finds what is wrong between rooms, keypads and menus.
pub(super) fn check(
    rooms: &[RoomConfig],
    profiles: &[RoomProfile],
    keypads: &[KeypadConfig],
    menus: &[MenuConfig],
    root: &mut Table<'_, '_>,
) {
    let twice = |what: &str, name: &str| {
        Fault::Senseless(format!("there is another {what} {name:?} above"))
    };
    for (n, room) in rooms.iter().enumerate() {
        if rooms[..n].iter().any(|other| other.shown() == room.shown()) {
            root.report(&room.place, twice("room", room.shown()));
        }
    }
    for (n, profile) in profiles.iter().enumerate() {
        if profiles[..n].iter().any(|other| other.name == profile.name) {
            root.report(&profile.place, twice("room_profile", &profile.name));
        }
    }
    for (n, keypad) in keypads.iter().enumerate() {
        let is_word = [BUILT_IN, NO_KEYS].contains(&keypad.name.as_str());
        if is_word || keypads[..n].iter().any(|other| other.name == keypad.name) {
            root.report(&keypad.place, twice("keypad", &keypad.name));
        }
        for (n, key) in keypad.keys.iter().enumerate() {
            let before = &keypad.keys[..n];
            if let Some(other) = before.iter().find(|o| o.pattern.overlaps(&key.pattern)) {
                let why = format!("{:?} is taken by {:?} above", key.digits, other.digits);
                root.report(&key.place, Fault::Senseless(why));
            }
            if let KeypadAction::LeaveTo(menu) = &key.action {
                let reference = Reference {
                    name: menu.clone(),
                    place: key.place.clone(),
                };
                check_reference(&reference, menus, root);
            }
        }
    }
    let options = rooms.iter().map(|room| &room.options);
    let mut told = Vec::new();
    for options in options.chain(profiles.iter().map(|profile| &profile.options)) {
        for keypad in [&options.keypad, &options.moderator_keypad] {
            let name = keypad.name.as_str();
            let known =
                [BUILT_IN, NO_KEYS].contains(&name) || keypads.iter().any(|k| k.name == name);
            // A room that has it of its profile need not be told of as well.
            if known || told.contains(&keypad.place.line) {
                continue;
            }
            told.push(keypad.place.line);
            let names = keypads.iter().map(|k| k.name.as_str());
            let names: Vec<&str> = [BUILT_IN, NO_KEYS].into_iter().chain(names).collect();
            let why = format!(
                "there is no keypad {name:?}; keypads are: {}",
                names.join(", ")
            );
            root.report(&keypad.place, Fault::Senseless(why));
        }
    }
}

pub(super) fn read_name(table: &mut Table<'_, '_>) -> Option<String> {
    let name = table.optional("name", NAME, |value| text(value).filter(|n| n.len() <= 64));
    if name.is_none() && table.find("name").is_none() {
        table.missing("name", NAME);
    }
    name
}

/// What is wrong with a PIN is said without showing it.
fn read_pin(table: &mut Table<'_, '_>, key: &'static str, base: Option<&String>) -> Option<String> {
    let Some(value) = table.find(key) else {
        return base.cloned();
    };
    let is_pin =
        |pin: &&str| (4..=16).contains(&pin.len()) && pin.bytes().all(|b| b.is_ascii_digit());
    let text = value.get_ref().as_str();
    // Without what its profile says.
    if text == Some("") {
        return None;
    }
    let pin = text.filter(is_pin).map(str::to_owned);
    if pin.is_none() {
        let place = table.place(key, value);
        let why = format!("expected {PIN}, or \"\" for none");
        table.report(&place, Fault::Senseless(why));
    }
    pin
}

fn print_pin(out: &mut Printer, key: &str, pin: Option<&str>, comment: &str) {
    match pin {
        Some(pin) => out.secret(key, pin, comment),
        None => out.key(key, "", comment),
    }
}

pub(super) fn read_music(
    table: &mut Table<'_, '_>,
    key: &'static str,
    base: &PromptList,
) -> PromptList {
    if table.find(key).is_none() {
        return base.clone();
    }
    read_prompts(table, key, &[]).unwrap_or_default()
}

fn read_keypad(table: &mut Table<'_, '_>, key: &'static str, base: &Reference) -> Reference {
    let expected = "the name of a [[keypad]], \"built-in\" or \"none\"";
    let Some(value) = table.find(key) else {
        return base.clone();
    };
    let place = table.place(key, value);
    if let Some(name) = text(value.get_ref()) {
        return Reference { name, place };
    }
    table.refuse(key, value, expected);
    base.clone()
}
