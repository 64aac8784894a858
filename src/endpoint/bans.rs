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
    /// A 401 that is not answered with credentials; all are taken back when one is.
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

    /// Repeaters are known for twice as long again.
    fn known_until(&self) -> Instant {
        self.until + self.length * 2
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
    /// When all is forgiven.
    forgiven: Instant,
    /// When the unanswered challenges among it would be, if there were nothing else: so much and no more
    /// can be taken back.
    asked: Instant,
    ban: Option<Ban>,
    /// The next request that passes a ban of [`Scope::Udp`].
    passes: Instant,
    end: Instant,
}

impl Entry {
    fn under(mut self, before: &BanSettings, after: &BanSettings, now: Instant) -> Self {
        let scaled = |at: Instant| {
            let left = at.saturating_duration_since(now);
            let part = left.div_duration_f64(before.window).min(1.0);
            now + after.window.mul_f64(part)
        };
        (self.forgiven, self.asked) = (scaled(self.forgiven), scaled(self.asked));
        self.ban = self.ban.filter(|ban| after.cost(ban.reason).is_some());
        self.end = self.forgiven;
        if let Some(ban) = &mut self.ban {
            let length = after.length_after(ban.times - 1).min(ban.length);
            let sooner = ban.length.saturating_sub(length);
            ban.until = ban.until.checked_sub(sooner).unwrap_or(now);
            ban.length = length;
            self.end = self.end.max(ban.known_until());
        }
        self
    }
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

    /// Puts other rules in force. What was counted keeps its part of the window. A ban ends when it
    /// would have under the new rules, if that is sooner, and at once where its reason counts no more.
    pub(super) fn set_settings(&mut self, settings: BanSettings, now: Instant) {
        let before = std::mem::replace(&mut self.settings, settings);
        self.by_end.clear();
        let entries = std::mem::take(&mut self.entries).into_iter();
        let changed = entries.map(|(source, entry)| (source, entry.under(&before, &settings, now)));
        let mut entries: Vec<_> = changed.collect();
        // Where there are more than may be, those that say least make room for the others.
        entries.sort_by_key(|(source, entry)| (entry.end, *source));
        for (source, entry) in entries {
            self.put(source, entry, now);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.by_end.clear();
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
            asked: now,
            ban: None,
            passes: now,
            end: now,
        });
        // One whose bans are long over begins anew.
        entry.ban = entry.ban.filter(|_| entry.end > now);
        entry.forgiven = entry.forgiven.max(now) + cost;
        if offence == Offence::UnansweredChallenge {
            entry.asked = entry.asked.max(now) + cost;
        }
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
            (entry.forgiven, entry.asked) = (now, now);
            entry.ban = Some(ban);
            entry.end = ban.known_until();
            banned = Some(ban);
        }
        entry.end = entry.end.max(entry.forgiven);
        self.put(source, entry, now);
        banned
    }

    /// Takes the unanswered challenges back, and nothing else.
    pub(super) fn forgive_challenges(&mut self, source: IpAddr, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&subscriber(source)) {
            let asked = entry.asked.saturating_duration_since(now);
            entry.forgiven = entry.forgiven.checked_sub(asked).unwrap_or(now);
            entry.asked = now;
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
mod tests;
