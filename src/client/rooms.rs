//! `antiphon rooms`.

use serde_json::Value;

use super::calls::listed;
use super::table::{table, text};
use super::{ClientError, Target, escaped};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// List them.
    List,
    /// Show who is in one.
    Show(String),
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
    /// Hang it up.
    Kick,
}

impl Operation {
    /// Method, what follows in the path, and the word for it.
    const fn request(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Operation::Kick => ("DELETE", "", "kicked"),
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
                ]
            };
            let rows: Vec<_> = rooms.iter().map(row).collect();
            table(&["ROOM", "MEMBERS", "MOST"], &rows)
        }
        Action::Show(name) => {
            let room = target.ask("GET", &path(&name)).await?;
            if json {
                return Ok(format!("{room}\n"));
            }
            listed(room["members"].as_array().map_or(&[], Vec::as_slice))
        }
        Action::Member {
            room,
            call,
            operation,
        } => {
            let (method, behind, word) = operation.request();
            let path = format!("{}/members/{}{behind}", path(&room), escaped(&call));
            target.ask(method, &path).await?;
            if json {
                String::new()
            } else {
                format!("{word}: {call}\n")
            }
        }
    })
}
