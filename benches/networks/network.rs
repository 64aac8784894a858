//! The simulated network: what happens to each packet, from a seed.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Nothing happens.
    Clean,
    /// 0 to 30 ms, evenly distributed, each packet by itself.
    Jitter,
    /// The same, and 2 % lost at random.
    LossAndJitter,
    /// 5 % lost, three in a row each time.
    Bursts,
    /// 10 % lost at random.
    Loss,
    /// Every 16 s nothing comes for 500 ms, then all at once.
    Stall,
    /// A wireless link: mostly within 3 ms; every 2 s on average 150 to 400 ms of contention, in
    /// which packets wait 20 to 100 ms behind each other; 1 % lost, most of it then.
    Wifi,
    /// The sender's clock is slow by 200 ppm.
    Slow,
    /// The sender's clock is fast by 200 ppm.
    Fast,
}

/// All, in the order of the table.
pub const PROFILES: &[Profile] = &[
    Profile::Clean,
    Profile::Jitter,
    Profile::LossAndJitter,
    Profile::Bursts,
    Profile::Loss,
    Profile::Stall,
    Profile::Wifi,
    Profile::Slow,
    Profile::Fast,
];

impl Profile {
    /// As in the table.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Clean => "clean",
            Profile::Jitter => "0-30 ms jitter",
            Profile::LossAndJitter => "2 % loss, 0-30 ms jitter",
            Profile::Bursts => "5 % loss in bursts of 3",
            Profile::Loss => "10 % loss",
            Profile::Stall => "stall of 500 ms",
            Profile::Wifi => "wifi-like bursts",
            Profile::Slow => "clock -200 ppm",
            Profile::Fast => "clock +200 ppm",
        }
    }

    /// Whether another seed is another network.
    pub fn is_random(self) -> bool {
        !matches!(
            self,
            Profile::Clean | Profile::Stall | Profile::Slow | Profile::Fast
        )
    }

    /// By how much longer than ours the sender's second is.
    pub fn drift(self) -> f64 {
        match self {
            Profile::Slow => 200e-6,
            Profile::Fast => -200e-6,
            _ => 0.0,
        }
    }

    /// How long each of `count` packets of 20 ms is under way, us; `None`: lost. The first
    /// arrives at once.
    pub fn delays(self, count: usize, seed: u64) -> Vec<Option<u64>> {
        let random = &mut SmallRng::seed_from_u64(seed);
        let mut delays: Vec<Option<u64>> = match self {
            Profile::Clean | Profile::Slow | Profile::Fast => vec![Some(0); count],
            Profile::Jitter => each(count, || Some(random.random_range(0..=30_000))),
            Profile::LossAndJitter => each(count, || {
                let delay = random.random_range(0..=30_000);
                (!random.random_bool(0.02)).then_some(delay)
            }),
            Profile::Bursts => bursts(count, random),
            Profile::Loss => each(count, || (!random.random_bool(0.1)).then_some(0)),
            Profile::Stall => stalls(count),
            Profile::Wifi => wifi(count, random),
        };
        delays[0] = Some(0);
        delays
    }
}

fn each(count: usize, delay: impl FnMut() -> Option<u64>) -> Vec<Option<u64>> {
    std::iter::repeat_with(delay).take(count).collect()
}

fn bursts(count: usize, random: &mut SmallRng) -> Vec<Option<u64>> {
    let mut lost = 0;
    // Of three lost and n kept on average, 5 %: n = 57.
    each(count, || {
        if lost == 0 && random.random_bool(1.0 / 57.0) {
            lost = 4;
        }
        lost -= i32::from(lost > 0);
        (lost == 0).then_some(0)
    })
}

fn stalls(count: usize) -> Vec<Option<u64>> {
    const EVERY: u64 = 16_000_000;
    (0..count as u64)
        .map(|n| {
            let sent = n * 20_000;
            let within = sent % EVERY;
            let (begin, end) = (5_300_000, 5_800_000);
            let waits = (begin..end).contains(&within);
            Some(if waits { end - within } else { 0 })
        })
        .collect()
}

fn wifi(count: usize, random: &mut SmallRng) -> Vec<Option<u64>> {
    let mut busy = 0u32;
    let mut last = 0;
    (0..count as u64)
        .map(|n| {
            let sent = n * 20_000;
            if busy == 0 && random.random_bool(0.01) {
                busy = random.random_range(8..=20);
            }
            busy = busy.saturating_sub(1);
            let wait = if busy > 0 {
                random.random_range(20_000..100_000)
            } else {
                random.random_range(0..3_000)
            };
            let arrival = (sent + wait).max(last + 200);
            last = arrival;
            let lost = random.random_bool(if busy > 0 { 0.05 } else { 0.003 });
            (!lost).then_some(arrival - sent)
        })
        .collect()
}
