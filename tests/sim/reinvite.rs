//! A call that changes: hold, codec, address, who offers, and who was first.

use crate::support::sim;

use antiphon::codec::Codec;
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Response};
use antiphon::sip::method::Method;
use sim::World;
use sim::phone::{media_address, put_sdp};
use sim::signal::{amplitude, peak};

/// A phone in an echo call.
fn call() -> (World, usize) {
    let mut world = World::new(41);
    let phone = world.phone();
    world.dial(phone, "500");
    world.run(600);
    (world, phone)
}

fn body(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

/// The level at which the phone hears itself in the next 300 ms.
fn echo(world: &mut World, phone: usize) -> f64 {
    world.run(600);
    let from = world.ms;
    world.run(300);
    let heard = world.phones[phone].audio(from, world.ms);
    if heard.len() < 1600 {
        return 0.0;
    }
    amplitude(&heard[..1600], world.phones[phone].voice.hz)
}

fn finish(mut world: World, phones: &[usize]) {
    for &phone in phones {
        world.hang_up(phone);
    }
    world.run(40_000);
    world.check_empty();
}

/// An announcer only sends, and refreshes its session by offering the same again.
#[test]
fn who_only_sends_is_heard_behind_a_refresh_too() {
    let mut world = World::new(49);
    let (announcer, listener) = (world.phone(), world.phone());
    let mut invite = world.phones[announcer].invite("700");
    let sdp = world.phones[announcer].sdp("sendonly");
    put_sdp(&mut invite, &sdp);
    world.dial_with(announcer, &invite);
    world.dial(listener, "700");
    let heard = |world: &mut World| {
        world.run(600);
        let from = world.ms;
        world.run(300);
        let heard = world.phones[listener].audio(from, world.ms);
        amplitude(&heard[..1600], world.phones[announcer].voice.hz)
    };
    assert!(heard(&mut world) > 1_000.0);
    let again = world.phones[announcer].reinvite(&sdp);
    let ok = world.ask(announcer, &again, 200);
    assert!(body(&ok).contains("a=recvonly"));
    assert!(heard(&mut world) > 1_000.0, "it is no party on hold");
    // Once it has listened, to send alone is a hold.
    for (direction, bound) in [("sendrecv", 1_000.0..9_000.0), ("sendonly", 0.0..60.0)] {
        let sdp = world.phones[announcer].sdp(direction);
        let change = world.phones[announcer].reinvite(&sdp);
        world.ask(announcer, &change, 200);
        let level = heard(&mut world);
        assert!(bound.contains(&level), "{direction}: {level}");
    }
    finish(world, &[announcer, listener]);
}

/// `o=` session number and version.
fn origin(response: &Response) -> (u64, u64) {
    let line = body(response)
        .lines()
        .find(|l| l.starts_with("o="))
        .unwrap();
    let mut fields = line.split(' ').skip(1).map(|f| f.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}

#[test]
fn hold_and_resume_in_every_style() {
    for (direction, style, answered) in [
        ("sendonly", "10.1.0.0", "a=recvonly"),
        ("inactive", "10.1.0.0", "a=inactive"),
        ("sendrecv", "0.0.0.0", "a=recvonly"),
        ("recvonly", "10.1.0.0", "a=sendonly"),
    ] {
        let (mut world, phone) = call();
        let before = world.phones[phone].heard.last().unwrap().clone();
        let sdp = world.phones[phone].sdp(direction);
        let sdp = sdp.replace("c=IN IP4 10.1.0.0", &format!("c=IN IP4 {style}"));
        let hold = world.phones[phone].reinvite(&sdp);
        let ok = world.ask(phone, &hold, 200);
        let answer = body(&ok);
        let fits =
            answer.contains(answered) || (style == "0.0.0.0" && answer.contains("a=inactive"));
        assert!(fits, "{direction} {style}: {answer}");
        world.run(100);
        let from = world.ms;
        world.run(2000);
        let heard = world.phones[phone].audio(from, world.ms);
        if direction == "recvonly" {
            assert!(heard.len() > 15_000, "it still hears");
            assert!(peak(&heard) <= 8, "and is not heard");
        } else {
            assert!(
                heard.is_empty(),
                "{direction} {style}: nothing is sent on hold"
            );
        }
        let sdp = world.phones[phone].sdp("sendrecv");
        let resume = world.phones[phone].reinvite(&sdp);
        world.ask(phone, &resume, 200);
        let level = echo(&mut world, phone);
        assert!(
            level > 2200.0,
            "{direction} {style}: {level:.0} after the hold"
        );
        check_line(&world, phone, &before, direction);
        finish(world, &[phone]);
    }
}

/// One SSRC and one time line through a hold; the sequence has no gap; a marker behind the hold.
fn check_line(world: &World, phone: usize, before: &sim::phone::Heard, direction: &str) {
    let all: Vec<_> = world.phones[phone]
        .heard
        .iter()
        .filter(|h| h.at >= before.at)
        .collect();
    let mut markers = 0;
    for pair in all.windows(2) {
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1));
        let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp) / 160;
        let elapsed = (pair[1].at - pair[0].at) / 20_000;
        assert!(ticks.abs_diff(elapsed as u32) <= 1, "{ticks} for {elapsed}");
        markers += u32::from(pair[1].marker);
    }
    let wanted = u32::from(direction != "recvonly");
    assert_eq!(markers, wanted, "{direction}");
}

