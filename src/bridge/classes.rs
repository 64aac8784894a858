//! The sums of further ear classes: what those hear for whom the room's common sum is not right.
//!
//! Sits beside the partial sums of [`super::bands`], which are those of class 0. A class is told by
//! what differs: the parties that it hears and class 0 does not, and those that it does not hear. So
//! it costs a sum for each such talker, and nothing at all where none of them talks: then it hears
//! what class 0 does, and shares its frame. As long as it differs, it is resampled by itself, so
//! that it hears, to the bit, what a bridge of its own would let it hear.

use super::bands::{BANDS, Bands, Path, frame_of};
use super::part::Part;
use super::sums::{Common, Heard};
use super::{MAX_CLASSES, MAX_FRAME, Relation};
use crate::audio::limiter::Limiter;

/// The memory of ear classes beyond class 0. Made on the control side, where it goes back to.
#[derive(Debug)]
pub struct Classes(Vec<Class>);

impl Classes {
    /// Memory for so many ear classes, class 0 included; [`MAX_CLASSES`] at most.
    pub fn new(classes: usize) -> Box<Self> {
        let further = classes.clamp(1, MAX_CLASSES) - 1;
        Box::new(Self((0..further).map(|_| Class::new()).collect()))
    }

    /// How many ear classes there are with these, class 0 included.
    pub fn count(&self) -> usize {
        self.0.len() + 1
    }

    /// Takes over the state of those that there were before.
    pub(super) fn continue_from(&mut self, before: &mut Self) {
        for (class, before) in self.0.iter_mut().zip(&mut before.0) {
            std::mem::swap(class, before);
        }
    }

    /// Counts the parties anew.
    pub(super) fn forget_ports(&mut self) {
        for class in &mut self.0 {
            class.ports = [0; BANDS];
        }
    }

    fn get(&self, class: u8) -> Option<&Class> {
        self.0.get(usize::from(class).checked_sub(1)?)
    }

    /// A party more that hears a class; `limiter` is that of class 0.
    pub(super) fn enter(&mut self, class: u8, band: usize, limiter: Limiter) {
        let class = usize::from(class).checked_sub(1);
        if let Some(class) = class.and_then(|class| self.0.get_mut(class)) {
            if class.ports[band] == 0 {
                class.limiters[band] = limiter;
            }
            class.ports[band] += 1;
        }
    }

    /// A party less.
    pub(super) fn exit(&mut self, class: u8, band: usize) {
        let class = usize::from(class).checked_sub(1);
        if let Some(class) = class.and_then(|class| self.0.get_mut(class)) {
            class.ports[band] = class.ports[band].saturating_sub(1);
        }
    }

    /// Begins a tick.
    pub(super) fn clear(&mut self) {
        for class in &mut self.0 {
            class.clear();
        }
    }

    /// Adds what somebody says as far as these classes hear it and class 0 does not, or the other
    /// way round.
    pub(super) fn add(&mut self, band: usize, frame: &[i16], before: Relation, now: Relation) {
        let common = Part::of(before, now, 0);
        for (class, number) in self.0.iter_mut().zip(1..) {
            let part = Part::of(before, now, number);
            if part != common {
                let sum = &mut class.own[band];
                part.add(sum, frame);
                common.subtract(sum, frame);
                class.touched[band] = true;
            }
        }
    }

    /// Makes the sums of what each class hears; before the same is done for class 0.
    pub(super) fn distribute(&mut self, base: &Bands) {
        for class in &mut self.0 {
            class.distribute(base);
        }
    }

    /// Limits what each class hears; behind class 0.
    pub(super) fn limit(&mut self, base: &Bands, common: &Common) {
        for class in &mut self.0 {
            class.limit(base, common);
        }
    }

    /// What a class hears where that is not what class 0 does.
    pub(super) fn heard<'a>(
        &'a self,
        class: u8,
        band: usize,
        base: &'a Bands,
    ) -> Option<Heard<'a>> {
        let class = self.get(class)?;
        (!class.shares[band]).then(|| Heard {
            total: class.total(band, base),
            common: &class.common[band][..frame_of(band)],
            before: class.before[band],
            after: class.limiters[band],
        })
    }

    pub(super) fn has(&self, class: u8) -> bool {
        self.get(class).is_some()
    }
}

