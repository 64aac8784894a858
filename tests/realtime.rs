//! No allocation, no lock, no log, no file on a media thread, whatever its calls do: they join,
//! talk, record, play, echo, hold, change codec, move between bridges, and leave.
//!
//! Twice: a worker in simulated time under a tally of the heap (C's as well as Rust's, frees as
//! well as allocations), and a real engine on real sockets whose thread may ask the kernel for
//! the clock and the sockets alone.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(
    unsafe_code,
    reason = "stands in for malloc, and talks to seccomp: neither has a safe way in"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "realtime/director.rs"]
mod director;
#[path = "realtime/filter.rs"]
mod filter;
#[path = "realtime/party.rs"]
mod party;
#[path = "realtime/random.rs"]
mod random;
#[path = "realtime/simulated.rs"]
mod simulated;
#[path = "realtime/tally.rs"]
mod tally;
#[path = "realtime/threads.rs"]
mod threads;

use std::hint::black_box;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use antiphon::worker::event_capacity;
use tally::{Logs, Tally};

/// Media time of the simulated run, seconds.
const SECONDS: u64 = 60;
const LEGS: usize = 48;
/// Real time of the real engine, seconds.
const REAL_SECONDS: u64 = 6;
/// How long a process may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_mins(2);
/// Set in a process that plays one of the [`ROLES`].
const ROLE: &str = "ANTIPHON_REALTIME_ROLE";

#[test]
fn the_tally_sees_rust_and_c_allocate_and_free() {
    Logs::install();
    let tally = Tally::traced();
    tally.watch(|| ());
    assert_eq!(tally.counts(), (0, 0, 0));
    let mut list = tally.watch(|| black_box(vec![1u8; 100]));
    assert_eq!(tally.counts(), (1, 0, 0));
    tally.watch(|| black_box(&mut list).reserve_exact(5000));
    assert_eq!(tally.counts(), (2, 0, 0));
    tally.watch(|| drop(list));
    assert_eq!(tally.counts(), (2, 1, 0));
    // SAFETY: the string is one of C, and what strdup returns is freed once.
    tally.watch(|| unsafe { libc::free(black_box(libc::strdup(c"in C".as_ptr())).cast()) });
    assert_eq!(tally.counts(), (3, 2, 0));
    let other = std::thread::spawn(|| drop(black_box(Box::new(1))));
    tally.watch(|| while !other.is_finished() {});
    assert_eq!(tally.counts(), (3, 2, 0), "other threads are not counted");
    tally.watch(|| tracing::trace!("a line"));
    assert!(tally.counts().2 == 1);
}

#[test]
fn a_worker_leaves_the_heap_alone() {
    let tally = Tally::traced();
    let (told, sent, counts) = simulated::run(1, SECONDS, LEGS, event_capacity(LEGS), tally);
    tally.assert_untouched();
    assert_eq!(counts.lost_events, 0);
    // All of it has happened.
    let told = [
        ("opened", told.opened),
        ("closed", told.closed),
        ("bridges closed", told.bridges_closed),
        ("joins refused", told.joins_refused),
        ("ports freed", told.ports_freed),
        ("others freed", told.others_freed),
        ("keys freed", told.keys_freed),
        ("DTLS", told.dtls),
        ("encrypted packets / 1000", told.secure_packets / 1000),
        ("packets not authentic", told.unauthenticated),
        ("packets replayed", told.replayed),
        ("plays finished", told.finished),
        ("plays stopped", told.stopped),
        ("plays replaced", told.replaced),
        ("plays failed", told.failed),
        ("underruns", told.underruns),
        ("recorded until told", told.recorded_until_told),
        ("recorded until full", told.recorded_until_full),
        ("recorded until silence", told.recorded_until_silence),
        ("media timeouts", told.media_timeouts),
        ("legs moved", told.moved),
        ("digits", told.digits),
        ("digits dialled", told.dialled),
        ("dials stopped", told.dials_stopped),
        ("figures told", told.figures),
        ("talk told", told.talks),
        ("listeners", told.listeners),
        ("snoops freed", told.snoops_freed),
        ("plays of rooms", told.room_plays),
        ("talkers", told.talkers),
        ("rooms recorded", told.rooms_recorded),
        ("tracks", told.tracks),
        ("classes freed", told.classes_freed),
        ("metrics sent", told.metrics_sent),
        ("packets received / 10000", told.packets_received / 10_000),
        ("packets sent / 10000", told.packets_sent / 10_000),
        ("reports received", told.reports_received),
        ("RTP / 10000", sent.rtp / 10_000),
        ("RTCP", sent.rtcp),
        ("connects", sent.connects),
        ("stale commands", counts.stale_commands),
    ];
    println!("{told:?}");
    for (what, count) in told {
        assert!(count >= 5, "{what}: {count}");
    }
}

