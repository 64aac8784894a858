//! What rooms play: in which order, for whom, and what is told of it; and who talks.

use super::*;
use crate::app::room::Ducking;
use crate::app::{PlayChange, PlayId, PlayOutcome};

impl World {
    /// What is wanted first at a place is found, and begins.
    fn begin(&mut self, place: u8) -> Option<Heard> {
        let play = self.plays.iter().find(|play| play.place == place)?;
        let heard = self.room.play_ready(place, play.id);
        self.drain();
        heard
    }

    /// It ends.
    fn finish(&mut self, place: u8, outcome: PlayOutcome) {
        let n = self.plays.iter().position(|play| play.place == place);
        let play = self.plays.remove(n.unwrap());
        let heard = Duration::from_secs(1);
        self.room.play_ended(place, play.id, outcome, heard);
        self.drain();
    }

    /// Everything that waits is played.
    pub(super) fn play_all(&mut self) {
        while let Some(play) = self.plays.first() {
            let place = play.place;
            self.begin(place);
            self.finish(place, PlayOutcome::Finished);
        }
    }

    fn order(&mut self, name: &str, to: Audience) -> Result<PlayId, RoomError> {
        let result = self.room.play(PlayOrder {
            items: vec![PlayItem::Prompt(name.to_owned())],
            repeat: 1,
            to,
            ducking: None,
        });
        self.drain();
        result
    }

    fn phases(&self) -> Vec<(u32, PlayPhase)> {
        let states = self.room.state().plays;
        states.iter().map(|play| (play.id.0, play.phase)).collect()
    }

    /// What was told of plays.
    fn news(&self) -> Vec<String> {
        let told = self.events.iter().filter_map(|change| match change {
            RoomChange::PlayBegan(play) => Some(format!("began {}", play.id.0)),
            RoomChange::PlayEnded { id, outcome, .. } => Some(format!("{outcome:?} {}", id.0)),
            _ => None,
        });
        told.collect()
    }
}

// Places in the mix.
const ANNOUNCED: u8 = 0;
const PLAYED: u8 = 1;
const BENEATH: u8 = 2;

fn told_rooms() -> RoomSettings {
    RoomSettings {
        tones: true,
        lone_prompt: false,
        ..settings()
    }
}

#[test]
fn who_comes_does_not_hear_that_it_does_and_all_others_do_at_once() {
    let mut world = World::new(told_rooms());
    world.members(3);
    assert_eq!(
        world.plays.len(),
        1,
        "the second has come, the third waits its turn"
    );
    assert_eq!(world.ports[&c(2)].ears, Some(1), "a class of its own");
    assert_eq!(
        (world.ports[&c(1)].ears, world.ports[&c(3)].ears),
        (Some(0), Some(0))
    );
    let heard = world.begin(ANNOUNCED).unwrap();
    assert_eq!((heard.voice, heard.ducking), (!0b10, Ducking::Off));
    world.finish(ANNOUNCED, PlayOutcome::Finished);
    assert_eq!(world.ports[&c(2)].ears, Some(0));
    assert_eq!(world.ports[&c(3)].ears, Some(1));
    let heard = world.begin(ANNOUNCED).unwrap();
    assert_eq!(heard.voice, !0b10);
    // Who goes in the middle of it leaves nothing behind.
    world.leave(3);
    world.finish(ANNOUNCED, PlayOutcome::Finished);
    assert_eq!(
        world.begin(ANNOUNCED).unwrap().voice,
        u32::MAX,
        "that it has gone is for all"
    );
    world.finish(ANNOUNCED, PlayOutcome::Finished);
    assert!(world.news().is_empty(), "nobody is told of announcements");
    assert!(
        !world
            .told
            .iter()
            .any(|(_, news)| matches!(news, RoomNews::Say(_)))
    );
}

#[test]
fn members_whom_the_mix_does_not_reach_are_told_by_their_legs() {
    let mut world = World::new(settings());
    world.members(3);
    world.operate(RoomOperation::Deafen(c(2), true)).unwrap();
    world.operate(RoomOperation::Hold(c(3), true)).unwrap();
    world.told.clear();
    world.room.say_to_all("conf-ends-soon");
    world.drain();
    let said: Vec<u64> = world.told.iter().map(|(call, _)| call.0).collect();
    assert_eq!(said, [2, 3]);
    assert_eq!(world.plays.len(), 1);
}

