//! `antiphon rooms`.

use serde_json::Value;

use super::table::{table, text};
use super::{ClientError, Target, escaped};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// List them.
    List,
    /// Show who is in one.
    Show(String),
    /// Do something with one.
    Change(String, Change),
    /// Do something about its recording.
    Record(String, Record),
    /// Call somebody from one, and ask them to join.
    Call {
        /// The room.
        room: String,
        /// Whom.
        uri: String,
    },
    /// Do something with a member.
    Member {
        /// The room.
        room: String,
        /// The member's call.
        call: String,
        /// What.
        operation: Operation,
    },
}

/// What can be done with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Take it out, and hang up.
    Kick,
    /// Nobody hears it.
    Mute,
    /// It is heard again.
    Unmute,
    /// It need not wait any longer.
    Admit,
}

/// What can be done with a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only moderators may come.
    Lock,
    /// Anybody may.
    Unlock,
    /// All but moderators are muted.
    MuteAll,
    /// And no longer.
    UnmuteAll,
    /// It ends.
    End,
}

/// What can be done about the recording of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// It begins, in these files (`mix`, `stereo`, `tracks`, `mix+tracks`) of this kind (`wav`,
    /// `ogg-opus`), if that is said.
    Start(Option<String>, Option<String>),
    /// Nothing is recorded for a while.
    Pause,
    /// It goes on.
    Resume,
    /// It ends.
    Stop,
}

/// Method, body, and the word for what was done.
type What = (&'static str, Option<&'static str>, &'static str);

impl Operation {
    const fn request(self) -> What {
        match self {
            Operation::Kick => ("DELETE", None, "kicked"),
            Operation::Mute => ("POST", Some(r#"{"muted":true}"#), "muted"),
            Operation::Unmute => ("POST", Some(r#"{"muted":false}"#), "unmuted"),
            Operation::Admit => ("POST", Some(r#"{"admitted":true}"#), "admitted"),
        }
    }
}

impl Change {
    const fn request(self) -> What {
        match self {
            Change::Lock => ("POST", Some(r#"{"locked":true}"#), "locked"),
            Change::Unlock => ("POST", Some(r#"{"locked":false}"#), "unlocked"),
            Change::MuteAll => ("POST", Some(r#"{"muted":true}"#), "all muted"),
            Change::UnmuteAll => ("POST", Some(r#"{"muted":false}"#), "all unmuted"),
            Change::End => ("DELETE", None, "ended"),
        }
    }
}

/// Does it, and gives what is to be printed.
pub async fn run(target: &Target, action: Action, json: bool) -> Result<String, ClientError> {
    let path = |name: &str| format!("/api/v1/rooms/{}", escaped(name));
    Ok(match action {
        Action::List => {
            let rooms = target.list("/api/v1/rooms", "rooms").await?;
            if json {
                return Ok(format!("{}\n", Value::from(rooms)));
            }
            let row = |room: &Value| {
                vec![
                    text(&room["name"]),
                    text(&room["members"]),
                    text(&room["max_members"]),
                    states(room),
                ]
            };
            let rows: Vec<_> = rooms.iter().map(row).collect();
            table(&["ROOM", "MEMBERS", "MOST", "STATE"], &rows)
        }
        Action::Show(name) => {
            let room = target.ask("GET", &path(&name)).await?;
            if json {
                return Ok(format!("{room}\n"));
            }
            let members = room["members"].as_array().map_or(&[][..], Vec::as_slice);
            let rows: Vec<_> = members.iter().map(row_of_member).collect();
            table(&["ID", "PARTY", "ROLE", "SINCE", "STATE"], &rows)
        }
        Action::Member {
            room,
            call,
            operation,
        } => {
            let (method, body, word) = operation.request();
            let path = format!("{}/members/{}", path(&room), escaped(&call));
            let answer = target.send(method, &path, body).await?;
            told(&answer, json, &format!("{word}: {call}"))
        }
        Action::Change(room, change) => {
            let (method, body, word) = change.request();
            let answer = target.send(method, &path(&room), body).await?;
            told(&answer, json, &format!("{word}: {room}"))
        }
        Action::Record(room, record) => {
            let path = format!("{}/recording", path(&room));
            let (method, path, body, word) = match record {
                Record::Start(layout, format) => {
                    let given = [("layout", layout), ("format", format)];
                    let given = given
                        .into_iter()
                        .filter_map(|(k, v)| Some((k.to_owned(), v?.into())));
                    let body = Value::Object(given.collect()).to_string();
                    ("POST", path, Some(body), "recording")
                }
                Record::Pause => ("POST", path + "/pause", Some("{}".to_owned()), "paused"),
                Record::Resume => ("POST", path + "/resume", None, "resumed"),
                Record::Stop => ("DELETE", path, None, "stopped"),
            };
            let answer = target.send(method, &path, body.as_deref()).await?;
            told(&answer, json, &format!("{word}: {room}"))
        }
        Action::Call { room, uri } => {
            let body = serde_json::json!({ "uri": uri }).to_string();
            let path = format!("{}/calls", path(&room));
            let answer = target.send("POST", &path, Some(&body)).await?;
            told(&answer, json, &format!("calling: {uri}"))
        }
    })
}

fn states(room: &Value) -> String {
    let states = [("locked", "locked"), ("recording", "recorded")];
    let states = states.iter().filter(|(key, _)| room[*key] == true);
    states.map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

fn told(answer: &Value, json: bool, words: &str) -> String {
    match (json, answer) {
        (false, _) => format!("{words}\n"),
        (true, Value::Null) => String::new(),
        (true, answer) => format!("{answer}\n"),
    }
}

fn row_of_member(member: &Value) -> Vec<String> {
    let states = [
        "waiting",
        "muted",
        "muted_by_moderator",
        "deaf",
        "on_hold",
        "hand_raised",
    ];
    let states = states.iter().filter(|state| member[**state] == true);
    let states: Vec<String> = states.map(|state| state.replace('_', " ")).collect();
    vec![
        text(&member["id"]),
        text(&member["party"]),
        text(&member["role"]),
        text(&member["since"]),
        states.join(", "),
    ]
}
