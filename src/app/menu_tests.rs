use std::time::Duration;

use super::*;
use crate::app::testing::Talk;
use crate::app::{ConferenceSpec, PlaySpec, RecordSpec, speak};

fn menu(name: &str, choices: &[(&str, Branch)]) -> Menu {
    let choices: Vec<Choice> = choices
        .iter()
        .map(|(digits, branch)| Choice {
            pattern: Pattern::parse(digits).unwrap(),
            branch: branch.clone(),
        })
        .collect();
    Menu {
        name: name.into(),
        prompts: speak::prompts(&[name]),
        invalid: speak::prompts(&["wrong"]),
        timeout: speak::prompts(&["late"]),
        collect: CollectSpec {
            patterns: choices.iter().map(|c| c.pattern.clone()).collect(),
            max: choices.iter().map(|c| c.pattern.len()).max().unwrap_or(1),
            first_digit: Duration::from_secs(5),
            inter_digit: Duration::from_secs(2),
            ..CollectSpec::default()
        },
        barge_in: true,
        type_ahead: true,
        retries: 2,
        on_invalid: Branch::HangUp,
        on_timeout: Branch::Menu(1),
        choices,
    }
}

fn run(app: AppSpec, then: Option<usize>) -> Branch {
    Branch::Run {
        app: Box::new(app),
        then,
    }
}

fn play(name: &str, repeat: u32, then: Option<usize>) -> Branch {
    let items = speak::prompts(&[name]);
    run(AppSpec::Play(PlaySpec { items, repeat }), then)
}

/// main (0) and sub (1), which hangs up where nobody presses anything.
fn menus() -> Vec<Menu> {
    let conference = AppSpec::Conference(ConferenceSpec {
        room: "room-$0".into(),
        lone_prompt: true,
        max_members: 10,
        ..ConferenceSpec::default()
    });
    let record = AppSpec::Record(RecordSpec {
        beep: true,
        max: None,
        silence: None,
        file: None,
    });
    let main = menu(
        "main",
        &[
            ("1", Branch::Menu(1)),
            ("2", play("news", 2, Some(0))),
            ("3", run(record, Some(0))),
            ("4", run(AppSpec::Echo, Some(1))),
            ("5", play("bye", 1, None)),
            ("6XX", run(conference, None)),
            ("*", Branch::Menu(0)),
            ("9", Branch::HangUp),
        ],
    );
    let mut sub = menu("sub", &[("1", Branch::Menu(0))]);
    sub.on_timeout = Branch::HangUp;
    sub.on_invalid = Branch::Menu(0);
    sub.retries = 0;
    vec![main, sub]
}

fn talk_with(menus: Vec<Menu>) -> Talk {
    let spec = MenuSpec {
        menus: Arc::new(menus),
        start: 0,
    };
    Talk::new(&AppSpec::Menu(spec))
}

fn talk() -> Talk {
    talk_with(menus())
}

#[test]
fn a_key_ends_the_prompt_and_leads_on() {
    let mut talk = talk();
    talk.start().expect("play main");
    talk.press("1").expect("stop | play sub");
    talk.played().expect("");
    talk.press("1").expect("play main");
    talk.press("9").expect("stop | hang-up");
    talk.press("1").expect("");
}

#[test]
fn wrong_answers_and_none_are_told_and_counted_together() {
    let mut talk = talk();
    talk.start();
    talk.press("8").expect("stop | play wrong main");
    talk.played().wait(4.9).expect("");
    talk.wait(0.2).expect("play late main");
    talk.press("0").expect("stop | hang-up");
    // Silence to the end leads where that leads.
    let mut talk = self::talk();
    talk.start();
    for _ in 0..2 {
        talk.played().wait(5.1).expect("play late main");
    }
    talk.played().wait(5.1).expect("play sub");
    talk.played().wait(5.1).expect("hang-up");
}

#[test]
fn a_new_menu_counts_anew_and_a_wrong_answer_may_lead_elsewhere() {
    let mut talk = talk();
    talk.start();
    talk.press("8").press("8");
    talk.press("1").expect("stop | play sub");
    talk.press("5").expect("stop | play main");
    talk.press("8").expect("stop | play wrong main");
    talk.press("8").expect("stop | play wrong main");
    talk.press("8").expect("stop | hang-up");
}

