//! Real telephones (baresip) and `antiphon call` against the server, listened to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod announcement;
mod apps;
mod call_command;
mod command_line;
mod conference;
mod digits_conference;
mod dtmf;
mod hold;
mod menu;
mod playing;
mod progress;
mod recording;
mod room_plays;
mod rooms;
mod rooms_recording;
mod srtp;
mod tls;
mod voicemail;
mod wideband;