#[test]
fn who_holds_is_not_heard_in_the_conference() {
    let mut world = World::new(42);
    let phones = world.phones(3);
    for &phone in &phones {
        world.dial(phone, "700");
    }
    world.run(1000);
    let sdp = world.phones[phones[0]].sdp("sendonly");
    let hold = world.phones[phones[0]].reinvite(&sdp);
    world.ask(phones[0], &hold, 200);
    // Music on hold goes on coming.
    world.run(500);
    let from = world.ms;
    world.run(1100);
    let level = |world: &World, who: usize, of: usize, from: u64| {
        let audio = world.phones[phones[who]].audio(from, from + 1100);
        amplitude(&audio[..8000], world.phones[phones[of]].voice.hz)
    };
    assert!(level(&world, 1, 0, from) < 10.0, "no music into the room");
    assert!(level(&world, 1, 2, from) > 2450.0);
    let sdp = world.phones[phones[0]].sdp("sendrecv");
    let resume = world.phones[phones[0]].reinvite(&sdp);
    world.ask(phones[0], &resume, 200);
    world.run(500);
    let from = world.ms;
    world.run(1100);
    assert!(level(&world, 1, 0, from) > 2450.0);
    assert!(level(&world, 0, 2, from) > 2450.0);
    finish(world, &phones);
}

#[test]
fn the_codec_changes_in_mid_call() {
    let (mut world, phone) = call();
    assert!(
        world.phones[phone]
            .heard
            .iter()
            .all(|h| h.payload_type == 0)
    );
    world.phones[phone].voice.codec = Codec::Pcma;
    let sdp = world.phones[phone].sdp("sendrecv").replace("8 0", "8");
    let change = world.phones[phone].reinvite(&sdp);
    world.ask(phone, &change, 200);
    assert!(echo(&mut world, phone) > 2400.0);
    assert_eq!(world.phones[phone].heard.last().unwrap().payload_type, 8);
    finish(world, &[phone]);
}

#[test]
fn the_packet_time_changes_at_any_moment_without_a_lost_number() {
    for at in 0..20 {
        let (mut world, phone) = call();
        let mut sdp = world.phones[phone].sdp("sendrecv");
        for ptime in [10, 30, 50, 20] {
            world.run(at);
            sdp = sdp
                .replace(" 8\r\n", " 8 \r\n")
                .replace(" 8 \r\n", " 8\r\n");
            let from = sdp.find("a=ptime:").unwrap();
            let to = from + sdp[from..].find('\r').unwrap();
            sdp.replace_range(from..to, &format!("a=ptime:{ptime}"));
            let change = world.phones[phone].reinvite(&sdp);
            world.ask(phone, &change, 200);
            world.run(300);
            let last = world.phones[phone].heard.last().unwrap();
            assert_eq!(last.payload.len(), ptime * 8);
        }
        for pair in world.phones[phone].heard.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1), "phase {at}");
        }
    }
}

