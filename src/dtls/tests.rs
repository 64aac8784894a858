use super::*;

use crate::sdp::Profile;

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
    let key = made.signing_key.serialize_der();
    Identity::new(made.cert.der().to_vec(), key).unwrap()
}

/// Two sides and the way between them.
struct Pair {
    sides: [Handshake; 2],
    now: Instant,
    keys: [Option<Keys>; 2],
    failed: [Option<Failure>; 2],
    /// Datagrams sent so far, by whom, with their content.
    sent: Vec<(usize, Vec<u8>)>,
}

impl Pair {
    fn new(awaited: [&Identity; 2], own: [&Identity; 2]) -> Self {
        let now = Instant::now();
        let side = |index: usize, role| {
            let association = Association {
                rtcp_apart: false,
                remote: awaited[index].fingerprint().clone(),
                role,
                profile: Profile::TlsSavp,
                address: None,
                local_id: None,
                remote_id: None,
            };
            Handshake::new(own[index], association, now)
        };
        Self {
            sides: [side(0, Role::Client), side(1, Role::Server)],
            now,
            keys: [None, None],
            failed: [None, None],
            sent: Vec::new(),
        }
    }

    /// Runs for so long; `pass` may change or drop what is sent.
    fn run(&mut self, time: Duration, mut pass: impl FnMut(usize, &mut Vec<u8>) -> bool) {
        let end = self.now + time;
        loop {
            let mut moved = false;
            for from in [0, 1] {
                while let Some(output) = self.sides[from].poll_output() {
                    moved = true;
                    match output {
                        Output::Send(mut datagram) => {
                            assert!(datagram.len() <= MAX_DATAGRAM);
                            self.sent.push((from, datagram.clone()));
                            if pass(self.sent.len() - 1, &mut datagram) {
                                self.sides[1 - from].handle(&datagram, self.now);
                            }
                        }
                        Output::Keys(keys) => self.keys[from] = Some(*keys),
                        Output::Failed(failure) => self.failed[from] = Some(failure),
                    }
                }
            }
            if moved {
                continue;
            }
            let next = self.sides.iter().filter_map(Handshake::poll_timeout).min();
            let Some(at) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            for side in &mut self.sides {
                if side.poll_timeout().is_some_and(|at| at <= self.now) {
                    side.handle_timeout(self.now);
                }
            }
        }
        self.now = end;
    }

    fn check_keys(&self) {
        let [Some(client), Some(server)] = &self.keys else {
            panic!("no keys: {:?}", self.failed);
        };
        assert_eq!((&client.rx, &client.tx), (&server.tx, &server.rx));
        assert_ne!(client.rx, client.tx);
    }
}

#[test]
fn both_sides_have_the_same_keys() {
    let (a, b) = (identity(), identity());
    let mut pair = Pair::new([&b, &a], [&a, &b]);
    pair.run(Duration::from_millis(10), |_, _| true);
    pair.check_keys();
    assert!(pair.sides.iter().all(|side| !side.is_running()));
}

#[test]
fn each_side_refuses_another_certificate() {
    let (a, b, other) = (identity(), identity(), identity());
    for (index, awaited) in [[&other, &a], [&b, &other]].into_iter().enumerate() {
        let mut pair = Pair::new(awaited, [&a, &b]);
        pair.run(LIMIT * 2, |_, _| true);
        assert!(pair.keys[index].is_none());
        assert_eq!(pair.failed[index], Some(Failure::WrongCertificate));
    }
}

#[test]
fn any_datagram_may_be_lost() {
    let (a, b) = (identity(), identity());
    let mut whole = Pair::new([&b, &a], [&a, &b]);
    whole.run(LIMIT, |_, _| true);
    let count = whole.sent.len();
    assert!((4..20).contains(&count), "{count}");
    for lost in 0..count {
        let mut pair = Pair::new([&b, &a], [&a, &b]);
        pair.run(LIMIT, |index, _| index != lost);
        pair.check_keys();
    }
    let mut pair = Pair::new([&b, &a], [&a, &b]);
    pair.run(LIMIT, |index, _| index % 3 != 0);
    pair.check_keys();
}

