//! All that is summed in a tick: what class 0 hears, and what further ear classes do.

use super::bands::{BANDS, Bands, frame_of};
use super::part::Part;
use super::{Classes, MAX_FRAME, Relation};
use crate::audio::limiter::Limiter;
use crate::audio::sound::Band;

/// What an ear class hears in this tick, in one band.
#[derive(Debug)]
pub(super) struct Heard<'a> {
    /// The exact sum of all whom it hears.
    pub total: &'a [i32],
    /// The same, limited: for those who are not in it themselves.
    pub common: &'a [i16],
    /// The limiter of that, before and after this tick.
    pub before: Limiter,
    pub after: Limiter,
}

/// What class 0 hears, limited, by band.
#[derive(Debug)]
pub(super) struct Common {
    frames: [[i16; MAX_FRAME]; BANDS],
    pub limiters: [Limiter; BANDS],
    pub before: [Limiter; BANDS],
}

/// The sums of a bridge.
#[derive(Debug)]
pub(super) struct Sums {
    pub bands: Bands,
    common: Common,
    classes: Option<Box<Classes>>,
}

static NO_SUM: [i32; MAX_FRAME] = [0; MAX_FRAME];
static SILENCE: [i16; MAX_FRAME] = [0; MAX_FRAME];

impl Sums {
    pub fn new() -> Self {
        Self {
            bands: Bands::new(),
            common: Common {
                frames: [[0; MAX_FRAME]; BANDS],
                limiters: [Limiter::default(); BANDS],
                before: [Limiter::default(); BANDS],
            },
            classes: None,
        }
    }

    /// Takes memory for more ear classes, or fewer; what was there before goes back. Their parties
    /// are to be counted anew.
    pub fn set_classes(&mut self, mut classes: Box<Classes>) -> Option<Box<Classes>> {
        let mut old = self.classes.take();
        if let Some(old) = &mut old {
            classes.continue_from(old);
        }
        classes.forget_ports();
        self.classes = Some(classes);
        old
    }

    /// A party that hears a class.
    pub fn enter(&mut self, class: u8, band: usize) {
        if let Some(classes) = &mut self.classes {
            classes.enter(class, band, self.common.limiters[band]);
        }
    }

    /// One that hears it no longer.
    pub fn exit(&mut self, class: u8, band: usize) {
        if let Some(classes) = &mut self.classes {
            classes.exit(class, band);
        }
    }

    /// What whoever hears most hears.
    pub fn heard_band(&self) -> Band {
        if self.bands.hears_wide() {
            Band::Wide
        } else {
            Band::Narrow
        }
    }

    /// Begins a tick.
    pub fn clear(&mut self) {
        self.bands.clear();
        if let Some(classes) = &mut self.classes {
            classes.clear();
        }
    }

    /// Adds a frame of somebody whose relation was `before` and is `now`.
    pub fn add(&mut self, band: usize, frame: &[i16], before: Relation, now: Relation) {
        self.bands.add(band, frame, Part::of(before, now, 0));
        if before.voice & now.voice != u32::MAX
            && let Some(classes) = &mut self.classes
        {
            classes.add(band, frame, before, now);
        }
    }

    /// Makes of all that was added what each class hears.
    pub fn finish(&mut self) {
        if let Some(classes) = &mut self.classes {
            classes.distribute(&self.bands);
        }
        self.bands.distribute();
        self.common.before = self.common.limiters;
        for band in self.bands.in_use() {
            let out = &mut self.common.frames[band];
            self.common.limiters[band].limit(self.bands.total(band), out);
        }
        if let Some(classes) = &mut self.classes {
            classes.limit(&self.bands, &self.common);
        }
    }

    /// The class itself where there is memory for it; who is of another hears nothing, not even that
    /// it is without its own part.
    #[inline]
    pub fn known(&self, class: u8) -> u8 {
        let has = |classes: &Classes| classes.has(class);
        if class == 0 || self.classes.as_deref().is_some_and(has) {
            class
        } else {
            Relation::DEAF
        }
    }

    /// What a class hears in a band, after [`Sums::finish`].
    #[inline]
    pub fn heard(&self, class: u8, band: usize) -> Heard<'_> {
        if class == 0 {
            self.heard_by_all(band)
        } else {
            self.heard_apart(class, band)
        }
    }

    fn heard_by_all(&self, band: usize) -> Heard<'_> {
        let total = self.bands.total(band);
        Heard {
            total,
            common: &self.common.frames[band][..total.len()],
            before: self.common.before[band],
            after: self.common.limiters[band],
        }
    }

    #[cold]
    fn heard_apart(&self, class: u8, band: usize) -> Heard<'_> {
        let further = self.classes.as_ref();
        if self.known(class) == Relation::DEAF {
            let frame = frame_of(band);
            return Heard {
                total: &NO_SUM[..frame],
                common: &SILENCE[..frame],
                before: Limiter::default(),
                after: Limiter::default(),
            };
        }
        let heard = further.and_then(|c| c.heard(class, band, &self.bands));
        heard.unwrap_or_else(|| self.heard_by_all(band))
    }

    /// The class whose limited frame a class hears: its own, or class 0 where that is the same.
    pub fn frame_of_class(&self, class: u8, band: usize) -> u8 {
        let class = self.known(class);
        let further = self.classes.as_ref().filter(|_| class > 0);
        match further.and_then(|classes| classes.heard(class, band, &self.bands)) {
            None if class != Relation::DEAF => 0,
            _ => class,
        }
    }
}
