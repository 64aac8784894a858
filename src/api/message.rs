//! What is asked and what is answered, without a word of how it travels.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Tell.
    Get,
    /// Make, or do.
    Post,
    /// Put in place.
    Put,
    /// Take away.
    Delete,
}

impl Method {
    /// All that there are.
    pub const ALL: [Method; 4] = [Method::Get, Method::Post, Method::Put, Method::Delete];

    /// Its name in HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }

    /// By its name in HTTP; HEAD asks what GET does.
    pub fn parse(name: &str) -> Option<Self> {
        let name = if name == "HEAD" { "GET" } else { name };
        Method::ALL.into_iter().find(|m| m.as_str() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a key is good for; each has what those before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look.
    Read,
    /// Change calls and rooms.
    Control,
    /// Change who gets in.
    Admin,
}

impl Scope {
    /// All that there are.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Control, Scope::Admin];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Control => "control",
            Scope::Admin => "admin",
        }
    }

    /// By its name in the configuration.
    pub fn parse(name: &str) -> Option<Self> {
        Scope::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// A request that has found its operation.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What stands in the places of the path's template, by name, decoded.
    pub path: Vec<(&'static str, String)>,
    /// Name and value, decoded, in their order.
    pub query: Vec<(String, String)>,
    /// Bounded by who has read it.
    pub body: Vec<u8>,
    /// The name of the key; none: without one.
    pub key: Option<Arc<str>>,
    /// What it is good for.
    pub scope: Option<Scope>,
    /// What the client calls us.
    pub host: Option<String>,
    /// It has come over TLS.
    pub secure: bool,
    /// The connection can become a WebSocket, and is asked to.
    pub upgrades: bool,
}

impl Request {
    /// What stands in a place of the path.
    pub fn path(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// A parameter of the query; the last of several.
    pub fn query(&self, name: &str) -> Option<&str> {
        let mut named = self.query.iter().rev().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// A parameter that is a number; what it may be has been checked by the table.
    pub fn number(&self, name: &str, default: usize) -> usize {
        self.query(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    /// A parameter that is true or false.
    pub fn flag(&self, name: &str) -> bool {
        self.query(name) == Some("true")
    }

    /// The body; what is wrong with it names the field.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // A list of a type's values would do for serde.
        if self.body.trim_ascii_start().first() == Some(&b'[') {
            return Err(Problem::invalid("body", "expected an object, found a list"));
        }
        let mut reader = serde_json::Deserializer::from_slice(&self.body);
        let error = match serde_path_to_error::deserialize(&mut reader) {
            Ok(value) => {
                let end = reader.end();
                let wrong = |error| Problem::new(400, format!("the body is no JSON: {error}"));
                return end.map(|()| value).map_err(wrong);
            }
            Err(error) => error,
        };
        if let Some(value) = whole_numbers(&self.body) {
            return Ok(value);
        }
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_syntax() || inner.is_eof() {
            return Err(Problem::new(400, format!("the body is no JSON: {inner}")));
        }
        let field = if path == "." {
            missing(&inner)
        } else {
            Some(path)
        };
        Err(Problem::invalid(
            field.as_deref().unwrap_or("body"),
            inner.to_string(),
        ))
    }
}

/// What is read where numbers such as 20.0 stand for whole ones, which they are to JSON; none: there
/// is no such number, or it is not that.
fn whole_numbers<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let found = make_whole(&mut value);
    found.then(|| serde_json::from_value(value).ok()).flatten()
}

fn make_whole(value: &mut Value) -> bool {
    let all = |values: &mut dyn Iterator<Item = &mut Value>| {
        values.fold(false, |found, value| make_whole(value) | found)
    };
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().filter(|f| f.fract() == 0.0);
            let Some(float) = float.filter(|f| f.abs() <= MAX_WHOLE) else {
                return false;
            };
            *number = (float as i64).into();
            true
        }
        Value::Array(list) => all(&mut list.iter_mut()),
        Value::Object(fields) => all(&mut fields.values_mut()),
        _ => false,
    }
}

/// Whole numbers beyond it have no exact double (2^53).
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// The field that serde's message names: it stands in no path.
fn missing(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let name = text.split('`').nth(1)?;
    let named = text.starts_with("missing field") || text.starts_with("unknown field");
    named.then(|| name.to_owned())
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Of HTTP.
    pub status: u16,
    /// Of the body; none: there is no body.
    pub content_type: Option<&'static str>,
    /// Besides those that go without saying.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The content type of what is no error.
pub const JSON: &str = "application/json";

impl Response {
    /// 204.
    pub fn empty() -> Self {
        Self {
            status: 204,
            content_type: None,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A body of this type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// 200 with JSON.
    pub fn json<T: Serialize>(value: &T) -> Self {
        Self::json_with(200, value)
    }

    /// JSON with a status.
    pub fn json_with<T: Serialize>(status: u16, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(status, JSON, body),
            // Our types have no keys but texts, and nothing else can fail.
            Err(_) => Self::new(500, JSON, "{}"),
        }
    }

    /// With one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        whole: Option<u64>,
        hz: Option<f32>,
    }

    fn read(body: &str) -> Result<Wanted, Problem> {
        let request = Request {
            body: body.as_bytes().to_vec(),
            ..Request::default()
        };
        request.json()
    }

    #[test]
    fn a_number_without_a_fraction_is_a_whole_one_however_it_is_written() {
        for (body, whole) in [("20", 20), ("20.0", 20), ("2e1", 20), ("0.0", 0)] {
            let read = read(&format!("{{\"whole\": {body}, \"hz\": 440}}")).unwrap();
            assert_eq!((read.whole, read.hz), (Some(whole), Some(440.0)), "{body}");
        }
        for wrong in ["20.5", "-1.0", "1e300", "\"20\"", "true"] {
            let problem = read(&format!("{{\"whole\": {wrong}}}")).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("whole"), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for wrong in ["[20, 440]", " [null, null]", "[]"] {
            let problem = read(wrong).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("body"), "{wrong}");
        }
        for wrong in ["", "{", "{} {}", "{\"whole\": 1.0} x"] {
            assert_eq!(read(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
