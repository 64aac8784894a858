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
use crate::audio::sound::Doubler;
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

/// What is ready of a file, at both rates.
struct Lines {
    narrow: Vec<i16>,
    /// Twice as many, but for what its filter still has.
    wide: Vec<i16>,
    to_narrow: StreamResampler,
    to_wide: Widening,
}

/// How a file gets to 16 kHz.
enum Widening {
    /// From its own rate.
    Of(StreamResampler),
    /// It has no more than narrowband.
    Doubled(Box<Doubler>),
}

impl Lines {
    fn new(rate: u32) -> Self {
        let to_wide = if rate > NARROWBAND {
            Widening::Of(StreamResampler::new(rate, WIDEBAND))
        } else {
            Widening::Doubled(Box::default())
        };
        Self {
            narrow: Vec::new(),
            wide: Vec::new(),
            to_narrow: StreamResampler::new(rate, NARROWBAND),
            to_wide,
        }
    }

    fn push(&mut self, samples: &[i16]) {
        let before = self.narrow.len();
        self.to_narrow.push(samples, &mut self.narrow);
        match &mut self.to_wide {
            Widening::Of(resampler) => resampler.push(samples, &mut self.wide),
            Widening::Doubled(doubler) => doubler.push(&self.narrow[before..], &mut self.wide),
        }
    }

    fn finish(&mut self) {
        let before = self.narrow.len();
        self.to_narrow.finish(&mut self.narrow);
        match &mut self.to_wide {
            Widening::Of(resampler) => resampler.finish(&mut self.wide),
            Widening::Doubled(doubler) => {
                doubler.push(&self.narrow[before..], &mut self.wide);
                doubler.finish(&mut self.wide);
            }
        }
        self.wide.resize(2 * self.narrow.len(), 0);
    }

    /// Samples at 8 kHz that are ready at both rates.
    fn ready(&self) -> usize {
        self.narrow.len().min(self.wide.len() / 2)
    }

    fn skip(&mut self, samples: usize) {
        self.narrow.drain(..samples);
        self.wide.drain(..2 * samples);
    }
}

/// One file on its way to one player.
struct Stream {
    path: PathBuf,
    supply: Supply,
    reader: Reader<File>,
    lines: Lines,
    generation: u32,
    file_done: bool,
    failed: bool,
    /// The player has been sent the failure; nothing follows.
    told: bool,
}

impl Stream {
    fn open(path: &Path, supply: Supply) -> Result<Self, WavError> {
        let (reader, lines) = start(path)?;
        Ok(Self {
            path: path.to_owned(),
            supply,
            reader,
            lines,
            generation: 0,
            file_done: false,
            failed: false,
            told: false,
        })
    }

