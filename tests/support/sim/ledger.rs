//! What was seen of a world from outside, and what must hold of it.

use std::collections::HashMap;

use antiphon::leg::LegId;
use antiphon::sip::header::{Headers, Name};
use antiphon::sip::message::{Message, parse_datagram};
use antiphon::sip::method::Method;
use antiphon::switch::Event;
use antiphon::worker::Command;

/// A recording from outside: from the order to the end of its leg or the order to stop.
#[derive(Debug)]
struct Span {
    worker: usize,
    leg: LegId,
    from_ms: u64,
    to_ms: Option<u64>,
    /// See [`Ledger::opened`].
    waited_ms: u64,
}

/// When a call began and ended, ms.
#[derive(Clone, Debug)]
pub struct Times {
    pub from_ms: u64,
    pub to_ms: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// INVITEs that arrived at the server, by transaction, and the final responses that they got:
    /// different ones only, as one is sent again until its ACK.
    invites: HashMap<String, Vec<Vec<u8>>>,
    recordings: HashMap<u64, Span>,
    /// By Call-ID.
    pub calls: HashMap<String, Times>,
    pub finals: usize,
    pub recorded: usize,
    /// By how much one packet of the media network can be slower than another.
    jitter_ms: u64,
    /// What waited in the sockets of each worker's legs when they were opened.
    waited_ms: HashMap<(usize, LegId), u64>,
}

/// Ticks are 20 ms apart, so a recording begins and ends up to one after what was asked for.
const PTIME_MS: u64 = 20;
/// What may wait to be played although nothing came late: the packet that has just come, and one more
/// where packets come so shortly before their tick that the playout begins with a tick of delay
/// (`leg::playout`, `MIN_GUARD_US`).
const IN_TIME_MS: u64 = 40;
/// The most delay that a playout adds (`jitter_max_ms` of `settings`).
const MAX_DELAY_MS: u64 = 200;

impl Ledger {
    /// For a media network that delays one packet by so much more than another.
    pub fn new(jitter_ms: u64) -> Self {
        Self {
            jitter_ms,
            ..Self::default()
        }
    }

    /// The server gets this.
    pub fn arrived(&mut self, message: &Message) {
        if let Message::Request(request) = message
            && request.method == Method::Invite
            && let Some(key) = key(&request.headers)
        {
            self.invites.entry(key).or_default();
        }
    }

    /// The server sends this.
    pub fn sent(&mut self, bytes: &[u8]) {
        let message = parse_datagram(bytes).expect("the server writes valid SIP");
        let Message::Response(response) = message else {
            return;
        };
        let invite = response
            .headers
            .cseq()
            .is_ok_and(|c| c.method == Method::Invite);
        let Some(key) = key(&response.headers).filter(|_| invite && response.status >= 200) else {
            return;
        };
        let finals = self.invites.entry(key).or_default();
        if !finals.iter().any(|known| known == bytes) {
            finals.push(bytes.to_vec());
            self.finals += 1;
        }
        assert!(
            finals.len() == 1,
            "two final responses: {} and {}",
            finals[0].escape_ascii(),
            finals[1].escape_ascii()
        );
    }

    /// A leg begins, and so many packets have waited for it: a party that was invited to make the
    /// offer's answer talks before that has come, by as much as it is late.
    pub fn opened(&mut self, worker: usize, leg: LegId, packets: usize) {
        let waited_ms = packets as u64 * PTIME_MS;
        self.waited_ms.insert((worker, leg), waited_ms);
    }

    /// A worker gets this.
    pub fn command(&mut self, ms: u64, worker: usize, command: &Command) {
        match command {
            Command::Record(leg, tap) => {
                let span = Span {
                    worker,
                    leg: *leg,
                    from_ms: ms,
                    to_ms: None,
                    waited_ms: self.waited_ms.get(&(worker, *leg)).copied().unwrap_or(0),
                };
                self.recordings.insert(tap.recording(), span);
            }
            Command::Close(leg) | Command::StopRecord(leg) => {
                let spans = self.recordings.values_mut();
                for span in spans.filter(|s| s.worker == worker && s.leg == *leg) {
                    span.to_ms.get_or_insert(ms);
                }
            }
            _ => {}
        }
    }

    /// A recording is closed; `max_ms` is the longest one.
    pub fn closed(&mut self, recording: u64, samples: u64, max_ms: u64) {
        let Some(span) = self.recordings.remove(&recording) else {
            assert_eq!(samples, 0, "a recording that never ran has a length");
            return;
        };
        self.recorded += 1;
        let length_ms = samples / 8;
        let Some(to_ms) = span.to_ms else {
            assert_eq!(length_ms, max_ms, "it ended by itself");
            return;
        };
        let call_ms = to_ms - span.from_ms;
        // What has come before the end and was not played yet is recorded behind it: the last word.
        // That is the delay of the playout: what came too late made it, or what waited at its start.
        let delay_ms = self.jitter_ms.max(span.waited_ms).min(MAX_DELAY_MS);
        let range = call_ms.saturating_sub(PTIME_MS)..=call_ms + PTIME_MS + delay_ms + IN_TIME_MS;
        assert!(
            range.contains(&length_ms),
            "a recording of {length_ms} ms of {call_ms} ms"
        );
    }

    pub fn event(&mut self, ms: u64, event: &Event) {
        match event {
            Event::Started { call_id, .. } => {
                let times = Times {
                    from_ms: ms,
                    to_ms: None,
                };
                let double = self.calls.insert(call_id.clone(), times);
                assert!(double.is_none(), "{call_id} began twice");
            }
            Event::Ended(summary) => {
                let times = self.calls.get_mut(&summary.call_id).expect("it began");
                assert_eq!(times.to_ms, None, "{} ended twice", summary.call_id);
                times.to_ms = Some(ms);
            }
            _ => {}
        }
    }

    /// At the end: every INVITE has its final response.
    pub fn check(&self) {
        for (key, finals) in &self.invites {
            assert_eq!(finals.len(), 1, "final responses of INVITE {key}");
        }
        assert!(self.recordings.is_empty(), "{:?}", self.recordings);
    }
}

/// The transaction (RFC 3261 §17.2.3), as far as these phones need it.
fn key(headers: &Headers) -> Option<String> {
    let via = headers.via().ok()?;
    let branch = via.branch()?.to_owned();
    let call_id = headers.get(&Name::CallId)?;
    Some(format!("{branch} {call_id}"))
}
