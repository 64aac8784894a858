//! What we print as a session description is read as it was meant, and printed the same by a writer
//! that is not ours; what another writer makes of an offer is answered as the offer itself.

use std::net::IpAddr;

use antiphon::codec::Codec;
use antiphon::sdp::description::Address;
use antiphon::sdp::fingerprint::Hash;
use antiphon::sdp::{
    Capabilities, Description, Direction, Dtls, Fingerprint, Local, Srtp, answer, answer_with,
    offer_with, reject,
};
use antiphon::srtp::Suite;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Reads and writes a description by `sdp-types` alone.
fn rewritten(text: &[u8]) -> Vec<u8> {
    let session = sdp_types::Session::parse(text).unwrap();
    let mut out = Vec::new();
    session.write(&mut out).unwrap();
    out
}

/// Printed by us: canonical, and read as what was meant.
fn check(text: &str, local: &Local) -> Description {
    let again = String::from_utf8(rewritten(text.as_bytes())).unwrap();
    assert_eq!(again, text);
    let read = Description::parse(text.as_bytes()).unwrap();
    for media in read.media().iter().filter(|media| media.port != 0) {
        assert_eq!(media.port, local.rtp_port, "{text}");
        assert_eq!(media.address, Address::Ip(local.address), "{text}");
        for format in &media.formats {
            let of_format = |line: &&str| line.split(' ').next() == Some(format.as_str());
            let named = media.attributes("rtpmap").filter(of_format).count();
            assert_eq!(named, 1, "{format} in {text}");
        }
    }
    read
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let codecs = prop::sample::subsequence(Codec::ALL.to_vec(), 1..=Codec::ALL.len());
    (
        codecs.prop_shuffle(),
        any::<[bool; 4]>(),
        prop::sample::select(vec![10u8, 20, 30, 40, 60]),
    )
        .prop_map(
            |(codecs, [telephone_event, redundancy, rtcp_mux, voip_metrics], ptime_ms)| {
                Capabilities {
                    codecs,
                    telephone_event,
                    redundancy,
                    rtcp_mux,
                    voip_metrics,
                    ptime_ms,
                    ..Capabilities::default()
                }
            },
        )
}

fn local() -> impl Strategy<Value = Local> {
    let address = prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([192, a, b, c])),
        any::<u16>().prop_map(|n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 1, n])),
    ];
    (
        address,
        1u16..=u16::MAX,
        any::<u16>(),
        any::<u32>(),
        any::<u32>(),
    )
        .prop_map(
            |(address, rtp_port, rtcp_port, session_id, version)| Local {
                address,
                rtp_port,
                rtcp_port,
                session_id: session_id.into(),
                version: version.into(),
            },
        )
}

fn direction() -> impl Strategy<Value = Direction> {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    prop::sample::select(vec![SendRecv, SendOnly, RecvOnly, Inactive])
}

/// An offer as phones and browsers write them.
fn theirs() -> impl Strategy<Value = String> {
    let format = prop::sample::select(vec![
        "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1;stereo=0\r\n",
        "a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-16\r\n",
        "a=rtpmap:98 telephone-event/48000\r\n",
        "a=rtpmap:99 G722/8000\r\n",
        "a=rtpmap:100 L16/16000\r\n",
        "a=rtpmap:101 red/48000/2\r\na=fmtp:101 96/96\r\n",
        "a=rtpmap:13 CN/8000\r\n",
        "a=rtpmap:0 PCMU/8000\r\n",
        "a=ptime:30\r\n",
        "a=maxptime:60\r\n",
        "a=rtcp-mux\r\n",
        "a=sendonly\r\n",
        "a=inactive\r\n",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n",
        "a=x-unknown:whatever it is\r\n",
    ]);
    let stream = (
        prop::sample::select(vec!["audio", "audio", "video", "image"]),
        prop::option::weighted(0.9, 1024u16..),
        prop::sample::select(vec!["RTP/AVP", "RTP/SAVP", "RTP/AVPF"]),
        prop::collection::vec(format, 0..8),
    )
        .prop_map(|(kind, port, proto, lines)| {
            let port = port.unwrap_or_default();
            let lines = lines.concat();
            format!("m={kind} {port} {proto} 0 8 9 96 97 98 99 100 101 13\r\n{lines}")
        });
    (
        "c=IN IP4 192\\.0\\.2\\.[1-9]|c=IN IP6 2001:db8::[1-9]|c=IN IP4 0\\.0\\.0\\.0",
        0u32..1000,
        prop::collection::vec(stream, 1..4),
    )
        .prop_map(|(connection, start, streams)| {
            format!(
                "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n{connection}\r\nt={start} 0\r\n{}",
                streams.concat()
            )
        })
}

proptest! {
    #[test]
    fn what_we_offer_is_read_as_it_was_meant(
        capabilities in capabilities(),
        local in local(),
        direction in direction(),
        secure in any::<Option<[bool; 2]>>(),
    ) {
        let keys = &mut StdRng::seed_from_u64(1);
        let fingerprint = Fingerprint::of(b"certificate", Hash::Sha256);
        let srtp = secure.map(|[required, offered]| Srtp {
            suites: &Suite::ALL,
            required,
            current: None,
            keys,
            dtls: Some(Dtls { fingerprint: &fingerprint, offered }),
        });
        let text = offer_with(&capabilities, &local, direction, None, srtp);
        let read = check(&text, &local);
        let [media] = read.media() else {
            panic!("{text}");
        };
        prop_assert_eq!(media.direction, direction);
        let codecs: Vec<&str> = media.attributes("rtpmap").take(capabilities.codecs.len()).collect();
        for (line, codec) in codecs.iter().zip(&capabilities.codecs) {
            prop_assert!(line.contains(codec.name()), "{}", text);
        }
    }

    #[test]
    fn what_we_answer_is_read_as_it_was_meant_and_other_writers_change_nothing(
        offer in theirs(),
        capabilities in capabilities(),
        local in local(),
        direction in direction(),
    ) {
        let offered = Description::parse(offer.as_bytes()).unwrap();
        let copy = rewritten(offer.as_bytes());
        let printed = Description::parse(&copy).unwrap();
        prop_assert_eq!(printed.time(), offered.time());
        for (a, b) in printed.media().iter().zip(offered.media()) {
            prop_assert_eq!((&a.kind, a.port, &a.proto), (&b.kind, b.port, &b.proto));
            prop_assert_eq!((&a.formats, a.address, a.direction), (&b.formats, b.address, b.direction));
        }
        let plain = answer(offer.as_bytes(), &capabilities, &local, direction);
        let of_copy = answer(&copy, &capabilities, &local, direction);
        prop_assert_eq!(&plain, &of_copy);
        let keys = &mut StdRng::seed_from_u64(1);
        let srtp = Srtp { suites: &Suite::ALL, required: false, current: None, keys, dtls: None };
        let secure = answer_with(offer.as_bytes(), &capabilities, &local, direction, Some(srtp), false);
        for (text, _) in [plain, secure].into_iter().flatten() {
            let read = check(&text, &local);
            prop_assert_eq!(read.media().len(), offered.media().len());
            prop_assert_eq!(read.time(), offered.time());
        }
        let refused = check(&reject(offer.as_bytes(), &local).unwrap(), &local);
        prop_assert!(refused.media().iter().all(|media| media.port == 0));
    }
}
