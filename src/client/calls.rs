//! `antiphon calls`.

use serde_json::Value;

use super::table::{fields, table, text, time};
use super::{ClientError, Target, escaped};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// List them.
    List,
    /// Show one.
    Show(String),
    /// Hang one up.
    HangUp(String),
}

/// Does it, and gives what is to be printed.
pub async fn run(target: &Target, action: Action, json: bool) -> Result<String, ClientError> {
    let path = |id: &str| format!("/api/v1/calls/{}", escaped(id));
    Ok(match action {
        Action::List => {
            let calls = target.list("/api/v1/calls", "calls").await?;
            if json {
                format!("{}\n", Value::from(calls))
            } else {
                listed(&calls)
            }
        }
        Action::Show(id) => {
            let call = target.ask("GET", &path(&id)).await?;
            if json {
                format!("{call}\n")
            } else {
                fields(&call)
            }
        }
        Action::HangUp(id) => {
            target.ask("DELETE", &path(&id)).await?;
            if json {
                String::new()
            } else {
                format!("hung up: {id}\n")
            }
        }
    })
}

/// A table of calls.
pub(super) fn listed(calls: &[Value]) -> String {
    let rows: Vec<Vec<String>> = calls
        .iter()
        .map(|call| {
            let mut row = vec![
                text(&call["id"]),
                text(&call["state"]),
                text(&call["direction"]),
            ];
            row.extend([
                text(&call["party"]),
                text(&call["app"]),
                text(&call["room"]),
            ]);
            row.extend([
                time(&call["seconds"]),
                text(&call["codec"]),
                text(&call["peer"]),
            ]);
            row
        })
        .collect();
    table(
        &[
            "ID", "STATE", "DIR", "PARTY", "APP", "ROOM", "TIME", "CODEC", "PEER",
        ],
        &rows,
    )
}
