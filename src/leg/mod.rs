//! One party's media: socket packets <-> samples.
//!
//! rx: packet -> latch -> RTP session -> playout (jitter buffer, decoder, concealment) -> samples,
//! tapped for the recording. tx: bridge, echo or player -> encoder -> packet. Owned by one media
//! worker; everything here after [`Leg::new`] runs on the media thread and allocates nothing.

mod coding;
mod control;
mod dial;
mod digits;
mod params;
mod phase;
pub mod player;
pub mod playout;
mod receive;
mod stats;
pub mod tap;
mod transmit;

pub use coding::{Coding, EncodingKey};
pub use control::PeerReport;
use dial::Dialled;
pub use dial::{Dial, DialEnd, DialMethod, DigitString, MAX_DIGITS, MAX_MS, MIN_MS};
pub use params::{EventFormat, LegId, LegParams, LegSettings, MAX_RX_TYPES};
pub use stats::{LegCounts, LegStats};
pub use transmit::Outgoing;

use std::net::SocketAddr;
use std::time::Duration;

use crate::audio::level::LevelMeter;
use crate::audio::{FULLBAND, MediaTime, NARROWBAND, TICK_MS, TICK_SAMPLES, gain};
use crate::codec::CodecError;
use crate::dtmf::Digit;
use crate::rtp::Ssrc;
use crate::rtp::latch::Latch;
use crate::rtp::session::Receiver;
use digits::Digits;
use phase::ArrivalPhase;
use player::{Play, PlayEnd, PlayStatus, Player};
use tap::{Tap, TapStatus, TapStop};
use transmit::{Format, Transmit};

/// Samples of a tick at the highest rate.
pub const MAX_TICK: usize = FULLBAND as usize / 50;
/// A fade takes this part of a tick: 5 ms.
const FADE_PART: usize = 4;
/// The same for digits, of which as little as possible is to be heard: 2 ms.
const DIGIT_FADE_PART: usize = 10;

/// Which of a leg's two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The even port: RTP, and RTCP where it is muxed.
    Rtp,
    /// The next port: RTCP.
    Rtcp,
}

/// The clocks of one tick.
#[derive(Clone, Copy, Debug)]
pub struct TickTime {
    /// When the tick is due: the media time line.
    pub now: MediaTime,
    /// The wall clock as a 64-bit NTP timestamp, for reports.
    pub ntp: u64,
}

impl TickTime {
    /// The wall clock when something arrived: it may have waited for this tick.
    fn ntp_at(&self, arrival: MediaTime) -> u64 {
        let units = |d: Duration| ((d.as_micros() as u64) << 32) / 1_000_000;
        let before = units(self.now.since(arrival).min(MAX_WAIT));
        let after = units(arrival.since(self.now).min(MAX_WAIT));
        self.ntp.wrapping_sub(before).wrapping_add(after)
    }
}

