//! SRTP with keys by DTLS in the media (RFC 5763): fingerprints and who begins.

use crate::sdp::description::Media;
use crate::sdp::fingerprint::Fingerprint;

use super::{NegotiateError, Profile};

/// What a negotiation may use of DTLS.
#[derive(Clone, Copy, Debug)]
pub struct Dtls<'a> {
    /// That of the certificate that we show.
    pub fingerprint: &'a Fingerprint,
    /// Offers of ours that begin a session are of this, and not with keys in the description.
    pub offered: bool,
}

/// A DTLS association that two sides have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// Whose certificate the peer has to show.
    pub remote: Fingerprint,
    /// Which side of the handshake is ours.
    pub role: Role,
    /// The transport in the `m=` line.
    pub profile: Profile,
    /// RTCP has a port of its own, and so a handshake and keys of its own (RFC 5764 §3).
    pub rtcp_apart: bool,
}

/// A side of a handshake (RFC 4145 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `active`: begins.
    Client,
    /// `passive`: waits.
    Server,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Client => "active",
            Role::Server => "passive",
        }
    }
}

impl Association {
    /// Whether a handshake for the one holds for the other.
    pub fn is_same(&self, other: &Association) -> bool {
        self.remote == other.remote
            && self.role == other.role
            && self.rtcp_apart == other.rtcp_apart
    }
}

impl Dtls<'_> {
    pub(super) fn attributes(&self, setup: &str) -> String {
        format!("a=fingerprint:{}\r\na=setup:{setup}\r\n", self.fingerprint)
    }
}

/// The most `a=fingerprint` lines that are looked at.
const MAX_LINES: usize = 8;

/// What an offered stream gets; with RTCP on the port of RTP, until more is known.
pub(super) fn choose(
    media: &Media,
    profile: Profile,
    current: Option<&Association>,
) -> Result<Association, NegotiateError> {
    let remote = fingerprint(media)?;
    let kept = current.filter(|current| current.remote == remote);
    let role = match setup(media) {
        // RFC 5763 §5: the answerer begins; within an association who began it.
        Some("actpass") => kept.map_or(Role::Client, |current| current.role),
        Some("passive") => Role::Client,
        Some("active") | None => Role::Server,
        Some(_) => return Err(NegotiateError::NoDtls("a usable a=setup")),
    };
    Ok(Association {
        remote,
        role,
        profile,
        rtcp_apart: false,
    })
}

/// What an answer has made of our offer; of RTCP as in [`choose`].
pub(super) fn accept(theirs: &Media, profile: Profile) -> Result<Association, NegotiateError> {
    let role = match setup(theirs) {
        Some("active") | None => Role::Server,
        Some("passive") => Role::Client,
        Some(_) => return Err(NegotiateError::NoDtls("a usable a=setup")),
    };
    Ok(Association {
        remote: fingerprint(theirs)?,
        role,
        profile,
        rtcp_apart: false,
    })
}

fn fingerprint(media: &Media) -> Result<Fingerprint, NegotiateError> {
    let mut lines = media.attributes_or_inherited("fingerprint").take(MAX_LINES);
    lines
        .find_map(Fingerprint::parse)
        .ok_or(NegotiateError::NoDtls("a usable a=fingerprint"))
}

fn setup(media: &Media) -> Option<&str> {
    media.attributes_or_inherited("setup").next().map(str::trim)
}
