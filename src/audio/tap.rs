//! The recorder tap: copies what a leg hears, or a room, into the recorder's queue.
//!
//! Runs on the media thread, behind the playout or the mix, at 8 kHz if not told otherwise. Positions follow media time, so
//! that a skipped tick becomes silence; where the queue is full the frame is counted and left
//! out, and the writer fills its place. Nothing here allocates, frees or waits. Rx is the
//! server's.

use std::time::Duration;

use crossbeam_channel::Sender;

use super::polyphase::Resampler;
use super::{FULLBAND, MediaTime, NARROWBAND, TICK_MS, WIDEBAND, level};

/// Room for one tick at 16 kHz.
pub const MAX_FRAME: usize = 320;

/// Below this a frame counts as silent, as in [`level::TalkSpurtSettings`].
const SILENCE_DBOV: f32 = -50.0;

/// One frame on its way to the writer; lives in the queue, not on the heap.
#[derive(Clone, Copy, Debug)]
pub struct RecordFrame {
    /// Which recording.
    pub recording: u64,
    /// Its place: samples since the start of the recording.
    pub position: u64,
    /// Samples that are valid.
    pub len: u16,
    /// The samples.
    pub samples: [i16; MAX_FRAME],
}

/// What a tap is to do.
#[derive(Clone, Copy, Debug)]
pub struct TapSettings {
    /// The recording's handle.
    pub recording: u64,
    /// Stop at this length, samples.
    pub max_samples: Option<u64>,
    /// Stop after so much unbroken silence, samples.
    pub silence_stop_samples: Option<u64>,
    /// The media time of the first sample.
    pub start: MediaTime,
}

/// A recording that is for what its party says: without any of that it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// As long as it takes.
    Whole,
    /// Silence ends it behind speech alone, and so many samples behind the last of that it is over.
    Trimmed(u64),
}

/// What can be done to a recording under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordControl {
    /// Nothing is recorded until it is resumed: the time is left out.
    Pause,
    /// Silence is recorded until it is resumed: the time line stays that of the call.
    Mute,
    /// Goes on.
    Resume,
}

/// Why a tap stopped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapStop {
    /// The length asked for is reached.
    MaxLength,
    /// It has been silent for as long as was asked for.
    Silence,
}

/// The state of a tap after a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapStatus {
    /// It goes on.
    Recording,
    /// It has stopped, and takes nothing more.
    Stopped(TapStop),
}

/// Copies frames into the recorder's queue.
#[derive(Debug)]
pub struct Tap {
    settings: TapSettings,
    frames: Sender<RecordFrame>,
    /// Where the next frame goes.
    position: u64,
    silent_samples: u64,
    silence_threshold: f32,
    overflowed: u64,
    stopped: Option<TapStop>,
    rate: u32,
    control: RecordControl,
    /// Samples of pauses, which are not in the recording.
    left_out: u64,
    /// What it takes to record at another rate than what comes, or both sides.
    converter: Option<Box<Converter>>,
    channels: u64,
    /// Of the two channels the left alone tells silence: it is the party.
    left_tells: bool,
    spoken: Option<Spoken>,
    /// Where the last frame ended that was not silent.
    speech_end: Option<u64>,
    /// Where the frame of the tick goes that [`Tap::seek`] has begun; how much was skipped for it.
    sought: Option<u64>,
}

impl Tap {
    /// A tap into the recorder's queue. The recorder keeps a sender of its own, so that
    /// dropping this one never tears the queue down.
    pub fn new(settings: TapSettings, frames: Sender<RecordFrame>) -> Self {
        Self {
            settings,
            frames,
            position: 0,
            silent_samples: 0,
            silence_threshold: 10f32.powf(SILENCE_DBOV / 10.0) * 32768.0 * 32768.0,
            overflowed: 0,
            stopped: None,
            rate: NARROWBAND,
            control: RecordControl::Resume,
            left_out: 0,
            converter: None,
            channels: 1,
            left_tells: false,
            spoken: None,
            speech_end: None,
            sought: None,
        }
    }

