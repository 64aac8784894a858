//! RTP and RTCP (RFC 3550): packets, sessions, latching, and the store behind the playout.
//!
//! Viewpoint: rx and tx are the server's. A datagram passes `packet::is_rtcp`, `packet::Packet`,
//! `latch::Latch` and `session::Receiver`, in this order, before `leg::playout`.

pub mod bursts;
pub mod emodel;
pub mod fuzz;
pub mod jitter;
pub mod latch;
pub mod packet;
pub mod redundancy;
pub mod rtcp;
pub mod seq;
pub mod session;
pub mod xr;

pub use packet::{HEADER_LEN, Header, Packet, PacketError};
pub use seq::{PayloadType, SeqNo, Ssrc, Timestamp};
