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

use crate::audio::resample::StreamResampler;
use crate::audio::source::{self, CHUNK_SAMPLES, Chunk, Feed, Supply};
use crate::audio::{NARROWBAND, WIDEBAND};
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

/// A file's samples at one rate.
struct Line {
    resampler: StreamResampler,
    /// Decoded and resampled, not yet in a chunk.
    ready: Vec<i16>,
}

impl Line {
    fn new(from: u32, to: u32) -> Self {
        Self {
            resampler: StreamResampler::new(from, to),
            ready: Vec::new(),
        }
    }

    fn push(&mut self, samples: &[i16]) {
        self.resampler.push(samples, &mut self.ready);
    }

    fn finish(&mut self) {
        self.resampler.finish(&mut self.ready);
    }

    /// Moves the next samples out, with silence where there are too few.
    fn take(&mut self, out: &mut [i16]) {
        let count = out.len().min(self.ready.len());
        out[..count].copy_from_slice(&self.ready[..count]);
        out[count..].fill(0);
        self.ready.drain(..count);
    }

    fn skip(&mut self, samples: usize) {
        self.ready.drain(..samples.min(self.ready.len()));
    }
}

/// One file on its way to one player.
struct Stream {
    path: PathBuf,
    supply: Supply,
    reader: Reader<File>,
    narrow: Line,
    wide: Line,
    generation: u32,
    file_done: bool,
    failed: bool,
    /// The player has been sent the failure; nothing follows.
    told: bool,
}

impl Stream {
    fn open(path: &Path, supply: Supply) -> Result<Self, WavError> {
        let (reader, narrow, wide) = start(path)?;
        Ok(Self {
            path: path.to_owned(),
            supply,
            reader,
            narrow,
            wide,
            generation: 0,
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
        self.read_up_to(CHUNK_SAMPLES);
        let len = self.narrow.ready.len().min(CHUNK_SAMPLES);
        self.narrow.take(&mut chunk.narrow[..len]);
        self.wide.take(&mut chunk.wide[..2 * len]);
        chunk.len = len;
        chunk.generation = self.generation;
        chunk.failed = self.failed;
        chunk.last = self.file_done && self.narrow.ready.is_empty() && !self.failed;
        if chunk.last {
            self.restart();
        }
    }

    /// Reads until so many samples at 8 kHz are ready at both rates, or nothing follows.
    fn read_up_to(&mut self, samples: usize) {
        let is_short =
            |s: &Self| s.narrow.ready.len() < samples || s.wide.ready.len() < 2 * samples;
        while is_short(self) && !self.file_done && !self.failed {
            self.read();
        }
    }

    fn read(&mut self) {
        let mut frames = Vec::with_capacity(READ_FRAMES);
        match self.reader.read_mono(&mut frames, READ_FRAMES) {
            Ok(0) => {
                self.narrow.finish();
                self.wide.finish();
                self.file_done = true;
            }
            Ok(_) => {
                self.narrow.push(&frames);
                self.wide.push(&frames);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn restart(&mut self) {
        self.file_done = false;
        match start(&self.path) {
            Ok((reader, narrow, wide)) => {
                (self.reader, self.narrow, self.wide) = (reader, narrow, wide);
            }
            Err(error) => {
                self.narrow.ready.clear();
                self.wide.ready.clear();
                self.fail(&error);
            }
        }
    }

    /// Reads on to a sample, from the file's start.
    fn skip(&mut self, samples: u64) {
        let mut left = samples as usize;
        while left > 0 && !self.failed {
            self.read_up_to(left.min(CHUNK_SAMPLES));
            let count = left.min(CHUNK_SAMPLES).min(self.narrow.ready.len());
            if count == 0 {
                return;
            }
            self.narrow.skip(count);
            self.wide.skip(2 * count);
            left -= count;
        }
    }

    fn fail(&mut self, error: &WavError) {
        tracing::warn!(path = %self.path.display(), %error, "cannot read on");
        self.failed = true;
    }
}

fn start(path: &Path) -> Result<(Reader<File>, Line, Line), WavError> {
    let reader = Reader::open(File::open(path)?)?;
    let line = |to| Line::new(reader.spec().rate, to);
    let (narrow, wide) = (line(NARROWBAND), line(WIDEBAND));
    Ok((reader, narrow, wide))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::audio::sound::Band;
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
            let filled = feed.fill(&mut out, Band::Narrow);
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
        assert_eq!(feed.fill(&mut out, Band::Narrow).state, FeedState::More);
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
        while feed.fill(&mut out, Band::Narrow).state != FeedState::End {
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
        let filled = feed.fill(&mut out, Band::Narrow);
        assert_eq!((filled.samples, filled.state), (10_000, FeedState::End));
        assert!((out[5000] - 10_000).abs() < 4, "{}", out[5000]);
    }

    #[test]
    fn a_listener_hears_the_file_at_its_own_rate_and_at_the_same_place() {
        let dir = tempfile::tempdir().unwrap();
        for (rate, length) in [(8000, 25_000), (16_000, 29_999), (44_100, 29_000)] {
            let path = counting(dir.path(), rate, length);
            let mut feed = Feeder::new().open(&path).unwrap();
            feed.seek(2000);
            let mut heard = Vec::new();
            let deadline = Instant::now() + Duration::from_secs(20);
            for band in [Band::Narrow, Band::Wide, Band::Narrow, Band::Wide] {
                let mut out = [0i16; 320];
                let out = &mut out[..160 * band.scale()];
                while feed.position() < 2000 + 160 * (heard.len() as u64 + 1) {
                    feed.fill(out, band);
                    assert!(Instant::now() < deadline);
                }
                heard.push((band, out.to_vec()));
            }
            for (tick, (band, samples)) in heard.iter().enumerate() {
                for n in [80, 150] {
                    let place = 2000.0 + 160.0 * tick as f64 + n as f64;
                    let expected = place * f64::from(rate) / 8000.0;
                    let off = (f64::from(samples[n * band.scale()]) - expected).abs();
                    assert!(off < 8.0, "{rate} Hz, tick {tick}, {band:?}: {off}");
                }
            }
            // To the end, at 16 kHz: as many samples as at 8 kHz.
            let mut out = [0i16; 320];
            let whole = u64::from(length) * 8000 / u64::from(rate);
            let mut left = whole + 1 - feed.position();
            loop {
                let filled = feed.fill(&mut out, Band::Wide);
                left -= filled.samples as u64;
                match filled.state {
                    FeedState::End => break,
                    FeedState::Failed => panic!("{rate}"),
                    _ => thread::yield_now(),
                }
                assert!(Instant::now() < deadline);
            }
            assert!(left <= 2, "{rate}: {left}");
        }
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
        assert_eq!(feed.fill(&mut out, Band::Narrow).state, FeedState::End);
        assert_eq!(feed.fill(&mut out, Band::Narrow).state, FeedState::Failed);
        assert!(feeder.open(&path).is_err());
    }
}
