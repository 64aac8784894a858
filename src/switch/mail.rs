//! Mailboxes as the switch knows them: answers that come in time, and PINs that are tried.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Event, MailboxRequest, Output, Switch};
use crate::app::{Happened, MessageOutcome};
use crate::call::CallHandle;

/// So many wrong PINs in a row, over all calls, lock a mailbox.
const MAX_FAILURES: u32 = 10;
/// For so long; each further one begins it anew.
const LOCKED: Duration = Duration::from_mins(5);

/// Wrong PINs by mailbox. Only those that exist get in: it is no larger than the configuration.
#[derive(Debug, Default)]
pub(super) struct Pins(HashMap<String, Tries>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    failures: u32,
    last: Instant,
}

impl Pins {
    /// Takes a try. Whether it opens the box; else how often it has failed in a row.
    fn try_pin(&mut self, mailbox: &str, right: bool, now: Instant) -> Result<(), u32> {
        let before = self.0.get(mailbox).copied();
        let locked = before.is_some_and(|tries| {
            tries.failures >= MAX_FAILURES && now.saturating_duration_since(tries.last) < LOCKED
        });
        if right && !locked {
            self.0.remove(mailbox);
            return Ok(());
        }
        // While it is locked, no try tells anything.
        let failures = before.map_or(0, |tries| tries.failures).saturating_add(1);
        let tries = Tries {
            failures,
            last: now,
        };
        self.0.insert(mailbox.to_owned(), tries);
        Err(failures)
    }
}

/// Rooms whose wrong PINs are remembered; the one that was tried longest ago is forgotten.
const MAX_ROOMS: usize = 4_096;

/// Wrong PINs by room. Patterns let callers name any number of rooms.
#[derive(Debug, Default)]
pub(super) struct RoomPins(Pins);

impl RoomPins {
    fn try_pin(&mut self, room: &str, right: bool, now: Instant) -> Result<(), u32> {
        let tries = &mut self.0.0;
        if tries.len() >= MAX_ROOMS && !tries.contains_key(room) {
            let oldest = tries.iter().min_by_key(|(_, tries)| tries.last);
            if let Some(oldest) = oldest.map(|(room, _)| room.clone()) {
                tries.remove(&oldest);
            }
        }
        self.0.try_pin(room, right, now)
    }
}

impl Switch {
    /// The same for a room as [`Switch::unlock`] for a box.
    pub(super) fn unlock_room(
        &mut self,
        handle: CallHandle,
        room: &str,
        right: bool,
        now: Instant,
    ) {
        let result = self.room_pins.try_pin(room, right, now);
        if let (Err(failures), Some(entry)) = (result, self.calls.get(&handle)) {
            let event = Event::RoomPinRefused {
                call_id: entry.call.call_id().to_owned(),
                flow: entry.call.flow(),
                room: room.to_owned(),
                failures,
            };
            self.outputs.push_back(Output::Event(event));
        }
        let happened = Happened::Unlocked(result.is_ok());
        self.with_call(handle, |c| c.happened(&happened, now));
    }

    /// What was to be a call's spoken name is in its file, or could not be.
    pub(super) fn name_recorded(
        &mut self,
        handle: CallHandle,
        recording: u64,
        kept: bool,
        now: Instant,
    ) {
        let entry = self.calls.get_mut(&handle);
        let Some(entry) = entry.filter(|entry| entry.naming == Some(recording)) else {
            return;
        };
        entry.naming = None;
        let happened = Happened::NameRecorded(kept.then_some(recording));
        self.with_call(handle, |c| c.happened(&happened, now));
    }

    pub(super) fn unlock(&mut self, handle: CallHandle, mailbox: &str, right: bool, now: Instant) {
        let result = self.pins.try_pin(mailbox, right, now);
        if let (Err(failures), Some(entry)) = (result, self.calls.get(&handle)) {
            let event = Event::PinRefused {
                call_id: entry.call.call_id().to_owned(),
                flow: entry.call.flow(),
                mailbox: mailbox.to_owned(),
                failures,
            };
            self.outputs.push_back(Output::Event(event));
        }
        let happened = Happened::Unlocked(result.is_ok());
        self.with_call(handle, |c| c.happened(&happened, now));
    }

    pub(super) fn mailbox(&mut self, handle: CallHandle, request: MailboxRequest) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        entry.mailbox_request += 1;
        self.outputs.push_back(Output::Mailbox {
            call: handle,
            call_id: entry.call.call_id().to_owned(),
            number: entry.mailbox_request,
            request,
        });
    }

    /// An answer to any but the last request comes too late: the application has gone on, maybe to
    /// another box.
    pub(super) fn mailbox_answered(
        &mut self,
        handle: CallHandle,
        request: u64,
        happened: &Happened,
        now: Instant,
    ) {
        let entry = self.calls.get(&handle);
        if entry.is_some_and(|e| e.mailbox_request == request) {
            self.with_call(handle, |c| c.happened(happened, now));
        }
    }

    /// The same for a message that was left.
    pub(super) fn message_left(
        &mut self,
        handle: CallHandle,
        recording: u64,
        outcome: MessageOutcome,
        now: Instant,
    ) {
        let entry = self.calls.get(&handle);
        if entry.is_some_and(|e| e.message == Some(recording)) {
            let happened = Happened::MessageLeft(outcome);
            self.with_call(handle, |c| c.happened(&happened, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_pins_lock_a_box_for_five_minutes() {
        let mut pins = Pins::default();
        let start = Instant::now();
        for n in 1..10 {
            assert_eq!(pins.try_pin("100", false, start), Err(n));
        }
        assert_eq!(
            pins.try_pin("100", true, start),
            Ok(()),
            "nine are forgiven"
        );
        for n in 1..=10 {
            assert_eq!(pins.try_pin("100", false, start), Err(n));
        }
        let soon = start + Duration::from_secs(299);
        assert_eq!(pins.try_pin("100", true, soon), Err(11), "locked");
        assert_eq!(
            pins.try_pin("200", true, soon),
            Ok(()),
            "another box is not"
        );
        let later = soon + Duration::from_secs(299);
        assert_eq!(
            pins.try_pin("100", true, later),
            Err(12),
            "a try begins it anew"
        );
        assert_eq!(pins.try_pin("100", true, later + LOCKED), Ok(()));
    }

    #[test]
    fn rooms_that_callers_make_up_displace_the_oldest() {
        let mut pins = RoomPins::default();
        let start = Instant::now();
        for n in 0..MAX_ROOMS as u64 + 10 {
            let now = start + Duration::from_millis(n);
            assert_eq!(pins.try_pin(&n.to_string(), false, now), Err(1));
        }
        assert_eq!(pins.0.0.len(), MAX_ROOMS);
        let later = start + Duration::from_secs(10);
        assert_eq!(pins.try_pin("9", false, later), Err(1), "forgotten");
        assert_eq!(pins.try_pin("4000", false, later), Err(2));
    }
}
