//! What a player plays: samples in memory, a tone, silence, or a long file fed in chunks.
//!
//! Sits between the store, which makes sources on the control side, and `audio::player`, which
//! drains them on the media thread. Nothing here that the media thread calls allocates, frees
//! or blocks: the chunks of a [`Feed`] go round between two bounded queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::audio::gain;
use crate::audio::sound::{Band, Sound};
use crate::audio::tone::Tone;

/// Samples of a [`Chunk`]: 100 ms at 8 kHz.
pub const CHUNK_SAMPLES: usize = 800;
/// Chunks of a [`Feed`]: 2 s of audio ahead of the player.
pub const FEED_CHUNKS: usize = 20;
/// The fades around an underrun, in samples: 5 ms at 8 kHz.
const EDGE: usize = 40;

/// One item to play; lengths are at 8 kHz.
#[derive(Debug)]
pub enum Source {
    /// Samples in memory.
    Samples(Sound),
    /// A tone with soft edges.
    Tone {
        /// What sounds.
        tone: Tone,
        /// For how many samples.
        samples: u64,
    },
    /// Silence.
    Silence {
        /// For how many samples.
        samples: u64,
    },
    /// A file too long for memory.
    Feed(Feed),
}

/// A piece of a long file on its way to the player.
pub struct Chunk {
    /// The pass of the file that it belongs to; older ones are thrown back unheard.
    pub generation: u32,
    /// Samples at 8 kHz that are valid.
    pub len: usize,
    /// The file ends behind this chunk; the next one starts it anew.
    pub last: bool,
    /// The file could not be read on.
    pub failed: bool,
    /// The samples at 8 kHz.
    pub narrow: [i16; CHUNK_SAMPLES],
    /// The same at 16 kHz.
    pub wide: [i16; 2 * CHUNK_SAMPLES],
}

impl Chunk {
    fn samples(&self, band: Band) -> &[i16] {
        match band {
            Band::Narrow => &self.narrow,
            Band::Wide => &self.wide,
        }
    }
}

/// Makes both ends of a feed, with all the memory that it will use.
pub fn feed() -> (Feed, Supply) {
    let (deliver, filled) = bounded(FEED_CHUNKS);
    let (recycle, empty) = bounded(FEED_CHUNKS);
    for _ in 0..FEED_CHUNKS {
        let chunk = Chunk {
            generation: 0,
            len: 0,
            last: false,
            failed: false,
            narrow: [0; CHUNK_SAMPLES],
            wide: [0; 2 * CHUNK_SAMPLES],
        };
        // The queue has just that many places.
        let _ = recycle.try_send(Box::new(chunk));
    }
    let wanted = Arc::new(AtomicU64::new(0));
    let feed = Feed {
        filled,
        recycle,
        wanted: wanted.clone(),
        generation: 0,
        position: 0,
        seeking: false,
        current: None,
        offset: 0,
        last_sample: 0,
        starved: false,
        dead: false,
        underruns: 0,
    };
    (
        feed,
        Supply {
            deliver,
            empty,
            wanted,
        },
    )
}

/// How far a [`Feed::fill`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Samples of the file written to the start of the output, at 8 kHz.
    pub samples: usize,
    /// Why no more than these.
    pub state: FeedState,
}

/// The state of a [`Feed`] after a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedState {
    /// The output is full.
    More,
    /// The file's next samples have not come: the rest of the output is silence, and the
    /// position has not advanced by it.
    Underrun,
    /// The file ends here; a further fill plays it again from its start.
    End,
    /// The file could not be read on.
    Failed,
}

/// The player's end of a long file.
pub struct Feed {
    filled: Receiver<Box<Chunk>>,
    recycle: Sender<Box<Chunk>>,
    /// The generation, and where in the file it begins: 32 bits each.
    wanted: Arc<AtomicU64>,
    generation: u32,
    /// Samples of the file that were played, or skipped.
    position: u64,
    /// What was sought has not come yet.
    seeking: bool,
    current: Option<Box<Chunk>>,
    offset: usize,
    last_sample: i16,
    starved: bool,
    dead: bool,
    underruns: u64,
}

