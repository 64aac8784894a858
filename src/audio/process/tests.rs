use super::*;
use crate::audio::level::{mean_square, rms_dbov, to_dbov};
use crate::audio::testing::{Random, is_spoken, noise, speech};

const RATES: [u32; 3] = [8000, 16_000, 48_000];

fn off() -> ProcessSettings {
    ProcessSettings::default()
}

fn processing(settings: ProcessSettings, rate: u32) -> Processing {
    let mut processing = Processing::new(rate);
    let unused = processing.apply(settings, settings.noise_suppression(rate));
    assert!(unused.is_none());
    processing
}

/// What a party at `rate` is heard to say.
fn said(processing: &mut Processing, audio: &[i16], rate: u32) -> Vec<i16> {
    let mut out = audio.to_vec();
    for frame in out.chunks_mut(rate as usize / 50) {
        processing.input(frame);
    }
    out
}

/// The level of the syllables, or of what is between them, in a part of [`speech`] from `from` s
/// on. `late` samples are how much later it comes; edges of 30 ms are left out of the pauses.
fn level(audio: &[i16], rate: u32, from: f32, late: usize, spoken: bool) -> f32 {
    let begin = (from * rate as f32) as usize;
    let edge = rate as usize * 3 / 100;
    let chosen = (begin..audio.len() - late).filter(|at| {
        if spoken {
            is_spoken(rate, *at)
        } else {
            [at - edge, *at, at + edge]
                .iter()
                .all(|at| !is_spoken(rate, *at))
        }
    });
    let chosen: Vec<i16> = chosen.map(|at| audio[at + late]).collect();
    to_dbov(mean_square(&chosen))
}

#[test]
fn off_is_bit_exact() {
    for rate in RATES {
        let audio = noise(rate, 0.5, -4.8, 3);
        let mut processing = processing(off(), rate);
        assert_eq!(said(&mut processing, &audio, rate), audio);
        let mut heard = audio.clone();
        heard
            .chunks_mut(rate as usize / 50)
            .for_each(|frame| processing.output(frame));
        assert_eq!(heard, audio);
        assert!(!processing.changes_output());
    }
}

#[test]
fn gain_is_exact_and_moves_over_a_frame() {
    for rate in RATES {
        let audio = vec![3000; rate as usize / 5];
        let frame = rate as usize / 50;
        let mut processing = Processing::new(rate);
        let louder = ProcessSettings {
            gain_in_db: 6,
            gain_out_db: -20,
            ..off()
        };
        processing.apply(louder, None);
        let out = said(&mut processing, &audio, rate);
        assert_eq!(out[0], 3000);
        assert_eq!(out[frame..].iter().max(), Some(&5986));
        let step = out.windows(2).map(|w| w[1] - w[0]).max();
        assert!(step <= Some(3000 / frame as i16 + 1), "{step:?}");
        let mut heard = vec![30_000; frame * 2];
        heard
            .chunks_mut(frame)
            .for_each(|frame| processing.output(frame));
        assert!(heard[frame..].iter().all(|sample| *sample == 3000));
        assert!(processing.changes_output());
        let much = ProcessSettings {
            gain_in_db: 40,
            ..off()
        };
        processing.apply(much, None);
        assert_eq!(said(&mut processing, &audio, rate).last(), Some(&i16::MAX));
        processing.apply(off(), None);
        assert_eq!(said(&mut processing, &audio, rate)[frame..], audio[frame..]);
    }
}

#[test]
fn the_gate_silences_noise_and_cuts_no_syllable() {
    let settings = ProcessSettings {
        gate_dbov: Some(-50),
        ..off()
    };
    for rate in RATES {
        let frame = rate as usize / 50;
        let quiet = noise(rate, 1.0, -60.0, 5);
        for begin in (0..frame).step_by(frame / 16) {
            let mut processing = processing(settings, rate);
            let mut audio = quiet.clone();
            let burst = rate as usize / 2 + begin..rate as usize * 3 / 5 + begin;
            for (n, sample) in audio[burst.clone()].iter_mut().enumerate() {
                *sample = if n.is_multiple_of(2) { 3000 } else { -3000 };
            }
            let out = said(&mut processing, &audio, rate);
            assert_eq!(out[..frame * 15], audio[..frame * 15], "open for 300 ms");
            let closed = frame * 16..rate as usize / 2;
            assert!(out[closed].iter().all(|sample| *sample == 0), "closed then");
            assert_eq!(out[burst.clone()], audio[burst.clone()], "{rate}: {begin}");
            let end = &out[burst.end + frame * 17..];
            assert!(end.iter().all(|sample| *sample == 0), "closed again");
            let tail = out[burst.end..]
                .windows(2)
                .map(|w| (w[1] - w[0]).abs())
                .max();
            assert!(tail < Some(250), "no click where it closes: {tail:?}");
        }
    }
}

