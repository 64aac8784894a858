//! Offer and answer, case by case: each file in `tests/sdp/` is one.
//!
//! `answer/*.txt`: their offer, our answer word for word, what was agreed (or `refused` with
//! status, warning code and text). `accept/*.txt`: our offer word for word, their answer, what
//! was agreed. Settings and agreed values that a file leaves out are not looked at.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use antiphon::codec::Codec;
use antiphon::sdp::{
    Agreed, Capabilities, Direction, Local, NegotiateError, SdpError, accept, accept_with, answer,
    answer_with, offer, reject,
};
use proptest::prelude::*;

#[test]
fn offers_are_answered_as_the_files_say() {
    let cases = cases("answer");
    assert!(cases.len() > 50, "only {} cases found", cases.len());
    for case in cases {
        let result = answer_with(
            case.section("offer").as_bytes(),
            &case.capabilities(),
            &case.local(),
            case.direction(),
            None,
            case.translated(),
        );
        let result = result.map(|(text, agreed)| {
            assert_eq!(text, case.section("answer"), "{}: our answer", case.name);
            agreed
        });
        case.check(result);
    }
}

#[test]
fn answers_are_accepted_as_the_files_say() {
    let cases = cases("accept");
    assert!(cases.len() > 10, "only {} cases found", cases.len());
    for case in cases {
        let ours = offer(&case.capabilities(), &case.local(), case.direction(), None);
        assert_eq!(ours, case.section("offer"), "{}: our offer", case.name);
        let theirs = case.section("answer");
        let capabilities = case.capabilities();
        let translated = case.translated();
        case.check(accept_with(
            &ours,
            theirs.as_bytes(),
            &capabilities,
            false,
            translated,
        ));
    }
}

#[test]
fn an_offer_within_a_session_keeps_numbers_order_and_places() {
    let theirs = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
        m=video 5000 RTP/AVP 99 98\r\nm=audio 49170 RTP/AVP 120 96 118\r\n\
        a=rtpmap:120 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\na=rtpmap:118 PCMU/8000\r\n\
        a=ptime:30\r\nm=image 6000 udptl t38\r\n";
    let (_, agreed) = answer(
        theirs.as_bytes(),
        &capabilities(),
        &local(),
        Direction::SendRecv,
    )
    .expect("a good offer");
    let later = Local {
        version: 2,
        ..local()
    };
    let ours = offer(&capabilities(), &later, Direction::SendOnly, Some(&agreed));
    assert_eq!(
        ours,
        "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=video 0 RTP/AVP 99 98\r\nm=audio 10000 RTP/AVP 120 118 96\r\n\
         a=rtpmap:120 PCMA/8000\r\na=rtpmap:118 PCMU/8000\r\n\
         a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\n\
         a=ptime:30\r\na=sendonly\r\na=rtcp-mux\r\nm=image 0 udptl t38\r\n"
    );

    // The peer may not enable what we disabled.
    let enabled = ours.replace("m=video 0", "m=video 5000");
    assert_eq!(
        accept(&ours, enabled.as_bytes(), &capabilities()),
        Err(NegotiateError::Mismatch("a disabled stream enabled"))
    );
}

#[test]
fn our_own_dynamic_numbers_last_for_the_call() {
    let ours = offer(&every_codec(), &local(), Direction::SendRecv, None);
    let formats = &streams(&ours)[0].3;
    assert_eq!(
        formats.join(" "),
        "0 8 9 96 97 98 99 101 102 103",
        "events at 8, 48 and 16 kHz"
    );
    // The peer takes Opus under a number of its own, and events beside it.
    let theirs = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
        m=audio 49170 RTP/AVP 120 121\r\na=rtpmap:120 opus/48000/2\r\n\
        a=rtpmap:121 telephone-event/48000\r\n";
    let agreed = accept(&ours, theirs.as_bytes(), &every_codec()).expect("an answer");
    assert_eq!((agreed.codec, agreed.tx_payload_type), (Codec::Opus, 120));
    let later = offer(&every_codec(), &local(), Direction::SendRecv, Some(&agreed));
    let maps = |text: &str| -> std::collections::BTreeSet<String> {
        let lines = text.lines().filter(|line| line.starts_with("a=rtpmap:"));
        lines.map(str::to_owned).collect()
    };
    // In another order: the codec in use comes first.
    assert_eq!(streams(&later)[0].3[0], "96");
    let named = |text: &str| {
        maps(text)
            .into_iter()
            .filter(|line| !line.contains("telephone-event"))
            .collect::<Vec<_>>()
    };
    assert_eq!(named(&later), named(&ours));
    assert!(maps(&later).contains("a=rtpmap:102 telephone-event/48000"));
    let events = |text: &str| maps(text).iter().filter(|l| l.contains("event")).count();
    assert_eq!((events(&ours), events(&later)), (3, 3));
}

