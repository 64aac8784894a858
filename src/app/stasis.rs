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

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{
    Action, Actions, DtmfMethod, Happened, Machine, PlayId, PlayItem, PlayOutcome, RecordOutcome,
    beep,
};
use crate::dtmf::Digit;

/// Orders are numbered from here: no application takes the end of a program's play, which it was
/// handed the call with, for the end of its own.
pub const FIRST_ORDER: u32 = 1 << 24;
/// Plays and recordings of a call that wait for their turn; further ones fail.
const MAX_QUEUED: usize = 32;
/// Strings of digits that do.
const MAX_DIALS: usize = 16;
/// The music's play; orders are never numbered so high.
const MUSIC: PlayId = PlayId(u32::MAX);
/// The beep's.
const BEEP: PlayId = PlayId(u32::MAX - 1);

/// Which program, and what it is told of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StasisSpec {
    /// The program's name.
    pub app: String,
    /// What its configuration, or who placed the call, has to say.
    pub args: Vec<String>,
    /// The extension at which the call goes on where the program is not there; none: it ends.
    pub otherwise: Option<String>,
}

/// What ends a recording, besides its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopOn {
    /// No digit.
    #[default]
    Nothing,
    /// Any digit.
    Any,
    /// This digit.
    Digit(Digit),
}

/// A recording that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordOrder {
    /// Its name in the recording directory, without `.wav`.
    pub name: String,
    /// Whether it takes the place of one of this name.
    pub overwrite: bool,
    /// Beep before it.
    pub beep: bool,
    /// Stop after so long.
    pub max: Option<Duration>,
    /// Stop after so much silence.
    pub silence: Option<Duration>,
    /// Stop at a digit.
    pub stop_on: StopOn,
}

/// What a program wants of its call. Plays and recordings are numbered by who orders them.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Play this, so many times (0: until it is stopped), once those before it are over.
    Play(u32, Vec<PlayItem>, u32),
    /// Record, once those before it are over.
    Record(u32, RecordOrder),
    /// End a play or a recording, or do not begin it.
    Stop(u32),
    /// The same, and keep nothing of what was recorded.
    Discard(u32),
    /// Pause a play that is heard, or move within it.
    Change(u32, PlayChange),
    /// Pause a recording under way, or go on.
    ChangeRecord(u32, RecordChange),
    /// Music while nothing is played; none: silence.
    Music(Option<Vec<PlayItem>>),
    /// Digits to the party.
    SendDigits {
        /// Which.
        digits: Vec<Digit>,
        /// The length of each.
        tone: Duration,
        /// The pause behind each.
        pause: Duration,
    },
}

/// What can be done to a play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayChange {
    /// Silence from now on.
    Pause,
    /// Goes on.
    Resume,
    /// Begins anew.
    Restart,
    /// Skips so many ms; back where negative.
    Skip(i32),
}

/// What can be done to a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// The time until it goes on is left out.
    Pause,
    /// It is silence.
    Mute,
    /// It goes on.
    Resume,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A play or a recording begins.
    Started(u32),
    /// It is over, after so long, or has failed.
    Ended(u32, Result<OrderEnd, String>, Duration),
}

