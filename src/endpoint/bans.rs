//! Who has misbehaved, and is not heard for a while: a meter per source, in a bounded table.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::sip::source::subscriber;

/// What a source is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A scanner's name in User-Agent, From or To.
    Scanner,
    /// A wrong password, or a user that there is not.
    FailedAuthentication,
    /// A 401 that is not answered with credentials; taken back when it is.
    UnansweredChallenge,
    /// What is no SIP message, or a request that breaks the rules (400).
    Malformed,
    /// A call to a user that there is not (404).
    UnknownUser,
    /// New calls beyond the limit per second.
    RateExcess,
}

impl Offence {
    /// One word for logs and lists.
    pub const fn word(self) -> &'static str {
        match self {
            Offence::Scanner => "scanner",
            Offence::FailedAuthentication => "failed-authentication",
            Offence::UnansweredChallenge => "unanswered-challenge",
            Offence::Malformed => "malformed",
            Offence::UnknownUser => "unknown-user",
            Offence::RateExcess => "rate-excess",
        }
    }
}

/// What a ban shuts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything from the source: it has shown that it receives what we send there.
    All,
    /// New requests over UDP without a nonce of ours: the source may have been forged.
    Udp,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::All => "all",
            Scope::Udp => "udp",
        })
    }
}

/// A source that is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// An IPv4 address, or the first address of an IPv6 /64.
    pub source: IpAddr,
    /// What is shut out.
    pub scope: Scope,
    /// The offence that was one too many.
    pub reason: Offence,
    /// Bans of this source in a row, this one included.
    pub times: u32,
    /// How long it is.
    pub length: Duration,
    /// When it ends.
    pub until: Instant,
}

impl Ban {
    /// The source for people and for firewalls: an address, or a network.
    pub fn address(&self) -> String {
        match self.source {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("{v6}/64"),
        }
    }
}

/// How many offences are too many: so many at once, or mixed in proportion; one is forgiven each
/// `window` divided by the number. 0: not held against anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanSettings {
    /// Requests of scanners.
    pub scanner: u32,
    /// Failed authentications.
    pub failed_authentication: u32,
    /// Challenges without an answer.
    pub unanswered_challenge: u32,
    /// Malformed messages.
    pub malformed: u32,
    /// Calls to unknown users.
    pub unknown_user: u32,
    /// Calls beyond the limit per second.
    pub rate_excess: u32,
    /// In which all is forgiven.
    pub window: Duration,
    /// The first ban; each further one of the same source is twice as long.
    pub length: Duration,
    /// The longest ban.
    pub max_length: Duration,
    /// Sources that are remembered, of each scope. At the bound the one that says least goes: whose
    /// offences, or whose ban, are over soonest.
    pub sources: usize,
}

impl Default for BanSettings {
    fn default() -> Self {
        Self {
            scanner: 1,
            failed_authentication: 10,
            unanswered_challenge: 30,
            malformed: 20,
            unknown_user: 30,
            rate_excess: 200,
            window: Duration::from_mins(1),
            length: Duration::from_mins(10),
            max_length: Duration::from_hours(24),
            sources: 10_000,
        }
    }
}

impl BanSettings {
    /// What one offence costs of the window; none: nothing.
    fn cost(&self, offence: Offence) -> Option<Duration> {
        let number = match offence {
            Offence::Scanner => self.scanner,
            Offence::FailedAuthentication => self.failed_authentication,
            Offence::UnansweredChallenge => self.unanswered_challenge,
            Offence::Malformed => self.malformed,
            Offence::UnknownUser => self.unknown_user,
            Offence::RateExcess => self.rate_excess,
        };
        (number > 0).then(|| self.window / number)
    }

    /// How long the ban is that follows so many others.
    fn length_after(&self, times: u32) -> Duration {
        let length = self.length.saturating_mul(1 << times.min(20));
        length.min(self.max_length)
    }
}