/// Nothing waits longer than this between arrival and tick; more is a clock gone wrong.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Where a leg's packets go; the engine's sockets, or a simulated network.
pub trait MediaIo {
    /// Drains what has arrived for a leg (at most 32 packets a call).
    fn receive(
        &mut self,
        leg: u32,
        channel: Channel,
        sink: &mut dyn FnMut(&[u8], SocketAddr, MediaTime),
    );
    /// Sends one packet; it may be held back until [`MediaIo::flush`].
    fn send(&mut self, leg: u32, channel: Channel, to: SocketAddr, packet: &[u8]);
    /// Lets only this peer in on the RTP socket (and makes sending cheaper), or everybody.
    fn connect(&mut self, leg: u32, peer: Option<SocketAddr>);
    /// The leg is closed: its sockets are let go of, before [`crate::leg`]'s owner hears of it.
    fn closed(&mut self, leg: u32);
    /// Everything of this tick has been sent.
    fn flush(&mut self);
    /// How long the present tick has run; a simulated one takes no time.
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// What a tick of a leg had to tell.
#[derive(Debug)]
pub enum LegEvent {
    /// A play came to its end; the play goes back to where memory is freed.
    PlayEnded(Box<Play>, PlayEnd),
    /// A recording stopped by itself.
    RecordingStopped {
        /// Which.
        recording: u64,
        /// Why; none: it was asked to.
        reason: Option<TapStop>,
        /// Its length in samples.
        samples: u64,
    },
    /// Neither RTP nor RTCP for the configured time, and the peer is not on hold.
    MediaTimeout,
    /// Digits were sent, or not; they go back to where memory is freed.
    Dialled(Box<Dial>, DialEnd),
    /// The party has pressed a digit.
    Digit(Digit),
    /// What [`Leg::watch`] asked for.
    Stats(Box<LegStats>),
}

/// One party's media.
#[derive(Debug)]
pub struct Leg {
    id: LegId,
    params: LegParams,
    settings: LegSettings,
    latch: Latch,
    connected: Option<SocketAddr>,
    receiver: Receiver,
    coding: Coding,
    player: Player,
    tap: Option<Tap>,
    echo: bool,
    digits: Digits,
    dial: Option<Box<Dial>>,
    transmit: Transmit,
    /// Samples of the media line that have passed, advanced by whole ticks.
    position: u64,
    begun: Option<MediaTime>,
    last_tick: MediaTime,
    /// The slot is another since the last tick: the line is brought back to the clock.
    moved: bool,
    arrivals: ArrivalPhase,
    heard: MediaTime,
    timed_out: bool,
    next_report: MediaTime,
    reported_packets: u64,
    spread: u64,
    ticks: u64,
    rtcp_source: Option<SocketAddr>,
    /// What the party says is not let in.
    muted: bool,
    peer: PeerReport,
    /// The peer's reference time that waits for its answer (RFC 3611 §4.5), and when it came.
    reference: Option<(Ssrc, u32, MediaTime)>,
    level: LevelMeter,
    statistics: LegCounts,
    /// Where the statistics are to be told: that place.
    watched: Option<Box<LegStats>>,
    next_stats: MediaTime,
}

impl Leg {
    /// Makes a leg, with all the memory that it needs until another codec is agreed on. Fails where
    /// the codec's library does.
    pub fn new(id: LegId, params: LegParams, settings: LegSettings) -> Result<Self, CodecError> {
        Ok(Self {
            id,
            latch: Latch::new(params.remote_rtp),
            connected: None,
            receiver: Receiver::new(params.codec.clock_rate()),
            coding: Coding::new(&params, settings.jitter_max_ms)?,
            player: Player::new(),
            tap: None,
            echo: false,
            digits: Digits::new(),
            dial: None,
            transmit: Transmit::new(
                settings.ssrc,
                settings.first_sequence,
                settings.first_timestamp,
                params.codec,
            ),
            position: 0,
            begun: None,
            last_tick: MediaTime::ZERO,
            moved: false,
            arrivals: ArrivalPhase::default(),
            heard: MediaTime::ZERO,
            timed_out: false,
            next_report: MediaTime::ZERO,
            reported_packets: 0,
            spread: (u64::from(settings.ssrc) << 16) | 1,
            ticks: 0,
            rtcp_source: None,
            muted: false,
            peer: PeerReport::default(),
            reference: None,
            level: LevelMeter::new(),
            statistics: LegCounts::default(),
            watched: None,
            next_stats: MediaTime::ZERO,
            params,
            settings,
        })
    }

    /// The leg's handle.
    pub fn id(&self) -> LegId {
        self.id
    }

    /// Gives the leg its handle in another worker. Its sockets there know no peer yet.
    pub fn rehome(&mut self, id: LegId) {
        self.id = id;
        self.connected = None;
        self.moved = true;
    }

    /// What signalling has decided.
    pub fn params(&self) -> &LegParams {
        &self.params
    }

    /// The leg's sampling rate, Hz.
    pub fn rate(&self) -> u32 {
        self.coding.rate()
    }

    /// Samples of a tick.
    pub fn tick_samples(&self) -> usize {
        self.coding.tick()
    }

    /// What it shares encodings by.
    pub fn encoding_key(&self) -> EncodingKey {
        EncodingKey::new(self.params.codec, self.params.opus)
    }

    /// The loss of packets that the peer reports, percent.
    pub fn expected_loss(&self) -> u8 {
        (u32::from(self.peer.fraction_lost) * 100).div_ceil(256) as u8
    }

