//! Meters by the clock that they are told.

use super::*;

fn ip(last: u32) -> IpAddr {
    IpAddr::V4((0x0a00_0000 + last).into())
}

fn meters() -> Meters {
    Meters::new(Scope::All, BanSettings::default())
}

/// Fails at once until it is banned; how often that took.
fn offend(meters: &mut Meters, source: IpAddr, offence: Offence, now: Instant) -> (u32, Ban) {
    for n in 1..1000 {
        if let Some(ban) = meters.count(source, offence, now) {
            return (n, ban);
        }
    }
    panic!("never banned");
}

const FAILED: Offence = Offence::FailedAuthentication;
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn as_many_as_configured_are_too_many() {
    let now = Instant::now();
    let settings = BanSettings::default();
    for (offence, number) in [
        (Offence::Scanner, settings.scanner),
        (FAILED, settings.failed_authentication),
        (Offence::UnansweredChallenge, settings.unanswered_challenge),
        (Offence::Malformed, settings.malformed),
        (Offence::UnknownUser, settings.unknown_user),
        (Offence::RateExcess, settings.rate_excess),
    ] {
        let (n, ban) = offend(&mut meters(), ip(1), offence, now);
        assert_eq!((n, ban.reason), (number, offence));
        assert_eq!(ban.until, now + settings.length);
    }
    let mut off = Meters::new(
        Scope::All,
        BanSettings {
            malformed: 0,
            ..settings
        },
    );
    assert!((0..1000).all(|_| off.count(ip(1), Offence::Malformed, now).is_none()));
}

#[test]
fn a_moment_between_them_makes_no_difference() {
    let settings = BanSettings {
        malformed: 2,
        ..BanSettings::default()
    };
    let mut meters = Meters::new(Scope::All, settings);
    let now = Instant::now();
    assert_eq!(meters.count(ip(1), Offence::Malformed, now), None);
    let later = now + Duration::from_millis(100);
    assert!(meters.count(ip(1), Offence::Malformed, later).is_some());
}

#[test]
fn offences_are_forgiven_with_time_and_add_up_across_kinds() {
    let mut meters = meters();
    let mut now = Instant::now();
    for _ in 0..100 {
        assert_eq!(meters.count(ip(1), FAILED, now), None);
        now += SECOND * 7;
    }
    now += SECOND * 60;
    for _ in 0..5 {
        assert_eq!(meters.count(ip(2), FAILED, now), None);
    }
    for _ in 0..9 {
        assert_eq!(meters.count(ip(2), Offence::Malformed, now), None);
    }
    assert!(meters.count(ip(2), Offence::Malformed, now).is_some());
    assert!(meters.ban(ip(3), now).is_none(), "nobody else is touched");
}

#[test]
fn what_is_taken_back_does_not_count() {
    let mut meters = meters();
    let now = Instant::now();
    for _ in 0..1000 {
        assert_eq!(meters.count(ip(1), Offence::UnansweredChallenge, now), None);
        meters.forgive_challenges(ip(1), now);
    }
}

#[test]
fn what_is_taken_back_of_challenges_pays_for_nothing_else() {
    let mut meters = meters();
    let now = Instant::now();
    let banned = (1..100).find(|_| {
        if meters.count(ip(1), FAILED, now).is_some() {
            return true;
        }
        assert_eq!(meters.count(ip(1), Offence::UnansweredChallenge, now), None);
        for _ in 0..10 {
            meters.forgive_challenges(ip(1), now);
        }
        false
    });
    assert_eq!(banned, Some(BanSettings::default().failed_authentication));
    // Nor when they are long forgiven by themselves.
    for source in [2, 3] {
        for _ in 0..10 {
            meters.count(ip(source), Offence::UnansweredChallenge, now);
        }
        let later = now + SECOND * 30;
        for _ in 0..9 {
            assert_eq!(meters.count(ip(source), FAILED, later), None);
            if source == 2 {
                meters.forgive_challenges(ip(source), later);
            }
        }
        assert!(
            meters.count(ip(source), FAILED, later).is_some(),
            "{source}"
        );
    }
}

#[test]
fn repeaters_are_out_for_twice_as_long_up_to_a_bound_and_in_the_end_begin_anew() {
    let mut meters = meters();
    let settings = BanSettings::default();
    let mut now = Instant::now();
    let mut length = settings.length;
    for times in 1..=12 {
        let (_, ban) = offend(&mut meters, ip(1), FAILED, now);
        assert_eq!((ban.times, ban.length), (times, length));
        assert!(
            meters
                .ban(ip(1), ban.until.checked_sub(SECOND).unwrap())
                .is_some()
        );
        assert!(meters.ban(ip(1), ban.until).is_none(), "it ends");
        now = ban.until + SECOND;
        length = (length * 2).min(settings.max_length);
    }
    assert_eq!(length, settings.max_length);
    now += settings.max_length * 2;
    let (_, ban) = offend(&mut meters, ip(1), FAILED, now);
    assert_eq!((ban.times, ban.length), (1, settings.length));
}

