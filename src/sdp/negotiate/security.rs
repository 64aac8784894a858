//! SRTP: what is offered, answered and agreed on. Keys are in the description (RFC 4568), or come by
//! DTLS in the media (see [`dtls`](super::dtls)).

use rand::rngs::StdRng;

use crate::sdp::crypto::Crypto;
use crate::sdp::description::Media;
use crate::srtp::{MasterKey, Suite};

use super::dtls::{self, Association, Dtls};
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
    /// Keys by DTLS; none: an offer of that alone is refused.
    pub dtls: Option<Dtls<'a>>,
}

/// What was agreed on for SRTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Keys in the descriptions (RFC 4568).
    Sdes(Sdes),
    /// Keys by a handshake in the media (RFC 5763).
    Dtls(Association),
}

/// Keys out of the descriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdes {
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
    /// `UDP/TLS/RTP/SAVP`: encrypted with keys by DTLS (RFC 5764 §8).
    TlsSavp,
    /// `UDP/TLS/RTP/SAVPF`: the same.
    TlsSavpf,
}

impl Security {
    /// The keys, where they are in the descriptions.
    pub fn sdes(&self) -> Option<&Sdes> {
        match self {
            Security::Sdes(sdes) => Some(sdes),
            Security::Dtls(_) => None,
        }
    }

    /// The association, where the keys come by DTLS.
    pub fn dtls(&self) -> Option<&Association> {
        match self {
            Security::Dtls(association) => Some(association),
            Security::Sdes(_) => None,
        }
    }

    /// The same, once it is known whether RTCP shares a port with RTP.
    pub(super) fn with_rtcp(mut self, rtcp_mux: bool) -> Self {
        if let Security::Dtls(association) = &mut self {
            association.rtcp_apart = !rtcp_mux;
        }
        self
    }

    pub(super) fn profile(&self) -> Profile {
        match self {
            Security::Sdes(sdes) => sdes.profile,
            Security::Dtls(association) => association.profile,
        }
    }
}

/// What is said of keys in a description of ours.
#[derive(Debug)]
pub(super) enum Statement {
    /// `a=crypto`, none for plain RTP.
    Crypto(Vec<Crypto>),
    /// `a=fingerprint`, `a=setup` and, where it has a name, `a=tls-id`.
    Dtls(String),
}

/// The most `a=crypto` lines of a stream that are looked at.
pub(super) const MAX_LINES: usize = 16;

impl Profile {
    const ALL: [Profile; 6] = [
        Profile::Avp,
        Profile::Avpf,
        Profile::Savp,
        Profile::Savpf,
        Profile::TlsSavp,
        Profile::TlsSavpf,
    ];

    /// As it stands in an `m=` line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Avp => "RTP/AVP",
            Profile::Avpf => "RTP/AVPF",
            Profile::Savp => "RTP/SAVP",
            Profile::Savpf => "RTP/SAVPF",
            Profile::TlsSavp => "UDP/TLS/RTP/SAVP",
            Profile::TlsSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }

    pub(super) fn of(media: &Media) -> Result<Self, NegotiateError> {
        let mut all = Self::ALL.into_iter();
        all.find(|profile| media.proto.eq_ignore_ascii_case(profile.name()))
            .ok_or_else(|| NegotiateError::UnsupportedTransport(media.proto.clone()))
    }

    pub(super) fn is_secure(self) -> bool {
        !matches!(self, Profile::Avp | Profile::Avpf)
    }

    pub(super) fn is_dtls(self) -> bool {
        matches!(self, Profile::TlsSavp | Profile::TlsSavpf)
    }
}

/// What an offered stream gets.
#[derive(Debug)]
pub(super) enum Chosen {
    Crypto(Crypto),
    Dtls(Association),
}

/// The lines of a stream that we can do.
fn lines(media: &Media) -> impl Iterator<Item = Crypto> {
    media
        .attributes("crypto")
        .take(MAX_LINES)
        .filter_map(Crypto::parse)
}