    /// Takes what a re-INVITE or UPDATE decided. The timestamp line goes on. Another codec needs a
    /// `coding` for it; what is no longer in use is left in its place.
    pub fn configure(&mut self, params: LegParams, coding: Option<&mut Coding>, now: MediaTime) {
        if let Some(coding) = coding.filter(|coding| coding.serves(&params)) {
            std::mem::swap(&mut self.coding, coding);
            self.coding.playout.continue_from(&coding.playout);
            self.transmit.recode(params.codec);
            self.receiver.set_clock_rate(params.codec.clock_rate());
            self.arrivals.reset();
        } else if !self.coding.serves(&params) {
            // Nothing to encode with: a bug of the control side. The old agreement stays.
            return;
        }
        if params.remote_rtp != self.params.remote_rtp {
            self.latch.signalled(params.remote_rtp, now);
            self.rtcp_source = None;
        }
        if params.remote_rtcp != self.params.remote_rtcp {
            self.rtcp_source = None;
        }
        if params.codec != self.params.codec
            || params.ptime_ms != self.params.ptime_ms
            || (params.send && !self.params.send)
        {
            self.transmit.restart();
        }
        if params.receive != self.params.receive {
            self.coding.playout.reset();
        }
        // A hold ends now, or begins: either way the peer gets its full time again.
        self.heard = now;
        self.timed_out = false;
        self.params = params;
    }

    /// Starts a play; one that runs is replaced and handed back.
    pub fn play(&mut self, play: Box<Play>) -> Option<(Box<Play>, PlayEnd)> {
        self.player.replace(play)
    }

    /// Stops the play; it fades out within 5 ms.
    pub fn stop_play(&mut self) -> Option<(Box<Play>, PlayEnd)> {
        self.player.stop()
    }

    /// Starts to record what the party says. One that ran is handed back.
    pub fn record(&mut self, mut tap: Tap) -> Option<Tap> {
        // Before the first tick there is no line yet: `begin` sets the start then.
        if self.begun.is_some() {
            tap.start_at(self.line() + Duration::from_millis(u64::from(TICK_MS)));
        }
        self.tap.replace(tap)
    }

    /// Stops the recording.
    pub fn stop_record(&mut self) -> Option<Tap> {
        self.tap.take()
    }

    /// Sends back what the party says, or no longer.
    pub fn set_echo(&mut self, on: bool) {
        self.echo = on;
    }

    /// Starts to send digits; a dial that is under way is handed back.
    pub fn dial(&mut self, dial: Box<Dial>) -> Option<Box<Dial>> {
        self.dial.replace(dial)
    }

    /// Stops sending digits.
    pub fn stop_dial(&mut self) -> Option<Box<Dial>> {
        self.dial.take()
    }

    /// The next digit that the party has pressed, for [`LegEvent::Digit`]; after [`Leg::tick_rx`]
    /// of the tick at `now`. What is not taken is kept, up to a bound.
    pub fn take_digit(&mut self, now: MediaTime) -> Option<Digit> {
        let digit = self.digits.poll(now);
        self.statistics.digits += u64::from(digit.is_some());
        digit
    }

    /// The media position, in samples since the leg began.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether a tick at `now` would run ahead of the clock by more than half of one, as after a
    /// move into a slot that comes sooner: it is to be left out. A bridge that moves is no such thing.
    pub fn is_early(&self, now: MediaTime) -> bool {
        let Some(begun) = self.begun.filter(|_| self.ticks > 0) else {
            return false;
        };
        let tick = TICK_SAMPLES as u64;
        let ahead = if self.moved { tick / 2 } else { MAX_ASTRAY };
        let elapsed = (MediaTime::ZERO + now.since(begun)).samples(NARROWBAND);
        self.position + tick > elapsed + ahead
    }

    /// The leg's ticks are in another slot from now on.
    pub fn moved(&mut self) {
        self.moved = true;
    }

    /// Until when in each 20 ms the party's packets are there, us; see the worker's placing of
    /// bridges.
    pub fn arrival_deadline_us(&self) -> Option<u32> {
        self.arrivals.deadline_us()
    }

    /// rx half of a tick: drains the sockets and writes what the party says in this tick.
    pub fn tick_rx<I: MediaIo>(&mut self, rx: &mut [i16], time: TickTime, io: &mut I) {
        let now = time.now;
        if self.begun.is_none() {
            self.begin(now);
        }
        self.advance(now);
        self.ticks += 1;
        let index = self.id.index;
        self.update_filter(now, io);
        io.receive(index, Channel::Rtp, &mut |data, from, arrival| {
            self.on_datagram(data, from, arrival, time);
        });
        // RTCP is rare: its own socket is read twice a second.
        if !self.params.rtcp_mux && self.ticks.is_multiple_of(25) {
            io.receive(index, Channel::Rtcp, &mut |data, from, arrival| {
                self.on_rtcp_from(data, from, arrival, time);
            });
        }
        self.coding.playout.pull(rx, now);
        self.mute(rx, now);
        self.level.update(rx);
    }

