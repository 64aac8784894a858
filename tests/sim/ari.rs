//! Programs that speak the Asterisk REST Interface, on a whole server in simulated time.

mod absence;
mod bridges;
mod events;
mod hearing;
mod late;
mod listening;
mod originate;
mod recorded;
mod registered;
mod statuses;
mod texts;
mod variables;
mod waiting;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use antiphon::api::metrics::Writer;
use antiphon::api::{
    Api, Clock, Edge, Method, Recordings, Reply, Request, Response, Scope, Settings, Subscription,
    query, route,
};
use antiphon::app::{AppSpec, StasisSpec};
use antiphon::sdp::SrtpPolicy;
use antiphon::sip::header::Name;
use antiphon::sip::method::Method as SipMethod;
use antiphon::switch::routes::{Route, anchored};
use serde_json::Value;

use crate::support::sim::{self, Setup, World, flow};

/// What is recorded and stored, by name.
#[derive(Default)]
pub struct Files(Mutex<BTreeMap<String, Vec<u8>>>);

impl Recordings for Files {
    fn exists(&self, name: &str) -> bool {
        self.0.lock().unwrap().contains_key(name)
    }

    fn list(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let files = self.0.lock().unwrap();
        files
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        if files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = files.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let gone = self.0.lock().unwrap().remove(name);
        gone.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}

/// What the API does not know.
struct Outside(Arc<Files>);

impl Edge for Outside {
    fn is_draining(&self) -> bool {
        false
    }

    fn media_alive(&self) -> bool {
        true
    }

    fn max_calls(&self) -> usize {
        50
    }

    fn has_prompt(&self, name: &str) -> bool {
        name == "welcome"
    }

    fn prompts(&self) -> Vec<String> {
        vec!["welcome".to_owned()]
    }

    fn recordings(&self) -> Arc<dyn Recordings> {
        self.0.clone()
    }

    fn metrics(&self, _: &mut Writer) {}
}

/// A server and its programs.
pub struct Desk {
    pub world: World,
    pub api: Api,
    pub files: Arc<Files>,
    /// Events of the world that the API has been told.
    told: usize,
    /// What programs were told.
    events: Vec<Value>,
}

impl Desk {
    /// 3XX is the program `hello`'s, and an echo without it; 4XX is its too, and 503 without it.
    pub fn new(seed: u64) -> Self {
        let mut setup = Setup {
            seed,
            ..Setup::default()
        };
        for (pattern, otherwise) in [("3..", Some("500")), ("4..", None)] {
            let spec = StasisSpec {
                app: "hello".to_owned(),
                args: vec!["$0".to_owned()],
                otherwise: otherwise.map(str::to_owned),
            };
            setup.routes.0.push(Route {
                pattern: anchored(pattern).unwrap(),
                sources: Vec::new(),
                srtp: SrtpPolicy::Optional,
                denied: Vec::new(),
                auth: false,
                spec: AppSpec::Stasis(spec),
            });
        }
        let world = World::with(setup);
        let now = world.now();
        let settings = Settings {
            max_members: 10,
            lone_prompt: false,
        };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_183_000_500);
        Self {
            api: Api::new(settings, Clock::new(now, wall), 1_764_183_000, now),
            world,
            files: Arc::default(),
            told: 0,
            events: Vec::new(),
        }
    }

