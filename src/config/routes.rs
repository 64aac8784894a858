//! `[[route]]`: which application answers a dialled user.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::Config;
use super::media::{Conference, MEMBERS, RECORDING_SECONDS, Recording, SILENCE_SECONDS};
use super::print::{Printer, seconds};
use super::reader::{Table, integer, text};
use super::signalling::{positive, to_i64};

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The dialled user, as a regular expression that has to match all of it.
    pub pattern: Regex,
    /// Where the call has to come from; empty: anywhere.
    pub source: Vec<IpNet>,
    /// What answers.
    pub app: AppConfig,
}

/// An application with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum AppConfig {
    /// Sends back what it hears.
    Echo,
    /// Plays prompts or a tone, then hangs up.
    Play {
        /// Names of prompts, or WAV files, one after the other.
        prompts: Vec<String>,
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
        /// The file's name without `.wav`, a template ([`Route::expand`]); none: by time and
        /// call.
        name: Option<String>,
    },
    /// Joins a conference.
    Conference {
        /// The room, a template ([`Route::expand`]).
        room: String,
        /// Whether a lone member is told so.
        lone_prompt: bool,
        /// The most members.
        max_members: usize,
    },
}

impl Route {
    /// Whether a call to `user` from `source` takes this route.
    pub fn matches(&self, user: &str, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let is_from = self.source.is_empty() || self.source.iter().any(|net| net.contains(&source));
        is_from && self.pattern.is_match(user)
    }

    /// A template with `$1` or `${name}` replaced by what the pattern captured in `user`.
    pub fn expand(&self, template: &str, user: &str) -> String {
        let mut text = String::new();
        if let Some(captures) = self.pattern.captures(user) {
            captures.expand(template, &mut text);
        }
        text
    }

    /// The pattern as the configuration writes it, without the anchors.
    pub fn user(&self) -> &str {
        let text = self.pattern.as_str();
        text.strip_prefix(ANCHORS.0)
            .and_then(|text| text.strip_suffix(ANCHORS.1))
            .unwrap_or(text)
    }