/// One ear class.
#[derive(Debug)]
struct Class {
    /// First how its sum differs from that of class 0, by band; then the sum, where it does.
    own: [[i32; MAX_FRAME]; BANDS],
    /// Whether it differs in this tick, and whether it did anywhere in the last.
    touched: [bool; BANDS],
    was_touched: bool,
    /// It is summed by itself: it differs, or did in the last tick, which resamplers remember.
    apart: bool,
    total: [[i32; MAX_FRAME]; BANDS],
    common: [[i16; MAX_FRAME]; BANDS],
    limiters: [Limiter; BANDS],
    before: [Limiter; BANDS],
    /// It hears the very frame that class 0 does.
    shares: [bool; BANDS],
    /// Parties that hear it.
    ports: [usize; BANDS],
    paths: Vec<Path>,
    /// Whether a path's resampler has followed this class' sum.
    followed: [bool; BANDS * (BANDS - 1)],
}

impl Class {
    fn new() -> Self {
        Self {
            own: [[0; MAX_FRAME]; BANDS],
            touched: [false; BANDS],
            was_touched: false,
            apart: false,
            total: [[0; MAX_FRAME]; BANDS],
            common: [[0; MAX_FRAME]; BANDS],
            limiters: [Limiter::default(); BANDS],
            before: [Limiter::default(); BANDS],
            shares: [true; BANDS],
            ports: [0; BANDS],
            paths: Path::all(),
            followed: [false; BANDS * (BANDS - 1)],
        }
    }

    fn clear(&mut self) {
        self.was_touched = self.touched.contains(&true);
        for (band, touched) in self.touched.iter_mut().enumerate() {
            if std::mem::take(touched) {
                self.own[band][..frame_of(band)].fill(0);
            }
        }
    }

    fn distribute(&mut self, base: &Bands) {
        let touched = self.touched.contains(&true);
        self.apart = touched || self.was_touched;
        if !self.apart {
            self.followed = Default::default();
            return;
        }
        for band in (0..BANDS).filter(|band| self.touched[*band]) {
            let frame = frame_of(band);
            let common = &base.own(band).0[..frame];
            for (sum, common) in self.own[band][..frame].iter_mut().zip(common) {
                *sum += common;
            }
        }
        let Self {
            own,
            touched,
            was_touched,
            total,
            ports,
            paths,
            followed,
            ..
        } = self;
        let own = |band: usize| {
            let (common, said) = base.own(band);
            if touched[band] {
                (&own[band], true)
            } else {
                (common, said)
            }
        };
        for (band, total) in total.iter_mut().enumerate() {
            if ports[band] > 0 {
                let frame = frame_of(band);
                total[..frame].copy_from_slice(&own(band).0[..frame]);
            }
        }
        let paths = paths.iter_mut().zip(base.paths());
        for ((path, common), followed) in paths.zip(followed) {
            if ports[path.to] == 0 {
                *followed = false;
                continue;
            }
            if !*followed && *was_touched {
                // What was said then is not known: it is left out.
                path.resampler.reset();
            } else if !*followed {
                path.resampler.clone_from(&common.resampler);
            }
            *followed = true;
            let (sum, said) = own(path.from);
            path.add(sum, said, &mut total[path.to]);
        }
    }

    fn limit(&mut self, base: &Bands, common: &Common) {
        for band in 0..BANDS {
            if self.ports[band] == 0 {
                continue;
            }
            let mut limiter = self.limiters[band];
            self.before[band] = limiter;
            self.shares[band] = !self.apart && limiter == common.before[band];
            if self.shares[band] {
                limiter = common.limiters[band];
            } else {
                let frame = frame_of(band);
                let total = if self.apart {
                    &self.total[band][..frame]
                } else {
                    base.total(band)
                };
                limiter.limit(total, &mut self.common[band]);
            }
            self.limiters[band] = limiter;
        }
    }

    fn total<'a>(&'a self, band: usize, base: &'a Bands) -> &'a [i32] {
        if self.apart {
            &self.total[band][..frame_of(band)]
        } else {
            base.total(band)
        }
    }
}