#[test]
fn a_number_taken_by_the_peer_is_not_given_twice() {
    // The peer uses 8 for PCMU and 96 for events: our PCMA has to keep off both.
    let theirs = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n\
        m=audio 49170 RTP/AVP 8 96\r\na=rtpmap:8 PCMU/8000\r\n\
        a=rtpmap:96 telephone-event/8000\r\n";
    let (_, agreed) = answer(
        theirs.as_bytes(),
        &capabilities(),
        &local(),
        Direction::SendRecv,
    )
    .expect("a good offer");
    let ours = offer(
        &capabilities(),
        &local(),
        Direction::SendRecv,
        Some(&agreed),
    );
    assert!(ours.contains("m=audio 10000 RTP/AVP 8 97 96\r\n"), "{ours}");
    assert!(ours.contains("a=rtpmap:8 PCMU/8000\r\n"), "{ours}");
    assert!(ours.contains("a=rtpmap:97 PCMA/8000\r\n"), "{ours}");
}

#[test]
fn a_second_offer_may_disable_every_stream() {
    let theirs = "v=0\r\no=- 1 2 IN IP4 198.51.100.7\r\ns=-\r\nt=5 6\r\n\
        m=audio 0 RTP/AVP 0 8\r\nm=video 5000 RTP/AVP 99\r\n";
    assert_eq!(
        reject(theirs.as_bytes(), &local()).expect("a good offer"),
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=5 6\r\n\
         m=audio 0 RTP/AVP 0 8\r\nm=video 0 RTP/AVP 99\r\n"
    );
}

#[test]
fn both_of_our_sides_agree_with_each_other() {
    let caller = offer(&capabilities(), &local(), Direction::SendRecv, None);
    let callee = Local {
        rtp_port: 30_000,
        rtcp_port: 30_001,
        ..local()
    };
    let (text, theirs) = answer(
        caller.as_bytes(),
        &capabilities(),
        &callee,
        Direction::SendRecv,
    )
    .expect("ours");
    let ours = accept(&caller, text.as_bytes(), &capabilities()).expect("ours");
    assert_eq!(
        (ours.codec, ours.tx_payload_type),
        (theirs.codec, theirs.tx_payload_type)
    );
    assert_eq!(ours.telephone_event, theirs.telephone_event);
    assert_eq!(
        ours.remote_rtp,
        Some(SocketAddr::new(callee.address, 30_000))
    );
    assert_eq!(
        theirs.remote_rtp,
        Some(SocketAddr::new(local().address, 10_000))
    );
    assert!(ours.rtcp_mux && theirs.rtcp_mux);
}

#[test]
fn what_is_too_large_is_refused() {
    let head = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n";
    let audio = "m=audio 49170 RTP/AVP 0";
    let bodies = [
        format!("{head}{audio}\r\n{}", "a=x\r\n".repeat(15_000)),
        format!("{head}{audio}\r\n{}", "a=x\r\n".repeat(2_000)),
        format!("{head}{}", format!("{audio}\r\n").repeat(65)),
        format!("{head}{audio}{}\r\n", " 8".repeat(128)),
    ];
    for body in bodies {
        let result = answer(
            body.as_bytes(),
            &capabilities(),
            &local(),
            Direction::SendRecv,
        );
        assert!(
            matches!(result, Err(NegotiateError::Syntax(SdpError::TooLarge(_)))),
            "{} bytes: {result:?}",
            body.len()
        );
    }
}

#[test]
fn a_warning_can_stand_between_quotes() {
    let body = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\nm=audio 1 \"\\\u{1}é 0\r\n";
    let error = answer(
        body.as_bytes(),
        &capabilities(),
        &local(),
        Direction::SendRecv,
    )
    .expect_err("no transport of ours");
    let (code, text) = error.warning();
    assert_eq!((code, text.as_str()), (302, "unsupported media transport "));
}

