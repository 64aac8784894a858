//! The configuration: read once from TOML, valid afterwards.
//!
//! Every key has a default, stated once where the key is read; `docs/configuration.md` lists
//! them. What is not known or not allowed is refused with file, line and key ([`ConfigError`]).

mod error;
pub mod fuzz;
mod media;
mod print;
mod reader;
mod routes;
mod signalling;

use std::path::Path;

use toml::de::DeTable;

pub use error::{ConfigError, Fault, Problem};
pub use media::{Conference, Media, Prompts, Recording};
pub use routes::{AppConfig, Route, builtin_routes};
pub use signalling::{Limits, LogFormat, Server, Sip};

use print::Printer;
use reader::{Reader, Table};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`: logs and shutdown.
    pub server: Server,
    /// `[sip]`: listeners, names and times of the signalling.
    pub sip: Sip,
    /// `[limits]`: what is refused.
    pub limits: Limits,
    /// `[media]`: RTP and the media threads.
    pub media: Media,
    /// `[recording]`: where recordings go and how long they get.
    pub recording: Recording,
    /// `[prompts]`: where spoken texts come from.
    pub prompts: Prompts,
    /// `[conference]`: rooms.
    pub conference: Conference,
    /// Whether the built-in routes follow the configured ones.
    pub builtin_routes: bool,
    /// `[[route]]`: who is answered by what, the first match first.
    pub routes: Vec<Route>,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(source) => Err(ConfigError::Unreadable { file, source }),
        }
    }

    /// Checks a text; `file` is the name that problems give.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(text, file);
        let config = match DeTable::parse(text) {
            Ok(document) => Self::read(reader.root(document.get_ref())),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                reader.report_syntax(offset, error.message());
                Self::default()
            }
        };
        let problems = reader.finish();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }

    /// The configuration as TOML with every key, each below a comment; reads back as the same.
    pub fn to_toml_with_defaults(&self) -> String {
        let mut out = Printer::default();
        // A key of no section has to stand above all sections.
        out.key(
            "builtin_routes",
            self.builtin_routes,
            "Whether the built-in routes follow those of this file: 500 echo, 510 welcome,\n\
             520 record, 6XX, 6XXXX, conf-ID and conf=ID conferences.",
        );
        self.server.print(&mut out);
        self.sip.print(&mut out);
        self.limits.print(&mut out);
        self.media.print(&mut out);
        self.recording.print(&mut out);
        self.prompts.print(&mut out);
        self.conference.print(&mut out);
        for route in &self.routes {
            route.print(&mut out);
        }
        out.finish()
    }

    /// The routes in the order in which they are tried: the configured ones, then the built-in
    /// ones if they are wanted.
    pub fn effective_routes(&self) -> Vec<Route> {
        let mut routes = self.routes.clone();
        if self.builtin_routes {
            routes.extend(builtin_routes(self));
        }
        routes
    }

    fn read(mut root: Table<'_, '_>) -> Self {
        let builtin_routes = root.boolean("builtin_routes", true);
        let server = Server::read(root.section("server"));
        let sip = Sip::read(root.section("sip"));
        let limits = Limits::read(root.section("limits"));
        let media = Media::read(root.section("media"));
        let recording = Recording::read(root.section("recording"));
        let prompts = Prompts::read(root.section("prompts"));
        let conference = Conference::read(root.section("conference"));
        let routes = root.tables("route", |table| Route::read(table, &recording, &conference));
        root.finish();
        Config {
            server,
            sip,
            limits,
            media,
            recording,
            prompts,
            conference,
            builtin_routes,
            routes,
        }
    }
}

impl Default for Config {
    /// What an empty file gives.
    fn default() -> Self {
        Self::read(Reader::default().root(&DeTable::default()))
    }
}
