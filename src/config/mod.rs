//! The configuration: read once from TOML, valid afterwards.
//!
//! Every key has a default, stated once where the key is read; `docs/configuration.md` lists
//! them. What is not known or not allowed is refused with file, line and key ([`ConfigError`]).

mod access;
mod announcement;
mod apps;
mod ari;
mod auth;
mod codecs;
mod digits;
mod error;
pub mod fuzz;
mod http;
mod keypads;
mod media;
mod menus;
mod print;
mod processing;
mod reader;
mod room_recording;
mod rooms;
mod routes;
mod signalling;
mod speech;
mod srtp;
mod transport;
mod voicemail;

use std::path::Path;

use toml::de::DeTable;

pub use access::{Access, AccessList};
pub use announcement::{Announcement, Sequence, SequenceItem};
pub use apps::{AppConfig, PromptList, Reference};
pub use ari::Ari;
pub use auth::{Auth, Secret, UserConfig};
pub use digits::Digits;
pub use error::{ConfigError, Fault, Place, Problem};
pub use http::{Http, HttpKey, HttpSecret};
pub use keypads::{KeyConfig, KeypadConfig};
pub use media::{Conference, Media, Prompts, Recording};
pub use menus::{ChoiceConfig, MenuConfig};
pub use processing::Processing;
pub use rooms::{BUILT_IN, NO_KEYS, RoomConfig, RoomNameConfig, RoomOptions, RoomProfile};
pub use routes::{Route, builtin_routes};
pub use signalling::{Limits, LogFormat, Server, Sip};
pub use speech::Speech;
pub use transport::{CertificateConfig, NetworkConfig, TlsConfig};
pub use voicemail::{MailboxConfig, Voicemail};

