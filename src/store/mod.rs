//! Files: prompts to play, recordings to write, and where recordings go.

pub mod feed;
pub mod layout;
pub mod prompts;
pub mod recorder;