impl Feed {
    /// Overwrites `out` with the next samples of that band, silence where there are none.
    pub fn fill(&mut self, out: &mut [i16], band: Band) -> Filled {
        let scale = band.scale();
        let room = out.len() / scale;
        let mut done = 0;
        let state = loop {
            if done == room {
                break FeedState::More;
            }
            self.advance();
            let Some(chunk) = self.current.as_deref().filter(|_| !self.dead) else {
                break if self.dead {
                    FeedState::Failed
                } else {
                    FeedState::Underrun
                };
            };
            let (len, last, failed) = (chunk.len, chunk.last, chunk.failed);
            let count = (len - self.offset).min(room - done);
            let from = self.offset * scale;
            let piece = &mut out[done * scale..(done + count) * scale];
            piece.copy_from_slice(&chunk.samples(band)[from..from + count * scale]);
            self.offset += count;
            self.position += count as u64;
            self.seeking = false;
            if self.starved && count > 0 {
                self.starved = false;
                let edge = count.min(EDGE) * scale;
                gain::ramp(&mut piece[..edge], 0.0, 1.0);
            }
            done += count;
            if self.offset == len {
                self.put_back();
                if failed {
                    self.dead = true;
                    break FeedState::Failed;
                }
                if last {
                    self.position = 0;
                    break FeedState::End;
                }
            }
        };
        let (heard, rest) = out.split_at_mut(done * scale);
        if let Some(last) = heard.last() {
            self.last_sample = *last;
        }
        rest.fill(0);
        if state == FeedState::Underrun {
            self.underruns += u64::from(!self.seeking);
            self.fade_out(rest, EDGE * scale);
        }
        Filled {
            samples: done,
            state,
        }
    }

    /// Starts the file again from its beginning, whatever is under way.
    pub fn rewind(&mut self) {
        self.seek(0);
    }

    /// Goes on at this sample of the file, as soon as it is read; behind its end, it ends.
    pub fn seek(&mut self, position: u64) {
        let position = position.min(u32::MAX.into());
        self.generation = self.generation.wrapping_add(1);
        self.position = position;
        self.seeking = true;
        let wanted = (u64::from(self.generation) << 32) | position;
        self.wanted.store(wanted, Ordering::Release);
        self.put_back();
    }

    /// Samples of the file behind which the next one is, those skipped included.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many fills found nothing in time.
    pub fn underruns(&self) -> u64 {
        self.underruns
    }