#[test]
fn nor_where_events_find_no_room() {
    let tally = Tally::traced();
    let (_, _, counts) = simulated::run(2, SECONDS, LEGS, 1, tally);
    tally.assert_untouched();
    assert_eq!(counts.lost_events, 0);
}

#[test]
fn a_media_thread_asks_for_the_clock_and_the_sockets_alone() {
    let (status, said) = play_role("engine");
    assert!(status.success(), "{status}\n{said}");
    println!("{said}");
}

#[test]
fn whoever_leaves_the_bounds_is_caught_and_named() {
    for (role, named) in [
        ("lock", "futex"),
        ("log", "write"),
        ("file", "openat"),
        ("large allocation", "mmap"),
        ("small allocations", "memory"),
        ("yield", "sched_yield"),
    ] {
        let (status, said) = play_role(role);
        assert_eq!(status.code(), Some(filter::VIOLATION), "{role}: {said}");
        let report = format!("the media thread called {named}");
        let memory = named == "memory" && said.contains(": memory");
        assert!(said.contains(&report) || memory, "{role}: {said}");
    }
}

/// Runs this program again as one of the roles; bounded in time.
fn play_role(role: &str) -> (ExitStatus, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let (mut out, mut errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    std::thread::scope(|scope| {
        let other = scope.spawn(move || {
            let mut text = String::new();
            let _ = out.read_to_string(&mut text);
            text
        });
        scope.spawn(|| bound(&mut child));
        let _ = errors.read_to_string(&mut said);
        said.push_str(&other.join().unwrap());
    });
    (child.wait().unwrap(), said)
}

/// Ends a process that takes too long.
fn bound(child: &mut Child) {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the processes do that [`play_role`] starts; nothing by itself.
#[test]
#[ignore = "started by other tests"]
fn role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    if role == "engine" {
        let (told, received) = threads::run(REAL_SECONDS);
        println!("{told:?}, {received} packets at the peers");
        for (what, count) in [
            ("opened", told.opened / 20),
            ("closed", told.closed),
            ("ports freed", told.ports_freed),
            ("plays finished", told.finished),
            ("plays replaced", told.replaced),
            ("recorded until told", told.recorded_until_told),
            ("recorded until full", told.recorded_until_full),
            ("packets received / 1000", told.packets_received / 1000),
            ("reports received", told.reports_received),
            ("packets at the peers / 1000", received / 1000),
        ] {
            assert!(count >= 3, "{what}: {count}");
        }
        exit(0);
    }
    filter::watch();
    let held = Mutex::new(());
    let guard = held.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            filter::confine();
            misbehave(&role, &held);
        });
        std::thread::sleep(PATIENCE);
        drop(guard);
    });
}

fn misbehave(role: &str, held: &Mutex<()>) {
    match role {
        "lock" => drop(held.lock()),
        "log" => std::io::stderr().write_all(b"a line\n").unwrap(),
        "file" => drop(std::fs::File::create("/tmp/never-made")),
        "large allocation" => drop(black_box(vec![1u8; 1 << 22])),
        "small allocations" => {
            let mut list = Vec::new();
            loop {
                list.push(black_box(Box::new([1u8; 1000])));
            }
        }
        _ => std::thread::yield_now(),
    }
}

/// At once, whatever the confined thread does.
fn exit(status: i32) -> ! {
    std::io::stdout().flush().unwrap();
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}
