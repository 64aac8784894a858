//! Who hears whom: each client sends a tone of its own, and only who shares a conference with it
//! may hear it.

use std::collections::BTreeMap;
use std::f32::consts::TAU;
use std::sync::LazyLock;

use super::robot::Robot;
use super::sim::World;

/// Far from each other, from 1000 Hz (which an application plays), and from each other's doubles.
pub const TONES: [f64; 10] = [
    330.0, 450.0, 590.0, 730.0, 850.0, 1130.0, 1270.0, 1430.0, 1570.0, 1870.0,
];

/// Samples of a window.
const WINDOW: usize = 800;

/// The sine and cosine of each tone over a window.
static WAVES: LazyLock<Vec<[Vec<f32>; 2]>> = LazyLock::new(|| {
    let wave = |hz: f32, f: fn(f32) -> f32| {
        (0..WINDOW)
            .map(|n| f(TAU * (hz * n as f32 / 8000.0).fract()))
            .collect()
    };
    TONES
        .iter()
        .map(|&hz| [wave(hz as f32, f32::sin), wave(hz as f32, f32::cos)])
        .collect()
});

/// Amplitude of a tone in a window.
fn amplitude(audio: &[f32], tone: usize) -> f32 {
    let [re, im] = WAVES[tone].each_ref().map(|wave| {
        let pairs = wave.iter().zip(audio);
        pairs.map(|(w, a)| w * a).sum::<f32>()
    });
    re.hypot(im) * 2.0 / WINDOW as f32
}

/// Amplitude of each tone in a window; none: it is too short for one.
pub fn amplitudes(audio: &[i16]) -> Option<[f32; TONES.len()]> {
    let window = audio.get(..WINDOW)?;
    let audio: Vec<f32> = window.iter().map(|&sample| f32::from(sample)).collect();
    Some(std::array::from_fn(|tone| amplitude(&audio, tone)))
}

/// A tone is there at a quarter of what its client sends.
const THERE: f32 = 625.0;

/// What is still on its way, or in a buffer, when a call has ended; ms.
const LATE_MS: u64 = 600;

/// Checks what every client has heard. How many windows had the voice of another client in them.
pub fn check(world: &World, robots: &[Robot]) -> usize {
    let mut found = 0;
    for listener in 0..robots.len() {
        // By stream: a window must not be made of two.
        let mut streams: BTreeMap<u32, Vec<(u64, Vec<i16>)>> = BTreeMap::new();
        for heard in &world.phones[listener].heard {
            let stream = streams.entry(heard.ssrc).or_default();
            stream.push((heard.at / 1000, heard.audio()));
        }
        for packets in streams.values() {
            for run in packets.chunks(WINDOW / 160) {
                let samples = run.iter().flat_map(|(_, audio)| audio);
                let audio: Vec<f32> = samples.map(|&sample| f32::from(sample)).collect();
                if audio.len() < WINDOW {
                    continue;
                }
                let (from, to) = (run[0].0, run[run.len() - 1].0);
                for talker in (0..robots.len()).filter(|&talker| talker != listener) {
                    if amplitude(&audio, talker) > THERE {
                        found += 1;
                        assert!(
                            together(world, robots, (listener, talker), (from, to)),
                            "client {listener} ({}) hears client {talker} ({}) at {from} ms",
                            robots[listener].user(),
                            robots[talker].user()
                        );
                    }
                }
            }
        }
    }
    found
}

/// Whether two clients were in one conference at some time within, or shortly before.
fn together(
    world: &World,
    robots: &[Robot],
    (one, other): (usize, usize),
    (from, to): (u64, u64),
) -> bool {
    let room = robots[one].user();
    let conference = room.starts_with('7') || room.starts_with('8');
    if !conference || room != robots[other].user() {
        return false;
    }
    let ledger = world.ledger.as_ref().expect("it is kept");
    [one, other].iter().all(|&client| {
        let times = &ledger.calls[&world.phones[client].call_id];
        times.from_ms <= to && times.to_ms.is_none_or(|end| from <= end + LATE_MS)
    })
}
