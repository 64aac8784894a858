//! The control API on a whole server in simulated time.

use crate::support::sim;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use antiphon::api::metrics::Writer;
use antiphon::api::{
    Api, Clock, Edge, Method, Recordings, Reply, Request, Response, Scope, Settings, Subscription,
    query, route,
};
use antiphon::sip::header::Name;
use antiphon::sip::method::Method as SipMethod;
use antiphon::switch::Event;
use serde_json::{Value, json};
use sim::{World, flow};

pub struct Outside {
    draining: bool,
}

impl Edge for Outside {
    fn is_draining(&self) -> bool {
        self.draining
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
        Arc::new(NoRecordings)
    }

    fn metrics(&self, _: &mut Writer) {}
}

struct NoRecordings;

impl Recordings for NoRecordings {
    fn exists(&self, _: &str) -> bool {
        false
    }

    fn list(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn copy(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}

/// A world and its API.
pub struct Desk {
    pub world: World,
    pub api: Api,
    pub outside: Outside,
    /// Events of the world that the API has been told.
    told: usize,
}

impl Desk {
    pub fn new(seed: u64) -> Self {
        Self::of(World::new(seed))
    }

    pub fn of(world: World) -> Self {
        let now = world.now();
        let settings = Settings {
            max_members: 10,
            lone_prompt: false,
        };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_183_000_500);
        Self {
            api: Api::new(settings, Clock::new(now, wall), 1_764_183_000, now),
            world,
            outside: Outside { draining: false },
            told: 0,
        }
    }

    /// Asks, and lets the world go on until there is an answer.
    pub fn ask(
        &mut self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Response, Reply> {
        let (path, rest) = url.split_once('?').unwrap_or((url, ""));
        let routed = route(Some(method), path).unwrap_or_else(|e| panic!("{url}: {e:?}"));
        let request = Request {
            path: routed.path,
            query: query(rest).unwrap(),
            body: body.map(Value::to_string).unwrap_or_default().into_bytes(),
            scope: Some(Scope::Admin),
            upgrades: true,
            ..Request::default()
        };
        let now = self.world.now();
        let switch = &mut self.world.switch;
        let reply = self
            .api
            .handle(routed.operation, &request, switch, &self.outside, now);
        self.world.carry_out();
        let response = match reply {
            Reply::Now(response) => response,
            Reply::Figures(call, then) => {
                let before = self.world.events.len();
                assert!(self.world.switch.ask_stats(call), "it has media");
                self.world.carry_out();
                let told = |world: &World| {
                    let new = &world.events[before..];
                    new.iter()
                        .position(|e| matches!(e, Event::Stats { call: c, .. } if *c == call))
                };
                assert!(self.world.run_until(1_500, |world| told(world).is_some()));
                let Event::Stats { stats, .. } =
                    &self.world.events[before + told(&self.world).unwrap()]
                else {
                    unreachable!()
                };
                let parts = (&mut self.world.switch, &self.outside as &dyn Edge);
                let now = now + Duration::from_millis(1);
                self.api
                    .resume(routed.operation, &request, parts, now, |c| {
                        then(Some(stats), c)
                    })
            }
            Reply::Place(place) => {
                let place = *place;
                let then = place.then;
                let to = place.uri.socket_address(5060).unwrap();
                let uri = place.uri.to_string();
                let switch = &mut self.world.switch;
                let call = switch.originate(uri, place.from, flow(to), vec![], place.spec, now);
                self.world.carry_out();
                let parts = (&mut self.world.switch, &self.outside as &dyn Edge);
                self.api
                    .resume(routed.operation, &request, parts, now, |c| {
                        then(Ok(call), c)
                    })
            }
            other => return Err(other),
        };
        Ok(response)
    }

    /// The status and the body of what is answered.
    pub fn get(&mut self, method: Method, url: &str, body: Option<&Value>) -> (u16, Value) {
        let response = self.ask(method, url, body).unwrap();
        let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        (response.status, body)
    }

    pub fn ok(&mut self, url: &str) -> Value {
        let (status, body) = self.get(Method::Get, url, None);
        assert_eq!(status, 200, "{url}: {body}");
        body
    }

    pub fn read(&mut self, url: &str) -> Subscription {
        match self.ask(Method::Get, url, None) {
            Err(Reply::Subscribe(subscription)) => subscription,
            other => panic!("{other:?}"),
        }
    }

    /// A reader goes.
    pub fn left(&mut self, reader: &Subscription) {
        let now = self.world.now();
        self.api.left(reader, &mut self.world.switch, now);
        self.world.carry_out();
    }

    /// What readers have been told of what happened since the last look.
    pub fn events(&mut self) -> Vec<Value> {
        let now = self.world.now();
        for event in &self.world.events[self.told..] {
            self.api.on_event(event, &mut self.world.switch, now);
        }
        self.told = self.world.events.len();
        let published = self.api.take_published();
        let event = |text: &str| serde_json::from_str(text).unwrap();
        published.iter().map(|p| event(&p.text)).collect()
    }
}

#[test]
fn calls_are_listed_shown_and_hung_up() {
    let mut desk = Desk::new(301);
    let phones = desk.world.phones(3);
    for &phone in &phones {
        desk.world.dial(phone, "500");
    }
    desk.world.run(2_000);
    let page = desk.ok("/api/v1/calls?limit=2");
    assert_eq!(page["calls"].as_array().unwrap().len(), 2);
    let next = page["next"].as_str().unwrap().to_owned();
    let rest = desk.ok(&format!("/api/v1/calls?after={next}"));
    assert_eq!(rest["calls"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next"], Value::Null);
    let id = rest["calls"][0]["id"].as_str().unwrap().to_owned();
    let url = format!("/api/v1/calls/{id}");
    let call = desk.ok(&url);
    assert_eq!(call["app"], "echo");
    assert_eq!(
        (&call["state"], &call["direction"]),
        (&json!("up"), &json!("in"))
    );
    assert_eq!(call["seconds"], 2);
    assert!(
        call["created"]
            .as_str()
            .unwrap()
            .starts_with("2025-11-26T18:50:0")
    );
    let packets = call["media"]["rx_packets"].as_u64().unwrap();
    assert!((90..=180).contains(&packets), "{call}");
    // Nobody is told further figures.
    let before = desk.world.events.len();
    desk.world.run(3_000);
    assert_eq!(desk.world.events.len(), before);
    assert_eq!(desk.get(Method::Delete, &url, None), (204, Value::Null));
    let bye = desk.world.expect_request(phones[2], &SipMethod::Bye);
    let reply = desk.world.phones[phones[2]].response(&bye, 200);
    desk.world.reply(phones[2], &reply);
    desk.world.run(500);
    let (status, problem) = desk.get(Method::Get, &url, None);
    assert_eq!((status, &problem["title"]), (404, &json!("Not Found")));
    for nobody in [
        "1",
        "1764183000.",
        "1764183000.99",
        "1764183000.+1",
        "1.1",
        "x",
    ] {
        let (status, _) = desk.get(Method::Delete, &format!("/api/v1/calls/{nobody}"), None);
        assert_eq!(status, 404, "{nobody}");
    }
}

#[test]
fn what_is_wrong_with_a_call_to_be_placed_is_named() {
    let mut desk = Desk::new(302);
    let echo = json!({"name": "echo"});
    for (body, field) in [
        (json!({"application": echo}), "uri"),
        (json!({"uri": 5, "application": echo}), "uri"),
        (json!({"uri": "tel:5", "application": echo}), "uri"),
        (
            json!({"uri": "sip:a:b@10.0.0.9", "application": echo}),
            "uri",
        ),
        (json!({"uri": "sip:a@10.0.0.9"}), "application"),
        (
            json!({"uri": "sip:a@10.0.0.9", "application": echo, "x": 1}),
            "x",
        ),
        (
            json!({"uri": "sip:a@10.0.0.9", "application": echo, "from": "a b"}),
            "from",
        ),
        (
            json!({"uri": "sip:a@10.0.0.9", "application": {"name": "conference", "room": ""}}),
            "application.room",
        ),
        (
            json!({"uri": "sip:a@10.0.0.9", "application": echo, "login": {"user": "", "password": "p"}}),
            "login.user",
        ),
        // What it would play is in the URI that somebody dials, and here nobody does.
        (
            json!({"uri": "sip:a@10.0.0.9", "application": {"name": "route", "number": "annc"}}),
            "application.number",
        ),
    ] {
        let (status, problem) = desk.get(Method::Post, "/api/v1/calls", Some(&body));
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!(field)),
            "{body}: {problem}"
        );
    }
    for (application, field) in [
        (
            json!({"name": "play", "prompts": ["nope"]}),
            "application.prompts",
        ),
        (
            json!({"name": "route", "number": "1"}),
            "application.number",
        ),
    ] {
        let body = json!({"uri": "sip:a@10.0.0.9", "application": application});
        let (status, problem) = desk.get(Method::Post, "/api/v1/calls", Some(&body));
        assert_eq!((status, &problem["field"]), (404, &json!(field)), "{body}");
    }
    let (status, problem) = desk.get(Method::Post, "/api/v1/calls", None);
    assert_eq!(status, 400, "{problem}");
    desk.outside.draining = true;
    let good = json!({"uri": "sip:a@10.0.0.9", "application": echo});
    let response = desk
        .ask(Method::Post, "/api/v1/calls", Some(&good))
        .unwrap();
    assert_eq!(response.status, 503);
    assert!(
        response
            .headers
            .iter()
            .any(|(name, _)| *name == "Retry-After")
    );
    assert_eq!(desk.get(Method::Get, "/ready", None).0, 503);
    assert_eq!(desk.get(Method::Get, "/health", None).0, 200);
}

#[test]
fn a_call_is_placed_into_a_room_and_thrown_out_of_it() {
    let mut desk = Desk::new(303);
    let phone = desk.world.phone();
    let to = desk.world.phones[phone].sip;
    let body = json!({
        "uri": format!("sip:bob@{to}"), "from": "desk",
        "application": {"name": "conference", "room": "team a"},
    });
    let response = desk
        .ask(Method::Post, "/api/v1/calls", Some(&body))
        .unwrap();
    let call: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(response.status, 201, "{call}");
    let at = response
        .headers
        .iter()
        .find(|(name, _)| *name == "Location");
    assert_eq!(
        at.unwrap().1,
        format!("/api/v1/calls/{}", call["id"].as_str().unwrap())
    );
    assert_eq!(
        (&call["direction"], &call["party"]),
        (&json!("out"), &json!("bob"))
    );
    let invite = desk.world.expect_request(phone, &SipMethod::Invite);
    assert!(
        invite
            .headers
            .get(&Name::From)
            .unwrap()
            .contains("sip:desk@")
    );
    desk.world.phones[phone].called(&invite);
    let mut ok = desk.world.phones[phone].response(&invite, 200);
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = desk.world.phones[phone].sdp("sendrecv").into_bytes();
    desk.world.reply(phone, &ok);
    desk.world.expect_request(phone, &SipMethod::Ack);
    desk.world.run(500);
    let other = desk.world.phone();
    desk.world.dial(other, "700");
    desk.world.run(500);
    let rooms = desk.ok("/api/v1/rooms");
    let names: Vec<_> = rooms["rooms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["name"])
        .collect();
    assert_eq!(names, ["700", "team a"]);
    assert_eq!(desk.ok("/api/v1/rooms?after=700")["rooms"][0]["members"], 1);
    let room = desk.ok("/api/v1/rooms/team%20a");
    assert_eq!(room["members"][0]["id"], call["id"]);
    let id = call["id"].as_str().unwrap();
    let elsewhere = format!("/api/v1/rooms/700/members/{id}");
    assert_eq!(desk.get(Method::Delete, &elsewhere, None).0, 404);
    let member = format!("/api/v1/rooms/team%20a/members/{id}");
    assert_eq!(desk.get(Method::Delete, &member, None).0, 204);
    // It is told first.
    desk.world.run(2_500);
    desk.world.expect_request(phone, &SipMethod::Bye);
    desk.world.run(500);
    assert_eq!(desk.get(Method::Get, "/api/v1/rooms/team%20a", None).0, 404);
}

#[test]
fn readers_are_told_what_they_asked_for() {
    let mut desk = Desk::new(304);
    assert!(desk.events().is_empty());
    let all = desk.read("/api/v1/events");
    assert!(!all.topics.iter().any(|topic| topic == "call.digit"));
    let phone = desk.world.phone();
    desk.world.dial(phone, "500");
    desk.world.run(500);
    desk.world.phones[phone].voice.keys.press("7", 100, 100);
    desk.world.run(500);
    let types = |events: &[Value]| -> Vec<String> {
        events
            .iter()
            .map(|e| e["type"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(types(&desk.events()), ["call.started", "call.answered"]);
    let digits = desk.read("/api/v1/events?digits=true");
    desk.world.phones[phone].voice.keys.press("8", 100, 100);
    desk.world.run(500);
    let told = desk.events();
    assert_eq!(types(&told), ["call.digit"]);
    assert_eq!(told[0]["digit"], "8");
    desk.left(&digits);
    desk.world.phones[phone].voice.keys.press("9", 100, 100);
    desk.world.run(500);
    assert!(desk.events().is_empty());
    desk.world.hang_up(phone);
    desk.world.run(500);
    let told = desk.events();
    assert_eq!(types(&told), ["call.ended"]);
    let ended = &told[0]["call"];
    assert_eq!(
        (&ended["reason"], &ended["app"]),
        (&json!("remote-hung-up"), &json!("echo"))
    );
    assert!(
        ended["media"]["rx_packets"].as_u64().unwrap() > 50,
        "{ended}"
    );
    assert!(ended["talked_ms"].as_u64().unwrap() > 1_900, "{ended}");
    desk.left(&all);
    desk.world.dial(phone, "500");
    assert!(desk.events().is_empty(), "nobody reads");
}

#[test]
fn a_wall_clock_that_is_set_moves_times_and_no_id() {
    let mut desk = Desk::new(308);
    desk.read("/api/v1/events");
    let phone = desk.world.phone();
    desk.world.dial(phone, "500");
    desk.world.run(500);
    let began = desk.events().remove(0);
    let time = |event: &Value| event["time"].as_str().unwrap()[..13].to_owned();
    assert_eq!(time(&began), "2025-11-26T18");
    let (now, hour) = (desk.world.now(), Duration::from_hours(1));
    let clock = &mut desk.api.state.clock;
    clock.keep_up(now, clock.wall(now) + hour);
    desk.world.hang_up(phone);
    desk.world.run(500);
    let ended = desk.events().remove(0);
    assert_eq!(ended["type"], "call.ended");
    assert_eq!(ended["call"]["id"], began["call"]["id"]);
    assert_eq!(time(&ended), "2025-11-26T19");
}

#[test]
fn digits_need_more_than_the_right_to_look() {
    let mut desk = Desk::new(305);
    let routed = route(Some(Method::Get), "/api/v1/events").unwrap();
    for (text, status) in [("digits=true", 403), ("types=call.digit", 403), ("", 426)] {
        let request = Request {
            query: query(text).unwrap(),
            scope: Some(Scope::Read),
            ..Request::default()
        };
        let now = desk.world.now();
        let switch = &mut desk.world.switch;
        let reply = desk
            .api
            .handle(routed.operation, &request, switch, &desk.outside, now);
        match reply {
            Reply::Now(response) => assert_eq!(response.status, status, "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rooms_and_their_members_are_changed_and_tell_of_it() {
    let mut desk = Desk::new(306);
    let all = desk.read("/api/v1/events?types=room");
    let phones: Vec<_> = (0..2).map(|_| desk.world.phone()).collect();
    for &phone in &phones {
        desk.world.dial(phone, "700");
        desk.world.run(500);
    }
    let room = desk.ok("/api/v1/rooms/700");
    let ids: Vec<String> = (0..2)
        .map(|n| room["members"][n]["id"].as_str().unwrap().to_owned())
        .collect();
    let mut post = |path: &str, body: Value| desk.get(Method::Post, path, Some(&body));
    let first = format!("/api/v1/rooms/700/members/{}", ids[0]);

    let (status, member) = post(&first, json!({"muted": true, "gain_in_db": 6}));
    assert_eq!(status, 200, "{member}");
    assert_eq!(member["muted_by_moderator"], true);
    assert_eq!(member["gain_in_db"], 6);
    let (_, member) = post(
        &first,
        json!({"hears": {"only": [ids[1]]}, "role": "moderator"}),
    );
    assert_eq!(member["hears"], json!({"only": [ids[1]]}));
    assert_eq!(member["role"], "moderator");
    let (_, member) = post(
        &first,
        json!({"hears": "all", "muted": false, "group": "aside"}),
    );
    assert_eq!(
        (&member["hears"], &member["group"]),
        (&json!("all"), &json!("aside"))
    );

    let long = json!({"gain_in_db": 3, "group": "x".repeat(65)});
    for (body, status, field) in [
        (json!({"gain_in_db": 100}), 400, "gain"),
        (json!({"group": "b", "gain_in_db": 100}), 400, "gain"),
        (long, 400, "group"),
        (json!({"hears": {"only": ["1.1"]}}), 404, "hears"),
        (json!({"hears": "some"}), 400, "hears"),
        (json!({"admitted": false}), 400, "admitted"),
        (json!({"nonsense": 1}), 400, "nonsense"),
    ] {
        let (found, problem) = post(&first, body.clone());
        assert_eq!(
            (found, problem["field"].as_str().unwrap_or_default()),
            (status, field),
            "{body}: {problem}"
        );
        let (_, member) = post(&first, json!({}));
        let now = (&member["gain_in_db"], &member["group"]);
        assert_eq!(now, (&json!(6), &json!("aside")), "{body}: partly done");
    }
    assert_eq!(post("/api/v1/rooms/701", json!({"locked": true})).0, 404);
    let strange = format!("/api/v1/rooms/701/members/{}", ids[0]);
    assert_eq!(post(&strange, json!({"muted": true})).0, 404);
    let (_, room) = post("/api/v1/rooms/700", json!({"locked": true, "muted": true}));
    assert_eq!(room["locked"], true);
    assert_eq!(room["members"][1]["muted_by_moderator"], true);
    assert_eq!(
        room["members"][0]["muted_by_moderator"], false,
        "it is the moderator"
    );
    let second = format!("/api/v1/rooms/700/members/{}/move", ids[1]);
    assert_eq!(post(&second, json!({"room": "702"})).0, 204);
    desk.world.run(200);
    assert_eq!(
        desk.ok("/api/v1/rooms/702")["members"][0]["id"],
        json!(ids[1])
    );
    assert_eq!(desk.get(Method::Delete, "/api/v1/rooms/700", None).0, 204);
    desk.world.run(10_000);
    assert_eq!(desk.get(Method::Get, "/api/v1/rooms/700", None).0, 404);

    let events = desk.events();
    let of = |name: &str| {
        let of_room = events.iter().filter(|e| e["room"] == name);
        of_room
            .map(|e| e["change"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = of("700");
    assert_eq!(first[..3], ["created", "joined", "joined"]);
    for change in ["changed", "locked", "left", "ended"] {
        assert!(first.iter().any(|c| c == change), "{change}: {first:?}");
    }
    assert_eq!(of("702")[..2], ["created", "joined"]);
    let numbers = events
        .iter()
        .filter(|e| e["room"] == "700")
        .map(|e| e["number"].as_u64().unwrap());
    assert!(numbers.eq(1..=first.len() as u64));
    let moved = events
        .iter()
        .find(|e| e["room"] == "700" && e["reason"] == "moved")
        .unwrap();
    assert_eq!(
        (&moved["id"], &moved["to"]),
        (&json!(ids[1]), &json!("702"))
    );
    desk.left(&all);
}