    /// The same for frames of another rate, Hz; all lengths are in its samples.
    #[must_use]
    pub fn at_rate(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    /// The same for frames of two channels, whose samples alternate; all lengths are of one channel.
    #[must_use]
    pub fn in_stereo(mut self) -> Self {
        self.channels = 2;
        self
    }

    /// A tap at `rate` Hz (8000, 16000 or 48000) of a leg of any of these rates; stereo: of what its
    /// party says on the left, and what it hears on the right. All lengths are of one channel.
    #[must_use]
    pub fn converting(mut self, rate: u32, stereo: bool) -> Self {
        self.rate = rate;
        self.channels = if stereo { 2 } else { 1 };
        self.left_tells = stereo;
        self.converter = Some(Box::new(Converter::new(rate, stereo)));
        self
    }

    /// The same for what the party says: [`Tap::end_position`] may be before what was sent then.
    #[must_use]
    pub fn for_speech(mut self, spoken: Spoken) -> Self {
        self.spoken = Some(spoken);
        self
    }

    /// Whether it takes frames of any rate.
    pub fn converts(&self) -> bool {
        self.converter.is_some()
    }

    /// What it has that is to be freed elsewhere.
    pub fn into_memory(self) -> Option<Box<Converter>> {
        self.converter
    }

    /// Takes what the party says in the tick at `now`, at `rate` Hz.
    pub fn say(&mut self, frame: &[i16], rate: u32, now: MediaTime) -> TapStatus {
        let Some(mut converter) = self.converter.take() else {
            return self.push(frame, now);
        };
        // What the party hears comes later in the tick.
        let mut status = self
            .stopped
            .map_or(TapStatus::Recording, TapStatus::Stopped);
        if converter.waits {
            status = self.end_tick(&mut converter, None, rate);
        }
        converter.convert(0, frame, rate);
        if self.channels == 1 {
            let mono = &converter.out[0][..converter.frame];
            status = self.push(mono, now);
        } else if status == TapStatus::Recording {
            self.seek(now);
            converter.waits = true;
        }
        self.converter = Some(converter);
        status
    }

    /// Takes what it hears in the same tick, where that is recorded; none: nothing.
    pub fn hear(&mut self, frame: Option<&[i16]>, rate: u32) -> TapStatus {
        let mut status = TapStatus::Recording;
        if let Some(mut converter) = self.converter.take() {
            if converter.waits {
                status = self.end_tick(&mut converter, frame, rate);
            }
            self.converter = Some(converter);
        }
        status
    }

    /// Records both sides of a tick.
    fn end_tick(
        &mut self,
        converter: &mut Converter,
        heard: Option<&[i16]>,
        rate: u32,
    ) -> TapStatus {
        converter.waits = false;
        converter.convert(1, heard.unwrap_or_default(), rate);
        let mut both = [0i16; 2 * MAX_TICK];
        let [said, heard] = &converter.out;
        for (pair, (said, heard)) in both.chunks_exact_mut(2).zip(said.iter().zip(heard)) {
            pair.copy_from_slice(&[*said, *heard]);
        }
        // The tick has its place since `say`.
        self.push(&both[..2 * converter.frame], MediaTime::ZERO)
    }

    /// Pauses, or goes on.
    pub fn control(&mut self, control: RecordControl) {
        self.control = control;
    }

    /// Whether what comes is recorded: it is neither paused nor muted, nor has it stopped.
    pub fn is_recording(&self) -> bool {
        self.control == RecordControl::Resume && self.stopped.is_none()
    }

    /// The rate of what it takes, Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Begins the tick at `now`, so that [`Tap::end_position`] is where its frame goes.
    pub fn seek(&mut self, now: MediaTime) {
        if self.stopped.is_none() {
            self.sought = Some(self.skip_to(now));
        }
    }

    /// The first sample is the one of the tick at `now`: only the leg knows its media line.
    pub fn start_at(&mut self, now: MediaTime) {
        self.settings.start = now;
    }

    /// Takes the frame of the tick at `now`.
    pub fn push(&mut self, frame: &[i16], now: MediaTime) -> TapStatus {
        if let Some(stop) = self.stopped {
            return TapStatus::Stopped(stop);
        }
        let skipped = match self.sought.take() {
            Some(skipped) => skipped,
            None => self.skip_to(now),
        };
        if self.control == RecordControl::Pause {
            self.left_out += self.samples_of_tick();
            return TapStatus::Recording;
        }
        if self.control == RecordControl::Mute {
            return self.take(&SILENCE[..frame.len().min(SILENCE.len())], skipped);
        }
        self.take(frame, skipped)
    }

    fn samples_of_tick(&self) -> u64 {
        u64::from(self.rate / 1000 * TICK_MS)
    }

    fn take(&mut self, frame: &[i16], skipped: u64) -> TapStatus {
        let max = self.settings.max_samples.unwrap_or(u64::MAX);
        let channels = self.channels;
        let room = max.saturating_sub(self.position).saturating_mul(channels);
        let part = &frame[..room.min(frame.len() as u64) as usize];
        let (recording, position) = (self.settings.recording, self.position);
        if !part.is_empty() {
            self.overflowed += send(&self.frames, recording, position, part, channels);
        }
        self.position += part.len() as u64 / channels;
        let is_over = self.is_silent(frame, skipped);
        if self.position >= max {
            self.position = max;
            self.stopped = Some(TapStop::MaxLength);
        } else if is_over {
            self.stopped = Some(TapStop::Silence);
        }
        self.stopped
            .map_or(TapStatus::Recording, TapStatus::Stopped)
    }

    /// Which recording this is.
    pub fn recording(&self) -> u64 {
        self.settings.recording
    }

    /// How long the recording is so far, samples: what its close is told.
    pub fn end_position(&self) -> u64 {
        match (self.spoken, self.speech_end) {
            (Some(_), None) => 0,
            (Some(Spoken::Trimmed(rest)), Some(end)) => self.position.min(end + rest),
            (None | Some(Spoken::Whole), _) => self.position,
        }
    }

    /// The same in time.
    pub fn length(&self) -> Duration {
        length(self.position, self.rate)
    }

    /// Samples that found the queue full.
    pub fn overflowed_samples(&self) -> u64 {
        self.overflowed
    }

    /// Moves the position on over ticks that never came; returns the samples skipped.
    ///
    /// In whole ticks: a bridge moves its phase by up to 1 ms a tick, and that must neither
    /// cut nor stretch what is recorded.
    fn skip_to(&mut self, now: MediaTime) -> u64 {
        let elapsed = now
            .samples(self.rate)
            .saturating_sub(self.settings.start.samples(self.rate));
        let tick = self.samples_of_tick();
        let known = self.position + self.left_out;
        let skipped = (elapsed.saturating_sub(known) + tick / 2) / tick * tick;
        self.position += skipped;
        skipped
    }

    /// Whether it has been silent for as long as is to end it.
    fn is_silent(&mut self, frame: &[i16], skipped: u64) -> bool {
        let limit = self.settings.silence_stop_samples;
        if limit.is_none() && self.spoken.is_none() {
            return false;
        }
        let mut left = [0i16; MAX_TICK];
        let judged = if self.left_tells {
            let pairs = frame.chunks_exact(2).take(MAX_TICK);
            let count = pairs.len();
            left.iter_mut()
                .zip(pairs)
                .for_each(|(l, pair)| *l = pair[0]);
            &left[..count]
        } else {
            frame
        };
        if level::mean_square(judged) >= self.silence_threshold {
            self.silent_samples = 0;
            self.speech_end = Some(self.position);
        } else {
            self.silent_samples += skipped + frame.len() as u64 / self.channels;
        }
        let may_end = !matches!(self.spoken, Some(Spoken::Trimmed(_))) || self.speech_end.is_some();
        may_end && limit.is_some_and(|limit| self.silent_samples >= limit)
    }
}

static SILENCE: [i16; 2 * MAX_TICK] = [0; 2 * MAX_TICK];
/// Samples of a tick at the highest rate.
const MAX_TICK: usize = FULLBAND as usize / 50;

/// What a tap needs to record at another rate than what comes, and both sides of a call. Made, and
/// freed, on the control side.
#[derive(Debug)]
pub struct Converter {
    /// From 8, 16 and 48 kHz, for each channel.
    resamplers: Vec<[Resampler; 3]>,
    out: [[i16; MAX_TICK]; 2],
    /// Samples of a tick.
    frame: usize,
    /// What the party said is here, and what it heard is to come.
    waits: bool,
}

impl Converter {
    fn new(rate: u32, stereo: bool) -> Self {
        let set = || RATES.map(|from| Resampler::new(from, rate));
        Self {
            resamplers: (0..if stereo { 2 } else { 1 }).map(|_| set()).collect(),
            out: [[0; MAX_TICK]; 2],
            frame: rate as usize / 50,
            waits: false,
        }
    }

