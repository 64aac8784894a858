//! A caller of an application, in simulated time: what it does, and what the application wants.

#![allow(clippy::unwrap_used, reason = "tests alone use it")]

use std::time::{Duration, Instant};

use super::room::Role;
use super::{
    Action, App, AppSpec, Happened, Message, MessageOutcome, PlayId, PlayItem, PlayOutcome,
    RecordOutcome,
};
use crate::dtmf::Digit;

/// A call with an application.
pub struct Talk {
    app: App,
    now: Instant,
    playing: Option<PlayId>,
    wanted: Vec<String>,
    /// No PIN opens a box.
    pub locked: bool,
}

impl Talk {
    pub fn new(spec: &AppSpec) -> Self {
        Self {
            app: App::new(spec),
            now: Instant::now(),
            playing: None,
            wanted: Vec::new(),
            locked: false,
        }
    }

    /// The call is answered.
    pub fn start(&mut self) -> &mut Self {
        self.happened(&Happened::Established)
    }

    /// What is to play was found.
    #[track_caller]
    pub fn found(&mut self) -> &mut Self {
        let id = self.playing.expect("something is to play");
        self.happened(&Happened::PlayBegan(id))
    }

    /// What plays has come to its end.
    #[track_caller]
    pub fn played(&mut self) -> &mut Self {
        let id = self.playing.take().expect("something plays");
        let end = Happened::PlayEnded(id, PlayOutcome::Finished, Duration::from_secs(1));
        self.happened(&end)
    }

    /// What is to play cannot be played.
    #[track_caller]
    pub fn broken(&mut self) -> &mut Self {
        let id = self.playing.take().expect("something plays");
        let failed = PlayOutcome::Failed("gone".to_owned());
        self.happened(&Happened::PlayEnded(id, failed, Duration::ZERO))
    }

    pub fn press(&mut self, keys: &str) -> &mut Self {
        self.wanted.clear();
        for key in keys.chars() {
            let digit = Digit::from_char(key).unwrap();
            self.app.handle(&Happened::Digit(digit), self.now);
            self.collect();
        }
        self
    }

    pub fn happened(&mut self, happened: &Happened) -> &mut Self {
        self.wanted.clear();
        self.app.handle(happened, self.now);
        self.collect();
        self
    }

    /// Time passes; each timer is served when it is due.
    pub fn wait(&mut self, seconds: f64) -> &mut Self {
        self.wanted.clear();
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.app.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.app.handle_timeout(at);
            self.collect();
        }
        self.now = end;
        self
    }

    pub fn messages(&mut self, messages: &[Message]) -> &mut Self {
        self.happened(&Happened::Messages(Ok(messages.to_vec())))
    }

    pub fn no_messages(&mut self, why: &str) -> &mut Self {
        self.happened(&Happened::Messages(Err(why.to_owned())))
    }

    pub fn changed(&mut self, result: Result<bool, String>) -> &mut Self {
        self.happened(&Happened::MessageChanged(result))
    }

    pub fn recorded(&mut self) -> &mut Self {
        let end = Happened::RecordEnded(RecordOutcome::Stopped, Duration::from_secs(5));
        self.happened(&end)
    }

    pub fn left(&mut self, outcome: MessageOutcome) -> &mut Self {
        self.happened(&Happened::MessageLeft(outcome))
    }

    /// What the application has wanted since: in words, separated by bars.
    #[track_caller]
    pub fn expect(&mut self, wanted: &str) -> &mut Self {
        assert_eq!(self.wanted.join(" | "), wanted);
        self
    }

    fn tried(&mut self, right: bool) {
        let open = right && !self.locked;
        self.app.handle(&Happened::Unlocked(open), self.now);
    }

    fn collect(&mut self) {
        while let Some(action) = self.app.poll_action() {
            match &action {
                Action::Play { id, .. } => self.playing = Some(*id),
                Action::StopPlay => self.playing = None,
                // The switch answers at once.
                Action::Unlock { right, .. } => {
                    self.tried(*right);
                    continue;
                }
                Action::UnlockRoom(tried) => {
                    self.tried(tried.opens.is_some());
                    continue;
                }
                _ => {}
            }
            self.wanted.push(words(&action));
        }
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Play {
            items, repeat, gap, ..
        } => {
            let names: Vec<String> = items.iter().map(item).collect();
            let mut text = format!("play {}", names.join(" "));
            if *repeat != 1 {
                text = format!("{text} x{repeat}");
            }
            if !gap.is_zero() {
                text = format!("{text} gap{}", gap.as_millis());
            }
            text
        }
        Action::StopPlay => "stop".into(),
        Action::Record { .. } => "record".into(),
        Action::StopRecord => "stop-record".into(),
        Action::Echo(on) => format!("echo {on}"),
        Action::Join(entrant) => {
            let mut text = format!("join {}", entrant.room);
            if entrant.role == Role::Moderator {
                text.push_str(" as moderator");
            }
            if let Some(name) = entrant.name {
                text = format!("{text} named {name}");
            }
            text
        }
        Action::Room(request) => format!("{request:?}"),
        Action::LeaveRoom => "leave-room".into(),
        Action::UnlockRoom(tried) => format!("unlock-room {}", tried.room),
        Action::RecordName { .. } => "record-name".into(),
        Action::GoTo(menu) => format!("go-to {menu}"),
        Action::SendDigits { digits, .. } => {
            format!(
                "send {}",
                digits.iter().map(|d| d.as_char()).collect::<String>()
            )
        }
        Action::Unlock { mailbox, .. } => format!("unlock {mailbox}"),
        Action::ListMessages(mailbox) => format!("list {mailbox}"),
        Action::LeaveMessage {
            mailbox,
            max,
            silence,
        } => format!(
            "leave {mailbox} {}s {}s",
            max.as_secs(),
            silence.unwrap_or_default().as_secs()
        ),
        Action::SaveMessage { mailbox, id } => format!("save {mailbox} {id}"),
        Action::DeleteMessage { mailbox, id } => format!("delete {mailbox} {id}"),
        Action::RecordNamed { .. }
        | Action::DiscardRecord
        | Action::ControlPlay(_)
        | Action::ControlRecord(_)
        | Action::Report(_) => format!("{action:?}"),
        Action::HangUp => "hang-up".into(),
    }
}

fn item(item: &PlayItem) -> String {
    match item {
        PlayItem::Prompt(name) => name.clone(),
        PlayItem::File(path) => path.display().to_string(),
        PlayItem::Tone { hz, .. } => format!("{hz}Hz"),
        PlayItem::Silence(length) => format!("silence{}", length.as_millis()),
        PlayItem::Library(text) | PlayItem::Web(text) | PlayItem::Speech { text, .. } => {
            text.clone()
        }
        PlayItem::Recording(number) => format!("recording{number}"),
    }
}
