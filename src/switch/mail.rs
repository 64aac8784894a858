//! Mailboxes as the switch knows them: answers that come in time, and PINs that are tried.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::{Event, MailboxRequest, Output, Switch};
use crate::app::room::{PinTry, Role};
use crate::app::{Happened, MessageOutcome};
use crate::call::CallHandle;

/// So many wrong PINs, over all calls, lock what they were tried at.
const MAX_FAILURES: u32 = 10;
/// For so long; and one of them is forgotten for each such time without any.
const LOCKED: Duration = Duration::from_mins(5);

/// Wrong PINs, by mailbox if not by something else. Only what exists gets in: it is no larger than the
/// configuration.
#[derive(Debug, Default)]
pub(super) struct Pins<K = String>(HashMap<K, Tries>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    failures: u32,
    last: Instant,
}

impl Tries {
    fn are_locked(&self, now: Instant) -> bool {
        self.failures >= MAX_FAILURES && now.saturating_duration_since(self.last) < LOCKED
    }

    /// The same with one more.
    fn and_one(self, now: Instant) -> Self {
        let quiet = now.saturating_duration_since(self.last).as_secs() / LOCKED.as_secs();
        let forgotten = u32::try_from(quiet).unwrap_or(u32::MAX);
        Self {
            failures: self.failures.saturating_sub(forgotten) + 1,
            last: now,
        }
    }
}

impl<K: Eq + Hash> Pins<K> {
    /// Takes a try. Whether it opens; else how many have failed.
    fn try_pin(&mut self, at: K, right: bool, now: Instant) -> Result<(), u32> {
        let before = self.0.get(&at).copied();
        if let Some(locked) = before.filter(|tries| tries.are_locked(now)) {
            // No try tells anything, and none counts: whoever has the right PIN would else keep it locked.
            return Err(locked.failures);
        }
        if right {
            self.0.remove(&at);
            return Ok(());
        }
        let none = Tries {
            failures: 0,
            last: now,
        };
        let tries = before.unwrap_or(none).and_one(now);
        self.0.insert(at, tries);
        Err(tries.failures)
    }
}

/// Wrong PINs of rooms, by entry of the configuration, since callers can name any number of rooms that
/// match a pattern; moderators' apart from members', so that nobody clears what it has tried at the one by
/// the other.
#[derive(Debug, Default)]
pub(super) struct RoomPins(Pins<(String, Role)>);

impl RoomPins {
    fn try_pin(&mut self, tried: &PinTry, now: Instant) -> Result<(), u32> {
        let mut at = |role, right| self.0.try_pin((tried.entry.clone(), role), right, now);
        if let Some(role) = tried.opens {
            return at(role, true);
        }
        let failures = tried.at.iter().filter_map(|role| at(*role, false).err());
        Err(failures.max().unwrap_or(1))
    }
}

impl Switch {
    /// The same for a room as [`Switch::unlock`] for a box.
    pub(super) fn unlock_room(&mut self, handle: CallHandle, tried: &PinTry, now: Instant) {
        let result = self.room_pins.try_pin(tried, now);
        if let (Err(failures), Some(entry)) = (result, self.calls.get(&handle)) {
            let event = Event::RoomPinRefused {
                call_id: entry.call.call_id().to_owned(),
                flow: entry.call.flow(),
                room: tried.room.clone(),
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
        let result = self.pins.try_pin(mailbox.to_owned(), right, now);
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

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn ten_wrong_pins_lock_a_box_for_five_minutes_and_no_longer() {
        let mut pins = Pins::default();
        let start = Instant::now();
        let mut try_at = |number: &str, right, at| pins.try_pin(number.to_owned(), right, at);
        for n in 1..10 {
            assert_eq!(try_at("100", false, start), Err(n));
        }
        assert_eq!(try_at("100", true, start), Ok(()), "nine are forgiven");
        for n in 1..=10 {
            assert_eq!(try_at("100", false, start), Err(n));
        }
        // Neither the right one nor a wrong one makes it longer.
        for right in [true, false, true] {
            let soon = after(start, 299);
            assert_eq!(try_at("100", right, soon), Err(10), "locked");
        }
        let another = try_at("200", true, after(start, 299));
        assert_eq!(another, Ok(()), "another box is not");
        // The next wrong one locks it again, for as long.
        assert_eq!(try_at("100", false, after(start, 300)), Err(10));
        assert_eq!(try_at("100", true, after(start, 599)), Err(10));
        assert_eq!(try_at("100", true, after(start, 600)), Ok(()));
        assert_eq!(try_at("100", false, after(start, 600)), Err(1));
    }

    #[test]
    fn one_is_forgotten_for_each_five_minutes_without_any() {
        let mut pins = Pins::default();
        let start = Instant::now();
        let mut wrong = |at| pins.try_pin("100", false, at);
        for n in 1..10 {
            assert_eq!(wrong(start), Err(n));
        }
        assert_eq!(wrong(after(start, 15 * 60)), Err(7));
        assert_eq!(wrong(after(start, 24 * 60 * 60)), Err(1));
    }

    fn tried(entry: &str, opens: Option<Role>) -> PinTry {
        PinTry {
            room: "600".to_owned(),
            entry: entry.to_owned(),
            at: vec![Role::Member, Role::Moderator],
            opens,
        }
    }

    #[test]
    fn who_knows_the_members_pin_does_not_guess_the_moderators_for_ever() {
        let mut pins = RoomPins::default();
        let now = Instant::now();
        let mut try_at = |opens, at| pins.try_pin(&tried("6..", opens), at);
        for n in 1..=9 {
            assert_eq!(try_at(None, now), Err(n));
            assert_eq!(try_at(Some(Role::Member), now), Ok(()));
        }
        assert_eq!(try_at(None, now), Err(10));
        assert_eq!(try_at(Some(Role::Moderator), now), Err(10), "locked");
        assert_eq!(try_at(Some(Role::Member), now), Ok(()), "and they are not");
        let later = after(now, 300);
        assert_eq!(try_at(Some(Role::Moderator), later), Ok(()));
        assert_eq!(try_at(None, later), Err(1));
        let other = pins.try_pin(&tried("7..", Some(Role::Moderator)), now);
        assert_eq!(other, Ok(()));
    }

    #[test]
    fn a_room_without_a_pin_for_members_counts_for_moderators_alone() {
        let mut pins = RoomPins::default();
        let now = Instant::now();
        let wrong = PinTry {
            at: vec![Role::Moderator],
            ..tried("600", None)
        };
        for n in 1..=3 {
            assert_eq!(pins.try_pin(&wrong, now), Err(n));
        }
        let moderator = tried("600", Some(Role::Moderator));
        assert_eq!(pins.try_pin(&moderator, now), Ok(()));
        assert_eq!(pins.try_pin(&wrong, now), Err(1));
    }
}
