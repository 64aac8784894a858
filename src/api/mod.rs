//! The control API: programs ask and are told.
//!
//! Without I/O: a request that has been read, has shown its key, and has found its operation in the
//! `table` runs on the core's thread, on the switch itself; what takes longer comes back as a
//! [`Reply`] that the edge carries out. The table is also what the description is made of.
//!
//! ```text
//! http: bytes, keys, limits --> route() --> Api::handle --> Reply::Now | Job | Place | Locate | Figures | ...
//! switch: Event --> Api::on_event --> Published (serialised once) --> http: readers of its topic
//! ```

pub mod ari;
mod description;
mod events;
mod message;
pub mod metrics;
mod problem;
mod recordings;
mod rooms;
mod table;
mod time;
mod v1;

pub use ari::{Ari, Recordings};
pub use events::{Recorded, RecordingChange};
pub use message::{JSON, Method, Request, Response, Scope};
pub use metrics::Counters;
pub use problem::{Format, PROBLEM_JSON, Problem};
pub use table::{
    Access, Answer, Body, Kind, Operation, Parameter, Routed, TREES, Tree, Unrouted, allow, check,
    decode, query, route, tree,
};
pub use time::{Clock, rfc3339, run_number};

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::app::AppSpec;
use crate::call::CallHandle;
use crate::leg::LegStats;
use crate::sip::auth::Login;
use crate::sip::transport::Flow;
use crate::sip::uri::Uri;
use crate::switch::Switch;

/// What handlers make use of besides the switch.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most members of a room that has no other bound.
    pub max_members: usize,
    /// Whether somebody who is alone in such a room is told so.
    pub lone_prompt: bool,
}

/// What only the edge knows.
pub trait Edge {
    /// Whether the server is about to end.
    fn is_draining(&self) -> bool;
    /// Whether all media threads run.
    fn media_alive(&self) -> bool;
    /// How many calls there may be.
    fn max_calls(&self) -> usize;
    /// Whether there is such a prompt.
    fn has_prompt(&self, name: &str) -> bool;
    /// The names of the prompts, in order.
    fn prompts(&self) -> Vec<String>;
    /// The recordings that there are.
    fn recordings(&self) -> Arc<dyn Recordings>;
    /// Adds the edge's own figures.
    fn metrics(&self, out: &mut metrics::Writer);
}

/// What a handler works with.
pub struct Context<'a> {
    /// The signalling side.
    pub switch: &'a mut Switch,
    /// What the API keeps itself.
    pub state: &'a mut State,
    /// What only the edge knows.
    pub edge: &'a dyn Edge,
    /// What is asked.
    pub request: &'a Request,
    /// The time.
    pub now: Instant,
}

/// What is to be answered, or done first. Continuations run on the core's thread.
pub enum Reply {
    /// This.
    Now(Response),
    /// What this finds, on a thread that may block: files.
    Job(Box<dyn FnOnce() -> Response + Send>),
    /// What follows from a look at files, on a thread that may block.
    Look(Box<dyn FnOnce() -> Result<(), Problem> + Send>, LookThen),
    /// What follows from a call's placing, which asks name servers first.
    Place(Box<Place>),
    /// What follows from where a URI leads, which asks name servers.
    Locate(Box<Uri>, LocateThen),
    /// The same for media, whose path has nothing to do with the transports of SIP.
    LocateMedia(Box<Uri>, LocateThen),
    /// What follows once all that the switch wants so far is carried out: ports are bound.
    Settled(SettledThen),
    /// What is made of a call's figures, which its media thread tells; none: it does not.
    Figures(CallHandle, FiguresThen),
    /// The connection becomes a WebSocket on which events of these topics go out.
    Subscribe(Subscription),
}

