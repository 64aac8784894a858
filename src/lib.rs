//! antiphon: a SIP media server with conferencing.
//!
//! Modules stand in layer order; each imports only from the layers above its own in this list,
//! and beside it as the table in `tests/layering.rs` says, which holds all of it.

// L0: values and signal processing, no clock, no I/O.
pub mod audio;
pub mod codec;
pub mod dtmf;
pub mod rtp;
pub mod srtp;
pub mod wav;

// L1: protocols, sans-IO.
pub mod bridge;
pub mod sdp;
pub mod sip;

// L2: composition, sans-IO.
pub mod api;
pub mod app;
pub mod call;
pub mod dtls;
pub mod endpoint;
pub mod leg;
pub mod room;
pub mod switch;
pub mod worker;

// L3: the edge: clocks, threads, sockets, tokio.
pub mod caller;
pub mod client;
pub mod config;
pub mod engine;
pub mod http;
pub mod net;
pub mod server;
pub mod store;
