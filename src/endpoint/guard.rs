//! Who is heard at all: trusted peers, scanners, bans, and passwords.
//!
//! A UDP source can be forged. So an offence counts against a source as such ([`Scope::All`]) only
//! where its sender has shown that it receives what we send there: on a stream, or by a nonce that was
//! made for this very address. Anything else over UDP counts apart, and its ban ([`Scope::Udp`])
//! leaves a way in for the rightful owner of the address: dialogs, repetitions, requests with a nonce,
//! one other request per second, every stream; and who has authenticated within the hour is not
//! counted at all.
//!
//! A nonce can be read on the way by who can also forge the address it was made for. So wrong passwords
//! over UDP from an address where somebody has shown a right one within the hour shut out less
//! (`Guard::guessed`): no password is tried there any more, but the users whose nonces have been granted
//! go on, and so do streams. A right password does not end that, or a guesser with an account of its
//! own would never be stopped.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::bans::{Ban, BanSettings, Meters, Offence, Scope};
use super::validate::Refusal;
use super::{Endpoint, Output, ServerId};
use crate::sip::auth::{self, Authenticator, Users, Verdict};
use crate::sip::header::Name;
use crate::sip::message::Request;
use crate::sip::source::Recent;
use crate::sip::transport::Flow;

/// How often a banned UDP source that may have been forged gets a request through.
const PASS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a source that has authenticated is not suspected of what may be forged.
const KNOWN_TIME: Duration = Duration::from_hours(1);
/// What RFC 7616 §3.4.6 has answered 400; for who looks at a trace.
const OTHER_TARGET: &str = "Digest uri Is Not The Request-URI";
/// The one scanner that also writes its name into From and To.
const IN_ADDRESSES: &str = "sipvicious";

/// Who is heard.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Peers that speak for many others (a proxy, a carrier): without limits per source, never banned.
    pub trusted: Vec<IpNet>,
    /// Parts of User-Agent, without case, whose senders get no answer.
    pub drop_user_agents: Vec<String>,
    /// When a source is banned; none: never.
    pub bans: Option<BanSettings>,
    /// How users are asked who they are; none: nobody is.
    pub auth: Option<auth::Settings>,
    /// Who there is.
    pub users: Users,
    /// What nonces are sealed with, and what stands in for passwords; none: from the endpoint's seed,
    /// which is good enough for simulations alone.
    pub keys: Option<[auth::Key; 2]>,
}

/// The state behind [`Access`].
#[derive(Debug)]
pub(super) struct Guard {
    access: Access,
    proven: Meters,
    unproven: Meters,
    /// Wrong passwords over UDP from addresses that are known.
    guessed: Meters,
    known: Recent,
    authenticator: Option<Authenticator>,
    /// Bans that are to be told.
    new_bans: VecDeque<Ban>,
}

impl Guard {
    pub(super) fn new(mut access: Access, seeded: [auth::Key; 2]) -> Self {
        let keys = access.keys.take().unwrap_or(seeded);
        lower(&mut access.drop_user_agents);
        let bans = access.bans.unwrap_or_default();
        let settings = access.auth.clone();
        let users = std::mem::take(&mut access.users);
        Self {
            proven: Meters::new(Scope::All, bans),
            unproven: Meters::new(Scope::Udp, bans),
            guessed: Meters::new(Scope::Udp, bans),
            known: Recent::new(bans.sources),
            authenticator: settings.map(|s| Authenticator::new(s, users, keys)),
            new_bans: VecDeque::new(),
            access,
        }
    }

    /// Puts other trusted peers and scanners in force. Who is trusted from now on is forgiven.
    fn set_peers(&mut self, trusted: Vec<IpNet>, mut drop_user_agents: Vec<String>, now: Instant) {
        lower(&mut drop_user_agents);
        self.access.trusted = trusted;
        self.access.drop_user_agents = drop_user_agents;
        for ban in self.bans(now) {
            if self.trusts(ban.source) {
                self.lift(ban.source, now);
            }
        }
    }

