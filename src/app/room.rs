//! What a conference room is like, and what a room and its members' applications tell each other.
//!
//! ```text
//! conference::Member --Action::Join, Action::Room(RoomRequest)--> switch --> room::Room
//!                    <-------- Happened::Room(RoomNews) ---------'
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::collect::CollectSpec;
use super::keypad::Keypad;
use super::room_record::RoomRecordSettings;
use super::voicemail::Pin;
use super::{PlayChange, PlayId, PlayItem, PlayOutcome, speak};

/// The longest name of a room, characters.
const MAX_NAME: usize = 64;

/// Whether a room may have this name, wherever it comes from: programs list rooms by their names.
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count()) && !name.contains(char::is_control)
}

/// What a member may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes part.
    #[default]
    Member,
    /// Leads: is let in where others wait or are turned away, and is not muted with all the others.
    Moderator,
}

impl Role {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Role::Member => "member",
            Role::Moderator => "moderator",
        }
    }
}

/// Whether who comes says its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Nobody is asked.
    #[default]
    Off,
    /// It is recorded.
    Record,
    /// It is recorded, played back, and recorded again until its owner accepts it.
    Review,
}

/// By how much, unless something else is said.
pub const DUCKING_DB: u8 = 12;

/// Who makes way when a room plays something while somebody talks, and by how many dB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ducking {
    /// Nobody.
    #[default]
    Off,
    /// The play, while somebody talks.
    Play(u8),
    /// Who talks, while it plays.
    Speech(u8),
}

/// What a room is like.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSettings {
    /// The most members.
    pub max_members: usize,
    /// What lets members in; none: nothing is asked.
    pub pin: Option<Pin>,
    /// What lets moderators in.
    pub moderator_pin: Option<Pin>,
    /// Whether it begins locked.
    pub locked: bool,
    /// Members wait until a moderator is there.
    pub wait_for_moderator: bool,
    /// What they hear meanwhile, over and over; nothing: silence.
    pub waiting_music: Vec<PlayItem>,
    /// What a member hears that is on hold; nothing: silence.
    pub hold_music: Vec<PlayItem>,
    /// Members, not moderators, come in muted; they may unmute themselves.
    pub start_muted: bool,
    /// Whether names are recorded and announced when their owners come and go.
    pub names: Names,
    /// A tone for all when somebody comes, another when somebody goes.
    pub tones: bool,
    /// Who comes is told how many are in.
    pub announce_count: bool,
    /// A member that is alone is told so.
    pub lone_prompt: bool,
    /// The room ends so long after its last moderator has gone; none: it goes on.
    pub end_without_moderator: Option<Duration>,
    /// The room ends so long after it has begun.
    pub max_length: Option<Duration>,
    /// All are told so long before that.
    pub warning: Duration,
    /// All are told when a recording begins, and who comes while one runs.
    pub announce_recording: bool,
    /// What they hear then.
    pub recording_prompts: Vec<PlayItem>,
    /// What they hear when it ends.
    pub recording_ended_prompts: Vec<PlayItem>,
    /// Whether it is recorded from its first member on.
    pub record: bool,
    /// How it is recorded where nobody says otherwise.
    pub recording: RoomRecordSettings,
    /// Who makes way for announcements, and for what programs play unless they say otherwise.
    pub ducking: Ducking,
    /// The same for what programs play in the background.
    pub background_ducking: Ducking,
    /// It is followed who talks all the time, and not only while a program listens to that.
    pub watch_talkers: bool,
    /// What members' keys do.
    pub keypad: Arc<Keypad>,
    /// What moderators' keys do.
    pub moderator_keypad: Arc<Keypad>,
    /// How PINs are read.
    pub collect: CollectSpec,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            max_members: 2_000,
            pin: None,
            moderator_pin: None,
            locked: false,
            wait_for_moderator: false,
            waiting_music: Vec::new(),
            hold_music: Vec::new(),
            start_muted: false,
            names: Names::Off,
            tones: false,
            announce_count: false,
            lone_prompt: true,
            end_without_moderator: None,
            max_length: None,
            warning: Duration::from_mins(1),
            announce_recording: false,
            recording_prompts: speak::prompts(&["conf-recording"]),
            recording_ended_prompts: speak::prompts(&["conf-recording-ended"]),
            record: false,
            recording: RoomRecordSettings::default(),
            ducking: Ducking::Speech(DUCKING_DB),
            background_ducking: Ducking::Play(DUCKING_DB),
            watch_talkers: false,
            keypad: Arc::new(Keypad::of_members()),
            moderator_keypad: Arc::new(Keypad::of_moderators()),
            collect: CollectSpec::default(),
        }
    }
}

impl RoomSettings {
    /// Whether a caller is asked anything before it is in.
    pub fn asks(&self) -> bool {
        self.has_pin() || self.names != Names::Off
    }

    /// Whether there is anything to be known.
    pub fn has_pin(&self) -> bool {
        self.pin.is_some() || self.moderator_pin.is_some()
    }

    /// Who has a PIN to enter with.
    pub(super) fn roles_with_pin(&self) -> Vec<Role> {
        let member = self.pin.is_some().then_some(Role::Member);
        let moderator = self.moderator_pin.is_some().then_some(Role::Moderator);
        member.into_iter().chain(moderator).collect()
    }

