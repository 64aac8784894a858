//! The line that `antiphon call` shows while it runs: written over once a second, and gone before the
//! summary.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use crate::audio::level::SILENCE_DBOV;
use crate::leg::LegStats;

/// Nothing where standard error is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    answered: Option<Instant>,
}

impl Progress {
    pub fn new(wanted: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            terminal: wanted && !dumb && stderr().is_terminal(),
            answered: None,
        }
    }

    /// Whether anybody sees it.
    pub fn is_shown(&self) -> bool {
        self.terminal
    }

    pub fn calling(&self, uri: &str) {
        // It may hold what moves the cursor.
        let uri: String = uri.chars().filter(|c| !c.is_control()).collect();
        self.write(&format!("calling {uri}"));
    }

    pub fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
        self.write("00:00  answered");
    }

    pub fn show(&self, stats: &LegStats, now: Instant) {
        let since = self.answered.map_or(Duration::ZERO, |at| now - at);
        self.write(&line(since, stats));
    }

    /// The line is cut at the terminal's edge, for one that wraps could not be written over.
    fn write(&self, text: &str) {
        if self.terminal {
            // Who has closed the terminal sees nothing anyway.
            let _ = write!(stderr(), "\r\x1b[?7l{text}\x1b[K\x1b[?7h");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// What matters most comes first.
fn line(since: Duration, s: &LegStats) -> String {
    let seconds = since.as_secs();
    let mos = s
        .rating
        .map_or_else(|| "-".to_owned(), |r| format!("{:.1}", r.mos_cq));
    let trip = s.peer.round_trip.map_or_else(
        || "-".to_owned(),
        |rtt| format!("{:.0} ms", rtt.as_secs_f64() * 1000.0),
    );
    let level = match s.level.now_dbov {
        silence if silence <= SILENCE_DBOV => "silence".to_owned(),
        dbov => format!("{dbov:.0} dBov"),
    };
    format!(
        "{:02}:{:02}  {}  MOS {mos}  loss {:.1} %  jitter {:.1} ms  rtt {trip}  buffer {:.0} ms  \
         {level}  rx {}  tx {}",
        seconds / 60,
        seconds % 60,
        s.codec.unwrap_or("-"),
        100.0 * s.loss.missing_rate(),
        f64::from(s.receive.jitter_us) / 1000.0,
        s.buffer_ms().0,
        s.receive.packets,
        s.send.packets,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::emodel::Rating;

    #[test]
    fn the_line_tells_all_that_is_known() {
        let mut stats = LegStats {
            rate: 8000,
            codec: Some("PCMU"),
            ..LegStats::default()
        };
        assert_eq!(
            line(Duration::from_secs(3), &stats),
            "00:03  PCMU  MOS -  loss 0.0 %  jitter 0.0 ms  rtt -  buffer 0 ms  silence  rx 0  tx 0"
        );
        stats.rating = Some(Rating {
            r_factor: 90.0,
            mos_lq: 4.4,
            mos_cq: 4.34,
            wideband: false,
        });
        stats.receive.packets = 4000;
        stats.receive.jitter_us = 1250;
        stats.send.packets = 4001;
        (stats.loss.received, stats.loss.lost, stats.loss.discarded) = (90, 6, 4);
        stats.playout.depth_samples = 160;
        stats.peer.round_trip = Some(Duration::from_micros(33_400));
        stats.level.now_dbov = -23.4;
        assert_eq!(
            line(Duration::from_secs(83), &stats),
            "01:23  PCMU  MOS 4.3  loss 10.0 %  jitter 1.2 ms  rtt 33 ms  buffer 20 ms  -23 dBov  \
             rx 4000  tx 4001"
        );
    }
}
