//! Wideband telephones, judged by spectrum: Opus and G.722 of baresip, and a telephone with PCMU, in
//! one room and with the built-in numbers; a codec that changes in mid-call; keys beside Opus.

use crate::support::baresip;
use crate::support::media;
use crate::support::pacing;
use crate::support::prompts;
use crate::support::server;
use crate::support::sip;
use crate::support::tone;

use std::path::Path;
use std::time::Duration;

use antiphon::audio::resample::resample_file;
use antiphon::codec::{Codec, Decoder, Encoder, MAX_FRAME_SAMPLES, MAX_PAYLOAD, OpusSettings};
use baresip::{Baresip, Phone, Source};
use media::{Packet, Send, Timing, Tone, on_time};
use pacing::Watch;
use prompts::Prompt;
use server::Server;
use sip::{Call, Peer, sdp};

/// Peak of each tone: three of them stay far below the limiter.
const AMPLITUDE: f64 = 0.1;
const TALK: Duration = Duration::from_secs(3);
/// What setting up, hanging up and the buffers take of a tone at most.
const EDGES: f64 = 0.5;
const G722_HZ: f64 = 1800.0;
const PCMU_HZ: f64 = 700.0;

fn phone(watch: &Watch, server: &Server, codec: &str, hz: f64) -> Baresip {
    let source = Source::Tone(hz, AMPLITUDE);
    let phone = Phone::new(codec, server.udp(), source).codec(codec).start();
    watch.add(phone.pid());
    phone
}

/// What one telephone heard, at its own rate.
struct Ear {
    name: &'static str,
    samples: Vec<i16>,
    rate: usize,
}

impl Ear {
    fn of(name: &'static str, phone: Baresip) -> Self {
        let (samples, rate) = phone.heard_at_rate();
        Self {
            name,
            samples,
            rate,
        }
    }

    /// The tone is there for `seconds`, at its level and without a gap.
    fn check_tone(&self, hz: f64, seconds: f64) -> Result<(), String> {
        let (name, expected) = (self.name, tone::db(AMPLITUDE));
        let run = tone::longest_run_at(&self.samples, hz, expected, 3.0, self.rate);
        let length = run.len() as f64 / self.rate as f64;
        if (length - seconds).abs() > EDGES {
            let whole = self.level(hz);
            return Err(format!(
                "{name}: {hz} Hz for {length:.2} s of {seconds} s, {whole:.1} dB in the whole"
            ));
        }
        let level = tone::level_at(&self.samples[run], hz, self.rate);
        if (level - expected).abs() > 1.0 {
            return Err(format!(
                "{name}: {hz} Hz at {level:.1} dB, expected {expected:.1}"
            ));
        }
        Ok(())
    }

    fn check_absent(&self, hz: f64) -> Result<(), String> {
        let (level, limit) = (self.level(hz), tone::db(AMPLITUDE) - 40.0);
        if level > limit {
            let name = self.name;
            return Err(format!(
                "{name}: {hz} Hz at {level:.1} dB, at most {limit:.1} expected"
            ));
        }
        Ok(())
    }

    fn level(&self, hz: f64) -> f64 {
        tone::level_at(&self.samples, hz, self.rate)
    }
}

/// Three telephones in one room, of which the one with Opus says `hz`; what each has heard, Opus,
/// G.722, PCMU.
fn conference(watch: &Watch, timing: &Timing, hz: f64) -> [Ear; 3] {
    let server = server::Config::new().start();
    let mut full = phone(watch, &server, "opus", hz);
    let mut wide = phone(watch, &server, "G722", G722_HZ);
    let narrow = media::Phone::v4(timing);
    let body = sdp(narrow.address, "0", "");
    full.dial("600");
    wide.dial("600");
    let mut call = Call::establish(Peer::udp(server.udp()), "600", &body);
    let dbm0 = tone::db(AMPLITUDE) + media::OVERLOAD_DBM0;
    narrow.say(call.ok.rtp(), Tone { hz: PCMU_HZ, dbm0 });
    // Time in the call is what is tested; nobody tells of it.
    std::thread::sleep(TALK);
    let samples = narrow.all().samples();
    call.hang_up();
    full.hang_up();
    wide.hang_up();
    let ended = server.wait_log_count(" ended ", 3).join("\n");
    for codec in ["opus", "G722", "PCMU"] {
        assert!(ended.contains(&format!("codec=\"{codec}\"")), "{ended}");
    }
    let narrow = Ear {
        name: "PCMU",
        samples,
        rate: tone::RATE,
    };
    [Ear::of("Opus", full), Ear::of("G.722", wide), narrow]
}

