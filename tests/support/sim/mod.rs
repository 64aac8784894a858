//! A whole server in simulated time: the switch, its media workers, a network with seeded faults,
//! and telephones. One clock, stepped by the millisecond; nothing sleeps, nothing touches a socket.

#![allow(clippy::needless_pass_by_value)] // a method's name is written where it is used
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, these are their helpers

pub mod access;
pub mod keys;
pub mod ledger;
pub mod leg;
pub mod mail;
pub mod media;
pub mod net;
pub mod phone;
pub mod room_files;
pub mod run;
pub mod signal;
pub mod talk;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use antiphon::app::collect::{CollectSpec, Pattern};
use antiphon::app::menu::{Branch, Choice, Menu};
use antiphon::app::voicemail::{Mailbox, Mailboxes, Pin};
use antiphon::app::{
    AnnouncementSpec, AppSpec, ConferenceSpec, DigitsSpec, MenuSpec, PlayItem, PlaySpec,
    RecordSpec, VoicemailSpec, VoicemailTask,
};
use antiphon::call::CallHandle;
use antiphon::leg::tap::RecordFrame;
use antiphon::sdp::SrtpPolicy;
use antiphon::sdp::negotiate::Capabilities;
use antiphon::sip::transport::{Advertised, Flow, Transport};
use antiphon::srtp::Suite;
use antiphon::store::prompts::Prompts;
use antiphon::switch::routes::{Route, Routes, anchored};
use antiphon::switch::{self, Event, Output, Switch};
use antiphon::worker::{self, Worker, event_capacity};
use antiphon::{call, endpoint, sip};
use crossbeam_channel::{Receiver, Sender, bounded};

use ledger::Ledger;
use mail::Mail;
use media::Sockets;
use net::{Faults, Network};
use phone::Phone;

pub const SERVER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub const SERVER: SocketAddr = SocketAddr::new(SERVER_IP, 5060);

/// Decoded once: worlds are made by the thousand.
static PROMPTS: LazyLock<Arc<Prompts>> =
    LazyLock::new(|| Arc::new(Prompts::load(None, "").unwrap()));

/// What a world is made of.
pub struct Setup {
    pub seed: u64,
    pub settings: switch::Settings,
    pub routes: Routes,
    pub sip: Faults,
    pub media: Faults,
    /// Pairs of RTP ports.
    pub ports: u16,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            settings: settings(),
            routes: routes(),
            sip: Faults::NONE,
            media: Faults::NONE,
            ports: 1000,
        }
    }
}

/// Two workers, 50 calls, 30 s without media.
pub fn settings() -> switch::Settings {
    switch::Settings {
        call: call::Settings {
            capabilities: Capabilities::default(),
            advertised: Advertised::default(),
            session_expires: Duration::from_mins(30),
            min_se: Duration::from_secs(90),
            max_length: Duration::from_hours(4),
            srtp: SrtpPolicy::Optional,
            srtp_suites: Suite::ALL.to_vec(),
            fingerprint: None,
            dtls_offered: false,
            media_from_anywhere: false,
        },
        endpoint: endpoint::Settings::default(),
        demand: switch::Demand::default(),
        registration: sip::registration::Settings::default(),
        max_calls: 50,
        unacknowledged: 500,
        max_rooms: 20,
        workers: 2,
        legs_per_worker: 50,
        bridges_per_worker: 20,
        jitter_max_ms: 200,
        media_timeout_ms: 30_000,
        inband_digits: true,
        process: antiphon::audio::process::ProcessSettings::default(),
    }
}

/// 5xx: echo, tone, record, digits, menu; 6xx: conferences that tell a lone member; 7xx: that do not;
/// 8xx: for two; 9xx: leave a message.
pub fn routes() -> Routes {
    let conference = |lone_prompt, max_members| {
        AppSpec::Conference(ConferenceSpec {
            room: "$0".into(),
            lone_prompt,
            max_members,
            ..ConferenceSpec::default()
        })
    };
    let tone = PlayItem::Tone {
        hz: 1000.0,
        level_dbm0: -10.0,
        length: Duration::from_secs(1),
    };
    let record = RecordSpec {
        beep: false,
        max: Some(Duration::from_mins(1)),
        silence: None,
        file: None,
    };
    let row = |pattern, spec| Route {
        pattern: anchored(pattern).unwrap(),
        sources: Vec::new(),
        srtp: SrtpPolicy::Optional,
        denied: Vec::new(),
        auth: false,
        spec,
    };
    Routes(vec![
        row("500", AppSpec::Echo),
        row(
            "510",
            AppSpec::Play(PlaySpec {
                items: vec![tone],
                repeat: 1,
            }),
        ),
        row("520", AppSpec::Record(record)),
        row(
            "530",
            AppSpec::Digits(DigitsSpec {
                collect: CollectSpec::default(),
                type_ahead: true,
                goodbye: true,
            }),
        ),
        row("540", AppSpec::Menu(menu())),
        row("9..", voicemail(VoicemailTask::Leave, Some("$0"))),
        row("annc", announcement()),
        row("6..", conference(true, 10)),
        row("7..", conference(false, 10)),
        row("8..", conference(false, 2)),
    ])
}