    /// Lets nothing in from a party that has put us on hold (its music would be heard by a whole
    /// conference), or that may not send, nor the sound of its digits. Fades where that begins and
    /// ends.
    fn mute(&mut self, rx: &mut [i16], now: MediaTime) {
        let inband = self.settings.inband_digits && self.params.events.is_none();
        let suspect = inband && self.params.receive && self.listen(rx);
        let digit = self.digits.is_sounding(now) || suspect;
        let muted = digit || self.params.held || !self.params.receive;
        let part = if digit { DIGIT_FADE_PART } else { FADE_PART };
        let (edge, rest) = rx.split_at_mut(rx.len() / part);
        match (self.muted, muted) {
            (false, false) => {}
            (true, false) => gain::ramp(edge, 0.0, 1.0),
            (false, true) => {
                gain::ramp(edge, 1.0, 0.0);
                rest.fill(0);
            }
            (true, true) => rx.fill(0),
        }
        self.muted = muted;
    }

    /// Seeks digits in the audio, at 8 kHz.
    fn listen(&mut self, rx: &[i16]) -> bool {
        let Some(down) = &mut self.coding.down else {
            return self.digits.listen(rx);
        };
        let mut narrow = [0i16; TICK_SAMPLES];
        down.process(rx, &mut narrow);
        self.digits.listen(&narrow)
    }

    /// The events that came of the rx half: the recording's end and the media time-out. `rx` is
    /// what [`Leg::tick_rx`] wrote.
    pub fn tick_record(&mut self, rx: &[i16], now: MediaTime) -> Option<LegEvent> {
        // The leg's own line and not the clock: moving to another slot must not tear a frame.
        let line = self.line();
        let mut narrow = [0i16; TICK_SAMPLES];
        let rx = match &mut self.coding.record_down {
            Some(down) if self.tap.is_some() => {
                down.process(rx, &mut narrow);
                &narrow
            }
            _ => rx,
        };
        if let Some(tap) = &mut self.tap
            && let TapStatus::Stopped(reason) = tap.push(rx, line)
        {
            let event = LegEvent::RecordingStopped {
                recording: tap.recording(),
                reason: Some(reason),
                samples: tap.end_position(),
            };
            self.tap = None;
            return Some(event);
        }
        let limit = u64::from(self.settings.media_timeout_ms);
        if limit > 0
            && !self.timed_out
            && !self.params.held
            && now.since(self.heard).as_millis() as u64 >= limit
        {
            self.timed_out = true;
            return Some(LegEvent::MediaTimeout);
        }
        None
    }

    /// tx half of a tick: sends `base` (the bridge's or the echo's audio, silence where there is
    /// neither) with the player's on top, or the digit that is being dialled. Returns whether a
    /// packet is held for ten slots later, the play that ended and the dial that ended.
    pub fn tick_tx<I: MediaIo>(
        &mut self,
        base: Outgoing<'_>,
        time: TickTime,
        io: &mut I,
    ) -> (bool, [Option<LegEvent>; 2]) {
        let mut ended = None;
        let mut dialled = None;
        let mut held = false;
        let mut mixed = [0i16; MAX_TICK];
        let mut outgoing = base;
        if !self.player.is_idle() {
            if let PlayStatus::Ended(play, end) = self.play_over(outgoing.samples, &mut mixed) {
                ended = Some(LegEvent::PlayEnded(play, end));
            }
            let samples = &mixed[..outgoing.samples.len()];
            outgoing = Outgoing {
                samples,
                shared: None,
                ..outgoing
            };
        }
        if self.params.send
            && let Some(to) = self.latch.remote()
        {
            let index = self.id.index;
            let mut tone = [0i16; MAX_TICK];
            let mut send = |p: &[u8]| io.send(index, Channel::Rtp, to, p);
            let tick = outgoing.samples.len();
            let audio = match self.dial_tick(&mut tone[..tick], &mut send) {
                Dialled::Audio => true,
                Dialled::Reports { audio, .. } => audio,
                Dialled::Tone => {
                    outgoing = Outgoing {
                        samples: &tone[..tick],
                        shared: None,
                        ..outgoing
                    };
                    true
                }
                Dialled::Over(end) => {
                    dialled = self.dial.take().map(|dial| LegEvent::Dialled(dial, end));
                    true
                }
            };
            if audio {
                let format = Format {
                    codec: self.params.codec,
                    payload_type: self.params.tx_payload_type,
                    ptime_ms: self.params.codec.ptime_ms(self.params.ptime_ms),
                };
                let position = self.position;
                held = self
                    .transmit
                    .push(outgoing, position, format, &mut self.coding, send);
            }
        }
        if self.report_due(time.now) {
            self.send_report(time, false, io);
        }
        (held, [ended, dialled])
    }