#[test]
fn phones_of_three_codecs_hear_each_other_and_not_themselves() {
    on_time(|timing| {
        pacing::in_time(|watch| {
            let ears = conference(watch, timing, 1000.0);
            let tones = [1000.0, G722_HZ, PCMU_HZ];
            for (n, ear) in ears.iter().enumerate() {
                for (m, hz) in tones.into_iter().enumerate() {
                    if n == m {
                        ear.check_absent(hz)?;
                    } else {
                        ear.check_tone(hz, TALK.as_secs_f64())?;
                    }
                }
            }
            Ok(())
        });
    });
}

#[test]
fn what_a_narrowband_phone_cannot_hear_does_not_fold_into_what_it_can() {
    on_time(|timing| {
        pacing::in_time(|watch| {
            let [full, wide, narrow] = conference(watch, timing, 5000.0);
            let seconds = TALK.as_secs_f64();
            wide.check_tone(5000.0, seconds)?;
            full.check_absent(5000.0)?;
            // At 8 kHz 5 kHz and its alias are one.
            narrow.check_absent(3000.0)?;
            full.check_absent(3000.0)?;
            full.check_tone(G722_HZ, seconds)?;
            full.check_tone(PCMU_HZ, seconds)?;
            narrow.check_tone(G722_HZ, seconds)
        });
    });
}

fn echo(codec: &'static str) {
    for hz in [1000.0, 5000.0] {
        pacing::in_time(|watch| {
            let server = server::Config::new().start();
            let mut phone = phone(watch, &server, codec, hz);
            phone.dial("500");
            std::thread::sleep(TALK);
            phone.hang_up();
            let ended = server.wait_log(" ended ");
            assert!(ended.contains(&format!("codec=\"{codec}\"")), "{ended}");
            Ear::of(codec, phone).check_tone(hz, TALK.as_secs_f64())
        });
    }
}

#[test]
fn echo_of_opus() {
    echo("opus");
}

#[test]
fn echo_of_g722() {
    echo("G722");
}

#[test]
fn the_welcome_prompt_is_heard_whole_with_opus() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/media/welcome.wav"));
    let (whole, rate) = tone::read_any(path);
    // What is in baresip's buffers at the BYE is thrown away.
    let part: Vec<f64> = whole[..whole.len() - rate / 5]
        .iter()
        .map(|s| f64::from(*s))
        .collect();
    pacing::in_time(|watch| {
        let server = server::Config::new().start();
        let mut phone = phone(watch, &server, "opus", 1000.0);
        phone.dial("510");
        phone.wait_closed();
        let (heard, heard_rate) = phone.heard_at_rate();
        let heard = resample_file(&heard, heard_rate as u32, rate as u32);
        let (length, expected) = (heard.len() as f64, whole.len() as f64);
        if (length - expected).abs() > EDGES * rate as f64 {
            return Err(format!("{length} samples heard of {expected}"));
        }
        let likeness = prompts::correlate(&part, &heard);
        let best = likeness.iter().zip(0..).max_by(|a, b| a.0.total_cmp(b.0));
        let (likeness, at) = best.unwrap();
        let there = &heard[at..at + part.len()];
        let gain = loudness(there) - loudness(&whole[..part.len()]);
        let found = format!(
            "likeness {likeness:.3} at {at}, {gain:.2} dB, {:.2} s",
            length / rate as f64
        );
        // What 8 kHz cannot have is there as loud as in the file.
        let high_gain = loudness_above(there, rate) - loudness_above(&whole[..part.len()], rate);
        let found = format!("{found}, {high_gain:.2} dB above 4 kHz");
        if *likeness < 0.9 || gain.abs() > 1.0 || high_gain.abs() > 3.0 {
            return Err(found);
        }
        Ok(())
    });
}

