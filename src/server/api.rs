//! The control API's requests and events, as the core carries them out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::oneshot;
use tracing::warn;

use super::build;
use super::core::{Core, StartError};
use super::files::Done;
use super::metrics::{self, SipCounts};
use super::own_key::{self, KeyFile, OwnKey};
use crate::api::metrics::Writer;
use crate::api::{
    self, Api, Clock, Edge, FiguresThen, LocateThen, LookThen, Operation, Place, Problem,
    Recordings, Reply, Request, run_number,
};
use crate::call::CallHandle;
use crate::config::Config;
use crate::engine::Engine;
use crate::http::auth::{Key, Keys};
use crate::http::{self, Ask, Http, HttpError, Inbox, Outcome};
use crate::leg::LegStats;
use crate::net::resolve::Target;
use crate::net::sip::Net;
use crate::sip::transport::{Flow, Transport};
use crate::sip::uri::Uri;
use crate::store::prompts::Prompts;
use crate::store::stored::StoredRecordings;
use crate::switch::Switch;

/// How long a media thread may take to tell a call's figures; then the answer goes without.
const FIGURES: Duration = Duration::from_millis(1_500);
/// Requests that wait for figures; further ones go without.
const MAX_WAITING: usize = 256;

/// A request that waits for a call's figures.
pub(super) struct Waiting {
    call: CallHandle,
    then: FiguresThen,
    pending: Pending,
    until: Instant,
}

/// A request whose answer takes longer.
pub(super) struct Pending {
    operation: &'static Operation,
    request: Request,
    answer: oneshot::Sender<Outcome>,
}

/// A request that files were looked at for.
pub(super) struct Looked {
    found: Result<(), Problem>,
    then: LookThen,
    pending: Pending,
}

/// What is to be done once it is known where a URI leads.
enum Wants {
    Place(Box<Place>),
    Path(LocateThen),
    MediaPath(LocateThen),
}

/// A request that waits for that.
pub(super) struct Placing {
    uri: Uri,
    wants: Wants,
    pending: Pending,
}

/// What the core knows and the API does not.
struct Outside<'a> {
    engine: &'a Engine,
    prompts: &'a Prompts,
    net: &'a Net,
    http: Option<&'a Http>,
    sip: &'a SipCounts,
    max_calls: usize,
    recordings: &'a Arc<dyn Recordings>,
    is_draining: bool,
}

impl Edge for Outside<'_> {
    fn is_draining(&self) -> bool {
        self.is_draining
    }

    fn media_alive(&self) -> bool {
        self.engine.is_alive()
    }

    fn has_prompt(&self, name: &str) -> bool {
        self.prompts.get(name).is_some()
    }

    fn max_calls(&self) -> usize {
        self.max_calls
    }

    fn prompts(&self) -> Vec<String> {
        let names = self.prompts.names();
        names.into_iter().map(str::to_owned).collect()
    }

    fn recordings(&self) -> Arc<dyn Recordings> {
        Arc::clone(self.recordings)
    }

    fn metrics(&self, out: &mut Writer) {
        let stats = self.engine.stats();
        metrics::media(&stats, out);
        metrics::rtp(&stats.media, out);
        metrics::signalling(&self.net.stats(), self.sip, out);
        if let Some(http) = self.http {
            metrics::http(&http.stats(), out);
        }
    }
}

/// The API as the core has it.
pub(super) struct Programs {
    pub api: Api,
    http: Option<Http>,
    own_key: Option<Key>,
    key_file: Option<KeyFile>,
    inbox: Option<Inbox>,
    waiting: Vec<Waiting>,
    pub sip: SipCounts,
    recordings: Arc<dyn Recordings>,
    is_draining: bool,
}

impl Programs {
    pub fn new(config: &Config) -> Self {
        let (now, wall) = (Instant::now(), SystemTime::now());
        Self {
            api: Api::new(
                build::api_settings(config),
                Clock::new(now, wall),
                run_number(wall, rand::random()),
                now,
            ),
            http: None,
            own_key: None,
            key_file: None,
            inbox: None,
            waiting: Vec::new(),
            sip: SipCounts::default(),
            recordings: Arc::new(StoredRecordings::new(config.recording.directory.clone())),
            is_draining: false,
        }
    }

