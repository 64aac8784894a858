//! Streams long files to their players, all from one reader thread.
//!
//! Sits between `wav::Reader` and [`crate::audio::source::Feed`]. Behind a file's last chunk
//! the reader goes on with its first, so that a repeat has no gap.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use crate::audio::NARROWBAND;
use crate::audio::resample::StreamResampler;
use crate::audio::source::{self, CHUNK_SAMPLES, Chunk, Feed, Supply};
use crate::wav::{Reader, WavError};

/// How often the reader looks for room; a feed holds 2 s.
const POLL: Duration = Duration::from_millis(20);
/// Frames of the file that are read at once.
const READ_FRAMES: usize = 4096;

/// The reader thread, started with the first long file. It ends once the feeder is dropped and
/// no feed is left.
#[derive(Default)]
pub struct Feeder {
    streams: Mutex<Option<Sender<Stream>>>,
}

impl Feeder {
    /// A feeder without a thread yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a file for streaming, its first two seconds already read.
    pub fn open(&self, path: &Path) -> Result<Feed, WavError> {
        let (feed, supply) = source::feed();
        let mut stream = Stream::open(path, supply)?;
        stream.run();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        // Unbounded, but fed by the control side alone: one entry per play that is opened.
        let sender = if let Some(sender) = &*streams {
            sender.clone()
        } else {
            let (sender, receiver) = unbounded();
            thread::Builder::new()
                .name("prompt-reader".into())
                .spawn(move || serve(&receiver))?;
            streams.insert(sender).clone()
        };
        // The thread holds the other end for as long as this sender lives.
        let _ = sender.send(stream);
        Ok(feed)
    }
}

fn serve(opened: &Receiver<Stream>) {
    let mut streams: Vec<Stream> = Vec::new();
    loop {
        match opened.try_recv() {
            Ok(stream) => {
                streams.push(stream);
                continue;
            }
            Err(TryRecvError::Disconnected) if streams.is_empty() => return,
            Err(_) if streams.is_empty() => match opened.recv() {
                Ok(stream) => streams.push(stream),
                Err(_) => return,
            },
            Err(_) => {}
        }
        streams.retain_mut(|stream| {
            stream.run();
            !stream.supply.is_abandoned()
        });
        thread::sleep(POLL);
    }
}

/// One file on its way to one player.
struct Stream {
    path: PathBuf,
    supply: Supply,
    reader: Reader<File>,
    resampler: StreamResampler,
    generation: u32,
    /// Decoded and resampled, not yet in a chunk.
    ready: Vec<i16>,
    file_done: bool,
    failed: bool,
    /// The player has been sent the failure; nothing follows.
    told: bool,
}

impl Stream {
    fn open(path: &Path, supply: Supply) -> Result<Self, WavError> {
        let (reader, resampler) = start(path)?;
        Ok(Self {
            path: path.to_owned(),
            supply,
            reader,
            resampler,
            generation: 0,
            ready: Vec::new(),
            file_done: false,
            failed: false,
            told: false,
        })
    }

    /// Fills all the room there is.
    fn run(&mut self) {
        let (wanted, start) = self.supply.wanted_pass();
        if wanted != self.generation {
            self.generation = wanted;
            (self.failed, self.told) = (false, false);
            self.restart();
            self.skip(start);
        }
        while !self.told {
            let Some(mut chunk) = self.supply.take_empty() else {
                return;
            };
            self.fill(&mut chunk);
            self.told = chunk.failed;
            self.supply.deliver(chunk);
        }
    }

    fn fill(&mut self, chunk: &mut Chunk) {
        while self.ready.len() < CHUNK_SAMPLES && !self.file_done && !self.failed {
            self.read();
        }
        let len = self.ready.len().min(CHUNK_SAMPLES);
        chunk.samples[..len].copy_from_slice(&self.ready[..len]);
        self.ready.drain(..len);
        chunk.len = len;
        chunk.generation = self.generation;
        chunk.failed = self.failed;
        chunk.last = self.file_done && self.ready.is_empty() && !self.failed;
        if chunk.last {
            self.restart();
        }
    }

    fn read(&mut self) {
        let mut frames = Vec::with_capacity(READ_FRAMES);
        match self.reader.read_mono(&mut frames, READ_FRAMES) {
            Ok(0) => {
                self.resampler.finish(&mut self.ready);
                self.file_done = true;
            }
            Ok(_) => self.resampler.push(&frames, &mut self.ready),
            Err(error) => self.fail(&error),
        }
    }

    fn restart(&mut self) {
        self.ready.clear();
        self.file_done = false;
        match start(&self.path) {
            Ok((reader, resampler)) => (self.reader, self.resampler) = (reader, resampler),
            Err(error) => self.fail(&error),
        }
    }

    /// Reads on to a sample, from the file's start.
    fn skip(&mut self, samples: u64) {
        let mut left = samples as usize;
        while left > 0 && !self.failed {
            if self.ready.is_empty() && self.file_done {
                return;
            }
            if self.ready.is_empty() {
                self.read();
            }
            let count = left.min(self.ready.len());
            self.ready.drain(..count);
            left -= count;
        }
    }

