//! The world's clock, and the edge that the switch believes in.

use std::hash::Hasher;
use std::net::SocketAddr;

use antiphon::app::PlayItem;
use antiphon::audio::sound::Sound;
use antiphon::audio::source::Source;
use antiphon::audio::tone::Tone;
use antiphon::audio::{MediaTime, NARROWBAND};
use antiphon::bridge::{RoomRecording, RoomRecordingSettings};
use antiphon::endpoint;
use antiphon::leg::TickTime;
use antiphon::leg::player::Play;
use antiphon::leg::tap::{Spoken, Tap, TapSettings};
use antiphon::rtp::packet::{Packet, is_rtcp};
use antiphon::sip::message::parse_datagram;
use antiphon::sip::transport::{ConnectionId, Transport};
use antiphon::switch::{BridgePlay, Input, Output, RecordTarget};
use antiphon::worker::Command;

use super::mail::MAIL;
use super::net::{Datagram, Kind};
use super::phone::{Heard, Received};
use super::{SERVER_IP, World, flow};

impl World {
    /// Lets `ms` milliseconds pass.
    pub fn run(&mut self, ms: u64) {
        let end = self.ms + ms;
        while self.ms < end {
            // With nobody talking, nothing happens until something is due.
            let due = self.next_event().unwrap_or(end);
            self.ms = self.ms.max(due.min(end).saturating_sub(1));
            self.step();
        }
    }

    /// Runs until `done`, at most `ms`; whether it was.
    pub fn run_until(&mut self, ms: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        for _ in 0..ms {
            if done(self) {
                return true;
            }
            self.step();
        }
        done(self)
    }

    pub fn next_event(&self) -> Option<u64> {
        let next = self.ms + 1;
        let timer = self.switch.poll_timeout().map(|at| {
            let us = at.saturating_duration_since(self.base).as_micros() as u64;
            us.div_ceil(1000)
        });
        let net = self.net.next_at().map(|us| us.div_ceil(1000));
        let workers = self.workers.iter().filter_map(|w| w.next_due(next)).min();
        let phones = self.phones.iter().filter_map(|p| p.voice.next).min();
        let phones = phones.map(|us| us.div_ceil(1000));
        let told = self.worker_events.iter().any(|events| !events.is_empty());
        let told = told.then_some(next);
        [timer, net, workers, phones, told]
            .into_iter()
            .flatten()
            .min()
    }

    /// One millisecond.
    pub fn step(&mut self) {
        self.ms += 1;
        let us = self.us();
        while let Some(datagram) = self.net.arrived(us) {
            self.deliver(datagram);
        }
        let now = self.now();
        if self.switch.poll_timeout().is_some_and(|at| at <= now) {
            self.switch.handle_timeout(now);
        }
        self.carry_out();
        self.run_workers();
        self.talk();
    }

    fn time(&self) -> TickTime {
        let ms = self.ms;
        TickTime {
            now: MediaTime::from_millis(ms),
            ntp: ((3_900_000_000 + ms / 1000) << 32) | (((ms % 1000) << 32) / 1000),
        }
    }

    fn run_workers(&mut self) {
        let time = self.time();
        for w in 0..self.workers.len() {
            if self.workers[w].next_due(self.ms) == Some(self.ms) {
                self.sockets.worker = w;
                self.workers[w].run(self.ms, time.ntp, &mut self.sockets);
            }
            while self.ms.is_multiple_of(self.poll_ms)
                && let Ok(event) = self.worker_events[w].try_recv()
            {
                let now = self.now();
                self.switch.handle(Input::Media { worker: w, event }, now);
            }
            self.carry_out();
        }
        self.send_media();
        while let Ok(frame) = self.frames.1.try_recv() {
            if let Some(edge) = &self.room_edge {
                edge.take(&frame);
            }
            let audio = self.recorded.entry(frame.recording).or_default();
            audio.resize(frame.position as usize, 0);
            audio.extend_from_slice(&frame.samples[..usize::from(frame.len)]);
        }
    }

    fn send_media(&mut self) {
        let us = self.us();
        for (from, to, bytes) in std::mem::take(&mut self.sockets.sent) {
            self.note(to, &bytes);
            self.net.send(Kind::Media, us, from, to, &bytes);
        }
    }

    fn note(&mut self, to: SocketAddr, bytes: &[u8]) {
        // FNV-1a: the same everywhere and in every run.
        let mut hash = Fnv(self.digest);
        hash.write(&self.ms.to_be_bytes());
        hash.write(to.to_string().as_bytes());
        hash.write(bytes);
        self.digest = hash.0;
    }

