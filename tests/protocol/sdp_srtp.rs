//! Offer and answer with SRTP (RFC 4568): who gets which suite and key, who is refused and why.

use std::net::Ipv4Addr;

use antiphon::sdp::crypto::Crypto;
use antiphon::sdp::{
    Agreed, Capabilities, Description, Direction, Local, NegotiateError, Profile, Srtp,
    accept_with, answer_with, offer_with,
};
use antiphon::srtp::Suite;
use rand::SeedableRng;
use rand::rngs::StdRng;

const CM: &str = "AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER: &str = "AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const SHORT: &str = "AES_CM_128_HMAC_SHA1_32 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const GCM: &str = "AEAD_AES_128_GCM inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubA==";

const LOCAL: Local = Local {
    address: std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
    rtp_port: 10_000,
    rtcp_port: 10_001,
    session_id: 1,
    version: 1,
};

/// One side, with what it knows of the session.
struct Side {
    suites: Vec<Suite>,
    required: bool,
    keys: StdRng,
}

impl Side {
    fn new(required: bool) -> Self {
        Self {
            suites: Suite::ALL.to_vec(),
            required,
            keys: StdRng::seed_from_u64(5),
        }
    }

    fn srtp<'a>(&'a mut self, current: Option<&'a Agreed>) -> Srtp<'a> {
        Srtp {
            suites: &self.suites,
            required: self.required,
            current: current.and_then(|agreed| agreed.security.as_ref()),
            keys: &mut self.keys,
            dtls: None,
        }
    }

    fn answer(
        &mut self,
        offer: &str,
        current: Option<&Agreed>,
    ) -> Result<(String, Agreed), NegotiateError> {
        let capabilities = Capabilities::default();
        let both = Direction::SendRecv;
        answer_with(
            offer.as_bytes(),
            &capabilities,
            &LOCAL,
            both,
            Some(self.srtp(current)),
            false,
        )
    }

    fn offer(&mut self, current: Option<&Agreed>) -> String {
        let capabilities = Capabilities::default();
        let both = Direction::SendRecv;
        offer_with(
            &capabilities,
            &LOCAL,
            both,
            current,
            Some(self.srtp(current)),
        )
    }

    fn accept(&self, ours: &str, answer: &str) -> Result<Agreed, NegotiateError> {
        accept_with(
            ours,
            answer.as_bytes(),
            &Capabilities::default(),
            self.required,
            false,
        )
    }
}

fn stream(proto: &str, lines: &[&str]) -> String {
    let mut text = format!("m=audio 4000 {proto} 0\r\n");
    for line in lines {
        text += "a=crypto:";
        text += line;
        text += "\r\n";
    }
    text
}

fn offer(streams: &[String]) -> String {
    let streams = streams.concat();
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{streams}")
}

fn one(proto: &str, lines: &[&str]) -> String {
    offer(&[stream(proto, lines)])
}

/// The crypto lines of a description's audio.
fn crypto(text: &str) -> Vec<Crypto> {
    let description = Description::parse(text.as_bytes()).unwrap();
    let lines = description.media()[0].attributes("crypto");
    lines.map(|line| Crypto::parse(line).unwrap()).collect()
}

#[test]
fn the_first_line_that_we_can_do_is_answered_under_its_number() {
    let cases: [(&str, &[&str], u32, Suite, Profile); 5] = [
        (
            "RTP/SAVP",
            &[&format!("4 {CM}"), &format!("5 {GCM}")],
            4,
            Suite::AesCm128HmacSha1_80,
            Profile::Savp,
        ),
        (
            "RTP/SAVPF",
            &[&format!("1 F8 {CM}"), &format!("2 {GCM}")],
            2,
            Suite::AeadAes128Gcm,
            Profile::Savpf,
        ),
        (
            "RTP/SAVP",
            &[&format!("1 {CM}|2^20|1:4"), &format!("2 {SHORT}")],
            2,
            Suite::AesCm128HmacSha1_32,
            Profile::Savp,
        ),
        (
            "RTP/AVP",
            &[&format!("1 {CM}")],
            1,
            Suite::AesCm128HmacSha1_80,
            Profile::Avp,
        ),
        (
            "rtp/savp",
            &[&format!("1 {CM}")],
            1,
            Suite::AesCm128HmacSha1_80,
            Profile::Savp,
        ),
    ];
    for (proto, lines, tag, suite, profile) in cases {
        for required in [false, true] {
            let mut side = Side::new(required);
            let (text, agreed) = side.answer(&one(proto, lines), None).unwrap();
            let security = agreed.security.unwrap().sdes().unwrap().clone();
            assert_eq!((security.tag, security.profile), (tag, profile));
            assert_eq!(security.remote.suite(), suite);
            let ours = Crypto {
                tag,
                key: security.local.clone(),
            };
            assert_eq!(crypto(&text), [ours], "{text}");
            assert!(text.contains(&format!("m=audio 10000 {proto} 0")), "{text}");
            assert_ne!(security.local, security.remote);
        }
    }
}

