//! Figures as Prometheus reads them (text format 0.0.4), and what is counted for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::events::RecordingChange;
use crate::switch::{Event, RoomRecordingChange, Summary};

/// The content type of what [`Writer::finish`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the time from INVITE to answer, s.
const SET_UP: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds of the jitter of a call, s.
const JITTER: [f64; 9] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

/// Puts metrics together.
#[derive(Debug, Default)]
pub struct Writer {
    text: String,
}

impl Writer {
    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    /// Begins a metric: its samples follow.
    pub fn metric(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample. Values of labels are ours alone: no peer's text.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A metric with one sample.
    pub fn single(&mut self, name: &str, kind: Type, help: &str, value: f64) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A counter with a sample for each value of a label.
    pub fn counts<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.metric(name, Type::Counter, help);
        for (value, count) in counts {
            self.sample(name, &[(label, value)], count as f64);
        }
    }

    /// A histogram: how many were counted up to each bound, in all, and their sum.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        upto: impl IntoIterator<Item = (f64, u64)>,
        (count, sum): (u64, f64),
    ) {
        self.metric(name, Type::Histogram, help);
        for (bound, n) in upto {
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {n}");
        }
        let _ = writeln!(self.text, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(self.text, "{name}_sum {sum}\n{name}_count {count}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Counts by upper bound.
#[derive(Clone, Debug)]
struct Buckets<const N: usize> {
    bounds: [f64; N],
    counts: [u64; N],
    count: u64,
    sum: f64,
}

impl<const N: usize> Buckets<N> {
    const fn new(bounds: [f64; N]) -> Self {
        Self {
            bounds,
            counts: [0; N],
            count: 0,
            sum: 0.0,
        }
    }

    fn record(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        if let Some(i) = self.bounds.iter().position(|&bound| value <= bound) {
            self.counts[i] += 1;
        }
    }

    fn write(&self, out: &mut Writer, name: &str, help: &str) {
        let mut so_far = 0;
        let upto = self.bounds.iter().zip(self.counts).map(|(&bound, n)| {
            so_far += n;
            (bound, so_far)
        });
        out.histogram(name, help, upto, (self.count, self.sum));
    }
}

/// What is counted of calls. What is counted of their media is the media threads' own.
#[derive(Clone, Debug)]
pub struct Counters {
    started: BTreeMap<&'static str, u64>,
    ended: BTreeMap<&'static str, u64>,
    refused: BTreeMap<u16, u64>,
    answered: u64,
    talked: Duration,
    set_up: Buckets<11>,
    jitter: Buckets<9>,
    digits: u64,
    recordings_started: u64,
    recordings_failed: u64,
    plays_failed: u64,
    pins_refused: u64,
    bans: BTreeMap<&'static str, u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            started: BTreeMap::new(),
            ended: BTreeMap::new(),
            refused: BTreeMap::new(),
            answered: 0,
            talked: Duration::ZERO,
            set_up: Buckets::new(SET_UP),
            jitter: Buckets::new(JITTER),
            digits: 0,
            recordings_started: 0,
            recordings_failed: 0,
            plays_failed: 0,
            pins_refused: 0,
            bans: BTreeMap::new(),
        }
    }
}

impl Counters {
    /// Counts what happened.
    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Started { app, .. } => *self.started.entry(app).or_default() += 1,
            Event::Answered { .. } => self.answered += 1,
            Event::Digit { .. } => self.digits += 1,
            Event::PinRefused { .. } | Event::RoomPinRefused { .. } => self.pins_refused += 1,
            Event::PlayFailed { .. } | Event::BridgePlayFailed { .. } => self.plays_failed += 1,
            Event::Room(event) if event.change.is_failed_play() => self.plays_failed += 1,
            Event::Refused { status, .. } => *self.refused.entry(*status).or_default() += 1,
            Event::RoomRecording(event) => match &event.change {
                RoomRecordingChange::Began { .. } => self.recordings_started += 1,
                RoomRecordingChange::Failed { .. } => self.recordings_failed += 1,
                _ => {}
            },
            Event::Ended(summary) => self.ended(summary),
            _ => {}
        }
    }

    /// Something became of a recording.
    pub(super) fn recording(&mut self, change: &RecordingChange<'_>) {
        match change {
            RecordingChange::Started => self.recordings_started += 1,
            RecordingChange::Failed(_) => self.recordings_failed += 1,
            RecordingChange::Ended(_) => {}
        }
    }

    /// A source was banned, for this.
    pub(super) fn banned(&mut self, reason: &'static str) {
        *self.bans.entry(reason).or_default() += 1;
    }

    fn ended(&mut self, summary: &Summary) {
        *self.ended.entry(summary.reason.word()).or_default() += 1;
        self.talked += summary.talked;
        if let Some(set_up) = summary.set_up {
            self.set_up.record(set_up.as_secs_f64());
        }
        let Some(stats) = &summary.stats else { return };
        if stats.receive.packets > 0 {
            self.jitter.record(f64::from(stats.receive.jitter_us) / 1e6);
        }
    }

    /// Writes all of it.
    pub fn write(&self, out: &mut Writer) {
        let counts = |map: &BTreeMap<&'static str, u64>| {
            map.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>()
        };
        out.counts(
            "antiphon_calls_started_total",
            "Calls that were routed or placed, by application.",
            "app",
            counts(&self.started),
        );
        out.counts(
            "antiphon_calls_ended_total",
            "Calls that are over, by how they ended.",
            "reason",
            counts(&self.ended),
        );
        let refused: Vec<_> = self
            .refused
            .iter()
            .map(|(s, n)| (s.to_string(), *n))
            .collect();
        out.counts(
            "antiphon_calls_refused_total",
            "INVITEs that were refused without a call, by status.",
            "status",
            refused.iter().map(|(s, n)| (s.as_str(), *n)),
        );
        self.set_up.write(
            out,
            "antiphon_call_setup_seconds",
            "Time from a call's first message to its answer.",
        );
        self.jitter.write(
            out,
            "antiphon_rtp_jitter_seconds",
            "Interarrival jitter at the end of each call (RFC 3550).",
        );
        self.write_sums(out);
        out.counts(
            "antiphon_bans_total",
            "Sources that were banned, by reason.",
            "reason",
            counts(&self.bans),
        );
    }

    fn write_sums(&self, out: &mut Writer) {
        for (name, help, value) in [
            (
                "calls_answered_total",
                "Calls that were answered.",
                self.answered as f64,
            ),
            (
                "calls_talked_seconds_total",
                "Time from answer to end of the calls that are over.",
                self.talked.as_secs_f64(),
            ),
            (
                "digits_received_total",
                "Digits that parties have pressed.",
                self.digits as f64,
            ),
            (
                "recordings_started_total",
                "Recordings that have begun.",
                self.recordings_started as f64,
            ),
            (
                "recordings_failed_total",
                "Recordings that broke off.",
                self.recordings_failed as f64,
            ),
            (
                "plays_failed_total",
                "Plays that broke off.",
                self.plays_failed as f64,
            ),
            (
                "pins_refused_total",
                "PINs that were refused.",
                self.pins_refused as f64,
            ),
        ] {
            out.single(&format!("antiphon_{name}"), Type::Counter, help, value);
        }
    }
}
