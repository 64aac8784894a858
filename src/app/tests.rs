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
        max: Some(Duration::from_secs(60)),
        silence: None,
        file: None,
    };
    let mut app = App::new(&AppSpec::Record(spec));
    let first = run(&mut app, &Happened::Established, now);
    assert!(matches!(&first[..], [Action::Play { .. }]));
    let second = run(&mut app, &ended(0), now);
    assert!(matches!(&second[..], [Action::Record { max: Some(_), .. }]));
    let end = Happened::RecordEnded(RecordOutcome::MaxLength, Duration::from_secs(60));
    assert_eq!(run(&mut app, &end, now), [Action::HangUp]);
    let failed = RecordOutcome::Failed("disk full".into());
    let end = Happened::RecordEnded(failed, Duration::ZERO);
    assert_eq!(run(&mut app, &end, now), [], "the call goes on");
}

#[test]
fn a_lone_member_is_told_until_company_comes() {
    let now = Instant::now();
    let mut app = App::new(&AppSpec::Conference(ConferenceSpec {
        room: "600".into(),
        lone_prompt: true,
        max_members: 10,
    }));
    assert_eq!(
        run(&mut app, &Happened::Established, now),
        [Action::Join("600".into())]
    );
    assert_eq!(run(&mut app, &Happened::Alone, now).len(), 1);
    assert_eq!(
        run(&mut app, &Happened::Alone, now).len(),
        0,
        "not twice at once"
    );
    assert_eq!(run(&mut app, &Happened::Company, now), [Action::StopPlay]);
    assert_eq!(run(&mut app, &ended(0), now).len(), 0);
    assert_eq!(run(&mut app, &Happened::JoinFailed, now), [Action::HangUp]);
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
