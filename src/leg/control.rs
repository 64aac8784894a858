//! A leg's RTCP: when a report is due, what is in it, what the peer's says; extended reports where
//! both want them.

use std::time::Duration;

use super::Leg;
use crate::audio::MediaTime;
use crate::rtp::Ssrc;
use crate::rtp::rtcp::{self, Rtcp};
use crate::rtp::xr::{self, DelaySince, VoipMetrics};

/// RFC 3550 §6.2: at least 5 s between reports, drawn from half to one and a half of it.
const INTERVAL_MS: u64 = 5000;
/// A compound of SR with one block, SDES, XR and BYE fits twice over.
pub(super) const MAX_RTCP: usize = 512;

/// What the peer's reports told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeerReport {
    /// Fraction of our packets that the peer lost in the last interval, of 256.
    pub fraction_lost: u8,
    /// Our packets that the peer lost in all.
    pub lost: i32,
    /// Interarrival jitter that the peer sees, in RTP clock units.
    pub jitter: u32,
    /// Round-trip time of the last report.
    pub round_trip: Option<Duration>,
    /// The longest of all reports.
    pub max_round_trip: Option<Duration>,
    /// How well the peer hears us, by itself (RFC 3611 §4.7): the last that it told.
    pub voip: Option<VoipMetrics>,
}

impl Leg {
    /// The loss of packets that an encoder is to expect, percent: what the peer reports, and at least
    /// what is configured.
    pub fn expected_loss(&self) -> u8 {
        let reported = (u32::from(self.peer.fraction_lost) * 100).div_ceil(256) as u8;
        reported.max(self.params.opus.expected_loss)
    }

    /// Takes an RTCP packet from the peer. Whether it is one.
    pub(super) fn on_rtcp(&mut self, data: &[u8], arrival: MediaTime, ntp: u64) -> bool {
        let our_ssrc = self.settings.ssrc;
        let Leg {
            receiver,
            peer,
            statistics,
            reference,
            ..
        } = self;
        let mut bye = false;
        let parsed = rtcp::parse(data, |item| match item {
            Rtcp::SenderReport { info, .. } => receiver.on_sender_report(info.ntp, arrival),
            Rtcp::ReportBlock { block, .. } => {
                if block.ssrc.0 == our_ssrc {
                    peer.fraction_lost = block.fraction_lost;
                    peer.lost = block.cumulative_lost;
                    peer.jitter = block.jitter;
                    if let Some(rtt) =
                        rtcp::round_trip(block.last_sender_report, block.delay_since, ntp)
                    {
                        peer.round_trip = Some(rtt);
                        peer.max_round_trip = peer.max_round_trip.max(Some(rtt));
                    }
                }
            }
            Rtcp::VoipMetrics { metrics, .. } => {
                if metrics.ssrc.0 == our_ssrc {
                    peer.voip = Some(metrics);
                    statistics.xr_received += 1;
                }
            }
            Rtcp::ReferenceTime { from, ntp } => {
                *reference = Some((from, (ntp >> 16) as u32, arrival));
            }
            // We send no reference time.
            Rtcp::DelaySince { .. } => {}
            Rtcp::Bye { .. } => bye = true,
        });
        let expected_loss = self.expected_loss();
        self.coding.encoder.set_expected_loss(expected_loss);
        let statistics = &mut self.statistics;
        match &parsed {
            Ok(()) => {
                statistics.rtcp_received += 1;
                self.heard = arrival;
            }
            Err(_) => statistics.invalid += 1,
        }
        // RTCP is authenticated with SRTP alone: BYE ends nothing, the dialog does. The time-out is what
        // notices a peer that is gone.
        if bye {
            statistics.peer_bye = true;
        }
        parsed.is_ok()
    }

    /// Whether a report is due; then the time of the next one is drawn.
    pub(super) fn report_due(&mut self, now: MediaTime) -> bool {
        if now < self.next_report {
            return false;
        }
        // xorshift: spread is what counts here, not secrecy.
        self.spread ^= self.spread << 13;
        self.spread ^= self.spread >> 7;
        self.spread ^= self.spread << 17;
        let ms = INTERVAL_MS / 2 + self.spread % INTERVAL_MS;
        self.next_report = now + Duration::from_millis(ms);
        true
    }

    /// Writes a compound report (RFC 3550 §6.1) and returns its length.
    pub(super) fn write_report(
        &mut self,
        out: &mut [u8; MAX_RTCP],
        now: MediaTime,
        ntp: u64,
        bye: bool,
    ) -> usize {
        let block = self.receiver.report_block(now);
        let sent_before = self.reported_packets;
        let stats = self.transmit.sender().stats();
        self.reported_packets = stats.packets;
        // The sender's line begins with the leg.
        let line = MediaTime::from_micros(self.position() * 125);
        let sender =
            (stats.packets > sent_before).then(|| self.transmit.sender_mut().report(line, ntp));
        let ssrc = Ssrc(self.settings.ssrc);
        let (block, cname) = (block.as_slice(), &self.settings.cname);
        let mut len = rtcp::write_compound(out, ssrc, sender.as_ref(), block, cname, false);
        len += self.write_extended(&mut out[len..], now);
        if bye {
            len += rtcp::write_bye(&mut out[len..], ssrc);
        }
        len
    }

    fn write_extended(&mut self, out: &mut [u8], now: MediaTime) -> usize {
        let metrics = self.voip_metrics();
        let answer = self.reference.take().map(|(ssrc, time, arrival)| {
            let us = now.since(arrival).as_micros() as u64;
            DelaySince {
                ssrc,
                last_reference: time,
                delay: (us * 65_536 / 1_000_000) as u32,
            }
        });
        let ssrc = Ssrc(self.settings.ssrc);
        let len = xr::write(out, ssrc, metrics.as_ref(), answer.as_ref());
        self.statistics.xr_sent += u64::from(len > 0 && metrics.is_some());
        len
    }
}
