//! Routes and menus as the switch wants them, each prompt in them looked up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::app::collect::CollectSpec;
use crate::app::keypad::Keypad;
use crate::app::menu::{Branch, Choice, Menu, Menus};
use crate::app::room::{RoomName, RoomSettings, RoomTable};
use crate::app::voicemail::{Mailbox, Mailboxes, Pin};
use crate::app::{
    AnnouncementSpec, AppSpec, ConferenceSpec, DigitsSpec, MenuSpec, PlayItem, PlaySpec,
    RecordSpec, StasisSpec, VoicemailSpec, VoicemailTask,
};
use crate::config::{
    AppConfig, BUILT_IN, Config, MenuConfig, Place, PromptList, Reference, RoomNameConfig,
    RoomOptions,
};
use crate::store::prompts::{PromptError, Prompts};
use crate::switch::Routes;
use crate::switch::routes::Route;

/// Level of a configured tone, dBm0.
const TONE_LEVEL: f32 = -16.0;
/// How long a configured tone is.
const TONE_LENGTH: Duration = Duration::from_secs(1);

/// What is right in the file and wrong on this machine.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Neither a prompt nor a file.
    #[error("{place}: {name:?} is neither a prompt nor a readable WAV file; prompts are: {known}")]
    UnknownPrompt {
        /// Where it is named.
        place: Place,
        /// What was named.
        name: String,
        /// What could have been.
        known: String,
    },
    /// A file that is there and cannot be played.
    #[error("{place}: {source}")]
    BrokenPrompt {
        /// Where it is named.
        place: Place,
        /// The file and what is wrong with it.
        source: PromptError,
    },
}

/// The route table.
pub fn routes(config: &Config, prompts: &Prompts) -> Result<Routes, BuildError> {
    tables(config, prompts).map(|tables| tables.routes)
}

/// All that the switch looks things up in.
pub(super) struct Tables {
    pub routes: Routes,
    /// The menus that may be gone to from elsewhere.
    pub menus: Menus,
    pub rooms: Arc<RoomTable>,
}

/// The route table, and what it stands on.
pub(super) fn tables(config: &Config, prompts: &Prompts) -> Result<Tables, BuildError> {
    let parts = Parts::new(config, prompts)?;
    let mut routes = Vec::new();
    for route in config.effective_routes() {
        routes.push(Route {
            spec: parts.app(&route.app)?,
            pattern: route.pattern,
            sources: route.source,
            srtp: route.srtp.unwrap_or(config.media.srtp),
            denied: route.deny,
            auth: route.auth,
        });
    }
    Ok(Tables {
        routes: Routes(routes),
        menus: parts.menus,
        rooms: parts.rooms,
    })
}

/// Finds what is wrong with a configuration on this machine, without starting anything; and what may be
/// missed, for people.
pub fn check(config: &Config) -> Result<Vec<String>, super::StartError> {
    let prompts = Prompts::load(
        config.prompts.directory.as_deref(),
        &config.prompts.language,
    )?;
    routes(config, &prompts)?;
    super::build::security(config, false)?;
    super::build::check_message_store(config)?;
    super::machine::check(config)?;
    Ok(super::machine::warnings(config))
}

/// What applications share.
struct Parts<'a> {
    prompts: &'a Prompts,
    mailboxes: Arc<Mailboxes>,
    names: Vec<String>,
    menus: Menus,
    rooms: Arc<RoomTable>,
}

impl<'a> Parts<'a> {
    fn new(config: &Config, prompts: &'a Prompts) -> Result<Self, BuildError> {
        let menus = config.effective_menus();
        let mut parts = Self {
            prompts,
            mailboxes: Arc::new(mailboxes(config, prompts)?),
            names: menus.iter().map(|menu| menu.name.clone()).collect(),
            menus: Menus::default(),
            rooms: Arc::new(rooms(config, prompts)?),
        };
        let built: Result<Vec<Menu>, _> = menus.iter().map(|menu| parts.menu(menu)).collect();
        parts.menus = Arc::new(built?);
        Ok(parts)
    }

