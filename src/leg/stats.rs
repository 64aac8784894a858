//! What is known of a leg's quality, and who is told while the leg runs.
//!
//! Read at a report's time, once a second where somebody watches, and at the end: never in each tick.

use std::time::Duration;

use super::{Leg, PeerReport};
use crate::audio::level::{LevelStats, SILENCE_DBOV};
use crate::audio::tone::OVERLOAD_DBM0;
use crate::audio::{MediaTime, TICK_MS};
use crate::codec::Codec;
use crate::leg::playout::PlayoutStats;
use crate::rtp::bursts::{self, GMIN, LossPattern};
use crate::rtp::emodel::{self, Connection, Impairment, Rating};
use crate::rtp::session::{ReceiveStats, SendStats};
use crate::rtp::xr::{STANDARD_CONCEALMENT_ADAPTIVE, VoipMetrics};

/// The least time from one telling to the next.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Counts of what a leg refused, besides the RTP statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegCounts {
    /// Neither RTP nor RTCP, or malformed.
    pub invalid: u64,
    /// From an address that is not the peer's.
    pub foreign: u64,
    /// Not protected with the key that was agreed on (SRTP), or altered: dropped unread.
    pub unauthenticated: u64,
    /// Before the key that opens it had come (SRTP with keys by DTLS): dropped unread.
    pub before_keys: u64,
    /// Protected, but seen before or too old to tell (SRTP).
    pub replayed: u64,
    /// With a payload type that was not negotiated.
    pub unknown_type: u64,
    /// RTCP packets taken.
    pub rtcp_received: u64,
    /// VoIP metrics about our stream, taken (RFC 3611 §4.7).
    pub xr_received: u64,
    /// VoIP metrics sent.
    pub xr_sent: u64,
    /// Telephone-event packets.
    pub telephone_events: u64,
    /// Digits that were told.
    pub digits: u64,
    /// Digits that came faster than they could be told.
    pub digits_dropped: u64,
    /// The peer said goodbye in RTCP.
    pub peer_bye: bool,
}

/// Everything that is known of a leg's quality. What is measured of sound and loss is what comes from
/// the party.
#[derive(Clone, Copy, Debug, Default)]
pub struct LegStats {
    /// The codec that we send, by its RTP name.
    pub codec: Option<&'static str>,
    /// Its sampling rate, Hz: of all that is counted in samples.
    pub rate: u32,
    /// What came.
    pub receive: ReceiveStats,
    /// How its losses and discards lay.
    pub loss: LossPattern,
    /// The packet time of what came; that of what went where nothing has.
    pub packet_time: Duration,
    /// What went.
    pub send: SendStats,
    /// The jitter buffer's work.
    pub playout: PlayoutStats,
    /// What the peer reported of us.
    pub peer: PeerReport,
    /// What was refused.
    pub counts: LegCounts,
    /// Whether media is encrypted (SRTP).
    pub secure: bool,
    /// Level and talk time.
    pub level: LevelStats,
    /// One way: half the round trip, one packet, the mean depth of the jitter buffer.
    pub delay: Duration,
    /// What a listener would say; none before the first packet.
    pub rating: Option<Rating>,
}

impl LegStats {
    /// The jitter buffer's depth now, its mean and its maximum, ms.
    pub fn buffer_ms(&self) -> (f32, f32, f32) {
        let ms = |samples: f32| samples * 1000.0 / self.rate.max(1) as f32;
        (
            ms(self.playout.depth_samples as f32),
            ms(self.playout.mean_depth_samples),
            ms(self.playout.max_depth_samples as f32),
        )
    }

    /// How much was made up for what was missing, ms.
    pub fn concealed_ms(&self) -> u64 {
        self.playout.concealed_samples * 1000 / u64::from(self.rate.max(1))
    }
}