#[test]
fn without_an_answer_it_ends_and_does_not_send_much() {
    let (a, b) = (identity(), identity());
    let mut pair = Pair::new([&b, &a], [&a, &b]);
    pair.run(LIMIT, |_, _| false);
    assert!(pair.failed.iter().all(|f| *f == Some(Failure::TimedOut)));
    assert!(pair.sent.len() <= 1 + 5, "{}", pair.sent.len());
    assert!(pair.sides.iter().all(|side| side.poll_timeout().is_none()));
}

/// A fatal alert in the clear: handshake_failure.
const ALERT: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];

/// Anybody can send one: it ends nothing, whenever it comes.
#[test]
fn a_forged_alert_ends_no_handshake() {
    let (a, b) = (identity(), identity());
    let mut whole = Pair::new([&b, &a], [&a, &b]);
    whole.run(LIMIT, |_, _| true);
    for after in 0..=whole.sent.len() {
        let mut pair = Pair::new([&b, &a], [&a, &b]);
        pair.run(Duration::from_millis(10), |index, _| index < after);
        for side in &mut pair.sides {
            side.handle(&ALERT, pair.now);
        }
        pair.run(LIMIT, |_, _| true);
        assert_eq!(pair.failed, [None, None], "{after}");
        pair.check_keys();
    }
}

#[test]
fn an_alert_is_told_where_nothing_else_comes() {
    let (a, b) = (identity(), identity());
    let mut pair = Pair::new([&b, &a], [&a, &b]);
    for side in &mut pair.sides {
        side.handle(&ALERT, pair.now);
    }
    pair.run(LIMIT / 2, |_, _| false);
    assert_eq!(pair.failed, [None, None], "not before its time");
    pair.run(LIMIT, |_, _| false);
    let failure = Failure::Alerted(40);
    assert!(failure.to_string().contains("10 s, alert 40"), "{failure}");
    assert_eq!(pair.failed, [Some(failure.clone()), Some(failure)]);
}

/// A ServerHelloDone without content, of which each side awaits none so early.
fn ahead(number: u8) -> Vec<u8> {
    let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, number, 0, 12];
    datagram.extend([14, 0, 0, 0, 1, number, 0, 0, 0, 0, 0, 0]);
    datagram
}

#[test]
fn more_than_can_wait_is_as_if_lost() {
    let (a, b) = (identity(), identity());
    let mut pair = Pair::new([&b, &a], [&a, &b]);
    for number in 0..100 {
        for side in &mut pair.sides {
            side.handle(&ahead(number), pair.now);
        }
    }
    pair.run(LIMIT / 2, |_, _| false);
    assert!(pair.sides.iter().all(Handshake::is_running));
    pair.run(LIMIT, |_, _| false);
    assert!(pair.failed.iter().all(|f| *f == Some(Failure::TimedOut)));
}

/// Whatever comes, nothing panics, and no keys come that the other side does not have.
#[test]
fn altered_datagrams_give_no_other_keys() {
    let (a, b) = (identity(), identity());
    for step in 0..150usize {
        let mut pair = Pair::new([&b, &a], [&a, &b]);
        pair.run(LIMIT, |index, datagram| {
            if index == step % 10 {
                let at = step * 37 % datagram.len();
                datagram[at] ^= 1 << (step % 8);
                if step % 7 == 0 {
                    datagram.truncate(at);
                }
            }
            true
        });
        if let [Some(client), Some(server)] = &pair.keys {
            assert_eq!((&client.rx, &client.tx), (&server.tx, &server.rx));
        }
    }
}

#[test]
fn after_the_keys_nonsense_takes_none_away() {
    let (a, b) = (identity(), identity());
    let mut pair = Pair::new([&b, &a], [&a, &b]);
    pair.run(LIMIT, |_, _| true);
    let sent = pair.sent.clone();
    for (from, datagram) in sent {
        for to in [1 - from, from] {
            pair.sides[to].handle(&datagram, pair.now);
            pair.sides[to].handle(&[22; 100], pair.now);
        }
    }
    pair.run(LIMIT, |_, _| true);
    pair.check_keys();
    assert_eq!(pair.failed, [None, None]);
}
