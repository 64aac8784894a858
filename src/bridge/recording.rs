//! Recording a room: the mix, and what each member has in it.
//!
//! The mix is what ear class 0 hears, with nobody's own part taken out: the members that it hears and
//! what the room plays to it. A track is one member's part in that, behind mutes, fades and ducking.
//! Both have the rate of the recording and one time line; the room's own track takes the rest: what
//! the room plays, and members without a track. So all tracks of a recording add up to its mix, to
//! the bit, as long as the sum fits in 16 bits and is not limited. A track of another rate than the
//! recording's is resampled as it would be for a listener of that rate.
//!
//! In stereo there is one file: on the left whoever has a track, on the right the rest.

use std::time::Duration;

use crossbeam_channel::Sender;

use super::MAX_FRAME;
use super::bands::{BANDS, Bands, Path, band_of, frame_of};
use super::part::Part;
use super::port::Port;
use crate::audio::limiter::{self, Limiter};
use crate::audio::polyphase::Resampler;
use crate::audio::tap::{RecordControl, RecordFrame, Tap, TapSettings, TapStatus, TapStop, send};
use crate::audio::{FULLBAND, MediaTime, NARROWBAND, WIDEBAND};

/// A track that is silent is told so often that it is, in ticks: what is on disk is then no more
/// than a second behind.
const STILL_TICKS: u64 = 50;

/// How a room is recorded.
#[derive(Clone, Copy, Debug)]
pub struct RoomRecordingSettings {
    /// The recording's handle; the mix is written by it, if its file is open.
    pub recording: u64,
    /// The rate of the mix and of all tracks, Hz: 8000, 16000 or 48000.
    pub rate: u32,
    /// The handle of the room's own track: what it plays, and who has no track. None: not written.
    pub rest: Option<u64>,
    /// In place of the mix and of tracks: who has a track on the left, the rest on the right.
    pub stereo: bool,
    /// Stop at this length, samples.
    pub max_samples: Option<u64>,
    /// Stop after so much unbroken silence, samples.
    pub silence_stop_samples: Option<u64>,
}

/// A recording of a room. Made on the control side, where it goes back to at its end.
#[derive(Debug)]
pub struct RoomRecording {
    settings: RoomRecordingSettings,
    band: usize,
    tap: Tap,
    frames: Sender<RecordFrame>,
    begun: bool,
    /// Ticks so far.
    ticks: u64,
    /// Whether this tick goes into the tracks.
    writes: bool,
    /// What of each band's sum is in tracks, and whether anything is.
    tracked: [[i32; MAX_FRAME]; BANDS],
    touched: [bool; BANDS],
    /// The same, of all bands, at the recording's rate: what the left is in stereo.
    sum: [i32; MAX_FRAME],
    paths: Vec<Path>,
    limiter: Limiter,
    /// Of the right.
    other: Limiter,
    overflowed: u64,
}

impl RoomRecording {
    /// Takes the memory; `frames` is the recorder's queue.
    pub fn new(settings: RoomRecordingSettings, frames: Sender<RecordFrame>) -> Box<Self> {
        let band = band_of(settings.rate);
        let tap = TapSettings {
            recording: settings.recording,
            max_samples: settings.max_samples,
            silence_stop_samples: settings.silence_stop_samples,
            start: MediaTime::ZERO,
        };
        let paths = Path::all().into_iter().filter(|path| path.to == band);
        let tap = Tap::new(tap, frames.clone()).at_rate(settings.rate);
        Box::new(Self {
            settings,
            band,
            tap: if settings.stereo {
                tap.in_stereo()
            } else {
                tap
            },
            frames,
            begun: false,
            ticks: 0,
            writes: false,
            tracked: [[0; MAX_FRAME]; BANDS],
            touched: [false; BANDS],
            sum: [0; MAX_FRAME],
            paths: paths.collect(),
            limiter: Limiter::default(),
            other: Limiter::default(),
            overflowed: 0,
        })
    }

    /// Which recording this is.
    pub fn recording(&self) -> u64 {
        self.settings.recording
    }

    /// How it was asked for.
    pub fn settings(&self) -> &RoomRecordingSettings {
        &self.settings
    }

    /// How long the recording is, samples: what the closes of the mix and of all its tracks are told.
    pub fn end_position(&self) -> u64 {
        self.tap.end_position()
    }

    /// The same in time.
    pub fn length(&self) -> Duration {
        self.tap.length()
    }

    /// Samples of the mix and of tracks that found the queue full; they are silence in the files.
    pub fn overflowed_samples(&self) -> u64 {
        self.overflowed + self.tap.overflowed_samples()
    }

    /// Pauses it, or goes on.
    pub fn control(&mut self, control: RecordControl) {
        self.tap.control(control);
    }

    /// Begins the tick at `now`.
    pub(super) fn begin(&mut self, now: MediaTime) {
        if !std::mem::replace(&mut self.begun, true) {
            self.tap.start_at(now);
        }
        self.tap.seek(now);
        self.writes = self.tap.is_recording();
        self.ticks += 1;
        for (band, touched) in self.touched.iter_mut().enumerate() {
            if std::mem::take(touched) {
                self.tracked[band][..frame_of(band)].fill(0);
            }
        }
        self.sum[..frame_of(self.band)].fill(0);
    }

