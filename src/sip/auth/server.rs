//! The server's side: who may come in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::digest::{Algorithm, Ha1, hex, same};
use super::header::{Challenge, Credentials, HeaderFault};
use super::nonce::{Key, Nonce, Nonces};
use super::replay::Replays;
use crate::sip::header::Name;
use crate::sip::message::Request;
use crate::sip::uri::Uri;

/// Authorization headers of one request that are looked at.
const MAX_HEADERS: usize = 4;

/// How users are asked who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The realm that users belong to.
    pub realm: String,
    /// The hashes that are offered, the best first.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good.
    pub nonce_life: Duration,
    /// Refuse the old form of RFC 2617, which does not count.
    pub require_qop: bool,
    /// Nonces in use that are remembered. At the bound the oldest is forgotten, and its user is asked
    /// again with `stale=true`: nothing is lost but a round trip, and no replay gets through.
    pub replays: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            realm: "antiphon".to_owned(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_life: Duration::from_mins(5),
            require_qop: false,
            replays: 20_000,
        }
    }
}

/// Who there is, and the hashes of their passwords.
#[derive(Clone, Debug, Default)]
pub struct Users(HashMap<String, Vec<(Algorithm, Ha1)>>);

impl Users {
    /// Adds a user's hash.
    pub fn add(&mut self, name: &str, algorithm: Algorithm, ha1: Ha1) {
        let hashes = self.0.entry(name.to_owned()).or_default();
        hashes.push((algorithm, ha1));
    }

    fn ha1(&self, name: &str, algorithm: Algorithm) -> Option<&Ha1> {
        let hashes = self.0.get(name)?;
        hashes
            .iter()
            .find_map(|(a, ha1)| (*a == algorithm).then_some(ha1))
    }
}

/// What the credentials of a request are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This user's.
    Granted(String),
    /// There are none for this realm.
    Missing,
    /// The nonce is not ours, or the password is right and the nonce too old or used before.
    Stale {
        /// The nonce was made for the address that the request came from.
        proven: bool,
    },
    /// A wrong password, or a user that there is not; the two take the same work.
    Wrong {
        /// The nonce was made for the address that the request came from.
        proven: bool,
    },
}

/// Checks credentials.
#[derive(Debug)]
pub struct Authenticator {
    settings: Settings,
    users: Users,
    nonces: Nonces,
    replays: Replays,
    /// Makes hashes for users that there are not.
    decoy: Key,
}

impl Authenticator {
    /// The keys are random and kept for the process's life: one seals nonces, one stands in for the
    /// passwords of unknown users.
    pub fn new(settings: Settings, users: Users, [seal, decoy]: [Key; 2]) -> Self {
        Self {
            nonces: Nonces::new(seal, settings.nonce_life),
            replays: Replays::new(settings.replays),
            decoy,
            settings,
            users,
        }
    }

    /// Puts other users in force.
    pub fn set_users(&mut self, users: Users) {
        self.users = users;
    }

    /// What the request's credentials are worth that came from `source`. Right ones are used up.
    pub fn check(&mut self, request: &Request, source: IpAddr, now: Instant) -> Verdict {
        match self.ours(request) {
            Ok(Some(credentials)) => self.judge(request, &credentials, source, now),
            Ok(None) => Verdict::Missing,
            Err(_) => Verdict::Wrong { proven: false },
        }
    }

    /// The credentials for our realm; the fault of a broken header where there are none.
    fn ours(&self, request: &Request) -> Result<Option<Credentials>, HeaderFault> {
        let mut broken = None;
        let headers = request.headers.get_all(&Name::Authorization);
        for read in headers.take(MAX_HEADERS).map(Credentials::parse) {
            match read {
                Ok(credentials) if credentials.realm == self.settings.realm => {
                    return Ok(Some(credentials));
                }
                Ok(_) | Err(HeaderFault::Scheme) => {}
                Err(fault) => broken = Some(fault),
            }
        }
        broken.map_or(Ok(None), Err)
    }

    /// Whether the credentials are for what is asked for (RFC 7616 §3.4.6), and not another request's,
    /// read on the way; so it is where there are none, or none with a nonce for `source`, which are good
    /// for nothing anyhow. A proxy may have rewritten the Request-URI since (RFC 3261 §22.4): who asks has
    /// to know.
    pub fn is_meant(&mut self, request: &Request, source: IpAddr, now: Instant) -> bool {
        let Ok(Some(credentials)) = self.ours(request) else {
            return true;
        };
        same_target(&credentials.uri, &request.uri)
            || self.nonces.look(&credentials.nonce, source, now) == Nonce::Foreign
    }

