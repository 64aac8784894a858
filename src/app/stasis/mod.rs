//! A call that a program drives: it does what it is told, one thing after the other, and tells what
//! came of it.
//!
//! ```text
//! Order::Play, Order::Record --> queue --> one at a time --> Report::Started ... Report::Ended
//! Order::SendDigits --> queue of its own
//! Order::Music: heard while nothing is played
//! ```
//!
//! Orders that come before the call is established wait for that.

mod order;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{
    Action, Actions, DtmfMethod, Happened, Machine, PlayId, PlayItem, PlayOutcome, RecordOutcome,
    beep,
};
use crate::dtmf::Digit;

pub use order::{
    FIRST_ORDER, LAST_ORDER, Order, OrderEnd, PlayChange, RecordChange, RecordOrder, Report,
    StasisSpec, StopOn,
};

/// Plays and recordings of a call that wait for their turn; further ones fail.
const MAX_QUEUED: usize = 32;
/// Strings of digits that do.
const MAX_DIALS: usize = 16;
/// The machine's own plays, music and beeps, have so many numbers, above all orders: each has one of
/// its own, since the end of an earlier one may be told late.
const OWN_PLAYS: u32 = u32::MAX - LAST_ORDER;

/// What is done now.
#[derive(Debug)]
enum Task {
    Play(u32, Vec<PlayItem>, u32),
    Record(u32, RecordOrder),
}

impl Task {
    fn number(&self) -> u32 {
        match self {
            Task::Play(number, ..) | Task::Record(number, _) => *number,
        }
    }
}

#[derive(Debug)]
enum Active {
    Playing(u32),
    /// The beep before a recording.
    Beeping(u32, RecordOrder, PlayId),
    Recording(u32, StopOn),
    /// A recording that is told to end, and whether it is to be kept.
    Ending(u32, OrderEnd),
}

#[derive(Debug, Default)]
pub(super) struct Driven {
    established: bool,
    queue: VecDeque<Task>,
    active: Option<Active>,
    music: Option<Vec<PlayItem>>,
    /// The play of the music, until something else takes its place.
    music_plays: Option<PlayId>,
    /// Counts the machine's own plays.
    own_plays: u32,
    dials: VecDeque<(Vec<Digit>, Duration, Duration)>,
    dialling: bool,
}

impl Driven {
    fn order(&mut self, order: &Order, out: &mut Actions) {
        match order {
            Order::Play(number, items, repeat) => {
                self.enqueue(Task::Play(*number, items.clone(), *repeat), out);
            }
            Order::Record(number, record) => {
                self.enqueue(Task::Record(*number, record.clone()), out);
            }
            Order::Stop(number) => self.stop(*number, OrderEnd::Stopped, out),
            Order::Discard(number) => self.stop(*number, OrderEnd::Discarded, out),
            Order::Change(number, change) => {
                if matches!(self.active, Some(Active::Playing(playing)) if playing == *number) {
                    out.push_back(Action::ControlPlay(*change));
                }
            }
            Order::ChangeRecord(number, change) => {
                if matches!(self.active, Some(Active::Recording(active, _)) if active == *number) {
                    out.push_back(Action::ControlRecord(*change));
                }
            }
            Order::Music(music) => {
                let plays = self.plays_music();
                self.music.clone_from(music);
                if self.plays_music() {
                    self.play_music(out);
                } else if plays {
                    self.music_plays = None;
                    out.push_back(Action::StopPlay);
                }
            }
            Order::SendDigits {
                digits,
                tone,
                pause,
            } => {
                if self.dials.len() < MAX_DIALS {
                    self.dials.push_back((digits.clone(), *tone, *pause));
                }
                self.dial(out);
            }
        }
    }

    fn enqueue(&mut self, task: Task, out: &mut Actions) {
        if self.queue.len() >= MAX_QUEUED {
            let full = Err("too much waits to be played or recorded".to_owned());
            let report = Report::Ended(task.number(), full, Duration::ZERO);
            out.push_back(Action::Report(report));
            return;
        }
        self.queue.push_back(task);
        self.go_on(out);
    }

    /// Whether music is heard now, or would be.
    fn plays_music(&self) -> bool {
        self.established
            && self.music.is_some()
            && !matches!(self.active, Some(Active::Playing(_) | Active::Beeping(..)))
    }

    /// A number for a play that nobody has ordered.
    fn own_play(&mut self) -> PlayId {
        self.own_plays = (self.own_plays + 1) % OWN_PLAYS;
        PlayId(u32::MAX - self.own_plays)
    }

    /// Begins the music where it is to be heard and is not.
    fn go_on_with_music(&mut self, out: &mut Actions) {
        if self.plays_music() && self.music_plays.is_none() {
            self.play_music(out);
        }
    }

    fn play_music(&mut self, out: &mut Actions) {
        let id = self.own_play();
        if let Some(items) = &self.music {
            self.music_plays = Some(id);
            out.push_back(Action::Play {
                id,
                items: items.clone(),
                repeat: 0,
                gap: Duration::ZERO,
            });
        }
    }