    /// Who enters with what was keyed in; none: nobody does. Both PINs are looked at whatever the
    /// first one says: the time tells nothing.
    pub(super) fn role_of(&self, entered: &str) -> Option<Role> {
        let is = |pin: &Option<Pin>| pin.as_ref().is_some_and(|pin| pin.is(entered));
        let (member, moderator) = (is(&self.pin), is(&self.moderator_pin));
        // Without a PIN of their own, members enter with none.
        let open = self.pin.is_none() && entered.is_empty();
        if moderator {
            Some(Role::Moderator)
        } else {
            (member || open).then_some(Role::Member)
        }
    }

    /// The keys of a role.
    pub(super) fn keypad(&self, role: Role) -> &Arc<Keypad> {
        match role {
            Role::Member => &self.keypad,
            Role::Moderator => &self.moderator_keypad,
        }
    }
}

/// The rooms of a configuration, the first that has a name decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomTable(pub Vec<(RoomName, Arc<RoomSettings>)>);

/// Which rooms settings are for.
#[derive(Clone, Debug)]
pub enum RoomName {
    /// One.
    Is(String),
    /// All whose whole name matches.
    Matches(Regex),
}

impl PartialEq for RoomName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (RoomName::Is(a), RoomName::Is(b)) => a == b,
            (RoomName::Matches(a), RoomName::Matches(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoomName::Is(name) => write!(f, "name {name:?}"),
            RoomName::Matches(pattern) => write!(f, "match {:?}", pattern.as_str()),
        }
    }
}

impl RoomName {
    fn is_for(&self, room: &str) -> bool {
        match self {
            RoomName::Is(name) => name == room,
            RoomName::Matches(pattern) => pattern
                .find(room)
                .is_some_and(|found| found.len() == room.len()),
        }
    }
}

impl RoomTable {
    /// What a room is like, if anything says so.
    pub fn find(&self, room: &str) -> Option<&Arc<RoomSettings>> {
        self.entry(room).map(|(_, settings)| settings)
    }

    /// The same with the name that it stands under.
    pub fn entry(&self, room: &str) -> Option<&(RoomName, Arc<RoomSettings>)> {
        self.0.iter().find(|(name, _)| name.is_for(room))
    }
}

/// A PIN that was keyed in at a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinTry {
    /// The room's name.
    pub room: String,
    /// What of the configuration it is like, in words: wrong PINs are counted by that.
    pub entry: String,
    /// Who has a PIN there, so whose it was a try at.
    pub at: Vec<Role>,
    /// Whose it is; none: nobody's.
    pub opens: Option<Role>,
}

/// Who wants to enter a room, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Entrant {
    /// The room's name.
    pub room: String,
    /// What it is like, if it begins with this member.
    pub settings: Arc<RoomSettings>,
    /// What the member may do.
    pub role: Role,
    /// Its spoken name: the number of a recording.
    pub name: Option<u64>,
    /// It is brought here by somebody: no lock and no waiting.
    pub invited: bool,
}

/// On, off, or the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toggle {
    /// On.
    On,
    /// Off.
    Off,
    /// What it is not.
    Flip,
}

impl Toggle {
    /// What follows.
    pub fn of(self, now: bool) -> bool {
        match self {
            Toggle::On => true,
            Toggle::Off => false,
            Toggle::Flip => !now,
        }
    }
}

/// What a member wants of its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomRequest {
    /// Not to be heard.
    Mute(Toggle),
    /// To be seen.
    Hand(Toggle),
    /// Another level, in dB more or less: of what it says, or of what it hears.
    Gain {
        /// What it hears, and not what it says.
        hears: bool,
        /// More, dB.
        step_db: i8,
    },
    /// To hear how many are in.
    Count,
    /// Nobody else may come.
    Lock(Toggle),
    /// All but moderators are muted, or no longer.
    MuteAll(bool),
    /// Who came last goes.
    KickLast,
    /// A recording of the room.
    Record(Toggle),
    /// Somebody is called, and asked to join.
    Dial(String),
    /// The end of the room.
    End,
    /// Not asked but told: what the room has it play is being looked for.
    PlayLoading(PlayId),
    /// The same: it is heard from now on.
    PlayBegan {
        /// Which.
        id: PlayId,
        /// It is paused, and will be heard when it goes on.
        paused: bool,
    },
    /// The same: it is over, having played for so long.
    PlayEnded(PlayId, PlayOutcome, Duration),
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The room is locked.
    Locked,
    /// It has all the members that it may have.
    Full,
}

/// Something that a program plays to one member.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberPlay {
    /// The room's name for it.
    pub id: PlayId,
    /// What is heard.
    pub items: Vec<PlayItem>,
    /// How often; 0: until stopped.
    pub repeat: u32,
}

/// What a room tells a member.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomNews {
    /// It is not let in.
    Refused(Refusal),
    /// It waits for a moderator.
    Waiting,
    /// It is in.
    Entered {
        /// So many are in, itself included.
        members: usize,
        /// It has muted itself, or somebody has.
        muted: bool,
        /// It is being recorded, and is to be told so.
        recorded: bool,
    },
    /// It is to hear this.
    Say(Vec<PlayItem>),
    /// It alone is to hear what a program plays, when nothing else is said to it.
    Play(Box<MemberPlay>),
    /// Such a play is paused, or goes on.
    ControlPlay(PlayId, PlayChange),
    /// One is to stop, or not to begin.
    StopPlay(PlayId),
    /// It is on hold, or no longer.
    Held(bool),
    /// What it may do.
    Role(Role),
    /// It is out: somebody wanted it to be.
    Kicked,
    /// It is out: the room has ended.
    Ended,
    /// It is to go to another room.
    Moved(String),
}