fn announcement() -> AppSpec {
    AppSpec::Announcement(AnnouncementSpec::default())
}

/// Boxes 900 and 901, PIN 1234.
fn voicemail(task: VoicemailTask, mailbox: Option<&str>) -> AppSpec {
    let boxes = ["900", "901"].map(|number| Mailbox {
        number: number.to_owned(),
        pin: Pin::new("1234".to_owned()),
        greeting: vec![PlayItem::Prompt("vm-greeting".into())],
    });
    AppSpec::Voicemail(VoicemailSpec {
        task,
        mailbox: mailbox.map(str::to_owned),
        mailboxes: Arc::new(Mailboxes {
            boxes: boxes.into(),
            max_message: Duration::from_mins(1),
            silence: Some(Duration::from_secs(5)),
            max_messages: 3,
            collect: CollectSpec::default(),
            type_ahead: true,
        }),
        goodbye: true,
    })
}

/// 7XX: that conference; 3: leave a message in 900; 4: hear it; 1: record until `#`; then again.
pub fn menu() -> MenuSpec {
    let run = |app, then| Branch::Run {
        app: Box::new(app),
        then,
    };
    let conference = AppSpec::Conference(ConferenceSpec {
        room: "$0".into(),
        lone_prompt: false,
        max_members: 10,
        ..ConferenceSpec::default()
    });
    let record = AppSpec::Record(RecordSpec {
        beep: false,
        max: None,
        silence: None,
        file: None,
    });
    let choices: Vec<Choice> = [
        ("7XX", run(conference, Some(0))),
        (
            "3",
            run(voicemail(VoicemailTask::Leave, Some("900")), Some(0)),
        ),
        (
            "4",
            run(voicemail(VoicemailTask::Listen, Some("900")), Some(0)),
        ),
        ("1", run(record, Some(0))),
        ("#", Branch::HangUp),
    ]
    .into_iter()
    .map(|(digits, branch)| Choice {
        pattern: Pattern::parse(digits).unwrap(),
        branch,
    })
    .collect();
    let prompt = |name: &str| vec![PlayItem::Prompt(name.into())];
    let menu = Menu {
        name: "main".into(),
        prompts: prompt("menu-main"),
        invalid: prompt("menu-invalid"),
        timeout: prompt("menu-timeout"),
        collect: CollectSpec {
            patterns: choices.iter().map(|c| c.pattern.clone()).collect(),
            max: 3,
            terminator: None,
            ..CollectSpec::default()
        },
        barge_in: true,
        type_ahead: true,
        retries: 1,
        on_invalid: Branch::HangUp,
        on_timeout: Branch::HangUp,
        choices,
    };
    MenuSpec {
        menus: Arc::new(vec![menu]),
        start: 0,
    }
}

