//! What callers and the control side do, at random: open, join, talk, play, record, echo, hold,
//! change codec, move between bridges, leave, close.

use std::net::SocketAddr;
use std::sync::Arc;

use antiphon::audio::process::ProcessSettings;
use antiphon::audio::sound::Sound;
use antiphon::audio::source::{CHUNK_SAMPLES, Source, Supply, feed};
use antiphon::audio::tone::Tone;
use antiphon::audio::{FULLBAND, MediaTime, NARROWBAND, WIDEBAND};
use antiphon::bridge::{
    Bridge, Classes, Ducking, Port, Relation, RoomPlay, RoomRecording, RoomRecordingSettings, Track,
};
use antiphon::codec::{Codec, OpusSettings};
use antiphon::dtmf::Digit;
use antiphon::leg::player::{Play, PlayControl, PlayEndReason};
use antiphon::leg::tap::{RecordControl, RecordFrame, Tap, TapSettings, TapStop};
use antiphon::leg::{
    Dial, DialEnd, DialMethod, DigitString, EventFormat, Feed, Flight, Keying, Leg, LegEvent,
    LegId, LegParams, LegSettings, Reprocessing, Sides, TalkWatch, listen_in,
};
use antiphon::srtp::MasterKey;
use antiphon::worker::{BridgeId, Command, Event, Freed, Recoding, SharedEncoder, Talkers};
use crossbeam_channel::Sender;

use crate::party::{OPUS, REDUNDANT, TELEPHONE_EVENT};
use crate::random::Random;

/// How often each thing has come to pass: a run that did not do it proves nothing.
#[derive(Debug, Default)]
pub struct Tellings {
    pub opened: u64,
    pub closed: u64,
    pub bridges_closed: u64,
    pub joins_refused: u64,
    pub ports_freed: u64,
    pub others_freed: u64,
    pub keys_freed: u64,
    pub dtls: u64,
    pub secure_packets: u64,
    pub unauthenticated: u64,
    pub replayed: u64,
    pub finished: u64,
    pub stopped: u64,
    pub replaced: u64,
    pub failed: u64,
    pub underruns: u64,
    pub recorded_until_told: u64,
    pub recorded_until_full: u64,
    pub recorded_until_silence: u64,
    pub media_timeouts: u64,
    pub moved: u64,
    pub digits: u64,
    pub dialled: u64,
    pub dials_stopped: u64,
    pub figures: u64,
    pub talks: u64,
    pub listeners: u64,
    pub snoops_freed: u64,
    pub room_plays: u64,
    pub talkers: u64,
    pub rooms_recorded: u64,
    pub tracks: u64,
    pub classes_freed: u64,
    pub metrics_sent: u64,
    pub packets_received: u64,
    pub packets_sent: u64,
    pub reports_received: u64,
}

/// The control side of the run.
pub struct Director {
    random: Random,
    legs: Vec<(u32, bool)>,
    bridges: Vec<(u32, bool)>,
    frames: Sender<RecordFrame>,
    supplies: Vec<Supply>,
    /// Legs that are in no worker.
    #[expect(clippy::vec_box, reason = "they come boxed and go on so")]
    moving: Vec<Box<Leg>>,
    prompt: Arc<[i16]>,
    counter: u64,
    /// Who listens in, and their ends until a leg opens.
    snoops: Vec<(LegId, u64)>,
    #[expect(clippy::vec_box, reason = "they come boxed and go on so")]
    feeds: Vec<Box<Feed>>,
    /// The recording of a room that was begun last.
    recording: u64,
    /// What everybody encrypts with who does.
    key: Option<MasterKey>,
    pub told: Tellings,
}

impl Director {
    pub fn new(seed: u64, legs: usize, bridges: usize, frames: Sender<RecordFrame>) -> Self {
        Self {
            random: Random::new(seed),
            legs: vec![(0, false); legs],
            bridges: vec![(0, false); bridges],
            frames,
            supplies: Vec::new(),
            moving: Vec::new(),
            prompt: (0..3000).map(|i| (i * 7 % 9000) as i16).collect(),
            counter: 0,
            snoops: Vec::new(),
            feeds: Vec::new(),
            recording: 0,
            key: None,
            told: Tellings::default(),
        }
    }

