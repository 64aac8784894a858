//! Files: prompts to play, recordings to write, voicemail to keep, and where each lies.

pub mod feed;
pub mod layout;
pub mod library;
pub mod meeting;
pub mod probe;
pub mod prompts;
pub mod recorder;
pub mod room_files;
pub mod shelf;
pub mod sound;
pub mod speech;
pub mod stored;
pub mod voicemail;
pub mod web;