    /// What plays, on top of `base`.
    fn play_over(&mut self, base: &[i16], out: &mut [i16]) -> PlayStatus {
        let mut narrow = [0i16; TICK_SAMPLES];
        let status = self.player.fill(&mut narrow);
        let out = &mut out[..base.len()];
        match &mut self.coding.up {
            Some(up) => up.process(&narrow, out),
            None => out.copy_from_slice(&narrow[..base.len().min(TICK_SAMPLES)]),
        }
        for (out, &base) in out.iter_mut().zip(base) {
            *out = out.saturating_add(base);
        }
        status
    }

    /// The tick of the dial that is under way; its reports are sent.
    fn dial_tick(&mut self, tone: &mut [i16], send: &mut impl FnMut(&[u8])) -> Dialled {
        let Some(dial) = &mut self.dial else {
            return Dialled::Audio;
        };
        let events = self.params.events;
        let mut narrow = [0i16; TICK_SAMPLES];
        let boundary = self.transmit.is_at_boundary();
        let dialled = dial.tick(self.position, boundary, events, &mut narrow);
        if matches!(dialled, Dialled::Tone) {
            match &mut self.coding.up {
                Some(up) => up.process(&narrow, tone),
                None => tone.copy_from_slice(&narrow),
            }
        }
        if let (Dialled::Reports { reports, audio }, Some(format)) = (&dialled, events) {
            for report in reports.iter().flatten() {
                self.transmit
                    .push_event(report, format.tx, &self.coding, &mut *send);
            }
            if !audio {
                // The audio behind the digit begins a talk-spurt of its own.
                self.transmit.restart();
            }
        }
        dialled
    }

    /// Sends the packet that was held for this slot.
    pub fn tick_held<I: MediaIo>(&mut self, io: &mut I) {
        let index = self.id.index;
        if let Some(to) = self.latch.remote() {
            self.transmit.flush_held(&self.coding, &mut |p: &[u8]| {
                io.send(index, Channel::Rtp, to, p)
            });
        }
    }

    /// Says goodbye (RFC 3550 §6.6); the leg is taken apart afterwards. Ends what still runs.
    pub fn close<I: MediaIo>(&mut self, time: TickTime, io: &mut I) {
        self.send_report(time, true, io);
    }

    /// What a leg without a bridge sends: its own audio in echo, else silence.
    pub fn solo<'a>(&self, rx: &'a [i16], silence: &'a [i16]) -> &'a [i16] {
        if self.echo { rx } else { silence }
    }

    fn begin(&mut self, now: MediaTime) {
        self.begun = Some(now);
        self.heard = now;
        if let Some(tap) = &mut self.tap {
            tap.start_at(now);
        }
        // The first report soon, so that the peer learns our name and we its round trip.
        self.next_report = now + Duration::from_millis(1000 + self.spread % 500);
    }

    /// The media line of the present tick.
    fn line(&self) -> MediaTime {
        self.begun.unwrap_or_default() + Duration::from_micros(self.position * 125)
    }

    /// Moves the media line to this tick: by one tick, and past any that were skipped. A tick that
    /// is some milliseconds off since its bridge moved is one tick; the line follows the clock to
    /// within two.
    fn advance(&mut self, now: MediaTime) {
        let Some(begun) = self.begun else { return };
        let tick = TICK_SAMPLES as u64;
        if self.ticks > 0 && self.moved {
            self.position += tick;
        } else if self.ticks > 0 {
            let since = (MediaTime::ZERO + now.since(self.last_tick)).samples(NARROWBAND);
            self.position += ((since + tick / 2) / tick).max(1) * tick;
        }
        self.last_tick = now;
        let elapsed = (MediaTime::ZERO + now.since(begun)).samples(NARROWBAND);
        let behind = elapsed.saturating_sub(self.position);
        if self.moved || behind > MAX_ASTRAY {
            self.position += behind / tick * tick;
        }
        self.moved = false;
    }
}

/// How far the media line may be from the clock, samples: what a bridge's moves may add up to, and
/// half a tick that joining it may take.
const MAX_ASTRAY: u64 = TICK_SAMPLES as u64 * 2;

/// The packet-time bound in ticks: how long a packet can wait for its due slot.
pub const HELD_SLOTS: u64 = TICK_MS as u64 / 2;
