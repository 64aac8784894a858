//! Voicemail: leave a message, or hear one's own.
//!
//! What is stored, and where, is for the edge: an application asks ([`Action::LeaveMessage`],
//! [`Action::ListMessages`], ...) and is told. A message is kept or not by its length alone, when
//! its recording is closed: also where the caller has hung up by then.
//!
//! [`Action::LeaveMessage`]: super::Action::LeaveMessage
//! [`Action::ListMessages`]: super::Action::ListMessages

mod leave;
mod listen;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ask::{Asker, Heard, Question};
use super::collect::CollectSpec;
use super::{Action, Actions, PlayItem, speak};

pub(super) use leave::Leave;
pub(super) use listen::Listen;

/// Tries at a mailbox number or a PIN.
const MAX_TRIES: u32 = 3;

/// What a caller does in voicemail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoicemailTask {
    /// Leave a message.
    Leave,
    /// Hear one's own messages.
    Listen,
}

/// Voicemail for a caller.
#[derive(Clone, Debug, PartialEq)]
pub struct VoicemailSpec {
    /// What the caller does.
    pub task: VoicemailTask,
    /// Which box; none: the caller is asked.
    pub mailbox: Option<String>,
    /// All of them.
    pub mailboxes: Arc<Mailboxes>,
    /// Say goodbye at the end: the call ends with it.
    pub goodbye: bool,
}

/// The mailboxes and what holds for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Mailboxes {
    /// Each.
    pub boxes: Vec<Mailbox>,
    /// The longest message.
    pub max_message: Duration,
    /// The silence that ends a message; none: silence does not.
    pub silence: Option<Duration>,
    /// The most messages of a box.
    pub max_messages: usize,
    /// How numbers and PINs are read.
    pub collect: CollectSpec,
    /// Whether digits pressed before a prompt count.
    pub type_ahead: bool,
}

/// One mailbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Mailbox {
    /// Its number: digits.
    pub number: String,
    /// What opens it.
    pub pin: Pin,
    /// What a caller hears before the tone.
    pub greeting: Vec<PlayItem>,
}

/// A PIN: compared, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// A PIN of digits.
    pub fn new(digits: String) -> Self {
        Self(digits)
    }

    /// Whether this is the PIN, in a time that tells nothing about where it differs.
    pub(in crate::app) fn is(&self, entered: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), entered.as_bytes());
        let mut difference = ours.len() ^ theirs.len();
        for (n, their) in theirs.iter().enumerate() {
            let our = ours.get(n).copied().unwrap_or(0);
            difference |= usize::from(our ^ their);
        }
        difference == 0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(...)")
    }
}

impl Mailboxes {
    fn find(&self, number: &str) -> Option<&Mailbox> {
        self.boxes.iter().find(|b| b.number == number)
    }
}

/// A number that is keyed in and ended by `#`.
fn number(mailboxes: &Mailboxes, prompts: Vec<PlayItem>) -> Question {
    Question {
        prompts,
        barge_in: true,
        type_ahead: mailboxes.type_ahead,
        collect: mailboxes.collect.clone(),
    }
}

/// Says a last thing, which no key cuts short; then the call, or this part of it, ends.
fn farewell(asker: &mut Asker, said: &[&str], goodbye: bool, out: &mut Actions) -> Option<Heard> {
    asker.forget_ahead();
    let mut items = speak::prompts(said);
    items.extend(goodbye.then(|| speak::prompt("goodbye")));
    asker.say(items, false, out)
}

fn hang_up(out: &mut Actions) -> Option<Heard> {
    out.push_back(Action::HangUp);
    None
}

/// Which of two timers comes first.
fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

#[cfg(test)]
mod tests;
