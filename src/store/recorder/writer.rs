//! The writer thread's loop.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use super::file::Recording;
use super::{Control, RecorderEvent, RecorderSettings};
use crate::leg::tap::RecordFrame;
use crate::wav::WavError;

/// How often the frames are looked at while anything is recorded; those of 400 legs have room for
/// 400 ms.
const POLL: Duration = Duration::from_millis(10);
/// The same while nothing is: what comes then belongs to no recording.
const IDLE_POLL: Duration = Duration::from_millis(250);

pub(super) struct WriterThread<T> {
    settings: RecorderSettings,
    frames: Receiver<RecordFrame>,
    control: Receiver<Control>,
    events: Sender<RecorderEvent>,
    /// Events that found the queue full: none is lost.
    backlog: VecDeque<RecorderEvent>,
    open: HashMap<u64, Entry>,
    closing: Vec<(u64, u64)>,
    /// Called when there is a new event in the queue.
    tell: T,
}

struct Entry {
    recording: Box<Recording>,
    flush_due: Instant,
    dirty: bool,
}

impl<T: Fn()> WriterThread<T> {
    pub(super) fn new(
        settings: RecorderSettings,
        frames: Receiver<RecordFrame>,
        control: Receiver<Control>,
        events: Sender<RecorderEvent>,
        tell: T,
    ) -> Self {
        Self {
            settings,
            frames,
            control,
            events,
            backlog: VecDeque::new(),
            open: HashMap::new(),
            closing: Vec::new(),
            tell,
        }
    }

