//! Listeners, connections, names and ports, by real sockets on 127.0.0.1.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod descriptors;
mod http;
mod http_server;
mod limits;
mod media;
mod ports;
mod readers;
mod resolve;
mod speech;
mod tcp;
mod tls;
mod udp;
mod web;
mod ws;