    /// Legs at even places are encrypted from now on, with this key both ways.
    pub fn secure(mut self, key: MasterKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Keys for a leg at this place: the same once more, so that the packets still fit; at times one
    /// direction alone, or none.
    fn keying(&mut self, index: u32) -> Option<Box<Keying>> {
        let key = self.key.clone().filter(|_| index.is_multiple_of(2))?;
        Some(match self.random.below(10) {
            0 => Keying::plain(),
            1 => Keying::srtp(None, None),
            2 => Keying::srtp(None, Some(&key)),
            _ => Keying::srtp(Some(&key), Some(&key)),
        })
    }

    /// DTLS to be sent, or none.
    fn flight(&mut self) -> Box<Flight> {
        let mut flight = Flight::boxed();
        for _ in 0..self.random.below(4) {
            assert!(flight.push(&[22; 900]));
        }
        flight
    }

    /// The next thing that happens. `peer` tells where a leg's party is.
    pub fn next(&mut self, peer: impl Fn(u32) -> SocketAddr) -> Option<Command> {
        let index = self.random.below(self.legs.len() as u64) as u32;
        let (generation, open) = self.legs[index as usize];
        let mut leg = LegId { index, generation };
        if !open {
            if let Some(mut leg_on_its_way) = self.moving.pop() {
                leg_on_its_way.rehome(leg);
                self.legs[index as usize].1 = true;
                self.told.moved += 1;
                return Some(Command::Open(leg_on_its_way));
            }
            if self.random.below(4) > 0 {
                return Some(self.open(leg, peer(index)));
            }
            // Commands for a leg that is gone have to be taken as well.
            leg.generation = leg.generation.wrapping_sub(self.random.below(2) as u32);
        }
        Some(match self.random.below(100) {
            0..6 => Command::Close(leg),
            6..30 => Command::Join {
                leg,
                bridge: self.bridge(),
                port: Box::new(self.port()),
                encoder: self.shared_encoder(),
            },
            30..36 => Command::Leave(leg),
            36..53 => Command::Play(leg, self.play()),
            53..56 => Command::Exchange(leg, self.flight()),
            56..60 => Command::StopPlay(leg),
            60..72 => Command::Record(leg, self.tap()),
            72..76 => Command::StopRecord(leg),
            76..80 => Command::Echo(leg, self.random.below(3) > 0),
            80..85 => Command::Dial(leg, self.dial()),
            85..86 => Command::StopDial(leg),
            86..89 => Command::Detach(leg),
            89..92 => {
                let params = self.params(peer(index));
                // Without what another codec needs, nothing may change.
                let recoding = (self.random.below(8) > 0)
                    .then(|| Recoding::new(&params, 200, self.process()).unwrap());
                Command::Configure(leg, params, recoding)
            }
            92..93 if self.key.is_some() && self.random.below(2) == 0 => {
                Command::Secure(leg, self.keying(index)?)
            }
            92..93 => {
                let rate = self.random.pick(&[8000, 16_000, 48_000]);
                Command::Process(leg, Reprocessing::new(self.process(), rate))
            }
            93..94 => {
                let room = (self.random.below(5) > 0).then(Box::default);
                Command::WatchStats(leg, room)
            }
            94..96 => self.create_bridge()?,
            96..99 => self.room_command(leg),
            _ => self.close_bridge()?,
        })
    }

    /// What is done to a room, or to a leg as one of its members.
    fn room_command(&mut self, leg: LegId) -> Command {
        let bridge = self.bridge();
        let place = self.random.below(5) as u8;
        let play_control = self.random.pick(&[
            PlayControl::Pause,
            PlayControl::Resume,
            PlayControl::Restart,
            PlayControl::Skip(500),
            PlayControl::Skip(-500),
        ]);
        let record_control = self.random.pick(&[
            RecordControl::Pause,
            RecordControl::Mute,
            RecordControl::Resume,
            RecordControl::Resume,
        ]);
        match self.random.below(46) {
            0..9 => Command::Relate(leg, self.relation(), self.shared_encoder()),
            9..12 => Command::Classes(bridge, Classes::new(self.random.below(6) as usize)),
            12..17 => {
                let mut play = RoomPlay::new(self.play());
                play.place = place;
                play.voice = self.relation().voice;
                play.ducking =
                    self.random
                        .pick(&[Ducking::None, Ducking::Play(12.0), Ducking::Talkers(12.0)]);
                Command::PlayRoom(bridge, Box::new(play))
            }
            17..19 => Command::StopPlayRoom(bridge, place),
            19..21 => Command::ControlPlay(leg, play_control),
            21..24 => Command::ControlPlayRoom(bridge, place, play_control),
            24..28 => {
                let to = (self.random.below(5) > 0).then(Talkers::new);
                Command::WatchTalkers(bridge, to)
            }
            28..31 => {
                self.counter += 1;
                // Tracks of members belong to the recording in force.
                self.recording = self.counter;
                let settings = RoomRecordingSettings {
                    recording: self.counter,
                    rate: self.random.pick(&[8000, 16_000, 48_000]),
                    rest: self.random.pick(&[None, Some(7)]),
                    stereo: self.random.pick(&[false, false, true]),
                    max_samples: self.random.pick(&[None, Some(20_000)]),
                    silence_stop_samples: self.random.pick(&[None, Some(16_000)]),
                };
                let recording = RoomRecording::new(settings, self.frames.clone());
                Command::RecordRoom(bridge, recording)
            }
            31..32 => Command::StopRecordRoom(bridge),
            32..34 => Command::ControlRecordRoom(bridge, record_control),
            34..36 => Command::ControlRecord(leg, record_control),
            36..40 => Command::RecordTrack(leg, self.track()),
            40..42 => {
                let watch = TalkWatch {
                    threshold: 256,
                    silence_ms: 100,
                };
                Command::WatchTalk(leg, (self.random.below(4) > 0).then_some(watch))
            }
            42..45 => {
                self.counter += 1;
                let side = |of: u64| Sides {
                    said: of & 1 > 0,
                    heard: of & 2 > 0,
                };
                let (spy, whisper) = (self.random.below(4), self.random.below(4));
                let (snoop, feed) = listen_in(self.counter, side(spy), side(whisper));
                self.snoops.push((leg, self.counter));
                self.feeds.push(feed);
                Command::Snoop(leg, snoop)
            }
            _ => {
                let (on, number) = self.snoops.pop().unwrap_or((leg, 0));
                Command::Unsnoop(on, number)
            }
        }
    }

    fn track(&mut self) -> Box<Track> {
        self.counter += 1;
        let rate = self.random.pick(&[8000, 16_000, 48_000]);
        Track::new(self.recording, self.counter, rate)
    }

    fn relation(&mut self) -> Relation {
        let voice = self.random.pick(&[0, u32::MAX, 0b1, 0b10, 0b110]);
        let ears = self.random.pick(&[0, 0, 1, 2, 3, Relation::DEAF]);
        Relation { voice, ears }
    }

    fn port(&mut self) -> Port {
        // Where it is too small, the join is refused.
        let rate = self
            .random
            .pick(&[NARROWBAND, WIDEBAND, FULLBAND, FULLBAND]);
        let mut port = Port::new(0, rate).with_relation(self.relation());
        if self.random.below(3) == 0 {
            port.set_track(self.track());
        }
        port
    }

    /// Ends all that is left.
    pub fn end(&self) -> Vec<Command> {
        let open = self.legs.iter().enumerate().filter(|(_, leg)| leg.1);
        open.map(|(index, &(generation, _))| {
            let index = index as u32;
            Command::Close(LegId { index, generation })
        })
        .collect()
    }

    /// Ends all bridges, so that a worker has nothing left to do.
    pub fn end_bridges(&self) -> Vec<Command> {
        let open = self.bridges.iter().enumerate().filter(|(_, leg)| leg.1);
        open.map(|(index, &(generation, _))| {
            let index = index as u32;
            Command::CloseBridge(BridgeId { index, generation })
        })
        .collect()
    }

    /// Frees what came back, and counts it.
    pub fn heard(&mut self, event: Event) {
        let told = &mut self.told;
        match event {
            Event::Closed(leg) => {
                told.closed += 1;
                let stats = leg.stats();
                told.packets_received += stats.receive.packets;
                told.packets_sent += stats.send.packets;
                told.reports_received += stats.counts.rtcp_received;
                told.metrics_sent += stats.counts.xr_sent;
                if stats.secure {
                    told.secure_packets += stats.receive.packets;
                    told.unauthenticated += stats.counts.unauthenticated;
                    told.replayed += stats.counts.replayed;
                }
                let seat = &mut self.legs[leg.id().index as usize];
                assert_eq!(seat.0, leg.id().generation);
                *seat = (seat.0 + 1, false);
            }
            Event::Detached(leg) => {
                let seat = &mut self.legs[leg.id().index as usize];
                assert_eq!(seat.0, leg.id().generation);
                *seat = (seat.0 + 1, false);
                self.moving.push(leg);
            }
            Event::Leg(_, LegEvent::Digit(_)) => told.digits += 1,
            Event::Leg(_, LegEvent::Dialled(_, DialEnd::Stopped)) => told.dials_stopped += 1,
            Event::Leg(_, LegEvent::Dialled(..)) => told.dialled += 1,
            Event::Leg(_, LegEvent::Stats(_)) => told.figures += 1,
            Event::Leg(_, LegEvent::Talk { .. }) => told.talks += 1,
            Event::Leg(_, LegEvent::Dtls(_)) => told.dtls += 1,
            Event::BridgeClosed(id, _) => {
                told.bridges_closed += 1;
                self.bridges[id.index as usize] = (id.generation + 1, false);
            }
            Event::JoinRefused(..) => told.joins_refused += 1,
            Event::Freed(Freed::Port(_)) => told.ports_freed += 1,
            Event::Freed(Freed::Keying(_)) => told.keys_freed += 1,
            Event::RoomPlayEnded(_, play, _) => {
                assert!(play.play.is_some(), "the play comes back whole");
                told.room_plays += 1;
            }
            Event::Talkers(..) => told.talkers += 1,
            Event::RoomRecorded(..) => told.rooms_recorded += 1,
            Event::TrackEnded(_, track) => told.tracks += u64::from(track.span.is_some()),
            Event::Freed(Freed::Snoop(_)) => told.snoops_freed += 1,
            Event::Freed(Freed::Classes(_)) => told.classes_freed += 1,
            Event::Freed(_) => told.others_freed += 1,
            Event::Leg(_, LegEvent::MediaTimeout) => told.media_timeouts += 1,
            Event::Leg(leg, LegEvent::PlayEnded(_, end)) => {
                let alive = self.legs[leg.index as usize];
                assert_eq!(alive, (leg.generation, true), "told behind the leg's end");
                told.underruns += end.underruns;
                *match end.reason {
                    PlayEndReason::Finished => &mut told.finished,
                    PlayEndReason::Stopped => &mut told.stopped,
                    PlayEndReason::Replaced => &mut told.replaced,
                    PlayEndReason::Failed => &mut told.failed,
                } += 1;
            }
            Event::Leg(_, LegEvent::RecordingStopped { reason, .. }) => {
                *match reason {
                    None => &mut told.recorded_until_told,
                    Some(TapStop::MaxLength) => &mut told.recorded_until_full,
                    Some(TapStop::Silence) => &mut told.recorded_until_silence,
                } += 1;
            }
        }
    }

    /// What a reader thread does for long files: delivers most of what is asked for.
    pub fn supply(&mut self) {
        let random = &mut self.random;
        self.supplies.retain(|supply| {
            while random.below(8) > 0 {
                let Some(mut chunk) = supply.take_empty() else {
                    break;
                };
                chunk.generation = supply.wanted();
                chunk.len = random.below(CHUNK_SAMPLES as u64 + 1) as usize;
                chunk.last = random.below(10) == 0;
                chunk.failed = random.below(40) == 0;
                chunk.narrow.fill(1000);
                chunk.wide.fill(1000);
                supply.deliver(chunk);
            }
            // Now and then the reader vanishes.
            !supply.is_abandoned() && random.below(200) > 0
        });
    }

    fn open(&mut self, id: LegId, peer: SocketAddr) -> Command {
        self.legs[id.index as usize].1 = true;
        self.told.opened += 1;
        let settings = LegSettings {
            ssrc: self.random.next() as u32,
            first_sequence: self.random.next() as u16,
            first_timestamp: self.random.next() as u32,
            cname: "0123456789abcdef".into(),
            jitter_max_ms: 200,
            media_timeout_ms: self.random.pick(&[0, 300, 5000]),
            inband_digits: true,
            process: self.process(),
        };
        let params = self.params(peer);
        let mut leg = Box::new(Leg::new(id, params, settings).unwrap());
        if let Some(mut keying) = self.keying(id.index) {
            leg.rekey(&mut keying, MediaTime::ZERO);
        }
        if self.random.below(3) == 0
            && let Some(feed) = self.feeds.pop()
        {
            leg.set_feed(feed);
            self.told.listeners += 1;
        }
        Command::Open(leg)
    }

    fn params(&mut self, peer: SocketAddr) -> LegParams {
        let codec = self.random.pick(&Codec::ALL);
        // Sometimes only the packets tell where the peer is.
        let signalled = (self.random.below(8) > 0).then_some(peer);
        let held = self.random.below(8) == 0;
        let mut params = LegParams::g711(codec, signalled);
        params.rx_types[0] = Some((0, Codec::Pcmu));
        params.rx_types[1] = Some((8, Codec::Pcma));
        params.rx_types[2] = Some((9, Codec::G722));
        params.rx_types[3] = (self.random.below(4) > 0).then_some((OPUS, Codec::Opus));
        params.redundancy = Some(REDUNDANT);
        params.opus.dtx = self.random.below(2) == 0;
        // Without events, digits are sought in the audio.
        params.events = (self.random.below(2) == 0).then_some(EventFormat {
            rx: TELEPHONE_EVENT,
            tx: TELEPHONE_EVENT,
            clock_rate: self.random.pick(&[8000, 48_000]),
        });
        params.ptime_ms = self.random.pick(&[10, 20, 20, 20, 30, 40, 50, 60]);
        params.held = held;
        params.send = self.random.below(8) > 0;
        params.receive = !held;
        params.rtcp_mux = self.random.below(2) == 0;
        params.voip_metrics = self.random.below(2) == 0;
        params
    }

    /// Nothing for the most part, or all there is.
    fn process(&mut self) -> ProcessSettings {
        if self.random.below(6) > 0 {
            return ProcessSettings::default();
        }
        ProcessSettings {
            gain_in_db: 3,
            gain_out_db: -3,
            agc_dbov: Some(-20),
            noise_suppression: self.random.below(3) == 0,
            gate_dbov: Some(-50),
            comfort_noise_dbov: Some(-60),
        }
    }

    fn shared_encoder(&mut self) -> Option<Box<SharedEncoder>> {
        let codec = self.random.pick(&[Codec::Pcmu, Codec::G722, Codec::Opus]);
        let opus = OpusSettings {
            dtx: self.random.below(2) == 0,
            ..OpusSettings::default()
        };
        SharedEncoder::new(codec, opus).unwrap()
    }

    #[expect(clippy::unnecessary_box_returns, reason = "a command takes it boxed")]
    fn play(&mut self) -> Box<Play> {
        self.counter += 1;
        let count = 1 + self.random.below(3);
        let items = (0..count).map(|_| self.source()).collect();
        let mut play = Play::once(self.counter, items);
        play.repeat = self.random.pick(&[0, 1, 1, 3]);
        play.gap_samples = self.random.pick(&[0, 1234]);
        Box::new(play)
    }

    fn dial(&mut self) -> Box<Dial> {
        self.counter += 1;
        let count = self.random.below(4) as usize;
        let digits = DigitString::new(Digit::all().take(count));
        let method = self
            .random
            .pick(&[DialMethod::Auto, DialMethod::Events, DialMethod::Tones]);
        let (tone_ms, pause_ms) = (self.random.pick(&[40, 95]), self.random.pick(&[40, 70]));
        Box::new(Dial::new(self.counter, digits, method, tone_ms, pause_ms))
    }

    fn source(&mut self) -> Source {
        let samples = self.random.below(u64::from(NARROWBAND));
        match self.random.below(4) {
            // Of its own, so that the last reference is the play's.
            0 => {
                let doubled = self.prompt.iter().flat_map(|sample| [*sample; 2]);
                Source::Samples(Sound::of(self.prompt.to_vec(), doubled.collect()))
            }
            1 => Source::Tone {
                tone: Tone::sine(440.0, -10.0),
                samples,
            },
            2 => Source::Silence { samples },
            _ => {
                let (feed, supply) = feed();
                self.supplies.push(supply);
                Source::Feed(feed)
            }
        }
    }

    fn tap(&mut self) -> Tap {
        self.counter += 1;
        let settings = TapSettings {
            recording: self.counter,
            max_samples: self.random.pick(&[None, Some(2000), Some(20_000)]),
            silence_stop_samples: self.random.pick(&[None, Some(1600)]),
            start: MediaTime::ZERO,
        };
        let tap = Tap::new(settings, self.frames.clone());
        match self.random.below(4) {
            0 => tap.converting(self.random.pick(&[8000, 16_000, 48_000]), true),
            1 => tap.converting(self.random.pick(&[8000, 16_000, 48_000]), false),
            _ => tap,
        }
    }

    /// One that is there, or was, or may be.
    fn bridge(&mut self) -> BridgeId {
        let index = self.random.below(self.bridges.len() as u64) as u32;
        let generation = self.bridges[index as usize].0;
        BridgeId { index, generation }
    }

    fn create_bridge(&mut self) -> Option<Command> {
        let id = self.bridge();
        let open = &mut self.bridges[id.index as usize].1;
        if std::mem::replace(open, true) {
            return None;
        }
        let ports = self.random.pick(&[2, 8, 32]);
        let bridge = Box::new(Bridge::new(ports));
        Some(Command::CreateBridge(id, bridge))
    }

    fn close_bridge(&mut self) -> Option<Command> {
        let id = self.bridge();
        self.bridges[id.index as usize]
            .1
            .then_some(Command::CloseBridge(id))
    }
}