/// How a play or a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    /// By itself.
    Finished,
    /// It was told to.
    Stopped,
    /// The same, and nothing is kept.
    Discarded,
}

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
    Beeping(u32, RecordOrder),
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

    fn play_music(&self, out: &mut Actions) {
        if let Some(items) = &self.music {
            out.push_back(Action::Play {
                id: MUSIC,
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
                out.push_back(Action::Report(Report::Started(number)));
                out.push_back(Action::Play {
                    id: PlayId(number),
                    items,
                    repeat,
                    gap: Duration::ZERO,
                });
            }
            Some(Task::Record(number, order)) if order.beep => {
                self.active = Some(Active::Beeping(number, order));
                out.push_back(Action::play(BEEP, vec![beep()]));
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
            Some(Active::Beeping(beeping, _)) if beeping == number => {
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
        if self.plays_music() && !matches!(self.active, Some(Active::Recording(..))) {
            self.play_music(out);
        }
    }

    fn play_ended(
        &mut self,
        id: PlayId,
        outcome: &PlayOutcome,
        length: Duration,
        out: &mut Actions,
    ) {
        match self.active.take() {
            Some(Active::Playing(number)) if PlayId(number) == id => {
                let how = match outcome {
                    PlayOutcome::Finished => Ok(OrderEnd::Finished),
                    PlayOutcome::Stopped => Ok(OrderEnd::Stopped),
                    PlayOutcome::Failed(error) => Err(error.clone()),
                };
                self.ended(number, how, length, out);
            }
            Some(Active::Beeping(number, order)) if id == BEEP => {
                self.record(number, order, out);
                if self.plays_music() {
                    self.play_music(out);
                }
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
                if self.plays_music() {
                    self.play_music(out);
                }
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
mod tests {
    use super::*;
    use crate::app::{App, AppSpec};

    /// A driven call, and what it has wanted.
    struct Call(App, Instant);

    impl Call {
        fn new() -> Self {
            let spec = AppSpec::Stasis(StasisSpec::default());
            Self(App::new(&spec), Instant::now())
        }

        fn now(&mut self, happened: &Happened) -> Vec<Action> {
            self.0.handle(happened, self.1);
            std::iter::from_fn(|| self.0.poll_action()).collect()
        }

        fn order(&mut self, order: Order) -> Vec<Action> {
            self.now(&Happened::Ordered(Box::new(order)))
        }
    }

    fn items(name: &str) -> Vec<PlayItem> {
        vec![PlayItem::Prompt(name.to_owned())]
    }

    fn started(number: u32) -> Action {
        Action::Report(Report::Started(number))
    }

    fn ended(number: u32, how: OrderEnd, seconds: u64) -> Action {
        let length = Duration::from_secs(seconds);
        Action::Report(Report::Ended(number, Ok(how), length))
    }

    fn record(stop_on: StopOn, beep: bool) -> RecordOrder {
        RecordOrder {
            name: "r".to_owned(),
            overwrite: true,
            beep,
            max: None,
            silence: None,
            stop_on,
        }
    }

    fn recorded(order: u32) -> Action {
        Action::RecordNamed {
            order,
            name: "r".to_owned(),
            overwrite: true,
            max: None,
            silence: None,
        }
    }

    fn finished(id: u32, seconds: u64) -> Happened {
        let length = Duration::from_secs(seconds);
        Happened::PlayEnded(PlayId(id), PlayOutcome::Finished, length)
    }

    #[test]
    fn orders_wait_for_the_call_and_for_each_other() {
        let mut call = Call::new();
        assert_eq!(call.order(Order::Play(1, items("a"), 1)), []);
        assert_eq!(call.order(Order::Record(2, record(StopOn::Any, true))), []);
        let begun = call.now(&Happened::Established);
        assert_eq!(
            begun,
            [started(1), Action::play(PlayId(1), items("a"))],
            "one thing at a time"
        );
        let next = call.now(&finished(1, 3));
        assert_eq!(
            next,
            [
                ended(1, OrderEnd::Finished, 3),
                Action::play(BEEP, vec![beep()])
            ]
        );
        let next = call.now(&Happened::PlayEnded(
            BEEP,
            PlayOutcome::Finished,
            Duration::ZERO,
        ));
        assert_eq!(next, [started(2), recorded(2)]);
        assert_eq!(call.order(Order::Play(3, items("c"), 1)), []);
        assert_eq!(
            call.now(&Happened::Digit(Digit::POUND)),
            [Action::StopRecord]
        );
        let length = Duration::from_secs(9);
        let next = call.now(&Happened::RecordEnded(RecordOutcome::Stopped, length));
        assert_eq!(
            next,
            [
                ended(2, OrderEnd::Finished, 9),
                started(3),
                Action::play(PlayId(3), items("c"))
            ]
        );
    }

    #[test]
    fn what_is_stopped_tells_so_whether_it_has_begun_or_not() {
        let mut call = Call::new();
        call.now(&Happened::Established);
        call.order(Order::Play(1, items("a"), 1));
        call.order(Order::Play(2, items("b"), 1));
        assert_eq!(call.order(Order::Stop(2)), [ended(2, OrderEnd::Stopped, 0)]);
        assert_eq!(call.order(Order::Stop(1)), [Action::StopPlay]);
        assert_eq!(call.order(Order::Stop(7)), []);
        let length = Duration::from_secs(1);
        let end = Happened::PlayEnded(PlayId(1), PlayOutcome::Stopped, length);
        assert_eq!(call.now(&end), [ended(1, OrderEnd::Stopped, 1)]);
        call.order(Order::Record(3, record(StopOn::Nothing, false)));
        assert_eq!(call.now(&Happened::Digit(Digit::POUND)), []);
        assert_eq!(
            call.order(Order::Discard(3)),
            [Action::DiscardRecord, Action::StopRecord]
        );
        let end = Happened::RecordEnded(RecordOutcome::Stopped, length);
        assert_eq!(call.now(&end), [ended(3, OrderEnd::Discarded, 1)]);
    }

    #[test]
    fn music_makes_way_for_plays_and_comes_back() {
        let mut call = Call::new();
        call.now(&Happened::Established);
        let music = Action::Play {
            id: MUSIC,
            items: items("m"),
            repeat: 0,
            gap: Duration::ZERO,
        };
        let on = Order::Music(Some(items("m")));
        assert_eq!(call.order(on), std::slice::from_ref(&music));
        assert_eq!(
            call.order(Order::Play(1, items("a"), 1)),
            [started(1), Action::play(PlayId(1), items("a"))]
        );
        let replaced = Happened::PlayEnded(MUSIC, PlayOutcome::Stopped, Duration::ZERO);
        assert_eq!(call.now(&replaced), []);
        assert_eq!(
            call.now(&finished(1, 2)),
            [ended(1, OrderEnd::Finished, 2), music]
        );
        assert_eq!(call.order(Order::Music(None)), [Action::StopPlay]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut call = Call::new();
        for number in 0..MAX_QUEUED as u32 {
            assert_eq!(call.order(Order::Play(number, items("a"), 1)), []);
        }
        let refused = call.order(Order::Play(99, items("a"), 1));
        assert!(
            matches!(&refused[..], [Action::Report(Report::Ended(99, Err(_), _))]),
            "{refused:?}"
        );
    }
}