    /// Begins what is next, where nothing is under way.
    fn go_on(&mut self, out: &mut Actions) {
        if !self.established || self.active.is_some() {
            return;
        }
        match self.queue.pop_front() {
            Some(Task::Play(number, items, repeat)) => {
                self.active = Some(Active::Playing(number));
                self.music_plays = None;
                out.push_back(Action::Report(Report::Started(number)));
                out.push_back(Action::Play {
                    id: PlayId(number),
                    items,
                    repeat,
                    gap: Duration::ZERO,
                });
            }
            Some(Task::Record(number, order)) if order.beep => {
                let id = self.own_play();
                self.active = Some(Active::Beeping(number, order, id));
                self.music_plays = None;
                out.push_back(Action::play(id, vec![beep()]));
            }
            Some(Task::Record(number, order)) => self.record(number, order, out),
            None => {}
        }
    }

    fn record(&mut self, number: u32, order: RecordOrder, out: &mut Actions) {
        self.active = Some(Active::Recording(number, order.stop_on));
        out.push_back(Action::Report(Report::Started(number)));
        out.push_back(Action::RecordNamed {
            order: number,
            name: order.name,
            overwrite: order.overwrite,
            max: order.max,
            silence: order.silence,
        });
    }

    fn stop(&mut self, number: u32, how: OrderEnd, out: &mut Actions) {
        match self.active.take() {
            Some(Active::Playing(playing)) if playing == number => {
                // Its end is told by the media.
                self.active = Some(Active::Playing(playing));
                out.push_back(Action::StopPlay);
            }
            Some(Active::Beeping(beeping, ..)) if beeping == number => {
                out.push_back(Action::StopPlay);
                self.ended(number, Ok(how), Duration::ZERO, out);
            }
            Some(Active::Recording(recording, _) | Active::Ending(recording, _))
                if recording == number =>
            {
                self.active = Some(Active::Ending(number, how));
                if how == OrderEnd::Discarded {
                    out.push_back(Action::DiscardRecord);
                }
                out.push_back(Action::StopRecord);
            }
            active => {
                self.active = active;
                let before = self.queue.len();
                self.queue.retain(|task| task.number() != number);
                if self.queue.len() < before {
                    let report = Report::Ended(number, Ok(how), Duration::ZERO);
                    out.push_back(Action::Report(report));
                }
            }
        }
    }

    fn ended(
        &mut self,
        number: u32,
        how: Result<OrderEnd, String>,
        length: Duration,
        out: &mut Actions,
    ) {
        self.active = None;
        out.push_back(Action::Report(Report::Ended(number, how, length)));
        self.go_on(out);
        self.go_on_with_music(out);
    }

    fn play_ended(
        &mut self,
        id: PlayId,
        outcome: &PlayOutcome,
        length: Duration,
        out: &mut Actions,
    ) {
        if self.music_plays == Some(id) {
            self.music_plays = None;
        }
        match self.active.take() {
            Some(Active::Playing(number)) if PlayId(number) == id => {
                let how = match outcome {
                    PlayOutcome::Finished => Ok(OrderEnd::Finished),
                    PlayOutcome::Stopped => Ok(OrderEnd::Stopped),
                    PlayOutcome::Failed(error) => Err(error.clone()),
                };
                self.ended(number, how, length, out);
            }
            Some(Active::Beeping(number, order, beep)) if beep == id => {
                self.record(number, order, out);
                self.go_on_with_music(out);
            }
            active => self.active = active,
        }
    }

    fn record_ended(&mut self, outcome: &RecordOutcome, length: Duration, out: &mut Actions) {
        let (number, how) = match self.active.take() {
            Some(Active::Recording(number, _)) => (number, OrderEnd::Finished),
            Some(Active::Ending(number, how)) => (number, how),
            active => {
                self.active = active;
                return;
            }
        };
        let how = match outcome {
            RecordOutcome::Failed(error) | RecordOutcome::NotBegun(error) => Err(error.clone()),
            _ => Ok(how),
        };
        self.ended(number, how, length, out);
    }

    fn dial(&mut self, out: &mut Actions) {
        if !self.established || self.dialling {
            return;
        }
        if let Some((digits, tone, pause)) = self.dials.pop_front() {
            self.dialling = true;
            out.push_back(Action::SendDigits {
                digits,
                method: DtmfMethod::Auto,
                tone,
                pause,
            });
        }
    }
}

impl Machine for Driven {
    fn handle(&mut self, happened: &Happened, _now: Instant, out: &mut Actions) {
        match happened {
            Happened::Ordered(order) => self.order(order, out),
            Happened::Established => {
                self.established = true;
                self.go_on_with_music(out);
                self.go_on(out);
                self.dial(out);
            }
            Happened::PlayEnded(id, outcome, length) => {
                self.play_ended(*id, outcome, *length, out);
            }
            Happened::RecordEnded(outcome, length) => self.record_ended(outcome, *length, out),
            Happened::DigitsSent(_) => {
                self.dialling = false;
                self.dial(out);
            }
            Happened::Digit(digit) => {
                if let Some(Active::Recording(number, stop_on)) = self.active
                    && (stop_on == StopOn::Any || stop_on == StopOn::Digit(*digit))
                {
                    self.active = Some(Active::Ending(number, OrderEnd::Finished));
                    out.push_back(Action::StopRecord);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