    fn convert(&mut self, channel: usize, frame: &[i16], rate: u32) {
        let out = &mut self.out[channel][..self.frame];
        let from = RATES.iter().position(|known| *known == rate);
        if let (Some(from), Some(set)) = (from, self.resamplers.get_mut(channel))
            && frame.len() == rate as usize / 50
        {
            set[from].process(frame, out);
        } else {
            out.fill(0);
        }
    }
}

const RATES: [u32; 3] = [NARROWBAND, WIDEBAND, FULLBAND];

/// How long so many samples at `rate` Hz are.
pub fn length(samples: u64, rate: u32) -> Duration {
    let rate = u64::from(rate.max(1));
    let rest_us = samples % rate * 1_000_000 / rate;
    Duration::from_secs(samples / rate) + Duration::from_micros(rest_us)
}

/// Sends samples of a recording, in pieces; how many of a channel found the queue full. Of several
/// channels, their samples alternate. With none, their
/// place alone is told, so that what is on disk reaches to there.
pub fn send(
    frames: &Sender<RecordFrame>,
    recording: u64,
    mut position: u64,
    samples: &[i16],
    channels: u64,
) -> u64 {
    let mut overflowed = 0;
    let mut rest = samples;
    loop {
        let (head, tail) = rest.split_at(rest.len().min(MAX_FRAME));
        let mut frame = RecordFrame {
            recording,
            position,
            len: head.len() as u16,
            samples: [0; MAX_FRAME],
        };
        frame.samples[..head.len()].copy_from_slice(head);
        if frames.try_send(frame).is_err() {
            overflowed += head.len() as u64 / channels;
        }
        position += head.len() as u64 / channels;
        rest = tail;
        if rest.is_empty() {
            return overflowed;
        }
    }
}

#[cfg(test)]
mod tests;