#[test]
fn media_moves_to_another_address() {
    let (mut world, phone) = call();
    let old = world.phones[phone].rtp;
    let moved = std::net::SocketAddr::new(old.ip(), 4444);
    world.phones[phone].rtp = moved;
    let sdp = world.phones[phone].sdp("sendrecv");
    let change = world.phones[phone].reinvite(&sdp);
    world.ask(phone, &change, 200);
    world.run(50);
    let from = world.us();
    assert!(echo(&mut world, phone) > 2400.0);
    let heard = world.phones[phone].heard.iter().filter(|h| h.at > from);
    assert!(heard.clone().count() > 30 && heard.clone().all(|h| h.to == moved));
    finish(world, &[phone]);
}

#[test]
fn a_reinvite_without_an_offer_gets_one() {
    let (mut world, phone) = call();
    let empty = world.phones[phone].request(Method::Invite);
    world.send(phone, &empty);
    let ok = world.expect(phone, 200);
    assert!(media_address(&ok.body).is_some());
    world.phones[phone].voice.codec = Codec::Pcma;
    let mut ack = world.phones[phone].ack(&ok);
    let sdp = world.phones[phone].sdp("sendrecv").replace("8 0", "8");
    put_sdp(&mut ack, &sdp);
    world.send(phone, &ack);
    assert!(echo(&mut world, phone) > 2400.0);
    assert_eq!(world.phones[phone].heard.last().unwrap().payload_type, 8);
    finish(world, &[phone]);
}

#[test]
fn a_reinvite_to_a_fax_is_refused_and_the_audio_goes_on() {
    let (mut world, phone) = call();
    for audio in ["", "m=audio 0 RTP/AVP 0\r\n"] {
        let fax = format!(
            "v=0\r\no=- 1 2 IN IP4 10.1.0.0\r\ns=-\r\nc=IN IP4 10.1.0.0\r\nt=0 0\r\n{audio}\
             m=image 5000 udptl t38\r\n"
        );
        let change = world.phones[phone].reinvite(&fax);
        world.ask(phone, &change, 488);
        assert!(echo(&mut world, phone) > 2400.0);
    }
    finish(world, &[phone]);
}

#[test]
fn a_reinvite_that_cannot_be_met_leaves_the_call_as_it_was() {
    let (mut world, phone) = call();
    let sdp = world.phones[phone].sdp("sendrecv");
    let sdp = sdp.replace("RTP/AVP 0 8", "RTP/AVP 96\r\na=rtpmap:96 opus/48000/2");
    let change = world.phones[phone].reinvite(&sdp);
    let refusal = world.ask(phone, &change, 488);
    assert!(refusal.headers.contains(&Name::Warning));
    assert!(echo(&mut world, phone) > 2400.0);
    finish(world, &[phone]);
}

#[test]
fn update_with_and_without_an_offer() {
    let (mut world, phone) = call();
    let update = world.phones[phone].request(Method::Update);
    let ok = world.ask(phone, &update, 200);
    assert!(ok.body.is_empty());
    assert!(echo(&mut world, phone) > 2400.0);
    let mut update = world.phones[phone].request(Method::Update);
    put_sdp(&mut update, &world.phones[phone].sdp("inactive"));
    let ok = world.ask(phone, &update, 200);
    assert!(body(&ok).contains("a=inactive"));
    world.run(100);
    let from = world.ms;
    world.run(500);
    assert!(world.phones[phone].audio(from, world.ms).is_empty());
    let mut update = world.phones[phone].request(Method::Update);
    put_sdp(&mut update, &world.phones[phone].sdp("sendrecv"));
    world.ask(phone, &update, 200);
    assert!(echo(&mut world, phone) > 2400.0);
    finish(world, &[phone]);
}

