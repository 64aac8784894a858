//! Channels without a phone: who listens in on another, and media of an address.

use std::net::SocketAddr;

use antiphon::api::Method;
use antiphon::rtp::packet::{Header, Packet, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use serde_json::Value;

use super::Desk;
use crate::support::sim::signal::amplitude;

/// A caller and an agent in a bridge, and a supervisor in one of its own; their channels.
fn office(seed: u64) -> (Desk, Vec<usize>, Vec<String>) {
    let mut desk = Desk::new(seed);
    desk.connect("hello");
    let phones = desk.world.phones(3);
    let ids: Vec<String> = phones.iter().map(|&p| desk.answered(p, "400")).collect();
    for (bridge, members) in [("floor", &ids[..2]), ("booth", &ids[2..])] {
        desk.post(&format!("/ari/bridges/{bridge}"));
        let members = members.join(",");
        desk.post(&format!(
            "/ari/bridges/{bridge}/addChannel?channel={members}"
        ));
    }
    desk.run(100);
    desk.types();
    (desk, phones, ids)
}

const CALLER: usize = 0;
const AGENT: usize = 1;
const SUPERVISOR: usize = 2;

#[test]
fn a_supervisor_hears_what_it_spies_and_is_heard_where_it_whispers() {
    // Of the agent: what it says is heard by the caller, and what it hears is what the caller says.
    for (n, (spy, whisper)) in [
        ("in", "none"),
        ("out", "none"),
        ("both", "none"),
        ("none", "in"),
        ("none", "out"),
        ("both", "out"),
        ("both", "both"),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut desk, phones, ids) = office(451 + n as u64);
        let agent = &ids[AGENT];
        let url = format!(
            "/ari/channels/{agent}/snoop/ear?app=hello&appArgs=x&spy={spy}&whisper={whisper}"
        );
        let snoop = desk.post(&url);
        assert_eq!(snoop["id"], "ear");
        assert_eq!(snoop["state"], "Up");
        assert!(snoop["name"].as_str().unwrap().starts_with("Snoop/"));
        desk.run(50);
        let started = desk.events(&["StasisStart"]);
        assert_eq!(started[0]["args"], serde_json::json!(["x"]));
        desk.post("/ari/bridges/booth/addChannel?channel=ear");
        let spies = |side: &str| spy == side || spy == "both";
        let whispers = |side: &str| whisper == side || whisper == "both";
        desk.hears(
            phones[SUPERVISOR],
            &[(phones[AGENT], spies("in")), (phones[CALLER], spies("out"))],
        );
        let supervisor = phones[SUPERVISOR];
        desk.hears(
            phones[CALLER],
            &[(phones[AGENT], true), (supervisor, whispers("in"))],
        );
        desk.hears(
            phones[AGENT],
            &[(phones[CALLER], true), (supervisor, whispers("out"))],
        );
        // It ends, and nobody hears it any more.
        desk.ok(Method::Delete, "/ari/channels/ear");
        desk.run(100);
        desk.hears(
            supervisor,
            &[(phones[AGENT], false), (phones[CALLER], false)],
        );
        desk.hears(phones[AGENT], &[(supervisor, false)]);
    }
}

#[test]
fn what_is_spied_is_recorded_and_ends_with_the_call() {
    let (mut desk, phones, ids) = office(461);
    let caller = &ids[CALLER];
    desk.post(&format!(
        "/ari/channels/{caller}/snoop/ear?app=hello&spy=both"
    ));
    desk.post("/ari/channels/ear/record?name=both&format=wav");
    desk.run(2_000);
    // Its leg may move to another worker meanwhile: the one that listens need not.
    desk.post(&format!("/ari/bridges/booth/addChannel?channel={caller}"));
    desk.run(2_000);
    desk.types();
    desk.world.hang_up(phones[CALLER]);
    desk.run(200);
    let told = desk.events(&["ChannelDestroyed", "RecordingFinished"]);
    let ended = |event: &&Value| event["channel"]["id"] == "ear";
    assert!(told.iter().any(|event| ended(&event)), "{told:?}");
    let number = desk.world.named["both"];
    let audio = &desk.world.recorded[&number];
    assert!((31_000..34_000).contains(&audio.len()), "{}", audio.len());
    let hz = |n: usize| desk.world.phones[phones[n]].voice.hz;
    let (first, second) = (&audio[1_600..14_400], &audio[18_400..31_000]);
    for (part, others) in [(first, AGENT), (second, SUPERVISOR)] {
        assert!(amplitude(part, hz(CALLER)) > 1_000.0);
        assert!(amplitude(part, hz(others)) > 1_000.0);
    }
    assert!(amplitude(first, hz(SUPERVISOR)) < 60.0);
    assert!(amplitude(second, hz(AGENT)) < 60.0);
}

