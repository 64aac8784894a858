//! `WWW-Authenticate`, `Proxy-Authenticate` (challenges) and `Authorization`, `Proxy-Authorization`
//! (credentials), read and written.

use std::fmt;

use super::digest::Algorithm;
use super::params::Params;
use crate::sip::syntax;

/// Why a header is no digest challenge, and no digest credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Another scheme than Digest.
    #[error("not the Digest scheme")]
    Scheme,
    /// The grammar.
    #[error("bad syntax")]
    Syntax,
    /// A parameter stands there twice.
    #[error("a parameter is repeated")]
    Repeated,
    /// A parameter that has to be there is not.
    #[error("no {0}")]
    Missing(&'static str),
    /// A value that is not allowed there.
    #[error("bad {0}")]
    Value(&'static str),
}

/// What a server asks for (RFC 7616 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose users are asked for.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// To be sent back as it is.
    pub opaque: Option<String>,
    /// The hash; none: one that is not known here.
    pub algorithm: Option<Algorithm>,
    /// `auth` is among the qualities of protection.
    pub qop_auth: bool,
    /// Some quality of protection is named: without one the old form of RFC 2617 is meant.
    pub qop: bool,
    /// Only the nonce was wrong before.
    pub stale: bool,
}

impl Challenge {
    /// Reads the value of one header.
    pub fn parse(text: &str) -> Result<Self, HeaderFault> {
        let params = Params::parse(text)?;
        let qop = params.get("qop");
        Ok(Self {
            realm: params.need("realm")?,
            nonce: params.need("nonce")?,
            opaque: params.get("opaque").map(str::to_owned),
            algorithm: algorithm(&params),
            qop_auth: qop.is_some_and(|list| {
                list.split(',')
                    .any(|q| syntax::trim(q).eq_ignore_ascii_case("auth"))
            }),
            qop: qop.is_some(),
            stale: params
                .get("stale")
                .is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (realm, nonce) = (syntax::quote(&self.realm), syntax::quote(&self.nonce));
        write!(f, "Digest realm={realm}, nonce={nonce}")?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", syntax::quote(opaque))?;
        }
        if let Some(algorithm) = self.algorithm {
            write!(f, ", algorithm={}", algorithm.as_str())?;
        }
        if self.qop {
            let qop = if self.qop_auth { "auth" } else { "auth-int" };
            write!(f, ", qop=\"{qop}\"")?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        Ok(())
    }
}

/// The quality of protection that credentials name: `auth`, the only one that is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qop {
    /// How often the client has used the nonce, this time included.
    pub nc: u32,
    /// The client's own nonce.
    pub cnonce: String,
}

/// What a client answers (RFC 7616 §3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub username: String,
    /// Whose user.
    pub realm: String,
    /// The nonce of the challenge.
    pub nonce: String,
    /// The URI that the digest is made over.
    pub uri: String,
    /// The digest, hexadecimal.
    pub response: String,
    /// The hash; none: one that is not known here.
    pub algorithm: Option<Algorithm>,
    /// The server's, sent back.
    pub opaque: Option<String>,
    /// None: the old form of RFC 2617.
    pub qop: Option<Qop>,
}

impl Credentials {
    /// Reads the value of one header.
    pub fn parse(text: &str) -> Result<Self, HeaderFault> {
        let params = Params::parse(text)?;
        let qop = match params.get("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(Qop {
                nc: count(&params.need("nc")?).ok_or(HeaderFault::Value("nc"))?,
                cnonce: params.need("cnonce")?,
            }),
            Some(_) => return Err(HeaderFault::Value("qop")),
        };
        Ok(Self {
            username: params.need("username")?,
            realm: params.need("realm")?,
            nonce: params.need("nonce")?,
            uri: params.need("uri")?,
            response: params.need("response")?,
            algorithm: algorithm(&params),
            opaque: params.get("opaque").map(str::to_owned),
            qop,
        })
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = syntax::quote;
        write!(
            f,
            "Digest username={}, realm={}, nonce={}, uri={}, response={}",
            quote(&self.username),
            quote(&self.realm),
            quote(&self.nonce),
            quote(&self.uri),
            quote(&self.response)
        )?;
        if let Some(algorithm) = self.algorithm {
            write!(f, ", algorithm={}", algorithm.as_str())?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", quote(opaque))?;
        }
        if let Some(Qop { nc, cnonce }) = &self.qop {
            write!(f, ", qop=auth, nc={nc:08x}, cnonce={}", quote(cnonce))?;
        }
        Ok(())
    }
}

/// The response would let anybody try passwords at leisure: it is in no log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// RFC 7616 §3.3: without an algorithm, MD5.
fn algorithm(params: &Params<'_>) -> Option<Algorithm> {
    match params.get("algorithm") {
        None => Some(Algorithm::Md5),
        Some(name) => Algorithm::parse(name),
    }
}

/// `nc`: exactly eight hexadecimal digits (RFC 7616 §3.4).
fn count(text: &str) -> Option<u32> {
    let good = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| u32::from_str_radix(text, 16).ok())?
}
