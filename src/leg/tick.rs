//! A leg's tick: what the party says in this one, and what goes out to it.

use std::time::Duration;

use super::dial::Dialled;
use super::player::PlayStatus;
use super::tap::TapStatus;
use super::transmit::Format;
use super::transport::Protocol;
use super::{Channel, Content, Leg, LegEvent, MAX_TICK, MediaIo, Outgoing, TickTime};
use crate::audio::sound::Band;
use crate::audio::{MediaTime, TICK_MS, TICK_SAMPLES, gain};

/// A fade takes this part of a tick: 5 ms.
const FADE_PART: usize = 4;
/// The same for digits, of which as little as possible is to be heard: 2 ms.
const DIGIT_FADE_PART: usize = 10;

impl Leg {
    /// rx half of a tick: drains the sockets and writes what the party says in this tick.
    pub fn tick_rx<I: MediaIo>(&mut self, rx: &mut [i16], time: TickTime, io: &mut I) {
        self.begin_tick(time, io);
        self.say(rx, Duration::ZERO, time);
    }

    /// Begins a tick and drains the sockets. Whether any RTP came: if not, [`Leg::read_again`] may
    /// find some later in the tick, before [`Leg::say`].
    pub fn begin_tick<I: MediaIo>(&mut self, time: TickTime, io: &mut I) -> bool {
        self.begin_tick_unread(time, io);
        self.read_again(time, io)
    }

    /// Begins a tick; RTP is read later.
    pub fn begin_tick_unread<I: MediaIo>(&mut self, time: TickTime, io: &mut I) {
        let now = time.now;
        if self.begun.is_none() {
            self.begin(now);
        }
        self.advance(now);
        self.ticks += 1;
        self.update_filter(now, io);
        // RTCP is rare: its own socket is read twice a second, but for a handshake on it.
        let due = self.ticks.is_multiple_of(25) || self.awaits_rtcp_keys();
        if due && !self.params.rtcp_mux {
            io.receive(self.id.index, Channel::Rtcp, &mut |data, from, arrival| {
                self.on_control(data, from, arrival, time);
                Content::Other
            });
        }
    }

    /// Drains the RTP socket; whether anything was in it.
    pub fn read_again<I: MediaIo>(&mut self, time: TickTime, io: &mut I) -> bool {
        if self.feed.is_some() {
            return true;
        }
        let mut read = false;
        io.receive(self.id.index, Channel::Rtp, &mut |data, from, arrival| {
            read = true;
            self.on_datagram(data, from, arrival, time)
        });
        read
    }

    /// Writes what the party says in this tick. `after` is how far into the tick its packets were
    /// read: those that were there by then are in time.
    pub fn say(&mut self, rx: &mut [i16], after: Duration, time: TickTime) {
        if let Some(feed) = &mut self.feed {
            feed.pull(rx);
        } else {
            self.coding.playout.pull(rx, time.now + after);
            self.mute(rx, time.now);
        }
        // The party's own, and not what is made of it.
        self.level.update(rx);
        if let Some(processing) = &mut self.coding.processing {
            processing.input(rx);
        }
        if let Some(talk) = &mut self.talk {
            talk.follow(rx);
        }
        self.say_to_snoops(rx);
    }

    /// Lets nothing in from a party that has put us on hold (its music would be heard by a whole
    /// conference), or that may not send, nor the sound of its digits. Fades where that begins and
    /// ends.
    fn mute(&mut self, rx: &mut [i16], now: MediaTime) {
        let inband = self.settings.inband_digits && self.params.events.is_none();
        let suspect = inband && self.params.receive && self.listen(rx);
        if suspect {
            self.coding.playout.keep_length();
        }
        let from = || {
            let clock = self.params.events?.clock_rate;
            self.coding.playout.played_from(rx.len(), clock)
        };
        let digit = self.digits.is_sounding(now, from) || suspect;
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
        if self.digits.sleeps_on(rx) {
            return false;
        }
        let mut narrow = [0i16; TICK_SAMPLES];
        down.process(rx, &mut narrow);
        self.digits.listen(&narrow)
    }

    /// The events that came of the rx half: the recording's end and the media time-out. `rx` is
    /// what [`Leg::tick_rx`] wrote.
    pub fn tick_record(&mut self, rx: &[i16], now: MediaTime) -> Option<LegEvent> {
        // The leg's own line and not the clock: moving to another slot must not tear a frame.
        let line = self.line();
        let rate = self.coding.rate();
        let mut narrow = [0i16; TICK_SAMPLES];
        if let Some(tap) = &mut self.tap {
            let status = match &mut self.coding.record_down {
                Some(down) if !tap.converts() => {
                    down.process(rx, &mut narrow);
                    tap.push(&narrow, line)
                }
                _ => tap.say(rx, rate, line),
            };
            if let Some(event) = self.recorded(status) {
                return Some(event);
            }
        }
        let limit = u64::from(self.settings.media_timeout_ms);
        // Who only listens need not send, but to have it all sent to somebody else.
        let may_be_silent = self.params.held && (self.params.own_address || !self.params.send);
        if limit > 0
            && !self.timed_out
            && !may_be_silent
            && now.since(self.heard).as_millis() as u64 >= limit
        {
            self.timed_out = true;
            return Some(LegEvent::MediaTimeout);
        }
        None
    }

    /// Records what goes out in this tick, where that is wanted. A recording that stops with it is told
    /// with the next.
    fn record_heard(&mut self, heard: Option<&[i16]>) {
        let rate = self.coding.rate();
        // On hold the party hears nothing.
        let heard = heard.filter(|_| self.params.send);
        if let Some(tap) = &mut self.tap {
            tap.hear(heard, rate);
        }
        self.end_snooping(heard);
    }

