//! A registrar for softphones that do not dial before they have registered (RFC 3261 §10.3).
//!
//! Bindings live in memory, and are bounded in number and size. Programs call who is registered, by the
//! path of its REGISTER where its Contact does not lead to it: a NAT or a browser is there.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::header::{Name, NameAddr};
use super::message::{Request, Response};
use super::transport::{ConnectionId, Flow, Transport};
use super::uri::AnyUri;

/// Bounds of the registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bindings in all; more is answered 503. A source of which no password was asked has half of them.
    pub bindings: usize,
    /// Bindings of one user; one more takes the place of the one that ends first.
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
/// a small request must not make a large one. What is more takes the place of those that end first.
pub const MAX_LISTED: usize = 1536;

/// Bindings of browsers that are gone are looked for where they may be more than one of so many.
const LOST_OF: usize = 16;

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

/// Where a user is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its Contact: the Request-URI of what is sent to it.
    pub uri: String,
    /// The path that its REGISTER came by, where that leads to it; none: its Contact says where it is.
    pub path: Option<Flow>,
}

#[derive(Clone, Debug)]
struct Binding {
    uri: AnyUri,
    /// Which phone it is, and which of its paths, where it says so.
    instance: Option<String>,
    /// The path of its REGISTER.
    flow: Flow,
    call_id: String,
    cseq: u32,
    until: Instant,
    /// Who holds it, where no password was asked.
    source: Option<IpAddr>,
}

impl Binding {
    /// Whether it is one that cannot be called back (RFC 7118 §5).
    const fn is_browser(&self) -> bool {
        matches!(self.flow.transport, Transport::Ws | Transport::Wss)
    }
}

/// What holds bindings.
#[derive(Debug, Default)]
struct Holders {
    /// How many bindings each source holds of which no password was asked.
    sources: HashMap<IpAddr, usize>,
    /// How many have come by each connection that is open.
    connections: HashMap<ConnectionId, Link>,
    /// Those of browsers whose connection has ended.
    lost: usize,
}

#[derive(Debug)]
struct Link {
    bindings: usize,
    is_browser: bool,
}

impl Holders {
    fn held(&self, source: Option<IpAddr>) -> usize {
        let held = source.and_then(|source| self.sources.get(&source));
        held.copied().unwrap_or(0)
    }

    fn add(&mut self, binding: &Binding) {
        if let Some(source) = binding.source {
            *self.sources.entry(source).or_default() += 1;
        }
        if let Some(connection) = binding.flow.connection {
            let link = self.connections.entry(connection).or_insert(Link {
                bindings: 0,
                is_browser: binding.is_browser(),
            });
            link.bindings += 1;
        }
    }

    fn remove(&mut self, binding: &Binding) {
        if let Some(source) = binding.source
            && let Some(held) = self.sources.get_mut(&source)
        {
            *held -= 1;
            if *held == 0 {
                self.sources.remove(&source);
            }
        }
        let Some(connection) = binding.flow.connection else {
            return;
        };
        match self.connections.get_mut(&connection) {
            Some(link) if link.bindings > 1 => link.bindings -= 1,
            Some(_) => {
                self.connections.remove(&connection);
            }
            None if binding.is_browser() => self.lost -= 1,
            None => {}
        }
    }

    /// Lets go of the bindings that do not stay.
    fn retain(&mut self, bindings: &mut Vec<Binding>, stays: impl Fn(&Self, &Binding) -> bool) {
        bindings.retain(|binding| {
            let stays = stays(self, binding);
            if !stays {
                self.remove(binding);
            }
            stays
        });
    }

    /// Whether the connection that a binding has come by is open.
    fn is_connected(&self, binding: &Binding) -> bool {
        let connection = binding.flow.connection;
        connection.is_some_and(|id| self.connections.contains_key(&id))
    }

    /// Whether a binding counts: a browser's as long as its connection.
    fn is_live(&self, binding: &Binding, now: Instant) -> bool {
        binding.until > now && (!binding.is_browser() || self.is_connected(binding))
    }

    /// Which of a user's bindings is called: the greatest.
    fn rank(&self, binding: &Binding) -> (bool, Instant) {
        let is_lost = binding.flow.transport.is_reliable() && !self.is_connected(binding);
        (!is_lost, binding.until)
    }

