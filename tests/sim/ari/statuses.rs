//! Each operation's statuses, as the interface's public documentation has them: which there are, and
//! that what is declared is what is answered.

use std::collections::{BTreeMap, BTreeSet};

use antiphon::api::ari::OPERATIONS;
use antiphon::api::{Method, Unrouted, route};

use super::Desk;

/// Method, path and query, status, body. UP is answered and the program's, RING its and not answered,
/// OTHER in no program; `b` a mixing bridge, `h` a holding one; `p` is heard, `q` waits; `r` is being
/// recorded, `rq` waits; `s` is stored.
const CASES: &str = r#"
GET /ari/applications 200
GET /ari/applications/hello 200
GET /ari/applications/none 404
POST /ari/applications/none/subscription?eventSource=bridge:b 404
POST /ari/applications/hello/subscription 400
POST /ari/applications/hello/subscription?eventSource=b 400
POST /ari/applications/hello/subscription?eventSource=moon:b 400
POST /ari/applications/hello/subscription?eventSource=bridge:none 422
POST /ari/applications/hello/subscription?eventSource=channel:none 422
POST /ari/applications/hello/subscription 200 {"eventSource": "bridge:b"}
POST /ari/applications/hello/subscription 200 {"eventSource": ["bridge:h", "channel:OTHER"]}
DELETE /ari/applications/hello/subscription 400
DELETE /ari/applications/none/subscription?eventSource=bridge:b 404
DELETE /ari/applications/hello/subscription?eventSource=endpoint:PJSIP/a 409
DELETE /ari/applications/hello/subscription?eventSource=channel:none 422
DELETE /ari/applications/hello/subscription?eventSource=bridge:b,bridge:h,channel:OTHER 200
PUT /ari/applications/none/eventFilter 404 {"allowed": []}
PUT /ari/applications/hello/eventFilter 400 {"allowed": 5}
PUT /ari/applications/hello/eventFilter 400 {"disallowed": [{"type": 5}]}
PUT /ari/applications/hello/eventFilter 200 {"allowed": [], "disallowed": []}

GET /ari/asterisk/info 200
GET /ari/asterisk/ping 200
GET /ari/asterisk/variable 400
GET /ari/asterisk/variable?variable=NOBODY 200
POST /ari/asterisk/variable 400
POST /ari/asterisk/variable 204 {"variable": "A", "value": 5}

