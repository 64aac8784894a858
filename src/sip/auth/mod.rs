//! Digest authentication (RFC 7616, RFC 8760, RFC 3261 §22), as server and as client. Sans-IO.
//!
//! ```text
//! server: request --> Authenticator::check --> Granted | Missing, Stale, Wrong --> challenge()
//! client: 401/407 --> Client::challenged --> the request again --> Client::authorize
//! ```

mod client;
mod digest;
mod header;
mod nonce;
mod params;
mod replay;
mod server;

#[cfg(test)]
mod tests;

pub use client::{Client, Login};
pub use digest::{Algorithm, Ha1};
pub use header::{Challenge, Credentials, HeaderFault};
pub use nonce::Key;
pub use server::{Authenticator, Settings, Users, Verdict};
