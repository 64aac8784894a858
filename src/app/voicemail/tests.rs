use super::*;
use crate::app::testing::Talk;
use crate::app::{
    AppSpec, Happened, Message, MessageOutcome, PlayOutcome, VoicemailSpec, VoicemailTask,
};

fn boxes(max_messages: usize) -> Arc<Mailboxes> {
    let mailbox = |number: &str, pin: &str| Mailbox {
        number: number.to_owned(),
        pin: Pin::new(pin.to_owned()),
        greeting: speak::prompts(&["vm-greeting"]),
    };
    Arc::new(Mailboxes {
        boxes: vec![mailbox("100", "1234"), mailbox("200", "999999")],
        max_message: Duration::from_mins(3),
        silence: Some(Duration::from_secs(10)),
        max_messages,
        collect: CollectSpec::default(),
        type_ahead: true,
    })
}

fn talk(task: VoicemailTask, mailbox: Option<&str>) -> Talk {
    Talk::new(&AppSpec::Voicemail(VoicemailSpec {
        task,
        mailbox: mailbox.map(str::to_owned),
        mailboxes: boxes(3),
        goodbye: true,
    }))
}

fn message(n: u64, saved: bool) -> Message {
    Message {
        id: format!("m{n}"),
        file: format!("/box/m{n}.wav").into(),
        caller: "alice".into(),
        received: n,
        length: Duration::from_secs(5),
        saved,
    }
}

#[test]
fn a_message_is_left() {
    let mut talk = talk(VoicemailTask::Leave, Some("100"));
    talk.start().expect("list 100");
    talk.messages(&[]).expect("play vm-greeting");
    talk.played().expect("play beep");
    talk.played().expect("leave 100 180s 10s");
    // Other keys are nothing.
    talk.press("12").expect("");
    talk.press("#").expect("stop-record");
    talk.recorded().expect("");
    talk.left(MessageOutcome::Kept)
        .expect("play vm-kept goodbye");
    talk.played().expect("hang-up");
}

#[test]
fn the_greeting_can_be_cut_short_and_the_beep_cannot() {
    let mut talk = talk(VoicemailTask::Leave, Some("100"));
    talk.start();
    talk.messages(&[]);
    talk.press("#").expect("stop | play beep");
    // Nor does a key pressed in it end the message at once.
    talk.press("#").expect("");
    talk.played().expect("leave 100 180s 10s");
    talk.press("#").expect("stop-record");
}

#[test]
fn what_became_of_the_message_is_said() {
    for (outcome, said) in [
        (MessageOutcome::Kept, "vm-kept"),
        (MessageOutcome::TooShort, "vm-short"),
        (MessageOutcome::Full, "vm-full"),
        (MessageOutcome::Failed("disk full".into()), "vm-failed"),
    ] {
        let mut talk = talk(VoicemailTask::Leave, Some("100"));
        talk.start();
        talk.messages(&[]);
        talk.played();
        talk.played();
        // It may be told before the recording's own end, where it never began.
        talk.left(outcome).expect(&format!("play {said} goodbye"));
        talk.recorded().expect("");
        talk.played().expect("hang-up");
    }
    // Or nobody tells.
    let mut talk = talk(VoicemailTask::Leave, Some("100"));
    talk.start();
    talk.messages(&[]);
    talk.played();
    talk.played();
    talk.recorded().expect("");
    talk.wait(9.9).expect("");
    talk.wait(0.2).expect("play vm-failed goodbye");
}

#[test]
fn a_full_box_and_a_missing_one() {
    let mut full = talk(VoicemailTask::Leave, Some("100"));
    full.start();
    let three = [message(1, false), message(2, false), message(3, false)];
    full.messages(&three).expect("play vm-full goodbye");
    let mut missing = talk(VoicemailTask::Leave, Some("300"));
    missing.start().expect("play vm-no-box goodbye");
    missing.played().expect("hang-up");
    // Asked for, three times at most.
    let mut asked = talk(VoicemailTask::Leave, None);
    asked.start().expect("play vm-mailbox");
    asked
        .press("300#")
        .expect("stop | play vm-no-box vm-mailbox");
    asked
        .press("301#")
        .expect("stop | play vm-no-box vm-mailbox");
    asked.press("100#").expect("stop | list 100");
    let mut never = talk(VoicemailTask::Leave, None);
    never.start();
    never.press("1#").press("2#");
    never.press("3#").expect("stop | play vm-no-box goodbye");
}