    fn app(&self, app: &AppConfig) -> Result<AppSpec, BuildError> {
        Ok(match app {
            AppConfig::Echo => AppSpec::Echo,
            AppConfig::Play {
                prompts,
                repeat,
                tone_hz,
            } => {
                let mut items = items(prompts, self.prompts)?;
                items.extend(tone_hz.map(|hz| PlayItem::Tone {
                    hz,
                    level_dbm0: TONE_LEVEL,
                    length: TONE_LENGTH,
                }));
                AppSpec::Play(PlaySpec {
                    items,
                    repeat: *repeat,
                })
            }
            AppConfig::Record {
                beep,
                max,
                silence,
                name,
            } => AppSpec::Record(RecordSpec {
                beep: *beep,
                max: Some(*max),
                silence: *silence,
                file: name.as_ref().map(PathBuf::from),
            }),
            AppConfig::Conference {
                room,
                lone_prompt,
                max_members,
            } => AppSpec::Conference(ConferenceSpec {
                room: room.clone(),
                lone_prompt: *lone_prompt,
                max_members: *max_members,
                rooms: self.rooms.clone(),
                invited: false,
            }),
            AppConfig::Digits => AppSpec::Digits(DigitsSpec {
                collect: self.mailboxes.collect.clone(),
                type_ahead: self.mailboxes.type_ahead,
                goodbye: true,
            }),
            // All of it is in the request.
            AppConfig::Announcement => AppSpec::Announcement(AnnouncementSpec::default()),
            AppConfig::Menu(menu) => AppSpec::Menu(MenuSpec {
                menus: self.menus.clone(),
                start: self.place_of(&menu.name),
            }),
            AppConfig::Voicemail { mailbox, leave } => AppSpec::Voicemail(VoicemailSpec {
                task: if *leave {
                    VoicemailTask::Leave
                } else {
                    VoicemailTask::Listen
                },
                mailbox: mailbox.as_ref().map(|m| m.name.clone()),
                mailboxes: self.mailboxes.clone(),
                goodbye: true,
            }),
            AppConfig::Stasis {
                program,
                args,
                otherwise,
            } => AppSpec::Stasis(StasisSpec {
                app: program.clone(),
                args: args.clone(),
                otherwise: otherwise.clone(),
            }),
            // A choice that hangs up is a branch of its own, and no route has it.
            AppConfig::HangUp => AppSpec::Play(PlaySpec {
                items: Vec::new(),
                repeat: 1,
            }),
        })
    }

    fn menu(&self, menu: &MenuConfig) -> Result<Menu, BuildError> {
        let follower = |menu: &Option<Reference>| match menu {
            Some(menu) => Branch::Menu(self.place_of(&menu.name)),
            None => Branch::HangUp,
        };
        let mut choices = Vec::new();
        for choice in &menu.choices {
            let branch = match &choice.app {
                AppConfig::Menu(menu) => Branch::Menu(self.place_of(&menu.name)),
                AppConfig::HangUp => Branch::HangUp,
                app => {
                    let app = self.app(app)?;
                    let then = choice.then.as_ref();
                    Branch::Run {
                        app: Box::new(if then.is_some() { app.goes_on() } else { app }),
                        then: then.map(|menu| self.place_of(&menu.name)),
                    }
                }
            };
            choices.push(Choice {
                pattern: choice.pattern.clone(),
                branch,
            });
        }
        Ok(Menu {
            name: menu.name.clone(),
            prompts: items(&menu.prompts, self.prompts)?,
            invalid: items(&menu.invalid_prompts, self.prompts)?,
            timeout: items(&menu.timeout_prompts, self.prompts)?,
            collect: CollectSpec {
                patterns: choices.iter().map(|c| c.pattern.clone()).collect(),
                max: choices.iter().map(|c| c.pattern.len()).max().unwrap_or(1),
                terminator: menu.terminator,
                first_digit: menu.first_digit,
                inter_digit: menu.inter_digit,
                total: menu.total,
            },
            barge_in: menu.barge_in,
            type_ahead: menu.type_ahead,
            retries: menu.retries,
            on_invalid: follower(&menu.on_invalid),
            on_timeout: follower(&menu.on_timeout),
            choices,
        })
    }

    /// A menu's place; the configuration has made sure that there is one.
    fn place_of(&self, name: &str) -> usize {
        let place = self.names.iter().position(|known| known == name);
        place.unwrap_or(usize::MAX)
    }
}

