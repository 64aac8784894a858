//! What `antiphon call` does: play a file, record what comes, press keys, hang up after so long.
//!
//! ```text
//! established --> record, play --> keys, each group after its pause --> last key sent --> (hang up)
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Action, Actions, DtmfMethod, Happened, Machine, PlayId, PlayItem};
use crate::dtmf::Digit;

/// The caller's plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptSpec {
    /// What the other side hears.
    pub play: Option<PathBuf>,
    /// Where what it says goes.
    pub record: Option<PathBuf>,
    /// Hang up after so long. Without it: when the play ends, else when the other side hangs up.
    pub length: Option<Duration>,
    /// What is pressed.
    pub digits: Option<ScriptDigits>,
}

/// Digits to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptDigits {
    /// Groups of digits, each with the pause before it.
    pub groups: Vec<(Duration, Vec<Digit>)>,
    /// How they go out.
    pub method: DtmfMethod,
    /// The length of each.
    pub tone: Duration,
    /// The pause behind each.
    pub pause: Duration,
}

impl ScriptDigits {
    /// How long a comma waits.
    const COMMA: Duration = Duration::from_secs(1);

    /// Reads `1,,23#`: digits, and commas that wait a second each.
    pub fn parse(text: &str, method: DtmfMethod, tone: Duration, pause: Duration) -> Option<Self> {
        let mut groups: Vec<(Duration, Vec<Digit>)> = vec![(Duration::ZERO, Vec::new())];
        for c in text.chars() {
            let (wait, digits) = groups.last_mut()?;
            if c != ',' {
                digits.push(Digit::from_char(c)?);
            } else if digits.is_empty() {
                *wait += Self::COMMA;
            } else {
                groups.push((Self::COMMA, Vec::new()));
            }
        }
        Some(Self {
            groups,
            method,
            tone,
            pause,
        })
    }
}

#[derive(Debug)]
pub(super) struct Script {
    spec: ScriptSpec,
    hang_up_at: Option<Instant>,
    /// When the next group of digits is due, and which it is.
    next_digits: Option<(Instant, usize)>,
    /// The group that is on its way.
    sending: usize,
}

impl Script {
    pub fn new(spec: ScriptSpec) -> Self {
        Self {
            spec,
            hang_up_at: None,
            next_digits: None,
            sending: 0,
        }
    }

    fn plan_digits(&mut self, group: usize, now: Instant) {
        let digits = self.spec.digits.as_ref();
        let next = digits.and_then(|d| d.groups.get(group));
        self.next_digits = next.map(|(wait, _)| (now + *wait, group));
    }

    fn send_digits(&mut self, group: usize, now: Instant, out: &mut Actions) {
        self.next_digits = None;
        self.sending = group;
        let Some(plan) = &self.spec.digits else {
            return;
        };
        match plan.groups.get(group) {
            Some((_, digits)) if !digits.is_empty() => {
                out.push_back(Action::SendDigits {
                    digits: digits.clone(),
                    method: plan.method,
                    tone: plan.tone,
                    pause: plan.pause,
                });
            }
            _ => self.plan_digits(group + 1, now),
        }
    }

    fn established(&mut self, now: Instant, out: &mut Actions) {
        self.hang_up_at = self.spec.length.map(|l| now + l);
        if let Some(file) = &self.spec.record {
            out.push_back(Action::Record {
                file: Some(file.clone()),
                max: None,
                silence: None,
            });
        }
        if let Some(file) = &self.spec.play {
            let items = vec![PlayItem::File(file.clone())];
            out.push_back(Action::play(PlayId(0), items));
        }
        self.plan_digits(0, now);
    }
}

impl Machine for Script {
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions) {
        match happened {
            Happened::Established => self.established(now, out),
            Happened::DigitsSent(_) => {
                self.plan_digits(self.sending + 1, now);
            }
            Happened::PlayEnded(..) if self.spec.length.is_none() => {
                out.push_back(Action::HangUp);
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let digits = self.next_digits.map(|(at, _)| at);
        [self.hang_up_at, digits].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Actions) {
        if let Some((_, group)) = self.next_digits.filter(|(at, _)| *at <= now) {
            self.send_digits(group, now, out);
        }
        if self.hang_up_at.is_some_and(|at| at <= now) {
            self.hang_up_at = None;
            out.push_back(Action::HangUp);
        }
    }
}
