//! Recordings of programs from their end until their files are closed: only then is a program told
//! that one is finished, and how long it is. So is one that has lost its call or bridge meanwhile.

use std::time::{Duration, Instant};

use super::bridges::{BridgeEvent, BridgeNumber};
use super::{Event, Output, Switch};
use crate::app::{Happened, OrderEnd, RecordOutcome, Report};
use crate::audio::tap::RecordControl;
use crate::call::CallHandle;

/// A recording of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recording {
    pub number: u64,
    /// The leg records; before, its file is being opened.
    pub running: bool,
    /// It is to stop as soon as it has begun.
    pub stop: bool,
    /// The number by which a program knows it.
    pub order: Option<u32>,
    /// Nothing of it is to be kept.
    pub discarded: bool,
    /// How it is to begin, where that was asked for while its file is being opened; the last counts.
    pub control: Option<RecordControl>,
}

impl Recording {
    /// One whose file is to be opened.
    pub fn new(number: u64, order: Option<u32>) -> Self {
        Self {
            number,
            running: false,
            stop: false,
            order,
            discarded: false,
            control: None,
        }
    }
}

/// A recording whose file is not closed yet.
#[derive(Debug)]
pub(super) struct Closing {
    whose: Whose,
    /// What the program has ordered it by.
    order: Option<u32>,
    outcome: RecordOutcome,
    length: Duration,
    /// Its call or bridge is not the program's any more, or is gone.
    left: bool,
    discarded: bool,
}

/// Who records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Call(CallHandle),
    Bridge(BridgeNumber),
}

impl Switch {
    /// Nothing more is recorded: what remains is to close the file.
    pub(super) fn record_over(
        &mut self,
        whose: Whose,
        recording: Option<Recording>,
        number: u64,
        (outcome, length): (RecordOutcome, Duration),
    ) {
        if self.left_recording_over(number, length) {
            return;
        }
        let closing = Closing {
            whose,
            order: recording.and_then(|recording| recording.order),
            outcome,
            length,
            left: false,
            discarded: recording.is_some_and(|recording| recording.discarded),
        };
        self.bridges.closing.insert(number, closing);
    }

    /// The same of one whose program has left. Whether it is one.
    pub(super) fn left_recording_over(&mut self, number: u64, length: Duration) -> bool {
        let closing = self.bridges.closing.get_mut(&number);
        closing.is_some_and(|closing| {
            closing.length = length;
            closing.left
        })
    }

    /// What a call or a bridge still records is not its business any more; who has ordered it is
    /// told when it is closed.
    pub(super) fn orphan_recordings(&mut self, whose: Whose) {
        let running = match whose {
            Whose::Call(call) => self.calls.get(&call).and_then(|entry| entry.recording),
            Whose::Bridge(bridge) => self.bridges.all.get(&bridge).and_then(|b| b.recording),
        };
        if let Some(recording) = running.filter(|recording| recording.order.is_some()) {
            let stopped = (RecordOutcome::Stopped, Duration::ZERO);
            self.record_over(whose, Some(recording), recording.number, stopped);
        }
        for closing in self.bridges.closing.values_mut() {
            closing.left |= closing.whose == whose;
        }
    }

    /// The file of a recording is closed: its program is told.
    pub(super) fn recording_closed(&mut self, recording: u64, now: Instant) {
        if let Some(closing) = self.bridges.closing.remove(&recording) {
            self.tell_recorded(closing, now);
        }
    }

    /// The last of a recording could not be written. Whether its file was being closed.
    pub(super) fn closing_failed(&mut self, recording: u64, error: &str, now: Instant) -> bool {
        let Some(mut closing) = self.bridges.closing.remove(&recording) else {
            return false;
        };
        // Its end may still come; nobody waits for it.
        self.recordings.remove(&recording);
        self.bridges.recordings.remove(&recording);
        closing.outcome = RecordOutcome::Failed(error.to_owned());
        if let Whose::Call(call) = closing.whose
            && let Some(entry) = self.calls.get(&call)
        {
            let event = Event::RecordingFailed {
                call_id: entry.call.call_id().to_owned(),
                error: error.to_owned(),
            };
            self.outputs.push_back(Output::Event(event));
        }
        self.tell_recorded(closing, now);
        true
    }

    fn tell_recorded(&mut self, closing: Closing, now: Instant) {
        let is_up = match closing.whose {
            // One that ends is told of nothing any more.
            Whose::Call(call) => self
                .calls
                .get(&call)
                .is_some_and(|e| e.call.is_established()),
            Whose::Bridge(bridge) => self.bridges.all.contains_key(&bridge),
        };
        if closing.left || !is_up {
            self.report_left(closing);
            return;
        }
        let happened = Happened::RecordEnded(closing.outcome, closing.length);
        match closing.whose {
            Whose::Call(call) => {
                self.with_call(call, |c| c.happened(&happened, now));
            }
            Whose::Bridge(bridge) => self.recorder_of_bridge(bridge, &happened, now),
        }
    }

    fn report_left(&mut self, closing: Closing) {
        let Some(order) = closing.order else { return };
        let how = match closing.outcome {
            RecordOutcome::Failed(error) | RecordOutcome::NotBegun(error) => Err(error),
            _ if closing.discarded => Ok(OrderEnd::Discarded),
            _ => Ok(OrderEnd::Finished),
        };
        let report = Report::Ended(order, how, closing.length);
        match closing.whose {
            Whose::Call(call) => self.reported(call, report),
            Whose::Bridge(bridge) => self.tell_of_bridge(bridge, BridgeEvent::Reported(report)),
        }
    }

    /// Nothing is to be kept of what a call or a bridge records, or of what it has just recorded and
    /// whose file is being closed.
    pub(super) fn discard_recording(&mut self, whose: Whose) {
        let running = match whose {
            Whose::Call(call) => {
                let entry = self.calls.get_mut(&call);
                entry.and_then(|entry| entry.recording.as_mut())
            }
            Whose::Bridge(bridge) => {
                let bridge = self.bridges.all.get_mut(&bridge);
                bridge.and_then(|bridge| bridge.recording.as_mut())
            }
        };
        let number = if let Some(recording) = running {
            recording.discarded = true;
            recording.number
        } else {
            let mut closing = self.bridges.closing.iter_mut();
            let its = closing.find(|(_, closing)| closing.whose == whose && !closing.left);
            let Some((number, closing)) = its else {
                return;
            };
            closing.discarded = true;
            *number
        };
        self.outputs.push_back(Output::DiscardRecording(number));
    }
}