    fn fail(&mut self, error: &WavError) {
        tracing::warn!(path = %self.path.display(), %error, "cannot read on");
        self.failed = true;
    }
}

fn start(path: &Path) -> Result<(Reader<File>, StreamResampler), WavError> {
    let reader = Reader::open(File::open(path)?)?;
    let resampler = StreamResampler::new(reader.spec().rate, NARROWBAND);
    Ok((reader, resampler))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::audio::source::FeedState;
    use crate::wav::Writer;

    /// A file of `samples` samples that count up.
    fn counting(dir: &Path, rate: u32, samples: u32) -> PathBuf {
        let path = dir.join("long.wav");
        let mut writer = Writer::create(File::create(&path).unwrap(), rate).unwrap();
        for sample in 0..samples {
            writer.write(&[(sample % 30_000) as i16]).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    /// Plays until `wanted` samples were heard, and patiently: an underrun is no error here.
    fn play(feed: &mut Feed, wanted: usize) -> (Vec<i16>, u32) {
        let (mut heard, mut ends) = (Vec::new(), 0);
        let deadline = Instant::now() + Duration::from_secs(20);
        while heard.len() < wanted {
            let mut out = [0; 160];
            let filled = feed.fill(&mut out);
            heard.extend_from_slice(&out[..filled.samples]);
            match filled.state {
                FeedState::More => {}
                FeedState::End => ends += 1,
                FeedState::Underrun => thread::yield_now(),
                FeedState::Failed => panic!("failed after {}", heard.len()),
            }
            assert!(Instant::now() < deadline, "stuck after {}", heard.len());
        }
        (heard, ends)
    }

    /// Counts what is out of order, leaving out the fade behind each underrun.
    fn out_of_order(heard: &[i16], length: usize) -> usize {
        heard
            .iter()
            .enumerate()
            .filter(|(i, s)| **s != (i % length % 30_000) as i16)
            .count()
    }

    #[test]
    fn streams_a_long_file_and_repeats_it_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let path = counting(dir.path(), 8000, 100_010);
        let feeder = Feeder::new();
        let mut feed = feeder.open(&path).unwrap();
        let (heard, ends) = play(&mut feed, 250_000);
        assert_eq!(ends, 2);
        let wrong = out_of_order(&heard, 100_010);
        assert!(
            wrong as u64 <= 40 * feed.underruns(),
            "{wrong}, {} underruns",
            feed.underruns()
        );
    }

    #[test]
    fn the_first_two_seconds_are_there_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = counting(dir.path(), 8000, 100_000);
        let mut feed = Feeder::new().open(&path).unwrap();
        let mut out = vec![0; 16_000];
        assert_eq!(feed.fill(&mut out).state, FeedState::More);
        assert_eq!(out_of_order(&out, 100_000), 0);
    }

    #[test]
    fn a_rewind_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = counting(dir.path(), 8000, 100_000);
        let feeder = Feeder::new();
        let mut feed = feeder.open(&path).unwrap();
        play(&mut feed, 50_000);
        feed.rewind();
        let (heard, _) = play(&mut feed, 1000);
        // The first samples may be faded in.
        assert_eq!(heard[500..1000], (500..1000).collect::<Vec<i16>>());
    }

    #[test]
    fn seeks_forward_and_back_and_beyond_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = counting(dir.path(), 8000, 100_000);
        let feeder = Feeder::new();
        let mut feed = feeder.open(&path).unwrap();
        play(&mut feed, 8000);
        for start in [90_000, 20_000] {
            feed.seek(start);
            let (heard, _) = play(&mut feed, 2400);
            let expected = |i: usize| ((start as usize + i) % 30_000) as i16;
            // The first samples may be faded in.
            assert!((500..2000).all(|i| heard[i] == expected(i)), "{start}");
            assert_eq!(feed.position(), start + 2400);
        }
        feed.seek(200_000);
        let mut out = [0; 160];
        let deadline = Instant::now() + Duration::from_secs(20);
        while feed.fill(&mut out).state != FeedState::End {
            thread::yield_now();
            assert!(Instant::now() < deadline);
        }
        assert_eq!(feed.underruns(), 0, "what is sought is no underrun");
    }

    #[test]
    fn resamples_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = counting(dir.path(), 16_000, 20_000);
        let mut feed = Feeder::new().open(&path).unwrap();
        let mut out = vec![0; 16_000];
        let filled = feed.fill(&mut out);
        assert_eq!((filled.samples, filled.state), (10_000, FeedState::End));
        assert!((out[5000] - 10_000).abs() < 4, "{}", out[5000]);
    }

    #[test]
    fn a_file_that_vanishes_fails_at_its_repeat() {
        let dir = tempfile::tempdir().unwrap();
        let path = counting(dir.path(), 8000, 8000);
        let feeder = Feeder::new();
        let (mut feed, supply) = source::feed();
        let mut stream = Stream::open(&path, supply).unwrap();
        std::fs::remove_file(&path).unwrap();
        stream.run();
        let mut out = vec![0; 16_000];
        assert_eq!(feed.fill(&mut out).state, FeedState::End);
        assert_eq!(feed.fill(&mut out).state, FeedState::Failed);
        assert!(feeder.open(&path).is_err());
    }
}
