//! The table of networks and codecs, and the bars that it is held against.

use std::error::Error;

use antiphon::codec::{Codec, CodecError};
use antiphon::leg::playout::PlayoutStats;

use super::Args;
use super::call::{self, Call};
use super::delay;
use super::network::{PROFILES, Profile};
use super::score::Judge;
use super::speech::{self, SAMPLE_S};

/// The sound of a codec at its own rate, or the yardstick.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Ours(Codec),
    Yardstick,
}

struct Row {
    way: Way,
    profile: Profile,
    calls: Vec<Call>,
    /// How late pieces of what was heard were, ms.
    late_ms: Vec<f32>,
    scores: Vec<f32>,
}

const WAYS: &[Way] = &[
    Way::Ours(Codec::Pcmu),
    Way::Yardstick,
    Way::Ours(Codec::G722),
    Way::Ours(Codec::Opus),
];

/// Prints the table; whether all bars are met.
pub fn print(mut judge: Judge, args: &Args) -> Result<bool, Box<dyn Error>> {
    let mut rows = Vec::new();
    for &way in WAYS.iter().filter(|w| w.name().contains(&args.codec)) {
        let rate = way.codec().sample_rate();
        let mut speech = Vec::new();
        for n in 0..speech::count() {
            speech.extend(speech::sample(n, rate)?);
        }
        for &profile in PROFILES {
            if profile != Profile::Clean && !profile.name().contains(&args.network) {
                continue;
            }
            let seeds = if profile.is_random() { args.seeds } else { 1 };
            let calls = (1..=seeds)
                .map(|seed| way.call(&speech, profile, seed))
                .collect::<Result<Vec<Call>, CodecError>>()?;
            for call in &calls {
                ask(&mut judge, &speech, &call.heard, rate)?;
            }
            let late_ms = match way {
                Way::Ours(_) => calls
                    .iter()
                    .flat_map(|call| delay::late_ms(&speech, call, rate, profile.drift()))
                    .collect(),
                Way::Yardstick => Vec::new(),
            };
            rows.push(Row {
                way,
                profile,
                calls,
                late_ms,
                scores: Vec::new(),
            });
        }
    }
    let scores = judge.scores()?;
    let mut left = &scores[..];
    for row in &mut rows {
        let (own, rest) = left.split_at(row.calls.len() * speech::count());
        row.scores = own.to_vec();
        left = rest;
    }
    println!(
        "{:<28} {:<14} {:>5} {:>6} {:>7} {:>7} {:>7} {:>10} {:>9} {:>8}",
        "network",
        "codec",
        "MOS",
        "worst",
        "mean ms",
        "p99 ms",
        "late",
        "concealed",
        "stretched",
        "repaired"
    );
    // The clean network, each codec's first, shows what the codec itself delays.
    let mut codec_ms = 0.0;
    for row in &rows {
        if row.profile == Profile::Clean {
            codec_ms = row.late_at(0.5);
        }
        row.print(codec_ms);
    }
    println!();
    Ok(bars(&rows))
}

/// PESQ at 8 kHz, or at 16 kHz where there is more to hear.
fn ask(judge: &mut Judge, speech: &[i16], heard: &[i16], rate: u32) -> Result<(), Box<dyn Error>> {
    let scored = rate.min(16_000);
    let len = SAMPLE_S * rate as usize;
    for (reference, heard) in speech.chunks(len).zip(heard.chunks(len)) {
        let reference = speech::resampled(reference, rate, scored)?;
        let heard = speech::resampled(heard, rate, scored)?;
        judge.ask(scored, &reference, &heard)?;
    }
    Ok(())
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Ours(codec) => codec.name(),
            Way::Yardstick => "App. I, ideal",
        }
    }

    fn codec(self) -> Codec {
        match self {
            Way::Ours(codec) => codec,
            Way::Yardstick => Codec::Pcmu,
        }
    }

    fn call(self, speech: &[i16], profile: Profile, seed: u64) -> Result<Call, CodecError> {
        match self {
            Way::Ours(codec) => call::call(codec, speech, profile, seed),
            Way::Yardstick => Ok(Call {
                heard: call::yardstick(Codec::Pcmu, speech, profile, seed),
                late_ms: Vec::new(),
                stats: PlayoutStats::default(),
            }),
        }
    }
}

impl Row {
    fn mos(&self) -> f32 {
        self.scores.iter().sum::<f32>() / self.scores.len() as f32
    }

    /// What a share `q` of the pieces do not exceed, ms.
    fn late_at(&self, q: f64) -> f32 {
        let mut late = self.late_ms.clone();
        late.sort_by(f32::total_cmp);
        let rank = (late.len() as f64 * q) as usize;
        late.get(rank).copied().unwrap_or(f32::NAN)
    }

    /// `codec_ms` is how late it is without a network.
    fn print(&self, codec_ms: f32) {
        let worst = self.scores.iter().copied().fold(f32::MAX, f32::min);
        print!(
            "{:<28} {:<14} {:>5.2} {worst:>6.2}",
            self.profile.name(),
            self.way.name(),
            self.mos()
        );
        if self.late_ms.is_empty() {
            println!();
            return;
        }
        let mean_ms = self.late_ms.iter().sum::<f32>() / self.late_ms.len() as f32;
        let rate = self.way.codec().sample_rate() / 1000;
        let total = |count: fn(&Call) -> u64| self.calls.iter().map(count).sum::<u64>();
        println!(
            " {:>7.1} {:>7.1} {:>7} {:>10} {:>9} {:>8}",
            mean_ms - codec_ms,
            self.late_at(0.99) - codec_ms,
            total(|c| c.stats.late),
            total(|c| c.stats.concealed_samples) / u64::from(rate),
            total(|c| c.stats.expanded + c.stats.accelerated) / u64::from(rate),
            total(|c| c.stats.repaired),
        );
    }
}

/// What must hold; prints each that could be looked at.
fn bars(rows: &[Row]) -> bool {
    let mos = |way: Way, profile: Profile| {
        rows.iter()
            .find(|r| r.way == way && r.profile == profile)
            .map(Row::mos)
    };
    let ours = Way::Ours(Codec::Pcmu);
    let cases = [
        (
            "G.711, 2 % loss with jitter: at most 0.5 below clean",
            mos(ours, Profile::LossAndJitter),
            mos(ours, Profile::Clean).map(|clean| clean - 0.5),
        ),
        (
            "G.711, 5 % loss in bursts of 3: not below Appendix I",
            mos(ours, Profile::Bursts),
            mos(Way::Yardstick, Profile::Bursts),
        ),
        (
            "Opus with FEC, 10 % loss: at most 0.6 below clean",
            mos(Way::Ours(Codec::Opus), Profile::Loss),
            mos(Way::Ours(Codec::Opus), Profile::Clean).map(|clean| clean - 0.6),
        ),
    ];
    let mut all = true;
    for (what, is, least) in cases {
        if let (Some(is), Some(least)) = (is, least) {
            let met = is >= least;
            all &= met;
            let verdict = if met { "met" } else { "MISSED" };
            println!("{what}: {is:.2}, at least {least:.2}: {verdict}");
        }
    }
    all
}