GET /ari/bridges 200
GET /ari/bridges/b 200
GET /ari/bridges/none 404
DELETE /ari/bridges/none 404
POST /ari/bridges?bridgeId=a%2Cb 400
POST /ari/bridges?type=holding&bridgeId=b 409
POST /ari/bridges/b?type=holding 409
POST /ari/bridges/b?type=mixing,dtmf_events 200
POST /ari/bridges 400 {"type": "mixing"
POST /ari/bridges 400 ["mixing"]
POST /ari/bridges/b/addChannel 400
POST /ari/bridges/b/addChannel?channel=none 400
POST /ari/bridges/none/addChannel?channel=UP 404
POST /ari/bridges/b/addChannel?channel=RING 412
POST /ari/bridges/b/addChannel?channel=OTHER 422
POST /ari/bridges/b/removeChannel 400
POST /ari/bridges/b/removeChannel?channel=none 400
POST /ari/bridges/none/removeChannel?channel=UP 404
POST /ari/bridges/b/removeChannel 422 {"channel": ["UP"]}
POST /ari/bridges/full/addChannel?channel=UP 204
POST /ari/bridges/full/addChannel?channel=MORE 409
POST /ari/bridges/full/removeChannel 204 {"channel": "UP"}
POST /ari/bridges/none/moh 404
POST /ari/bridges/b/moh 204
DELETE /ari/bridges/none/moh 404
DELETE /ari/bridges/b/moh 204
POST /ari/bridges/none/play?media=sound:welcome 404
POST /ari/bridges/b/play 400
POST /ari/bridges/b/play?media=welcome 400
POST /ari/bridges/b/play?media=video:welcome 400
POST /ari/bridges/h/play?media=sound:welcome 409
POST /ari/bridges/b/play 201 {"media": ["sound:welcome", "digits:12"]}
POST /ari/bridges/none/play/x?media=sound:welcome 404
POST /ari/bridges/b/play/x?media=number:x 400
POST /ari/bridges/b/play/p?media=sound:welcome 409
POST /ari/bridges/none/record?name=x&format=wav 404
POST /ari/bridges/b/record?format=wav 400
POST /ari/bridges/b/record?name=x 400
POST /ari/bridges/b/record?name=x&format=wav&ifExists=append 400
POST /ari/bridges/h/record?name=x&format=wav 409
POST /ari/bridges/b/record?name=s&format=wav 409
POST /ari/bridges/b/record?name=x&format=gsm 422

GET /ari/channels 200
POST /ari/channels 400
POST /ari/channels 400 {"endpoint": {}}
POST /ari/channels 400 {"endpoint": "sip:a@10.0.0.9", "app": "hello", "variables": {"a": {}}}
POST /ari/channels?endpoint=PJSIP/nobody&app=hello 400
POST /ari/channels?endpoint=sip:a@10.0.0.9 400
POST /ari/channels?endpoint=sip:a@10.0.0.9&app=hello&extension=500 400
POST /ari/channels?endpoint=sip:a@10.0.0.9&extension=1 400
POST /ari/channels?endpoint=sip:a@10.0.0.9&extension=annc 400
POST /ari/channels?endpoint=sip:a@10.0.0.9&app=hello&timeout=soon 400
POST /ari/channels?endpoint=sip:a@10.0.0.9&app=hello&timeout=-2 400
POST /ari/channels?endpoint=sip:a@10.0.0.9&app=hello&callerId=%0A 400
POST /ari/channels?endpoint=sip:a@10.0.0.9&app=hello&channelId=UP 409
POST /ari/channels/UP?endpoint=sip:a@10.0.0.9&app=hello 409
POST /ari/channels/new 400
POST /ari/channels/new 200 {"endpoint": "sip:a@10.1.0.4", "app": "hello", "timeout": 5}
GET /ari/channels/UP 200
GET /ari/channels/none 404
DELETE /ari/channels/none 404
DELETE /ari/channels/UP?reason=nonsense 400
DELETE /ari/channels/UP?reason_code=500 400
DELETE /ari/channels/new 204
POST /ari/channels/none/continue 404
POST /ari/channels/UP/continue?extension=nowhere 404
POST /ari/channels/OTHER/continue 409
POST /ari/channels/UP/move 400
POST /ari/channels/none/move?app=hello 404
POST /ari/channels/UP/move?app=nobody 404
POST /ari/channels/OTHER/move?app=hello 409
POST /ari/channels/UP/redirect 400
POST /ari/channels/none/redirect?endpoint=sip:a@10.0.0.9 404
POST /ari/channels/UP/redirect?endpoint=PJSIP/nobody 404
POST /ari/channels/OTHER/redirect?endpoint=sip:a@10.0.0.9 409
POST /ari/channels/SNOOP/redirect?endpoint=sip:a@10.0.0.9 412
POST /ari/channels/UP/redirect?endpoint=Local/a 422
POST /ari/channels/none/answer 404
POST /ari/channels/OTHER/answer 409
POST /ari/channels/PLACED/answer 412
POST /ari/channels/UP/answer 204
POST /ari/channels/none/ring 404
POST /ari/channels/OTHER/ring 409
POST /ari/channels/UP/ring 412
POST /ari/channels/RING/ring 204
DELETE /ari/channels/none/ring 404
DELETE /ari/channels/OTHER/ring 409
DELETE /ari/channels/RING/ring 204
POST /ari/channels/UP/dtmf 400
POST /ari/channels/UP/dtmf?dtmf=x 400
POST /ari/channels/UP/dtmf?dtmf=1&duration=long 400
POST /ari/channels/none/dtmf?dtmf=1 404
POST /ari/channels/OTHER/dtmf?dtmf=1 409
POST /ari/channels/RING/dtmf?dtmf=1 412
POST /ari/channels/UP/dtmf 204 {"dtmf": "12", "duration": 50}
POST /ari/channels/UP/mute?direction=up 400
POST /ari/channels/none/mute 404
POST /ari/channels/OTHER/mute 409
POST /ari/channels/UP/mute 204
DELETE /ari/channels/UP/mute?direction=up 400
DELETE /ari/channels/none/mute 404
DELETE /ari/channels/OTHER/mute 409
DELETE /ari/channels/UP/mute 204
POST /ari/channels/none/hold 404
POST /ari/channels/OTHER/hold 409
POST /ari/channels/RING/hold 412
POST /ari/channels/UP/hold 204
DELETE /ari/channels/none/hold 404
DELETE /ari/channels/OTHER/hold 409
DELETE /ari/channels/RING/hold 412
DELETE /ari/channels/UP/hold 204
POST /ari/channels/none/moh 404
POST /ari/channels/OTHER/moh 409
POST /ari/channels/RING/moh 412
POST /ari/channels/UP/moh 204
DELETE /ari/channels/none/moh 404
DELETE /ari/channels/OTHER/moh 409
DELETE /ari/channels/RING/moh 412
DELETE /ari/channels/UP/moh 204
POST /ari/channels/none/silence 404
POST /ari/channels/OTHER/silence 409
POST /ari/channels/UP/silence 204
DELETE /ari/channels/none/silence 404
DELETE /ari/channels/OTHER/silence 409
DELETE /ari/channels/UP/silence 204
POST /ari/channels/UP/play 400
POST /ari/channels/UP/play?media=welcome 400
POST /ari/channels/UP/play?media=tone:bell 400
POST /ari/channels/UP/play 400 {"media": 5}
POST /ari/channels/none/play?media=sound:welcome 404
POST /ari/channels/OTHER/play?media=sound:welcome 409
POST /ari/channels/RING/play?media=sound:welcome 412
POST /ari/channels/UP/play 201 {"media": "sound:welcome"}
POST /ari/channels/none/play/x?media=sound:welcome 404
POST /ari/channels/UP/play/p?media=sound:welcome 409
POST /ari/channels/RING/play/x?media=sound:welcome 412
POST /ari/channels/UP/record?format=wav 400
POST /ari/channels/UP/record?name=x 400
POST /ari/channels/UP/record?name=..%2Fx&format=wav 400
POST /ari/channels/UP/record?name=x&format=wav&terminateOn=9 400
POST /ari/channels/UP/record?name=x&format=wav&maxDurationSeconds=-1 400
POST /ari/channels/none/record?name=x&format=wav 404
POST /ari/channels/OTHER/record?name=x&format=wav 409
POST /ari/channels/UP/record?name=r&format=wav 409
POST /ari/channels/UP/record?name=s&format=wav 409
POST /ari/channels/RING/record?name=x&format=wav 412
POST /ari/channels/UP/record?name=x&format=gsm 422
POST /ari/channels/UP/record 201 {"name": "y", "format": "wav", "beep": true, "maxDurationSeconds": 1}
POST /ari/channels/UP/snoop?app=hello 400
POST /ari/channels/UP/snoop?spy=in 400
POST /ari/channels/UP/snoop?app=hello&spy=left 400
POST /ari/channels/none/snoop?app=hello&spy=in 404
POST /ari/channels/UP/snoop?app=hello&spy=in&snoopId=UP 409
POST /ari/channels/RING/snoop?app=hello&spy=in 412
POST /ari/channels/UP/snoop?app=hello&spy=both 200
POST /ari/channels/UP/snoop/x 400
POST /ari/channels/none/snoop/x?app=hello&spy=in 404
POST /ari/channels/UP/snoop/RING?app=hello&spy=in 409
POST /ari/channels/RING/snoop/x?app=hello&spy=in 412
POST /ari/channels/externalMedia 400 {"app": "hello", "format": "ulaw"}
POST /ari/channels/externalMedia?app=hello&format=ulaw&external_host=10.0.0.9 400
POST /ari/channels/externalMedia?app=hello&format=vp8&external_host=127.0.0.1:6000 400
POST /ari/channels/externalMedia?app=hello&format=ulaw&external_host=127.0.0.1:6000&encapsulation=audiosocket 400
POST /ari/channels/externalMedia?app=hello&format=ulaw&external_host=127.0.0.1:6000&transport=tcp 400
POST /ari/channels/externalMedia?app=hello&format=ulaw&external_host=192.0.2.1:6000 403
POST /ari/channels/externalMedia?app=hello&format=ulaw&external_host=127.0.0.1:6000&channelId=UP 409
GET /ari/channels/UP/variable 400
GET /ari/channels/none/variable?variable=A 404
GET /ari/channels/UP/variable?variable=NOBODY 404
GET /ari/channels/OTHER/variable?variable=A 409
GET /ari/channels/UP/variable?variable=CHANNEL(name) 200
POST /ari/channels/UP/variable 400
POST /ari/channels/UP/variable?variable=TALK_DETECT(set)&value=x 400
POST /ari/channels/none/variable?variable=A 404
POST /ari/channels/OTHER/variable?variable=A&value=1 409
POST /ari/channels/UP/variable 204 {"variable": "A", "value": true}
GET /ari/channels/none/rtp_statistics 404
GET /ari/channels/RING/rtp_statistics 404

GET /ari/deviceStates 200
GET /ari/deviceStates/Stasis:x 200
PUT /ari/deviceStates/Stasis:x 400
PUT /ari/deviceStates/Stasis:x?deviceState=ODD 400
PUT /ari/deviceStates/PJSIP%2Fa?deviceState=BUSY 409
PUT /ari/deviceStates/Stasis:x 204 {"deviceState": "BUSY"}
DELETE /ari/deviceStates/PJSIP%2Fa 409
DELETE /ari/deviceStates/Stasis:x 204

GET /ari/endpoints 200
GET /ari/endpoints/PJSIP 200
GET /ari/endpoints/IAX2 404
GET /ari/endpoints/IAX2/a 404
GET /ari/endpoints/PJSIP/nobody 404
PUT /ari/endpoints/sendMessage?to=sip:a@10.1.0.4 400
PUT /ari/endpoints/sendMessage?from=sip:a@10.1.0.4 400
PUT /ari/endpoints/sendMessage?to=sip:a@10.1.0.4&from=%22a%22 400
PUT /ari/endpoints/sendMessage?to=nonsense&from=a 400
PUT /ari/endpoints/sendMessage?to=sip:a@10.1.0.4&from=a 400 {"variables": {"Route": "sip:b"}}
PUT /ari/endpoints/sendMessage?to=pjsip:nobody&from=a 404
PUT /ari/endpoints/sendMessage 202 {"to": "sip:a@10.1.0.4", "from": "pjsip:b", "body": "x"}
PUT /ari/endpoints/PJSIP/nobody/sendMessage 400
PUT /ari/endpoints/PJSIP/nobody/sendMessage?from=a 404

GET /ari/events 400
GET /ari/events?app=a%2Fb 400
POST /ari/events/user/e 400
POST /ari/events/user/e?application=hello 400 {"variables": {"a": {}}}
POST /ari/events/user/e?application=hello&source=x 400
POST /ari/events/user/e?application=hello&source=moon:x 400
POST /ari/events/user/e?application=none 404
POST /ari/events/user/e?application=hello&source=channel:none 422
POST /ari/events/user/e?application=hello&source=channel:UP,bridge:b,endpoint:PJSIP%2Fa 204 {"variables": {"a": 1}}

GET /ari/playbacks/none 404
GET /ari/playbacks/p 200
POST /ari/playbacks/none/control?operation=pause 404
POST /ari/playbacks/p/control 400
POST /ari/playbacks/p/control?operation=rewind 400
POST /ari/playbacks/p/control?operation=forward&skipms=-1 400
POST /ari/playbacks/q/control?operation=pause 409
POST /ari/playbacks/p/control 204 {"operation": "pause"}
DELETE /ari/playbacks/none 404
DELETE /ari/playbacks/q 204

GET /ari/recordings/stored 200
GET /ari/recordings/stored/s 200
GET /ari/recordings/stored/none 404
GET /ari/recordings/stored/..%2Fs 404
GET /ari/recordings/stored/s/file 200
GET /ari/recordings/stored/none/file 404
POST /ari/recordings/stored/s/copy 400
POST /ari/recordings/stored/none/copy?destinationRecordingName=x 404
POST /ari/recordings/stored/s/copy?destinationRecordingName=s 409
POST /ari/recordings/stored/s/copy 201 {"destinationRecordingName": "t"}
DELETE /ari/recordings/stored/none 404
DELETE /ari/recordings/stored/t 204
GET /ari/recordings/live/r 200
GET /ari/recordings/live/none 404
POST /ari/recordings/live/none/pause 404
POST /ari/recordings/live/rq/pause 409
POST /ari/recordings/live/r/pause 204
DELETE /ari/recordings/live/none/pause 404
DELETE /ari/recordings/live/rq/pause 409
DELETE /ari/recordings/live/r/pause 204
POST /ari/recordings/live/none/mute 404
POST /ari/recordings/live/rq/mute 409
POST /ari/recordings/live/r/mute 204
DELETE /ari/recordings/live/none/mute 404
DELETE /ari/recordings/live/rq/mute 409
DELETE /ari/recordings/live/r/mute 204
POST /ari/recordings/live/none/stop 404
POST /ari/recordings/live/rq/stop 204
DELETE /ari/recordings/live/none 404
DELETE /ari/recordings/live/r 204

GET /ari/sounds 200
GET /ari/sounds/welcome 200
GET /ari/sounds/none 404

GET /ari/api-docs/resources.json 200
GET /ari/api-docs/none.json 404
DELETE /ari/bridges/h 204
"#;

/// Channels, bridges, plays and recordings for the cases.
fn furnished() -> (Desk, Vec<(&'static str, String)>) {
    let mut desk = Desk::new(411);
    desk.connect("hello");
    let phones = desk.world.phones(5);
    let up = desk.answered(phones[0], "400");
    let ring = desk.dial(phones[1], "400");
    desk.world.dial(phones[2], "500");
    desk.run(50);
    let other = desk.channel(phones[2]);
    let more = desk.answered(phones[3], "400");
    desk.post("/ari/channels/placed?endpoint=sip:a@10.1.0.4&app=hello");
    desk.post("/ari/bridges/b");
    desk.post("/ari/bridges/h?type=holding");
    // As many as there may be in one.
    desk.api.state.settings.max_members = 1;
    desk.post("/ari/bridges/full");
    let snoop = desk.post(&format!("/ari/channels/{up}/snoop/snoop?app=hello&spy=in"));
    desk.post("/ari/channels/snoop/record?name=r&format=wav");
    desk.post("/ari/channels/snoop/record?name=rq&format=wav");
    desk.post(&format!("/ari/channels/{up}/play/p?media=tone:1000/60000"));
    desk.post(&format!("/ari/channels/{up}/play/q?media=tone:1000/60000"));
    desk.files.0.lock().unwrap().insert("s".to_owned(), vec![1]);
    desk.run(100);
    let names = vec![
        ("SNOOP", snoop["id"].as_str().unwrap().to_owned()),
        ("PLACED", "placed".to_owned()),
        ("OTHER", other),
        ("RING", ring),
        ("MORE", more),
        ("UP", up),
    ];
    (desk, names)
}

#[test]
fn each_operation_answers_with_the_statuses_that_it_declares() {
    let (mut desk, names) = furnished();
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<(&str, &str), BTreeSet<u16>> = BTreeMap::new();
    for case in CASES.lines().filter(|line| !line.is_empty()) {
        let mut whole = case.to_owned();
        for (name, id) in &names {
            whole = whole.replace(name, id);
        }
        let mut parts = whole.splitn(4, ' ');
        let method = Method::parse(parts.next().unwrap()).unwrap();
        let (url, status) = (parts.next().unwrap(), parts.next().unwrap());
        let status: u16 = status.parse().unwrap();
        let (found, body) = desk.get(method, url, parts.next().unwrap_or_default());
        if found != status {
            wrong.push(format!("{case}: {found} {body}"));
        }
        if found >= 400 && body["message"].as_str().is_none_or(str::is_empty) {
            wrong.push(format!("{case}: nothing is said: {body}"));
        }
        let path = url.split('?').next().unwrap();
        let operation = route(Some(method), path).unwrap().operation;
        let of = seen.entry((method.as_str(), operation.path)).or_default();
        of.insert(found);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for operation in OPERATIONS {
        let of = (operation.method.as_str(), operation.path);
        let found = seen.get(&of).cloned().unwrap_or_default();
        let declared = operation.answers.iter().map(|answer| answer.status);
        // What only a full server answers is not looked for here.
        let declared: BTreeSet<u16> = declared.filter(|s| !matches!(s, 502 | 503)).collect();
        let missing: Vec<_> = declared.difference(&found).collect();
        assert!(missing.is_empty(), "{of:?}: {missing:?} never comes");
        let mut more = found.difference(&declared);
        // A body that is no JSON is the same everywhere.
        let more = more.find(|status| **status > 400);
        assert_eq!(more, None, "{of:?} does not say so");
    }
}

#[test]
fn a_socket_that_is_none_and_methods_that_are_not_there() {
    let allowed = |method, path| match route(Some(method), path) {
        Err(Unrouted::Method(methods)) => methods,
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(
        allowed(Method::Put, "/ari/channels"),
        [Method::Get, Method::Post]
    );
    assert_eq!(
        allowed(Method::Get, "/ari/channels/x/answer"),
        [Method::Post]
    );
    assert!(matches!(
        route(Some(Method::Get), "/ari/mailboxes"),
        Err(Unrouted::NotFound)
    ));
}