/// Everything.
pub struct World {
    pub seed: u64,
    /// Simulated time, ms.
    pub ms: u64,
    base: Instant,
    /// How often the control side looks at what the workers have told, ms.
    pub poll_ms: u64,
    pub switch: Switch,
    pub workers: Vec<Worker>,
    worker_events: Vec<Receiver<worker::Event>>,
    pub sockets: Sockets,
    pub net: Network,
    pub phones: Vec<Phone>,
    /// Where the server can have RTP ports.
    pub addresses: Vec<IpAddr>,
    free_ports: VecDeque<u16>,
    all_ports: u16,
    ports: HashMap<CallHandle, u16>,
    prompts: Arc<Prompts>,
    frames: (Sender<RecordFrame>, Receiver<RecordFrame>),
    /// What was recorded, by recording; silence where no frame came.
    pub recorded: HashMap<u64, Vec<i16>>,
    /// Messages that were left.
    pub mail: Mail,
    /// Where whom rooms call is.
    pub ways: antiphon::switch::Ways,
    /// Prompts are as long as they are, and silent.
    pub silent_prompts: bool,
    /// The last of a recording cannot be written any more.
    pub full_at_close: bool,
    /// What calls and bridges want of files waits in `held`.
    pub slow_files: bool,
    pub held: VecDeque<Output>,
    /// Recordings of which nothing is to be kept.
    pub discarded: Vec<u64>,
    /// Where rooms are recorded, once one is.
    pub room_edge: Option<room_files::RoomEdge>,
    /// How often something was played in a mix, and to one call alone.
    pub plays: (usize, usize),
    /// Spoken names under way, by recording.
    pub names: HashMap<u64, CallHandle>,
    /// Recordings of programs, by their names.
    pub named: HashMap<String, u64>,
    /// Names of recordings that were opened in the place of older ones.
    pub replaced: Vec<String>,
    /// Recordings that were closed, with their length in samples.
    pub closed: Vec<(u64, u64)>,
    pub events: Vec<Event>,
    pub bans: Vec<endpoint::Ban>,
    /// What must hold of it all, where a test wants to know.
    pub ledger: Option<Ledger>,
    /// A digest of every byte that the server sent, and when and whereto.
    pub digest: u64,
    /// The path of the last SIP message that the server sent.
    pub last_path: Option<Flow>,
    /// Nobody takes a TCP connection.
    pub refuses_tcp: bool,
    /// How often that was tried.
    pub refused: usize,
    /// Whoever takes a TCP connection ends it without an answer.
    pub ends_tcp: bool,
    /// How many were ended so.
    pub ended_tcp: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with(Setup {
            seed,
            ..Setup::default()
        })
    }

    pub fn with(setup: Setup) -> Self {
        let settings = &setup.settings;
        let mut workers = Vec::new();
        let mut worker_events = Vec::new();
        for _ in 0..settings.workers {
            let (tx, rx) = bounded(event_capacity(settings.legs_per_worker));
            let (legs, bridges) = (settings.legs_per_worker, settings.bridges_per_worker);
            workers.push(Worker::new(legs, bridges, tx));
            worker_events.push(rx);
        }
        Self {
            seed: setup.seed,
            ms: 1_000_000,
            base: Instant::now(),
            poll_ms: 1,
            switch: Switch::new(setup.settings, setup.routes, setup.seed),
            workers,
            worker_events,
            sockets: Sockets::default(),
            net: Network::new(setup.seed, setup.sip, setup.media),
            phones: Vec::new(),
            addresses: vec![SERVER_IP],
            free_ports: (0..setup.ports).map(|n| 20_000 + 2 * n).collect(),
            all_ports: setup.ports,
            ports: HashMap::new(),
            prompts: PROMPTS.clone(),
            // Emptied every millisecond.
            frames: bounded(2_000),
            recorded: HashMap::new(),
            mail: Mail::default(),
            names: HashMap::new(),
            named: HashMap::new(),
            replaced: Vec::new(),
            ways: Err("nobody is anywhere".to_owned()),
            silent_prompts: false,
            full_at_close: false,
            slow_files: false,
            held: VecDeque::new(),
            discarded: Vec::new(),
            room_edge: None,
            plays: (0, 0),
            closed: Vec::new(),
            events: Vec::new(),
            bans: Vec::new(),
            ledger: None,
            digest: 0xcbf2_9ce4_8422_2325,
            last_path: None,
            refuses_tcp: false,
            refused: 0,
            ends_tcp: false,
            ended_tcp: 0,
        }
    }

    /// Another phone, with its own address and tone.
    pub fn phone(&mut self) -> usize {
        self.phones.push(Phone::new(self.phones.len()));
        self.phones.len() - 1
    }

    pub fn phones(&mut self, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.phone()).collect()
    }

    pub fn now(&self) -> Instant {
        self.base + Duration::from_millis(self.ms)
    }

    pub fn us(&self) -> u64 {
        self.ms * 1000
    }

    /// Whether the phone's call has ended, and how.
    pub fn ended(&self, phone: usize) -> Option<&switch::Summary> {
        let id = &self.phones[phone].call_id;
        self.events.iter().find_map(|event| match event {
            Event::Ended(summary) if summary.call_id == *id => Some(&**summary),
            _ => None,
        })
    }

    /// The digits that the server has told of, of all calls.
    pub fn digits(&self) -> String {
        let digit = |event: &Event| match event {
            Event::Digit { digit, .. } => Some(digit.as_char()),
            _ => None,
        };
        self.events.iter().filter_map(digit).collect()
    }

    /// The server hangs up a phone's call, if there is one.
    pub fn server_hangs_up(&mut self, phone: usize) {
        let id = &self.phones[phone].call_id;
        let handle = self.events.iter().find_map(|event| match event {
            Event::Started { call, call_id, .. } if call_id == id => Some(*call),
            _ => None,
        });
        if let Some(handle) = handle {
            let now = self.now();
            self.switch.hang_up(handle, now);
            self.carry_out();
        }
    }

    /// What must hold at each step.
    pub fn check_step(&self) {
        let (bound, calls) = (self.sockets.bound(), self.switch.calls());
        assert!(bound <= calls, "{bound} ports of {calls} calls");
        assert_eq!(bound, self.ports.len(), "each has its call");
        let free = self.free_ports.len();
        assert_eq!(free + bound, usize::from(self.all_ports), "no port is lost");
        assert!(self.switch.rooms() <= calls, "a room without a call");
    }

    /// Whether nothing at all is left of any call.
    pub fn check_empty(&self) {
        let seed = self.seed;
        assert_eq!(self.switch.leftovers(), 0, "leftovers, seed {seed}");
        assert_eq!(self.switch.transactions(), 0, "transactions, seed {seed}");
        assert_eq!(self.sockets.bound(), 0, "ports, seed {seed}");
        assert!(self.ports.is_empty(), "ports, seed {seed}");
        for worker in &self.workers {
            let counts = worker.counts();
            let left = (counts.legs, counts.bridges, counts.lost_events);
            assert_eq!(left, (0, 0, 0), "legs, bridges, lost events, seed {seed}");
        }
    }
}

/// The path between the server and a phone.
pub fn flow(remote: SocketAddr) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: SERVER,
        remote,
        connection: None,
        host: None,
    }
}
