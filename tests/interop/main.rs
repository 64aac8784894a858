//! The server as a process, by real clients and raw sockets on 127.0.0.1.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod audio;
mod auth;
mod bypass;
mod dialling;
mod dialog;
mod dtmf_loss;
mod leftovers;
mod limits;
mod malformed;
mod media;
mod pages;
mod requests;
mod scanner;
mod server;
mod shutdown;
mod sipp;
mod statistics;
mod tcp;
mod voicemail;
mod ws;
