//! When the party begins to talk and when it has ceased to, for who wants to be told.

use super::{Leg, LegEvent};
use crate::audio::level::{TalkSpurt, TalkSpurtSettings};
use crate::audio::{NARROWBAND, TICK_SAMPLES, level};

/// What counts as talking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TalkWatch {
    /// The mean magnitude of samples from which on somebody talks, of 16 bits.
    pub threshold: u16,
    /// So much silence ends it, ms.
    pub silence_ms: u32,
}

/// Follows a party, and remembers what was told of it.
#[derive(Debug)]
pub(super) struct Talk {
    spurt: TalkSpurt,
    talking: bool,
    told: bool,
    /// How long it has talked, the silence behind it left out, ticks.
    ticks: u32,
    silent: u32,
}

impl Talk {
    fn new(watch: TalkWatch) -> Self {
        let dbov = 20.0 * (f32::from(watch.threshold.max(1)) / 32768.0).log10();
        let settings = TalkSpurtSettings {
            on_dbov: dbov,
            off_dbov: dbov,
            hangover_ms: watch.silence_ms,
        };
        Self {
            spurt: TalkSpurt::new(settings, NARROWBAND),
            talking: false,
            told: false,
            ticks: 0,
            silent: 0,
        }
    }

    /// Takes what the party says in a tick, at any rate: a tick is a tick.
    pub fn follow(&mut self, rx: &[i16]) {
        let loud = level::mean_square(rx);
        let was = std::mem::replace(
            &mut self.talking,
            self.spurt.update_mean_square(loud, TICK_SAMPLES),
        );
        match (was, self.talking) {
            (false, true) => (self.ticks, self.silent) = (1, 0),
            (true, true) if self.spurt.is_loud() => {
                self.ticks += 1 + std::mem::take(&mut self.silent);
            }
            (true, true) => self.silent += 1,
            _ => {}
        }
    }
}

impl Leg {
    /// Tells when the party begins and ceases to talk, or no longer.
    pub fn watch_talk(&mut self, watch: Option<TalkWatch>) {
        self.talk = watch.map(Talk::new);
    }

    /// That the party has begun or ceased to talk, once, for who watches it; what is not taken waits,
    /// and goes where it has changed back meanwhile.
    pub fn take_talk(&mut self) -> Option<LegEvent> {
        let talk = self.talk.as_mut()?;
        if talk.told == talk.talking {
            return None;
        }
        talk.told = talk.talking;
        Some(LegEvent::Talk {
            talking: talk.talking,
            ticks: talk.ticks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows so many ticks of this amplitude; whether it is told, and what.
    fn follow(talk: &mut Talk, ticks: usize, amplitude: i16) -> bool {
        for _ in 0..ticks {
            talk.follow(&[amplitude; TICK_SAMPLES]);
        }
        talk.talking
    }

    #[test]
    fn it_begins_at_once_and_ends_after_the_silence() {
        let watch = TalkWatch {
            threshold: 256,
            silence_ms: 400,
        };
        let mut talk = Talk::new(watch);
        assert!(!follow(&mut talk, 50, 250));
        assert!(follow(&mut talk, 1, 260));
        assert!(follow(&mut talk, 20, 0), "not for 400 ms yet");
        assert!(follow(&mut talk, 9, 1000));
        assert!(!follow(&mut talk, 21, 100));
        assert_eq!(
            talk.ticks, 30,
            "the pause in it counts, the one behind it does not"
        );
    }
}
