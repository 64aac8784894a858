//! Sockets: SIP over UDP, TCP, TLS and WebSocket on the control side, RTP on the media threads, and the one
//! module that makes system calls.

mod alarm;
pub mod clock;
mod connections;
mod crowd;
pub mod ethernet;
pub mod fetch;
mod frames;
pub mod fuzz;
pub mod gate;
mod handshakes;
mod hosts;
pub mod media;
pub mod pages;
mod pktinfo;
pub mod ports;
pub mod queues;
pub mod resolve;
pub mod route;
pub mod sip;
mod stream;
pub mod sys;
mod tcp;
pub mod tls;
mod udp;
mod ws;

pub use alarm::Alarm;
