//! `[[route]]`: which application answers a dialled user.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::Config;
use super::apps::{AppConfig, Defaults, PromptList, Reference, Templates, Whose, read_app};
use super::media::{Conference, Recording};
use super::menus::DEMO;
use super::print::Printer;
use super::reader::Table;
use super::srtp;
use crate::sdp::SrtpPolicy;

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The dialled user, as a regular expression that has to match all of it.
    pub pattern: Regex,
    /// Where the call has to come from; empty: anywhere.
    pub source: Vec<IpNet>,
    /// Whether media is encrypted; none: as `media.srtp` says.
    pub srtp: Option<SrtpPolicy>,
    /// Where it must not come from.
    pub deny: Vec<IpNet>,
    /// Whether the caller has to be a user.
    pub auth: bool,
    /// What answers.
    pub app: AppConfig,
}

impl Route {
    /// Whether a call to `user` from `source` takes this route.
    pub fn matches(&self, user: &str, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let has = |networks: &[IpNet]| networks.iter().any(|net| net.contains(&source));
        let is_from = self.source.is_empty() || has(&self.source);
        is_from && !has(&self.deny) && self.pattern.is_match(user)
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
        unanchored(&self.pattern)
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
        let srtp = srtp::read_policy(&mut table);
        let source = table.list("source", Vec::new(), NETWORK, network);
        let deny = table.list("deny", Vec::new(), NETWORK, network);
        let auth = table.boolean("auth", false);
        let defaults = Defaults {
            templates: Templates::Groups(pattern.as_ref()),
            recording,
            conference,
        };
        let app = read_app(table, Whose::Route, defaults)?;
        Some(Route {
            pattern: pattern?,
            source,
            srtp,
            deny,
            auth,
            app,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[route]]");
        out.key("user", self.user(), "The dialled user, all of it.");
        if !self.source.is_empty() {
            out.list("source", &self.source, "Where the call comes from.");
        }
        if let Some(policy) = self.srtp {
            out.key("srtp", srtp::name(policy), "Whether media is encrypted.");
        }
        if !self.deny.is_empty() {
            out.list("deny", &self.deny, "Where it must not come from.");
        }
        if self.auth {
            out.key("auth", true, "The caller has to be a user.");
        }
        out.key("app", self.app.name(), "What answers.");
        self.app.print(out);
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.pattern.as_str() == other.pattern.as_str()
            && self.source == other.source
            && self.srtp == other.srtp
            && self.deny == other.deny
            && self.auth == other.auth
            && self.app == other.app
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
        prompts: PromptList::built_in(&["welcome"]),
        repeat: 1,
        tone_hz: None,
    };
    let record = AppConfig::Record {
        beep: config.recording.beep,
        max: config.recording.max,
        silence: config.recording.silence,
        name: None,
    };
    let voicemail = |mailbox: Option<&str>, leave| AppConfig::Voicemail {
        mailbox: mailbox.map(Reference::built_in),
        leave,
    };
    let table = [
        // RFC 4240 §5, and the same for phones that cannot dial an equals sign.
        ("conf[=-](.+)", conference("$1")),
        (r"6\d\d|6\d{4}", conference("$0")),
        ("500", AppConfig::Echo),
        ("510", welcome),
        ("520", record),
        ("530", AppConfig::Digits),
        ("540", AppConfig::Menu(Reference::built_in(DEMO))),
        ("annc", AppConfig::Announcement),
        (r"\*97|voicemail", voicemail(None, false)),
        ("vm-(.+)", voicemail(Some("$1"), true)),
    ];
    table
        .into_iter()
        .filter_map(|(user, app)| {
            Some(Route {
                pattern: anchored(user)?,
                source: Vec::new(),
                srtp: None,
                deny: Vec::new(),
                auth: false,
                app,
            })
        })
        .collect()
}

/// Anchors for the whole text, whatever flags the expression sets for `^` and `$`.
const ANCHORS: (&str, &str) = (r"\A(?:", r")\z");
/// The most memory of a compiled pattern, bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A pattern as the configuration writes it.
pub(super) fn unanchored(pattern: &Regex) -> &str {
    let text = pattern.as_str();
    text.strip_prefix(ANCHORS.0)
        .and_then(|text| text.strip_suffix(ANCHORS.1))
        .unwrap_or(text)
}

pub(super) fn anchored(user: &str) -> Option<Regex> {
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(MAX_PATTERN_BYTES).build().ok()
    };
    // Alone first: "a)(b" is no expression, although the anchors would make it one.
    build(user).filter(|_| !user.is_empty())?;
    build(&format!("{}{user}{}", ANCHORS.0, ANCHORS.1))
}

/// What [`network`] reads.
pub(super) const NETWORK: &str = "a network such as \"192.0.2.0/24\", or an address";

pub(super) fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>();
    net.ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