#[test]
fn several_digits_wait_for_each_other_so_long() {
    let mut talk = talk();
    talk.start();
    talk.press("60").expect("stop");
    talk.wait(1.9).expect("");
    talk.press("7").expect("join room-607");
    let mut late = self::talk();
    late.start();
    late.press("60").wait(2.1).expect("play wrong main");
}

#[test]
fn prompts_of_a_choice_can_be_cut_short_by_the_next() {
    let mut talk = talk();
    talk.start();
    talk.press("2").expect("stop | play news");
    talk.played().expect("play news");
    talk.played().expect("play main");
    talk.press("2").expect("stop | play news");
    talk.press("1").expect("stop | play sub");
    talk.press("1").press("5").expect("stop | play bye");
    talk.played().expect("hang-up");
}

#[test]
fn an_application_runs_and_comes_back() {
    let mut talk = talk();
    talk.start();
    talk.press("3").expect("stop | play beep");
    // The end of the menu's own prompt, told late, is not the end of the beep.
    let late = Happened::PlayEnded(
        PlayId(0),
        crate::app::PlayOutcome::Stopped,
        Duration::from_secs(1),
    );
    talk.happened(&late).expect("");
    talk.played().expect("record");
    talk.press("#").expect("stop-record");
    talk.recorded().expect("play main");
    talk.press("4").expect("stop | echo true");
    talk.press("#").expect("echo false | play sub");
    talk.press("1").press("612").expect("stop | join room-612");
    talk.happened(&Happened::JoinFailed).expect("hang-up");
}

#[test]
fn digits_ahead_walk_the_menus_without_a_word() {
    let mut talk = talk();
    talk.start();
    talk.press("116")
        .expect("stop | play sub | stop | play main | stop");
    // Kept where something plays that takes none.
    let mut menus = menus();
    menus[0].barge_in = false;
    menus[1].barge_in = false;
    let mut talk = talk_with(menus);
    talk.start();
    talk.press("19").expect("");
    talk.played().expect("play sub");
    // Not where it is cleared.
    let mut menus = self::menus();
    for menu in &mut menus {
        menu.barge_in = false;
        menu.type_ahead = false;
    }
    let mut talk = talk_with(menus);
    talk.start();
    talk.press("111").expect("");
    talk.played().expect("play sub");
    talk.played().wait(5.1).expect("hang-up");
}

#[test]
fn digits_behind_a_mistake_do_not_count() {
    let mut menus = menus();
    menus[0].barge_in = false;
    let mut talk = talk_with(menus);
    talk.start();
    talk.press("89").expect("");
    talk.played().expect("play wrong main");
    talk.played().expect("");
    talk.press("9").expect("hang-up");
}

#[test]
fn prompts_for_ever_end_with_a_digit_and_broken_ones_at_once() {
    let mut menus = menus();
    menus[0].choices[1].branch = play("news", 0, Some(1));
    menus[0].choices[4].branch = play("bye", 1_000_000, None);
    let mut talk = talk_with(menus.clone());
    talk.start();
    talk.press("2").expect("stop | play news");
    for _ in 0..5 {
        talk.played().expect("play news");
    }
    talk.press("1").expect("stop | play main");
    // Pressed while it plays: one step, and not a million.
    talk.press("5").expect("stop | play bye");
    talk.press("1").expect("stop | hang-up");
    let mut talk = talk_with(menus);
    talk.start();
    talk.press("5").expect("stop | play bye");
    talk.broken().expect("hang-up");
}

#[test]
fn digits_ahead_of_an_application_are_its_own() {
    let mut menus = menus();
    menus[0].barge_in = false;
    let mut talk = talk_with(menus);
    talk.start();
    // 4 is the echo, which ends with pound.
    talk.press("4#").expect("");
    talk.played().expect("echo true | echo false | play sub");
}

#[test]
fn digits_behind_the_end_of_an_application_are_the_menus() {
    let mut menus = menus();
    menus[0].barge_in = false;
    menus[0].choices[3].branch = run(AppSpec::Echo, Some(0));
    let mut talk = talk_with(menus);
    talk.start();
    talk.press("4#5").expect("");
    talk.played().expect("echo true | echo false | play main");
    talk.played().expect("play bye");
}