#[test]
fn messages_are_heard_saved_and_deleted() {
    let mut talk = talk(VoicemailTask::Listen, None);
    talk.start().expect("play vm-mailbox");
    talk.press("100#").expect("stop | play vm-pin");
    talk.press("1234#").expect("stop | list 100");
    let box_ = [message(1, false), message(2, true), message(3, false)];
    talk.messages(&box_)
        .expect("play vm-you-have digit-3 vm-messages");
    let first = "play vm-message-number digit-1 /box/m1.wav vm-options";
    talk.played().expect(first);
    talk.press("1").expect(&format!("stop | {first}"));
    talk.played().expect("");
    talk.press("2").expect("save 100 m1");
    talk.changed(Ok(true)).expect("play vm-message-saved");
    talk.played()
        .expect("play vm-saved-message digit-2 /box/m2.wav vm-options");
    talk.press("#")
        .expect("stop | play vm-message-number digit-3 /box/m3.wav vm-options");
    talk.press("3").expect("stop | delete 100 m3");
    talk.changed(Ok(true)).expect("play vm-message-deleted");
    talk.played().expect("play vm-end goodbye");
    talk.played().expect("hang-up");
}

#[test]
fn a_key_that_is_pressed_twice_deletes_one_message() {
    let mut talk = talk(VoicemailTask::Listen, None);
    talk.start();
    talk.press("100#");
    talk.press("1234#");
    talk.messages(&[message(1, false), message(2, false), message(3, false)]);
    talk.played();
    // While it is being deleted, and while that is told.
    talk.press("3").expect("stop | delete 100 m1");
    talk.press("3").expect("");
    talk.changed(Ok(true))
        .expect("play vm-message-number digit-2 /box/m2.wav vm-options");
    talk.press("3").expect("stop | delete 100 m2");
    talk.changed(Ok(true)).expect("play vm-message-deleted");
    talk.press("3")
        .expect("stop | play vm-message-number digit-3 /box/m3.wav vm-options");
    // Other keys may come ahead.
    talk.press("2").expect("stop | save 100 m3");
}

#[test]
fn one_message_none_and_a_broken_box() {
    let mut one = talk(VoicemailTask::Listen, Some("200"));
    one.start().expect("play vm-pin");
    one.press("999999#").expect("stop | list 200");
    one.messages(&[message(1, false)])
        .expect("play vm-you-have digit-1 vm-message");
    let mut none = talk(VoicemailTask::Listen, Some("200"));
    none.start();
    none.press("999999#");
    none.messages(&[]).expect("play vm-none goodbye");
    let mut broken = talk(VoicemailTask::Listen, Some("200"));
    broken.start();
    broken.press("999999#");
    broken.no_messages("io").expect("play goodbye");
    let mut silent = talk(VoicemailTask::Listen, Some("200"));
    silent.start();
    silent.press("999999#");
    silent.wait(10.1).expect("play goodbye");
}

#[test]
fn a_message_that_was_deleted_in_another_call_is_passed_over() {
    let mut talk = talk(VoicemailTask::Listen, Some("100"));
    talk.start();
    talk.press("1234#");
    talk.messages(&[1, 2, 3, 4].map(|n| message(n, false)));
    talk.played()
        .expect("play vm-message-number digit-1 /box/m1.wav vm-options");
    let second = "play vm-message-number digit-2 /box/m2.wav vm-options";
    talk.broken().expect(second);
    // Gone is what it was to be.
    talk.press("3").expect("stop | delete 100 m2");
    talk.changed(Ok(false)).expect("play vm-message-deleted");
    let third = "play vm-message-number digit-3 /box/m3.wav vm-options";
    talk.played().expect(third);
    // What is not there cannot be saved.
    talk.press("2").expect("stop | save 100 m3");
    talk.changed(Ok(false))
        .expect("play vm-message-number digit-4 /box/m4.wav vm-options");
    talk.broken().expect("play vm-end goodbye");
}