    /// Puts other rules of bans in force; without any, everything is forgiven.
    fn set_bans(&mut self, bans: Option<BanSettings>, now: Instant) {
        self.access.bans = bans;
        for meters in [&mut self.proven, &mut self.unproven, &mut self.guessed] {
            match bans {
                Some(settings) => meters.set_settings(settings, now),
                None => meters.clear(),
            }
        }
        if let Some(settings) = bans {
            self.known.set_capacity(settings.sources);
        }
    }

    fn bans(&self, now: Instant) -> Vec<Ban> {
        let all = [&self.proven, &self.unproven, &self.guessed];
        all.into_iter()
            .flat_map(|meters| meters.bans(now))
            .collect()
    }

    /// Forgets what was held against a source; whether it was banned.
    fn lift(&mut self, source: IpAddr, now: Instant) -> bool {
        let all = [&mut self.proven, &mut self.unproven, &mut self.guessed];
        let banned = all.map(|meters| meters.lift(source, now));
        banned.contains(&true)
    }

    /// Whether this peer is exempt from limits and bans.
    pub(super) fn trusts(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.access.trusted.iter().any(|net| net.contains(&source))
    }

    /// Whether a request is a scanner's, by what it says itself.
    fn is_scanner(&self, request: &Request) -> bool {
        let listed = &self.access.drop_user_agents;
        let agents = request.headers.get_all(&Name::UserAgent);
        let named = agents
            .map(str::to_ascii_lowercase)
            .any(|agent| listed.iter().any(|name| agent.contains(name)));
        let by_address = listed.iter().any(|name| name == IN_ADDRESSES);
        named
            || by_address
                && [Name::From, Name::To].iter().any(|name| {
                    let value = request.headers.get(name).unwrap_or_default();
                    value.to_ascii_lowercase().contains(IN_ADDRESSES)
                })
    }

    fn offend(&mut self, flow: &Flow, proven: bool, offence: Offence, now: Instant) {
        let source = flow.remote.ip();
        if self.access.bans.is_none() || self.trusts(source) {
            return;
        }
        let streamed = flow.transport.is_reliable();
        let known = self.known.contains(source, now);
        let proven = proven || streamed;
        // Behind one address many may be asked at once, and answer all.
        let weak = !proven || offence == Offence::UnansweredChallenge;
        if weak && known {
            return;
        }
        let meters = match (proven, streamed) {
            (true, false) if known => &mut self.guessed,
            (true, _) => &mut self.proven,
            (false, _) => &mut self.unproven,
        };
        self.new_bans.extend(meters.count(source, offence, now));
    }

    /// Somebody there has shown a password: what may have been forged before is forgotten, and so are the
    /// challenges without an answer, which are not counted from now on. A wrong password is not.
    fn granted(&mut self, source: IpAddr, now: Instant) {
        self.proven.forgive_challenges(source, now);
        self.unproven.lift(source, now);
        self.known.insert(source, now + KNOWN_TIME);
    }
}

fn lower(names: &mut [String]) {
    for name in names {
        name.make_ascii_lowercase();
    }
}

impl Endpoint {
    /// Whether a request is listened to. `belongs`: it is part of a dialog or of a transaction that
    /// there is.
    pub(super) fn admits(
        &mut self,
        flow: &Flow,
        request: &Request,
        belongs: bool,
        now: Instant,
    ) -> bool {
        let source = flow.remote.ip();
        let guard = &mut self.guard;
        if guard.trusts(source) {
            return !guard.is_scanner(request);
        }
        if guard.proven.ban(source, now).is_some() {
            return false;
        }
        if !flow.transport.is_reliable() && !belongs {
            let mut authenticator = guard.authenticator.as_mut();
            if guard.guessed.ban(source, now).is_some()
                && !authenticator
                    .as_mut()
                    .is_some_and(|a| a.is_granted(request, source, now))
            {
                return false;
            }
            if guard.unproven.ban(source, now).is_some()
                && !authenticator.is_some_and(|a| a.proves_path(request, source, now))
                && !guard.unproven.passes(source, PASS_INTERVAL, now)
            {
                return false;
            }
        }
        if guard.is_scanner(request) {
            self.offend(flow, Offence::Scanner, now);
            return false;
        }
        true
    }

