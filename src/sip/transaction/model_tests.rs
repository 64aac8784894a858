//! Every state and event of the four machines, on both kinds of transport, against the model in
//! `tests/transactions/model.txt`.

use super::timers::Alarms;
use super::{
    ClientEvent, ClientInvite, ClientNonInvite, ClientOutput, ServerEvent, ServerInvite,
    ServerNonInvite, ServerOutput, Timer, Timers,
};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Instant;

const MODEL: &str = include_str!("../../../tests/transactions/model.txt");

/// One of the four machines, as the model sees it.
trait Machine {
    fn state(&self) -> String;
    fn alarms(&self) -> &Alarms;
    /// Takes the event of this name; timers are not among them.
    fn take(&mut self, event: &str, now: Instant);
    fn wake(&mut self, now: Instant);
    fn drain(&mut self) -> Vec<String>;
}

macro_rules! machine {
    ($type:ty, $event:path, $output:path) => {
        impl Machine for $type {
            fn state(&self) -> String {
                format!("{:?}", self.state())
            }

            fn alarms(&self) -> &Alarms {
                self.alarms()
            }

            fn take(&mut self, event: &str, now: Instant) {
                self.handle($event(event), now);
            }

            fn wake(&mut self, now: Instant) {
                self.handle_timeout(now);
            }

            fn drain(&mut self) -> Vec<String> {
                std::iter::from_fn(|| self.poll_output())
                    .map($output)
                    .collect()
            }
        }
    };
}
machine!(ServerInvite, server_event, server_output);
machine!(ServerNonInvite, server_event, server_output);
machine!(ClientInvite, client_event, client_output);
machine!(ClientNonInvite, client_event, client_output);

fn server_event(name: &str) -> ServerEvent {
    let respond = |status, text: &str| ServerEvent::Respond {
        status,
        bytes: text.as_bytes().to_vec(),
    };
    match name {
        "INVITE" | "request" => ServerEvent::Retransmission,
        "ACK" => ServerEvent::Ack,
        "1xx" => respond(180, "1xx"),
        "2xx" | "2xx-6xx" => respond(200, "2xx"),
        "3xx-6xx" => respond(486, "6xx"),
        "reliable-1xx" => ServerEvent::RespondReliable {
            rseq: 7,
            bytes: b"rel".to_vec(),
        },
        "PRACK" => ServerEvent::Acknowledged { rseq: 7 },
        "failure" => ServerEvent::TransportFailed,
        other => panic!("{other} is no event of a server transaction"),
    }
}

fn client_event(name: &str) -> ClientEvent {
    match name {
        "1xx" => ClientEvent::Response(180),
        "2xx" | "2xx-6xx" => ClientEvent::Response(200),
        "3xx-6xx" => ClientEvent::Response(486),
        "cancel" => ClientEvent::Cancel,
        "failure" => ClientEvent::TransportFailed,
        other => panic!("{other} is no event of a client transaction"),
    }
}

