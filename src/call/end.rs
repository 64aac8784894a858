//! How a call ends, and the word for it.

use std::time::{Duration, Instant};

use super::{Call, Output, State};
use crate::sip::transaction::ServerId;

/// How long what was played last takes to be heard: it is told to be over when it is sent, and then in
/// the peer's jitter buffer.
const LAST_WORDS: Duration = Duration::from_millis(200);

impl Call {
    /// The application hangs up: behind what was just played, when that has been heard.
    pub(super) fn hang_up_after_play(&mut self, now: Instant) {
        let heard = self.played.map(|at| at + LAST_WORDS);
        match heard.filter(|at| *at > now) {
            Some(at) if matches!(self.state, State::Established) => self.hang_up_at = Some(at),
            _ => self.end(EndReason::HungUp),
        }
    }

    /// Until our answer is acknowledged, or its time is over, there is no BYE (RFC 3261 §15): it could come
    /// before the answer. A shutdown does not wait for that.
    pub(super) fn hurry_bye(&mut self, reason: &EndReason) {
        if *reason == EndReason::Shutdown
            && let Some(invite) = self.unacknowledged.take()
        {
            self.outputs.push_back(Output::Abandon(invite));
            self.send_bye();
            self.finish_if_done();
        }
    }

    /// The ACK of our answer has come, or never will: whether a BYE waits for that.
    pub(super) fn parts(&mut self, transaction: ServerId) -> bool {
        let waits = self
            .unacknowledged
            .take_if(|invite| *invite == transaction)
            .is_some();
        if waits {
            self.send_bye();
            self.finish_if_done();
        }
        waits
    }

    /// The other side has hung up too: so it has our answer.
    pub(super) fn both_part(&mut self) {
        if let Some(invite) = self.unacknowledged.take() {
            self.outputs.push_back(Output::Abandon(invite));
            self.finish_if_done();
        }
    }

    pub(super) fn hang_up_if_due(&mut self, now: Instant) {
        if self.hang_up_at.take_if(|at| *at <= now).is_some() {
            self.end(EndReason::HungUp);
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The application (or `antiphon call`) hung up.
    HungUp,
    /// The other side hung up.
    RemoteHungUp,
    /// The caller gave up before the answer.
    Cancelled,
    /// Refused, by us or by the other side, with this status and phrase.
    Rejected(u16, String),
    /// No answer came in time.
    NoAnswer,
    /// Our answer was never acknowledged.
    NoAck,
    /// Neither RTP nor RTCP for the configured time.
    MediaTimeout,
    /// The media could not be encrypted as agreed: why (RFC 5763).
    HandshakeFailed(String),
    /// The session timer ran out (RFC 4028 §10).
    SessionExpired,
    /// The longest call length was reached.
    MaxLength,
    /// The server shuts down.
    Shutdown,
    /// The transport failed.
    TransportFailed,
}

impl EndReason {
    /// One word for logs and summaries.
    pub fn word(&self) -> &'static str {
        match self {
            EndReason::HungUp => "hung-up",
            EndReason::RemoteHungUp => "remote-hung-up",
            EndReason::Cancelled => "cancelled",
            EndReason::Rejected(..) => "rejected",
            EndReason::NoAnswer => "no-answer",
            EndReason::NoAck => "no-ack",
            EndReason::MediaTimeout => "media-timeout",
            EndReason::HandshakeFailed(_) => "handshake-failed",
            EndReason::SessionExpired => "session-expired",
            EndReason::MaxLength => "max-length",
            EndReason::Shutdown => "shutdown",
            EndReason::TransportFailed => "transport-failed",
        }
    }
}
