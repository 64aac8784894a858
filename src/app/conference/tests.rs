use std::time::Duration;

use super::*;
use crate::app::collect::{CollectSpec, Pattern};
use crate::app::keypad::Keypad;
use crate::app::room::{Names, RoomName};
use crate::app::testing::Talk;
use crate::app::voicemail::Pin;
use crate::app::{AppSpec, PlayChange, PlayId, PlayItem};

fn talk(settings: RoomSettings) -> Talk {
    let rooms = RoomTable(vec![(RoomName::Is("600".into()), Arc::new(settings))]);
    talk_as(rooms, false)
}

fn talk_as(rooms: RoomTable, invited: bool) -> Talk {
    Talk::new(&AppSpec::Conference(ConferenceSpec {
        room: "600".into(),
        lone_prompt: true,
        max_members: 10,
        rooms: Arc::new(rooms),
        invited,
    }))
}

fn pin(digits: &str) -> Pin {
    Pin::new(digits.to_owned())
}

fn entered(members: usize) -> Happened {
    Happened::Room(RoomNews::Entered {
        members,
        muted: false,
        recorded: false,
    })
}

fn news(news: RoomNews) -> Happened {
    Happened::Room(news)
}

#[test]
fn a_lone_member_is_told_until_company_comes() {
    let mut call = talk_as(RoomTable::default(), false);
    call.start().expect("join 600");
    call.happened(&entered(1)).expect("");
    call.happened(&Happened::Alone).expect("play only-one");
    call.happened(&Happened::Alone).expect("");
    call.happened(&Happened::Company).expect("stop");
    call.happened(&Happened::Alone).expect("play only-one");
    call.played().expect("");
    call.happened(&Happened::JoinFailed).expect("hang-up");
}

#[test]
fn three_wrong_pins_are_the_end_and_the_moderators_own_leads() {
    let settings = || RoomSettings {
        pin: Some(pin("1234")),
        moderator_pin: Some(pin("9876")),
        ..RoomSettings::default()
    };
    let mut call = talk(settings());
    call.start().expect("play conf-pin");
    call.press("1235#")
        .expect("stop | play conf-wrong-pin conf-pin");
    call.press("#")
        .expect("stop | play conf-wrong-pin conf-pin");
    call.press("12345#")
        .expect("stop | play conf-wrong-pin goodbye");
    call.press("1234#").expect("");
    call.played().expect("hang-up");

    let mut call = talk(settings());
    call.start();
    call.press("1234#").expect("stop | join 600");
    let mut call = talk(settings());
    call.start();
    call.press("9876#").expect("stop | join 600 as moderator");
    let mut call = talk(settings());
    call.locked = true;
    call.start();
    call.press("9876#")
        .expect("stop | play conf-wrong-pin conf-pin");
}

#[test]
fn without_a_pin_of_their_own_members_enter_with_none() {
    let mut call = talk(RoomSettings {
        moderator_pin: Some(pin("9876")),
        ..RoomSettings::default()
    });
    call.start().expect("play conf-pin");
    call.press("#").expect("stop | join 600");
    let mut call = talk(RoomSettings {
        moderator_pin: Some(pin("9876")),
        ..RoomSettings::default()
    });
    call.start();
    call.press("1#")
        .expect("stop | play conf-wrong-pin conf-pin");
    call.played().expect("");
    call.wait(11.0).expect("join 600");
}

#[test]
fn a_name_is_recorded_heard_and_accepted() {
    let mut call = talk(RoomSettings {
        names: Names::Review,
        ..RoomSettings::default()
    });
    call.start().expect("play conf-say-name");
    call.played().expect("play beep");
    call.played().expect("record-name");
    call.press("#").expect("stop-record");
    call.happened(&Happened::NameRecorded(None))
        .expect("play conf-no-name conf-say-name");
    call.played();
    call.played().expect("record-name");
    call.happened(&Happened::NameRecorded(Some(7)))
        .expect("play recording7 conf-review");
    call.press("2").expect("stop | play conf-say-name");
    call.played();
    call.played().expect("record-name");
    call.happened(&Happened::NameRecorded(Some(8)))
        .expect("play recording8 conf-review");
    call.press("1").expect("stop | join 600 named 8");
}

#[test]
fn who_waits_hears_music_between_what_is_said() {
    let mut call = talk(RoomSettings {
        waiting_music: vec![PlayItem::Prompt("music".into())],
        announce_count: true,
        ..RoomSettings::default()
    });
    call.start();
    call.happened(&news(RoomNews::Waiting))
        .expect("play conf-waiting");
    call.played().expect("play music x0");
    let say = RoomNews::Say(vec![PlayItem::Prompt("x".into())]);
    call.happened(&news(say.clone())).expect("play x");
    call.happened(&news(say)).expect("");
    call.played().expect("play x");
    call.played().expect("play music x0");
    call.happened(&entered(3))
        .expect("stop | play conf-count digit-3");
    call.played().expect("");
}