/// Pieces of real descriptions, in any combination.
fn offer_lines() -> impl Strategy<Value = String> {
    let format = prop_oneof![
        Just(0u8),
        Just(8),
        Just(9),
        Just(13),
        96u8..102,
        any::<u8>()
    ];
    let name = prop_oneof![
        Just("PCMU/8000"),
        Just("PCMA/8000"),
        Just("pcma/8000/1"),
        Just("telephone-event/8000"),
        Just("telephone-event/48000"),
        Just("CN/8000"),
        Just("opus/48000/2"),
        Just("G722/8000"),
        Just("L16/16000"),
        Just("L16/48000/1"),
        Just("red/48000/2"),
        Just("red/8000"),
        Just("PCMU"),
    ];
    let attribute = prop_oneof![
        (any::<u8>(), name.clone()).prop_map(|(number, name)| format!("a=rtpmap:{number} {name}")),
        (96u8..100, name).prop_map(|(number, name)| format!("a=rtpmap:{number} {name}")),
        (96u8..100, "[ -~]{0,20}").prop_map(|(number, text)| format!("a=fmtp:{number} {text}")),
        (96u8..100, 0u8..128, 0u8..128).prop_map(|(red, a, b)| format!("a=fmtp:{red} {a}/{b}")),
        (96u8..100, any::<u32>()).prop_map(|(number, value)| {
            format!("a=fmtp:{number} maxaveragebitrate={value};maxplaybackrate={value}")
        }),
        Just("a=rtcp-mux".to_owned()),
        Just("a=sendonly".to_owned()),
        Just("a=inactive".to_owned()),
        Just("c=IN IP4 0.0.0.0".to_owned()),
        Just("c=IN IP6 2001:db8::7".to_owned()),
        any::<i32>().prop_map(|value| format!("a=ptime:{value}")),
        any::<u32>().prop_map(|value| format!("a=rtcp:{value}")),
    ];
    let kind = prop_oneof![4 => Just("audio"), 1 => Just("video")];
    let proto = prop_oneof![4 => Just("RTP/AVP"), 1 => Just("RTP/SAVP"), 1 => Just("RTP/AVPF")];
    let stream = (
        kind,
        any::<u16>(),
        proto,
        prop::collection::vec(format, 1..8),
        prop::collection::vec(attribute, 0..8),
    )
        .prop_map(|(kind, port, proto, formats, attributes)| {
            let formats: Vec<String> = formats.iter().map(u8::to_string).collect();
            let mut text = format!("m={kind} {port} {proto} {}\r\n", formats.join(" "));
            let mut has_address = false;
            for line in attributes {
                // A second c= line in a stream is malformed, and another test's concern.
                if !line.starts_with("c=") || !std::mem::replace(&mut has_address, true) {
                    text.push_str(&line);
                    text.push_str("\r\n");
                }
            }
            text
        });
    prop::collection::vec(stream, 1..4).prop_map(|streams| {
        let head = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n";
        format!("{head}{}", streams.concat())
    })
}

/// The `m=` lines of a description: kind, port, transport, formats.
fn streams(text: &str) -> Vec<(String, u16, String, Vec<String>)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("m="));
    lines
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let kind = words.next().expect("kind");
            let port = words.next().expect("port").parse().expect("a port");
            let proto = words.next().expect("transport");
            (kind, port, proto, words.collect())
        })
        .collect()
}