#[test]
fn who_is_refused_and_why() {
    type Refused = Option<(u16, &'static str)>;
    let cases: [(bool, String, Refused); 7] = [
        (false, one("RTP/AVP", &[]), None),
        (true, one("RTP/AVP", &[]), Some((302, "SRTP is required"))),
        (
            false,
            one("RTP/SAVP", &[]),
            Some((399, "no usable a=crypto for SRTP")),
        ),
        (
            true,
            one("RTP/SAVP", &["1 NO inline:x"]),
            Some((399, "no usable a=crypto for SRTP")),
        ),
        (false, one("RTP/AVP", &["1 NO inline:x"]), None),
        (
            true,
            one("RTP/AVP", &["1 NO inline:x"]),
            Some((302, "SRTP is required")),
        ),
        (
            true,
            one("UDP/TLS/RTP/SAVPF", &[]),
            Some((302, "unsupported media transport UDP/TLS/RTP/SAVPF")),
        ),
    ];
    for (required, offer, expected) in cases {
        let result = Side::new(required).answer(&offer, None);
        match (result, expected) {
            (Ok((text, agreed)), None) => {
                assert_eq!(agreed.security, None);
                assert!(!text.contains("crypto"), "{text}");
            }
            (Err(error), Some((code, text))) => {
                assert_eq!(error.status(), 488);
                assert_eq!(error.warning(), (code, text.to_owned()), "{offer}");
            }
            (result, expected) => panic!("{result:?}, expected {expected:?}\n{offer}"),
        }
    }
    // Off: nothing of it.
    let plain = |offer: &str| {
        let capabilities = Capabilities::default();
        answer_with(
            offer.as_bytes(),
            &capabilities,
            &LOCAL,
            Direction::SendRecv,
            None,
            false,
        )
    };
    let line = format!("1 {CM}");
    assert!(plain(&one("RTP/SAVP", &[&line])).is_err());
    let (text, agreed) = plain(&one("RTP/AVP", &[&line])).unwrap();
    assert!(agreed.security.is_none() && !text.contains("crypto"));
    // A suite that the configuration leaves out.
    let mut narrow = Side::new(false);
    narrow.suites = vec![Suite::AeadAes256Gcm];
    assert_eq!(
        narrow.answer(&one("RTP/SAVP", &[&line]), None).unwrap_err(),
        NegotiateError::NoCrypto
    );
}

#[test]
fn of_two_streams_the_first_that_the_policy_allows() {
    let line = format!("1 {CM}");
    let both = [stream("RTP/AVP", &[]), stream("RTP/SAVP", &[&line])];
    for (required, index) in [(false, 0), (true, 1)] {
        let (text, agreed) = Side::new(required).answer(&offer(&both), None).unwrap();
        assert_eq!(agreed.audio_index, index);
        assert_eq!(agreed.security.is_some(), required);
        let ours = Description::parse(text.as_bytes()).unwrap();
        assert_eq!(ours.media()[1 - index].port, 0);
    }
}

#[test]
fn a_key_changes_with_the_peers_and_only_then() {
    let mut side = Side::new(false);
    let (first, agreed) = side
        .answer(&one("RTP/SAVP", &[&format!("1 {CM}")]), None)
        .unwrap();
    // Hold, or a refresh: the same line again.
    let again = one("RTP/SAVP", &[&format!("1 {CM}")]);
    let (text, same) = side.answer(&again, Some(&agreed)).unwrap();
    assert_eq!(
        (crypto(&text), &same.security),
        (crypto(&first), &agreed.security)
    );
    let (_, renumbered) = side
        .answer(&one("RTP/SAVP", &[&format!("3 {CM}")]), Some(&agreed))
        .unwrap();
    let (old, new) = (
        agreed.security.clone().unwrap().sdes().unwrap().clone(),
        renumbered.security.unwrap().sdes().unwrap().clone(),
    );
    assert_eq!(
        (&old.local, &old.remote, 3),
        (&new.local, &new.remote, new.tag)
    );
    for line in [OTHER, SHORT] {
        let offer = one("RTP/SAVP", &[&format!("1 {line}")]);
        let (_, changed) = side.answer(&offer, Some(&agreed)).unwrap();
        let changed = changed.security.unwrap().sdes().unwrap().clone();
        assert_ne!(changed.remote, old.remote);
        assert_ne!(changed.local, old.local);
    }
}

#[test]
fn our_own_offers_and_their_answers() {
    for required in [false, true] {
        let (mut us, mut them) = (Side::new(required), Side::new(false));
        them.keys = StdRng::seed_from_u64(6);
        let ours = us.offer(None);
        let proto = if required { "RTP/SAVP" } else { "RTP/AVP" };
        assert!(ours.contains(&format!("m=audio 10000 {proto} ")), "{ours}");
        let offered = crypto(&ours);
        let suites: Vec<Suite> = offered.iter().map(|line| line.key.suite()).collect();
        assert_eq!(suites, Suite::ALL);
        let (answer, theirs) = them.answer(&ours, None).unwrap();
        let agreed = us.accept(&ours, &answer).unwrap();
        let (here, there) = (
            agreed.security.clone().unwrap().sdes().unwrap().clone(),
            theirs.security.clone().unwrap().sdes().unwrap().clone(),
        );
        assert_eq!((&here.local, &here.remote), (&there.remote, &there.local));
        assert_eq!(here.remote.suite(), Suite::AeadAes256Gcm);
        // Within the session: the key in use first, and it stays.
        let later = us.offer(Some(&agreed));
        assert_eq!(crypto(&later)[0].key, here.local);
        assert!(
            later.contains(&format!("m=audio 10000 {proto} ")),
            "{later}"
        );
        let tags: std::collections::BTreeSet<u32> = crypto(&later).iter().map(|c| c.tag).collect();
        assert_eq!(tags.len(), 4);
        let (answer, again) = them.answer(&later, Some(&theirs)).unwrap();
        assert_eq!(again.security, theirs.security);
        assert_eq!(
            us.accept(&later, &answer).unwrap().security,
            agreed.security
        );
        // A line that we did not offer, another suite under its number, none at all.
        let tag = here.tag;
        for line in [format!("9 {CM}"), format!("{tag} {CM}"), format!("{tag} x")] {
            let error = us.accept(&ours, &one(proto, &[&line])).unwrap_err();
            assert_eq!(error, NegotiateError::NoCrypto, "{line}");
        }
        let bare = us.accept(&ours, &one(proto, &[]));
        if required {
            assert_eq!(bare.unwrap_err(), NegotiateError::NoCrypto);
        } else {
            let plain = bare.unwrap();
            assert_eq!(plain.security, None);
            assert!(!us.offer(Some(&plain)).contains("crypto"));
        }
    }
}

mod dtls {
    use super::*;

    use antiphon::sdp::fingerprint::Hash;
    use antiphon::sdp::{Dtls, Fingerprint, Role, Security};

    fn srtp<'a>(
        keys: &'a mut StdRng,
        fingerprint: &'a Fingerprint,
        current: Option<&'a Agreed>,
        offered: bool,
    ) -> Srtp<'a> {
        Srtp {
            suites: &Suite::ALL,
            required: true,
            current: current.and_then(|agreed| agreed.security.as_ref()),
            keys,
            dtls: Some(Dtls {
                fingerprint,
                offered,
            }),
        }
    }

    fn side(name: &[u8]) -> (Fingerprint, StdRng) {
        let fingerprint = Fingerprint::of(name, Hash::Sha256);
        (fingerprint, StdRng::seed_from_u64(3))
    }

    fn answered(offer: &str, current: Option<&Agreed>) -> Result<(String, Agreed), NegotiateError> {
        let (us, mut keys) = side(b"us");
        let srtp = srtp(&mut keys, &us, current, false);
        let capabilities = Capabilities::default();
        let both = Direction::SendRecv;
        answer_with(
            offer.as_bytes(),
            &capabilities,
            &LOCAL,
            both,
            Some(srtp),
            false,
        )
    }

    fn offered(session: &str, media: &str) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{session}\
             m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n{media}a=rtcp-mux\r\n"
        )
    }

    #[test]
    fn who_begins_and_whose_certificate_is_awaited() {
        let (them, _) = side(b"them");
        let print = format!("a=fingerprint:{them}\r\n");
        let cases = [
            ("a=setup:actpass\r\n", Role::Client, "active"),
            ("a=setup:passive\r\n", Role::Client, "active"),
            ("a=setup:active\r\n", Role::Server, "passive"),
        ];
        for (setup, role, ours) in cases {
            let attributes = format!("{print}{setup}");
            for offer in [
                offered("", &attributes),
                offered(&attributes, ""),
                offered(&print, setup),
            ] {
                let (text, agreed) = answered(&offer, None).unwrap();
                let Some(Security::Dtls(association)) = &agreed.security else {
                    panic!("{agreed:?}");
                };
                assert_eq!((&association.remote, association.role), (&them, role));
                let (us, _) = side(b"us");
                assert!(text.contains("UDP/TLS/RTP/SAVPF 0"), "{text}");
                assert!(text.contains(&format!("a=fingerprint:{us}\r\n")), "{text}");
                assert!(text.contains(&format!("a=setup:{ours}\r\n")), "{text}");
                assert!(!text.contains("crypto"), "{text}");
            }
        }
        // The stream's own counts before the session's.
        let (other, _) = side(b"other");
        let session = format!("a=fingerprint:{other}\r\na=setup:actpass\r\n");
        let (_, agreed) = answered(&offered(&session, &print), None).unwrap();
        assert_eq!(agreed.security.unwrap().dtls().unwrap().remote, them);
    }

    #[test]
    fn our_own_offer_and_the_next_one() {
        let (us, mut keys) = side(b"us");
        let capabilities = Capabilities::default();
        let both = Direction::SendRecv;
        let first = Some(srtp(&mut keys, &us, None, true));
        let ours = offer_with(&capabilities, &LOCAL, both, None, first);
        assert!(ours.contains("UDP/TLS/RTP/SAVP 0"), "{ours}");
        assert!(ours.contains("a=setup:actpass\r\n"), "{ours}");
        let (answer, theirs) = answered(&ours, None).unwrap();
        let accepted = |ours: &str, answer: &str| {
            antiphon::sdp::accept_with(ours, answer.as_bytes(), &capabilities, true, false)
        };
        let agreed = accepted(&ours, &answer).unwrap();
        let association = |agreed: &Agreed| agreed.security.clone().unwrap().dtls().cloned();
        let (here, there) = (association(&agreed).unwrap(), association(&theirs).unwrap());
        assert_eq!((here.role, there.role), (Role::Server, Role::Client));
        // Within the session it stays, and so does who began.
        let later = Some(srtp(&mut keys, &us, Some(&agreed), false));
        let later = offer_with(&capabilities, &LOCAL, both, Some(&agreed), later);
        let (answer, again) = answered(&later, Some(&theirs)).unwrap();
        assert!(association(&again).unwrap().is_same(&there));
        let again = accepted(&later, &answer).unwrap();
        assert!(association(&again).unwrap().is_same(&here));
        // An answer without what is needed, and one with RTCP on a port of its own.
        let without = |gone: &str| -> String {
            let lines = answer.split_inclusive("\r\n");
            lines.filter(|line| !line.starts_with(gone)).collect()
        };
        let error = accepted(&later, &without("a=fingerprint")).unwrap_err();
        assert_eq!(error, NegotiateError::NoDtls("a usable a=fingerprint"));
        let apart = accepted(&later, &without("a=rtcp-mux")).unwrap();
        assert!(association(&apart).unwrap().rtcp_apart);
        assert!(!association(&again).unwrap().rtcp_apart);
        assert!(
            !association(&apart).unwrap().is_same(&here),
            "more hands to shake"
        );
    }

    /// The value of `a=tls-id`.
    fn name(text: &str) -> Option<String> {
        let description = Description::parse(text.as_bytes()).unwrap();
        description.media()[0]
            .attribute("tls-id")
            .map(str::to_owned)
    }

    #[test]
    fn ends_have_names_where_both_sides_give_some() {
        let (us, mut keys) = side(b"us");
        let (them, _) = side(b"them");
        let mut answered = |id: &str, current: Option<&Agreed>| {
            let lines = format!("a=fingerprint:{them}\r\na=setup:actpass\r\n{id}");
            let offer = offered("", &lines);
            let srtp = srtp(&mut keys, &us, current, false);
            let capabilities = Capabilities::default();
            let both = Direction::SendRecv;
            answer_with(
                offer.as_bytes(),
                &capabilities,
                &LOCAL,
                both,
                Some(srtp),
                false,
            )
            .unwrap()
        };
        let too_long = format!("a=tls-id:{}\r\n", "x".repeat(256));
        for id in [
            "",
            "a=tls-id:short\r\n",
            "a=tls-id:abcdefghijklmnopqrst!\r\n",
            too_long.as_str(),
        ] {
            let (text, agreed) = answered(id, None);
            assert_eq!(name(&text), None, "{id}");
            assert_eq!(agreed.security.unwrap().dtls().unwrap().remote_id, None);
        }
        let first = "a=tls-id:abcdefghijklm+/-_012\r\n";
        let (text, agreed) = answered(first, None);
        let ours = name(&text);
        assert_eq!(ours.as_ref().map(String::len), Some(32));
        let (text, again) = answered(first, Some(&agreed));
        assert_eq!(name(&text), ours, "it goes on");
        assert_eq!(again.security, agreed.security);
        let second = "a=tls-id:ABCDEFGHIJKLMNOPQRSTUVW\r\n";
        let (text, other) = answered(second, Some(&agreed));
        assert_ne!(name(&text), ours, "another association");
        let association = |agreed: &Agreed| agreed.security.clone().unwrap().dtls().cloned();
        let (other, agreed) = (association(&other).unwrap(), association(&agreed).unwrap());
        assert!(!other.is_same(&agreed));
    }

    #[test]
    fn our_own_offer_names_our_end_and_keeps_the_name() {
        let (us, mut keys) = side(b"us");
        let capabilities = Capabilities::default();
        let both = Direction::SendRecv;
        let first = Some(srtp(&mut keys, &us, None, true));
        let ours = offer_with(&capabilities, &LOCAL, both, None, first);
        let id = name(&ours).unwrap();
        let (answer, _) = answered(&ours, None).unwrap();
        let agreed =
            antiphon::sdp::accept_with(&ours, answer.as_bytes(), &capabilities, true, false);
        let agreed = agreed.unwrap();
        let association = agreed.security.as_ref().and_then(Security::dtls).unwrap();
        assert_eq!(association.local_id.as_deref(), Some(id.as_str()));
        assert_eq!(association.remote_id, name(&answer));
        // Where others may answer, too: then the answer tells.
        let later = Some(srtp(&mut keys, &us, None, false));
        let later = offer_with(&capabilities, &LOCAL, both, Some(&agreed), later);
        assert_eq!(name(&later), Some(id));
    }

    #[test]
    fn without_names_another_address_is_another_end() {
        let (them, _) = side(b"them");
        let lines = format!("a=fingerprint:{them}\r\na=setup:actpass\r\n");
        let offer = offered("", &lines);
        let associated = |offer: &str, current: Option<&Agreed>| {
            let (_, agreed) = answered(offer, current).unwrap();
            let association = agreed.security.as_ref().and_then(Security::dtls).cloned();
            (agreed, association.unwrap())
        };
        let (agreed, first) = associated(&offer, None);
        for (from, to, same) in [
            ("192.0.2.9", "192.0.2.9", true),
            ("c=IN IP4 192.0.2.9", "c=IN IP4 0.0.0.0", true),
            ("c=IN IP4 192.0.2.9", "c=IN IP4 192.0.2.10", false),
            ("m=audio 4000", "m=audio 4010", false),
        ] {
            let (_, again) = associated(&offer.replace(from, to), Some(&agreed));
            assert_eq!(again.is_same(&first), same, "{to}");
            assert_eq!(again.role, Role::Client);
        }
        // Through a hold it is remembered where the end was.
        let hold = offer.replace("c=IN IP4 192.0.2.9", "c=IN IP4 0.0.0.0");
        let (_, mut held) = associated(&hold, Some(&agreed));
        held.remember(&first);
        let (_, moved) = associated(&offer.replace("m=audio 4000", "m=audio 4010"), None);
        assert!(held.is_same(&first) && !held.is_same(&moved));
    }

    #[test]
    fn rtcp_may_have_a_port_of_its_own() {
        let (them, _) = side(b"them");
        let offer = offered("", &format!("a=fingerprint:{them}\r\na=setup:actpass\r\n"));
        for (offer, apart) in [(offer.replace("a=rtcp-mux\r\n", ""), true), (offer, false)] {
            let (text, agreed) = answered(&offer, None).unwrap();
            let association = agreed.security.as_ref().and_then(Security::dtls).unwrap();
            assert_eq!(association.rtcp_apart, apart, "{text}");
            assert_eq!(text.contains("a=rtcp-mux"), !apart, "{text}");
            let port = if apart { 4001 } else { 4000 };
            assert_eq!(agreed.remote_rtcp.unwrap().port(), port);
        }
    }
}
