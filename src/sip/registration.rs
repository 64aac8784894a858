//! A registrar for softphones that do not dial before they have registered (RFC 3261 §10.3).
//!
//! Bindings live in memory, are bounded in number and size, and are not looked up for calls.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::header::{Name, NameAddr};
use super::message::{Request, Response};
use super::uri::AnyUri;

/// Bounds of the registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bindings in all; more is answered 503. A source of which no password was asked has half of them.
    pub bindings: usize,
    /// Bindings of one user; more is answered 503.
    pub bindings_per_address: usize,
    /// The shortest registration, whole seconds; below it 423.
    pub min_expires: Duration,
    /// The longest registration, whole seconds; what asks for more gets this.
    pub max_expires: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            bindings: 10_000,
            bindings_per_address: 10,
            min_expires: Duration::from_mins(1),
            max_expires: Duration::from_hours(1),
        }
    }
}

/// Bytes of an address, a contact, a Call-ID that are kept; what is longer is refused.
pub const MAX_TEXT: usize = 512;

/// Bytes of all contacts of an address. Each answer lists them, also to who has only made up its source:
/// a small request must not make a large one.
pub const MAX_LISTED: usize = 1536;

/// RFC 3261 §10.2.1.1: what counts where no time, or a broken one, is given.
const DEFAULT_EXPIRES: u64 = 3600;

/// The bindings of every user: an address is the user's, whatever its scheme, host and port, since that
/// is all that a password vouches for. Addresses without a user count as one.
#[derive(Debug)]
pub struct Registrar {
    settings: Settings,
    addresses: HashMap<String, Vec<Binding>>,
    count: usize,
    holders: Holders,
    /// No binding ends before this: a full registrar is swept only when that can help.
    first_end: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Binding {
    uri: AnyUri,
    call_id: String,
    cseq: u32,
    until: Instant,
    /// Who holds it, where no password was asked.
    source: Option<IpAddr>,
}

/// How many bindings each source holds of which no password was asked.
#[derive(Debug, Default)]
struct Holders(HashMap<IpAddr, usize>);

impl Holders {
    fn held(&self, source: Option<IpAddr>) -> usize {
        let held = source.and_then(|source| self.0.get(&source));
        held.copied().unwrap_or(0)
    }

    fn add(&mut self, source: Option<IpAddr>) {
        if let Some(source) = source {
            *self.0.entry(source).or_default() += 1;
        }
    }

    fn remove(&mut self, source: Option<IpAddr>) {
        if let Some(source) = source
            && let Some(held) = self.0.get_mut(&source)
        {
            *held -= 1;
            if *held == 0 {
                self.0.remove(&source);
            }
        }
    }

