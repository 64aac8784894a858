//! Plays, recordings and music of a call that a program drives.

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

/// The n-th play of the machine's own.
fn own(n: u32) -> PlayId {
    PlayId(u32::MAX - n)
}

fn music(id: PlayId) -> Action {
    Action::Play {
        id,
        items: items("m"),
        repeat: 0,
        gap: Duration::ZERO,
    }
}

fn stopped(id: PlayId) -> Happened {
    Happened::PlayEnded(id, PlayOutcome::Stopped, Duration::ZERO)
}

fn is_recorded(seconds: u64) -> Happened {
    Happened::RecordEnded(RecordOutcome::Stopped, Duration::from_secs(seconds))
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
            Action::play(own(1), vec![beep()])
        ]
    );
    let next = call.now(&Happened::PlayEnded(
        own(1),
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
    let on = Order::Music(Some(items("m")));
    assert_eq!(call.order(on), [music(own(1))]);
    assert_eq!(
        call.order(Order::Play(1, items("a"), 1)),
        [started(1), Action::play(PlayId(1), items("a"))]
    );
    assert_eq!(call.now(&stopped(own(1))), [], "it is replaced");
    assert_eq!(
        call.now(&finished(1, 2)),
        [ended(1, OrderEnd::Finished, 2), music(own(2))]
    );
    assert_eq!(call.order(Order::Music(None)), [Action::StopPlay]);
}

#[test]
fn other_music_is_told_from_what_it_replaces() {
    let mut call = Call::new();
    call.now(&Happened::Established);
    let on = || Order::Music(Some(items("m")));
    assert_eq!(call.order(on()), [music(own(1))]);
    assert_eq!(call.order(on()), [music(own(2))]);
    assert_eq!(call.now(&stopped(own(1))), []);
    // It is still heard behind a recording, and does not begin anew.
    call.order(Order::Record(3, record(StopOn::Nothing, false)));
    assert_eq!(call.order(Order::Stop(3)), [Action::StopRecord]);
    assert_eq!(call.now(&is_recorded(1)), [ended(3, OrderEnd::Stopped, 1)]);
}

#[test]
fn music_is_in_each_recording_and_goes_on_behind_it() {
    let mut call = Call::new();
    call.now(&Happened::Established);
    call.order(Order::Music(Some(items("m"))));
    // Behind a play the recording has the music, as one that begins from nothing has.
    call.order(Order::Play(1, items("a"), 1));
    call.order(Order::Record(2, record(StopOn::Nothing, false)));
    call.now(&stopped(own(1)));
    assert_eq!(
        call.now(&finished(1, 2)),
        [
            ended(1, OrderEnd::Finished, 2),
            started(2),
            recorded(2),
            music(own(2))
        ]
    );
    call.order(Order::Stop(2));
    assert_eq!(
        call.now(&is_recorded(5)),
        [ended(2, OrderEnd::Stopped, 5)],
        "it is heard, and goes on"
    );
    assert_eq!(
        call.order(Order::Record(3, record(StopOn::Nothing, false))),
        [started(3), recorded(3)]
    );
    // The beep takes its place, for as long as it is heard.
    call.order(Order::Record(4, record(StopOn::Nothing, true)));
    call.order(Order::Stop(3));
    assert_eq!(
        call.now(&is_recorded(5)),
        [
            ended(3, OrderEnd::Stopped, 5),
            Action::play(own(3), vec![beep()])
        ]
    );
    call.now(&stopped(own(2)));
    let beeped = Happened::PlayEnded(own(3), PlayOutcome::Finished, Duration::ZERO);
    assert_eq!(call.now(&beeped), [started(4), recorded(4), music(own(4))]);
}

#[test]
fn a_recording_waits_for_its_own_beep() {
    let mut call = Call::new();
    call.now(&Happened::Established);
    call.order(Order::Record(1, record(StopOn::Nothing, true)));
    call.order(Order::Record(2, record(StopOn::Nothing, true)));
    assert_eq!(
        call.order(Order::Stop(1)),
        [
            Action::StopPlay,
            ended(1, OrderEnd::Stopped, 0),
            Action::play(own(2), vec![beep()])
        ]
    );
    assert_eq!(call.now(&stopped(own(1))), [], "that of the first");
    let beeped = Happened::PlayEnded(own(2), PlayOutcome::Finished, Duration::ZERO);
    assert_eq!(call.now(&beeped), [started(2), recorded(2)]);
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
