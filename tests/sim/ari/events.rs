//! What ARI has no word for, told by a program's own WebSocket.

use antiphon::api::Method;

use super::Desk;

#[test]
fn events_of_the_other_api_come_by_the_same_connection() {
    let mut desk = Desk::new(481);
    let reader = desk.connect("hello&apiEvents=call.started,room.talkers");
    let count = |topic: &str| reader.topics.iter().filter(|t| *t == topic).count();
    assert_eq!((count("call.started"), count("room.talkers")), (1, 1));
    assert_eq!(reader.topics.len(), 3, "{:?}", reader.topics);
    let phones = desk.world.phones(2);
    desk.dial(phones[0], "300");
    desk.run(100);
    let told = desk.events(&["call.started", "StasisStart", "call.answered"]);
    let types: Vec<_> = told.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["call.started", "StasisStart"]);
    assert_eq!(told[0]["call"]["id"], told[1]["channel"]["id"]);
    desk.disconnect(&reader);
    desk.dial(phones[1], "300");
    desk.run(100);
    assert!(desk.events(&["call.started"]).is_empty(), "nobody reads");
}

#[test]
fn types_that_there_are_not_are_refused() {
    let mut desk = Desk::new(482);
    let url = "/ari/events?app=hello&apiEvents=call.begun";
    let (status, problem) = desk.get(Method::Get, url, "");
    assert_eq!(status, 400);
    let message = problem["message"].as_str().unwrap();
    assert!(
        message.contains("call.begun") && message.contains("call.started"),
        "{message}"
    );
    // Nothing of it has been taken.
    let (status, _) = desk.get(Method::Get, "/ari/applications/hello", "");
    assert_eq!(status, 404);
}
