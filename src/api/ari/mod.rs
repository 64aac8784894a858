//! A subset of the Asterisk REST Interface: what programs that were written for it find here.
//!
//! ```text
//! request --> handler --> Switch: channels, bridges
//!                    '--> State.ari: names, variables, programs, plays and recordings
//! switch: Event --> State::ari_event --> each program that it concerns --> its reader's topic
//! ```
//!
//! docs/ari.md has what is served and what is not. Names of paths, parameters, fields, states and events
//! are those that its clients know.

#![allow(clippy::unnecessary_wraps, reason = "the table wants one signature")]

mod applications;
mod args;
mod asterisk;
mod bridges;
mod channels;
mod declare;
mod devices;
mod endpoints;
mod events;
mod external;
mod hearing;
mod media;
mod models;
mod originate;
mod playbacks;
mod recordings;
mod snoop;
mod sockets;
mod sounds;
mod state;
mod swagger;
mod texts;
mod variables;
mod view;

pub(super) use media::melody;
pub use recordings::Recordings;
pub use state::Ari;

use args::Args;
use declare::Resource;

use super::table::Operation;
use super::{Context, Problem, Reply, Response};
use crate::call::CallHandle;
use crate::switch::ProgramError;

/// All that there is, by what it is about.
const RESOURCES: &[Resource] = &[
    applications::RESOURCE,
    asterisk::RESOURCE,
    bridges::RESOURCE,
    channels::RESOURCE,
    devices::RESOURCE,
    endpoints::RESOURCE,
    sockets::RESOURCE,
    playbacks::RESOURCE,
    recordings::RESOURCE,
    sounds::RESOURCE,
    swagger::RESOURCE,
];

const COUNT: usize = {
    let (mut n, mut count) = (0, 0);
    while n < RESOURCES.len() {
        count += RESOURCES[n].operations.len();
        n += 1;
    }
    count
};

const fn flat() -> [Operation; COUNT] {
    let mut all = [RESOURCES[0].operations[0].operation; COUNT];
    let (mut n, mut at) = (0, 0);
    while n < RESOURCES.len() {
        let mut m = 0;
        while m < RESOURCES[n].operations.len() {
            all[at] = RESOURCES[n].operations[m].operation;
            at += 1;
            m += 1;
        }
        n += 1;
    }
    all
}

static ALL: [Operation; COUNT] = flat();

/// What there is below `/ari/`.
pub static OPERATIONS: &[Operation] = &ALL;

impl From<ProgramError> for Problem {
    fn from(error: ProgramError) -> Self {
        let status = match error {
            ProgramError::NoCall | ProgramError::NoBridge | ProgramError::NoRoute => 404,
            ProgramError::Forbidden => 403,
            ProgramError::NotDriven => 409,
            ProgramError::WrongState => 412,
            ProgramError::NotInBridge => 422,
            ProgramError::Full => 503,
        };
        Problem::new(status, error.to_string())
    }
}

/// The channel that a request's path names.
fn call(context: &Context<'_>) -> Result<CallHandle, Problem> {
    let id = context.request.path("channelId");
    call_named(context, id)
}

fn call_named(context: &Context<'_>, id: &str) -> Result<CallHandle, Problem> {
    let found = context.state.ari.channel_of(id).map(|(call, _)| call);
    found.ok_or_else(|| Problem::not_found("channel", id))
}

/// A name that a program gives to something.
fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    let good = !name.is_empty()
        && name.len() <= state::MAX_NAME
        && !name.contains(|c: char| c.is_control() || c == '/' || c == ',');
    let why = || format!("{what}: 1 to 128 bytes, without \"/\", \",\" and control characters");
    good.then_some(()).ok_or_else(|| Problem::new(400, why()))
}

/// Reserves a name for a channel that is about to be.
fn reserve_channel(context: &mut Context<'_>, id: &str) -> Result<(), Problem> {
    check_name("channelId", id)?;
    let ari = &mut context.state.ari;
    let taken = ari.ids.contains_key(id) || !ari.reserved.insert(id.to_owned());
    if taken {
        return Err(Problem::conflict(format!("there is a channel {id:?}")));
    }
    Ok(())
}

fn done() -> Result<Reply, Problem> {
    Ok(Reply::Now(Response::empty()))
}

fn told(value: &serde_json::Value) -> Result<Reply, Problem> {
    Ok(Reply::Now(Response::json(value)))
}