    /// The path of the REGISTER, where that leads to who has sent it: by a connection, which there may be
    /// no other way to open, or behind a NAT, where the Contact is of another network.
    fn path(&self, binding: &Binding) -> Option<Flow> {
        let flow = binding.flow;
        let leads = if flow.transport.is_reliable() {
            self.is_connected(binding)
        } else {
            let named = binding.uri.sip().and_then(|uri| uri.host.ip());
            named != Some(flow.remote.ip().to_canonical())
        };
        leads.then_some(flow)
    }
}

/// What a request wants with one contact. A lifetime of zero removes it.
struct Change {
    uri: AnyUri,
    instance: Option<String>,
    lifetime: Duration,
}

impl Change {
    /// Whether a binding ends by it: that of the same contact, and one of the same phone at another place
    /// (RFC 5626 §6).
    fn replaces(&self, binding: &Binding) -> bool {
        let is_moved = !self.lifetime.is_zero()
            && self.instance.is_some()
            && self.instance == binding.instance;
        is_moved || same(&binding.uri, &self.uri)
    }
}

/// What is kept of a request besides its contacts.
#[derive(Clone, Copy)]
struct Sender<'a> {
    call_id: &'a str,
    cseq: u32,
    source: Option<IpAddr>,
    flow: Flow,
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

    /// Where a user is registered: the binding that lasts longest, of those whose connection is open where
    /// they have one.
    pub fn contact(&self, user: &str, now: Instant) -> Option<Registered> {
        let holders = &self.holders;
        let bindings = self.addresses.get(user).filter(|_| !user.is_empty())?;
        let live = bindings.iter().filter(|b| holders.is_live(b, now));
        let last = live.max_by_key(|binding| holders.rank(binding))?;
        Some(Registered {
            uri: last.uri.to_string(),
            path: holders.path(last),
        })
    }

    /// A connection has ended: who has registered by it is where its Contact says, and a browser nowhere.
    pub fn connection_closed(&mut self, connection: ConnectionId) {
        let link = self.holders.connections.remove(&connection);
        if let Some(link) = link.filter(|link| link.is_browser) {
            self.holders.lost += link.bindings;
        }
    }

    /// The users that are registered, in order.
    pub fn users(&self, now: Instant) -> Vec<String> {
        let live = self.addresses.iter().filter(|(user, all)| {
            !user.is_empty() && all.iter().any(|b| self.holders.is_live(b, now))
        });
        let mut users: Vec<String> = live.map(|(user, _)| user.clone()).collect();
        users.sort_unstable();
        users
    }

    /// Answers a valid REGISTER: 200 with every binding, or 400, 423, 500, 503 and nothing changed.
    /// `source` is who it came from (an address, or an IPv6 /64) where no password was asked; none: from a
    /// user, or from a trusted peer, which speaks for many. `flow` is the path that it came by.
    pub fn handle(
        &mut self,
        request: &Request,
        source: Option<IpAddr>,
        flow: Flow,
        now: Instant,
    ) -> Response {
        match self.register(request, source, flow, now) {
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
        flow: Flow,
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
        let stale = |change: &Change| {
            current
                .iter()
                .any(|b| change.replaces(b) && b.call_id == call_id && b.cseq > cseq.number)
        };
        if changes.iter().any(stale) {
            return Err(Refusal(500, "CSeq is out of order"));
        }
        self.make_room(&address, &changes, source, now)?;
        let sender = Sender {
            call_id,
            cseq: cseq.number,
            source,
            flow,
        };
        for change in changes {
            self.apply(&address, change, sender, now);
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
                instance: None,
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
                    instance: instance(&contact),
                    uri: contact.uri,
                    lifetime: asked.min(settings.max_expires),
                })
            })
            .collect()
    }

    /// Makes room for what a request adds. At a user's own bounds those of its bindings give way that end
    /// first: a phone that moves about leaves some behind, and they cost nobody else.
    fn make_room(
        &mut self,
        address: &str,
        changes: &[Change],
        source: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let current = self.addresses.get(address).map_or(&[][..], Vec::as_slice);
        let is_new = |change: &&Change| {
            !change.lifetime.is_zero() && !current.iter().any(|b| change.replaces(b))
        };
        let new = changes.iter().filter(is_new).count();
        let most = self.settings.bindings_per_address;
        let too_many = Refusal(503, "Too many registrations of this address");
        let leaving = leaving(current, changes, most).ok_or(too_many)?;
        let its = |b: &&Binding| b.source == source && leaving.contains(&b.uri);
        let freed = (leaving.len(), current.iter().filter(its).count());
        if new > 0 {
            let has_ended = self.first_end.is_some_and(|end| end <= now);
            let may_sweep = has_ended || self.holders.lost * LOST_OF > self.count;
            if !self.have_room(new, freed, source) && may_sweep {
                self.sweep(now);
            }
            if !self.have_room(new, freed, source) {
                return Err(Refusal(503, "Too many registrations"));
            }
        }
        if let Some(bindings) = self.addresses.get_mut(address) {
            let before = bindings.len();
            self.holders
                .retain(bindings, |_, binding| !leaving.contains(&binding.uri));
            self.count -= before - bindings.len();
        }
        Ok(())
    }

    /// Whether so many more fit in, and into the half of who was asked for no password; `freed`: what they
    /// take the place of, in all and of this source.
    fn have_room(&self, new: usize, freed: (usize, usize), source: Option<IpAddr>) -> bool {
        let all = self.settings.bindings;
        self.count + new <= all + freed.0
            && (source.is_none() || self.holders.held(source) + new <= all.div_ceil(2) + freed.1)
    }

    fn apply(&mut self, address: &str, change: Change, sender: Sender<'_>, now: Instant) {
        let bindings = self.addresses.entry(address.to_owned()).or_default();
        let before = bindings.len();
        self.holders
            .retain(bindings, |_, binding| !change.replaces(binding));
        if !change.lifetime.is_zero() {
            let until = now + change.lifetime;
            self.first_end = Some(self.first_end.map_or(until, |end| end.min(until)));
            let binding = Binding {
                uri: change.uri,
                instance: change.instance,
                flow: sender.flow,
                call_id: sender.call_id.to_owned(),
                cseq: sender.cseq,
                until,
                source: sender.source,
            };
            self.holders.add(&binding);
            bindings.push(binding);
        }
        self.count = self.count + bindings.len() - before;
        if bindings.is_empty() {
            self.addresses.remove(address);
        }
    }

    fn sweep_address(&mut self, address: &str, now: Instant) {
        if let Some(bindings) = self.addresses.get_mut(address) {
            let before = bindings.len();
            self.holders
                .retain(bindings, |holders, b| holders.is_live(b, now));
            self.count -= before - bindings.len();
            if bindings.is_empty() {
                self.addresses.remove(address);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        let holders = &mut self.holders;
        self.addresses.retain(|_, bindings| {
            holders.retain(bindings, |holders, b| holders.is_live(b, now));
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

/// The bindings that leave for what a request adds, those that end first; none: it is too much by itself.
fn leaving(current: &[Binding], changes: &[Change], most: usize) -> Option<Vec<AnyUri>> {
    let length = |uri: &AnyUri| uri.to_string().len();
    let coming = changes.iter().filter(|change| !change.lifetime.is_zero());
    let (mut count, mut listed) = (0, 0);
    for change in coming {
        count += 1;
        listed += length(&change.uri);
    }
    if count > most || listed > MAX_LISTED {
        return None;
    }
    let is_replaced = |binding: &Binding| changes.iter().any(|change| change.replaces(binding));
    // Of those that end at once the newest stays.
    let mut left: Vec<&Binding> = current.iter().rev().filter(|b| !is_replaced(b)).collect();
    left.sort_by_key(|binding| Reverse(binding.until));
    let stays = left.iter().take_while(|binding| {
        count += 1;
        listed += length(&binding.uri);
        count <= most && listed <= MAX_LISTED
    });
    let stays = stays.count();
    let leaving = left.drain(stays..);
    Some(leaving.map(|binding| binding.uri.clone()).collect())
}

/// Which phone a contact is of, and which of its paths (RFC 5626 §4.1); none: it does not say so.
fn instance(contact: &NameAddr) -> Option<String> {
    let phone = contact.params.value("+sip.instance")?;
    let path: u32 = super::syntax::number(contact.params.value("reg-id")?)?;
    (phone.len() <= MAX_TEXT).then(|| format!("{path};{}", phone.to_ascii_lowercase()))
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