#[test]
fn a_gate_that_is_switched_off_opens_softly() {
    let mut processing = processing(
        ProcessSettings {
            gate_dbov: Some(-20),
            ..off()
        },
        8000,
    );
    let audio = vec![1000; 8000];
    assert_eq!(said(&mut processing, &audio, 8000).last(), Some(&0));
    processing.apply(off(), None);
    let out = said(&mut processing, &audio, 8000);
    let step = out.windows(2).map(|w| w[1] - w[0]).max();
    assert!(
        out[0] == 0 && step <= Some(26) && out[40] == 1000,
        "{step:?}"
    );
}

#[test]
fn quiet_and_loud_speech_come_to_the_target() {
    let settings = ProcessSettings {
        agc_dbov: Some(-20),
        ..off()
    };
    for rate in [8000, 16_000] {
        for dbov in [-40.0, -30.0, -20.0, -5.0] {
            let audio = speech(rate, 14.0, dbov, 9);
            let out = said(&mut processing(settings, rate), &audio, rate);
            let reached = level(&out, rate, 10.0, 0, true);
            // It turns down by at most 10 dB.
            let expected = f32::max(-20.0, dbov - 10.0);
            assert!(
                (reached - expected).abs() < 3.0,
                "{rate}: {dbov} became {reached}"
            );
        }
    }
}

#[test]
fn noise_and_tones_are_not_turned_up() {
    let settings = ProcessSettings {
        agc_dbov: Some(-20),
        ..off()
    };
    for rate in RATES {
        let mut audio = vec![0; rate as usize];
        audio.extend(noise(rate, 6.0, -45.0, 4));
        let out = said(&mut processing(settings, rate), &audio, rate);
        let end = rms_dbov(&out[out.len() - rate as usize..]);
        assert!(end < -43.5, "{rate}: noise of -45 became {end} dBov");
    }
}

/// The gate makes silence of the pauses: the noise is what was there before.
#[test]
fn a_gate_does_not_hide_the_noise_that_is_not_to_be_turned_up() {
    let (rate, seconds) = (8000, 16.0);
    let mut audio = speech(rate, seconds, -38.0, 2);
    for (sample, noise) in audio.iter_mut().zip(noise(rate, seconds, -52.0, 8)) {
        *sample = sample.saturating_add(noise);
    }
    let spoken = |gate_dbov| {
        let settings = ProcessSettings {
            agc_dbov: Some(-20),
            gate_dbov,
            ..off()
        };
        let out = said(&mut processing(settings, rate), &audio, rate);
        level(&out, rate, 12.0, 0, true)
    };
    let (open, gated) = (spoken(None), spoken(Some(-47)));
    assert!((gated - open).abs() < 1.5, "{open} and {gated} dBov");
    assert!(gated < -33.0, "{gated}: the noise may come to -50 dBov");
}

#[test]
fn another_codec_goes_on_with_the_gain_of_the_one_before() {
    let settings = ProcessSettings {
        agc_dbov: Some(-20),
        ..off()
    };
    let audio = speech(8000, 16.0, -38.0, 2);
    let mut before = processing(settings, 8000);
    said(&mut before, &audio, 8000);
    let wide = speech(16_000, 2.0, -38.0, 2);
    let mut anew = processing(settings, 16_000);
    let from_unity = rms_dbov(&said(&mut anew, &wide, 16_000)[..3_200]);
    let mut after = processing(settings, 16_000);
    after.continue_from(&mut before);
    let goes_on = rms_dbov(&said(&mut after, &wide, 16_000)[..3_200]);
    assert!(goes_on > from_unity + 10.0, "{from_unity} and {goes_on}");
}