    /// Whether HTTP speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.http.as_ref().is_some_and(Http::is_secure)
    }

    /// What is told of times follows the wall clock.
    pub fn keep_time(&mut self) {
        let clock = &mut self.api.state.clock;
        clock.keep_up(Instant::now(), SystemTime::now());
    }

    /// What comes next; without HTTP nothing does.
    pub async fn next(&mut self) -> Coming {
        let Some(inbox) = &mut self.inbox else {
            return std::future::pending().await;
        };
        tokio::select! {
            Some(ask) = inbox.asked.recv() => Coming::Asked(Box::new(ask)),
            Some(left) = inbox.left.recv() => Coming::Left(left),
            else => std::future::pending().await,
        }
    }
}

/// What HTTP tells.
pub(super) enum Coming {
    Asked(Box<Ask>),
    Left(api::Subscription),
}

impl Core {
    /// Listens for HTTP, if that is wanted. Without being told where, the server does without it
    /// where it cannot be had.
    pub(super) fn open_http(&mut self) -> Result<(), StartError> {
        let config = &self.config.http;
        if config.listen.is_empty() {
            return Ok(());
        }
        let own = OwnKey::new();
        self.programs.own_key = Some(own.key());
        let settings = self.http_settings();
        match Http::start(settings) {
            Ok((http, inbox)) => {
                let scheme = if http.is_secure() { "HTTPS" } else { "HTTP" };
                let listening = http.listening().iter().map(|&at| (scheme, at));
                self.started.http = listening.collect();
                // Only beside a control socket of ours: another server may have its key there.
                if let (Some(control), Some(&at)) = (&self.control, http.listening().first()) {
                    let file = own_key::path(control.path());
                    let certificate = self.shown_by_http();
                    self.programs.key_file = own.write(file, scheme, at, certificate);
                }
                self.programs.http = Some(http);
                self.programs.inbox = Some(inbox);
                Ok(())
            }
            Err(error @ HttpError::Listen(..)) if !config.is_configured() => {
                warn!(%error, "no control API (nothing is said in http.listen)");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The keys that are configured, and the command line's.
    fn http_keys(&self) -> Keys {
        let keys = self.config.http.keys.iter().map(|key| Key {
            name: key.name.as_str().into(),
            scope: key.scope,
            hash: key.hash(),
        });
        Keys(keys.chain(self.programs.own_key.clone()).collect())
    }

    /// The keys of a new configuration are good from now on.
    pub(super) fn adopt_http_keys(&self) {
        if let Some(http) = &self.programs.http {
            http.set_keys(self.http_keys());
        }
    }

    /// The fingerprint of the certificate that HTTP shows.
    fn shown_by_http(&self) -> Option<String> {
        let http = self.programs.http.as_ref();
        let is_secure = http.map_or(self.config.http.tls, Http::is_secure);
        is_secure.then(|| self.security.fingerprint()).flatten()
    }

    /// The command line is to know the certificates that were read anew.
    pub(super) fn adopt_http_certificate(&mut self) {
        let certificate = self.shown_by_http();
        if let Some(file) = &mut self.programs.key_file {
            file.set_certificate(certificate);
        }
    }

    fn http_settings(&self) -> http::Settings {
        let config = &self.config.http;
        let of_sip = self.started.listening.iter();
        let streams = of_sip.filter(|(transport, _)| *transport != Transport::Udp);
        http::Settings {
            listen: config.listen.clone(),
            beside: streams.map(|&(_, at)| at).collect(),
            security: config.tls.then(|| self.security.clone()),
            keys: self.http_keys(),
            monitoring: config.monitoring,
            cors_origins: config.cors_origins.clone(),
            max_body: config.max_body,
            header_time: config.header_time,
            request_time: config.request_time,
            connections: config.connections,
            connections_per_address: config.connections_per_address,
            requests_per_second: config.requests_per_second,
        }
    }

    /// `/ready` says no from now on.
    pub(super) fn drain_http(&mut self) {
        self.programs.is_draining = true;
    }

    /// Ends HTTP: what is under way is answered, readers of events are told.
    pub(super) async fn close_http(&mut self) {
        self.programs.inbox = None;
        self.programs.waiting.clear();
        self.programs.key_file = None;
        if let Some(mut http) = self.programs.http.take() {
            http.stop().await;
        }
    }

    /// The API, what it works on, and what it does not know.
    fn parts(&mut self) -> (&mut Api, &mut Switch, Outside<'_>) {
        let outside = Outside {
            engine: &self.engine,
            prompts: &self.prompts,
            net: &self.net,
            http: self.programs.http.as_ref(),
            sip: &self.programs.sip,
            max_calls: self.started.max_calls,
            recordings: &self.programs.recordings,
            is_draining: self.programs.is_draining,
        };
        (&mut self.programs.api, &mut self.switch, outside)
    }

    /// Something came by HTTP.
    pub(super) fn on_http(&mut self, coming: Coming, now: Instant) {
        match coming {
            Coming::Left(subscription) => {
                self.programs.api.left(&subscription, &mut self.switch, now);
                self.carry_out(now);
            }
            Coming::Asked(ask) => {
                let Ask {
                    operation,
                    request,
                    answer,
                } = *ask;
                let (api, switch, outside) = self.parts();
                let reply = api.handle(operation, &request, switch, &outside, now);
                let pending = Pending {
                    operation,
                    request,
                    answer,
                };
                self.reply(reply, pending, now);
                self.carry_out(now);
            }
        }
    }

    fn reply(&mut self, reply: Reply, pending: Pending, now: Instant) {
        let outcome = match reply {
            Reply::Now(response) => Outcome::Response(response),
            Reply::Job(job) => Outcome::Job(job),
            Reply::Subscribe(subscription) => {
                if let Some(http) = &self.programs.http {
                    // Who asked may be gone: then so is the reader, and its leaving is told.
                    let reader = Outcome::Reader(http.enter(subscription));
                    let _ = pending.answer.send(reader);
                } else {
                    self.programs.api.left(&subscription, &mut self.switch, now);
                }
                return;
            }
            Reply::Look(look, then) => {
                let done = self.done.clone();
                tokio::task::spawn_blocking(move || {
                    let found = look();
                    let looked = Looked {
                        found,
                        then,
                        pending,
                    };
                    // Refused only when the core is gone.
                    let _ = done.send(Done::Looked(Box::new(looked)));
                });
                return;
            }
            Reply::Place(place) => {
                if let Some(path) = place.path {
                    self.place_call(*place, Ok((path, Vec::new())), pending, now);
                } else {
                    let uri = place.uri.clone();
                    self.locate_uri(uri, Wants::Place(place), pending);
                }
                return;
            }
            Reply::Locate(uri, then) => {
                self.locate_uri(*uri, Wants::Path(then), pending);
                return;
            }
            Reply::LocateMedia(uri, then) => {
                self.locate_uri(*uri, Wants::MediaPath(then), pending);
                return;
            }
            Reply::Settled(then) => {
                self.carry_out(now);
                let (api, switch, outside) = self.parts();
                let (operation, request) = (pending.operation, &pending.request);
                let parts = (switch, &outside as &dyn Edge);
                Outcome::Response(api.resume(operation, request, parts, now, then))
            }
            Reply::Figures(call, then) => {
                let is_full = self.programs.waiting.len() >= MAX_WAITING;
                if is_full || !self.switch.ask_stats(call) {
                    self.figures_told(None, (then, pending), now);
                    return;
                }
                self.programs.waiting.push(Waiting {
                    call,
                    then,
                    pending,
                    until: now + FIGURES,
                });
                return;
            }
        };
        // Who asked may be gone.
        let _ = pending.answer.send(outcome);
    }

    /// Goes on with a request that files were looked at for.
    pub(super) fn looked(&mut self, looked: Looked, now: Instant) {
        let Looked {
            found,
            then,
            pending,
        } = looked;
        let (api, switch, outside) = self.parts();
        let (operation, request) = (pending.operation, &pending.request);
        let response = api.resume(operation, request, (switch, &outside), now, |context| {
            then(found, context)
        });
        self.carry_out(now);
        let _ = pending.answer.send(Outcome::Response(response));
    }

    fn figures_told(
        &mut self,
        figures: Option<&LegStats>,
        (then, pending): (FiguresThen, Pending),
        now: Instant,
    ) {
        let (api, switch, outside) = self.parts();
        let (operation, request) = (pending.operation, &pending.request);
        let response = api.resume(operation, request, (switch, &outside), now, |context| {
            then(figures, context)
        });
        let _ = pending.answer.send(Outcome::Response(response));
    }

    /// Answers who waits for figures, where they have come, or will not.
    pub(super) fn answer_waiting(&mut self, told: Option<(CallHandle, &LegStats)>, now: Instant) {
        let mut i = 0;
        while i < self.programs.waiting.len() {
            let waiting = &self.programs.waiting[i];
            let figures = told.filter(|(call, _)| *call == waiting.call);
            if figures.is_none() && waiting.until > now {
                i += 1;
                continue;
            }
            let waiting = self.programs.waiting.swap_remove(i);
            let figures = figures.map(|(_, figures)| figures);
            let parts = (waiting.then, waiting.pending);
            self.figures_told(figures, parts, now);
        }
    }

    /// Finds out where a URI leads, which asks name servers.
    fn locate_uri(&mut self, uri: Uri, wants: Wants, pending: Pending) {
        let (resolver, done) = (self.resolver(), self.done.clone());
        tokio::spawn(async move {
            let mut rng = StdRng::from_os_rng();
            let targets = resolver.targets(&uri, &mut rng).await;
            let targets = targets.map_err(|error| error.to_string());
            let placing = Box::new(Placing {
                uri,
                wants,
                pending,
            });
            // Refused only when the core is gone.
            let _ = done.send(Done::Callee(placing, targets));
        });
    }

    /// It is known where it leads, or why not.
    pub(super) fn located_callee(
        &mut self,
        placing: Placing,
        targets: Result<Vec<Target>, String>,
        now: Instant,
    ) {
        let Placing {
            uri,
            wants,
            pending,
        } = placing;
        match wants {
            Wants::Place(place) => {
                let flows = targets.and_then(|targets| self.ways_to(&uri, &targets));
                self.place_call(*place, flows, pending, now);
            }
            Wants::Path(then) => {
                let flows = targets.and_then(|targets| self.ways_to(&uri, &targets));
                self.go_on_path(flows.map(|(first, _)| first), then, pending, now);
            }
            Wants::MediaPath(then) => {
                let path = targets.and_then(|targets| self.media_path(&targets));
                self.go_on_path(path, then, pending, now);
            }
        }
    }

    /// Goes on with a request that waited for a path.
    fn go_on_path(
        &mut self,
        path: Result<Flow, String>,
        then: LocateThen,
        pending: Pending,
        now: Instant,
    ) {
        let path = path.map_err(|why| Problem::new(502, why));
        let (api, switch, outside) = self.parts();
        let (operation, request) = (pending.operation, &pending.request);
        let parts = (switch, &outside as &dyn Edge);
        let go_on = |context: &mut api::Context<'_>| then(path, context);
        let reply = api.go_on(operation, request, parts, now, go_on);
        self.reply(reply, pending, now);
        self.carry_out(now);
    }

    fn place_call(
        &mut self,
        place: Place,
        flows: Result<(Flow, Vec<Flow>), String>,
        pending: Pending,
        now: Instant,
    ) {
        let is_full = self.switch.is_full();
        let placed = match flows {
            _ if is_full => Err(Problem::later(503, "as many calls as there may be", 5)),
            Err(why) => Err(Problem::new(502, why)),
            Ok((flow, alternatives)) => {
                let uri = place.uri.to_string();
                let (switch, from, spec) = (&mut self.switch, place.from, place.spec);
                let handle = if place.path.is_some() {
                    switch.call_back(uri, from, flow, spec, now)
                } else {
                    switch.originate(uri, from, flow, alternatives, spec, now)
                };
                if let Some(login) = place.login {
                    switch.set_login(handle, Arc::new(login));
                }
                Ok(handle)
            }
        };
        let (api, switch, outside) = self.parts();
        let (operation, request) = (pending.operation, &pending.request);
        let response = api.resume(operation, request, (switch, &outside), now, |context| {
            (place.then)(placed, context)
        });
        // Events tell of the call before the answer does.
        self.carry_out(now);
        let _ = pending.answer.send(Outcome::Response(response));
    }

    /// Hands what there is to tell to the readers.
    pub(super) fn publish(&mut self) {
        let published = self.programs.api.take_published();
        if let Some(http) = &self.programs.http {
            http.publish(published);
        }
    }
}
