//! What must hold for any bytes at all. The target in `fuzz/` and `tests/fuzz_bodies.rs` call this.

use std::net::Ipv4Addr;

use crate::codec::Codec;

use super::{Capabilities, Description, Direction, Local, accept, answer, offer, reject};

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
}

fn check(bytes: &[u8], capabilities: &Capabilities) {
    let local = Local {
        address: Ipv4Addr::LOCALHOST.into(),
        rtp_port: 10_000,
        rtcp_port: 10_001,
        session_id: 1,
        version: 1,
    };
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
