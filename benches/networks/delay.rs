//! How late what is heard is: where pieces of it lie in what was spoken.

use super::call::Call;

/// The rate at which they are sought, Hz.
const RATE: usize = 8000;
/// A piece, and from one to the next: 60 and 100 ms. Longer ones would often be torn by stretching.
const PIECE: usize = RATE * 60 / 1000;
const STEP: usize = RATE / 10;
/// How late a piece may be, and how early: that of a clock that is fast.
const LATEST: usize = RATE * 300 / 1000;
const EARLIEST: usize = RATE * 20 / 1000;
/// The mean square of a piece that is speech and no pause, and the correlation of one that is found.
const LOUD: f32 = 200.0 * 200.0;
const FOUND: f32 = 0.97;

/// How late each piece that is found is mixed, ms, behind its time on the sender's clock, whose second
/// is longer than ours by `drift`.
pub fn late_ms(speech: &[i16], call: &Call, rate: u32, drift: f64) -> Vec<f32> {
    let (speech, heard) = (narrow(speech, rate), narrow(&call.heard, rate));
    let per_ms = RATE as f64 / 1e3;
    let mut late = Vec::new();
    for at in (LATEST..heard.len().saturating_sub(PIECE + EARLIEST)).step_by(STEP) {
        let piece = &heard[at..at + PIECE];
        if let Some(said) = find(piece, &speech[at - LATEST..at + PIECE + EARLIEST]) {
            let said_ms = (at - LATEST + said) as f64 / per_ms * (1.0 + drift);
            let moved = call.late_ms.get(at / (RATE / 50)).copied().unwrap_or(0.0);
            late.push((at as f64 / per_ms - said_ms) as f32 + moved);
        }
    }
    late
}

/// Where a piece lies in what was spoken.
fn find(piece: &[f32], speech: &[f32]) -> Option<usize> {
    let energy = product(piece, piece);
    if energy < LOUD * PIECE as f32 {
        return None;
    }
    let likeness = |said: &[f32]| product(piece, said) / (energy * product(said, said)).sqrt();
    let likenesses = speech.windows(PIECE).map(likeness).enumerate();
    let (at, best) = likenesses.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (best >= FOUND).then_some(at)
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    // Sums beside each other, which the compiler makes one instruction of.
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>().max(1.0)
}

/// At [`RATE`]: means of neighbours are good enough to find a place by.
fn narrow(samples: &[i16], rate: u32) -> Vec<f32> {
    let each = rate as usize / RATE;
    let mean = |some: &[i16]| some.iter().map(|&s| f32::from(s)).sum::<f32>() / each as f32;
    samples.chunks_exact(each).map(mean).collect()
}