    pub(super) fn run(mut self, stop: &AtomicBool) {
        loop {
            // Read before the queues, so that what was sent before the stop is still written.
            let stopping = stop.load(Ordering::Acquire);
            self.round();
            if stopping {
                break;
            }
            self.wait();
        }
        for (id, end_position) in std::mem::take(&mut self.closing) {
            self.finish(id, Some(end_position));
        }
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            self.finish(id, None);
        }
        self.send_events();
    }

    /// Sleeps until the control side wants something, or it is time to look at the frames.
    fn wait(&mut self) {
        let idle = self.open.is_empty() && self.closing.is_empty() && self.backlog.is_empty();
        let time = if idle { IDLE_POLL } else { POLL };
        match self.control.recv_timeout(time) {
            Ok(control) => self.take(control),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL),
        }
    }

    fn round(&mut self) {
        self.take_control();
        // Frames and closes come by different queues. Those closed so far have sent their last
        // frame before, so it is in the queue now; later closes wait for the next round.
        let closing = std::mem::take(&mut self.closing);
        for _ in 0..self.frames.len() {
            let Ok(frame) = self.frames.try_recv() else {
                break;
            };
            self.write(&frame);
        }
        for (id, end_position) in closing {
            self.finish(id, Some(end_position));
        }
        self.flush_due();
        self.send_events();
    }

    fn take_control(&mut self) {
        while let Ok(control) = self.control.try_recv() {
            self.take(control);
        }
    }

    fn take(&mut self, control: Control) {
        match control {
            Control::Open(recording) => {
                let flush_due = Instant::now() + self.settings.flush_every;
                let entry = Entry {
                    recording,
                    flush_due,
                    dirty: false,
                };
                self.open.insert(entry.recording.id(), entry);
            }
            Control::Close { id, end_position } => self.closing.push((id, end_position)),
            Control::Stop => {}
        }
    }

    fn write(&mut self, frame: &RecordFrame) {
        if !self.open.contains_key(&frame.recording) {
            // Opened since the control queue was looked at; or failed, and then left out.
            self.take_control();
        }
        let Some(entry) = self.open.get_mut(&frame.recording) else {
            return;
        };
        entry.dirty = true;
        let result = entry.recording.write(frame);
        for (full, path, from) in entry.recording.rolled_over.drain(..) {
            let id = frame.recording;
            self.backlog.push_back(RecorderEvent::RolledOver {
                id,
                full,
                path,
                from,
            });
        }
        if let Err(error) = result {
            self.fail(frame.recording, &error);
        }
    }

    fn flush_due(&mut self) {
        let now = Instant::now();
        let mut failed = Vec::new();
        for (id, entry) in &mut self.open {
            if !entry.dirty || now < entry.flush_due {
                continue;
            }
            entry.dirty = false;
            entry.flush_due = now + self.settings.flush_every;
            let space = self.settings.space;
            let result = entry.recording.flush().and_then(|()| match space {
                Some(limit) => limit
                    .check(entry.recording.directory())
                    .map_err(|error| io::Error::other(error).into()),
                None => Ok(()),
            });
            if let Err(error) = result {
                failed.push((*id, error));
            }
        }
        for (id, error) in failed {
            self.fail(id, &error);
        }
    }

    /// Closes a recording; none: nobody has said where it ends.
    fn finish(&mut self, id: u64, end_position: Option<u64>) {
        let Some(entry) = self.open.get_mut(&id) else {
            return;
        };
        let recording = &mut entry.recording;
        let result = recording
            .fill_to(end_position.unwrap_or(0))
            .and_then(|()| recording.finish());
        for (full, path, from) in recording.rolled_over.drain(..) {
            self.backlog.push_back(RecorderEvent::RolledOver {
                id,
                full,
                path,
                from,
            });
        }
        if let Err(error) = result {
            self.fail(id, &error);
            return;
        }
        let Some(Entry { recording, .. }) = self.open.remove(&id) else {
            return;
        };
        let (path, rate) = (recording.path().to_owned(), recording.rate());
        let overflow_filled = recording.filled();
        self.backlog.push_back(RecorderEvent::Closed {
            id,
            path,
            samples: recording.close(end_position),
            rate,
            overflow_filled,
        });
    }

    fn fail(&mut self, id: u64, error: &WavError) {
        let Some(mut entry) = self.open.remove(&id) else {
            return;
        };
        // Some of it may still fit, and the header then counts it.
        let _ = entry.recording.flush();
        let path = entry.recording.path().to_owned();
        tracing::error!(recording = id, path = %path.display(), %error, "recording ended");
        self.backlog.push_back(RecorderEvent::Failed {
            id,
            path,
            error: error.to_string(),
            samples: entry.recording.safe_samples(),
            rate: entry.recording.rate(),
        });
    }

    fn send_events(&mut self) {
        let mut told = false;
        while let Some(event) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.backlog.push_front(event);
                break;
            }
            told = true;
        }
        if told {
            (self.tell)();
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::super::{Container, RecordingFormat};
    use super::*;
    use crate::leg::tap::MAX_FRAME;

    const WAV: RecordingFormat = RecordingFormat {
        rate: 8000,
        stereo: false,
        container: Container::Wav,
        split_samples: None,
        sparse: false,
    };

    /// The frame's queue may be looked at just after the control queue, and an opening with
    /// its first frame slip in between.
    #[test]
    fn a_frame_that_comes_before_its_opening_is_seen_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (_frames_in, frames) = bounded(8);
        let (control_in, control) = bounded(8);
        let (events, events_out) = bounded(8);
        let settings = RecorderSettings::default();
        let mut writer = WriterThread::new(settings, frames, control, events, || {});
        writer.take_control();
        let path = dir.path().join("a.wav");
        let recording = Recording::create(5, &path, &WAV, u64::MAX).unwrap();
        control_in.send(Control::Open(Box::new(recording))).unwrap();
        writer.write(&RecordFrame {
            recording: 5,
            position: 0,
            len: 160,
            samples: [1; MAX_FRAME],
        });
        control_in
            .send(Control::Close {
                id: 5,
                end_position: 160,
            })
            .unwrap();
        writer.round();
        assert_eq!(
            events_out.try_recv(),
            Ok(RecorderEvent::Closed {
                id: 5,
                path,
                samples: 160,
                rate: 8000,
                overflow_filled: 0
            })
        );
    }

    #[test]
    fn no_event_is_lost_where_nobody_listens_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let (_frames_in, frames) = bounded(8);
        let (control_in, control) = bounded(64);
        let (events, events_out) = bounded(1);
        let settings = RecorderSettings::default();
        let mut writer = WriterThread::new(settings, frames, control, events, || {});
        for id in 0..10 {
            let path = dir.path().join(format!("{id}.wav"));
            let recording = Recording::create(id, &path, &WAV, u64::MAX).unwrap();
            control_in.send(Control::Open(Box::new(recording))).unwrap();
            control_in
                .send(Control::Close {
                    id,
                    end_position: 0,
                })
                .unwrap();
        }
        let mut heard = 0;
        for _ in 0..10 {
            writer.round();
            heard += events_out.try_iter().count();
        }
        assert_eq!(heard, 10);
    }
}