#[test]
fn a_recording_that_waits_when_the_call_ends_has_failed() {
    let (mut desk, phones, ids) = office(464);
    let caller = &ids[CALLER];
    for name in ["first", "second"] {
        desk.post(&format!(
            "/ari/channels/{caller}/record?name={name}&format=wav"
        ));
    }
    desk.run(1_000);
    desk.types();
    desk.world.hang_up(phones[CALLER]);
    desk.run(200);
    let told = desk.events(&["RecordingFinished", "RecordingFailed"]);
    let mut told: Vec<_> = told
        .iter()
        .map(|event| (event["recording"]["name"].as_str(), event["type"].as_str()))
        .collect();
    told.sort_unstable();
    let expected = [
        ("first", "RecordingFinished"),
        ("second", "RecordingFailed"),
    ];
    assert_eq!(told, expected.map(|(name, kind)| (Some(name), Some(kind))));
}

#[test]
fn as_many_listen_in_as_may_and_nothing_is_left_of_them() {
    let mut desk = Desk::new(462);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    let url = format!("/ari/channels/{id}/snoop?app=hello&spy=in&whisper=out");
    for _ in 0..4 {
        desk.post(&url);
    }
    assert_eq!(desk.get(Method::Post, &url, "").0, 503);
    desk.run(100);
    let all = desk.ok(Method::Get, "/ari/channels");
    let all: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].as_str().unwrap())
        .collect();
    let last = all.iter().find(|other| **other != id).unwrap();
    desk.ok(Method::Delete, &format!("/ari/channels/{last}"));
    desk.run(100);
    desk.post(&url);
    // An application that is not there gets no such channel.
    desk.ok(
        Method::Delete,
        &format!("/ari/channels/{}", all[all.len() - 1]),
    );
    desk.run(100);
    let absent = desk.post(&format!("/ari/channels/{id}/snoop?app=nobody&spy=in"));
    desk.run(100);
    let gone = format!("/ari/channels/{}", absent["id"].as_str().unwrap());
    assert_eq!(desk.get(Method::Get, &gone, "").0, 404);
    desk.world.hang_up(phone);
    desk.run(40_000);
    desk.world.check_empty();
}

