//! SIP (RFC 3261), sans-IO.

pub mod auth;
mod chars;
pub mod dialog;
pub mod framing;
pub mod fuzz;
pub mod header;
pub mod locate;
pub mod message;
pub mod method;
pub mod name;
pub mod params;
mod parse;
pub mod registration;
pub mod session_timer;
pub mod source;
pub mod status;
mod syntax;
pub mod transaction;
pub mod transport;
pub mod uri;
pub mod validate;
mod values;
