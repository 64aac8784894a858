//! SIP, SDP, SRTP and DTLS without a server: properties, oracles, torture.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod dtls_oracle;
mod sdp_negotiation;
mod sdp_properties;
mod sdp_srtp;
mod sip_properties;
mod srtp_oracle;
mod torture;
