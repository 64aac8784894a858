//! The client's side: what we answer to 401 and 407.

use std::fmt;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::digest::{Algorithm, Ha1};
use super::header::{Challenge, Credentials, Qop};
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};

/// Challenges of one response that are looked at.
const MAX_CHALLENGES: usize = 8;
/// How often in a row a server may say that only the nonce was too old.
const MAX_STALE: u32 = 3;

/// A name and its password.
#[derive(Clone)]
pub struct Login {
    /// Who.
    pub user: String,
    /// The password; in no log.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Who asks: the other end (401), or a proxy on the way (407).
#[derive(Clone, Copy, Debug)]
enum Asker {
    End,
    Proxy,
}

/// The challenge that is being answered.
#[derive(Debug)]
struct Session {
    challenge: Challenge,
    algorithm: Algorithm,
    /// How often its nonce was used.
    nc: u32,
    /// Something was answered to it but another challenge.
    accepted: bool,
    /// Challenges in a row that said so little as that the nonce was too old.
    stale: u32,
}

/// Answers the challenges of one call.
#[derive(Debug)]
pub struct Client {
    login: Arc<Login>,
    end: Option<Session>,
    proxy: Option<Session>,
    rng: StdRng,
}

impl Client {
    /// `seed` decides its own nonces.
    pub fn new(login: Arc<Login>, seed: u64) -> Self {
        Self {
            login,
            end: None,
            proxy: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Takes a 401 or 407; whether the request is worth another try. It is tried once for each nonce
    /// that the server hands out: a new challenge to a fresh answer means that the password is wrong,
    /// unless it says that only the nonce was too old.
    pub fn challenged(&mut self, response: &Response) -> bool {
        let (asker, name) = match response.status {
            401 => (Asker::End, Name::WwwAuthenticate),
            407 => (Asker::Proxy, Name::ProxyAuthenticate),
            _ => return false,
        };
        let read = response.headers.get_all(&name).take(MAX_CHALLENGES);
        let usable = read.filter_map(|text| {
            let challenge = Challenge::parse(text).ok()?;
            let algorithm = challenge.algorithm?;
            let answerable = challenge.qop_auth || !challenge.qop;
            answerable.then_some((algorithm, challenge))
        });
        // Of equals the first, as the server's own order has it.
        let best = usable.reduce(|a, b| if b.0 > a.0 { b } else { a });
        let Some((algorithm, challenge)) = best else {
            return false;
        };
        let slot = self.slot(asker);
        let mut stale = 0;
        if let Some(old) = slot
            && !old.accepted
        {
            stale = old.stale + 1;
            let only_old = challenge.stale && challenge.nonce != old.challenge.nonce;
            if !only_old || stale > MAX_STALE {
                return false;
            }
        }
        *slot = Some(Session {
            challenge,
            algorithm,
            nc: 0,
            accepted: false,
            stale,
        });
        true
    }

    /// A request with our credentials got another response than a challenge.
    pub fn accepted(&mut self) {
        for session in [&mut self.end, &mut self.proxy].into_iter().flatten() {
            session.accepted = true;
            session.stale = 0;
        }
    }

    /// Puts credentials into a request for whoever has asked so far.
    pub fn authorize(&mut self, request: &mut Request) {
        for (asker, name) in [
            (Asker::End, Name::Authorization),
            (Asker::Proxy, Name::ProxyAuthorization),
        ] {
            let cnonce = format!("{:016x}", self.rng.random::<u64>());
            let login = Arc::clone(&self.login);
            if let Some(session) = self.slot(asker) {
                let credentials = session.answer(&login, request, cnonce);
                request.headers.set(name, credentials.to_string());
            }
        }
    }

    fn slot(&mut self, asker: Asker) -> &mut Option<Session> {
        match asker {
            Asker::End => &mut self.end,
            Asker::Proxy => &mut self.proxy,
        }
    }
}

impl Session {
    fn answer(&mut self, login: &Login, request: &Request, cnonce: String) -> Credentials {
        self.nc = self.nc.saturating_add(1);
        let challenge = &self.challenge;
        let (algorithm, nc) = (self.algorithm, self.nc);
        let qop = challenge.qop_auth.then_some(Qop { nc, cnonce });
        let ha1 = Ha1::new(algorithm, &login.user, &challenge.realm, &login.password);
        let response = ha1.response(
            algorithm,
            &challenge.nonce,
            qop.as_ref(),
            &request.method,
            &request.uri,
        );
        Credentials {
            username: login.user.clone(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: request.uri.clone(),
            response,
            algorithm: Some(algorithm),
            opaque: challenge.opaque.clone(),
            qop,
        }
    }
}