    /// A member's part in what class 0 hears.
    pub(super) fn take(&mut self, port: &Port, track: &mut Track, part: Part) {
        if track.recording != self.settings.recording {
            return;
        }
        let (from, to) = (frame_of(port.band), frame_of(self.band));
        let position = self.tap.end_position();
        track.follow(port.band, position, to);
        let mut said = [0i16; MAX_FRAME];
        let said = &mut said[..from];
        if part != Part::None {
            part.write(said, &port.memory.rx(port.band)[..from]);
            limiter::accumulate(&mut self.tracked[port.band], said);
            self.touched[port.band] = true;
        }
        let resampler = &mut track.resamplers[port.band];
        let same = port.band == self.band;
        let silent = part == Part::None && (same || resampler.is_quiet());
        let mut out = [0i16; MAX_FRAME];
        let out = &mut out[..to];
        if !silent {
            resampler.process(said, out);
            limiter::accumulate(&mut self.sum, out);
        }
        if !self.writes || self.settings.stereo {
            return;
        }
        if !silent {
            let out = &out[..self.room(to)];
            self.overflowed += send(&self.frames, track.track, position, out, 1);
        } else if (self.ticks + track.track).is_multiple_of(STILL_TICKS) {
            self.overflowed += send(&self.frames, track.track, position, &[], 1);
        }
    }

    /// Ends the tick at `now`, when all is summed: writes the mix. Why it has stopped, if it has.
    pub(super) fn finish(&mut self, bands: &Bands, now: MediaTime) -> Option<TapStop> {
        let frame = frame_of(self.band);
        let mut rest = [0i32; MAX_FRAME];
        let rest = &mut rest[..frame];
        let (own, _) = self.rest_of(bands, self.band);
        rest.copy_from_slice(&own[..frame]);
        let mut paths = std::mem::take(&mut self.paths);
        for path in &mut paths {
            let (own, said) = self.rest_of(bands, path.from);
            path.add(&own, said, rest);
        }
        self.paths = paths;
        let status = if self.settings.stereo {
            self.push_both(rest, now)
        } else {
            self.push_mix(rest, now)
        };
        match status {
            TapStatus::Recording => None,
            TapStatus::Stopped(reason) => Some(reason),
        }
    }

    fn push_mix(&mut self, rest: &mut [i32], now: MediaTime) -> TapStatus {
        let frame = rest.len();
        if let Some(track) = self.settings.rest {
            self.take_rest(track, rest);
        }
        let mut mix = [0i16; MAX_FRAME];
        let mix = &mut mix[..frame];
        for (sum, rest) in self.sum.iter_mut().zip(&*rest) {
            *sum += *rest;
        }
        self.limiter.limit(&self.sum[..frame], mix);
        self.tap.push(mix, now)
    }

    fn push_both(&mut self, rest: &[i32], now: MediaTime) -> TapStatus {
        let frame = rest.len();
        let mut sides = [[0i16; MAX_FRAME]; 2];
        let [left, right] = &mut sides;
        self.limiter.limit(&self.sum[..frame], &mut left[..frame]);
        self.other.limit(rest, &mut right[..frame]);
        let mut both = [0i16; 2 * MAX_FRAME];
        for (pair, (left, right)) in both.chunks_exact_mut(2).zip(left.iter().zip(&*right)) {
            pair.copy_from_slice(&[*left, *right]);
        }
        self.tap.push(&both[..2 * frame], now)
    }

    /// How much of a tick's frame is still within the longest length.
    fn room(&self, frame: usize) -> usize {
        let max = self.settings.max_samples.unwrap_or(u64::MAX);
        let room = max.saturating_sub(self.tap.end_position());
        room.min(frame as u64) as usize
    }

    /// What of a band is in no track.
    fn rest_of(&self, bands: &Bands, band: usize) -> ([i32; MAX_FRAME], bool) {
        let (own, said) = bands.own(band);
        let mut rest = *own;
        if self.touched[band] {
            let frame = frame_of(band);
            for (rest, tracked) in rest[..frame].iter_mut().zip(&self.tracked[band]) {
                *rest -= tracked;
            }
        }
        (rest, said)
    }

    /// Writes the room's own track; what does not fit into it is not in the mix either.
    fn take_rest(&mut self, track: u64, rest: &mut [i32]) {
        let mut out = [0i16; MAX_FRAME];
        let out = &mut out[..rest.len()];
        limiter::limit_slice(rest, out);
        for (rest, out) in rest.iter_mut().zip(&*out) {
            *rest = i32::from(*out);
        }
        if !self.writes {
            return;
        }
        let position = self.tap.end_position();
        if rest.iter().any(|sample| *sample != 0) {
            let out = &out[..self.room(rest.len())];
            self.overflowed += send(&self.frames, track, position, out, 1);
        } else if self.ticks.is_multiple_of(STILL_TICKS) {
            self.overflowed += send(&self.frames, track, position, &[], 1);
        }
    }
}

/// A member's track in a recording of its room. Made on the control side, where it goes back to when
/// the member leaves or the recording ends.
#[derive(Debug)]
pub struct Track {
    /// The recording of the room that it belongs to.
    pub recording: u64,
    /// Its own handle, by which it is written.
    pub track: u64,
    /// Where it began and ended on the recording's time line, samples. None: it never began.
    pub span: Option<(u64, u64)>,
    band: usize,
    /// From each rate to the recording's.
    resamplers: [Resampler; BANDS],
}

impl Track {
    /// A track `track` of the room's recording `recording`, at its rate, Hz.
    pub fn new(recording: u64, track: u64, rate: u32) -> Box<Self> {
        let from = |hz| Resampler::new(hz, rate);
        Box::new(Self {
            recording,
            track,
            span: None,
            band: 0,
            resamplers: [from(NARROWBAND), from(WIDEBAND), from(FULLBAND)],
        })
    }

    fn follow(&mut self, band: usize, position: u64, frame: usize) {
        let end = position + frame as u64;
        match &mut self.span {
            Some((_, to)) => *to = end,
            None => self.span = Some((position, end)),
        }
        if self.band != band {
            self.band = band;
            self.resamplers[band].reset();
        }
    }
}
