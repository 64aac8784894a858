//! One party's media: socket packets <-> samples.
//!
//! rx: packet -> transport (plain, or SRTP opened) -> latch -> RTP session -> playout (jitter buffer, decoder, concealment) -> samples,
//! tapped for the recording. tx: bridge, echo or player -> encoder -> packet -> transport. Owned by one media
//! worker; everything here after [`Leg::new`] runs on the media thread and allocates nothing.

mod coding;
mod control;
mod dial;
mod digits;
mod flight;
mod io;
mod memory;
mod params;
mod phase;
pub mod playout;
mod receive;
mod snoop;
mod stats;
mod talk;
mod tick;
mod totals;
mod transmit;
mod transport;

pub use crate::audio::{player, tap};
pub use coding::{Coding, CodingNeeds, EncodingKey, Reprocessing};
pub use control::PeerReport;
pub use dial::{Dial, DialEnd, DialMethod, DigitString, MAX_DIGITS, MAX_MS, MIN_MS};
pub use flight::{Flight, MAX_FLIGHTS};
pub use io::{Channel, Content, MediaIo, Sink, TickTime};
pub use memory::LegMemory;
pub use params::{EventFormat, LegId, LegParams, LegSettings, MAX_RX_TYPES};
pub use snoop::{Feed, MAX_SNOOPS, Sides, Snoop, listen_in};
pub use stats::{LegCounts, LegStats};
pub use talk::TalkWatch;
pub use totals::MediaTotals;
pub use transmit::{HELD_SLOTS, Outgoing};
pub use transport::Keying;

use std::net::SocketAddr;
use std::time::Duration;

use crate::audio::level::LevelMeter;
use crate::audio::{FULLBAND, MediaTime, NARROWBAND, TICK_MS, TICK_SAMPLES};
use crate::codec::CodecError;
use crate::dtmf::Digit;
use crate::rtp::Ssrc;
use crate::rtp::latch::{Latch, Stream};
use crate::rtp::session::Receiver;
use digits::Digits;
use flight::Flights;
use phase::ArrivalPhase;
use player::{Play, PlayControl, PlayEnd, Player};
use talk::Talk;
use tap::{Converter, RecordControl, Tap, TapStop};
use transmit::Transmit;
use transport::Transport;

/// Samples of a tick at the highest rate.
pub const MAX_TICK: usize = FULLBAND as usize / 50;

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
        /// Its length.
        length: Duration,
        /// To be freed.
        memory: Option<Box<Converter>>,
    },
    /// Neither RTP nor RTCP for the configured time, and the peer is not on hold.
    MediaTimeout,
    /// Digits were sent, or not; they go back to where memory is freed.
    Dialled(Box<Dial>, DialEnd),
    /// The party has pressed a digit.
    Digit(Digit),
    /// DTLS has come; the box is to come back by [`Leg::exchange`].
    Dtls(Box<Flight>),
    /// What [`Leg::watch`] asked for.
    Stats(Box<LegStats>),
    /// The party begins to talk, or has ceased to and has talked for so many ticks; for who has asked
    /// by [`Leg::watch_talk`].
    Talk {
        /// It begins.
        talking: bool,
        /// How long it was, ticks.
        ticks: u32,
    },
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
    transport: Transport,
    /// That of RTCP, where it has keys of its own; plain until they come.
    rtcp_transport: Transport,
    flights: Flights,
    /// Samples of the media line that have passed, advanced by whole ticks.
    position: u64,
    begun: Option<MediaTime>,
    last_tick: MediaTime,
    /// The slot is another since the last tick: the line is brought back to the clock.
    moved: bool,
    arrivals: ArrivalPhase,
    heard: MediaTime,
    /// When the last packet of whole ticks came, and its length.
    last_audio: (MediaTime, Duration),
    timed_out: bool,
    next_report: MediaTime,
    reported_packets: u64,
    spread: u64,
    ticks: u64,
    /// Where the peer's RTCP comes from, and when it came last.
    rtcp_source: Option<(SocketAddr, MediaTime)>,
    /// What the party says is not let in.
    muted: bool,
    peer: PeerReport,
    /// The peer's reference time that waits for its answer (RFC 3611 §4.5), and when it came.
    reference: Option<(Ssrc, u32, MediaTime)>,
    level: LevelMeter,
    talk: Option<Talk>,
    /// Who listens in on it.
    snoops: [Option<Box<Snoop>>; MAX_SNOOPS],
    /// Whether anybody does: few legs are ever listened in on.
    snooped: bool,
    /// What it hears and says in place of a peer.
    feed: Option<Box<Feed>>,
    statistics: LegCounts,
    /// Where the statistics are to be told: that place.
    watched: Option<Box<LegStats>>,
    /// What of it is in the sums over all legs, and when that is looked at next.
    counted: MediaTotals,
    /// Of the playout's made-up samples so many are in it.
    concealed_counted: u64,
    next_count: MediaTime,
    next_stats: MediaTime,
}