#[test]
fn the_table_is_bounded_and_bans_outlast_small_offences() {
    let settings = BanSettings {
        sources: 100,
        ..BanSettings::default()
    };
    let mut meters = Meters::new(Scope::Udp, settings);
    let now = Instant::now();
    offend(&mut meters, ip(1), FAILED, now);
    for n in 2..10_000 {
        meters.count(ip(n), Offence::Malformed, now);
        assert!(meters.entries.len() <= 100);
        assert_eq!(meters.entries.len(), meters.by_end.len());
    }
    assert!(meters.ban(ip(1), now).is_some());
    assert_eq!(meters.bans(now).count(), 1);
    let later = now + settings.length * 4;
    // Each that counts takes two along; who is banned does not count any more.
    for n in 0..100 {
        meters.count(ip(20_000 + n % 10), Offence::Malformed, later);
    }
    assert_eq!(meters.entries.len(), 10, "what says nothing goes");
}

#[test]
fn other_rules_shorten_bans_and_never_lengthen_them() {
    let mut meters = meters();
    let before = BanSettings::default();
    let now = Instant::now();
    for _ in 0..2 {
        // The second one is twice as long.
        offend(&mut meters, ip(1), FAILED, now);
        meters
            .entries
            .get_mut(&ip(1))
            .unwrap()
            .ban
            .as_mut()
            .unwrap()
            .until = now;
    }
    let (_, ban) = offend(&mut meters, ip(1), FAILED, now);
    assert_eq!((ban.times, ban.length), (3, before.length * 4));
    offend(&mut meters, ip(2), Offence::Malformed, now);
    let longer = BanSettings {
        length: before.length * 2,
        ..before
    };
    meters.set_settings(longer, now + SECOND);
    assert_eq!(meters.ban(ip(1), now + SECOND), Some(&ban));
    let shorter = BanSettings {
        length: SECOND * 10,
        malformed: 0,
        ..before
    };
    meters.set_settings(shorter, now + SECOND);
    let ban = *meters.ban(ip(1), now + SECOND).unwrap();
    assert_eq!((ban.length, ban.until), (SECOND * 40, now + SECOND * 40));
    assert!(meters.ban(ip(2), now + SECOND).is_none(), "counts no more");
    assert!(meters.ban(ip(1), ban.until).is_none());
    let (_, next) = offend(&mut meters, ip(1), FAILED, ban.until);
    assert_eq!((next.times, next.length), (4, SECOND * 80), "a repeater");
    meters.set_settings(shorter, next.until);
    assert!(
        meters.ban(ip(1), next.until).is_none(),
        "what is over stays over"
    );
}

#[test]
fn what_was_counted_keeps_its_part_under_other_rules() {
    let mut meters = meters();
    let now = Instant::now();
    for _ in 0..5 {
        assert_eq!(meters.count(ip(1), FAILED, now), None);
    }
    let settings = BanSettings {
        window: SECOND * 600,
        failed_authentication: 4,
        ..BanSettings::default()
    };
    meters.set_settings(settings, now);
    assert_eq!(meters.count(ip(1), FAILED, now), None, "three quarters");
    assert!(meters.count(ip(1), FAILED, now).is_some());
}

#[test]
fn fewer_sources_are_remembered_under_other_rules() {
    let mut meters = meters();
    let now = Instant::now();
    offend(&mut meters, ip(1), FAILED, now);
    for n in 2..1000 {
        meters.count(ip(n), Offence::Malformed, now);
    }
    let settings = BanSettings {
        sources: 100,
        ..BanSettings::default()
    };
    meters.set_settings(settings, now);
    assert_eq!((meters.entries.len(), meters.by_end.len()), (100, 100));
    assert!(meters.ban(ip(1), now).is_some(), "bans outlast");
}

#[test]
fn lifted_is_forgotten() {
    let mut meters = meters();
    let now = Instant::now();
    offend(&mut meters, ip(1), FAILED, now);
    assert!(meters.lift(ip(1), now));
    assert!(!meters.lift(ip(1), now));
    assert!(meters.ban(ip(1), now).is_none());
    assert_eq!(offend(&mut meters, ip(1), FAILED, now).1.times, 1);
}

#[test]
fn a_v6_subscriber_is_one_source() {
    let mut meters = meters();
    let now = Instant::now();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    offend(&mut meters, ip("2001:db8::1"), FAILED, now);
    assert!(meters.ban(ip("2001:db8::2"), now).is_some());
    assert!(meters.ban(ip("2001:db8:0:1::2"), now).is_none());
}
