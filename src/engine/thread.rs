//! The loop of a media thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::sockets::Sockets;
use super::stats::ThreadStats;
use super::{Bell, Input, RealTime};
use crate::audio::MediaTime;
use crate::leg::TickTime;
use crate::net::media::ClockMap;
use crate::net::sys;
use crate::worker::{Command, Event, SLOTS, Worker};

/// Commands taken at one wake-up: a flood of them must not delay a tick.
const COMMANDS_PER_WAKE: usize = 128;
/// The longest sleep without a look at the commands, ms.
const POLL_MS: u64 = 5;
/// The same without a leg or bridge: the first call of an idle server is heard a tick later.
const IDLE_POLL_MS: u64 = SLOTS as u64;
/// How often the CPU time is read, which is a system call, ms.
const CPU_TIME_MS: u64 = 100;

pub(super) struct MediaThread {
    worker: Worker,
    inputs: Receiver<Input>,
    told: Told,
    sockets: Sockets,
    stats: Arc<ThreadStats>,
    next_cpu_time: u64,
}

/// Rings for what the worker has told.
pub(super) struct Told {
    events: Sender<Event>,
    bell: Bell,
}

impl Told {
    pub fn new(events: Sender<Event>, bell: Bell) -> Self {
        Self { events, bell }
    }

    fn ring(&self) {
        if !self.events.is_empty() {
            self.bell.ring();
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // The thread is ending: should it not, somebody has to look.
        self.bell.ring();
    }
}

impl MediaThread {
    pub fn new(
        worker: Worker,
        inputs: Receiver<Input>,
        told: Told,
        sockets: Sockets,
        stats: Arc<ThreadStats>,
    ) -> Self {
        Self {
            worker,
            inputs,
            told,
            sockets,
            stats,
            next_cpu_time: 0,
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, priority: Option<u8>, started: &Sender<RealTime>, confine: fn()) {
        let realtime = match priority.map(|p| (p, sys::set_fifo(p))) {
            None => RealTime::Off,
            Some((p, Ok(()))) => RealTime::Granted(p),
            Some((_, Err(error))) => RealTime::Refused(error.to_string()),
        };
        // The other end waits for exactly this.
        let _ = started.send(realtime);
        let mut next_ms = sys::monotonic_now().as_millis() + 1;
        confine();
        while !self.stats.stop.load(Ordering::Relaxed) {
            next_ms = self.step(next_ms);
            self.told.ring();
        }
        // What the worker still owns is freed here: the loop is over, no tick waits for it.
    }

    /// Sleeps until the next slot with work (or the next look at the commands) and runs it.
    fn step(&mut self, next_ms: u64) -> u64 {
        let counts = self.worker.counts();
        let idle = counts.legs + counts.bridges == 0;
        let wake = next_ms + if idle { IDLE_POLL_MS } else { POLL_MS };
        let due = self.worker.next_due(next_ms).unwrap_or(wake);
        let until = due.min(wake);
        sys::sleep_until(MediaTime::from_millis(until));
        self.sockets.clock = ClockMap::sample();
        let now = self.sockets.clock.now();
        self.take_commands(until);
        if due > wake {
            return until;
        }
        let behind = now.since(MediaTime::from_millis(due));
        self.stats.lateness.record(behind);
        let late_ticks = behind.as_millis() as u64 / SLOTS as u64;
        if late_ticks > 0 {
            // No burst to catch up: those ticks are gone, media time goes on.
            self.stats.skipped.fetch_add(late_ticks, Ordering::Relaxed);
            return due + late_ticks * SLOTS as u64;
        }
        let ntp = self.sockets.clock.ntp();
        self.worker.run(due, ntp, &mut self.sockets);
        self.finish_slot(now, due);
        due + 1
    }

    fn take_commands(&mut self, ms: u64) {
        let time = TickTime {
            now: MediaTime::from_millis(ms),
            ntp: self.sockets.clock.ntp(),
        };
        for _ in 0..COMMANDS_PER_WAKE {
            if self.worker.is_behind() {
                // What commands lead to has to be told: first what waits already.
                break;
            }
            let command = match self.inputs.try_recv() {
                Ok(Input::Open(leg, pair)) => {
                    self.sockets.open(leg.id().index, pair);
                    Command::Open(leg)
                }
                Ok(Input::Command(command)) => command,
                Err(_) => break,
            };
            self.worker.apply(command, time, &mut self.sockets);
        }
    }

    fn finish_slot(&mut self, began: MediaTime, ms: u64) {
        let stats = &self.stats;
        let set = |to: &std::sync::atomic::AtomicU64, value| to.store(value, Ordering::Relaxed);
        let ended = sys::monotonic_now();
        stats.ran(began, ended, self.worker.next_due(ms + 1));
        let counts = self.worker.counts();
        set(&stats.legs, u64::from(counts.legs));
        set(&stats.bridges, u64::from(counts.bridges));
        set(&stats.stale_commands, counts.stale_commands);
        set(&stats.lost_events, counts.lost_events);
        stats.media.set(&counts.media);
        let sends = self.sockets.sends;
        let bypassed = self.sockets.bypassed();
        let failures = sends.would_block + sends.failed + bypassed.failures;
        set(&stats.send_failures, failures);
        set(&stats.bypass_received, bypassed.received);
        set(&stats.bypass_sent, bypassed.sent);
        set(&stats.bypass_dropped, bypassed.dropped);
        if ms >= self.next_cpu_time {
            self.next_cpu_time = ms + CPU_TIME_MS;
            let cpu: Duration = sys::thread_cpu_time();
            set(&stats.cpu_us, cpu.as_micros() as u64);
        }
    }
}