    fn talk(&mut self) {
        let us = self.us();
        for phone in &mut self.phones {
            while let Some(at) = phone.voice.next
                && at <= us
            {
                phone.voice.next = Some(at + u64::from(phone.voice.ptime_ms) * 1000);
                let bytes = phone.packet();
                if let (Some(target), false) = (phone.target, phone.vanished) {
                    self.net.send(Kind::Media, at, phone.rtp, target, &bytes);
                }
            }
        }
    }

    fn deliver(&mut self, datagram: Datagram) {
        let Datagram {
            at,
            kind,
            from,
            to,
            bytes,
            ..
        } = datagram;
        match (kind, to.ip() == SERVER_IP) {
            (Kind::Sip, true) => {
                let flow = flow(from);
                let input = match parse_datagram(&bytes) {
                    Ok(message) => {
                        self.ledger.iter_mut().for_each(|l| l.arrived(&message));
                        endpoint::Input::Message { flow, message }
                    }
                    Err(error) => endpoint::Input::Malformed { flow, error },
                };
                let now = self.now();
                self.switch.handle(Input::Sip(input), now);
                self.carry_out();
            }
            (Kind::Media, true) => {
                let at = MediaTime::from_micros(at);
                self.sockets.deliver(to.port(), bytes, from, at);
            }
            (kind, false) => self.deliver_to_phone(kind, at, from, to, bytes),
        }
    }

    fn deliver_to_phone(
        &mut self,
        kind: Kind,
        at: u64,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) {
        let SocketAddr::V4(v4) = to else { return };
        let [_, high, mid, low] = v4.ip().octets();
        let index = (usize::from(high) - 1) << 16 | usize::from(mid) << 8 | usize::from(low);
        let Some(phone) = self.phones.get_mut(index).filter(|p| !p.vanished) else {
            return;
        };
        if kind == Kind::Sip {
            let message = parse_datagram(&bytes).expect("the server writes valid SIP");
            phone.inbox.push(Received {
                at,
                to,
                message,
                bytes,
            });
        } else if !phone.keep {
        } else if is_rtcp(&bytes) {
            phone.reports.push((at, bytes));
        } else if matches!(bytes.first(), Some(20..=63)) {
            let is_rtp = to == phone.rtp;
            let at_port = if is_rtp {
                &mut phone.dtls
            } else {
                &mut phone.rtcp_dtls
            };
            at_port.push(bytes);
        } else {
            let packet = Packet::parse(&bytes).expect("the server writes valid RTP");
            phone.heard.push(Heard {
                at,
                to,
                from,
                seq: packet.seq.0,
                timestamp: packet.timestamp.0,
                ssrc: packet.ssrc.0,
                payload_type: packet.payload_type.0,
                marker: packet.marker,
                payload: packet.payload.to_vec(),
            });
        }
    }

