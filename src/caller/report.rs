//! What `antiphon call` says of a call that is over: for people, and for programs.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::audio::level::SILENCE_DBOV;
use crate::call::EndReason;
use crate::leg::LegStats;

/// How the call went.
#[derive(Debug)]
pub struct Report {
    /// Answered, and ended as planned.
    pub success: bool,
    pub(super) uri: String,
    pub(super) reason: EndReason,
    pub(super) set_up: Option<Duration>,
    pub(super) talked: Duration,
    pub(super) codec: Option<&'static str>,
    pub(super) stats: Option<LegStats>,
    pub(super) trouble: Vec<String>,
    /// What the other side has pressed.
    pub(super) digits: String,
}

impl Report {
    /// For programs: one object; times in milliseconds where the name says so.
    pub fn to_json(&self) -> String {
        let (status, phrase) = match &self.reason {
            EndReason::Rejected(status, phrase) => (Some(*status), Some(phrase.as_str())),
            _ => (None, None),
        };
        let mut value = json!({
            "uri": self.uri,
            "success": self.success,
            "answered": self.set_up.is_some(),
            "ended": self.reason.word(),
            "status": status,
            "phrase": phrase,
            "set_up_ms": self.set_up.map(milliseconds),
            "talked_ms": milliseconds(self.talked),
            "codec": self.codec,
            "srtp": self.stats.as_ref().map(|stats| stats.secure),
            "trouble": self.trouble,
            "digits": self.digits,
        });
        if let Some(stats) = &self.stats {
            figures(&mut value, stats);
        }
        value.to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.set_up, &self.reason) {
            (Some(set_up), _) => {
                writeln!(f, "answered    after {:.0} ms", milliseconds(set_up))?;
                writeln!(f, "talked      {:.1} s", self.talked.as_secs_f64())?;
                writeln!(f, "ended       {}", describe(&self.reason))?;
            }
            (None, reason) => writeln!(f, "no answer   {}", describe(reason))?,
        }
        if let (Some(stats), Some(codec)) = (&self.stats, self.codec) {
            let srtp = if stats.secure {
                ", encrypted (SRTP)"
            } else {
                ""
            };
            writeln!(f, "codec       {codec}{srtp}")?;
            write_figures(f, stats)?;
        }
        if !self.digits.is_empty() {
            writeln!(f, "pressed     {}", self.digits)?;
        }
        for trouble in &self.trouble {
            writeln!(f, "trouble     {trouble}")?;
        }
        Ok(())
    }
}

/// The figures as fields.
fn figures(value: &mut Value, s: &LegStats) {
    let (now, mean, max) = s.buffer_ms();
    value["received"] = json!({
        "packets": s.receive.packets,
        "lost": s.receive.lost,
        "loss_percent": percent(s.loss.loss_rate()),
        "discarded": s.loss.discarded,
        "bursts": s.loss.bursts,
        "duplicates": s.receive.duplicates,
        "reordered": s.receive.reordered,
        "jitter_ms": f64::from(s.receive.jitter_us) / 1000.0,
        "max_jitter_ms": f64::from(s.receive.max_jitter_us) / 1000.0,
        "buffer_ms": tenths(now),
        "mean_buffer_ms": tenths(mean),
        "max_buffer_ms": tenths(max),
        "late": s.playout.late,
        "concealed_ms": s.concealed_ms(),
    });
    value["sent"] = json!({
        "packets": s.send.packets,
        "lost": s.peer.lost,
        "round_trip_ms": s.peer.round_trip.map(milliseconds),
        "max_round_trip_ms": s.peer.max_round_trip.map(milliseconds),
    });
    value["quality"] = json!(s.rating.map(|rating| json!({
        "r_factor": tenths(rating.r_factor),
        "mos_lq": hundredths(rating.mos_lq),
        "mos_cq": hundredths(rating.mos_cq),
        "delay_ms": milliseconds(s.delay),
    })));
    value["level"] = json!({
        "speech_dbov": level(s.level.speech_dbov).map(tenths),
        "noise_dbov": level(s.level.noise_dbov).map(tenths),
        "talk_ms": milliseconds(s.level.talked),
    });
    value["peer"] = json!(s.peer.voip.map(|peer| json!({
        "loss_percent": percent(f32::from(peer.loss_rate) / 256.0),
        "discard_percent": percent(f32::from(peer.discard_rate) / 256.0),
        "r_factor": peer.r_factor,
        "mos_lq": peer.mos_lq.map(|m| f64::from(m) / 10.0),
        "mos_cq": peer.mos_cq.map(|m| f64::from(m) / 10.0),
        "buffer_ms": peer.buffer_nominal_ms,
        "end_system_delay_ms": peer.end_system_delay_ms,
    })));
}