    /// Fills all the room there is.
    fn run(&mut self) {
        loop {
            // A player that throws back what it no longer wants must not get more of it.
            let (wanted, start) = self.supply.wanted_pass();
            if wanted != self.generation {
                self.generation = wanted;
                (self.failed, self.told) = (false, false);
                self.restart();
                self.skip(start);
            }
            if self.told {
                return;
            }
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
        let len = self.lines.ready().min(CHUNK_SAMPLES);
        chunk.narrow[..len].copy_from_slice(&self.lines.narrow[..len]);
        chunk.wide[..2 * len].copy_from_slice(&self.lines.wide[..2 * len]);
        self.lines.skip(len);
        chunk.len = len;
        chunk.generation = self.generation;
        chunk.failed = self.failed;
        chunk.last = self.file_done && self.lines.ready() == 0 && !self.failed;
        if chunk.last {
            self.restart();
        }
    }

    /// Reads until so many samples at 8 kHz are ready, or nothing follows.
    fn read_up_to(&mut self, samples: usize) {
        while self.lines.ready() < samples && !self.file_done && !self.failed {
            let mut frames = Vec::with_capacity(READ_FRAMES);
            match self.reader.read_mono(&mut frames, READ_FRAMES) {
                Ok(0) => {
                    self.lines.finish();
                    self.file_done = true;
                }
                Ok(_) => self.lines.push(&frames),
                Err(error) => self.fail(&error),
            }
        }
    }

    fn restart(&mut self) {
        self.file_done = false;
        match start(&self.path) {
            Ok((reader, lines)) => (self.reader, self.lines) = (reader, lines),
            Err(error) => {
                self.lines.narrow.clear();
                self.lines.wide.clear();
                self.fail(&error);
            }
        }
    }

    /// Goes to a sample, from the file's start: whole seconds are passed over as they are in the file, but
    /// for the last, which the filters need.
    fn skip(&mut self, samples: u64) {
        let rate = u64::from(NARROWBAND);
        let seconds = (samples / rate).saturating_sub(1);
        self.pass(seconds * u64::from(self.reader.spec().rate));
        let mut left = (samples - seconds * rate) as usize;
        while left > 0 {
            self.read_up_to(left.min(CHUNK_SAMPLES));
            let count = left.min(self.lines.ready());
            if count == 0 {
                return;
            }
            self.lines.skip(count);
            left -= count;
        }
    }

    /// Passes frames over, unheard.
    fn pass(&mut self, mut frames: u64) {
        let mut unheard = Vec::with_capacity(READ_FRAMES);
        while frames > 0 && !self.file_done && !self.failed {
            unheard.clear();
            let most = frames.min(READ_FRAMES as u64) as usize;
            match self.reader.read_mono(&mut unheard, most) {
                Ok(0) => self.file_done = true,
                Ok(count) => frames -= count as u64,
                Err(error) => self.fail(&error),
            }
        }
    }

    fn fail(&mut self, error: &WavError) {
        tracing::warn!(path = %self.path.display(), %error, "cannot read on");
        self.failed = true;
    }
}

fn start(path: &Path) -> Result<(Reader<File>, Lines), WavError> {
    let reader = Reader::open(File::open(path)?)?;
    let lines = Lines::new(reader.spec().rate);
    Ok((reader, lines))
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
                // Until the reader has filled all the room there is: one chunk alone would be the next gap.
                FeedState::Underrun => thread::sleep(Duration::from_millis(50)),
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
            assert_eq!(heard[500], expected(500), "{start}");
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
    fn who_never_waits_gets_what_it_seeks() {
        let dir = tempfile::tempdir().unwrap();
        let path = waves(dir.path(), 11_025);
        let feeder = Feeder::new();
        let mut feed = feeder.open(&path).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        for start in [20_003, 2000, 15_000] {
            feed.seek(start);
            let mut out = [0i16; 160];
            while feed.fill(&mut out, Band::Narrow).samples == 0 {
                assert!(Instant::now() < deadline, "{start}");
            }
            assert!(feed.position() > start);
        }
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

    /// A wave that tells a place, in samples at 8 kHz, from those around it.
    fn wave(place: f64) -> f64 {
        1000.0 * (std::f64::consts::TAU * place / 1000.0).sin()
    }

    /// A file of it, 25,000 samples at 8 kHz long.
    fn waves(dir: &Path, rate: u32) -> PathBuf {
        let path = dir.join("waves.wav");
        let mut writer = Writer::create(File::create(&path).unwrap(), rate).unwrap();
        for n in 0..u64::from(rate) * 25 / 8 {
            let place = n as f64 * 8000.0 / f64::from(rate);
            writer.write(&[wave(place).round() as i16]).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    #[test]
    fn a_listener_hears_the_file_at_its_own_rate_and_at_the_same_place() {
        let dir = tempfile::tempdir().unwrap();
        let feeder = Feeder::new();
        for rate in [8000, 11_025, 16_000, 44_100] {
            let path = waves(dir.path(), rate);
            let mut feed = feeder.open(&path).unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            for start in [2000, 20_003, 9000] {
                feed.seek(start);
                for (tick, band) in (0..).zip([Band::Narrow, Band::Wide, Band::Narrow, Band::Wide])
                {
                    let mut out = [0i16; 320];
                    let out = &mut out[..160 * band.scale()];
                    while feed.position() == start + 160 * tick {
                        let filled = feed.fill(out, band);
                        assert!(
                            Instant::now() < deadline,
                            "{rate}, {start}, {tick}: {filled:?}"
                        );
                        if filled.samples == 0 {
                            thread::sleep(Duration::from_millis(50));
                        }
                    }
                    assert_eq!(feed.position(), start + 160 * (tick + 1));
                    // The first samples may be faded in.
                    for n in [80, 150] {
                        let expected = wave((start + 160 * tick) as f64 + n as f64);
                        let heard = f64::from(out[n * band.scale()]);
                        let what = format!("{rate} Hz, {start}, tick {tick}, {band:?}");
                        // One sample is 6 where the wave is steepest.
                        let off = (heard - expected).abs();
                        assert!(off <= 6.0, "{what}: {heard}, not {expected}");
                    }
                }
            }
            // To the end, at 16 kHz: as many samples as at 8 kHz.
            let mut left = 25_000 - feed.position() as i64;
            let mut out = [0i16; 320];
            loop {
                let filled = feed.fill(&mut out, Band::Wide);
                left -= filled.samples as i64;
                match filled.state {
                    FeedState::End => break,
                    FeedState::Failed => panic!("{rate}"),
                    _ => thread::yield_now(),
                }
                assert!(Instant::now() < deadline);
            }
            assert!(left.abs() <= 1, "{rate}: {left}");
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