fn rooms(config: &Config, prompts: &Prompts) -> Result<RoomTable, BuildError> {
    let mut keypads = Vec::new();
    for keypad in &config.keypads {
        let keys = keypad.keys.iter();
        keypads.push((
            keypad.name.as_str(),
            Arc::new(Keypad {
                keys: keys
                    .map(|k| (k.pattern.clone(), k.action.clone()))
                    .collect(),
                inter_digit: keypad.inter_digit,
                help: items(&keypad.help, prompts)?,
            }),
        ));
    }
    let built_in = [Keypad::of_members(), Keypad::of_moderators()].map(Arc::new);
    let none = Arc::new(Keypad::none());
    let find = |name: &str, built_in: &Arc<Keypad>| match name {
        BUILT_IN => built_in.clone(),
        // The configuration has made sure that there is one.
        name => keypads
            .iter()
            .find(|(known, _)| *known == name)
            .map_or_else(|| none.clone(), |(_, keypad)| keypad.clone()),
    };
    let mut rooms = Vec::new();
    for room in &config.rooms {
        let RoomOptions {
            waiting_music,
            hold_music,
            ..
        } = &room.options;
        let options = room.options.clone();
        let (ducking, background_ducking) = options.ducking();
        let settings = RoomSettings {
            max_members: options.max_members,
            pin: options.pin.map(Pin::new),
            moderator_pin: options.moderator_pin.map(Pin::new),
            locked: options.locked,
            wait_for_moderator: options.wait_for_moderator,
            waiting_music: items(waiting_music, prompts)?,
            hold_music: items(hold_music, prompts)?,
            start_muted: options.start_muted,
            names: options.names,
            tones: options.tones,
            announce_count: options.announce_count,
            lone_prompt: options.lone_prompt,
            end_without_moderator: options.end_without_moderator,
            max_length: options.max_length,
            warning: options.warning,
            announce_recording: options.announce_recording,
            recording_prompts: items(&options.record.prompts, prompts)?,
            recording_ended_prompts: items(&options.record.ended_prompts, prompts)?,
            record: options.record.from_start,
            recording: options.record.settings,
            ducking,
            background_ducking,
            watch_talkers: options.watch_talkers,
            keypad: find(&options.keypad.name, &built_in[0]),
            moderator_keypad: find(&options.moderator_keypad.name, &built_in[1]),
            collect: collect(config),
        };
        let name = match &room.name {
            RoomNameConfig::Is(name) => RoomName::Is(name.clone()),
            RoomNameConfig::Matches(pattern) => RoomName::Matches(pattern.clone()),
        };
        rooms.push((name, Arc::new(settings)));
    }
    Ok(RoomTable(rooms))
}

/// How numbers and PINs are read.
fn collect(config: &Config) -> CollectSpec {
    CollectSpec {
        first_digit: config.digits.first_digit,
        inter_digit: config.digits.inter_digit,
        total: config.digits.total,
        ..CollectSpec::default()
    }
}

fn mailboxes(config: &Config, prompts: &Prompts) -> Result<Mailboxes, BuildError> {
    let mut boxes = Vec::new();
    for mailbox in config.effective_mailboxes() {
        boxes.push(Mailbox {
            greeting: items(&mailbox.greeting, prompts)?,
            number: mailbox.number,
            pin: Pin::new(mailbox.pin),
        });
    }
    Ok(Mailboxes {
        boxes,
        max_message: config.voicemail.max,
        silence: config.voicemail.silence,
        max_messages: config.voicemail.max_messages,
        collect: collect(config),
        type_ahead: config.digits.type_ahead,
    })
}

fn items(list: &PromptList, prompts: &Prompts) -> Result<Vec<PlayItem>, BuildError> {
    list.names
        .iter()
        .map(|name| item(name, &list.place, prompts))
        .collect()
}

fn item(name: &str, place: &Place, prompts: &Prompts) -> Result<PlayItem, BuildError> {
    if prompts.get(name).is_some() {
        return Ok(PlayItem::Prompt(name.to_owned()));
    }
    let path = PathBuf::from(name);
    match prompts.load_file(&path) {
        Ok(_) => return Ok(PlayItem::File(path)),
        Err(source) if path.exists() => {
            let place = place.clone();
            return Err(BuildError::BrokenPrompt { place, source });
        }
        Err(_) => {}
    }
    Err(BuildError::UnknownPrompt {
        place: place.clone(),
        name: name.to_owned(),
        known: prompts.names().join(", "),
    })
}
