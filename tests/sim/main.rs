//! Whole servers in simulated time: nothing sleeps, and one seed is one run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod api;
mod api_plays;
mod ari;
mod auth;
mod call_setup;
mod conference;
mod digits;
mod dtls;
mod dtls_begin;
mod dtls_rtcp;
mod elsewhere;
mod events_beside;
mod last_words;
mod latch;
mod leftovers;
mod leg_memory;
mod leg_wire;
mod menu;
mod million;
mod outgoing;
mod outgoing_auth;
mod placement;
mod playout;
mod reinvite;
mod room_plays;
mod room_talkers;
mod rooms;
mod rooms_dial;
mod rooms_menu;
mod rooms_random;
mod rooms_recording;
mod session_timer;
mod shared;
mod solo_placement;
mod srtp;
mod statistics;
mod totals;
mod transactions;
mod transactions_hostile;
mod worker;
mod worker_moves;
mod worlds;