#[test]
fn who_is_on_hold_when_it_comes_in_hears_music_behind_what_is_said() {
    let mut call = talk(RoomSettings {
        waiting_music: vec![PlayItem::Prompt("waiting".into())],
        hold_music: vec![PlayItem::Prompt("hold".into())],
        announce_count: true,
        ..RoomSettings::default()
    });
    call.start().happened(&news(RoomNews::Waiting));
    call.played().expect("play waiting x0");
    call.happened(&entered(2))
        .expect("stop | play conf-count digit-2");
    call.happened(&news(RoomNews::Held(true))).expect("");
    call.played().expect("play hold x0");
}

#[test]
fn what_a_program_plays_has_begun_when_it_is_there_paused_where_that_is_wanted() {
    let mut call = talk(RoomSettings {
        hold_music: vec![PlayItem::Prompt("hold".into())],
        ..RoomSettings::default()
    });
    let play = |id, name: &str| {
        news(RoomNews::Play(Box::new(MemberPlay {
            id: PlayId(id),
            items: vec![PlayItem::Prompt(name.into())],
            repeat: 1,
        })))
    };
    let control = |id, change| news(RoomNews::ControlPlay(PlayId(id), change));
    call.start().happened(&entered(2));
    call.happened(&news(RoomNews::Held(true)))
        .expect("play hold x0");
    call.found().expect("");
    call.happened(&play(7, "x"))
        .expect("PlayLoading(PlayId(7)) | play x");
    // The music is heard so long, and goes on.
    call.happened(&control(7, PlayChange::Pause)).expect("");
    call.found()
        .expect("ControlPlay(Pause) | PlayBegan { id: PlayId(7), paused: true }");
    call.happened(&control(7, PlayChange::Resume))
        .expect("ControlPlay(Resume)");
    call.happened(&play(8, "y")).expect("");
    call.played()
        .expect("PlayEnded(PlayId(7), Finished, 1s) | PlayLoading(PlayId(8)) | play y");
    call.happened(&control(8, PlayChange::Pause)).expect("");
    call.happened(&control(8, PlayChange::Resume)).expect("");
    call.found()
        .expect("PlayBegan { id: PlayId(8), paused: false }");
    call.happened(&play(9, "none")).expect("");
    call.played();
    // One that is not there has never begun.
    call.broken()
        .expect("PlayEnded(PlayId(9), Failed(\"gone\"), 0ns) | play hold x0");
}

#[test]
fn news_that_end_it_are_said_before_the_end() {
    for (told, said) in [
        (RoomNews::Refused(Refusal::Locked), "conf-locked"),
        (RoomNews::Refused(Refusal::Full), "conf-full"),
        (RoomNews::Kicked, "conf-kicked"),
        (RoomNews::Ended, "conf-ended"),
    ] {
        let mut call = talk(RoomSettings::default());
        call.start();
        call.happened(&news(told)).expect(&format!("play {said}"));
        call.press("*1").expect("");
        call.broken().expect("hang-up");
    }
}

#[test]
fn keys_ask_leave_and_go_on_elsewhere() {
    let key = |digits: &str, word: &str| {
        (
            Pattern::parse(digits).unwrap(),
            KeypadAction::parse(word).unwrap(),
        )
    };
    let keypad = |last: &str| {
        Arc::new(Keypad {
            keys: vec![
                key("1", "toggle-mute"),
                key("12", "count"),
                key("0", "help"),
                key("#", last),
            ],
            inter_digit: Duration::from_secs(2),
            help: vec![PlayItem::Prompt("conf-help".into())],
        })
    };
    let mut call = talk(RoomSettings {
        keypad: keypad("leave"),
        ..RoomSettings::default()
    });
    call.start().happened(&entered(2));
    call.press("1").expect("");
    call.wait(2.0).expect("Mute(Flip)");
    call.press("12").expect("Count");
    call.press("1").wait(1.9).expect("");
    call.press("3").expect("");
    call.wait(5.0).expect("");
    call.press("0").expect("play conf-help");
    call.press("#").expect("stop | leave-room | hang-up");

    let mut call = talk(RoomSettings {
        keypad: keypad("leave"),
        moderator_keypad: keypad("leave-to=main"),
        collect: CollectSpec::default(),
        moderator_pin: Some(pin("1111")),
        ..RoomSettings::default()
    });
    call.start().press("1111#");
    call.happened(&entered(2));
    call.press("#").expect("leave-room | go-to main");
}

#[test]
fn who_is_invited_joins_by_a_key_or_not_at_all() {
    let mut call = talk_as(RoomTable::default(), true);
    call.start().expect("play conf-invited");
    call.press("1").expect("stop | join 600");
    let mut call = talk_as(RoomTable::default(), true);
    call.start().press("2").expect("stop | play conf-invited");
    call.played();
    call.wait(6.0).expect("play conf-invited");
    call.played();
    call.wait(6.0).expect("play goodbye");
    call.played().expect("hang-up");
}

#[test]
fn who_is_moved_joins_the_other_room_without_questions() {
    let mut call = talk(RoomSettings {
        pin: Some(pin("1234")),
        ..RoomSettings::default()
    });
    call.start().press("1234#");
    call.happened(&entered(2));
    call.happened(&news(RoomNews::Moved("601".into())))
        .expect("join 601");
}