    /// Takes the next chunk of the wanted generation, where none is under way.
    fn advance(&mut self) {
        while self.current.is_none() && !self.dead {
            match self.filled.try_recv() {
                Ok(chunk) => {
                    let stale = chunk.generation != self.generation;
                    self.current = Some(chunk);
                    self.offset = 0;
                    if stale {
                        self.put_back();
                    }
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.dead = true,
            }
        }
    }

    fn put_back(&mut self) {
        if let Some(chunk) = self.current.take()
            && let Err(refused) = self.recycle.try_send(chunk)
        {
            // The reader is gone. Kept, because dropping it here would free on a media thread.
            self.current = Some(refused.into_inner());
            self.dead = true;
        }
    }

    /// Lets the last sample die away instead of breaking off.
    fn fade_out(&mut self, rest: &mut [i16], edge: usize) {
        let edge = rest.len().min(edge);
        rest[..edge].fill(self.last_sample);
        gain::ramp(&mut rest[..edge], 1.0, 0.0);
        self.last_sample = 0;
        self.starved = true;
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// The reader's end of a long file; used off the media thread.
pub struct Supply {
    deliver: Sender<Box<Chunk>>,
    empty: Receiver<Box<Chunk>>,
    wanted: Arc<AtomicU64>,
}

impl Supply {
    /// A chunk to be filled, where the player has left room.
    pub fn take_empty(&self) -> Option<Box<Chunk>> {
        self.empty.try_recv().ok()
    }

    /// Hands a filled chunk to the player.
    pub fn deliver(&self, chunk: Box<Chunk>) {
        // As many places as chunks: only an abandoned feed refuses, and then it is freed here.
        let _ = self.deliver.try_send(chunk);
    }

    /// The pass that the player wants. A change means: start the file anew.
    pub fn wanted(&self) -> u32 {
        self.wanted_pass().0
    }

    /// The same, and the sample of the file at which that pass is to begin.
    pub fn wanted_pass(&self) -> (u32, u64) {
        let wanted = self.wanted.load(Ordering::Acquire);
        ((wanted >> 32) as u32, wanted & u64::from(u32::MAX))
    }

    /// The player's end is gone.
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.wanted) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(supply: &Supply, generation: u32, value: i16, len: usize, last: bool) {
        let mut chunk = supply.take_empty().expect("room");
        chunk.narrow[..len].fill(value);
        chunk.wide[..2 * len].fill(value);
        (chunk.generation, chunk.len, chunk.last, chunk.failed) = (generation, len, last, false);
        supply.deliver(chunk);
    }

    #[test]
    fn an_underrun_is_counted_and_does_not_advance() {
        let (mut feed, reader) = feed();
        supply(&reader, 0, 1000, 200, false);
        let mut out = [7i16; 160];
        assert_eq!(
            feed.fill(&mut out, Band::Narrow),
            Filled {
                samples: 160,
                state: FeedState::More
            }
        );
        assert_eq!(
            feed.fill(&mut out, Band::Narrow),
            Filled {
                samples: 40,
                state: FeedState::Underrun
            }
        );
        let step = out.windows(2).map(|w| (w[1] - w[0]).abs()).max();
        assert!(step <= Some(26), "a click of {step:?}");
        assert_eq!(out[159], 0);
        supply(&reader, 0, 1000, 160, true);
        assert_eq!(
            feed.fill(&mut out, Band::Narrow),
            Filled {
                samples: 160,
                state: FeedState::End
            }
        );
        assert_eq!((out[0], out[159], feed.underruns()), (0, 1000, 1));
    }

    #[test]
    fn a_rewind_throws_stale_chunks_back() {
        let (mut feed, reader) = feed();
        for _ in 0..FEED_CHUNKS {
            supply(&reader, 0, 1, CHUNK_SAMPLES, false);
        }
        assert!(reader.take_empty().is_none());
        let mut out = [0i16; 160];
        feed.fill(&mut out, Band::Narrow);
        feed.rewind();
        assert_eq!(reader.wanted(), 1);
        assert_eq!(feed.fill(&mut out, Band::Narrow).state, FeedState::Underrun);
        supply(&reader, 1, 9, 160, true);
        assert_eq!(feed.fill(&mut out, Band::Narrow).state, FeedState::End);
        assert_eq!(out[159], 9);
    }

    #[test]
    fn a_reader_that_vanishes_is_a_failure() {
        let (mut feed, reader) = feed();
        supply(&reader, 0, 5, 100, false);
        drop(reader);
        let mut out = [0i16; 160];
        assert_eq!(
            feed.fill(&mut out, Band::Narrow),
            Filled {
                samples: 100,
                state: FeedState::Failed
            }
        );
        assert_eq!(
            feed.fill(&mut out, Band::Narrow),
            Filled {
                samples: 0,
                state: FeedState::Failed
            }
        );
    }

    #[test]
    fn the_reader_sees_an_abandoned_feed() {
        let (feed, reader) = feed();
        assert!(!reader.is_abandoned());
        drop(feed);
        assert!(reader.is_abandoned());
    }
}
