//! SRTP with keys by DTLS in the media (RFC 5763, RFC 8842): fingerprints, who begins, and when to begin
//! anew.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use rand::Rng;
use rand::rngs::StdRng;

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
    /// Where the peer's end is, by the last description that told.
    pub address: Option<SocketAddr>,
    /// What we call it, where we do (`a=tls-id`, RFC 8842 §4).
    pub local_id: Option<String>,
    /// What the peer calls it, where both do.
    pub remote_id: Option<String>,
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
        self.is_same_end(other) && self.role == other.role && self.rtcp_apart == other.rtcp_apart
    }

    /// Whether the peer's end is the same. Where it has a name, that tells (RFC 8842 §4); else another
    /// address is another end (RFC 5763 §6.6), and none, as on hold, says nothing.
    fn is_same_end(&self, other: &Association) -> bool {
        let stays = match (&self.remote_id, &other.remote_id) {
            (Some(one), Some(other)) => one == other,
            _ => match (self.address, other.address) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            },
        };
        stays && self.remote == other.remote
    }

    /// Remembers where the peer's end was, where a description has not told.
    pub fn remember(&mut self, before: &Association) {
        self.address = self.address.or(before.address);
    }

    /// As our answer has it: with a name where the peer's offer has one, and a new one for a new
    /// association (RFC 8842 §5.3).
    pub(super) fn answered(
        mut self,
        rtcp_mux: bool,
        current: Option<&Association>,
        keys: &mut StdRng,
    ) -> Self {
        self.rtcp_apart = !rtcp_mux;
        if self.remote_id.is_some() {
            let kept = current.filter(|current| current.is_same(&self));
            let kept = kept.and_then(|current| current.local_id.clone());
            self.local_id = Some(kept.unwrap_or_else(|| fresh_id(keys)));
        }
        self
    }
}

impl Dtls<'_> {
    pub(super) fn attributes(&self, setup: &str, id: Option<&str>) -> String {
        let id = id.map(|id| format!("a=tls-id:{id}\r\n"));
        let id = id.unwrap_or_default();
        let fingerprint = self.fingerprint;
        format!("a=fingerprint:{fingerprint}\r\na=setup:{setup}\r\n{id}")
    }
}

/// The most `a=fingerprint` lines that are looked at.
const MAX_LINES: usize = 8;
/// How long a name of an association is, characters (RFC 8842 §4).
const ID_LENGTH: RangeInclusive<usize> = 20..=255;

/// A name for an association: 128 random bits.
pub(super) fn fresh_id(keys: &mut StdRng) -> String {
    format!("{:032x}", keys.random::<u128>())
}

/// What an offered stream gets; with RTCP on the port of RTP, until more is known.
pub(super) fn choose(
    media: &Media,
    profile: Profile,
    current: Option<&Association>,
) -> Result<Association, NegotiateError> {
    let mut association = Association {
        remote: fingerprint(media)?,
        role: Role::Client,
        profile,
        rtcp_apart: false,
        address: media.rtp_address(),
        local_id: None,
        remote_id: id(media),
    };
    let kept = current.filter(|current| current.is_same_end(&association));
    association.role = match setup(media) {
        // RFC 5763 §5: the answerer begins; within an association who began it.
        Some("actpass") => kept.map_or(Role::Client, |current| current.role),
        Some("passive") => Role::Client,
        Some("active") | None => Role::Server,
        Some(_) => return Err(NegotiateError::NoDtls("a usable a=setup")),
    };
    Ok(association)
}

/// What an answer has made of our offer; of RTCP as in [`choose`].
pub(super) fn accept(
    ours: &Media,
    theirs: &Media,
    profile: Profile,
) -> Result<Association, NegotiateError> {
    let role = match setup(theirs) {
        Some("active") | None => Role::Server,
        Some("passive") => Role::Client,
        Some(_) => return Err(NegotiateError::NoDtls("a usable a=setup")),
    };
    let local_id = id(ours);
    Ok(Association {
        remote: fingerprint(theirs)?,
        role,
        profile,
        rtcp_apart: false,
        address: theirs.rtp_address(),
        remote_id: id(theirs).filter(|_| local_id.is_some()),
        local_id,
    })
}

fn fingerprint(media: &Media) -> Result<Fingerprint, NegotiateError> {
    let mut lines = media.attributes_or_inherited("fingerprint").take(MAX_LINES);
    lines
        .find_map(Fingerprint::parse)
        .ok_or(NegotiateError::NoDtls("a usable a=fingerprint"))
}

/// What its author calls the association; one that breaks the rules is none.
fn id(media: &Media) -> Option<String> {
    let id = media.attribute("tls-id")?.trim();
    let may_stand = |octet: u8| octet.is_ascii_alphanumeric() || b"+/-_".contains(&octet);
    (ID_LENGTH.contains(&id.len()) && id.bytes().all(may_stand)).then(|| id.to_owned())
}

fn setup(media: &Media) -> Option<&str> {
    media.attributes_or_inherited("setup").next().map(str::trim)
}