#[test]
fn what_fails_is_not_told_as_something_else() {
    for (key, wanted, said) in [
        ("2", "save 100 m1", "play vm-failed goodbye"),
        ("3", "delete 100 m1", "play goodbye"),
    ] {
        for is_told in [true, false] {
            let mut talk = talk(VoicemailTask::Listen, Some("100"));
            talk.start();
            talk.press("1234#");
            talk.messages(&[message(1, false)]);
            talk.played();
            talk.press(key).expect(&format!("stop | {wanted}"));
            if is_told {
                talk.changed(Err("io".to_owned())).expect(said);
            } else {
                talk.wait(10.1).expect(said);
            }
        }
    }
}

#[test]
fn a_wrong_pin_tells_nothing_of_what_is_wrong() {
    for (number, pin) in [
        ("100", "4321"),
        ("555", "1234"),
        ("100", "123"),
        ("100", "12345"),
    ] {
        let mut talk = talk(VoicemailTask::Listen, None);
        talk.start();
        for _ in 0..2 {
            talk.press(&format!("{number}#"))
                .expect("stop | play vm-pin");
            talk.press(&format!("{pin}#"))
                .expect("stop | play vm-wrong vm-mailbox");
        }
        talk.press(&format!("{number}#"));
        talk.press(&format!("{pin}#"))
            .expect("stop | play vm-wrong goodbye");
        talk.press("1234#").expect("");
        talk.played().expect("hang-up");
    }
}

#[test]
fn who_keys_in_nothing_has_tried_no_pin() {
    // Boxes are told by their answer: were one asked for, it would open.
    let spec = VoicemailSpec {
        task: VoicemailTask::Listen,
        mailbox: Some("100".into()),
        mailboxes: boxes(3),
        goodbye: true,
    };
    let mut app = crate::app::App::new(&AppSpec::Voicemail(spec));
    let mut now = Instant::now();
    app.handle(&Happened::Established, now);
    let (mut asked, mut unlocked, mut over) = (0, 0, false);
    for _ in 0..20 {
        while let Some(action) = app.poll_action() {
            match action {
                Action::Play { id, .. } => {
                    asked += 1;
                    let end = PlayOutcome::Finished;
                    app.handle(&Happened::PlayEnded(id, end, Duration::ZERO), now);
                }
                Action::Unlock { .. } => unlocked += 1,
                Action::HangUp => over = true,
                _ => {}
            }
        }
        if let Some(at) = app.poll_timeout() {
            now = at;
            app.handle_timeout(now);
        }
    }
    // Three times asked, and the farewell.
    assert_eq!((asked, unlocked, over), (4, 0, true));
}

#[test]
fn an_expert_keys_all_of_it_ahead() {
    let mut talk = talk(VoicemailTask::Listen, None);
    talk.start();
    talk.press("100#1234#3")
        .expect("stop | play vm-pin | stop | list 100");
    talk.messages(&[message(1, false)]).expect("delete 100 m1");
    talk.changed(Ok(true)).expect("play vm-message-deleted");
}

#[test]
fn nobody_answers_the_options() {
    let mut talk = talk(VoicemailTask::Listen, Some("100"));
    talk.start();
    talk.press("1234#");
    talk.messages(&[message(1, false)]);
    talk.played();
    for _ in 0..2 {
        talk.played().expect("");
        talk.wait(8.1).expect("play vm-options");
    }
    talk.played();
    talk.wait(8.1).expect("play goodbye");
    talk.played().expect("hang-up");
}

#[test]
fn a_pin_is_compared_whole_and_not_shown() {
    let pin = Pin::new("1234".into());
    assert!(pin.is("1234"));
    for other in ["", "123", "12345", "1235", "0234", "12340"] {
        assert!(!pin.is(other), "{other}");
    }
    assert!(!format!("{:?}", boxes(3)).contains("1234"));
}

#[test]
fn a_locked_box_says_what_a_wrong_pin_says() {
    let mut talk = talk(VoicemailTask::Listen, Some("100"));
    talk.locked = true;
    talk.start();
    talk.press("1234#").expect("stop | play vm-wrong vm-pin");
}

#[test]
fn who_goes_back_to_a_menu_is_not_told_goodbye() {
    let mut talk = Talk::new(&AppSpec::Voicemail(VoicemailSpec {
        task: VoicemailTask::Listen,
        mailbox: Some("100".into()),
        mailboxes: boxes(3),
        goodbye: false,
    }));
    talk.start();
    talk.press("1234#");
    talk.messages(&[message(1, false)]);
    talk.played();
    talk.press("*").expect("stop | hang-up");
}