    pub(super) fn read(
        mut table: Table<'_, '_>,
        recording: &Recording,
        conference: &Conference,
    ) -> Option<Self> {
        const PATTERN: &str = "a regular expression for the whole dialled user";
        let pattern = match table.find("user") {
            None => {
                table.missing("user", PATTERN);
                None
            }
            Some(value) => {
                let pattern = value.get_ref().as_str().and_then(anchored);
                if pattern.is_none() {
                    table.refuse("user", value, PATTERN);
                }
                pattern
            }
        };
        let source = table.list(
            "source",
            Vec::new(),
            "a network such as \"192.0.2.0/24\", or an address",
            network,
        );
        let app = read_app(table, pattern.as_ref(), recording, conference)?;
        Some(Route {
            pattern: pattern?,
            source,
            app,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[route]]");
        out.key("user", self.user(), "The dialled user, all of it.");
        if !self.source.is_empty() {
            out.list("source", &self.source, "Where the call comes from.");
        }
        out.key("app", self.app.name(), "What answers.");
        self.app.print(out);
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.pattern.as_str() == other.pattern.as_str()
            && self.source == other.source
            && self.app == other.app
    }
}

impl AppConfig {
    /// The application's name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            AppConfig::Echo => "echo",
            AppConfig::Play { .. } => "play",
            AppConfig::Record { .. } => "record",
            AppConfig::Conference { .. } => "conference",
        }
    }

    fn print(&self, out: &mut Printer) {
        match self {
            AppConfig::Echo => {}
            AppConfig::Play {
                prompts,
                repeat,
                tone_hz,
            } => {
                if !prompts.is_empty() {
                    out.list("prompts", prompts, "Names of prompts, or WAV files.");
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
        }
    }
}

/// The routes of a server that nobody has configured.
pub fn builtin_routes(config: &Config) -> Vec<Route> {
    let conference = |room: &str| AppConfig::Conference {
        room: room.to_owned(),
        lone_prompt: config.conference.lone_prompt,
        max_members: config.conference.max_members,
    };
    let welcome = AppConfig::Play {
        prompts: vec!["welcome".to_owned()],
        repeat: 1,
        tone_hz: None,
    };
    let record = AppConfig::Record {
        beep: config.recording.beep,
        max: config.recording.max,
        silence: config.recording.silence,
        name: None,
    };
    let table = [
        // RFC 4240 §5, and the same for phones that cannot dial an equals sign.
        ("conf[=-](.+)", conference("$1")),
        (r"6\d\d|6\d{4}", conference("$0")),
        ("500", AppConfig::Echo),
        ("510", welcome),
        ("520", record),
    ];
    table
        .into_iter()
        .filter_map(|(user, app)| {
            Some(Route {
                pattern: anchored(user)?,
                source: Vec::new(),
                app,
            })
        })
        .collect()
}

const APPS: &str = "one of \"echo\", \"play\", \"record\", \"conference\"";
const PLAY: &[&str] = &["prompts", "repeat", "tone_hz"];
const RECORD: &[&str] = &["beep", "max_seconds", "silence_seconds", "name"];
const CONFERENCE: &[&str] = &["room", "lone_prompt", "max_members"];

fn read_app(
    mut table: Table<'_, '_>,
    pattern: Option<&Regex>,
    recording: &Recording,
    conference: &Conference,
) -> Option<AppConfig> {
    let Some(value) = table.find("app") else {
        table.missing("app", APPS);
        return None;
    };
    let name = value.get_ref().as_str().unwrap_or_default();
    let (app, takes) = match name {
        "echo" => (Some(AppConfig::Echo), &[][..]),
        "play" => (read_play(&mut table), PLAY),
        "record" => (Some(read_record(&mut table, pattern, recording)), RECORD),
        "conference" => {
            let app = read_conference(&mut table, pattern, conference);
            (Some(app), CONFERENCE)
        }
        _ => {
            table.refuse("app", value, APPS);
            return None;
        }
    };
    table.finish_app(name, takes, &[PLAY, RECORD, CONFERENCE].concat());
    app
}

fn read_play(table: &mut Table<'_, '_>) -> Option<AppConfig> {
    let prompts = read_prompts(table);
    let repeat = table.number("repeat", 1, 0..=1_000_000);
    let tone_hz = table.optional("tone_hz", "a frequency from 50 to 3400", |value| {
        let number = integer(value).map(|number| number as f32);
        let number = number.or_else(|| value.as_float()?.as_str().parse().ok())?;
        (50.0..=3400.0).contains(&number).then_some(number)
    });
    let prompts = prompts?;
    if prompts.is_empty() && tone_hz.is_none() {
        table.missing("prompts", "names of prompts or WAV files, or tone_hz");
        return None;
    }
    Some(AppConfig::Play {
        prompts,
        repeat,
        tone_hz,
    })
}

/// The prompts of a route; none if they were refused. One may come twice.
fn read_prompts(table: &mut Table<'_, '_>) -> Option<Vec<String>> {
    let Some(value) = table.find("prompts") else {
        return Some(Vec::new());
    };
    let entries = value.get_ref().as_array().and_then(|list| {
        let entries = list.iter().map(|entry| text(entry.get_ref()));
        entries.collect::<Option<Vec<String>>>()
    });
    if entries.is_none() {
        table.refuse("prompts", value, "a list of names of prompts or WAV files");
    }
    entries
}

fn read_record(
    table: &mut Table<'_, '_>,
    pattern: Option<&Regex>,
    recording: &Recording,
) -> AppConfig {
    let max = table.number("max_seconds", recording.max.as_secs(), RECORDING_SECONDS);
    let silence = recording.silence.map_or(0, |time| time.as_secs());
    let name = table.optional(
        "name",
        "a file name without \"/\", with $1 for what the first group of user captured",
        |value| {
            let is_name = |name: &String| {
                !name.starts_with('.') && !name.contains('/') && is_template(name, pattern)
            };
            text(value).filter(is_name)
        },
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
    pattern: Option<&Regex>,
    conference: &Conference,
) -> AppConfig {
    let room = table.value(
        "room",
        "$0".to_owned(),
        "a name, with $1 or ${1} for what the first group of user captured",
        |value| text(value).filter(|room| is_template(room, pattern)),
    );
    AppConfig::Conference {
        room,
        lone_prompt: table.boolean("lone_prompt", conference.lone_prompt),
        max_members: table.number("max_members", conference.max_members, MEMBERS),
    }
}

/// Anchors for the whole text, whatever flags the expression sets for `^` and `$`.
const ANCHORS: (&str, &str) = (r"\A(?:", r")\z");
/// The most memory of a compiled pattern, bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

fn anchored(user: &str) -> Option<Regex> {
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(MAX_PATTERN_BYTES).build().ok()
    };
    // Alone first: "a)(b" is no expression, although the anchors would make it one.
    build(user).filter(|_| !user.is_empty())?;
    build(&format!("{}{user}{}", ANCHORS.0, ANCHORS.1))
}

fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>();
    net.ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
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
