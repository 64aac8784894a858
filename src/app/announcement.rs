//! Announcement: what `sip:annc@host;play=URI` asks for (RFC 4240 §3), then hang up.

use std::time::{Duration, Instant};

use super::{Action, Actions, Happened, Machine, PlayId, PlayItem};

/// What is to be looked for (RFC 4240 §3): what the peer wrote, escapes resolved in all but `play`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `play=`, as the peer wrote it.
    pub play: String,
    /// `content-type=`: what kind of sound it is, whatever its server says.
    pub kind: Option<String>,
    /// `locale=`: the language that is preferred.
    pub locale: Option<String>,
    /// `param1=` to `param9=`: what is put into a sequence.
    pub values: Box<[Option<String>; 9]>,
}

/// What is announced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnnouncementSpec {
    /// What is looked for.
    pub wanted: Wanted,
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
/// The longest of the other texts, bytes.
const MAX_TEXT: usize = 64;

impl AnnouncementSpec {
    /// Reads the parameters of the request's URI (RFC 4240 §3); what is wrong with them otherwise.
    /// `unescaped` resolves `%XX`; nothing: what comes out is no text.
    pub fn from_params<'a>(
        param: impl Fn(&str) -> Option<&'a str>,
        unescaped: fn(&str) -> Option<String>,
    ) -> Result<AnnouncementSpec, &'static str> {
        let play = param("play").filter(|p| !p.is_empty());
        let play = play.ok_or("Missing play Parameter")?.to_owned();
        let text = |name: &str, wrong, good: fn(char) -> bool| match param(name) {
            None => Ok(None),
            Some(text) => match unescaped(text) {
                Some(text) if (1..=MAX_TEXT).contains(&text.len()) && text.chars().all(good) => {
                    Ok(Some(text))
                }
                _ => Err(wrong),
            },
        };
        let kind = text("content-type", "Bad content-type Parameter", |c| {
            c.is_ascii_alphanumeric() || "/-+.".contains(c)
        })?;
        let locale = text("locale", "Bad locale Parameter", |c| {
            c.is_ascii_alphanumeric() || c == '-' || c == '_'
        })?;
        let mut values = Box::<[Option<String>; 9]>::default();
        for (name, value) in VALUES.iter().zip(values.iter_mut()) {
            *value = text(name, "Bad param Parameter", |c| !c.is_control())?;
        }
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
            wanted: Wanted {
                play,
                kind: kind.map(|kind| kind.to_ascii_lowercase()),
                locale,
                values,
            },
            items: Vec::new(),
            repeat,
            delay: milliseconds("delay", "Bad delay Parameter")?.unwrap_or_default(),
            duration: milliseconds("duration", "Bad duration Parameter")?,
        })
    }
}

/// The names of the values.
const VALUES: [&str; 9] = [
    "param1", "param2", "param3", "param4", "param5", "param6", "param7", "param8", "param9",
];

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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AnnouncementSpec, &'static str> {
        let param = |name: &str| {
            let mut pairs = text.split(';').filter_map(|p| p.split_once('='));
            pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
        };
        AnnouncementSpec::from_params(param, crate::sip::uri::unescaped)
    }

    #[test]
    fn each_parameter_is_read() {
        let spec = read(
            "play=http://h/a;content-type=Audio%2Fbasic;locale=de-CH;param1=1%3B2;param9=x;\
             repeat=3;delay=5;duration=9;extension=1",
        );
        let spec = spec.unwrap();
        let wanted = &spec.wanted;
        assert_eq!(wanted.play, "http://h/a");
        assert_eq!(wanted.kind.as_deref(), Some("audio/basic"));
        assert_eq!(wanted.locale.as_deref(), Some("de-CH"));
        assert_eq!(wanted.values[0].as_deref(), Some("1;2"));
        assert_eq!(wanted.values[8].as_deref(), Some("x"));
        assert_eq!((spec.repeat, spec.delay.as_millis()), (3, 5));
        assert_eq!(spec.duration, Some(Duration::from_millis(9)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("repeat=1", "Missing play Parameter"),
            ("play=", "Missing play Parameter"),
            ("play=x;locale=..%2F..", "Bad locale Parameter"),
            ("play=x;locale=", "Bad locale Parameter"),
            ("play=x;content-type=a b", "Bad content-type Parameter"),
            ("play=x;param2=%0a", "Bad param Parameter"),
            ("play=x;param2=%", "Bad param Parameter"),
            ("play=x;repeat=0", "Bad repeat Parameter"),
            ("play=x;delay=-1", "Bad delay Parameter"),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text}");
        }
        let long = format!("play=x;param1={}", "y".repeat(MAX_TEXT + 1));
        assert_eq!(read(&long).unwrap_err(), "Bad param Parameter");
    }
}
