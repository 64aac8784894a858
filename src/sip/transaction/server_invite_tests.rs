use super::*;

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
enum On {
    Ringing,
    Ok,
    Busy,
    Reliable,
    Prack,
    /// The next timer fires.
    Wake,
}
use On::{Busy, Ok, Prack, Reliable, Ringing, Wake};

fn apply(machine: &mut ServerInvite, on: On, now: &mut Instant) -> String {
    let respond = |status, text: &str| ServerEvent::Respond {
        status,
        bytes: text.as_bytes().to_vec(),
    };
    let event = match on {
        Ringing => respond(180, "180"),
        Ok => respond(200, "200"),
        Busy => respond(486, "486"),
        Reliable => ServerEvent::RespondReliable {
            rseq: 7,
            bytes: b"183".to_vec(),
        },
        Prack => ServerEvent::Acknowledged { rseq: 7 },
        Wake => {
            if let Some(at) = machine.poll_timeout() {
                *now = at;
            }
            machine.handle_timeout(*now);
            return drain(machine);
        }
    };
    machine.handle(event, *now);
    drain(machine)
}

fn drain(machine: &mut ServerInvite) -> String {
    let mut words = Vec::new();
    while let Some(output) = machine.poll_output() {
        words.push(match output {
            ServerOutput::Send(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => format!("{other:?}"),
        });
    }
    words.join(" ")
}

/// Each output with its time in milliseconds, nothing happening but timers, until the end.
fn timeline(first: On, reliable: bool) -> Vec<(u128, String)> {
    let start = Instant::now();
    let mut now = start;
    let mut machine = ServerInvite::new(Timers::default(), reliable, now);
    apply(&mut machine, first, &mut now);
    let mut log = Vec::new();
    while machine.poll_timeout().is_some() {
        let out = apply(&mut machine, Wake, &mut now);
        if !out.is_empty() {
            log.push((now.duration_since(start).as_millis(), out));
        }
    }
    log
}

#[test]
fn final_responses_back_off_to_t2_until_64_t1() {
    let times = [
        500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
    ];
    let mut ok: Vec<_> = times.iter().map(|at| (*at, "200".to_owned())).collect();
    ok.push((32_000, "AckTimeout".to_owned()));
    assert_eq!(timeline(Ok, false), ok);
    assert_eq!(timeline(Ok, true), ok);
    let busy: Vec<_> = times.iter().map(|at| (*at, "486".to_owned())).collect();
    assert_eq!(timeline(Busy, false), busy);
    assert_eq!(timeline(Busy, true), []);
}

#[test]
fn reliable_provisionals_double_without_bound() {
    let mut want: Vec<_> = [500, 1500, 3500, 7500, 15500, 31500]
        .iter()
        .map(|at| (*at, "183".to_owned()))
        .collect();
    want.push((32_000, "ProvisionalTimeout".to_owned()));
    assert_eq!(timeline(Reliable, false), want);
}

#[test]
fn a_final_response_ends_the_provisional_and_a_late_prack_still_fits() {
    let mut now = Instant::now();
    let mut machine = ServerInvite::new(Timers::default(), false, now);
    apply(&mut machine, Reliable, &mut now);
    apply(&mut machine, Ok, &mut now);
    assert!(machine.awaits(7));
    assert_eq!(apply(&mut machine, Wake, &mut now), "200");
    apply(&mut machine, Prack, &mut now);
    assert!(!machine.awaits(7));
}

#[test]
fn an_answer_within_200_ms_needs_no_trying() {
    let mut now = Instant::now();
    let mut machine = ServerInvite::new(Timers::default(), false, now);
    now += 199 * MS;
    machine.handle_timeout(now);
    assert_eq!(drain(&mut machine), "");
    apply(&mut machine, Ringing, &mut now);
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn waiting_provisionals_are_bounded() {
    let mut now = Instant::now();
    let mut machine = ServerInvite::new(Timers::default(), false, now);
    for _ in 0..1000 {
        apply(&mut machine, Reliable, &mut now);
    }
    assert_eq!(machine.provisionals.len(), MAX_PROVISIONALS);
}