proptest! {
    #[test]
    fn nothing_is_answered_that_was_not_offered(text in offer_lines()) {
        let Ok((ours, agreed)) =
            answer(text.as_bytes(), &every_codec(), &local(), Direction::SendRecv)
        else {
            return Ok(());
        };
        let (offered, answered) = (streams(&text), streams(&ours));
        prop_assert_eq!(offered.len(), answered.len());
        let mut served = 0;
        for (offered, answered) in offered.iter().zip(&answered) {
            prop_assert_eq!(&offered.0, &answered.0);
            prop_assert_eq!(&offered.2, &answered.2);
            prop_assert!(offered.1 != 0 || answered.1 == 0, "a disabled stream enabled");
            prop_assert!(answered.3.iter().all(|format| offered.3.contains(format)));
            served += usize::from(answered.1 != 0);
        }
        prop_assert_eq!(served, 1);
        prop_assert!(!ours.contains("rtcp-mux") || text.contains("rtcp-mux"));
        prop_assert_eq!(agreed.rx_payload_types.get(agreed.tx_payload_type), Some(agreed.codec));
        prop_assert_eq!(agreed.codec.ptime_ms(agreed.ptime_ms), agreed.ptime_ms);
        prop_assert_eq!(agreed.opus.clamped(), agreed.opus);
        prop_assert!(agreed.opus.bitrate <= every_codec().opus.bitrate);
        if let Some(red) = &agreed.redundancy {
            prop_assert!(agreed.rx_payload_types.get(red.payload_type).is_none());
            let held = |number: &u8| agreed.rx_payload_types.get(*number);
            let is_ours = |number| held(number).is_some_and(|c| c.clock_rate() == red.clock_rate);
            prop_assert!(!red.formats.is_empty() && red.formats.iter().all(is_ours));
        }
        // What we wrote is SDP that we would take ourselves.
        let back = answer(ours.as_bytes(), &every_codec(), &local(), Direction::SendRecv);
        prop_assert_eq!(back.map(|(_, agreed)| agreed.codec), Ok(agreed.codec));
    }

    #[test]
    fn an_agreement_can_always_be_offered_again(text in offer_lines()) {
        let Ok((_, agreed)) =
            answer(text.as_bytes(), &every_codec(), &local(), Direction::SendRecv)
        else {
            return Ok(());
        };
        let ours = offer(&every_codec(), &local(), Direction::SendRecv, Some(&agreed));
        prop_assert_eq!(streams(&ours).len(), streams(&text).len());
        let numbers = &streams(&ours)[agreed.audio_index].3;
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        prop_assert_eq!(distinct.len(), numbers.len(), "a number given twice: {}", ours);
        let (answer, _) =
            answer(ours.as_bytes(), &every_codec(), &local(), Direction::SendRecv).expect("ours");
        let again = accept(&ours, answer.as_bytes(), &every_codec()).expect("our own answer");
        prop_assert_eq!(again.codec, agreed.codec);
        prop_assert_eq!(again.tx_payload_type, agreed.tx_payload_type);
        prop_assert_eq!(&again.redundancy, &agreed.redundancy);
        // Numbers keep their meaning (RFC 3264 §8.3.2), and so from here on for ever.
        for (number, codec) in agreed.rx_payload_types.iter() {
            prop_assert_eq!(again.rx_payload_types.get(number), Some(codec));
        }
        let third = offer(&every_codec(), &local(), Direction::SendRecv, Some(&again));
        prop_assert_eq!(third, ours);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = answer(&bytes, &every_codec(), &local(), Direction::SendRecv);
        let ours = offer(&every_codec(), &local(), Direction::SendRecv, None);
        let _ = accept(&ours, &bytes, &every_codec());
    }

    #[test]
    fn any_damage_is_survived(text in offer_lines(), damage in prop::collection::vec(any::<(u16, u8)>(), 1..6)) {
        let mut bytes = text.into_bytes();
        for (place, value) in damage {
            let place = usize::from(place) % bytes.len();
            bytes[place] = value;
        }
        let _ = answer(&bytes, &every_codec(), &local(), Direction::SendRecv);
        let _ = reject(&bytes, &local());
    }
}

struct Case {
    name: String,
    sections: BTreeMap<String, Vec<String>>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a readable case");
        let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("--- ") {
                current = Some(sections.entry(name.to_owned()).or_default());
            } else if let Some(section) = current.as_mut() {
                section.push(line.to_owned());
            }
        }
        Case {
            name: path.display().to_string(),
            sections,
        }
    }

    /// A section as the body of a message.
    fn section(&self, name: &str) -> String {
        let lines = self
            .sections
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        lines.iter().flat_map(|line| [line, "\r\n"]).collect()
    }

    /// The `key: value` lines of a section.
    fn values(&self, section: &str) -> BTreeMap<&str, &str> {
        let lines = self
            .sections
            .get(section)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let pairs = lines
            .iter()
            .map(|line| line.split_once(": ").expect("key: value"));
        pairs.collect()
    }

    fn setting<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        let values = self.values("settings");
        let text = values.get(key)?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{}: {key}", self.name)),
        )
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = capabilities();
        if let Some(value) = self.setting("telephone_event") {
            capabilities.telephone_event = value;
        }
        if let Some(value) = self.setting("rtcp_mux") {
            capabilities.rtcp_mux = value;
        }
        if let Some(value) = self.setting("voip_metrics") {
            capabilities.voip_metrics = value;
        }
        if let Some(names) = self.values("settings").get("codecs") {
            capabilities.codecs = names.split(' ').map(codec).collect();
        }
        if let Some(value) = self.setting("redundancy") {
            capabilities.redundancy = value;
        }
        if let Some(value) = self.setting("dtx") {
            capabilities.opus.dtx = value;
        }
        if let Some(value) = self.setting("cbr") {
            capabilities.opus.cbr = value;
        }
        if let Some(value) = self.setting("max_playback_rate") {
            capabilities.opus.max_playback_rate = value;
        }
        if let Some(value) = self.setting("ptime_ms") {
            capabilities.ptime_ms = value;
        }
        capabilities
    }

    fn local(&self) -> Local {
        let mut local = local();
        if let Some(address) = self.setting::<IpAddr>("address") {
            local.address = address;
        }
        if let Some(port) = self.setting("rtcp_port") {
            local.rtcp_port = port;
        }
        if let Some(version) = self.setting("version") {
            local.version = version;
        }
        local
    }

    fn translated(&self) -> bool {
        self.setting("translated").unwrap_or(false)
    }

    fn direction(&self) -> Direction {
        let values = self.values("settings");
        let wanted = values.get("wanted").copied().unwrap_or("sendrecv");
        Direction::from_attribute(wanted).expect("a direction")
    }

    fn check(&self, result: Result<Agreed, NegotiateError>) {
        if self.sections.contains_key("refused") {
            let error = result.expect_err(&self.name);
            let (code, text) = error.warning();
            let said = format!("{} {code} \"{text}\"\r\n", error.status());
            let wanted = self.section("refused");
            assert!(said.starts_with(wanted.trim_end()), "{}: {said}", self.name);
            return;
        }
        let agreed = result.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        for (key, wanted) in self.values("agreed") {
            assert_eq!(shown(&agreed, key), wanted, "{}: {key}", self.name);
        }
    }
}