#[test]
fn without_a_class_left_each_leg_says_it() {
    let mut world = World::new(told_rooms());
    world.members(32);
    world.play_all();
    for n in 1..32 {
        world.hears(n, Scope::Only(set(&[n % 32 + 1]))).unwrap();
    }
    world.said.clear();
    world.told.clear();
    world.arrive(40, Role::Member);
    assert!(world.plays.is_empty() && world.said.is_empty());
    let said: Vec<u64> = world
        .told
        .iter()
        .filter(|(_, news)| matches!(news, RoomNews::Say(_)))
        .map(|(call, _)| call.0)
        .collect();
    assert_eq!(said, (1..=32).collect::<Vec<_>>(), "all but who has come");
}

#[test]
fn announcements_wait_for_each_other_and_the_oldest_makes_room() {
    let mut world = World::new(settings());
    world.members(1);
    for n in 0..12 {
        world.room.say_to_all(&format!("p{n}"));
        world.drain();
    }
    world.play_all();
    let said: Vec<String> = [0, 4, 5, 6, 7, 8, 9, 10, 11]
        .map(|n| format!("Prompt(\"p{n}\")"))
        .into();
    assert_eq!(world.said, said);
}

#[test]
fn plays_wait_for_each_other_and_are_paused_and_stopped() {
    use PlayPhase::{Loading, Paused, Playing, Waiting};
    let mut world = World::new(settings());
    world.members(1);
    let ids: Vec<PlayId> = ["a", "b", "c"]
        .map(|name| world.order(name, Audience::All).unwrap())
        .into();
    assert_eq!(world.phases(), [(1, Loading), (2, Waiting), (3, Waiting)]);
    assert_eq!(
        world.room.pause_play(ids[1], true),
        Err(RoomError::NotPlaying(ids[1]))
    );
    world.room.pause_play(ids[0], true).unwrap();
    let heard = world.begin(PLAYED).unwrap();
    assert!(heard.paused && heard.ducking == Ducking::Speech(12));
    assert_eq!(world.phases()[0], (1, Paused));
    world.room.pause_play(ids[0], false).unwrap();
    world.room.pause_play(ids[0], false).unwrap();
    world.drain();
    assert_eq!(world.commands, ["Resume 1"]);
    assert_eq!(world.phases()[0], (1, Playing));
    // One that waits never begins; one that plays ends when the mixer says so.
    world.room.stop_play(ids[1]).unwrap();
    world.room.stop_play(ids[0]).unwrap();
    world.drain();
    assert_eq!(world.commands, ["Resume 1", "Stop 1"]);
    assert_eq!(world.phases(), [(1, Playing), (3, Waiting)]);
    world.finish(PLAYED, PlayOutcome::Stopped);
    assert_eq!(world.phases(), [(3, Loading)]);
    // One that is being looked for is not wanted any more.
    world.room.stop_play(ids[2]).unwrap();
    world.drain();
    assert_eq!(world.begin(PLAYED), None);
    assert_eq!(world.room.stop_play(ids[2]), Err(RoomError::NoPlay(ids[2])));
    assert_eq!(
        world.news(),
        ["began 1", "Stopped 2", "Stopped 1", "Stopped 3"]
    );
}

#[test]
fn plays_are_bounded_and_end_with_the_room() {
    let mut world = World::new(settings());
    world.members(20);
    for _ in 0..MAX_PLAYS {
        world.order("a", Audience::All).unwrap();
    }
    assert_eq!(
        world.order("a", Audience::All),
        Err(RoomError::TooManyPlays)
    );
    world.order("m", Audience::Background).unwrap();
    assert_eq!(
        world.order("m", Audience::Background),
        Err(RoomError::Background)
    );
    let heard = world.begin(BENEATH).unwrap();
    assert_eq!(heard.ducking, Ducking::Play(12));
    for n in 1..=16 {
        for _ in 0..MAX_MEMBER_PLAYS {
            world.order("a", Audience::Member(c(n))).unwrap();
        }
    }
    for n in [1, 17] {
        let refused = world.order("a", Audience::Member(c(n)));
        assert_eq!(refused, Err(RoomError::TooManyPlaysTo(c(n))));
    }
    let stranger = world.order("a", Audience::Member(c(99)));
    assert_eq!(stranger, Err(RoomError::NoMember(c(99))));
    let all = MAX_PLAYS + 1 + MAX_PLAYS_TO_MEMBERS;
    assert_eq!(world.phases().len(), all);
    world.operate(RoomOperation::End).unwrap();
    let ended = world
        .news()
        .iter()
        .filter(|news| news.starts_with("Stopped"))
        .count();
    assert_eq!(ended, all);
}