/// The level of what a rate of 8 kHz has no room for, dB of full scale.
fn loudness_above(samples: &[i16], rate: usize) -> f64 {
    let power = |samples: &[i16]| 10f64.powf(loudness(samples) / 10.0);
    let narrow = resample_file(samples, rate as u32, 8000);
    tone::db((power(samples) - power(&narrow)).max(0.0).sqrt())
}

/// The level of all together, dB of full scale.
fn loudness(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    tone::db((sum / samples.len() as f64).sqrt() / 32768.0)
}

/// What 520 records at `file_rate` of an Opus telephone that says `hz`.
fn recording(watch: &Watch, hz: f64, file_rate: usize) -> Result<Ear, String> {
    let config = server::Config::new().set("recording", "rate", file_rate);
    let server = config.start();
    let mut phone = phone(watch, &server, "opus", hz);
    phone.dial("520");
    std::thread::sleep(TALK);
    phone.hang_up();
    let closed = server.wait_log("recording closed");
    let files = server.recordings();
    assert_eq!(files.len(), 1, "{files:?}");
    let (samples, rate) = tone::read_any(&files[0]);
    assert_eq!(rate, file_rate);
    let seconds = samples.len() as f64 / rate as f64;
    assert!(closed.contains(&format!(" seconds={seconds}")), "{closed}");
    if (seconds - TALK.as_secs_f64()).abs() > EDGES {
        return Err(format!("{seconds:.2} s recorded at {rate} Hz"));
    }
    let name = "the recording";
    Ok(Ear {
        name,
        samples,
        rate,
    })
}

#[test]
fn a_recording_of_an_opus_caller_has_the_tone_and_no_alias() {
    let seconds = TALK.as_secs_f64();
    pacing::in_time(|watch| recording(watch, 1000.0, 8000)?.check_tone(1000.0, seconds));
    // At 8 kHz 5 kHz would fold to 3.
    pacing::in_time(|watch| recording(watch, 5000.0, 8000)?.check_absent(3000.0));
}

#[test]
fn a_wide_recording_of_an_opus_caller_has_what_it_says_above_4_khz() {
    let seconds = TALK.as_secs_f64();
    pacing::in_time(|watch| recording(watch, 5000.0, 16_000)?.check_tone(5000.0, seconds));
}

/// A stream of one codec, to be sent: audio, and keys as events.
struct Stream {
    codec: Codec,
    payload_type: u8,
    encoder: Encoder,
    sends: Vec<Send>,
    slot: usize,
}

const EVENTS: u8 = 101;

impl Stream {
    fn new(codec: Codec, payload_type: u8) -> Self {
        Self {
            codec,
            payload_type,
            encoder: Encoder::new(codec, &OpusSettings::default()).unwrap(),
            sends: Vec::new(),
            slot: 0,
        }
    }

    /// The sum of sines of this amplitude; none: silence.
    fn sines(mut self, hz: &[f64], ms: usize) -> Self {
        let rate = self.codec.sample_rate() as usize;
        let size = self.codec.frame_samples(20);
        for _ in 0..ms / 20 {
            let first = self.slot * size;
            let sample = |n: usize| {
                let phase = |hz: &f64| std::f64::consts::TAU * hz * n as f64 / rate as f64;
                let sum: f64 = hz.iter().map(|hz| phase(hz).sin()).sum();
                (32767.0 * AMPLITUDE * sum).round() as i16
            };
            let pcm: Vec<i16> = (first..first + size).map(sample).collect();
            let mut payload = vec![0; MAX_PAYLOAD];
            let length = self.encoder.encode(&pcm, &mut payload);
            payload.truncate(length);
            let clock = self.codec.clock_rate() / 8000;
            self.push(self.payload_type, clock, self.slot, payload);
            self.slot += 1;
        }
        self
    }

