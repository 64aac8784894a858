//! What must hold for any bytes at all. The target in `fuzz/` and `tests/fuzz_bodies.rs` call this.

use std::net::Ipv4Addr;

use crate::codec::Codec;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::srtp::Suite;

use super::crypto::Crypto;
use super::fingerprint::{Fingerprint, Hash};
use super::{
    Agreed, Capabilities, Description, Direction, Dtls, Local, Security, Srtp, accept, accept_with,
    answer, answer_with, offer, offer_with, reject,
};

/// Reads `bytes` as an offer and as an answer to ours; what we answer can be read, and has as
/// many streams as the offer (RFC 3264 §6).
///
/// # Panics
/// Where it does not: that is a bug.
pub fn description(bytes: &[u8]) {
    check(bytes, &Capabilities::default());
    let everything = Capabilities {
        codecs: Codec::ALL.to_vec(),
        redundancy: true,
        ..Capabilities::default()
    };
    check(bytes, &everything);
    for required in [false, true] {
        secure(bytes, &everything, required);
    }
}

/// The same with SRTP: what is answered was offered, and no session is plain that must not be.
fn secure(bytes: &[u8], capabilities: &Capabilities, required: bool) {
    let keys = &mut StdRng::seed_from_u64(1);
    let fingerprint = Fingerprint::of(b"certificate", Hash::Sha256);
    let dtls = |offered| Dtls {
        fingerprint: &fingerprint,
        offered,
    };
    let both = Direction::SendRecv;
    let check = |agreed: &Agreed, theirs: &[u8]| {
        let theirs = Description::parse(theirs).expect("it was read");
        let media = &theirs.media()[agreed.audio_index];
        let Some(security) = &agreed.security else {
            assert!(!required, "plain, where SRTP is required");
            return;
        };
        let security = match security {
            Security::Sdes(sdes) => sdes,
            Security::Dtls(association) => {
                let mut lines = media.attributes_or_inherited("fingerprint");
                assert!(lines.any(|l| Fingerprint::parse(l).as_ref() == Some(&association.remote)));
                return;
            }
        };
        let line = Crypto {
            tag: security.tag,
            key: security.remote.clone(),
        };
        let mut lines = media.attributes("crypto").filter_map(Crypto::parse);
        assert!(lines.any(|offered| offered == line), "nobody offered this");
        assert_eq!(security.local.suite(), security.remote.suite());
    };
    if let Ok((text, agreed)) = answer_with(
        bytes,
        capabilities,
        &LOCAL,
        both,
        Some(srtp(required, keys, dtls(false))),
        !required,
    ) {
        check(&agreed, bytes);
        let ours = Description::parse(text.as_bytes()).expect("what we print can be read");
        let crypto = ours.media()[agreed.audio_index]
            .attributes("crypto")
            .count();
        let sdes = agreed.security.as_ref().and_then(Security::sdes);
        assert_eq!(crypto, usize::from(sdes.is_some()));
    }
    for offered in [false, true] {
        let srtp = srtp(required, keys, dtls(offered));
        let ours = offer_with(capabilities, &LOCAL, both, None, Some(srtp));
        if let Ok(agreed) = accept_with(&ours, bytes, capabilities, required, !required) {
            check(&agreed, bytes);
        }
    }
}

fn srtp<'a>(required: bool, keys: &'a mut StdRng, dtls: Dtls<'a>) -> Srtp<'a> {
    Srtp {
        suites: &Suite::ALL,
        required,
        current: None,
        keys,
        dtls: Some(dtls),
    }
}

const LOCAL: Local = Local {
    address: std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
    rtp_port: 10_000,
    rtcp_port: 10_001,
    session_id: 1,
    version: 1,
};

fn check(bytes: &[u8], capabilities: &Capabilities) {
    let local = LOCAL;
    let offered = Description::parse(bytes);
    let whole = |text: &str| {
        let ours = Description::parse(text.as_bytes()).expect("what we print can be read");
        if let Ok(offered) = &offered {
            assert_eq!(
                ours.media().len(),
                offered.media().len(),
                "a stream for each"
            );
        }
    };
    if let Ok((text, _)) = answer(bytes, capabilities, &local, Direction::SendRecv) {
        whole(&text);
    }
    if let Ok(text) = reject(bytes, &local) {
        whole(&text);
    }
    let ours = offer(capabilities, &local, Direction::SendRecv, None);
    let agreed = accept(&ours, bytes, capabilities);
    if let Ok(agreed) = agreed {
        let again = offer(capabilities, &local, agreed.direction, Some(&agreed));
        assert!(
            Description::parse(again.as_bytes()).is_ok(),
            "our next offer can be read"
        );
    }
}
