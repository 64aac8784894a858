//! SRTP with keys in the description (RFC 4568): what is offered, answered and agreed on.

use rand::rngs::StdRng;

use crate::sdp::crypto::Crypto;
use crate::sdp::description::Media;
use crate::srtp::{MasterKey, Suite};

use super::{Agreed, NegotiateError};

/// Whether a call's media is to be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SrtpPolicy {
    /// Never: an offer of SRTP alone is refused.
    #[default]
    Off,
    /// Where the other side can.
    Optional,
    /// Always: an offer without is refused.
    Required,
}

/// What a negotiation may use of SRTP.
#[derive(Debug)]
pub struct Srtp<'a> {
    /// The suites that may be used, preferred first (our order counts in our own offers only).
    pub suites: &'a [Suite],
    /// Media without encryption is refused.
    pub required: bool,
    /// What is in use: its keys stay where the peer's does.
    pub current: Option<&'a Security>,
    /// Where fresh keys come from.
    pub keys: &'a mut StdRng,
}

/// What was agreed on for SRTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// The number of the line that was chosen.
    pub tag: u32,
    /// What we send with.
    pub local: MasterKey,
    /// What the peer sends with.
    pub remote: MasterKey,
    /// The transport in the `m=` line.
    pub profile: Profile,
}

/// RTP profiles; with feedback (RFC 4585), which stays optional, or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `RTP/AVP`.
    Avp,
    /// `RTP/AVPF`.
    Avpf,
    /// `RTP/SAVP`: encrypted.
    Savp,
    /// `RTP/SAVPF`: encrypted.
    Savpf,
}

/// The most `a=crypto` lines of a stream that are looked at.
pub(super) const MAX_LINES: usize = 16;

impl Profile {
    const ALL: [Profile; 4] = [Profile::Avp, Profile::Avpf, Profile::Savp, Profile::Savpf];

    /// As it stands in an `m=` line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Avp => "RTP/AVP",
            Profile::Avpf => "RTP/AVPF",
            Profile::Savp => "RTP/SAVP",
            Profile::Savpf => "RTP/SAVPF",
        }
    }

    pub(super) fn of(media: &Media) -> Result<Self, NegotiateError> {
        let mut all = Self::ALL.into_iter();
        all.find(|profile| media.proto.eq_ignore_ascii_case(profile.name()))
            .ok_or_else(|| NegotiateError::UnsupportedTransport(media.proto.clone()))
    }

    pub(super) fn is_secure(self) -> bool {
        matches!(self, Profile::Savp | Profile::Savpf)
    }
}

/// The lines of a stream that we can do.
fn lines(media: &Media) -> impl Iterator<Item = Crypto> {
    media
        .attributes("crypto")
        .take(MAX_LINES)
        .filter_map(Crypto::parse)
}

/// What an offered stream gets: the line to answer with, or none for plain RTP.
pub(super) fn choose(
    media: &Media,
    srtp: Option<&Srtp<'_>>,
) -> Result<Option<Crypto>, NegotiateError> {
    let profile = Profile::of(media)?;
    let Some(srtp) = srtp else {
        return if profile.is_secure() {
            Err(NegotiateError::UnsupportedTransport(media.proto.clone()))
        } else {
            Ok(None)
        };
    };
    // RFC 4568 §5.1.2: the offerer's order is its preference.
    let chosen = lines(media).find(|line| srtp.suites.contains(&line.key.suite()));
    match chosen {
        Some(line) => Ok(Some(line)),
        None if profile.is_secure() => Err(NegotiateError::NoCrypto),
        None if srtp.required => Err(NegotiateError::SrtpRequired),
        None => Ok(None),
    }
}

/// Our answer to a line: the key that we have where the peer's is what it was, else a fresh one. The
/// peer that has changed its key may be another, which knows nothing of our roll-over counter.
pub(super) fn answer(line: Crypto, profile: Profile, srtp: &mut Srtp<'_>) -> Security {
    let kept = srtp.current.filter(|current| current.remote == line.key);
    let local = match kept {
        Some(current) => current.local.clone(),
        None => MasterKey::random(line.key.suite(), srtp.keys),
    };
    Security {
        tag: line.tag,
        local,
        remote: line.key,
        profile,
    }
}

/// What we offer: the profile, and the lines. `previous` is what the session has so far, if there is
/// one, encrypted or not.
pub(super) fn offer(
    previous: Option<&Agreed>,
    srtp: Option<&mut Srtp<'_>>,
) -> (Profile, Vec<Crypto>) {
    let Some(srtp) = srtp else {
        return (Profile::Avp, Vec::new());
    };
    let profile = match previous {
        Some(Agreed {
            security: Some(security),
            ..
        }) => security.profile,
        Some(_) if !srtp.required => return (Profile::Avp, Vec::new()),
        _ if srtp.required => Profile::Savp,
        // Phones that do not know a=crypto pass it over.
        _ => Profile::Avp,
    };
    let current = srtp.current;
    let mut offered: Vec<Crypto> = current
        .map(|current| Crypto {
            tag: current.tag,
            key: current.local.clone(),
        })
        .into_iter()
        .collect();
    let in_use = current.map(|current| current.local.suite());
    let mut tag = 0;
    for &suite in srtp.suites.iter().filter(|suite| Some(**suite) != in_use) {
        tag += 1;
        if current.is_some_and(|current| current.tag == tag) {
            tag += 1;
        }
        let key = MasterKey::random(suite, srtp.keys);
        offered.push(Crypto { tag, key });
    }
    (profile, offered)
}

/// What an answer has made of our offer.
pub(super) fn accept(
    ours: &Media,
    theirs: &Media,
    required: bool,
) -> Result<Option<Security>, NegotiateError> {
    let profile = Profile::of(ours)?;
    let offered: Vec<Crypto> = lines(ours).collect();
    if offered.is_empty() {
        return Ok(None);
    }
    if !theirs.has_attribute("crypto") && !profile.is_secure() {
        return if required {
            Err(NegotiateError::SrtpRequired)
        } else {
            Ok(None)
        };
    }
    let line = lines(theirs).next().ok_or(NegotiateError::NoCrypto)?;
    let ours = offered
        .into_iter()
        .find(|our| our.tag == line.tag && our.key.suite() == line.key.suite())
        .ok_or(NegotiateError::NoCrypto)?;
    Ok(Some(Security {
        tag: line.tag,
        local: ours.key,
        remote: line.key,
        profile,
    }))
}
