//! SRTP and SRTCP (RFC 3711, RFC 7714), in place.
//!
//! Sits between the socket and `rtp::packet`, both ways. Viewpoint: [`Outbound`] is what the server
//! sends, [`Inbound`] what the party sends. Both are made where memory may be taken, for one master
//! key each; what they do with a packet takes none. Nothing of a packet counts before it is
//! authenticated: one that is not changes no state. Keys are compared in constant time, wiped when
//! they are dropped, and never in a debug output.

mod cipher;
mod derive;
pub mod fuzz;
mod header;
mod inbound;
mod key;
mod outbound;
mod suite;
mod window;

pub use inbound::{Inbound, MAX_SOURCES};
pub use key::MasterKey;
pub use outbound::Outbound;
pub use suite::Suite;
pub use window::REPLAY_WINDOW;

/// The most bytes by which a packet grows: an AEAD tag and the index of SRTCP.
pub const MAX_OVERHEAD: usize = 20;

/// Why a packet is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Not RTP or RTCP, or shorter than header and tag.
    #[error("malformed packet")]
    Malformed,
    /// Not from who has the key, or altered.
    #[error("packet not authentic")]
    NotAuthentic,
    /// The key that opens it has yet to come.
    #[error("no key yet")]
    NoKey,
    /// Seen before, or too old to tell.
    #[error("packet seen before")]
    Replayed,
    /// Authentic, but from one source more than [`MAX_SOURCES`]; or not our source.
    #[error("too many sources")]
    TooManySources,
    /// The key has protected as many packets as it may (RFC 3711 §9.2): 2^48 of RTP, 2^31 of RTCP.
    #[error("key used up")]
    Exhausted,
    /// The buffer has no room for the tag.
    #[error("no room for the tag")]
    NoRoom,
}

#[cfg(test)]
mod tests;
