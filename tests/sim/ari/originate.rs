//! Channels that programs place.

use antiphon::api::Method;
use antiphon::sip::method::Method as SipMethod;

use super::Desk;

#[test]
fn a_channel_rings_for_as_long_as_its_program_wants() {
    for (timeout, ends) in [("", true), ("&timeout=-1", false)] {
        let mut desk = Desk::new(491);
        desk.connect("hello");
        let phone = desk.world.phone();
        let to = desk.world.phones[phone].sip;
        let url = format!("/ari/channels/c?endpoint=sip:guest@{to}&app=hello{timeout}");
        desk.post(&url);
        let invite = desk.world.expect_request(phone, &SipMethod::Invite);
        desk.world.phones[phone].called(&invite);
        let ringing = desk.world.phones[phone].response(&invite, 180);
        desk.world.reply(phone, &ringing);
        if ends {
            desk.world
                .expect_request_within(phone, &SipMethod::Cancel, 31_000);
        } else {
            desk.run(60_000);
            desk.world.expect_nothing(phone, 0);
            desk.ok(Method::Get, "/ari/channels/c");
        }
    }
}