    /// Does what the switch has decided.
    pub fn carry_out(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            let now = self.now();
            match output {
                Output::Transmit { flow, .. }
                    if self.refuses_tcp && flow.transport == Transport::Tcp =>
                {
                    self.refused += 1;
                    let failed = endpoint::Input::TransportFailed(flow);
                    self.switch.handle(Input::Sip(failed), now);
                }
                Output::Transmit {
                    flow, transaction, ..
                } if self.ends_tcp && flow.transport == Transport::Tcp => {
                    self.ended_tcp += 1;
                    let connection = ConnectionId(self.ended_tcp);
                    if let Some(request) = transaction {
                        self.switch.sent(request, connection);
                    }
                    let closed = endpoint::Input::ConnectionClosed(connection);
                    self.switch.handle(Input::Sip(closed), now);
                }
                Output::Transmit { flow, bytes, .. } => {
                    self.note(flow.remote, &bytes);
                    self.last_path = Some(flow);
                    self.ledger.iter_mut().for_each(|l| l.sent(&bytes));
                    let us = self.us();
                    self.net
                        .send(Kind::Sip, us, flow.local, flow.remote, &bytes);
                }
                Output::Reserve { call, address } => {
                    let input = if !self.addresses.contains(&address) {
                        let why = format!("{address} is not here");
                        Input::MediaFailed { call, why }
                    } else if let Some(port) = self.free_ports.pop_front() {
                        self.sockets.bind(port);
                        self.ports.insert(call, port);
                        Input::MediaReady {
                            call,
                            rtp_port: port,
                            rtcp_port: port + 1,
                        }
                    } else {
                        let why = "all ports are taken".to_owned();
                        Input::MediaFailed { call, why }
                    };
                    self.switch.handle(input, now);
                }
                Output::Release { call } => {
                    if let Some(port) = self.ports.remove(&call) {
                        self.sockets.release(port);
                        self.free_ports.push_back(port);
                    }
                }
                Output::Open { worker, call, leg } if !self.ports.contains_key(&call) => {
                    self.sockets.open_without(worker, leg.id().index);
                    self.command(worker, Command::Open(leg));
                }
                Output::Open { worker, call, leg } => {
                    let port = self.ports[&call];
                    let waiting = self.sockets.open(worker, leg.id().index, port);
                    self.ledger
                        .iter_mut()
                        .for_each(|l| l.opened(worker, leg.id(), waiting));
                    self.command(worker, Command::Open(leg));
                }
                Output::Media { worker, command } => self.command(worker, command),
                Output::DiscardRecording(recording) => self.discarded.push(recording),
                Output::Unbanned(_) => {}
                Output::Play { .. }
                | Output::Record { .. }
                | Output::PlayInBridge(_)
                | Output::RecordBridge(_)
                | Output::CloseRecording { .. }
                    if self.slow_files =>
                {
                    self.held.push_back(output);
                }
                Output::Banned(ban) => self.bans.push(ban),
                Output::Event(event) => {
                    let ms = self.ms;
                    self.ledger.iter_mut().for_each(|l| l.event(ms, &event));
                    self.events.push(event);
                }
                other => self.carry_out_files(other),
            }
        }
    }

    /// What was wanted of files meanwhile is done.
    pub fn files_come(&mut self) {
        self.slow_files = false;
        for output in std::mem::take(&mut self.held) {
            self.carry_out_files(output);
            self.carry_out();
        }
    }

    /// What the server's file side does.
    fn carry_out_files(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Play {
                call,
                id,
                items,
                repeat,
                gap,
            } => {
                self.plays.1 += 1;
                let input = match items.iter().map(|i| self.source(i)).collect() {
                    Ok(items) => Input::PlayReady {
                        call,
                        id,
                        play: Box::new(Play {
                            id: u64::from(id.0),
                            items,
                            repeat,
                            gap_samples: gap.as_millis() as u64 * 8,
                        }),
                    },
                    Err(error) => Input::PlayFailed { call, id, error },
                };
                self.switch.handle(input, now);
            }
            Output::Record {
                call,
                recording,
                target,
                max,
                silence,
                caller,
                ..
            } => {
                let spoken = spoken(&target);
                match target {
                    RecordTarget::Message { mailbox } => {
                        self.mail.leaving.insert(recording, (call, mailbox, caller));
                    }
                    RecordTarget::Name => {
                        self.names.insert(recording, call);
                    }
                    RecordTarget::Named { name, overwrite } => {
                        self.name_recording(name, recording, overwrite);
                    }
                    RecordTarget::File { .. } => {}
                }
                let samples = |d: std::time::Duration| d.as_millis() as u64 * 8;
                let settings = TapSettings {
                    recording,
                    max_samples: max.map(samples),
                    silence_stop_samples: silence.map(samples),
                    start: MediaTime::ZERO,
                };
                let tap = Tap::new(settings, self.frames.0.clone());
                let tap = spoken.into_iter().fold(tap, Tap::for_speech);
                self.switch
                    .handle(Input::RecordReady { recording, tap }, now);
            }
            // All is there at once.
            Output::GiveUpPlay(_) => {}
            Output::RoomFiles(wanted) => self.room_files(wanted),
            Output::CloseRecording { recording, samples } => {
                self.close_room_file(recording, samples);
                self.closed_recording(recording, samples);
            }
            Output::Resolve { dial, .. } => {
                let ways = self.ways.clone();
                self.switch.handle(Input::Resolved { dial, ways }, now);
            }
            Output::ForgetNames(names) => {
                for name in names {
                    self.names.remove(&name);
                }
            }
            Output::Mailbox {
                call,
                number,
                request,
                ..
            } => {
                let input = Input::Mailbox {
                    call,
                    request: number,
                    happened: self.mail.handle(request),
                };
                self.switch.handle(input, now);
            }
            Output::Locate { call, wanted, .. } => {
                let known = self.prompts.get(&wanted.play).is_some();
                let items = known.then(|| vec![PlayItem::Prompt(wanted.play)]);
                self.switch.handle(Input::Located { call, items }, now);
            }
            other => self.carry_out_in_bridge(other),
        }
    }

    /// The same for rooms and bridges of programs.
    fn carry_out_in_bridge(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::PlayInBridge(wanted) => self.play_in_bridge(wanted),
            Output::RecordBridge(wanted) => {
                let samples = |d: std::time::Duration| d.as_millis() as u64 * 8;
                let settings = RoomRecordingSettings {
                    recording: wanted.recording,
                    rate: NARROWBAND,
                    rest: None,
                    stereo: false,
                    max_samples: wanted.max.map(samples),
                    silence_stop_samples: wanted.silence.map(samples),
                };
                self.name_recording(wanted.name, wanted.recording, wanted.overwrite);
                let recording = RoomRecording::new(settings, self.frames.0.clone());
                self.switch.handle(Input::BridgeRecordReady(recording), now);
            }
            other => panic!("{other:?}"),
        }
    }

    fn name_recording(&mut self, name: String, recording: u64, overwrite: bool) {
        if overwrite {
            self.replaced.push(name.clone());
        }
        self.named.insert(name, recording);
    }

    fn play_in_bridge(&mut self, wanted: BridgePlay) {
        self.plays.0 += 1;
        let sources: Result<_, _> = wanted.items.iter().map(|i| self.source(i)).collect();
        let play = sources.map(|items| {
            Box::new(Play {
                id: u64::from(wanted.id.0),
                items,
                repeat: wanted.repeat,
                gap_samples: 0,
            })
        });
        let (player, place, id) = (wanted.player, wanted.place, wanted.id);
        let input = Input::BridgePlayReady {
            player,
            place,
            id,
            play,
        };
        let now = self.now();
        self.switch.handle(input, now);
    }

    fn closed_recording(&mut self, recording: u64, samples: u64) {
        let now = self.now();
        self.closed.push((recording, samples));
        let max_ms = 60_000;
        self.ledger
            .iter_mut()
            .for_each(|l| l.closed(recording, samples, max_ms));
        if let Some(call) = self.names.remove(&recording) {
            let input = Input::NameRecorded {
                call,
                recording,
                kept: samples >= 2_400,
            };
            self.switch.handle(input, now);
        }
        let input = if self.full_at_close {
            let error = "the disk is full".to_owned();
            Input::RecordingFailed { recording, error }
        } else {
            Input::RecordingClosed(recording)
        };
        self.switch.handle(input, now);
        if let Some((call, outcome)) = self.mail.close(recording, samples) {
            let input = Input::MessageLeft {
                call,
                recording,
                outcome,
            };
            self.switch.handle(input, now);
        }
    }

    fn command(&mut self, worker: usize, command: Command) {
        let time = self.time();
        let ms = self.ms;
        self.ledger
            .iter_mut()
            .for_each(|l| l.command(ms, worker, &command));
        self.sockets.worker = worker;
        self.workers[worker].apply(command, time, &mut self.sockets);
    }

    fn source(&self, item: &PlayItem) -> Result<Source, String> {
        match item {
            PlayItem::Prompt(name) => match self.prompts.get(name) {
                Some(prompt) if self.silent_prompts => Ok(Source::Silence {
                    samples: prompt.sound.len() as u64,
                }),
                Some(prompt) => Ok(prompt.source()),
                None => Err(format!("there is no prompt {name:?}")),
            },
            PlayItem::Web(_) | PlayItem::Speech { .. } => panic!("{item:?}"),
            PlayItem::File(path) if path.starts_with(MAIL) => {
                let name = path.file_name().and_then(|n| n.to_str());
                let recording = name.and_then(|n| n.parse::<u64>().ok());
                let audio = recording.and_then(|n| self.recorded.get(&n));
                let audio = audio.ok_or_else(|| format!("{} is gone", path.display()))?;
                Ok(Source::Samples(Sound::new(audio, NARROWBAND)))
            }
            PlayItem::Recording(number) => {
                let audio = self.recorded.get(number);
                let audio = audio.ok_or_else(|| format!("recording {number} is gone"))?;
                // What is behind its end is taken off.
                let closed = self.closed.iter().find(|(closed, _)| closed == number);
                let end = closed.map_or(audio.len(), |(_, samples)| *samples as usize);
                let audio = &audio[..end.min(audio.len())];
                Ok(Source::Samples(Sound::new(audio, NARROWBAND)))
            }
            PlayItem::File(path) if self.named.contains_key(&*path.to_string_lossy()) => {
                let number = self.named[&*path.to_string_lossy()];
                let audio = self.recorded.get(&number);
                let audio = audio.ok_or_else(|| format!("{} is gone", path.display()))?;
                Ok(Source::Samples(Sound::new(audio, NARROWBAND)))
            }
            PlayItem::File(path) => self.prompts.load_file(path).map_err(|e| e.to_string()),
            PlayItem::Library(name) => Err(format!("there is no sound {name:?}")),
            PlayItem::Tone {
                hz,
                level_dbm0,
                length,
            } => Ok(Source::Tone {
                tone: Tone {
                    frequency_hz: *hz,
                    second_hz: None,
                    level_dbm0: *level_dbm0,
                },
                samples: length.as_millis() as u64 * 8,
            }),
            PlayItem::Silence(length) => Ok(Source::Silence {
                samples: length.as_millis() as u64 * 8,
            }),
        }
    }
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Whether a recording is for what its party says, as the server has it.
fn spoken(target: &RecordTarget) -> Option<Spoken> {
    match target {
        RecordTarget::Name => Some(Spoken::Trimmed(1600)),
        RecordTarget::Message { .. } => Some(Spoken::Whole),
        RecordTarget::File { .. } | RecordTarget::Named { .. } => None,
    }
}
