use super::*;

fn run(app: &mut App, happened: &Happened, now: Instant) -> Vec<Action> {
    app.handle(happened, now);
    std::iter::from_fn(|| app.poll_action()).collect()
}

fn ended(id: u32) -> Happened {
    Happened::PlayEnded(PlayId(id), PlayOutcome::Finished, Duration::from_secs(1))
}

#[test]
fn play_hangs_up_after_its_prompts_even_when_one_fails() {
    let now = Instant::now();
    for outcome in [
        PlayOutcome::Finished,
        PlayOutcome::Failed("x.wav: gone".into()),
    ] {
        let mut app = App::new(&AppSpec::Play(PlaySpec {
            items: vec![PlayItem::Prompt("welcome".into())],
            repeat: 1,
        }));
        let actions = run(&mut app, &Happened::Established, now);
        assert!(matches!(&actions[..], [Action::Play { repeat: 1, .. }]));
        let end = Happened::PlayEnded(PlayId(0), outcome, Duration::ZERO);
        assert_eq!(run(&mut app, &end, now), [Action::HangUp]);
    }
}

#[test]
fn record_beeps_first_and_hangs_up_when_the_recording_ends() {
    let now = Instant::now();
    let spec = RecordSpec {
        beep: true,
        max: Some(Duration::from_mins(1)),
        silence: None,
        file: None,
    };
    let mut app = App::new(&AppSpec::Record(spec));
    let first = run(&mut app, &Happened::Established, now);
    assert!(matches!(&first[..], [Action::Play { .. }]));
    let second = run(&mut app, &ended(0), now);
    assert!(matches!(&second[..], [Action::Record { max: Some(_), .. }]));
    let end = Happened::RecordEnded(RecordOutcome::MaxLength, Duration::from_mins(1));
    assert_eq!(run(&mut app, &end, now), [Action::HangUp]);
    let failed = RecordOutcome::Failed("disk full".into());
    let end = Happened::RecordEnded(failed, Duration::ZERO);
    assert_eq!(run(&mut app, &end, now), [], "the call goes on");
}

#[test]
fn a_script_hangs_up_at_its_time() {
    let now = Instant::now();
    let mut app = App::new(&AppSpec::Script(ScriptSpec {
        length: Some(Duration::from_secs(3)),
        ..ScriptSpec::default()
    }));
    assert!(run(&mut app, &Happened::Established, now).is_empty());
    assert_eq!(app.poll_timeout(), Some(now + Duration::from_secs(3)));
    app.handle_timeout(now + Duration::from_secs(2));
    assert_eq!(app.poll_action(), None);
    app.handle_timeout(now + Duration::from_secs(3));
    assert_eq!(app.poll_action(), Some(Action::HangUp));
    assert_eq!(app.poll_timeout(), None);
}

fn talk(spec: &AppSpec) -> testing::Talk {
    testing::Talk::new(spec)
}

#[test]
fn record_and_echo_end_with_pound() {
    let spec = RecordSpec {
        beep: true,
        max: None,
        silence: None,
        file: None,
    };
    let mut record = talk(&AppSpec::Record(spec));
    record.start();
    record.press("#").expect("");
    record.played().expect("record");
    record.press("5").expect("");
    record.press("#").expect("stop-record");
    record.recorded().expect("hang-up");
    let mut echo = talk(&AppSpec::Echo);
    echo.start().expect("echo true");
    echo.press("1*").expect("");
    echo.press("#").expect("echo false | hang-up");
}

#[test]
fn digits_are_spoken_back_until_nothing_comes() {
    let mut talk = talk(&AppSpec::Digits(DigitsSpec {
        collect: collect::CollectSpec::default(),
        type_ahead: true,
        goodbye: true,
    }));
    talk.start().expect("play digits-enter");
    talk.press("1").expect("stop");
    talk.press("20*A#")
        .expect("play digits-you-entered digit-1 digit-2 digit-0 digit-star digit-a");
    talk.played().expect("play digits-enter");
    talk.press("7")
        .wait(3.1)
        .expect("play digits-you-entered digit-7");
    // The next entry cuts it short, and loses nothing.
    talk.press("89#")
        .expect("stop | play digits-you-entered digit-8 digit-9");
    talk.played().expect("play digits-enter");
    talk.played()
        .wait(10.1)
        .expect("play digits-none digits-enter");
    talk.played().wait(10.1).expect("play goodbye");
    talk.press("1").expect("");
    talk.played().expect("hang-up");
}

