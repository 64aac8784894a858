//! SIP (RFC 3261), sans-IO.

pub mod transaction;
pub mod transport;