/// What an offered stream gets; none: plain RTP.
pub(super) fn choose(
    media: &Media,
    srtp: Option<&Srtp<'_>>,
) -> Result<Option<Chosen>, NegotiateError> {
    let profile = Profile::of(media)?;
    let unsupported = || NegotiateError::UnsupportedTransport(media.proto.clone());
    let Some(srtp) = srtp else {
        return if profile.is_secure() {
            Err(unsupported())
        } else {
            Ok(None)
        };
    };
    if profile.is_dtls() {
        srtp.dtls.ok_or_else(unsupported)?;
        let current = srtp.current.and_then(Security::dtls);
        return dtls::choose(media, profile, current).map(|chosen| Some(Chosen::Dtls(chosen)));
    }
    // RFC 4568 §5.1.2: the offerer's order is its preference.
    let chosen = lines(media).find(|line| srtp.suites.contains(&line.key.suite()));
    match chosen {
        Some(line) => Ok(Some(Chosen::Crypto(line))),
        None if profile.is_secure() => Err(NegotiateError::NoCrypto),
        None if srtp.required => Err(NegotiateError::SrtpRequired),
        None => Ok(None),
    }
}

/// Our answer to a line: the key that we have where the peer's is what it was, else a fresh one. The
/// peer that has changed its key may be another, which knows nothing of our roll-over counter.
pub(super) fn answer(
    chosen: Chosen,
    profile: Profile,
    rtcp_mux: bool,
    srtp: &mut Srtp<'_>,
) -> Security {
    let line = match chosen {
        Chosen::Crypto(line) => line,
        Chosen::Dtls(association) => {
            let current = srtp.current.and_then(Security::dtls);
            return Security::Dtls(association.answered(rtcp_mux, current, srtp.keys));
        }
    };
    let current = srtp.current.and_then(Security::sdes);
    let kept = current.filter(|current| current.remote == line.key);
    let local = match kept {
        Some(current) => current.local.clone(),
        None => MasterKey::random(line.key.suite(), srtp.keys),
    };
    Security::Sdes(Sdes {
        tag: line.tag,
        local,
        remote: line.key,
        profile,
    })
}

/// What an answer of ours says of what was agreed on.
pub(super) fn state(security: Option<&Security>, dtls: Option<Dtls<'_>>) -> Statement {
    match (security, dtls) {
        (Some(Security::Dtls(association)), Some(dtls)) => {
            let id = association.local_id.as_deref();
            Statement::Dtls(dtls.attributes(association.role.name(), id))
        }
        (Some(Security::Sdes(sdes)), _) => Statement::Crypto(vec![Crypto {
            tag: sdes.tag,
            key: sdes.local.clone(),
        }]),
        _ => Statement::Crypto(Vec::new()),
    }
}

/// What we offer: the profile, and the keys. `previous` is what the session has so far, if there is
/// one, encrypted or not.
pub(super) fn offer(
    previous: Option<&Agreed>,
    srtp: Option<&mut Srtp<'_>>,
) -> (Profile, Statement) {
    let plain = (Profile::Avp, Statement::Crypto(Vec::new()));
    let Some(srtp) = srtp else {
        return plain;
    };
    let in_session = previous.map(|agreed| agreed.security.as_ref());
    if let Some(dtls) = srtp.dtls {
        // Within a session the name stays, also where another may answer: its answer has another one.
        let association = match in_session {
            Some(security) => {
                let association = security.and_then(Security::dtls);
                association.map(|a| (a.profile, a.local_id.clone()))
            }
            None if dtls.offered => Some((Profile::TlsSavp, Some(dtls::fresh_id(srtp.keys)))),
            None => None,
        };
        if let Some((profile, id)) = association {
            let attributes = dtls.attributes("actpass", id.as_deref());
            return (profile, Statement::Dtls(attributes));
        }
    }
    let profile = match in_session {
        Some(Some(security)) => security.profile(),
        Some(None) if !srtp.required => return plain,
        _ if srtp.required => Profile::Savp,
        // Phones that do not know a=crypto pass it over.
        _ => Profile::Avp,
    };
    (profile, Statement::Crypto(offered_lines(srtp)))
}

fn offered_lines(srtp: &mut Srtp<'_>) -> Vec<Crypto> {
    let current = srtp.current.and_then(Security::sdes);
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
    offered
}

/// What an answer has made of our offer.
pub(super) fn accept(
    ours: &Media,
    theirs: &Media,
    required: bool,
) -> Result<Option<Security>, NegotiateError> {
    let profile = Profile::of(ours)?;
    if profile.is_dtls() {
        let association = dtls::accept(ours, theirs, profile)?;
        return Ok(Some(Security::Dtls(association)));
    }
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
    Ok(Some(Security::Sdes(Sdes {
        tag: line.tag,
        local: ours.key,
        remote: line.key,
        profile,
    })))
}