fn server_output(output: ServerOutput) -> String {
    match output {
        ServerOutput::Send(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

fn client_output(output: ClientOutput) -> String {
    match output {
        ClientOutput::Send(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

/// What there is: the events, the timers and the states of a machine.
struct Kind {
    name: &'static str,
    events: &'static [&'static str],
    timers: &'static [Timer],
    states: &'static [&'static str],
    new: fn(bool, Instant) -> Box<dyn Machine>,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "server INVITE",
        events: &[
            "INVITE",
            "ACK",
            "1xx",
            "reliable-1xx",
            "PRACK",
            "2xx",
            "3xx-6xx",
            "failure",
        ],
        timers: &[
            Timer::Trying,
            Timer::Provisional,
            Timer::ProvisionalEnd,
            Timer::Success,
            Timer::G,
            Timer::H,
            Timer::I,
            Timer::L,
        ],
        states: &[
            "Proceeding",
            "Accepted",
            "Completed",
            "Confirmed",
            "Terminated",
        ],
        new: |reliable, now| Box::new(ServerInvite::new(Timers::default(), reliable, now)),
    },
    Kind {
        name: "server non-INVITE",
        events: &[
            "request",
            "ACK",
            "1xx",
            "reliable-1xx",
            "PRACK",
            "2xx-6xx",
            "failure",
        ],
        timers: &[Timer::Unanswered, Timer::J],
        states: &["Trying", "Proceeding", "Completed", "Terminated"],
        new: |reliable, now| Box::new(ServerNonInvite::new(Timers::default(), reliable, now)),
    },
    Kind {
        name: "client INVITE",
        events: &["1xx", "2xx", "3xx-6xx", "cancel", "failure"],
        timers: &[Timer::A, Timer::B, Timer::Cancelled, Timer::D, Timer::M],
        states: &[
            "Calling",
            "Proceeding",
            "Accepted",
            "Completed",
            "Terminated",
        ],
        new: |reliable, now| {
            let request = b"INVITE".to_vec();
            Box::new(ClientInvite::new(request, Timers::default(), reliable, now))
        },
    },
    Kind {
        name: "client non-INVITE",
        events: &["1xx", "2xx-6xx", "cancel", "failure"],
        timers: &[Timer::E, Timer::F, Timer::K],
        states: &["Trying", "Proceeding", "Completed", "Terminated"],
        new: |reliable, now| {
            let request = b"request".to_vec();
            let timers = Timers::default();
            Box::new(ClientNonInvite::new(request, timers, reliable, now))
        },
    },
];

/// One `state` block of the model.
#[derive(Debug)]
struct Block {
    machine: String,
    state: String,
    path: Vec<String>,
    unreliable_only: bool,
    rows: Vec<(String, String)>,
}

fn model() -> Vec<Block> {
    let mut machine = String::new();
    let mut blocks: Vec<Block> = Vec::new();
    let lines = MODEL.lines().filter(|l| !l.starts_with('#'));
    for line in lines.filter(|l| !l.trim().is_empty()) {
        if let Some(name) = line.strip_prefix("machine ") {
            name.clone_into(&mut machine);
        } else if let Some(text) = line.strip_prefix("state ") {
            let (state, path) = text.split_once(" via").expect("state NAME via EVENTS");
            let path = path.trim();
            let plain = path.strip_suffix(", unreliable");
            blocks.push(Block {
                machine: machine.clone(),
                state: state.to_owned(),
                path: plain
                    .unwrap_or(path)
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect(),
                unreliable_only: plain.is_some(),
                rows: Vec::new(),
            });
        } else {
            let (event, row) = line.split_once(' ').expect("EVENT OUTPUTS");
            let block = blocks.last_mut().expect("a state comes first");
            block.rows.push((event.to_owned(), row.trim().to_owned()));
        }
    }
    blocks
}

/// What the event does, in the model's words.
fn outcome(kind: &Kind, block: &Block, reliable: bool, event: &str) -> String {
    let mut now = Instant::now();
    let mut machine = (kind.new)(reliable, now);
    for step in &block.path {
        machine.take(step, now);
    }
    machine.drain();
    assert_eq!(machine.state(), block.state, "via {:?}", block.path);
    let timer = kind.timers.iter().find(|t| format!("{t:?}") == event);
    if let Some(timer) = timer {
        let Some(due) = machine.alarms().at(*timer) else {
            return "never".to_owned();
        };
        // What fires before it is another row's business.
        while now < due {
            machine.drain();
            now = machine.alarms().next().expect("one runs");
            machine.wake(now);
        }
    } else {
        machine.take(event, now);
    }
    let mut words = machine.drain().join(" ");
    if machine.state() != block.state {
        let _ = write!(words, " -> {}", machine.state());
    }
    if words.is_empty() {
        words.push('.');
    }
    if machine.state() == "Terminated" {
        assert_eq!(machine.alarms().next(), None, "nothing runs any more");
    }
    words.trim().to_owned()
}

#[test]
fn each_machine_does_what_its_model_says() {
    let mut wrong = String::new();
    let mut pairs = 0;
    for block in model() {
        let kind = KINDS.iter().find(|kind| kind.name == block.machine);
        let kind = kind.unwrap_or_else(|| panic!("no machine {:?}", block.machine));
        for (event, row) in &block.rows {
            let (unreliable, reliable) = row.split_once('|').unwrap_or((row, row));
            for (transport, want) in [(false, unreliable), (true, reliable)] {
                if transport && block.unreliable_only {
                    continue;
                }
                pairs += 1;
                let got = outcome(kind, &block, transport, event);
                if got != want.trim() {
                    let (machine, state, path) = (&block.machine, &block.state, &block.path);
                    let _ = writeln!(
                        wrong,
                        "{machine}, {state} via {path:?}, {event}, reliable {transport}: \
                         the model says {:?}, the machine {got:?}",
                        want.trim()
                    );
                }
            }
        }
    }
    println!("{pairs} pairs");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_model_misses_no_pair() {
    let blocks = model();
    for kind in &KINDS {
        let of_kind = || blocks.iter().filter(|b| b.machine == kind.name);
        let states: BTreeSet<&str> = of_kind().map(|b| b.state.as_str()).collect();
        let all: BTreeSet<&str> = kind.states.iter().copied().collect();
        assert_eq!(states, all, "states of {}", kind.name);
        let timers = kind.timers.iter().map(|t| format!("{t:?}"));
        let events = kind.events.iter().map(|&e| e.to_owned());
        let mut all: Vec<String> = events.chain(timers).collect();
        all.sort_unstable();
        for block in of_kind() {
            let mut rows: Vec<String> = block.rows.iter().map(|(event, _)| event.clone()).collect();
            rows.sort_unstable();
            assert_eq!(
                rows, all,
                "{}, {} via {:?}",
                kind.name, block.state, block.path
            );
        }
    }
}

/// No event or timer is left out of [`KINDS`]: these matches must name a new one.
#[test]
fn the_model_knows_every_timer() {
    let known = |timer: Timer| match timer {
        Timer::Trying
        | Timer::Provisional
        | Timer::ProvisionalEnd
        | Timer::Success
        | Timer::G
        | Timer::H
        | Timer::I
        | Timer::L => 0,
        Timer::Unanswered | Timer::J => 1,
        Timer::A | Timer::B | Timer::Cancelled | Timer::D | Timer::M => 2,
        Timer::E | Timer::F | Timer::K => 3,
    };
    for (n, kind) in KINDS.iter().enumerate() {
        assert!(kind.timers.iter().all(|&timer| known(timer) == n));
    }
    assert_eq!(KINDS.iter().map(|k| k.timers.len()).sum::<usize>(), 18);
}