    /// Lets go of the bindings that do not stay.
    fn retain(&mut self, bindings: &mut Vec<Binding>, stays: impl Fn(&Binding) -> bool) {
        bindings.retain(|binding| {
            let stays = stays(binding);
            if !stays {
                self.remove(binding.source);
            }
            stays
        });
    }
}

/// What a request wants with one contact. A lifetime of zero removes it.
struct Change {
    uri: AnyUri,
    lifetime: Duration,
}

/// Why a REGISTER is refused: status and phrase.
struct Refusal(u16, &'static str);

impl Registrar {
    /// An empty registrar.
    pub fn new(settings: Settings) -> Registrar {
        Registrar {
            settings,
            addresses: HashMap::new(),
            count: 0,
            holders: Holders::default(),
            first_end: None,
        }
    }

    /// How many bindings are held, ended ones that were not swept yet included.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where a user is registered: the binding that lasts longest.
    pub fn contact(&self, user: &str, now: Instant) -> Option<String> {
        let bindings = self.addresses.get(user).filter(|_| !user.is_empty())?;
        let live = bindings.iter().filter(|binding| binding.until > now);
        let last = live.max_by_key(|binding| binding.until)?;
        Some(last.uri.to_string())
    }

    /// The users that are registered, in order.
    pub fn users(&self, now: Instant) -> Vec<String> {
        let live = self.addresses.iter().filter(|(user, all)| {
            !user.is_empty() && all.iter().any(|binding| binding.until > now)
        });
        let mut users: Vec<String> = live.map(|(user, _)| user.clone()).collect();
        users.sort_unstable();
        users
    }

    /// Answers a valid REGISTER: 200 with every binding, or 400, 423, 500, 503 and nothing changed.
    /// `source` is who it came from (an address, or an IPv6 /64) where no password was asked; none: from a
    /// user, or from a trusted peer, which speaks for many.
    pub fn handle(&mut self, request: &Request, source: Option<IpAddr>, now: Instant) -> Response {
        match self.register(request, source, now) {
            Ok(response) => response,
            Err(Refusal(status, phrase)) => {
                let mut response = Response::to(request, status).with_reason(phrase);
                match status {
                    423 => {
                        let least = self.settings.min_expires.as_secs();
                        response.headers.push(Name::MinExpires, least.to_string());
                    }
                    503 => response.headers.push(Name::RetryAfter, "60"),
                    _ => {}
                }
                response
            }
        }
    }

    fn register(
        &mut self,
        request: &Request,
        source: Option<IpAddr>,
        now: Instant,
    ) -> Result<Response, Refusal> {
        let to = request
            .headers
            .to()
            .map_err(|_| Refusal(400, "Bad To header"))?;
        let address = to
            .sip_uri()
            .map(|uri| uri.user.clone().unwrap_or_default())
            .ok_or(Refusal(400, "To is not a SIP address"))?;
        let (Ok(call_id), Ok(cseq)) = (request.headers.call_id(), request.headers.cseq()) else {
            return Err(Refusal(400, "Bad Call-ID or CSeq header"));
        };
        if address.len() > MAX_TEXT || call_id.len() > MAX_TEXT {
            return Err(Refusal(400, "Address or Call-ID is too long"));
        }
        self.sweep_address(&address, now);
        let current = self.addresses.get(&address).map_or(&[][..], Vec::as_slice);
        let changes = self.changes(request, current)?;
        // RFC 3261 §10.3 step 7: a request from before the last one changes nothing.
        let stale = |uri: &AnyUri| {
            current
                .iter()
                .any(|b| same(&b.uri, uri) && b.call_id == call_id && b.cseq > cseq.number)
        };
        if changes.iter().any(|change| stale(&change.uri)) {
            return Err(Refusal(500, "CSeq is out of order"));
        }
        self.make_room(&address, &changes, source, now)?;
        for change in changes {
            self.apply(&address, change, (call_id, cseq.number), source, now);
        }
        Ok(self.listing(request, &address, now))
    }

    /// Reads the contacts of the request.
    fn changes(&self, request: &Request, current: &[Binding]) -> Result<Vec<Change>, Refusal> {
        let headers = &request.headers;
        let general = headers.get(&Name::Expires);
        if headers.list(&Name::Contact).any(|value| value == "*") {
            let alone = headers.list(&Name::Contact).count() == 1;
            if !alone || lifetime(general) != 0 {
                return Err(Refusal(400, "Wildcard Contact needs Expires: 0"));
            }
            let remove = |binding: &Binding| Change {
                uri: binding.uri.clone(),
                lifetime: Duration::ZERO,
            };
            return Ok(current.iter().map(remove).collect());
        }
        let contacts = headers
            .contacts()
            .map_err(|_| Refusal(400, "Bad Contact header"))?;
        let settings = self.settings;
        contacts
            .into_iter()
            .map(|contact| {
                if contact.uri.to_string().len() > MAX_TEXT {
                    return Err(Refusal(400, "Contact is too long"));
                }
                let asked =
                    Duration::from_secs(lifetime(contact.params.value("expires").or(general)));
                if !asked.is_zero() && asked < settings.min_expires {
                    return Err(Refusal(423, "Interval Too Brief"));
                }
                Ok(Change {
                    uri: contact.uri,
                    lifetime: asked.min(settings.max_expires),
                })
            })
            .collect()
    }

    fn make_room(
        &mut self,
        address: &str,
        changes: &[Change],
        source: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let current = self.addresses.get(address).map_or(&[][..], Vec::as_slice);
        let held = current.len();
        let new = changes
            .iter()
            .filter(|c| !c.lifetime.is_zero() && !current.iter().any(|b| same(&b.uri, &c.uri)))
            .count();
        if new == 0 {
            return Ok(());
        }
        let texts = |uris: &mut dyn Iterator<Item = &AnyUri>| -> usize {
            uris.map(|uri| uri.to_string().len()).sum()
        };
        let listed = texts(&mut current.iter().map(|binding| &binding.uri))
            + texts(&mut changes.iter().map(|change| &change.uri));
        if held + new > self.settings.bindings_per_address || listed > MAX_LISTED {
            return Err(Refusal(503, "Too many registrations of this address"));
        }
        let may_sweep = self.first_end.is_some_and(|end| end <= now);
        if !self.have_room(new, source) && may_sweep {
            self.sweep(now);
        }
        if !self.have_room(new, source) {
            return Err(Refusal(503, "Too many registrations"));
        }
        Ok(())
    }

    /// Whether so many more fit in, and into the half of who was asked for no password.
    fn have_room(&self, new: usize, source: Option<IpAddr>) -> bool {
        let all = self.settings.bindings;
        self.count + new <= all
            && (source.is_none() || self.holders.held(source) + new <= all.div_ceil(2))
    }

    fn apply(
        &mut self,
        address: &str,
        change: Change,
        (call_id, cseq): (&str, u32),
        source: Option<IpAddr>,
        now: Instant,
    ) {
        let bindings = self.addresses.entry(address.to_owned()).or_default();
        let before = bindings.len();
        self.holders
            .retain(bindings, |binding| !same(&binding.uri, &change.uri));
        if !change.lifetime.is_zero() {
            self.holders.add(source);
            let until = now + change.lifetime;
            self.first_end = Some(self.first_end.map_or(until, |end| end.min(until)));
            bindings.push(Binding {
                uri: change.uri,
                call_id: call_id.to_owned(),
                cseq,
                until,
                source,
            });
        }
        self.count = self.count + bindings.len() - before;
        if bindings.is_empty() {
            self.addresses.remove(address);
        }
    }

    fn sweep_address(&mut self, address: &str, now: Instant) {
        if let Some(bindings) = self.addresses.get_mut(address) {
            let before = bindings.len();
            self.holders.retain(bindings, |binding| binding.until > now);
            self.count -= before - bindings.len();
            if bindings.is_empty() {
                self.addresses.remove(address);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        let holders = &mut self.holders;
        self.addresses.retain(|_, bindings| {
            holders.retain(bindings, |binding| binding.until > now);
            !bindings.is_empty()
        });
        let left = || self.addresses.values().flatten();
        self.count = left().count();
        self.first_end = left().map(|binding| binding.until).min();
    }

    fn listing(&self, request: &Request, address: &str, now: Instant) -> Response {
        let mut response = Response::to(request, 200);
        let mut longest = 0;
        for binding in self.addresses.get(address).into_iter().flatten() {
            let left = binding.until.duration_since(now).as_secs();
            longest = longest.max(left);
            let mut contact = NameAddr::new(binding.uri.clone());
            contact.params.set("expires", Some(&left.to_string()));
            response.headers.push(Name::Contact, contact.to_string());
        }
        response.headers.push(Name::Expires, longest.to_string());
        response
    }
}

/// Seconds that a text asks for. What is broken or beyond all bounds counts as RFC 3261 §20.19
/// has it.
fn lifetime(text: Option<&str>) -> u64 {
    text.and_then(|text| super::syntax::number::<u32>(super::syntax::trim(text)))
        .map_or(DEFAULT_EXPIRES, u64::from)
}

fn same(a: &AnyUri, b: &AnyUri) -> bool {
    match (a, b) {
        (AnyUri::Sip(a), AnyUri::Sip(b)) => a.equivalent(b),
        (a, b) => a == b,
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
