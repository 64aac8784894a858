//! What is known of programs, and of what they name: channels, bridges, playbacks, recordings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::events::Concerns;
use super::media::melody;
use crate::app::{FIRST_ORDER, LAST_ORDER, PlayItem};
use crate::call::CallHandle;
use crate::switch::BridgeNumber;

/// Variables of a channel, or of the server.
pub(super) const MAX_VARIABLES: usize = 256;
/// The longest value of one, bytes.
pub(super) const MAX_VARIABLE: usize = 4_096;
/// The longest name of anything, bytes.
pub(super) const MAX_NAME: usize = 128;
/// Programs that are known at once.
pub(super) const MAX_APPS: usize = 1_024;
/// What a program can be subscribed to beyond its own channels.
pub(super) const MAX_SUBSCRIPTIONS: usize = 4_096;
/// Device states that programs have made.
pub(super) const MAX_DEVICES: usize = 4_096;
/// Plays and recordings that are under way or wait.
pub(super) const MAX_TASKS: usize = 65_536;

/// A program: it is known while somebody reads its events, or a channel is in it.
#[derive(Debug, Default)]
pub(super) struct App {
    /// The topic of who reads; none: nobody does.
    pub topic: Option<String>,
    /// It is told of everything.
    pub all: bool,
    /// What else it is told of: `channel:ID`, `bridge:ID`, `endpoint:TECH/NAME`, `deviceState:NAME`.
    pub subscriptions: BTreeSet<String>,
    /// Types of events that it is told of; empty: all.
    pub allowed: BTreeSet<String>,
    /// Types that it is not told of.
    pub refused: BTreeSet<String>,
}

/// A call as programs see it.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub id: String,
    pub name: String,
    /// `Down`, `Ring`, `Ringing` or `Up`.
    pub state: &'static str,
    pub protocol_id: String,
    /// Name and number of the other party.
    pub caller: (String, String),
    /// Name and number of whom it is connected with.
    pub connected: (String, String),
    /// What was dialled.
    pub exten: String,
    pub created: Instant,
    pub outgoing: bool,
    /// The program that it is in, and what that was told.
    pub app: Option<(String, Vec<String>)>,
    /// That program was not there to be told of it, and is when it is back.
    pub start_missed: bool,
    /// The program that has placed it: it is told of it from the start.
    pub placed_by: Option<String>,
    pub variables: BTreeMap<String, String>,
    /// The cause (ITU-T Q.850) that the program has given for its end.
    pub cause: Option<u16>,
    /// The music that was asked for it alone.
    pub music: Option<Vec<PlayItem>>,
    /// It is on hold.
    pub held: bool,
    pub language: String,
}

/// A bridge as programs see it.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    pub number: BridgeNumber,
    pub id: String,
    pub name: String,
    /// `mixing` or `holding`.
    pub kind: &'static str,
    pub created: Instant,
    /// Programs whose channels have been in it.
    pub apps: BTreeSet<String>,
    /// Music for those in it.
    pub music: Option<Vec<PlayItem>>,
}

impl Channel {
    /// The music that it hears by itself, whatever bridge it is in.
    pub fn own_music(&self) -> Option<Vec<PlayItem>> {
        self.music.clone().or_else(|| self.held.then(melody))
    }
}

/// Where something is played or recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Channel(CallHandle),
    Bridge(String),
}

/// A play or a recording.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub target: Target,
    /// `channel:ID` or `bridge:ID`.
    pub target_uri: String,
    pub kind: Kind,
    pub state: &'static str,
    /// Why it has failed.
    pub cause: Option<String>,
    pub began: Option<Instant>,
    /// How long a recording is, s.
    pub seconds: Option<u64>,
    /// Its target is not there any more, and its file is being closed: whom to tell of that.
    pub left: Option<Vec<String>>,
}