#[test]
fn media_of_an_address_is_heard_in_a_bridge_and_hears_it() {
    let mut desk = Desk::new(463);
    desk.world
        .switch
        .set_external_media(vec!["10.1.0.0/16".parse().unwrap()]);
    desk.connect("hello");
    let phones = desk.world.phones(2);
    let id = desk.answered(phones[0], "400");
    // A phone's media side stands for the other program.
    let (there, format) = (desk.world.phones[phones[1]].rtp, "ulaw");
    let url = format!(
        "/ari/channels/externalMedia?app=hello&external_host={there}&format={format}&channelId=ext"
    );
    desk.types();
    let (status, channel) = desk.get(Method::Post, &url, r#"{"variables": {"A": "1"}}"#);
    assert_eq!(status, 200, "{channel}");
    assert_eq!(
        (&channel["id"], &channel["state"]),
        (&"ext".into(), &"Up".into())
    );
    let variables = &channel["channelvars"];
    let address = variables["UNICASTRTP_LOCAL_ADDRESS"].as_str().unwrap();
    let port = variables["UNICASTRTP_LOCAL_PORT"].as_str().unwrap();
    desk.run(20);
    let types = desk.types();
    for kind in ["ChannelCreated", "StasisStart", "ChannelStateChange"] {
        assert!(types.iter().any(|t| t == kind), "{kind}: {types:?}");
    }
    let port_again = desk.ok(
        Method::Get,
        "/ari/channels/ext/variable?variable=UNICASTRTP_LOCAL_PORT",
    );
    assert_eq!(port_again["value"], port);
    desk.post("/ari/bridges/b");
    desk.post(&format!("/ari/bridges/b/addChannel?channel={id},ext"));
    // It says nothing yet, and hears the other all the same: also after longer than a phone may be
    // silent.
    desk.hears(phones[1], &[(phones[0], true)]);
    desk.run(40_000);
    desk.hears(phones[1], &[(phones[0], true)]);
    desk.world.phones[phones[1]].target = Some(format!("{address}:{port}").parse().unwrap());
    desk.world.speak(phones[1]);
    desk.hears(phones[0], &[(phones[1], true)]);
    // What comes from elsewhere is not taken.
    let stranger = desk.world.phone();
    desk.world.hush(phones[1]);
    desk.run(200);
    let to = format!("{address}:{port}").parse().unwrap();
    desk.world.phones[stranger].target = Some(to);
    desk.world.speak(stranger);
    desk.hears(phones[0], &[(stranger, false)]);
    desk.world.hush(stranger);
    desk.ok(Method::Delete, "/ari/channels/ext");
    desk.world.hang_up(phones[0]);
    desk.run(40_000);
    desk.ok(Method::Delete, "/ari/bridges/b");
    desk.run(1_000);
    desk.world.check_empty();
}

/// A phone in a bridge with the media of an address, for which the other phone's stands; where that is sent.
fn beside_external_media(seed: u64, format: &str) -> (Desk, Vec<usize>, SocketAddr) {
    let mut desk = Desk::new(seed);
    let networks = vec!["10.1.0.0/16".parse().unwrap()];
    desk.world.switch.set_external_media(networks);
    desk.connect("hello");
    let phones = desk.world.phones(2);
    let id = desk.answered(phones[0], "400");
    let there = desk.world.phones[phones[1]].rtp;
    let url = format!(
        "/ari/channels/externalMedia?app=hello&external_host={there}&format={format}&channelId=ext"
    );
    let channel = desk.post(&url);
    let port = &channel["channelvars"]["UNICASTRTP_LOCAL_PORT"];
    let port = port.as_str().unwrap();
    let to = format!("10.0.0.1:{port}").parse().unwrap();
    desk.post("/ari/bridges/b");
    desk.post(&format!("/ari/bridges/b/addChannel?channel={id},ext"));
    (desk, phones, to)
}

#[test]
fn media_of_an_address_that_sends_from_another_socket_hears_at_its_own() {
    let (mut desk, phones, to) = beside_external_media(465, "ulaw");
    let there = desk.world.phones[phones[1]].rtp;
    let from = SocketAddr::new(there.ip(), 7000);
    for _ in 0..100 {
        let packet = desk.world.phones[phones[1]].packet();
        let us = desk.world.us();
        let kind = crate::support::sim::net::Kind::Media;
        desk.world.net.send(kind, us, from, to, &packet);
        desk.run(20);
    }
    let now = desk.world.ms;
    let hz = |n: usize| desk.world.phones[phones[n]].voice.hz;
    let audio = desk.world.phones[phones[0]].audio(now - 1_000, now);
    assert!(amplitude(&audio, hz(1)) > 1_000.0, "it is heard");
    let heard = &desk.world.phones[phones[1]];
    assert!(heard.heard.iter().all(|packet| packet.to == there));
    let audio = heard.audio(now - 1_000, now);
    assert!(amplitude(&audio, hz(0)) > 1_000.0, "and hears");
}

#[test]
fn linear_samples_of_an_address_at_16_khz() {
    let (mut desk, phones, to) = beside_external_media(464, "slin16");
    let there = desk.world.phones[phones[1]].rtp;
    desk.run(500);
    let heard = &desk.world.phones[phones[1]].heard;
    let last = heard.last().unwrap();
    assert_eq!((last.payload_type, last.payload.len()), (118, 640));
    // What goes in by the same format is heard.
    for n in 0..100u32 {
        let mut packet = vec![0; 12 + 640];
        let header = Header {
            payload_type: PayloadType(118),
            marker: n == 0,
            seq: SeqNo(n as u16),
            timestamp: Timestamp(n * 320),
            ssrc: Ssrc(7),
        };
        write_header(&mut packet, &header);
        for (i, sample) in packet[12..].chunks_exact_mut(2).enumerate() {
            let t = f64::from(n * 320 + i as u32) / 16_000.0;
            let value = (8_000.0 * (std::f64::consts::TAU * 600.0 * t).sin()) as i16;
            sample.copy_from_slice(&value.to_be_bytes());
        }
        assert!(Packet::parse(&packet).is_ok());
        let us = desk.world.us();
        desk.world.net.send(
            crate::support::sim::net::Kind::Media,
            us,
            there,
            to,
            &packet,
        );
        desk.run(20);
    }
    let now = desk.world.ms;
    let audio = desk.world.phones[phones[0]].audio(now - 1_000, now);
    assert!(amplitude(&audio, 600.0) > 5_000.0);
}
