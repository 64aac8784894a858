use super::*;

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
enum On {
    Invite,
    Ack,
    Ringing,
    Ok,
    Busy,
    Reliable,
    Prack,
    Failure,
    /// The next timer fires.
    Wake,
}
use On::{Ack, Busy, Failure, Invite, Ok, Prack, Reliable, Ringing, Wake};

fn apply(machine: &mut ServerInvite, on: On, now: &mut Instant) -> String {
    let respond = |status, text: &str| ServerEvent::Respond {
        status,
        bytes: text.as_bytes().to_vec(),
    };
    let event = match on {
        Invite => ServerEvent::Retransmission,
        Ack => ServerEvent::Ack,
        Ringing => respond(180, "180"),
        Ok => respond(200, "200"),
        Busy => respond(486, "486"),
        Reliable => ServerEvent::RespondReliable {
            rseq: 7,
            bytes: b"183".to_vec(),
        },
        Prack => ServerEvent::Acknowledged { rseq: 7 },
        Failure => ServerEvent::TransportFailed,
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

fn check(reliable: bool, table: &[(&[On], On, State, &str)]) {
    for (path, on, state, outputs) in table {
        let mut now = Instant::now();
        let mut machine = ServerInvite::new(Timers::default(), reliable, now);
        for step in *path {
            apply(&mut machine, *step, &mut now);
        }
        let got = apply(&mut machine, *on, &mut now);
        assert_eq!(
            (machine.state(), got.as_str()),
            (*state, *outputs),
            "{path:?} then {on:?}, reliable: {reliable}"
        );
    }
}

#[test]
fn every_state_takes_every_event() {
    use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    check(
        false,
        &[
            (&[], Invite, Proceeding, "Trying"),
            (&[Ringing], Invite, Proceeding, "180"),
            (&[], Ack, Proceeding, ""),
            (&[], Ringing, Proceeding, "180"),
            (&[], Ok, Accepted, "200"),
            (&[], Busy, Completed, "486"),
            (&[], Reliable, Proceeding, "183"),
            (&[], Prack, Proceeding, ""),
            (&[], Failure, Proceeding, ""),
            (&[], Wake, Proceeding, "Trying"),
            (&[Reliable], Invite, Proceeding, "183"),
            (&[Reliable], Reliable, Proceeding, ""),
            (&[Reliable], Wake, Proceeding, "183"),
            (&[Reliable, Prack], Wake, Proceeding, ""),
            (&[Reliable, Reliable], Prack, Proceeding, "183"),
            (&[Ok], Invite, Accepted, "200"),
            (&[Ok], Ack, Accepted, "Ack"),
            (&[Ok, Ack], Ack, Accepted, ""),
            (&[Ok, Ack], Invite, Accepted, "200"),
            (&[Ok], Ringing, Accepted, ""),
            (&[Ok], Ok, Accepted, ""),
            (&[Ok], Busy, Accepted, ""),
            (&[Ok], Reliable, Accepted, ""),
            (&[Ok], Prack, Accepted, ""),
            (&[Ok], Failure, Accepted, ""),
            (&[Ok], Wake, Accepted, "200"),
            (&[Ok, Ack], Wake, Terminated, ""),
            (&[Busy], Invite, Completed, "486"),
            (&[Busy], Ack, Confirmed, ""),
            (&[Busy], Ringing, Completed, ""),
            (&[Busy], Ok, Completed, ""),
            (&[Busy], Busy, Completed, ""),
            (&[Busy], Reliable, Completed, ""),
            (&[Busy], Prack, Completed, ""),
            (&[Busy], Failure, Terminated, ""),
            (&[Busy], Wake, Completed, "486"),
            (&[Busy, Ack], Invite, Confirmed, ""),
            (&[Busy, Ack], Ack, Confirmed, ""),
            (&[Busy, Ack], Ringing, Confirmed, ""),
            (&[Busy, Ack], Ok, Confirmed, ""),
            (&[Busy, Ack], Busy, Confirmed, ""),
            (&[Busy, Ack], Reliable, Confirmed, ""),
            (&[Busy, Ack], Prack, Confirmed, ""),
            (&[Busy, Ack], Failure, Confirmed, ""),
            (&[Busy, Ack], Wake, Terminated, ""),
            (&[Busy, Failure], Invite, Terminated, ""),
            (&[Busy, Failure], Ack, Terminated, ""),
            (&[Busy, Failure], Ringing, Terminated, ""),
            (&[Busy, Failure], Ok, Terminated, ""),
            (&[Busy, Failure], Busy, Terminated, ""),
            (&[Busy, Failure], Reliable, Terminated, ""),
            (&[Busy, Failure], Prack, Terminated, ""),
            (&[Busy, Failure], Failure, Terminated, ""),
            (&[Busy, Failure], Wake, Terminated, ""),
        ],
    );
    check(
        true,
        &[
            (&[Busy], Ack, Terminated, ""),
            // Only timer H runs.
            (&[Busy], Wake, Terminated, ""),
            // The 2xx is repeated all the same.
            (&[Ok], Wake, Accepted, "200"),
            (&[Reliable], Wake, Proceeding, "183"),
        ],
    );
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