#[test]
fn another_codec_of_the_same_rate_knows_the_noise() {
    let settings = ProcessSettings {
        noise_suppression: true,
        ..off()
    };
    let audio = noise(16_000, 5.4, -45.0, 6);
    let (learnt, next) = audio.split_at(80_000);
    let mut before = processing(settings, 16_000);
    said(&mut before, learnt, 16_000);
    let mut after = processing(settings, 16_000);
    after.continue_from(&mut before);
    let level = rms_dbov(&said(&mut after, next, 16_000));
    assert!(level < -55.0, "{level} dBov");
    // At another rate it has to be learnt anew.
    let mut wider = processing(settings, 48_000);
    wider.continue_from(&mut after);
    said(&mut wider, &noise(48_000, 1.0, -45.0, 6), 48_000);
}

#[test]
fn the_noise_between_words_stands_still() {
    let settings = ProcessSettings {
        agc_dbov: Some(-20),
        ..off()
    };
    let (rate, pause) = (8000, 8000 / 2 * 3);
    let mut audio = speech(rate, 16.0, -35.0, 2);
    for (sample, noise) in audio.iter_mut().zip(noise(rate, 16.0, -62.0, 8)) {
        *sample += noise;
    }
    let out = said(&mut processing(settings, rate), &audio, rate);
    let reached = level(&out, rate, 12.0, 0, true);
    assert!(
        (-26.0..-19.0).contains(&reached),
        "speech came to {reached}"
    );
    // Pauses of half a second, in five parts each: the gain is the same in all.
    for group in 4..8 {
        let begin = group * 2 * rate as usize + pause + 400;
        let gains: Vec<f32> = (0..5)
            .map(|part| {
                let range = begin + part * 640..begin + (part + 1) * 640;
                rms_dbov(&out[range.clone()]) - rms_dbov(&audio[range])
            })
            .collect();
        let (least, most) = gains
            .iter()
            .fold((99f32, -99f32), |(a, b), g| (a.min(*g), b.max(*g)));
        assert!(most - least < 0.3, "it pumps: {gains:?}");
        assert!(
            most < 13.0,
            "noise of -62 is not raised above -50: {most} dB"
        );
    }
}

#[test]
fn what_the_gain_makes_too_loud_is_not_cut() {
    let settings = ProcessSettings {
        agc_dbov: Some(-20),
        ..off()
    };
    let mut audio = speech(8000, 10.0, -40.0, 9);
    audio.extend(speech(8000, 1.0, -12.0, 10));
    let out = said(&mut processing(settings, 8000), &audio, 8000);
    // Where the limiter has to fall at a frame's very start, it cuts for half a millisecond.
    let cut = |sample: &i16| sample.unsigned_abs() >= 32_767;
    let runs = out.split(|sample| !cut(sample)).map(<[i16]>::len);
    assert!(runs.max() <= Some(4));
    let loud = rms_dbov(&out[80_000..81_000]);
    assert!(loud > -16.0, "it was turned up: {loud}");
}

#[test]
fn noise_goes_and_speech_stays() {
    let settings = ProcessSettings {
        noise_suppression: true,
        ..off()
    };
    for rate in RATES {
        let clean = speech(rate, 10.0, -20.0, 3);
        let mut audio = clean.clone();
        for (sample, noise) in audio.iter_mut().zip(noise(rate, 10.0, -45.0, 6)) {
            *sample = sample.saturating_add(noise);
        }
        let mut processing = processing(settings, rate);
        let delay = processing.noise.as_ref().unwrap().delay();
        assert!(delay.as_millis() < 9);
        let late = (delay.as_secs_f64() * f64::from(rate)).round() as usize;
        let out = said(&mut processing, &audio, rate);
        let less = level(&audio, rate, 4.0, 0, false) - level(&out, rate, 4.0, late, false);
        assert!(less >= 10.0, "{rate}: noise lower by {less} dB");
        let lost = level(&clean, rate, 4.0, 0, true) - level(&out, rate, 4.0, late, true);
        assert!(lost.abs() < 2.0, "{rate}: speech lower by {lost} dB");
        let alike = |late: usize| {
            let pairs = || {
                clean[rate as usize * 4..]
                    .iter()
                    .zip(&out[rate as usize * 4 + late..])
            };
            let product: f64 = pairs().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let squares = pairs().fold((0.0, 0.0), |(a, b), (x, y)| {
                (a + f64::from(*x).powi(2), b + f64::from(*y).powi(2))
            });
            product / (squares.0 * squares.1).sqrt()
        };
        // At 8 kHz the delay ends half way between two samples.
        let least = if rate == 8000 { 0.88 } else { 0.98 };
        assert!(alike(late) > least, "{rate}: alike by {}", alike(late));
        let best = (0..late * 2).max_by(|a, b| alike(*a).total_cmp(&alike(*b)));
        assert!(
            best.unwrap().abs_diff(late) <= rate as usize / 8000,
            "{rate}: {best:?}, not {late}"
        );
    }
}