#[test]
fn one_members_plays_are_its_applications_and_end_with_it() {
    let mut world = World::new(settings());
    world.members(2);
    let id = world.order("a", Audience::Member(c(1))).unwrap();
    let other = world.order("b", Audience::Member(c(2))).unwrap();
    assert!(matches!(world.last_told(1), Some(RoomNews::Play(play)) if play.id == id));
    assert!(world.plays.is_empty(), "the mix has nothing of it");
    // Another one's word counts for nothing.
    let began = RoomRequest::PlayBegan { id, paused: false };
    world.request(2, began.clone());
    world.request(1, began);
    world.room.pause_play(id, true).unwrap();
    world.drain();
    assert_eq!(
        world.last_told(1),
        Some(&RoomNews::ControlPlay(id, PlayChange::Pause))
    );
    world.room.stop_play(id).unwrap();
    world.drain();
    assert_eq!(world.last_told(1), Some(&RoomNews::StopPlay(id)));
    world.request(
        1,
        RoomRequest::PlayEnded(id, PlayOutcome::Stopped, Duration::ZERO),
    );
    world.leave(2);
    assert_eq!(other, PlayId(2));
    assert_eq!(world.news(), ["began 1", "Stopped 1", "Stopped 2"]);
    assert!(world.phases().is_empty());
}

#[test]
fn a_members_play_is_paused_while_it_is_looked_for_and_not_while_it_waits() {
    let mut world = World::new(settings());
    world.members(1);
    let id = world.order("a", Audience::Member(c(1))).unwrap();
    let refused = world.room.pause_play(id, true);
    assert_eq!(refused, Err(RoomError::NotPlaying(id)));
    world.request(1, RoomRequest::PlayLoading(id));
    assert_eq!(world.phases(), [(1, PlayPhase::Loading)]);
    world.room.pause_play(id, true).unwrap();
    world.drain();
    let pause = RoomNews::ControlPlay(id, PlayChange::Pause);
    assert_eq!(world.last_told(1), Some(&pause));
    assert!(world.news().is_empty(), "nothing is heard yet");
    world.request(1, RoomRequest::PlayBegan { id, paused: true });
    assert_eq!(world.phases(), [(1, PlayPhase::Paused)]);
    world.room.pause_play(id, false).unwrap();
    world.drain();
    assert_eq!(world.phases(), [(1, PlayPhase::Playing)]);
    assert_eq!(world.news(), ["began 1"]);
}

#[test]
fn who_talks_is_told_when_it_is_something_new() {
    let mut world = World::new(settings());
    world.members(3);
    let talking = |n: u64, level_dbov: f32, seconds: u64| Talking {
        call: c(n),
        level_dbov,
        talked: Duration::from_secs(seconds),
    };
    let one = [talking(1, -20.2, 1)];
    assert_eq!(
        world.room.talkers(&one, (1, None)),
        None,
        "nobody follows it"
    );
    assert!(world.room.follow_talk(true) && !world.room.follow_talk(true));
    let told = world.room.talkers(&one, (1, Some(c(1)))).unwrap();
    assert_eq!((told.talking, told.dominant), (1, Some(c(1))));
    assert_eq!(told.members[&c(1)].level_dbov, -20);
    let same = [talking(1, -19.8, 2)];
    assert_eq!(
        world.room.talkers(&same, (1, Some(c(1)))),
        None,
        "nothing new"
    );
    let talked = world.room.state().talk.unwrap().members[&c(1)].talked;
    assert_eq!(talked, Duration::from_secs(2), "and yet it is known");
    let two = [talking(2, -15.0, 1), talking(9, -3.0, 1)];
    let told = world.room.talkers(&two, (2, Some(c(2)))).unwrap();
    assert!(!told.members[&c(1)].talking && told.members[&c(2)].talking);
    assert_eq!(told.members.len(), 2, "who is not in is not told of");
    world.leave(2);
    let left = world.events.iter().find_map(|change| match change {
        RoomChange::Left { talked, .. } => Some(*talked),
        _ => None,
    });
    assert_eq!(left, Some(Some(Duration::from_secs(1))));
    assert_eq!(world.room.talk().unwrap().dominant, None);
}