impl Leg {
    /// Makes a leg, with all the memory that it needs until another codec is agreed on. Fails where
    /// the codec's library does.
    pub fn new(id: LegId, params: LegParams, settings: LegSettings) -> Result<Self, CodecError> {
        Self::in_memory_of(None, id, params, settings)
    }

    /// The same, in memory that a leg has left behind ([`Leg::into_memory`]) as far as it has the size.
    pub fn in_memory_of(
        memory: Option<LegMemory>,
        id: LegId,
        params: LegParams,
        settings: LegSettings,
    ) -> Result<Self, CodecError> {
        let (jitter, process) = (settings.jitter_max_ms, settings.process);
        let (coding, digits) = memory.map_or((None, None), |m| (Some(m.coding), Some(m.digits)));
        let mut latch = Latch::of(params.remote_rtp, params.sources);
        latch.set_listens_as_described(params.listens_as_described);
        Ok(Self {
            id,
            latch,
            connected: None,
            receiver: Receiver::new(params.codec.clock_rate()),
            coding: Coding::in_memory_of(coding, &params, jitter, process)?,
            player: Player::new(),
            tap: None,
            echo: false,
            digits: digits.map_or_else(Digits::new, Digits::recycled),
            dial: None,
            transmit: Transmit::new(
                settings.ssrc,
                settings.first_sequence,
                settings.first_timestamp,
                params.codec,
            ),
            transport: Transport::default(),
            rtcp_transport: Transport::default(),
            flights: Flights::new(),
            position: 0,
            begun: None,
            last_tick: MediaTime::ZERO,
            moved: false,
            arrivals: ArrivalPhase::default(),
            heard: MediaTime::ZERO,
            last_audio: (MediaTime::ZERO, Duration::ZERO),
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
            talk: None,
            snoops: Default::default(),
            snooped: false,
            feed: None,
            statistics: LegCounts::default(),
            watched: None,
            counted: MediaTotals::default(),
            concealed_counted: 0,
            next_count: MediaTime::ZERO,
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
        self.moved();
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

    /// Takes what a re-INVITE or UPDATE decided. The timestamp line goes on. Another codec needs a
    /// `coding` for it; what is no longer in use is left in its place.
    pub fn configure(&mut self, params: LegParams, coding: Option<&mut Coding>, now: MediaTime) {
        if let Some(coding) = coding.filter(|coding| coding.serves(&params)) {
            std::mem::swap(&mut self.coding, coding);
            let rates = (coding.rate(), self.coding.rate());
            self.concealed_counted = playout::rescaled(self.concealed_counted, rates);
            self.coding.playout.continue_from(&coding.playout);
            if let (Some(now), Some(before)) = (&mut self.coding.processing, &mut coding.processing)
            {
                now.continue_from(before);
            }
            // A packet that waits for its slot has its number already.
            std::mem::swap(&mut self.coding.held, &mut coding.held);
            self.transmit.recode(params.codec, self.position);
            self.receiver.set_clock_rate(params.codec.clock_rate());
            self.arrivals.reset();
        } else if !self.coding.serves(&params) {
            // Nothing to encode with: a bug of the control side. The old agreement stays.
            return;
        }
        self.latch.set_sources(params.sources);
        self.latch
            .set_listens_as_described(params.listens_as_described);
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
        if params.receive && !self.params.receive || self.params.held && !params.held {
            self.latch.resumed();
        }
        // A hold ends now, or begins: either way the peer gets its full time again.
        self.heard = now;
        self.timed_out = false;
        self.params = params;
    }

    /// Takes nothing of a stream of the call that had the port before.
    pub fn shun(&mut self, stream: Stream) {
        self.latch.shun(stream);
    }

    /// The stream that was taken last.
    pub fn stream(&self) -> Option<Stream> {
        self.latch.stream()
    }

    /// Takes keys, or goes on without; what is no longer in use is left in `keying`.
    pub fn rekey(&mut self, keying: &mut Keying, now: MediaTime) {
        match keying.channel() {
            Channel::Rtp => {
                self.transport.rekey(keying, now);
                self.latch.set_secure(self.transport.is_secure());
            }
            Channel::Rtcp => self.rtcp_transport.rekey(keying, now),
        }
    }

    /// Switches the processing of the audio; what is no longer in use is left in `to`. Another codec
    /// may have come meanwhile: then nothing changes.
    pub fn reprocess(&mut self, to: &mut Reprocessing) {
        if to.rate != self.rate() {
            return;
        }
        if self.coding.processing.is_none() {
            self.coding.processing = to.processing.take();
        }
        if let Some(processing) = &mut self.coding.processing {
            // What is in use has learnt the noise: it goes on, and the new one goes back.
            let goes_on = to.settings.noise_suppression && processing.suppresses_noise();
            let new = if goes_on { None } else { to.noise.take() };
            let unused = processing.apply(to.settings, new);
            if unused.is_some() {
                to.noise = unused;
            }
        }
    }

    /// Starts a play; one that runs is replaced and handed back.
    pub fn play(&mut self, play: Box<Play>) -> Option<(Box<Play>, PlayEnd)> {
        self.player.replace(play)
    }

    /// Stops the play; it fades out within 5 ms.
    pub fn stop_play(&mut self) -> Option<(Box<Play>, PlayEnd)> {
        self.player.stop()
    }

    /// Pauses the play, or moves within it.
    pub fn control_play(&mut self, control: PlayControl) {
        self.player.control(control);
    }

    /// Pauses the recording, or goes on.
    pub fn control_record(&mut self, control: RecordControl) {
        if let Some(tap) = &mut self.tap {
            tap.control(control);
        }
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
        self.set_followed(false);
    }

    /// Whether the bridge is placed behind the party's packets, and the one behind the last is due by
    /// then, or was so a tick ago at most.
    pub fn is_awaited(&self, by: MediaTime) -> bool {
        let tick = Duration::from_millis(u64::from(TICK_MS));
        let (arrival, length) = self.last_audio;
        let due = arrival + length;
        self.coding.playout.spares() && by + EARLY >= due && by < due + tick
    }

    /// Whether the bridge keeps behind the party's packets, by [`Leg::arrival_deadline_us`]: the
    /// playout then need not wait for those that come some milliseconds later.
    pub fn set_followed(&mut self, followed: bool) {
        let spared_us = if followed { phase::MAX_LATE_US } else { 0 };
        self.coding.playout.spare(spared_us);
    }

    /// Has the memory fetched that its next tick touches, besides this itself.
    pub fn expect<I: MediaIo>(&self, io: &I) {
        self.coding.playout.expect(io);
    }

    /// Whether the packet behind the last one is due by then.
    pub fn expects_more(&self, by: MediaTime) -> bool {
        self.feed.is_none() && by >= self.heard + Duration::from_millis(u64::from(TICK_MS))
    }

    /// Until when in each 20 ms the party's packets are there, us; see the worker's placing of
    /// bridges.
    pub fn arrival_deadline_us(&self) -> Option<u32> {
        self.arrivals.deadline_us(self.coding.playout.guard_us())
    }

    /// The mean time in each 20 ms when the party's packets come, and how long after that the latest
    /// have been there for `spare_us` or what the playout asks for, us. None where nothing has come, and
    /// where jitter leaves no such time.
    pub fn arrival_window_us(&self, spare_us: i32) -> Option<(u32, u32)> {
        let guard_us = self.coding.playout.guard_us();
        self.arrivals.window_us(guard_us.max(spare_us))
    }

    /// Whether the leg encodes by itself what others hear too, for some time after a frame of its own.
    /// False where it has to anyhow.
    pub fn lingers(&self) -> bool {
        let processed = self.coding.processing.as_ref();
        self.transmit.lingers()
            && self.transmit.is_at_boundary()
            && self.params.send
            && u32::from(self.params.codec.ptime_ms(self.params.ptime_ms)) == TICK_MS
            && self.player.is_idle()
            && self.dial.is_none()
            && !self.hears_whispers()
            && !processed.is_some_and(|p| p.changes_output())
    }

    /// No longer: it is dear.
    pub fn stop_lingering(&mut self) {
        self.transmit.stop_lingering();
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
        self.latch.begin(now);
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

/// By how much earlier than that a packet may come whose predecessor was late.
const EARLY: Duration = Duration::from_micros(phase::MAX_LATE_US as u64);
/// How far the media line may be from the clock, samples: what a bridge's moves may add up to, and
/// half a tick that joining it may take.
const MAX_ASTRAY: u64 = TICK_SAMPLES as u64 * 2;
