//! Variables of channels and of the server.

use antiphon::api::Method;

use super::Desk;

#[test]
fn a_value_that_is_too_long_changes_nothing() {
    let mut desk = Desk::new(481);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    for url in [
        format!("/ari/channels/{id}/variable"),
        "/ari/asterisk/variable".to_owned(),
    ] {
        desk.post(&format!("{url}?variable=A&value=before"));
        // More than a variable may have; more than any parameter may.
        for length in [4_097, 16_385] {
            let value = "x".repeat(length);
            let body = format!(r#"{{"variable": "A", "value": "{value}"}}"#);
            let (status, _) = desk.get(Method::Post, &url, &body);
            assert_eq!(status, 400, "{url}: {length}");
            let kept = desk.ok(Method::Get, &format!("{url}?variable=A"));
            assert_eq!(kept["value"], "before", "{url}: {length}");
        }
        // Without a value it goes.
        desk.post(&format!("{url}?variable=A"));
        let (_, gone) = desk.get(Method::Get, &format!("{url}?variable=A"), "");
        assert_ne!(gone["value"], "before", "{url}");
    }
}