    /// Ends a recording that has stopped.
    fn recorded(&mut self, status: TapStatus) -> Option<LegEvent> {
        let TapStatus::Stopped(reason) = status else {
            return None;
        };
        let tap = self.tap.take()?;
        Some(LegEvent::RecordingStopped {
            recording: tap.recording(),
            reason: Some(reason),
            samples: tap.end_position(),
            length: tap.length(),
            memory: tap.into_memory(),
        })
    }

    /// Behind the last tick of a leg that ends: records the next 20 ms of what has come and was not
    /// played yet. None once there is nothing left.
    pub fn record_rest(&mut self, rx: &mut [i16]) -> Option<Option<LegEvent>> {
        // In that tick nothing goes out: what the party says in it waits for no other side.
        if let Some(tap) = &mut self.tap {
            tap.hear(None, self.coding.rate());
        }
        if self.tap.is_none() || self.coding.playout.stats().depth_samples == 0 {
            return None;
        }
        self.position += TICK_SAMPLES as u64;
        let now = self.last_tick + Duration::from_millis(u64::from(TICK_MS));
        self.last_tick = now;
        self.say(rx, Duration::ZERO, TickTime { now, ntp: 0 });
        let ended = self.tick_record(rx, now);
        self.record_heard(None);
        Some(ended)
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
        let outgoing = base;
        let processed = self
            .coding
            .processing
            .as_ref()
            .is_some_and(|p| p.changes_output());
        // What is played, and digits, begin with the keys.
        let begins = self.transport.can_send();
        let own = begins && (!self.player.is_idle() || self.dial.is_some());
        let held = if processed || own || self.hears_whispers() {
            self.send_made(outgoing, &mut ended, &mut dialled, io)
        } else {
            self.record_heard(Some(outgoing.samples));
            self.send_audio(outgoing, io)
        };
        if self.report_due(time.now) {
            self.send_report(time, false, io);
        }
        (held, [ended, dialled])
    }

    fn send_audio<I: MediaIo>(&mut self, outgoing: Outgoing<'_>, io: &mut I) -> bool {
        // What has no key yet takes no number.
        let sends = self.params.send && self.transport.can_send();
        let (true, Some(to)) = (sends, self.latch.remote()) else {
            return false;
        };
        let index = self.id.index;
        let format = Format {
            codec: self.params.codec,
            payload_type: self.params.tx_payload_type,
            ptime_ms: self.params.codec.ptime_ms(self.params.ptime_ms),
        };
        let transport = &mut self.transport;
        self.transmit
            .push(outgoing, self.position, format, &mut self.coding, |p| {
                transport.seal(Protocol::Rtp, p, |p| io.send(index, Channel::Rtp, to, p));
            })
    }

    /// The same where the leg's own part is in it: processing, a play, digits.
    fn send_made<I: MediaIo>(
        &mut self,
        base: Outgoing<'_>,
        ended: &mut Option<LegEvent>,
        dialled: &mut Option<LegEvent>,
        io: &mut I,
    ) -> bool {
        let tick = base.samples.len();
        let encoder = base.encoder;
        let mut made = [0i16; MAX_TICK];
        let made = &mut made[..tick];
        made.copy_from_slice(base.samples);
        let mut own = false;
        if let Some(processing) = self.coding.processing.as_mut()
            && processing.changes_output()
        {
            processing.output(made);
            own = true;
        }
        let begins = self.transport.can_send();
        if begins && !self.player.is_idle() {
            if let PlayStatus::Ended(play, end) = self.play_over(made) {
                *ended = Some(LegEvent::PlayEnded(play, end));
            }
            own = true;
        }
        own |= self.whisper(made);
        if begins
            && self.params.send
            && let Some(to) = self.latch.remote()
        {
            let index = self.id.index;
            let mut transport = std::mem::take(&mut self.transport);
            let dialling = self.dial_tick(made, &mut |p: &[u8]| {
                transport.seal(Protocol::Rtp, p, |p| io.send(index, Channel::Rtp, to, p));
            });
            self.transport = transport;
            match dialling {
                Dialled::Audio | Dialled::Reports { audio: true, .. } => {}
                Dialled::Reports { audio: false, .. } => {
                    self.record_heard(None);
                    return false;
                }
                Dialled::Tone => own = true,
                Dialled::Over(end) => {
                    *dialled = self.dial.take().map(|dial| LegEvent::Dialled(dial, end));
                }
            }
        }
        self.record_heard(Some(if own { made } else { base.samples }));
        let outgoing = if own {
            Outgoing {
                samples: made,
                shared: None,
                encoder,
            }
        } else {
            base
        };
        self.send_audio(outgoing, io)
    }

    /// What plays, on top of what is there.
    fn play_over(&mut self, out: &mut [i16]) -> PlayStatus {
        let band = Band::of(self.coding.rate());
        let mut played = [0i16; 2 * TICK_SAMPLES];
        let played = &mut played[..TICK_SAMPLES * band.scale()];
        let status = self.player.fill(played, band);
        match &mut self.coding.up_wide {
            Some(up) => {
                let mut raised = [0i16; MAX_TICK];
                let raised = &mut raised[..out.len()];
                up.process(played, raised);
                add(out, raised);
            }
            None => add(out, played),
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
            let transport = &mut self.transport;
            self.transmit.flush_held(&self.coding, &mut |p: &[u8]| {
                transport.seal(Protocol::Rtp, p, |p| io.send(index, Channel::Rtp, to, p));
            });
        }
    }
}

pub(super) fn add(out: &mut [i16], more: &[i16]) {
    for (out, &more) in out.iter_mut().zip(more) {
        *out = out.saturating_add(more);
    }
}