use crate::sip::transport::{Advertised, Network};
use print::Printer;
use reader::{Reader, Table};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`: logs and shutdown.
    pub server: Server,
    /// `[sip]`: listeners, names and times of the signalling.
    pub sip: Sip,
    /// `[tls]`: who has to prove what.
    pub tls: TlsConfig,
    /// `[[certificate]]`: what we show, the first where no other is asked for.
    pub certificates: Vec<CertificateConfig>,
    /// `[[network]]`: what some peers are told of our address.
    pub networks: Vec<NetworkConfig>,
    /// `[limits]`: what is refused.
    pub limits: Limits,
    /// `[access]`: who is heard.
    pub access: Access,
    /// `[auth]`: who has to say who they are.
    pub auth: Auth,
    /// `[http]`: the control API.
    pub http: Http,
    /// `[ari]`: programs.
    pub ari: Ari,
    /// `[media]`: RTP and the media threads.
    pub media: Media,
    /// `[recording]`: where recordings go and how long they get.
    pub recording: Recording,
    /// `[prompts]`: where spoken texts come from.
    pub prompts: Prompts,
    /// `[conference]`: rooms.
    pub conference: Conference,
    /// `[digits]`: how numbers and PINs are read.
    pub digits: Digits,
    /// `[voicemail]`: where messages go and how long they get.
    pub voicemail: Voicemail,
    /// `[announcement]`: what may be played by name.
    pub announcement: Announcement,
    /// `[speech]`: how text becomes speech.
    pub speech: Speech,
    /// `[[sequence]]`: what else may be played by name.
    pub sequences: Vec<Sequence>,
    /// `[[mailbox]]`: voicemail boxes.
    pub mailboxes: Vec<MailboxConfig>,
    /// `[[user]]`: who there is.
    pub users: Vec<UserConfig>,
    /// `[[keypad]]`: what keys do in rooms.
    pub keypads: Vec<KeypadConfig>,
    /// `[[room_profile]]`: what rooms have in common.
    pub room_profiles: Vec<RoomProfile>,
    /// `[[room]]`: conference rooms.
    pub rooms: Vec<RoomConfig>,
    /// `[[menu]]`: menus.
    pub menus: Vec<MenuConfig>,
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
        self.print(Printer::default())
    }

    /// The same without passwords, hashes and PINs: for people to look at.
    pub fn to_toml_without_secrets(&self) -> String {
        self.print(Printer::hiding())
    }

    fn print(&self, mut out: Printer) -> String {
        // A key of no section has to stand above all sections.
        out.key(
            "builtin_routes",
            self.builtin_routes,
            "Whether the built-in routes follow those of this file: 500 echo, 510 welcome,\n\
             520 record, 530 digits, 540 menu, 6XX, 6XXXX, conf-ID and conf=ID conferences,\n\
             annc announcements, *97 and voicemail one's messages, vm-BOX a message for a box.",
        );
        self.server.print(&mut out);
        self.sip.print(&mut out);
        self.tls.print(&mut out);
        self.limits.print(&mut out);
        self.access.print(&mut out);
        self.auth.print(&mut out);
        self.http.print(&mut out);
        self.ari.print(&mut out);
        self.media.print(&mut out);
        self.recording.print(&mut out);
        self.prompts.print(&mut out);
        self.conference.print(&mut out);
        self.digits.print(&mut out);
        self.voicemail.print(&mut out);
        self.announcement.print(&mut out);
        self.speech.print(&mut out);
        for sequence in &self.sequences {
            sequence.print(&mut out);
        }
        for certificate in &self.certificates {
            certificate.print(&mut out);
        }
        for network in &self.networks {
            network.print(&mut out);
        }
        for mailbox in &self.mailboxes {
            mailbox.print(&mut out);
        }
        for user in &self.users {
            user.print(&mut out);
        }
        for keypad in &self.keypads {
            keypad.print(&mut out);
        }
        for profile in &self.room_profiles {
            profile.print(&mut out);
        }
        for room in &self.rooms {
            room.print(&mut out);
        }
        for menu in &self.menus {
            menu.print(&mut out);
        }
        for route in &self.routes {
            route.print(&mut out);
        }
        out.finish()
    }

    /// What address is told to whom.
    pub fn advertised(&self) -> Advertised {
        let networks = self.networks.iter().map(|network| Network {
            peers: network.peers.clone(),
            addresses: network.external_address.clone(),
        });
        Advertised {
            networks: networks.collect(),
            others: self.sip.external_address.clone(),
        }
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

    /// The menus that routes can lead to: the configured ones, then the demonstration if built-in
    /// routes are wanted and no other has its name.
    pub fn effective_menus(&self) -> Vec<MenuConfig> {
        let mut menus = self.menus.clone();
        let mailbox = self.mailboxes.is_empty().then_some(voicemail::DEMO_MAILBOX);
        let demo = menus::built_in(&self.conference, mailbox);
        if self.builtin_routes && menus.iter().all(|menu| menu.name != demo.name) {
            menus.push(demo);
        }
        menus
    }

    /// The mailboxes: the configured ones; where there are none and the built-in routes are wanted,
    /// the demonstration's, whose PIN everybody knows.
    pub fn effective_mailboxes(&self) -> Vec<MailboxConfig> {
        if self.mailboxes.is_empty() && self.builtin_routes {
            return vec![MailboxConfig::built_in()];
        }
        self.mailboxes.clone()
    }

    /// Finds what is wrong between the parts: names that lead to nothing.
    fn check(&self, root: &mut Table<'_, '_>) {
        let (menus, mailboxes) = (self.effective_menus(), self.effective_mailboxes());
        transport::check(&self.sip, &self.http, &self.certificates, root);
        menus::check(&self.menus, &menus, root);
        voicemail::check(&self.mailboxes, root);
        rooms::check(
            &self.rooms,
            &self.room_profiles,
            &self.keypads,
            &menus,
            root,
        );
        auth::check(self, root);
        let of_choices = self.menus.iter().flat_map(|menu| &menu.choices);
        let of_routes = self.routes.iter().map(|route| &route.app);
        for app in of_routes.chain(of_choices.map(|choice| &choice.app)) {
            voicemail::check_app(app, &mailboxes, root);
        }
        for route in &self.routes {
            if let AppConfig::Menu(menu) = &route.app {
                menus::check_reference(menu, &menus, root);
            }
        }
    }

    fn read(mut root: Table<'_, '_>) -> Self {
        let builtin_routes = root.boolean("builtin_routes", true);
        let server = Server::read(root.section("server"));
        let sip = Sip::read(root.section("sip"));
        let tls = TlsConfig::read(root.section("tls"));
        let certificates = root.tables("certificate", CertificateConfig::read);
        let networks = root.tables("network", NetworkConfig::read);
        let limits = Limits::read(root.section("limits"));
        let users = root.tables("user", UserConfig::read);
        let access = Access::read(root.section("access"));
        let auth = Auth::read(root.section("auth"), &users);
        let http = Http::read(root.section("http"));
        let ari = Ari::read(root.section("ari"));
        let media = Media::read(root.section("media"));
        let recording = Recording::read(root.section("recording"));
        let prompts = Prompts::read(root.section("prompts"));
        let conference = Conference::read(root.section("conference"));
        let digits = Digits::read(root.section("digits"));
        let voicemail = Voicemail::read(root.section("voicemail"));
        let announcement = Announcement::read(root.section("announcement"));
        let speech = Speech::read(root.section("speech"));
        let sequences = root.tables("sequence", Sequence::read);
        Sequence::check(&sequences, &mut root);
        let mailboxes = root.tables("mailbox", MailboxConfig::read);
        let keypads = root.tables("keypad", KeypadConfig::read);
        let room_profiles = root.tables("room_profile", |table| {
            RoomProfile::read(table, &conference)
        });
        let rooms = root.tables("room", |table| {
            RoomConfig::read(table, &conference, &room_profiles)
        });
        let menus = root.tables("menu", |table| {
            MenuConfig::read(table, &recording, &conference)
        });
        let routes = root.tables("route", |table| Route::read(table, &recording, &conference));
        let config = Config {
            server,
            sip,
            tls,
            certificates,
            networks,
            limits,
            access,
            auth,
            http,
            ari,
            media,
            recording,
            prompts,
            conference,
            digits,
            voicemail,
            announcement,
            speech,
            sequences,
            mailboxes,
            users,
            keypads,
            room_profiles,
            rooms,
            menus,
            builtin_routes,
            routes,
        };
        config.check(&mut root);
        root.finish();
        config
    }
}

impl Default for Config {
    /// What an empty file gives.
    fn default() -> Self {
        Self::read(Reader::default().root(&DeTable::default()))
    }
}