/// A codec by its `rtpmap` without the channels.
fn codec(name: &str) -> Codec {
    let mut all = Codec::ALL.into_iter();
    all.find(|codec| format!("{}/{}", codec.name(), codec.clock_rate()) == name)
        .unwrap_or_else(|| panic!("no codec {name}"))
}

/// The same, names of 8 kHz alone without their rate.
fn codec_shown(codec: Codec) -> String {
    match codec.clock_rate() {
        8000 => codec.name().to_owned(),
        rate => format!("{}/{rate}", codec.name()),
    }
}

fn shown(agreed: &Agreed, key: &str) -> String {
    let address = |address: Option<SocketAddr>| {
        address.map_or("none".to_owned(), |address| address.to_string())
    };
    match key {
        "codec" => format!("{} {}", codec_shown(agreed.codec), agreed.tx_payload_type),
        "opus" => {
            let opus = agreed.opus;
            let mut text = format!("{} {}", opus.bitrate, opus.max_playback_rate);
            for (is_on, name) in [(opus.fec, "fec"), (opus.dtx, "dtx"), (opus.cbr, "cbr")] {
                if is_on {
                    text = format!("{text} {name}");
                }
            }
            text
        }
        "rx" => {
            let entries = agreed.rx_payload_types.iter();
            let entries: Vec<_> = entries
                .map(|(number, codec)| format!("{number}={}", codec_shown(codec)))
                .collect();
            entries.join(" ")
        }
        "event" => {
            agreed
                .telephone_event
                .map_or("none".to_owned(), |event| match event.clock_rate {
                    8000 => format!("{} {}", event.tx, event.rx),
                    rate => format!("{} {} at {rate}", event.tx, event.rx),
                })
        }
        "redundancy" => agreed.redundancy.as_ref().map_or("none".to_owned(), |red| {
            let formats: Vec<_> = red.formats.iter().map(u8::to_string).collect();
            format!(
                "{} {} at {}",
                red.payload_type,
                formats.join("/"),
                red.clock_rate
            )
        }),
        "comfort_noise" => agreed.comfort_noise.to_string(),
        "ptime_ms" => agreed.ptime_ms.to_string(),
        "direction" => agreed.direction.to_string(),
        "rtp" => address(agreed.remote_rtp),
        "rtcp" => address(agreed.remote_rtcp),
        "rtcp_mux" => agreed.rtcp_mux.to_string(),
        "voip_metrics" => agreed.voip_metrics.to_string(),
        "remote_hold" => agreed.remote_hold.to_string(),
        "audio_index" => agreed.audio_index.to_string(),
        "rejected" => {
            let kinds: Vec<_> = agreed
                .rejected
                .iter()
                .map(|stream| stream.kind.as_str())
                .collect();
            kinds.join(" ")
        }
        other => panic!("no such value: {other}"),
    }
}

fn cases(directory: &str) -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdp")
        .join(directory);
    let entries = fs::read_dir(&directory).expect("the cases");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}

/// Without VoIP metrics, which would be in every file.
fn capabilities() -> Capabilities {
    Capabilities {
        voip_metrics: false,
        ..Capabilities::default()
    }
}

/// All that we can do.
fn every_codec() -> Capabilities {
    Capabilities {
        codecs: Codec::ALL.to_vec(),
        redundancy: true,
        ..Capabilities::default()
    }
}

fn local() -> Local {
    Local {
        address: IpAddr::from([192, 0, 2, 1]),
        rtp_port: 10_000,
        rtcp_port: 10_001,
        session_id: 1,
        version: 1,
    }
}