    /// Holds something against the sender of what came on `flow`.
    pub fn offend(&mut self, flow: &Flow, offence: Offence, now: Instant) {
        self.offend_proven(flow, false, offence, now);
    }

    fn offend_proven(&mut self, flow: &Flow, proven: bool, offence: Offence, now: Instant) {
        self.guard.offend(flow, proven, offence, now);
        while let Some(ban) = self.guard.new_bans.pop_front() {
            self.outputs.push_back(Output::Banned(ban));
        }
    }

    /// Asks for a user's credentials. `Some`: they are right, and whose. `None`: the request was
    /// answered 401 (400 where they are another request's), and nothing is kept of it, so that asking costs no memory (RFC 3261 §22.1).
    pub fn authenticate(
        &mut self,
        id: ServerId,
        request: &Request,
        flow: &Flow,
        now: Instant,
    ) -> Option<String> {
        let source = flow.remote.ip();
        let is_proxy = self.guard.trusts(source);
        let authenticator = self.guard.authenticator.as_mut()?;
        if !is_proxy && !authenticator.is_meant(request, source, now) {
            self.offend(flow, Offence::Malformed, now);
            if let Some(reply) = self.table.forget_server(id) {
                self.refuse(request, reply, Refusal::new(400).phrase(OTHER_TARGET));
            }
            return None;
        }
        let verdict = authenticator.check(request, source, now);
        let stale = matches!(verdict, Verdict::Stale { .. });
        match verdict {
            Verdict::Granted(user) => {
                self.guard.granted(source, now);
                return Some(user);
            }
            // Nobody was asked with such a nonce: as if nothing were there.
            Verdict::Missing | Verdict::Stale { proven: false } => {
                self.offend(flow, Offence::UnansweredChallenge, now);
            }
            Verdict::Stale { proven: true } => {}
            Verdict::Wrong { proven } => {
                self.offend_proven(flow, proven, Offence::FailedAuthentication, now);
            }
        }
        let authenticator = self.guard.authenticator.as_mut()?;
        let mut refusal = Refusal::new(401);
        for value in authenticator.challenge(stale, source, now) {
            refusal = refusal.with(Name::WwwAuthenticate, value);
        }
        if let Some(reply) = self.table.forget_server(id) {
            self.refuse(request, reply, refusal);
        }
        None
    }

    /// Answers a request without keeping anything of it: it belongs to nothing that there is.
    pub fn refuse_unknown(&mut self, id: ServerId, request: &Request) {
        if let Some(reply) = self.table.forget_server(id) {
            self.refuse(request, reply, Refusal::new(481));
        }
    }

    /// Whether there is anybody to ask for.
    pub fn can_authenticate(&self) -> bool {
        self.guard.authenticator.is_some()
    }

    /// Puts other users in force.
    pub fn set_users(&mut self, users: Users) {
        if let Some(authenticator) = &mut self.guard.authenticator {
            authenticator.set_users(users);
        }
    }

    /// Puts other trusted peers and names of scanners in force.
    pub fn set_peers(&mut self, trusted: Vec<IpNet>, drop_user_agents: Vec<String>, now: Instant) {
        self.guard.set_peers(trusted, drop_user_agents, now);
    }

    /// Puts other rules of bans in force: running bans stay, as far as these allow them.
    pub fn set_bans(&mut self, bans: Option<BanSettings>, now: Instant) {
        self.guard.set_bans(bans, now);
    }

    /// The bans that hold now, those that end first before others.
    pub fn bans(&self, now: Instant) -> Vec<Ban> {
        let mut bans = self.guard.bans(now);
        bans.sort_by_key(|ban| (ban.until, ban.source));
        bans
    }

    /// Ends the bans of a source, and forgets what was held against it; whether there was a ban.
    pub fn lift_ban(&mut self, source: IpAddr, now: Instant) -> bool {
        self.guard.lift(source, now)
    }
}
