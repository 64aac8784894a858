//! The four transactions of RFC 3261 §17, with RFC 6026, sans-IO.
//!
//! Sits between `sip::message` (parsed messages) and `endpoint` (which owns one machine per
//! transaction and knows where its messages go). A machine sees status codes and serialised bytes
//! only: `handle` an event, drain `poll_output`, call `handle_timeout` at `poll_timeout`.

pub mod client_invite;
pub mod client_non_invite;
pub mod key;

pub mod server_invite;
pub mod server_non_invite;
pub mod timers;

#[cfg(test)]
mod model_tests;

pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use key::{Key, Keys};

pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;
pub use timers::{Timer, Timers};

/// A transaction in which we answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u64);

/// A transaction in which we ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// What a server transaction is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The request arrived once more.
    Retransmission,
    /// The ACK of our final response arrived (INVITE only).
    Ack,
    /// The transaction user answers.
    Respond {
        /// Status code, 100 to 699.
        status: u16,
        /// The response as it goes out.
        bytes: Vec<u8>,
    },
    /// The transaction user sends a provisional response reliably (RFC 3262; INVITE only).
    RespondReliable {
        /// The number of its RSeq header.
        rseq: u32,
        /// The response as it goes out.
        bytes: Vec<u8>,
    },
    /// A PRACK acknowledged the reliable provisional response of this number.
    Acknowledged {
        /// The first number of its RAck header.
        rseq: u32,
    },
    /// The response could not be sent.
    TransportFailed,
}

/// What a server transaction wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerOutput {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Nothing has been answered for 200 ms: answer 100 (RFC 3261 §17.2.1).
    Trying,
    /// The ACK of our 2xx, for the transaction user; once.
    Ack,
    /// 64*T1 passed without an ACK of our 2xx (RFC 3261 §13.3.1.4).
    AckTimeout,
    /// 64*T1 passed without a PRACK (RFC 3262 §3).
    ProvisionalTimeout,
}

/// What a client transaction is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// A response with this status arrived.
    Response(u16),
    /// The transaction user gives up (INVITE only, RFC 3261 §9.1).
    Cancel,
    /// The request could not be sent, or its connection was lost.
    TransportFailed,
}

/// What a client transaction wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Pass the response just handled to the transaction user.
    Response,
    /// Acknowledge the non-2xx response just handled (RFC 3261 §17.1.1.3).
    Ack,
    /// Send a CANCEL: a provisional response has been seen.
    Cancel,
    /// No final response in time.
    Timeout,
    /// The request could not be sent.
    TransportError,
}