#[test]
fn noise_suppression_comes_and_goes_without_a_click() {
    let settings = ProcessSettings {
        noise_suppression: true,
        ..off()
    };
    for rate in RATES {
        let step = std::f32::consts::TAU * 200.0 / rate as f32;
        let audio: Vec<i16> = (0..rate / 10)
            .map(|n| (10_000.0 * (step * n as f32).sin()) as i16)
            .collect();
        let mut processing = Processing::new(rate);
        let mut out = said(&mut processing, &audio, rate);
        assert!(
            processing
                .apply(settings, settings.noise_suppression(rate))
                .is_none()
        );
        out.extend(said(&mut processing, &audio, rate));
        let new = settings.noise_suppression(rate);
        assert!(
            processing.apply(settings, new).is_some(),
            "the old one comes back"
        );
        out.extend(said(&mut processing, &audio, rate));
        assert!(processing.apply(settings, None).is_none());
        assert!(processing.apply(off(), None).is_some());
        out.extend(said(&mut processing, &audio, rate));
        assert!(
            processing
                .apply(off(), settings.noise_suppression(rate))
                .is_some()
        );
        let natural = 10_000.0 * step;
        let most = out
            .windows(2)
            .map(|w| (f32::from(w[1]) - f32::from(w[0])).abs())
            .fold(0.0, f32::max);
        assert!(
            most < natural * 1.6 + 2.0,
            "{rate}: a step of {most}, {natural} is natural"
        );
        assert_eq!(out[out.len() - audio.len() / 2..], audio[audio.len() / 2..]);
    }
}

#[test]
fn comfort_noise_fills_silence_and_leaves_speech_alone() {
    let settings = ProcessSettings {
        comfort_noise_dbov: Some(-60),
        ..off()
    };
    for rate in RATES {
        let frame = rate as usize / 50;
        let mut processing = processing(settings, rate);
        assert!(processing.changes_output());
        let mut silence = vec![0; rate as usize];
        silence
            .chunks_mut(frame)
            .for_each(|frame| processing.output(frame));
        let reached = rms_dbov(&silence[frame..]);
        assert!((reached + 60.0).abs() < 0.5, "{rate}: {reached}");
        let loud = noise(rate, 0.2, -30.0, 1);
        let mut heard = loud.clone();
        heard
            .chunks_mut(frame)
            .for_each(|frame| processing.output(frame));
        assert_eq!(heard[frame..], loud[frame..]);
        processing.apply(off(), None);
        assert!(!processing.changes_output());
    }
}

#[test]
fn all_stages_take_anything() {
    let all = ProcessSettings {
        gain_in_db: 20,
        gain_out_db: -128,
        agc_dbov: Some(-1),
        noise_suppression: true,
        gate_dbov: Some(-127),
        comfort_noise_dbov: Some(0),
    };
    let mut random = Random::new(5);
    for rate in RATES {
        let mut processing = processing(all, rate);
        for round in 0..300 {
            let odd = [0, 1, 7, 960, 2000][round % 5];
            let length = if round % 3 == 0 {
                odd
            } else {
                rate as usize / 50
            };
            let mut frame: Vec<i16> = (0..length)
                .map(|n| match round % 4 {
                    0 => [i16::MIN, i16::MAX][n % 2],
                    1 => 0,
                    _ => (random.next() * 32_767.0) as i16,
                })
                .collect();
            processing.input(&mut frame);
            processing.output(&mut frame);
        }
    }
}