#[test]
fn the_version_counts_what_differs() {
    let mut world = World::new(43);
    let phone = world.phone();
    let first = origin(&world.dial(phone, "500"));
    let sdp = world.phones[phone].sdp("sendrecv");
    let again = world.phones[phone].reinvite(&sdp);
    let same = origin(&world.ask(phone, &again, 200));
    assert_eq!(same, first, "the same description keeps its version");
    let sdp = world.phones[phone].sdp("inactive");
    let hold = world.phones[phone].reinvite(&sdp);
    let held = origin(&world.ask(phone, &hold, 200));
    assert_eq!(held, (first.0, first.1 + 1));
    finish(world, &[phone]);
}

#[test]
fn a_second_reinvite_before_the_ack_of_the_first_is_500() {
    let (mut world, phone) = call();
    let sdp = world.phones[phone].sdp("sendrecv");
    let first = world.phones[phone].reinvite(&sdp);
    world.send(phone, &first);
    let ok = world.expect(phone, 200);
    let second = world.phones[phone].reinvite(&sdp);
    let busy = world.ask(phone, &second, 500);
    assert!(busy.headers.contains(&Name::RetryAfter));
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    world.run(5);
    let third = world.phones[phone].reinvite(&sdp);
    world.ask(phone, &third, 200);
    finish(world, &[phone]);
}

#[test]
fn without_the_ack_of_a_reinvite_the_call_ends() {
    let (mut world, phone) = call();
    let sdp = world.phones[phone].sdp("sendrecv");
    let reinvite = world.phones[phone].reinvite(&sdp);
    world.send(phone, &reinvite);
    world.run(31_990);
    world.phones[phone].inbox.clear();
    let bye = world.expect_request(phone, &Method::Bye);
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    world.hush(phone);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn an_offer_that_meets_ours_is_491() {
    let (mut world, phone) = call();
    let empty = world.phones[phone].request(Method::Invite);
    world.send(phone, &empty);
    let ok = world.expect(phone, 200);
    // Our offer in the 200 waits for the ACK.
    let mut update = world.phones[phone].request(Method::Update);
    put_sdp(&mut update, &world.phones[phone].sdp("inactive"));
    world.ask(phone, &update, 491);
    let mut ack = world.phones[phone].ack(&ok);
    put_sdp(&mut ack, &world.phones[phone].sdp("sendrecv"));
    world.send(phone, &ack);
    assert!(echo(&mut world, phone) > 2400.0);
    finish(world, &[phone]);
}

#[test]
fn a_reinvite_that_meets_our_refresh_is_491() {
    let mut world = World::new(44);
    let phone = world.phone();
    let mut invite = world.phones[phone].invite("500");
    invite.headers.push(Name::Supported, "timer");
    invite
        .headers
        .push(Name::SessionExpires, "90;refresher=uas");
    world.dial_with(phone, &invite);
    let refresh = world.expect_request_within(phone, &Method::Invite, 46_000);
    let sdp = world.phones[phone].sdp("sendrecv");
    let ours = world.phones[phone].reinvite(&sdp);
    world.ask(phone, &ours, 491);
    // The peer answers ours with 491 too: it comes again.
    let glare = world.phones[phone].response(&refresh, 491);
    world.reply(phone, &glare);
    let ack = world.next(phone, 50).unwrap();
    assert!(matches!(ack.message, Message::Request(r) if r.method == Method::Ack));
    let again = world.expect_request_within(phone, &Method::Invite, 5000);
    let mut ok = world.phones[phone].response(&again, 200);
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.headers.push(Name::SessionExpires, "90;refresher=uac");
    ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    finish(world, &[phone]);
}

#[test]
fn a_thousand_changes_leave_nothing_behind_in_a_running_call() {
    let (mut world, phone) = call();
    world.run(100);
    let before = world.switch.leftovers();
    for round in 0..1000 {
        let mut sdp = world.phones[phone].sdp("sendrecv");
        let mut status = 200;
        if round % 3 == 2 {
            sdp = sdp.replace("RTP/AVP 0 8", "RTP/AVP 96\r\na=rtpmap:96 opus/48000/2");
            status = 488;
        }
        let change = world.phones[phone].reinvite(&sdp);
        world.ask(phone, &change, status);
    }
    world.run(100);
    assert_eq!(world.switch.leftovers(), before);
    finish(world, &[phone]);
}
