//! Sockets: SIP over UDP and TCP on the control side, RTP on the media threads, and the one
//! module that makes system calls.

pub mod clock;
mod connections;
pub mod media;
mod pktinfo;
pub mod ports;
pub mod route;
pub mod sip;
pub mod sys;
mod tcp;
mod udp;
