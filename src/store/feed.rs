//! Streams long files to their players, all from one reader thread.
//!
//! Sits between `wav::Reader` and [`crate::audio::source::Feed`]. Behind a file's last chunk
//! the reader goes on with its first, so that a repeat has no gap. A file stays open for as long as it is
//! played: what becomes of its name meanwhile does not matter.

use std::fs::File;
use std::io::Seek as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use crate::audio::resample::StreamResampler;
use crate::audio::sound::Doubler;
use crate::audio::source::{self, CHUNK_SAMPLES, Chunk, FEED_CHUNKS, Feed, Supply};
use crate::audio::{NARROWBAND, WIDEBAND};
use crate::wav::{Reader, WavError};

/// How often the reader looks for room; a feed holds 2 s.
const POLL: Duration = Duration::from_millis(20);
/// Frames of the file that are read at once.
const READ_FRAMES: usize = 4096;
/// Chunks that one stream gets, or has passed over, before it is the others' turn.
const ROUND_CHUNKS: usize = 4;

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
        stream.run(FEED_CHUNKS);
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
        let mut is_behind = false;
        streams.retain_mut(|stream| {
            is_behind |= stream.run(ROUND_CHUNKS);
            !stream.supply.is_abandoned()
        });
        if !is_behind {
            thread::sleep(POLL);
        }
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
    /// For the log alone.
    path: PathBuf,
    file: Arc<File>,
    supply: Supply,
    reader: Reader<Arc<File>>,
    lines: Lines,
    generation: u32,
    /// Samples at 8 kHz that are still to be passed over, for the sake of the filters.
    unheard: usize,
    file_done: bool,
    failed: bool,
    /// The player has been sent the failure; nothing follows.
    told: bool,
}

impl Stream {
    fn open(path: &Path, supply: Supply) -> Result<Self, WavError> {
        let file = Arc::new(File::open(path)?);
        let (reader, lines) = start(&file, 0)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            supply,
            reader,
            lines,
            generation: 0,
            unheard: 0,
            file_done: false,
            failed: false,
            told: false,
        })
    }

    /// Fills the room there is, with so many chunks at most. Whether there may be more to do.
    fn run(&mut self, most: usize) -> bool {
        for _ in 0..most {
            // A player that throws back what it no longer wants must not get more of it.
            let (wanted, start) = self.supply.wanted_pass();
            if wanted != self.generation {
                self.generation = wanted;
                (self.failed, self.told) = (false, false);
                self.go_to(start);
            }
            if self.told {
                return false;
            }
            if self.unheard > 0 {
                self.pass();
                continue;
            }
            let Some(mut chunk) = self.supply.take_empty() else {
                return false;
            };
            self.fill(&mut chunk);
            self.told = chunk.failed;
            self.supply.deliver(chunk);
        }
        true
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
            self.restart(0);
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

    /// Goes on at a frame of the file.
    fn restart(&mut self, frame: u64) {
        self.file_done = false;
        match start(&self.file, frame) {
            Ok((reader, lines)) => (self.reader, self.lines) = (reader, lines),
            Err(error) => {
                self.lines.narrow.clear();
                self.lines.wide.clear();
                self.fail(&error);
            }
        }
    }

    /// Goes to a sample, from the file's start: whole seconds are not read at all, but for the last, which
    /// the filters need.
    fn go_to(&mut self, samples: u64) {
        let rate = u64::from(NARROWBAND);
        let seconds = (samples / rate).saturating_sub(1);
        self.restart(seconds * u64::from(self.reader.spec().rate));
        self.unheard = (samples - seconds * rate) as usize;
    }

    /// Passes over a chunk of what is not to be heard.
    fn pass(&mut self) {
        let wanted = self.unheard.min(CHUNK_SAMPLES);
        self.read_up_to(wanted);
        let count = wanted.min(self.lines.ready());
        self.lines.skip(count);
        // Where less is ready, nothing follows.
        self.unheard = if count < wanted {
            0
        } else {
            self.unheard - count
        };
    }

    fn fail(&mut self, error: &WavError) {
        tracing::warn!(path = %self.path.display(), %error, "cannot read on");
        self.failed = true;
    }
}

/// Reads an open file from a frame on.
fn start(file: &Arc<File>, frame: u64) -> Result<(Reader<Arc<File>>, Lines), WavError> {
    let mut input = Arc::clone(file);
    input.rewind()?;
    let reader = Reader::open_at(input, frame)?;
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
    fn a_file_whose_name_is_gone_is_repeated_and_sought_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = counting(dir.path(), 8000, 8000);
        let feeder = Feeder::new();
        let (mut feed, supply) = source::feed();
        let mut stream = Stream::open(&path, supply).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(feeder.open(&path).is_err());
        let mut out = vec![0; 16_000];
        for _ in 0..3 {
            stream.run(FEED_CHUNKS);
            let filled = feed.fill(&mut out, Band::Narrow);
            assert_eq!((filled.samples, filled.state), (8000, FeedState::End));
            assert_eq!(out_of_order(&out[..8000], 8000), 0);
        }
        feed.seek(4000);
        // Throws back what was ready.
        feed.fill(&mut out, Band::Narrow);
        stream.run(FEED_CHUNKS);
        let filled = feed.fill(&mut out, Band::Narrow);
        assert_eq!((filled.samples, filled.state), (4000, FeedState::End));
        // The first samples are faded in.
        assert_eq!(out[40..4000], (4040..8000).collect::<Vec<i16>>());
    }

    #[test]
    fn what_is_sought_is_gone_to_in_the_file_and_others_have_their_turn_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = counting(dir.path(), 8000, 100_000);
        let (mut feed, supply) = source::feed();
        let mut stream = Stream::open(&path, supply).unwrap();
        feed.seek(96_000);
        let mut out = [0; 160];
        // The last second before it, a chunk each time.
        for round in 0..10 {
            assert!(stream.run(1), "round {round}");
            let read = stream.file.clone().stream_position().unwrap();
            assert!(
                read > 2 * 88_000,
                "{read} bytes: eleven seconds are not read"
            );
            let filled = feed.fill(&mut out, Band::Narrow);
            assert_eq!(filled.samples, 0, "round {round}");
        }
        assert!(stream.run(1));
        assert_eq!(feed.fill(&mut out, Band::Narrow).samples, 160);
        // The first samples are faded in.
        assert_eq!(out[40..], (6040..6160).collect::<Vec<i16>>());
    }
}