impl Leg {
    /// The quality so far.
    pub fn stats(&self) -> LegStats {
        let counts = LegCounts {
            digits_dropped: self.digits.dropped(),
            ..self.statistics
        };
        let receive = self.receiver.stats();
        let playout = self.coding.playout.stats();
        let loss = self.receiver.pattern();
        let ours = Duration::from_millis(u64::from(self.params.ptime_ms));
        let packet_time = self.receiver.packet_time().unwrap_or(ours);
        let rate = self.coding.rate();
        let buffered = playout.mean_depth_samples / rate as f32;
        let network = self.peer.round_trip.unwrap_or_default() / 2;
        let delay = network + packet_time + Duration::from_secs_f32(buffered.max(0.0));
        let connection = Connection {
            impairment: impairment(self.params.codec),
            loss: loss.missing_rate(),
            burst_ratio: loss.burst_ratio,
            delay,
        };
        LegStats {
            codec: Some(self.params.codec.name()),
            rate,
            receive,
            loss,
            packet_time,
            send: self.transmit.sender().stats(),
            playout,
            peer: self.peer,
            counts,
            secure: self.transport.is_secure(),
            level: self.level.stats(),
            delay,
            rating: (receive.packets > 0).then(|| emodel::rate(&connection)),
        }
    }

    /// Tells the statistics from now on, into `room`; without any, no longer. What there was of it
    /// goes back to where memory is freed.
    pub fn watch(&mut self, room: Option<Box<LegStats>>) -> Option<Box<LegStats>> {
        std::mem::replace(&mut self.watched, room)
    }

    /// The statistics, if they are to be told at `now`: once for each [`Leg::watch`], and once a second
    /// at most.
    pub fn take_stats(&mut self, now: MediaTime) -> Option<Box<LegStats>> {
        if self.watched.is_none() || now < self.next_stats {
            return None;
        }
        self.next_stats = now + WATCH_INTERVAL;
        let mut room = self.watched.take()?;
        *room = self.stats();
        Some(room)
    }

    /// What we tell the peer of its stream (RFC 3611 §4.7), where it asks for that.
    pub(super) fn voip_metrics(&self) -> Option<VoipMetrics> {
        if !self.params.voip_metrics {
            return None;
        }
        let stats = self.stats();
        let (ssrc, rating) = (stats.receive.ssrc?, stats.rating?);
        let share = |share: f32| (share * 256.0).min(255.0) as u8;
        let packets = |packets: f32| milliseconds(bursts::duration(packets, stats.packet_time));
        let (depth, ..) = stats.buffer_ms();
        // It takes whatever comes early, up to that.
        let limit = self.settings.jitter_max_ms.min(u32::from(u16::MAX)) as u16;
        let ours = u16::from(self.params.ptime_ms) + TICK_MS as u16;
        Some(VoipMetrics {
            ssrc,
            loss_rate: share(stats.loss.loss_rate()),
            discard_rate: share(stats.loss.discard_rate()),
            burst_density: share(stats.loss.burst_density),
            gap_density: share(stats.loss.gap_density),
            burst_duration_ms: packets(stats.loss.burst_packets),
            gap_duration_ms: packets(stats.loss.gap_packets),
            round_trip_ms: milliseconds(stats.peer.round_trip.unwrap_or_default()),
            end_system_delay_ms: ours + depth as u16,
            signal_dbm0: dbm0(stats.level.speech_dbov),
            noise_dbm0: dbm0(stats.level.noise_dbov),
            echo_return_loss_db: None,
            gmin: GMIN,
            r_factor: Some(rating.narrowband_r().round() as u8),
            external_r_factor: None,
            mos_lq: Some((rating.mos_lq * 10.0).round() as u8),
            mos_cq: Some((rating.mos_cq * 10.0).round() as u8),
            receiver_config: STANDARD_CONCEALMENT_ADAPTIVE,
            buffer_nominal_ms: depth as u16,
            buffer_maximum_ms: limit,
            buffer_limit_ms: limit,
        })
    }
}

fn impairment(codec: Codec) -> Impairment {
    match codec {
        // Linear samples at 8 kHz lose no more than companded ones.
        Codec::Pcmu | Codec::Pcma | Codec::L16Narrow => Impairment::G711,
        Codec::G722 => Impairment::G722,
        Codec::Opus => Impairment::OPUS,
        Codec::L16Wide | Codec::L16Full => Impairment::LINEAR_WIDEBAND,
    }
}

fn milliseconds(duration: Duration) -> u16 {
    duration.as_millis().min(u128::from(u16::MAX)) as u16
}

/// The same level against the reference of telephony; none where there was no sound.
fn dbm0(dbov: f32) -> Option<i8> {
    // Full scale of a square wave is 3.01 dB above that of a sine.
    (dbov > SILENCE_DBOV).then_some((dbov + 3.01 + OVERLOAD_DBM0).round() as i8)
}