impl Target {
    /// Who is told what happens there.
    pub fn concerns(&self) -> Concerns<'_> {
        match self {
            Target::Channel(call) => Concerns::Channel(*call),
            Target::Bridge(id) => Concerns::Bridge(id),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Playback {
        id: String,
        media_uri: String,
        language: String,
    },
    Recording {
        name: String,
        format: String,
    },
}

/// All of it.
#[derive(Debug, Default)]
pub struct Ari {
    pub(super) apps: BTreeMap<String, App>,
    /// Counts readers, so that each has a topic of its own.
    pub(super) readers: u64,
    pub(super) channels: BTreeMap<CallHandle, Channel>,
    pub(super) ids: HashMap<String, CallHandle>,
    /// Names of channels that are being placed.
    pub(super) reserved: BTreeSet<String>,
    pub(super) bridges: BTreeMap<String, Bridge>,
    pub(super) numbers: HashMap<BridgeNumber, String>,
    pub(super) tasks: BTreeMap<u32, Task>,
    pub(super) next_task: u32,
    /// Counts names that we make.
    pub(in crate::api) named: u64,
    pub(super) globals: BTreeMap<String, String>,
    pub(super) devices: BTreeMap<String, &'static str>,
}

impl Ari {
    pub(super) fn channel_of(&self, id: &str) -> Option<(CallHandle, &Channel)> {
        let handle = self.ids.get(id)?;
        self.channels.get(handle).map(|channel| (*handle, channel))
    }

    /// Whether a program is there to be told anything.
    pub(super) fn is_read(&self, app: &str) -> bool {
        self.apps.get(app).is_some_and(|app| app.topic.is_some())
    }

    /// Whether a program is told of texts, wherever they come from.
    pub(in crate::api) fn hears_texts(&self) -> bool {
        let hears = |app: &App| {
            let mut its = app.subscriptions.iter();
            app.topic.is_some() && (app.all || its.any(|source| source.starts_with("endpoint:")))
        };
        self.apps.values().any(hears)
    }

    /// The music that those in a bridge hear each by itself, since nothing is mixed there.
    pub(super) fn holding_music(&self, number: Option<BridgeNumber>) -> Option<Vec<PlayItem>> {
        let bridge = self.bridges.get(self.numbers.get(&number?)?)?;
        bridge.music.clone().filter(|_| bridge.kind == "holding")
    }

    /// A number for the next play or recording.
    pub(super) fn number(&mut self) -> u32 {
        let range = LAST_ORDER - FIRST_ORDER;
        self.next_task = (self.next_task + 1) % range;
        FIRST_ORDER + self.next_task
    }

    /// What a bridge is called; its number where it is no program's.
    pub(in crate::api) fn bridge_name(&self, number: BridgeNumber) -> String {
        let name = self.numbers.get(&number).cloned();
        name.unwrap_or_else(|| number.0.to_string())
    }

    pub(super) fn playback(&self, id: &str) -> Option<(u32, &Task)> {
        let is_it =
            |task: &Task| matches!(&task.kind, Kind::Playback { id: known, .. } if known == id);
        let found = self.tasks.iter().find(|(_, task)| is_it(task));
        found.map(|(number, task)| (*number, task))
    }

    pub(super) fn recording(&self, name: &str) -> Option<(u32, &Task)> {
        let is_it = |task: &Task| matches!(&task.kind, Kind::Recording { name: known, .. } if known == name);
        let found = self.tasks.iter().find(|(_, task)| is_it(task));
        found.map(|(number, task)| (*number, task))
    }

    /// Plays and recordings of a channel or a bridge.
    pub(super) fn tasks_of(&self, target: &Target) -> Vec<u32> {
        let here = |task: &Task| task.left.is_none() && task.target == *target;
        let of = self.tasks.iter().filter(|(_, task)| here(task));
        of.map(|(number, _)| *number).collect()
    }

    /// The program of this name, known from now on; none: there are too many.
    pub(super) fn app(&mut self, name: &str) -> Option<&mut App> {
        if !self.apps.contains_key(name) && self.apps.len() >= MAX_APPS {
            return None;
        }
        Some(self.apps.entry(name.to_owned()).or_default())
    }

    /// Forgets a program that nobody reads for and that no channel is in.
    pub(super) fn forget(&mut self, name: &str) {
        let has_channel = self
            .channels
            .values()
            .any(|c| c.app.as_ref().is_some_and(|(app, _)| app == name));
        if !has_channel && !self.is_read(name) {
            self.apps.remove(name);
        }
    }

    /// A reader is gone; its topics are given back. The programs that nobody reads for any more.
    pub(in crate::api) fn left(&mut self, topics: &[String]) -> Vec<String> {
        let whose = self.apps.iter_mut().filter_map(|(name, app)| {
            let its = app.topic.as_ref().is_some_and(|t| topics.contains(t));
            its.then(|| {
                app.topic = None;
                name.clone()
            })
        });
        let whose: Vec<String> = whose.collect();
        for name in &whose {
            self.forget(name);
        }
        whose
    }
}