    /// Lets time pass; programs are told within 10 ms.
    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(10) {
            self.world.run(10);
            self.settle();
        }
    }

    /// Tells the programs what has happened.
    pub fn settle(&mut self) {
        self.world.carry_out();
        while self.told < self.world.events.len() {
            let now = self.world.now();
            let event = &self.world.events[self.told];
            self.told += 1;
            self.api.on_event(event, &mut self.world.switch, now);
            self.world.carry_out();
        }
        let published = self.api.take_published();
        let event = |text: &str| serde_json::from_str(text).unwrap();
        self.events.extend(published.iter().map(|p| event(&p.text)));
    }

    /// Asks, and goes on until there is an answer.
    pub fn ask(&mut self, method: Method, url: &str, body: &str) -> Result<Response, Subscription> {
        let (path, rest) = url.split_once('?').unwrap_or((url, ""));
        let routed = route(Some(method), path).unwrap_or_else(|e| panic!("{url}: {e:?}"));
        let request = Request {
            path: routed.path,
            query: query(rest).unwrap(),
            body: body.as_bytes().to_vec(),
            scope: Some(Scope::Admin),
            upgrades: true,
            ..Request::default()
        };
        let outside = Outside(self.files.clone());
        let now = self.world.now();
        let operation = routed.operation;
        let switch = &mut self.world.switch;
        let mut reply = self.api.handle(operation, &request, switch, &outside, now);
        loop {
            self.settle();
            let now = self.world.now();
            let parts = (&mut self.world.switch, &outside as &dyn Edge);
            let api = &mut self.api;
            let response = match reply {
                Reply::Now(response) => response,
                Reply::Subscribe(subscription) => return Err(subscription),
                Reply::Job(job) => job(),
                Reply::Look(look, then) => {
                    let found = look();
                    api.resume(operation, &request, parts, now, |c| then(found, c))
                }
                Reply::Settled(then) => api.resume(operation, &request, parts, now, then),
                Reply::Figures(_, then) => {
                    api.resume(operation, &request, parts, now, |c| then(None, c))
                }
                Reply::Place(place) => {
                    let place = *place;
                    let (uri, from, spec) = (place.uri.to_string(), place.from, place.spec);
                    let switch = &mut *parts.0;
                    let call = if let Some(path) = place.path {
                        switch.call_back(uri, from, path, spec, now)
                    } else {
                        let path = flow(place.uri.socket_address(5060).unwrap());
                        switch.originate(uri, from, path, vec![], spec, now)
                    };
                    let then = place.then;
                    api.resume(operation, &request, parts, now, |c| then(Ok(call), c))
                }
                Reply::Locate(uri, then) | Reply::LocateMedia(uri, then) => {
                    let path = flow(uri.socket_address(5060).unwrap());
                    reply = api.go_on(operation, &request, parts, now, |c| then(Ok(path), c));
                    continue;
                }
            };
            self.settle();
            return Ok(response);
        }
    }

    /// The status and the body of what is answered.
    pub fn get(&mut self, method: Method, url: &str, body: &str) -> (u16, Value) {
        let response = self.ask(method, url, body).unwrap();
        let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        (response.status, body)
    }

    /// It has to be done, or answered.
    #[track_caller]
    pub fn ok(&mut self, method: Method, url: &str) -> Value {
        let (status, body) = self.get(method, url, "");
        assert!((200..300).contains(&status), "{url}: {status} {body}");
        body
    }

    #[track_caller]
    pub fn post(&mut self, url: &str) -> Value {
        self.ok(Method::Post, url)
    }

    /// A program reads its events.
    #[track_caller]
    pub fn connect(&mut self, app: &str) -> Subscription {
        let url = format!("/ari/events?app={app}");
        self.ask(Method::Get, &url, "").unwrap_err()
    }

    /// It reads no more.
    pub fn disconnect(&mut self, subscription: &Subscription) {
        let now = self.world.now();
        self.api.left(subscription, &mut self.world.switch, now);
        self.settle();
    }

    /// What programs were told since the last look, of these types.
    pub fn events(&mut self, types: &[&str]) -> Vec<Value> {
        self.settle();
        let all = std::mem::take(&mut self.events);
        let wanted = |event: &Value| event["type"].as_str().is_some_and(|t| types.contains(&t));
        all.into_iter().filter(wanted).collect()
    }

    /// The types of all events since the last look.
    pub fn types(&mut self) -> Vec<String> {
        self.settle();
        let all = std::mem::take(&mut self.events);
        let name = |event: &Value| event["type"].as_str().unwrap().to_owned();
        all.iter().map(name).collect()
    }

    /// The channel of a phone's call.
    #[track_caller]
    pub fn channel(&mut self, phone: usize) -> String {
        let number = format!("phone{phone}");
        let all = self.ok(Method::Get, "/ari/channels");
        let mut all = all.as_array().unwrap().iter();
        let its = all.find(|channel| channel["caller"]["number"] == *number);
        its.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// A phone dials a program, which is told.
    #[track_caller]
    pub fn dial(&mut self, phone: usize, user: &str) -> String {
        let invite = self.world.phones[phone].invite(user);
        self.world.send(phone, &invite);
        self.run(50);
        self.channel(phone)
    }

    /// The same, and the program answers; the phone talks.
    #[track_caller]
    pub fn answered(&mut self, phone: usize, user: &str) -> String {
        let id = self.dial(phone, user);
        self.post(&format!("/ari/channels/{id}/answer"));
        self.take_answer(phone);
        id
    }

    /// A phone that wants each ringing acknowledged dials a program, which is told.
    #[track_caller]
    pub fn dial_reliably(&mut self, phone: usize, user: &str) -> String {
        let mut invite = self.world.phones[phone].invite(user);
        invite.headers.push(Name::Require, "100rel");
        self.world.send(phone, &invite);
        self.run(50);
        self.channel(phone)
    }

    /// A phone's call is answered; it talks.
    #[track_caller]
    pub fn take_answer(&mut self, phone: usize) {
        let ok = self.world.expect(phone, 200);
        self.world.phones[phone].learn(&ok);
        let ack = self.world.phones[phone].ack(&ok);
        self.world.send(phone, &ack);
        self.world.speak(phone);
        self.run(50);
    }

    /// What a phone hears in the next so many ms.
    pub fn heard(&mut self, phone: usize, ms: u64) -> Vec<i16> {
        let from = self.world.ms;
        self.run(ms);
        self.world.phones[phone].audio(from, self.world.ms)
    }

    /// The amplitudes in what a phone hears from now on of what some phones say.
    #[track_caller]
    pub fn hears(&mut self, phone: usize, others: &[(usize, bool)]) {
        self.run(200);
        let heard = self.heard(phone, 1_000);
        for &(other, audible) in others {
            let hz = self.world.phones[other].voice.hz;
            let level = sim::signal::amplitude(&heard, hz);
            assert_eq!(level > 1_000.0, audible, "phone {phone}, {other}: {level}");
            assert!(audible || level < 60.0, "phone {phone}, {other}: {level}");
        }
    }

    /// The server hangs up a phone.
    #[track_caller]
    pub fn expect_bye(&mut self, phone: usize) {
        let bye = self.world.expect_request(phone, &SipMethod::Bye);
        let reply = self.world.phones[phone].response(&bye, 200);
        self.world.reply(phone, &reply);
        self.world.hush(phone);
    }
}
