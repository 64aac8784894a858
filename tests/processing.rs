//! A party's processing and the live path's resampler on a media thread: neither memory taken nor
//! given back, whichever stages are on, and while they are switched.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(unsafe_code, reason = "stands in for malloc")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the test of whole media threads")]
#[path = "realtime/tally.rs"]
mod tally;

use antiphon::audio::limiter::Limiter;
use antiphon::audio::polyphase::Resampler;
use antiphon::audio::process::{ProcessSettings, Processing};
use tally::Tally;

const RATES: [u32; 3] = [8000, 16_000, 48_000];

fn all() -> ProcessSettings {
    ProcessSettings {
        gain_in_db: 6,
        gain_out_db: -6,
        agc_dbov: Some(-20),
        noise_suppression: true,
        gate_dbov: Some(-50),
        comfort_noise_dbov: Some(-60),
    }
}

/// Half a second of noise and half a second of silence, by turns.
fn audio(frame: usize, n: usize) -> Vec<i16> {
    let loud = i16::from(n % 50 < 25);
    (0..frame)
        .map(|i| ((i * 7919 + n * 104_729) % 4001) as i16 * loud)
        .collect()
}

#[test]
fn processing_takes_and_gives_no_memory() {
    for rate in RATES {
        let tally = Tally::traced();
        let mut processing = Processing::new(rate);
        let frames: Vec<_> = (0..200).map(|n| audio(rate as usize / 50, n)).collect();
        for settings in [all(), ProcessSettings::default(), all()] {
            let noise = settings.noise_suppression(rate);
            let mut said = frames.clone();
            let mut heard = frames.clone();
            let unused = tally.watch(|| {
                let unused = processing.apply(settings, noise);
                for (said, heard) in said.iter_mut().zip(&mut heard) {
                    processing.input(said);
                    processing.output(heard);
                }
                unused
            });
            // What was switched off fades out first.
            let settled = said[1..] == frames[1..];
            assert_eq!(settled, settings == ProcessSettings::default());
            drop(unused);
        }
        tally.assert_untouched();
    }
}

#[test]
fn resampling_and_limiting_take_and_give_no_memory() {
    for (from, to) in RATES
        .into_iter()
        .flat_map(|from| RATES.map(|to| (from, to)))
    {
        // The first of a ratio designs the filter; that is for the control side.
        let _ = Resampler::new(from, to);
        let tally = Tally::traced();
        let input = audio(from as usize / 50, 3);
        let mut out = vec![0; to as usize / 50];
        let sums: Vec<i32> = out.iter().map(|_| 100_000).collect();
        let mut limited = out.clone();
        tally.watch(|| {
            let mut resampler = Resampler::new(from, to);
            resampler.process(&input, &mut out);
            resampler.reset();
            let mut limiter = Limiter::default();
            limiter.limit(&sums, &mut limited);
            limiter.limit_without(&sums, &out, &mut limited);
        });
        assert!(out.iter().any(|sample| *sample != 0));
        tally.assert_untouched();
    }
}
