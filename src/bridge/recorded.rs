//! Recordings of rooms: the tracks make up the mix, and all lie on one time line.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::*;
use crate::audio::player::Play;
use crate::audio::source::Source;
use crate::audio::tap::{MAX_FRAME as PIECE, RecordFrame};
use crate::audio::tone::Tone;

const MIX: u64 = 1;
const REST: u64 = 2;
const FIRST_TRACK: u64 = 100;

fn recording(rate: u32, max_samples: Option<u64>) -> (Box<RoomRecording>, Receiver<RecordFrame>) {
    let (frames, taken) = bounded(1000);
    let settings = RoomRecordingSettings {
        recording: MIX,
        rate,
        rest: Some(REST),
        stereo: false,
        max_samples,
        silence_stop_samples: None,
    };
    (RoomRecording::new(settings, frames), taken)
}

/// The pieces of one tick, put together: what each handle has, and where.
fn pieces(taken: &Receiver<RecordFrame>) -> BTreeMap<u64, (u64, Vec<i16>)> {
    let mut tick: BTreeMap<u64, (u64, Vec<i16>)> = BTreeMap::new();
    for frame in taken.try_iter() {
        let samples = &frame.samples[..usize::from(frame.len)];
        let whole = tick
            .entry(frame.recording)
            .or_insert((frame.position, Vec::new()));
        assert_eq!(whole.0 + whole.1.len() as u64, frame.position);
        whole.1.extend_from_slice(samples);
        assert!(samples.len() <= PIECE);
    }
    tick
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// A member that comes and goes, talks and is muted.
struct Member {
    rate: u32,
    port: Option<usize>,
    leaving: bool,
    talks: bool,
    muted: bool,
    phase: u32,
}

/// A meeting of ten members; checks each tick. Returns the recording's length, and how many frames
/// were told for each track.
fn meeting(seed: u64, rate: u32, rates: &[u32], ticks: u64) -> (u64, BTreeMap<u64, u64>) {
    let mut random = Random(seed);
    let mut bridge = Bridge::new(10);
    let mut members: Vec<Member> = (0..10)
        .map(|n| Member {
            rate: rates[n % rates.len()],
            port: None,
            leaving: false,
            talks: false,
            muted: false,
            phase: n as u32 * 1000,
        })
        .collect();
    let (room, taken) = recording(rate, None);
    bridge.record(room);
    let mut told = BTreeMap::new();
    let (mut loudest, mut played) = (0, 0);
    for tick in 0..ticks {
        let now = MediaTime::from_millis(4003) + Duration::from_millis(tick * 20);
        if random.below(25) == 0 {
            happen(&mut random, &mut bridge, &mut members);
        }
        if random.below(1000) == 0 {
            let tone = Source::Tone {
                tone: Tone::sine(440.0, -30.0),
                samples: 8000,
            };
            bridge.play(Box::new(RoomPlay::new(Box::new(Play::once(1, vec![tone])))));
        }
        for member in &mut members {
            let Some(port) = member.port else { continue };
            let frame = member.rate as usize / 50;
            let said: Vec<i16> = (0..frame)
                .map(|_| {
                    member.phase = member
                        .phase
                        .wrapping_mul(1_664_525)
                        .wrapping_add(1_013_904_223);
                    if member.talks {
                        (member.phase >> 20) as i16 - 2048
                    } else {
                        0
                    }
                })
                .collect();
            bridge.say(port, &said);
        }
        bridge.mix_at(now);
        played += u64::from(bridge.take_ended_play().is_some());
        let mut tick_frames = pieces(&taken);
        let (position, mix) = tick_frames.remove(&MIX).expect("a mix in each tick");
        assert_eq!(position, tick * u64::from(rate) / 50);
        let mut sum = vec![0i32; mix.len()];
        for (track, (at, samples)) in tick_frames {
            assert_eq!(at, position, "track {track}");
            *told.entry(track).or_insert(0) += 1;
            for (sum, sample) in sum.iter_mut().zip(samples) {
                *sum += i32::from(sample);
            }
        }
        let fits = |sample: &i32| i16::try_from(*sample).is_ok();
        assert!(sum.iter().all(fits), "louder than the test means to be");
        let mix: Vec<i32> = mix.into_iter().map(i32::from).collect();
        assert!(mix == sum, "tick {tick}: the tracks do not make up the mix");
        loudest = loudest.max(mix.iter().map(|s| s.abs()).max().unwrap_or(0));
        settle(&mut bridge, &mut members);
    }
    assert!(loudest > 5000, "{loudest}");
    assert!(ticks < 5000 || played > 0);
    let recording = bridge.take_recording().unwrap();
    assert_eq!(recording.overflowed_samples(), 0);
    (recording.end_position(), told)
}

/// Somebody comes, goes, begins or ceases to talk, is muted or not.
fn happen(random: &mut Random, bridge: &mut Bridge, members: &mut [Member]) {
    let who = random.below(members.len() as u64) as usize;
    let member = &mut members[who];
    let Some(port) = member.port else {
        if random.below(2) == 0 {
            let mut port = Port::new(who as u32, member.rate);
            port.set_track(Track::new(MIX, FIRST_TRACK + who as u64, rate_of(bridge)));
            member.port = Some(bridge.join(Box::new(port)).unwrap());
            member.muted = false;
        }
        return;
    };
    match random.below(8) {
        0 if !member.leaving => {
            bridge.leave(port);
            member.leaving = true;
        }
        1..4 => {
            member.muted ^= true;
            bridge.relate(port, Relation::OPEN.muted(member.muted));
        }
        _ => member.talks ^= true,
    }
}

fn rate_of(bridge: &Bridge) -> u32 {
    bridge.recording.as_ref().unwrap().settings().rate
}

fn settle(bridge: &mut Bridge, members: &mut [Member]) {
    for who in 0..members.len() {
        let Some(port) = members[who].port.filter(|port| bridge.has_left(*port)) else {
            continue;
        };
        let (mut removed, moved) = bridge.remove(port).unwrap();
        let track = removed.take_track().unwrap();
        assert!(track.span.is_none_or(|(from, to)| from < to));
        if let Some(moved) = moved {
            members[moved as usize].port = Some(port);
        }
        members[who].port = None;
        members[who].leaving = false;
    }
}

#[test]
fn the_tracks_of_a_long_meeting_make_up_its_mix() {
    let ticks = 10 * 60 * 50;
    let (length, told) = meeting(3, 8000, &[8000], ticks);
    assert_eq!(length, ticks * 160);
    assert_eq!(told.len(), 11, "ten members, and what the room plays");
}

#[test]
fn the_same_where_members_have_all_rates() {
    // The whole length once: the other rates differ in their filters alone.
    for (seed, rate, ticks) in [
        (5, 8000, 2500),
        (6, 16_000, 10 * 60 * 50),
        (7, 48_000, 2500),
    ] {
        let (length, told) = meeting(seed, rate, &[8000, 16_000, 48_000], ticks);
        assert_eq!(length, ticks * u64::from(rate) / 50);
        assert!(told.len() >= 10);
    }
}

#[test]
fn in_stereo_who_has_a_track_is_left_and_the_rest_is_right() {
    for rate in [8000, 16_000] {
        let mut bridge = Bridge::new(3);
        for (who, has_track) in [(0, true), (1, false), (2, false)] {
            let mut port = Port::new(who, 8000);
            if has_track {
                port.set_track(Track::new(MIX, FIRST_TRACK, rate));
            }
            bridge.join(Box::new(port)).unwrap();
        }
        let (frames, taken) = bounded(1000);
        let settings = RoomRecordingSettings {
            recording: MIX,
            rate,
            rest: None,
            stereo: true,
            max_samples: None,
            silence_stop_samples: None,
        };
        bridge.record(RoomRecording::new(settings, frames));
        let frame = rate as usize / 50;
        for tick in 0..10 {
            for (who, level) in [(0, 1000), (1, 200), (2, 30)] {
                bridge.say(who, &[level; 160]);
            }
            bridge.mix_at(MediaTime::from_millis(tick * 20));
            let both: Vec<i16> = taken
                .try_iter()
                .inspect(|piece| assert_eq!(piece.recording, MIX, "there is one file"))
                .flat_map(|piece| piece.samples[..usize::from(piece.len)].to_vec())
                .collect();
            assert_eq!(both.len(), 2 * frame);
            // Behind the fades and the filters.
            if tick > 2 {
                let near = |level: i16, wanted: i16| level.abs_diff(wanted) <= wanted as u16 / 20;
                let sides = |pair: &[i16]| near(pair[0], 1000) && near(pair[1], 230);
                assert!(both.chunks(2).all(sides), "{rate}: {:?}", &both[..8]);
            }
        }
        assert_eq!(
            bridge.take_recording().unwrap().end_position(),
            10 * frame as u64
        );
    }
}

#[test]
fn a_recording_pauses_is_muted_and_ends_at_the_sample() {
    let mut bridge = Bridge::new(2);
    let mut port = Port::new(0, 8000);
    port.set_track(Track::new(MIX, FIRST_TRACK, 8000));
    bridge.join(Box::new(port)).unwrap();
    let (room, taken) = recording(8000, Some(160 * 5 + 40));
    bridge.record(room);
    let mut seen = Vec::new();
    for tick in 0..10 {
        match tick {
            2 => bridge.control_recording(RecordControl::Pause),
            4 => bridge.control_recording(RecordControl::Mute),
            5 => bridge.control_recording(RecordControl::Resume),
            _ => {}
        }
        bridge.say(0, &[1000; 160]);
        bridge.mix_at(MediaTime::from_millis(tick * 20));
        let tick_frames = pieces(&taken);
        let level = |of: u64| tick_frames.get(&of).map(|(at, s)| (*at, s[30]));
        seen.push((level(MIX), level(FIRST_TRACK)));
        if bridge.recording_stopped().is_some() {
            break;
        }
    }
    let both = |at, level| (Some((at, level)), Some((at, level)));
    assert_eq!(seen[0].0.map(|(at, _)| at), Some(0));
    assert_eq!(seen[1], both(160, 1000));
    assert_eq!(seen[2..4], [(None, None), (None, None)]);
    assert_eq!(
        seen[4],
        (Some((320, 0)), None),
        "muted: the time line goes on"
    );
    assert_eq!(
        seen[5..8],
        [both(480, 1000), both(640, 1000), both(800, 1000)]
    );
    assert_eq!(bridge.recording_stopped(), Some(TapStop::MaxLength));
    assert_eq!(bridge.take_recording().unwrap().end_position(), 840);
}

#[test]
fn a_track_of_another_recording_takes_nothing() {
    let mut bridge = Bridge::new(1);
    let mut port = Port::new(0, 8000);
    port.set_track(Track::new(MIX + 7, FIRST_TRACK, 8000));
    bridge.join(Box::new(port)).unwrap();
    let (room, taken) = recording(8000, None);
    bridge.record(room);
    for tick in 0..3 {
        bridge.say(0, &[1000; 160]);
        bridge.mix_at(MediaTime::from_millis(tick * 20));
    }
    let frames: Vec<_> = taken.try_iter().collect();
    assert!(frames.iter().all(|frame| frame.recording != FIRST_TRACK));
    // It is in the room's own track then.
    assert!(
        frames
            .iter()
            .any(|f| f.recording == REST && f.samples[100] == 1000)
    );
    assert!(bridge.take_track(0, MIX).is_none());
    assert_eq!(bridge.take_track(0, MIX + 7).unwrap().span, None);
}

#[test]
fn a_track_that_is_there_before_the_recording_begins_with_it() {
    let mut bridge = Bridge::new(1);
    let mut port = Port::new(0, 8000);
    port.set_track(Track::new(MIX, FIRST_TRACK, 8000));
    bridge.join(Box::new(port)).unwrap();
    let (room, taken) = recording(8000, None);
    let mut room = Some(room);
    for tick in 0..4 {
        if tick == 2 {
            bridge.record(room.take().unwrap());
        }
        bridge.say(0, &[1000; 160]);
        bridge.mix_at(MediaTime::from_millis(tick * 20));
        let tick_frames = pieces(&taken);
        let at = |handle: u64| tick_frames.get(&handle).map(|(at, _)| *at);
        let expected = (tick >= 2).then(|| (tick - 2) * 160);
        assert_eq!((at(MIX), at(FIRST_TRACK)), (expected, expected), "{tick}");
    }
}

#[test]
fn a_bridge_that_moves_tears_no_hole_and_a_skipped_tick_does() {
    let mut bridge = Bridge::new(1);
    bridge.join(Box::new(Port::new(0, 8000))).unwrap();
    let (room, taken) = recording(8000, None);
    bridge.record(room);
    let mut now = MediaTime::from_millis(4003);
    let mut at = |after_ms| {
        now = now + Duration::from_millis(after_ms);
        bridge.say(0, &[1000; 160]);
        bridge.mix_at(now);
        pieces(&taken)[&MIX].0
    };
    // As far as it may move in speech, a millisecond a tick, and back.
    let steps = [[21; 24], [19; 24]].concat();
    for (n, after_ms) in (0..).zip(steps) {
        assert_eq!(at(after_ms), n * 160);
    }
    assert_eq!(at(40), 49 * 160);
    assert_eq!(at(21), 50 * 160);
}
