//! Announcement: what `sip:annc@host;play=URI` asks for (RFC 4240 §3), then hang up.

use std::time::{Duration, Instant};

use super::{Action, Actions, Happened, Machine, PlayId, PlayItem};

/// What is announced.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnouncementSpec {
    /// The `play=` parameter, as the peer wrote it.
    pub play: String,
    /// What it has turned out to be; empty until it is found.
    pub items: Vec<PlayItem>,
    /// How often; 0: for ever.
    pub repeat: u32,
    /// The silence between two passes.
    pub delay: Duration,
    /// It ends after so long, wherever it is.
    pub duration: Option<Duration>,
}

/// The longest delay and duration that are taken: a day.
const MAX_MS: u64 = 86_400_000;

impl AnnouncementSpec {
    /// Reads the parameters of the request's URI (RFC 4240 §3); what is wrong with them otherwise.
    pub fn from_params<'a>(
        param: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<AnnouncementSpec, &'static str> {
        let play = param("play").filter(|p| !p.is_empty());
        let play = play.ok_or("Missing play Parameter")?;
        let milliseconds = |name, wrong| match param(name) {
            None => Ok(None),
            Some(text) => match text.parse::<u64>() {
                Ok(ms) if ms <= MAX_MS => Ok(Some(Duration::from_millis(ms))),
                _ => Err(wrong),
            },
        };
        let repeat = match param("repeat") {
            None => 1,
            Some(text) if text.eq_ignore_ascii_case("forever") => 0,
            Some(text) => match text.parse() {
                Ok(count @ 1..=1_000_000) => count,
                _ => return Err("Bad repeat Parameter"),
            },
        };
        Ok(AnnouncementSpec {
            play: play.to_owned(),
            items: Vec::new(),
            repeat,
            delay: milliseconds("delay", "Bad delay Parameter")?.unwrap_or_default(),
            duration: milliseconds("duration", "Bad duration Parameter")?,
        })
    }
}

#[derive(Debug)]
pub(super) struct Announcer {
    spec: AnnouncementSpec,
    ends_at: Option<Instant>,
}

impl Announcer {
    pub fn new(spec: AnnouncementSpec) -> Self {
        Self {
            spec,
            ends_at: None,
        }
    }
}

impl Machine for Announcer {
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions) {
        match happened {
            Happened::Established => {
                self.ends_at = self.spec.duration.map(|d| now + d);
                out.push_back(Action::Play {
                    id: PlayId(0),
                    items: self.spec.items.clone(),
                    repeat: self.spec.repeat,
                    gap: self.spec.delay,
                });
            }
            // One that broke off ends the same way: there is nothing more to be heard.
            Happened::PlayEnded(..) => out.push_back(Action::HangUp),
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ends_at
    }

    fn handle_timeout(&mut self, _now: Instant, out: &mut Actions) {
        self.ends_at = None;
        out.push_back(Action::StopPlay);
        out.push_back(Action::HangUp);
    }
}