/// Makes an answer of figures.
pub type FiguresThen =
    Box<dyn FnOnce(Option<&LegStats>, &mut Context<'_>) -> Result<Response, Problem> + Send>;

/// Makes an answer of what a look at files has found.
pub type LookThen =
    Box<dyn FnOnce(Result<(), Problem>, &mut Context<'_>) -> Result<Response, Problem> + Send>;

/// Makes an answer of a placed call, or why there is none.
pub type PlaceThen = Box<
    dyn FnOnce(Result<CallHandle, Problem>, &mut Context<'_>) -> Result<Response, Problem> + Send,
>;

/// Goes on with the path to where a URI leads, or why there is none.
pub type LocateThen =
    Box<dyn FnOnce(Result<Flow, Problem>, &mut Context<'_>) -> Result<Reply, Problem> + Send>;

/// Makes an answer of how things are by then.
pub type SettledThen = Box<dyn FnOnce(&mut Context<'_>) -> Result<Response, Problem> + Send>;

/// Why a call that is placed cannot be an announcement: it would end as soon as it is answered.
const NO_ANNOUNCEMENT: &str =
    "this is an announcement, and what it plays is named by whoever dials it (play=)";

/// A call to be placed.
pub struct Place {
    /// Whom to call.
    pub uri: Uri,
    /// The path to it, where that is known: who is registered may be reached by no other.
    pub path: Option<Flow>,
    /// Who calls: the user of From.
    pub from: String,
    /// What it does once it is answered.
    pub spec: AppSpec,
    /// What answers challenges.
    pub login: Option<Login>,
    /// What then.
    pub then: PlaceThen,
}

/// What a reader of events wants. Given back by [`Api::left`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics.
    pub topics: Vec<String>,
    /// The name of the key.
    pub key: Option<String>,
}

/// Something for the readers of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The topic.
    pub topic: Cow<'static, str>,
    /// JSON.
    pub text: String,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Now(response) => response.fmt(f),
            Reply::Job(_) => f.write_str("Job"),
            Reply::Look(..) => f.write_str("Look"),
            Reply::Place(place) => write!(f, "Place({})", place.uri),
            Reply::Locate(uri, _) => write!(f, "Locate({uri})"),
            Reply::LocateMedia(uri, _) => write!(f, "LocateMedia({uri})"),
            Reply::Settled(_) => f.write_str("Settled"),
            Reply::Figures(call, _) => write!(f, "Figures({})", call.0),
            Reply::Subscribe(subscription) => subscription.fmt(f),
        }
    }
}

/// What the API keeps itself.
#[derive(Debug)]
pub struct State {
    /// Both clocks.
    pub clock: Clock,
    /// The number of this run of the server.
    pub run: u64,
    /// When the server started.
    pub started: Instant,
    /// What the handlers make use of.
    pub settings: Settings,
    /// What was counted so far.
    pub counters: Counters,
    /// What programs that speak ARI know of.
    pub ari: Ari,
    /// Readers of each topic.
    topics: HashMap<String, usize>,
    published: Vec<Published>,
}

impl State {
    /// Whether anybody reads anything.
    pub fn has_readers(&self) -> bool {
        !self.topics.is_empty()
    }

    /// Whether anybody reads a topic: only then an event is worth its making.
    pub fn is_read(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Tells the readers of a topic, if there are any.
    pub fn publish(&mut self, topic: impl Into<Cow<'static, str>>, event: &impl serde::Serialize) {
        let topic = topic.into();
        if self.is_read(&topic)
            && let Ok(text) = serde_json::to_string(event)
        {
            self.published.push(Published { topic, text });
        }
    }

    /// The name of a call for programs: no other call has it, nor one of another run of the server.
    pub fn call_id(&self, call: CallHandle) -> String {
        format!("{}.{}", self.run, call.0)
    }

    /// A name for what a program makes without giving one.
    fn ari_name(&mut self) -> String {
        self.ari.named += 1;
        format!("{}-{}", self.run, self.ari.named)
    }

    /// The call of that name, whether it is still there or not.
    pub fn call_of(&self, id: &str) -> Option<CallHandle> {
        let (run, number) = id.split_once('.')?;
        let handle = CallHandle(number.parse().ok()?);
        (run.parse() == Ok(self.run) && self.call_id(handle) == id).then_some(handle)
    }
}

/// The control API.
#[derive(Debug)]
pub struct Api {
    /// What it keeps.
    pub state: State,
}

impl Api {
    /// One that starts at this moment, for a run of that number ([`run_number`]).
    pub fn new(settings: Settings, clock: Clock, run: u64, now: Instant) -> Self {
        Self {
            state: State {
                clock,
                run,
                started: now,
                settings,
                counters: Counters::default(),
                ari: Ari::default(),
                topics: HashMap::new(),
                published: Vec::new(),
            },
        }
    }

    /// Carries out a request, whose key has been found good for it.
    pub fn handle(
        &mut self,
        operation: &'static Operation,
        request: &Request,
        switch: &mut Switch,
        edge: &dyn Edge,
        now: Instant,
    ) -> Reply {
        let tree = tree(operation.path);
        let mut context = Context {
            switch,
            state: &mut self.state,
            edge,
            request,
            now,
        };
        let checked = if tree.strict {
            check(operation, request)
        } else {
            Ok(())
        };
        let reply = checked.and_then(|()| (operation.run)(&mut context));
        let reply = reply.unwrap_or_else(|problem| Reply::Now(problem.response(tree.format)));
        if let Reply::Subscribe(subscription) = &reply {
            self.joined(subscription);
            self.state.tell_missed_starts(now);
            switch.watch_talkers(self.state.is_read(events::TALKERS));
        }
        reply
    }

    /// Goes on with a request whose answer took longer.
    pub fn resume(
        &mut self,
        operation: &'static Operation,
        request: &Request,
        (switch, edge): (&mut Switch, &dyn Edge),
        now: Instant,
        then: impl FnOnce(&mut Context<'_>) -> Result<Response, Problem>,
    ) -> Response {
        let done = self.with_context(operation, request, (switch, edge), now, then);
        done.unwrap_or_else(|refused| refused)
    }

    /// Goes on with a request of which more is to be done.
    pub fn go_on(
        &mut self,
        operation: &'static Operation,
        request: &Request,
        (switch, edge): (&mut Switch, &dyn Edge),
        now: Instant,
        then: impl FnOnce(&mut Context<'_>) -> Result<Reply, Problem>,
    ) -> Reply {
        let done = self.with_context(operation, request, (switch, edge), now, then);
        done.unwrap_or_else(Reply::Now)
    }

    /// What comes of it, or a problem as the operation's tree tells it.
    fn with_context<T>(
        &mut self,
        operation: &'static Operation,
        request: &Request,
        (switch, edge): (&mut Switch, &dyn Edge),
        now: Instant,
        then: impl FnOnce(&mut Context<'_>) -> Result<T, Problem>,
    ) -> Result<T, Response> {
        let mut context = Context {
            switch,
            state: &mut self.state,
            edge,
            request,
            now,
        };
        then(&mut context).map_err(|problem| problem.response(tree(operation.path).format))
    }

    fn joined(&mut self, subscription: &Subscription) {
        for topic in &subscription.topics {
            *self.state.topics.entry(topic.clone()).or_default() += 1;
        }
    }

    /// A reader is gone.
    pub fn left(&mut self, subscription: &Subscription, switch: &mut Switch, now: Instant) {
        for program in self.state.ari.left(&subscription.topics) {
            switch.program_lost(&program, now);
        }
        switch.take_texts(self.state.ari.hears_texts());
        for topic in &subscription.topics {
            if let Some(readers) = self.state.topics.get_mut(topic) {
                *readers -= 1;
                if *readers == 0 {
                    self.state.topics.remove(topic);
                }
            }
        }
        switch.watch_talkers(self.state.is_read(events::TALKERS));
    }

    /// What is to be told, in its order.
    pub fn take_published(&mut self) -> Vec<Published> {
        std::mem::take(&mut self.state.published)
    }
}