    /// What is to be sent so far; what follows goes on in the same stream.
    fn take(&mut self) -> Vec<Send> {
        self.slot = 0;
        std::mem::take(&mut self.sends)
    }

    /// Keys as events of 100 ms at 48 kHz with pauses, the end three times.
    fn keys(mut self, keys: &str) -> Self {
        for key in keys.chars() {
            let code = "0123456789*#ABCD".find(key).unwrap() as u8;
            let start = self.slot;
            for n in 1..=5u16 {
                let [high, low] = (n * 960).to_be_bytes();
                let (flags, times) = if n == 5 { (0x8a, 3) } else { (0x0a, 1) };
                for _ in 0..times {
                    self.push(EVENTS, 6, start, vec![code, flags, high, low]);
                }
                self.slot += 1;
            }
            self = self.sines(&[], 100);
        }
        self
    }

    fn push(&mut self, payload_type: u8, clock: u32, stamp: usize, payload: Vec<u8>) {
        self.sends.push(Send {
            slot: self.slot,
            seq: self.sends.len() as u16,
            timestamp: (stamp * media::PACKET) as u32,
            clock,
            marker: self.sends.is_empty(),
            payload_type,
            payload,
        });
    }
}

/// What came with this payload type, at the codec's rate.
fn decoded(phone: &media::Phone, codec: Codec, payload_type: u8) -> Vec<i16> {
    decode(&phone.all().0, codec, payload_type)
}

fn decode(packets: &[Packet], codec: Codec, payload_type: u8) -> Vec<i16> {
    let mut decoder = Decoder::new(codec).unwrap();
    let mut samples = Vec::new();
    let mut out = vec![0; MAX_FRAME_SAMPLES];
    for packet in packets {
        if packet.payload_type == payload_type {
            let length = decoder.decode(&packet.payload, &mut out);
            samples.extend_from_slice(&out[..length]);
        }
    }
    samples
}

#[test]
fn a_call_becomes_wideband_by_a_reinvite() {
    on_time(|timing| {
        let server = server::Config::new().start();
        let phone = media::Phone::v4(timing);
        let body = sdp(phone.address, "0", "");
        let mut call = Call::establish(Peer::udp(server.udp()), "500", &body);
        let to = call.ok.rtp();
        phone.say(to, media::tone(1050));
        phone.await_tone(1050.0, true);
        phone.listen(25);
        phone.listen(50).assert_steady(media::tone(1050));
        phone.hush();
        let ok = call.reinvite(&sdp(phone.address, "9", ""));
        assert!(ok.body.contains("RTP/AVP 9\r\n"), "{}", ok.body);
        assert_eq!(ok.rtp(), to);
        let stream = Stream::new(Codec::G722, 9).sines(&[1050.0, 5000.0], 3000);
        phone.perform(to, stream.sends);
        let ear = Ear {
            name: "after the change",
            samples: decoded(&phone, Codec::G722, 9),
            rate: 16_000,
        };
        for hz in [1050.0, 5000.0] {
            ear.check_tone(hz, 3.0).unwrap();
        }
        // And back.
        call.reinvite(&sdp(phone.address, "0", ""));
        phone.say(to, media::tone(1050));
        phone.listen_where(1, |p| p.payload_type == 0);
        phone.listen(25);
        phone.listen(50).assert_steady(media::tone(1050));
        call.hang_up();
    });
}