fn announcement(params: &[(&'static str, &'static str)]) -> Result<AnnouncementSpec, &'static str> {
    let find = |name: &str| params.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    AnnouncementSpec::from_params(find, crate::sip::uri::unescaped)
}

#[test]
fn an_announcement_does_what_its_parameters_say() {
    let mut spec = announcement(&[
        ("play", "file:a.wav"),
        ("repeat", "3"),
        ("delay", "500"),
        ("duration", "20000"),
    ])
    .unwrap();
    spec.items = speak::prompts(&["welcome"]);
    let mut three = talk(&AppSpec::Announcement(spec));
    three.start().expect("play welcome x3 gap500");
    three.wait(19.9).expect("");
    three.wait(0.2).expect("stop | hang-up");
    let mut once = announcement(&[("play", "welcome")]).unwrap();
    once.items = speak::prompts(&["welcome"]);
    let mut once = talk(&AppSpec::Announcement(once));
    once.start().expect("play welcome");
    once.played().expect("hang-up");
    assert_eq!(
        announcement(&[("play", "x"), ("repeat", "Forever")])
            .unwrap()
            .repeat,
        0
    );
}

#[test]
fn an_announcement_with_nonsense_is_refused() {
    for params in [
        &[][..],
        &[("play", "")],
        &[("play", "x"), ("repeat", "0")],
        &[("play", "x"), ("repeat", "-1")],
        &[("play", "x"), ("delay", "soon")],
        &[("play", "x"), ("duration", "99999999999999999999")],
        &[("play", "x"), ("duration", "86400001")],
    ] {
        assert!(announcement(params).is_err(), "{params:?}");
    }
}

#[test]
fn a_script_presses_its_keys_after_their_pauses() {
    let ms = Duration::from_millis;
    let digits = ScriptDigits::parse(",,12,#", DtmfMethod::Auto, ms(100), ms(100));
    let mut talk = talk(&AppSpec::Script(ScriptSpec {
        digits,
        length: Some(Duration::from_mins(1)),
        ..ScriptSpec::default()
    }));
    talk.start().expect("");
    talk.wait(1.9).expect("");
    talk.wait(0.2).expect("send 12");
    talk.wait(5.0).expect("");
    talk.happened(&Happened::DigitsSent(Ok(()))).expect("");
    talk.wait(0.9).expect("");
    talk.wait(0.2).expect("send #");
    talk.happened(&Happened::DigitsSent(Err("no".into())))
        .expect("");
    talk.wait(60.0).expect("hang-up");
    let parse = |text| ScriptDigits::parse(text, DtmfMethod::Auto, ms(100), ms(100));
    assert!(parse("1x").is_none() && parse("12#").is_some());
}

#[test]
fn who_cannot_be_recorded_is_told_so() {
    let spec = RecordSpec {
        beep: true,
        max: None,
        silence: None,
        file: None,
    };
    let refused = RecordOutcome::NotBegun("read-only".into());
    let refused = Happened::RecordEnded(refused, Duration::ZERO);
    let mut talk = talk(&AppSpec::Record(spec));
    talk.start().expect("play beep");
    talk.played().expect("record");
    talk.happened(&refused).expect("play vm-failed");
    talk.played().expect("hang-up");
}

#[test]
fn a_recording_that_fails_leaves_a_call_that_pound_ends() {
    let spec = RecordSpec {
        beep: false,
        max: None,
        silence: None,
        file: None,
    };
    let mut talk = talk(&AppSpec::Record(spec));
    talk.start().expect("record");
    let failed = RecordOutcome::Failed("disk full".into());
    talk.happened(&Happened::RecordEnded(failed, Duration::ZERO))
        .expect("");
    talk.press("5").expect("");
    talk.press("#").expect("hang-up");
}