/// The meters of one scope.
///
/// A meter is kept as the instant at which all is forgiven (GCRA), so that an entry whose instants
/// have passed says nothing and can go.
#[derive(Debug)]
pub(super) struct Meters {
    scope: Scope,
    settings: BanSettings,
    entries: HashMap<IpAddr, Entry>,
    /// When each entry says nothing any more.
    by_end: BTreeSet<(Instant, IpAddr)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    forgiven: Instant,
    ban: Option<Ban>,
    /// The next request that passes a ban of [`Scope::Udp`].
    passes: Instant,
    end: Instant,
}

impl Meters {
    pub(super) fn new(scope: Scope, settings: BanSettings) -> Self {
        Self {
            scope,
            settings,
            entries: HashMap::new(),
            by_end: BTreeSet::new(),
        }
    }

    /// Counts an offence; the ban, if that was one too many.
    pub(super) fn count(&mut self, source: IpAddr, offence: Offence, now: Instant) -> Option<Ban> {
        let cost = self.settings.cost(offence)?;
        if self.ban(source, now).is_some() {
            return None;
        }
        let source = subscriber(source);
        let mut entry = self.take(source).unwrap_or(Entry {
            forgiven: now,
            ban: None,
            passes: now,
            end: now,
        });
        // One whose bans are long over begins anew.
        entry.ban = entry.ban.filter(|_| entry.end > now);
        entry.forgiven = entry.forgiven.max(now) + cost;
        let mut banned = None;
        // The number itself is enough, although a little is forgiven between any two.
        if entry.forgiven + cost / 2 >= now + self.settings.window {
            let before = entry.ban.map_or(0, |ban| ban.times);
            let length = self.settings.length_after(before);
            let ban = Ban {
                source,
                scope: self.scope,
                reason: offence,
                times: before + 1,
                length,
                until: now + length,
            };
            entry.forgiven = now;
            entry.ban = Some(ban);
            // Repeaters are known for twice as long again.
            entry.end = ban.until + length * 2;
            banned = Some(ban);
        }
        entry.end = entry.end.max(entry.forgiven);
        self.put(source, entry, now);
        banned
    }

    /// Takes an offence back.
    pub(super) fn forgive(&mut self, source: IpAddr, offence: Offence) {
        let source = subscriber(source);
        if let Some(cost) = self.settings.cost(offence)
            && let Some(entry) = self.entries.get_mut(&source)
        {
            entry.forgiven = entry.forgiven.checked_sub(cost).unwrap_or(entry.forgiven);
        }
    }

    /// The ban of a source that holds now.
    pub(super) fn ban(&self, source: IpAddr, now: Instant) -> Option<&Ban> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = self.entries.get(&subscriber(source))?;
        entry.ban.as_ref().filter(|ban| ban.until > now)
    }

    /// Whether a banned source may have one more request through: one in each `interval`.
    pub(super) fn passes(&mut self, source: IpAddr, interval: Duration, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(&subscriber(source)) else {
            return true;
        };
        let passes = entry.passes <= now;
        if passes {
            entry.passes = now + interval;
        }
        passes
    }

    /// All bans that hold now.
    pub(super) fn bans(&self, now: Instant) -> impl Iterator<Item = Ban> {
        let bans = self.entries.values().filter_map(|entry| entry.ban);
        bans.filter(move |ban| ban.until > now)
    }

    /// Forgets a source; whether it was banned.
    pub(super) fn lift(&mut self, source: IpAddr, now: Instant) -> bool {
        let entry = self.take(subscriber(source));
        entry.is_some_and(|e| e.ban.is_some_and(|ban| ban.until > now))
    }

    fn take(&mut self, source: IpAddr) -> Option<Entry> {
        let entry = self.entries.remove(&source)?;
        self.by_end.remove(&(entry.end, source));
        Some(entry)
    }

    fn put(&mut self, source: IpAddr, entry: Entry, now: Instant) {
        for _ in 0..2 {
            let Some(&(end, first)) = self.by_end.first() else {
                break;
            };
            if end > now && self.by_end.len() < self.settings.sources.max(1) {
                break;
            }
            self.take(first);
        }
        self.by_end.insert((entry.end, source));
        self.entries.insert(source, entry);
    }
}

#[cfg(test)]
mod tests {
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
            meters.forgive(ip(1), Offence::UnansweredChallenge);
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
}