/// The figures for people, a line for each subject.
fn write_figures(f: &mut fmt::Formatter<'_>, s: &LegStats) -> fmt::Result {
    let r = &s.receive;
    write!(
        f,
        "received    {} packets, {} lost ({:.1} %), jitter {:.1} ms, {} ms concealed",
        r.packets,
        r.lost,
        100.0 * s.loss.loss_rate(),
        f64::from(r.jitter_us) / 1000.0,
        s.concealed_ms()
    )?;
    match s.loss.discarded {
        0 => writeln!(f)?,
        late => writeln!(f, ", {late} too late")?,
    }
    let (_, mean, max) = s.buffer_ms();
    writeln!(
        f,
        "buffer      {mean:.1} ms in the mean, {max:.0} ms at most"
    )?;
    write!(f, "sent        {} packets", s.send.packets)?;
    match s.peer.round_trip {
        Some(rtt) => writeln!(
            f,
            ", {} lost, round trip {:.1} ms",
            s.peer.lost,
            milliseconds(rtt)
        )?,
        None => writeln!(f)?,
    }
    if let Some(rating) = &s.rating {
        writeln!(
            f,
            "quality     MOS {:.1} (R {:.0}), {:.0} ms from mouth to ear",
            rating.mos_cq,
            rating.r_factor,
            milliseconds(s.delay)
        )?;
    }
    write!(f, "level       ")?;
    match level(s.level.speech_dbov) {
        Some(speech) => write!(
            f,
            "speech {speech:.0} dBov for {:.1} s",
            s.level.talked.as_secs_f64()
        )?,
        None => write!(f, "no speech")?,
    }
    match level(s.level.noise_dbov) {
        Some(noise) => writeln!(f, ", noise {noise:.0} dBov")?,
        None => writeln!(f)?,
    }
    if let Some(peer) = &s.peer.voip {
        write!(
            f,
            "they hear   {:.1} % lost, {:.1} % too late, buffer {} ms",
            percent(f32::from(peer.loss_rate) / 256.0),
            percent(f32::from(peer.discard_rate) / 256.0),
            peer.buffer_nominal_ms
        )?;
        match peer.mos_cq.or(peer.mos_lq) {
            Some(mos) => writeln!(f, ", MOS {:.1}", f64::from(mos) / 10.0)?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}

fn level(dbov: f32) -> Option<f32> {
    (dbov > SILENCE_DBOV).then_some(dbov)
}

fn percent(share: f32) -> f64 {
    hundredths(100.0 * share)
}

fn tenths(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

fn hundredths(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

fn milliseconds(d: Duration) -> f64 {
    (d.as_secs_f64() * 10_000.0).round() / 10.0
}

fn describe(reason: &EndReason) -> String {
    match reason {
        EndReason::HungUp => "we hung up".into(),
        EndReason::RemoteHungUp => "the other side hung up".into(),
        EndReason::Rejected(status, phrase) => format!("{status} {phrase}"),
        EndReason::NoAnswer => "nobody answered in time".into(),
        EndReason::TransportFailed => "nothing listens there, or it hung up on us".into(),
        EndReason::MediaTimeout => "no media for too long".into(),
        other => other.word().into(),
    }
}