    /// Whether the credentials have a nonce that is still good, was made for `source`, and with which
    /// this very user has shown the password before.
    pub fn is_granted(&mut self, request: &Request, source: IpAddr, now: Instant) -> bool {
        let Ok(Some(credentials)) = self.ours(request) else {
            return false;
        };
        match self.nonces.look(&credentials.nonce, source, now) {
            Nonce::Good(id) => self.replays.is_of(id, self.mark(&credentials.username)),
            Nonce::Expired | Nonce::Foreign => false,
        }
    }

    /// What stands for a user in the table of nonces.
    fn mark(&self, user: &str) -> u64 {
        let mac = self.decoy.mac(&[user]);
        mac.iter()
            .take(8)
            .fold(0, |mark, byte| mark << 8 | u64::from(*byte))
    }

    /// Whether the request carries a nonce that was made for `source`: its sender receives what we
    /// send there, whatever else is right or wrong.
    pub fn proves_path(&mut self, request: &Request, source: IpAddr, now: Instant) -> bool {
        let headers = request.headers.get_all(&Name::Authorization);
        let mut read = headers.take(MAX_HEADERS).map(Credentials::parse);
        read.any(|read| {
            read.is_ok_and(|c| self.nonces.look(&c.nonce, source, now) != Nonce::Foreign)
        })
    }

    /// The values of the WWW-Authenticate headers of a 401: one for each hash that is offered
    /// (RFC 8760 §2.4), of one length whoever asks.
    pub fn challenge(&mut self, stale: bool, source: IpAddr, now: Instant) -> Vec<String> {
        let nonce = self.nonces.make(source, now);
        let of = |&algorithm: &Algorithm| {
            let challenge = Challenge {
                realm: self.settings.realm.clone(),
                nonce: nonce.clone(),
                opaque: None,
                algorithm: Some(algorithm),
                qop_auth: true,
                qop: true,
                stale,
            };
            challenge.to_string()
        };
        self.settings.algorithms.iter().map(of).collect()
    }

    fn judge(
        &mut self,
        request: &Request,
        credentials: &Credentials,
        source: IpAddr,
        now: Instant,
    ) -> Verdict {
        let nonce = self.nonces.look(&credentials.nonce, source, now);
        // A password is tried with a nonce of ours alone: else it could be guessed without being asked,
        // under any address, and right or wrong would be told by what we answer.
        if nonce == Nonce::Foreign {
            return Verdict::Stale { proven: false };
        }
        let proven = true;
        let offered = |a: &Algorithm| self.settings.algorithms.contains(a);
        let Some(algorithm) = credentials.algorithm.filter(offered) else {
            return Verdict::Wrong { proven };
        };
        if credentials.qop.is_none() && self.settings.require_qop {
            return Verdict::Wrong { proven };
        }
        // Made for known users, too, so that nobody can tell by the time.
        let decoy = hex(&self.decoy.mac(&[&credentials.username, algorithm.as_str()]));
        let decoy = Ha1::from_hex(algorithm, &decoy[..algorithm.digits()]);
        let known = self.users.ha1(&credentials.username, algorithm);
        let (is_known, ha1) = (known.is_some(), known.or(decoy.as_ref()));
        let right = ha1.is_some_and(|ha1| {
            let expected = ha1.response(
                algorithm,
                &credentials.nonce,
                credentials.qop.as_ref(),
                &request.method,
                &credentials.uri,
            );
            same(&expected, &credentials.response.to_ascii_lowercase())
        });
        if !(right && is_known) {
            return Verdict::Wrong { proven };
        }
        let Nonce::Good(id) = nonce else {
            return Verdict::Stale { proven };
        };
        self.replays.forget(self.nonces.oldest(now));
        // Without a count a nonce is good for once.
        let nc = credentials.qop.as_ref().map_or(1, |qop| qop.nc);
        let user = self.mark(&credentials.username);
        if self.replays.take(id, user, nc) {
            Verdict::Granted(credentials.username.clone())
        } else {
            Verdict::Stale { proven }
        }
    }
}

/// Whether a digest's `uri` names the Request-URI, as loosely as phones write it: parameters and a port
/// that only one of the two has say nothing, nor does a `uri` without a user, as some send it.
fn same_target(uri: &str, request_uri: &str) -> bool {
    let (Ok(digest), Ok(target)) = (uri.parse::<Uri>(), request_uri.parse::<Uri>()) else {
        return uri == request_uri;
    };
    let port = match (digest.port, target.port) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    digest.scheme == target.scheme
        && (digest.user.is_none() || digest.user == target.user)
        && digest.host.equivalent(&target.host)
        && port
}
