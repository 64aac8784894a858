//! The partial sums of a bridge, one for each sampling rate in use.
//!
//! Sits between the ports and the limiter. Parties of one rate are summed at that rate, exactly;
//! what a rate hears is its own sum and, resampled, those of the others. So the resamplers are of
//! the bridge and not of its parties (six, whatever the number of legs), parties of one rate hear
//! each other bit for bit and without a filter's delay, and nothing is switched over when the
//! first or the last party of a rate comes or goes.

use super::MAX_FRAME;
use super::part::Part;
use crate::audio::limiter;
use crate::audio::polyphase::Resampler;
use crate::audio::{FULLBAND, NARROWBAND, WIDEBAND};

pub(super) const BANDS: usize = 3;
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
pub(super) struct Path {
    pub from: usize,
    pub to: usize,
    pub resampler: Resampler,
}

impl Path {
    /// From each band into each other one.
    pub fn all() -> Vec<Self> {
        let pairs = (0..BANDS).flat_map(|from| (0..BANDS).map(move |to| (from, to)));
        let path = |(from, to): (usize, usize)| Self {
            from,
            to,
            resampler: Resampler::new(RATES[from], RATES[to]),
        };
        pairs.filter(|(from, to)| from != to).map(path).collect()
    }

    /// Adds a frame of one band, resampled, to one of the other; `said`: there is anything in it.
    pub fn add(&mut self, own: &[i32], said: bool, total: &mut [i32]) {
        if !said && self.resampler.is_quiet() {
            return;
        }
        let frame = frame_of(self.to);
        let mut heard = [0i32; MAX_FRAME];
        let heard = &mut heard[..frame];
        self.resampler
            .process_sums(&own[..frame_of(self.from)], heard);
        for (total, heard) in total[..frame].iter_mut().zip(heard) {
            *total = total.saturating_add(*heard);
        }
    }
}

/// All partial sums. All memory is taken at construction.
#[derive(Debug)]
pub(super) struct Bands {
    bands: [Band; BANDS],
    paths: Vec<Path>,
}

impl Bands {
    pub fn new() -> Self {
        Self {
            bands: std::array::from_fn(|_| Band {
                own: [0; MAX_FRAME],
                total: [0; MAX_FRAME],
                ports: 0,
                talking: false,
            }),
            paths: Path::all(),
        }
    }

    /// Whether a party hears more than narrowband.
    pub fn hears_wide(&self) -> bool {
        self.bands[1..].iter().any(|band| band.ports > 0)
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

    /// The same where it may be in part: it begins or ceases to be heard.
    pub fn add(&mut self, band: usize, samples: &[i16], part: Part) {
        if part == Part::Whole {
            self.accumulate(band, samples);
        } else if part != Part::None {
            let band = &mut self.bands[band];
            part.add(&mut band.own, samples);
            band.talking = true;
        }
    }

    /// What the band's own parties say in this tick, and whether they say anything.
    pub fn own(&self, band: usize) -> (&[i32; MAX_FRAME], bool) {
        (&self.bands[band].own, self.bands[band].talking)
    }

    /// The ways between the bands.
    pub fn paths(&self) -> &[Path] {
        &self.paths
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
            if self.bands[path.to].ports == 0 {
                continue;
            }
            if let Ok([from, to]) = self.bands.get_disjoint_mut([path.from, path.to]) {
                path.add(&from.own, from.talking, &mut to.total);
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
