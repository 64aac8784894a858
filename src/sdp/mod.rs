//! Session descriptions and their negotiation (RFC 4566, RFC 3264), sans-IO.
//!
//! Sits between `sip` bodies and `call`: bytes of an offer or answer in, an [`Agreed`] and the
//! text of our side out. Directions are the server's own: `SendOnly` means that antiphon sends.

pub mod crypto;
pub mod description;
mod direction;
pub mod fingerprint;
pub mod fuzz;
pub mod negotiate;

pub use description::{Description, SdpError};
pub use direction::Direction;
pub use fingerprint::Fingerprint;
pub use negotiate::{
    Agreed, Association, Capabilities, Dtls, Local, NegotiateError, PayloadMap, Profile,
    Redundancy, RejectedStream, Role, Sdes, Security, Srtp, SrtpPolicy, TelephoneEvent, accept,
    accept_with, answer, answer_with, offer, offer_with, reject,
};
