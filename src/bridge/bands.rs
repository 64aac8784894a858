//! The partial sums of a bridge, one for each sampling rate in use.
//!
//! Sits between the ports and the limiter. Parties of one rate are summed at that rate, exactly;
//! what a rate hears is its own sum and, resampled, those of the others. So the resamplers are of
//! the bridge and not of its parties (six, whatever the number of legs), parties of one rate hear
//! each other bit for bit and without a filter's delay, and nothing is switched over when the
//! first or the last party of a rate comes or goes.

use super::MAX_FRAME;
use crate::audio::limiter;
use crate::audio::polyphase::Resampler;
use crate::audio::{FULLBAND, NARROWBAND, WIDEBAND};

const BANDS: usize = 3;
/// The rates that are mixed, Hz.
const RATES: [u32; BANDS] = [NARROWBAND, WIDEBAND, FULLBAND];

/// Which partial sum a rate belongs to; a rate that is not mixed counts as the lowest.
pub(super) fn band_of(rate: u32) -> usize {
    RATES.iter().position(|&r| r == rate).unwrap_or(0)
}

/// Samples of a band's frame.
pub(super) fn frame_of(band: usize) -> usize {
    RATES[band] as usize / 50
}

/// One rate's part of the mix.
#[derive(Debug)]
struct Band {
    /// What the band's own parties say.
    own: [i32; MAX_FRAME],
    /// The same with what the other bands say.
    total: [i32; MAX_FRAME],
    /// Parties in the band.
    ports: usize,
    /// Whether anybody of it is heard in this tick.
    talking: bool,
}

/// From one band into another.
#[derive(Debug)]
struct Path {
    from: usize,
    to: usize,
    resampler: Resampler,
}

/// All partial sums. All memory is taken at construction.
#[derive(Debug)]
pub(super) struct Bands {
    bands: [Band; BANDS],
    paths: Vec<Path>,
}

impl Bands {
    pub fn new() -> Self {
        let pairs = (0..BANDS).flat_map(|from| (0..BANDS).map(move |to| (from, to)));
        let path = |(from, to): (usize, usize)| Path {
            from,
            to,
            resampler: Resampler::new(RATES[from], RATES[to]),
        };
        Self {
            bands: std::array::from_fn(|_| Band {
                own: [0; MAX_FRAME],
                total: [0; MAX_FRAME],
                ports: 0,
                talking: false,
            }),
            paths: pairs.filter(|(from, to)| from != to).map(path).collect(),
        }
    }

    /// A party more in a band.
    pub fn enter(&mut self, band: usize) {
        if self.bands[band].ports == 0 {
            // What was heard when the band was last in use is not to be heard now.
            for path in self.paths.iter_mut().filter(|path| path.to == band) {
                path.resampler.reset();
            }
        }
        self.bands[band].ports += 1;
    }

    /// A party less in a band.
    pub fn exit(&mut self, band: usize) {
        self.bands[band].ports = self.bands[band].ports.saturating_sub(1);
    }

    /// Begins a tick.
    pub fn clear(&mut self) {
        for (i, band) in self.bands.iter_mut().enumerate() {
            if band.talking {
                band.own[..frame_of(i)].fill(0);
                band.talking = false;
            }
        }
    }

    /// Adds what a party of the band says, a frame of the band.
    pub fn accumulate(&mut self, band: usize, samples: &[i16]) {
        let band = &mut self.bands[band];
        limiter::accumulate(&mut band.own, samples);
        band.talking = true;
    }

    /// Makes of the partial sums what each band in use hears.
    pub fn distribute(&mut self) {
        for (i, band) in self.bands.iter_mut().enumerate() {
            if band.ports > 0 {
                let frame = frame_of(i);
                band.total[..frame].copy_from_slice(&band.own[..frame]);
            }
        }
        for path in &mut self.paths {
            let source = &self.bands[path.from];
            let silent = !source.talking && path.resampler.is_quiet();
            if silent || self.bands[path.to].ports == 0 {
                continue;
            }
            let frame = frame_of(path.to);
            let mut heard = [0i32; MAX_FRAME];
            path.resampler
                .process_sums(&source.own[..frame_of(path.from)], &mut heard[..frame]);
            let total = &mut self.bands[path.to].total[..frame];
            for (total, heard) in total.iter_mut().zip(heard) {
                *total = total.saturating_add(heard);
            }
        }
    }

    /// The bands that have parties.
    pub fn in_use(&self) -> impl Iterator<Item = usize> + '_ {
        (0..BANDS).filter(|&band| self.bands[band].ports > 0)
    }

    /// What a band hears in this tick, after [`Bands::distribute`].
    pub fn total(&self, band: usize) -> &[i32] {
        &self.bands[band].total[..frame_of(band)]
    }
}
