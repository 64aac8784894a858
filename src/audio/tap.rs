//! The recorder tap: copies what a leg hears into the recorder's queue.
//!
//! Runs on the media thread, behind the playout, at 8 kHz. Positions follow media time, so
//! that a skipped tick becomes silence; where the queue is full the frame is counted and left
//! out, and the writer fills its place. Nothing here allocates, frees or waits. Rx is the
//! server's.

use crossbeam_channel::Sender;

use super::{MediaTime, NARROWBAND, TICK_SAMPLES, level};

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
        let skipped = self.skip_to(now);
        let max = self.settings.max_samples.unwrap_or(u64::MAX);
        let mut rest =
            &frame[..(max.saturating_sub(self.position)).min(frame.len() as u64) as usize];
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(MAX_FRAME));
            self.send(head);
            rest = tail;
        }
        if self.position >= max {
            self.position = max;
            self.stopped = Some(TapStop::MaxLength);
        } else if self.is_silent(frame, skipped) {
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
        self.position
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
            .samples(NARROWBAND)
            .saturating_sub(self.settings.start.samples(NARROWBAND));
        let tick = TICK_SAMPLES as u64;
        let skipped = (elapsed.saturating_sub(self.position) + tick / 2) / tick * tick;
        self.position += skipped;
        skipped
    }

    fn send(&mut self, samples: &[i16]) {
        let mut frame = RecordFrame {
            recording: self.settings.recording,
            position: self.position,
            len: samples.len() as u16,
            samples: [0; MAX_FRAME],
        };
        frame.samples[..samples.len()].copy_from_slice(samples);
        if self.frames.try_send(frame).is_err() {
            self.overflowed += samples.len() as u64;
        }
        self.position += samples.len() as u64;
    }

    fn is_silent(&mut self, frame: &[i16], skipped: u64) -> bool {
        let Some(limit) = self.settings.silence_stop_samples else {
            return false;
        };
        if level::mean_square(frame) >= self.silence_threshold {
            self.silent_samples = 0;
        } else {
            self.silent_samples += skipped + frame.len() as u64;
        }
        self.silent_samples >= limit
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, bounded};

    use super::*;

    const START: MediaTime = MediaTime::from_millis(5_003);

    fn tap(max: Option<u64>, silence: Option<u64>, room: usize) -> (Tap, Receiver<RecordFrame>) {
        let (tx, rx) = bounded(room);
        let settings = TapSettings {
            recording: 7,
            max_samples: max,
            silence_stop_samples: silence,
            start: START,
        };
        (Tap::new(settings, tx), rx)
    }

    fn at_us(us: i64) -> MediaTime {
        MediaTime::from_micros((START.as_micros() as i64 + us) as u64)
    }

    fn positions(rx: &Receiver<RecordFrame>) -> Vec<u64> {
        rx.try_iter().map(|frame| frame.position).collect()
    }

    #[test]
    fn a_skipped_tick_leaves_its_place_empty() {
        let (mut tap, rx) = tap(None, None, 16);
        for tick in [0, 1, 4, 5] {
            assert_eq!(
                tap.push(&[1; 160], at_us(tick * 20_000)),
                TapStatus::Recording
            );
        }
        assert_eq!(positions(&rx), [0, 160, 640, 800]);
        assert_eq!(tap.end_position(), 960);
    }

    #[test]
    fn a_moving_phase_neither_cuts_nor_stretches() {
        let (mut tap, rx) = tap(None, None, 64);
        for tick in 0..50 {
            let phase = [0, 900, 1800, 900, -900][tick as usize % 5];
            tap.push(&[1; 160], at_us((tick * 20_000 + phase).max(0)));
        }
        assert_eq!(positions(&rx), (0..50).map(|n| n * 160).collect::<Vec<_>>());
    }

    #[test]
    fn a_skip_shows_even_when_the_phase_has_moved_to_earlier() {
        let (mut tap, rx) = tap(None, None, 64);
        tap.push(&[1; 160], at_us(0));
        tap.push(&[1; 160], at_us(20_000 - 1000));
        // The tick at 40 ms is skipped, and the phase is 2 ms early by now.
        tap.push(&[1; 160], at_us(60_000 - 2000));
        assert_eq!(positions(&rx), [0, 160, 480]);
    }

    #[test]
    fn a_full_queue_is_counted_and_the_time_line_stays() {
        let (mut tap, rx) = tap(None, None, 2);
        for tick in 0..4 {
            tap.push(&[1; 160], at_us(tick * 20_000));
        }
        assert_eq!(
            (positions(&rx), tap.overflowed_samples()),
            (vec![0, 160], 320)
        );
        tap.push(&[1; 160], at_us(80_000));
        assert_eq!(positions(&rx), [640]);
    }

    #[test]
    fn stops_at_the_very_sample_of_the_maximum() {
        let (mut tap, rx) = tap(Some(200), None, 16);
        assert_eq!(tap.push(&[1; 160], at_us(0)), TapStatus::Recording);
        let stopped = TapStatus::Stopped(TapStop::MaxLength);
        assert_eq!(tap.push(&[1; 160], at_us(20_000)), stopped);
        assert_eq!(tap.push(&[1; 160], at_us(40_000)), stopped);
        assert_eq!(rx.try_iter().map(|f| f.len).collect::<Vec<_>>(), [160, 40]);
        assert_eq!(tap.end_position(), 200);
    }

    #[test]
    fn stops_on_unbroken_silence_only() {
        let (mut tap, _rx) = tap(None, Some(800), 64);
        let loud = [3000; 160];
        let pattern = [
            true, false, false, false, false, true, false, false, false, false,
        ];
        for (tick, is_loud) in pattern.iter().enumerate() {
            let frame = if *is_loud { &loud } else { &[10; 160] };
            assert_eq!(
                tap.push(frame, at_us(tick as i64 * 20_000)),
                TapStatus::Recording
            );
        }
        assert_eq!(
            tap.push(&[0; 160], at_us(200_000)),
            TapStatus::Stopped(TapStop::Silence)
        );
    }
}
