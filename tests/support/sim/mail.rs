//! Voicemail in memory: what the files do, without files.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use antiphon::app::{Happened, Message, MessageOutcome};
use antiphon::call::CallHandle;
use antiphon::switch::MailboxRequest;

/// Messages are files of this directory, named by their recording.
pub const MAIL: &str = "/mail";
/// What is shorter is no message.
const MIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Mail {
    pub boxes: HashMap<String, Vec<Message>>,
    /// Recordings under way: whose, for which box, from whom.
    pub leaving: HashMap<u64, (CallHandle, String, String)>,
}

impl Mail {
    /// A recording is closed: what became of the message, if it was to be one.
    pub fn close(&mut self, recording: u64, samples: u64) -> Option<(CallHandle, MessageOutcome)> {
        let (call, mailbox, caller) = self.leaving.remove(&recording)?;
        let length = Duration::from_micros(samples * 125);
        if length < MIN {
            return Some((call, MessageOutcome::TooShort));
        }
        self.boxes.entry(mailbox).or_default().push(Message {
            id: format!("m{recording}"),
            file: Path::new(MAIL).join(recording.to_string()),
            caller,
            received: 0,
            length,
            saved: false,
        });
        Some((call, MessageOutcome::Kept))
    }

    pub fn handle(&mut self, request: MailboxRequest) -> Happened {
        match request {
            MailboxRequest::List { mailbox } => {
                Happened::Messages(Ok(self.boxes.get(&mailbox).cloned().unwrap_or_default()))
            }
            MailboxRequest::Save { mailbox, id } => {
                let messages = self.boxes.entry(mailbox).or_default();
                Happened::MessageChanged(match messages.iter_mut().find(|m| m.id == id) {
                    Some(message) => {
                        message.saved = true;
                        Ok(true)
                    }
                    None => Ok(false),
                })
            }
            MailboxRequest::Delete { mailbox, id } => {
                let messages = self.boxes.entry(mailbox).or_default();
                let before = messages.len();
                messages.retain(|m| m.id != id);
                let gone = messages.len() < before;
                Happened::MessageChanged(Ok(gone))
            }
        }
    }
}