#[test]
fn in_a_room_a_phone_that_changes_its_codec_hears_and_is_heard_as_wide() {
    on_time(|timing| {
        let server = server::Config::new().start();
        let enter = |formats: &str| {
            let phone = media::Phone::v4(timing);
            let body = sdp(phone.address, formats, "");
            let call = Call::establish(Peer::udp(server.udp()), "600", &body);
            (call, phone)
        };
        let (mut call, phone) = enter("0");
        let (mut wide_call, wide) = enter("9");
        let stays = wide_call.ok.rtp();
        // One encoder for both: a new one in mid-stream is not what the decoder has adapted to.
        let mut stream = Stream::new(Codec::G722, 9);
        let opus = "a=rtpmap:107 opus/48000/2\r\n";
        for (codec, payload_type, lines) in [(Codec::G722, 9, ""), (Codec::Opus, 107, opus)] {
            let offer = sdp(phone.address, &payload_type.to_string(), lines);
            let to = call.reinvite(&offer).rtp();
            let from = [&phone, &wide].map(media::Phone::count);
            let said = Stream::new(codec, payload_type).sines(&[5000.0], 2000);
            stream = stream.sines(&[6000.0], 2000);
            let answer = stream.take();
            std::thread::scope(|scope| {
                scope.spawn(|| wide.perform(stays, answer));
                phone.perform(to, said.sends);
            });
            let ears = [
                ("the one that changes", &phone, codec, payload_type),
                ("the one that stays", &wide, Codec::G722, 9),
            ];
            let tones = [6000.0, 5000.0];
            for (n, (name, phone, codec, payload_type)) in ears.into_iter().enumerate() {
                let heard = phone.all().0;
                let before = decode(&heard[..from[n]], codec, payload_type).len();
                // A decoder that begins in the middle of a stream is off for some frames.
                let samples = decode(&heard, codec, payload_type).split_off(before);
                let rate = codec.sample_rate() as usize;
                let ear = Ear {
                    name,
                    samples,
                    rate,
                };
                ear.check_tone(tones[n], 2.0).unwrap();
                ear.check_absent(tones[1 - n]).unwrap();
            }
        }
        call.hang_up();
        wide_call.hang_up();
    });
}

/// What follows "You entered", key by key.
fn spoken_back(heard: &[i16]) -> Result<String, String> {
    let found = Prompt::named("digits-you-entered").all(heard);
    match found.as_slice() {
        [once] => Ok(prompts::keys_said(&heard[once.at + once.len..])),
        other => Err(format!("\"You entered\" was heard at {other:?}")),
    }
}

#[test]
fn events_at_48_khz_beside_opus_are_spoken_back() {
    on_time(|timing| {
        let server = server::Config::new().start();
        let phone = media::Phone::v4(timing);
        let lines = "a=rtpmap:107 opus/48000/2\r\n\
                     a=rtpmap:101 telephone-event/48000\r\na=fmtp:101 0-15\r\n";
        let body = sdp(phone.address, "107 101", lines);
        let mut call = Call::establish(Peer::udp(server.udp()), "530", &body);
        assert!(
            call.ok.body.contains("telephone-event/48000"),
            "{}",
            call.ok.body
        );
        let stream = Stream::new(Codec::Opus, 107).sines(&[], 200).keys("447#");
        let stream = stream.sines(&[], 5000);
        phone.perform(call.ok.rtp(), stream.sends);
        let heard = resample_file(&decoded(&phone, Codec::Opus, 107), 48_000, 8000);
        call.hang_up();
        assert_eq!(spoken_back(&heard).as_deref(), Ok("447"));
    });
}

#[test]
fn keys_of_a_phone_with_opus_are_spoken_back() {
    pacing::in_time(|watch| {
        let server = server::Config::new().start();
        let mut phone = phone(watch, &server, "opus", 1000.0);
        phone.dial("530");
        phone.press("258#");
        // It is spoken back within that.
        std::thread::sleep(Duration::from_secs(5));
        phone.hang_up();
        let (heard, rate) = phone.heard_at_rate();
        let said = spoken_back(&resample_file(&heard, rate as u32, 8000))?;
        if said != "258" {
            return Err(format!("258 pressed, {said} spoken back"));
        }
        Ok(())
    });
}
