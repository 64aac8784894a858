//! What a request says, wherever it says it: in the query, or in fields of a JSON body.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::api::{Problem, Request};

/// The longest value that is taken, bytes.
const MAX_VALUE: usize = 16 * 1024;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Args<'a> {
    query: &'a [(String, String)],
    body: Map<String, Value>,
}

impl<'a> Args<'a> {
    pub(super) fn of(request: &'a Request) -> Result<Self, Problem> {
        let blank = request.body.iter().all(u8::is_ascii_whitespace);
        let body = if blank {
            Map::new()
        } else {
            match serde_json::from_slice(&request.body) {
                Ok(Value::Object(body)) => body,
                Ok(_) => return Err(Problem::new(400, "the body is no JSON object")),
                Err(error) => {
                    return Err(Problem::new(400, format!("the body is no JSON: {error}")));
                }
            }
        };
        Ok(Self {
            query: &request.query,
            body,
        })
    }

    /// A parameter; an empty one is none, and one that is too long is refused: as none it would do
    /// something else than what was asked.
    pub(super) fn get(&self, name: &str) -> Result<Option<String>, Problem> {
        let mut named = self.query.iter().rev().filter(|(known, _)| known == name);
        let found = named.next().map(|(_, value)| value.clone());
        let found = found.or_else(|| self.body.get(name).and_then(text));
        let found = found.filter(|value| !value.is_empty());
        if found.as_ref().is_some_and(|value| value.len() > MAX_VALUE) {
            let why = format!("{name}: at most {MAX_VALUE} bytes");
            return Err(Problem::new(400, why));
        }
        Ok(found)
    }

    /// One that has to be there.
    pub(super) fn need(&self, name: &str) -> Result<String, Problem> {
        self.get(name)?
            .ok_or_else(|| Problem::new(400, format!("{name}: this has to be said")))
    }

    /// Parts with commas between them, of all that have this name.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let query = self.query.iter().filter(|(known, _)| known == name);
        let mut all: Vec<String> = query.map(|(_, value)| value.clone()).collect();
        if all.is_empty() {
            all.extend(self.body.get(name).and_then(text));
        }
        let parts = all.iter().flat_map(|value| value.split(','));
        let parts = parts.map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    /// A whole number; what is none is refused.
    pub(super) fn number(&self, name: &str, default: u64) -> Result<u64, Problem> {
        let Some(value) = self.get(name)? else {
            return Ok(default);
        };
        value
            .parse()
            .map_err(|_| Problem::new(400, format!("{name}: a whole number, not negative")))
    }

    /// True or false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.get(name)?.is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "true" | "yes" | "1")
        }))
    }

    /// The fields of an object of the body: in a field of this name, or the whole body where there is
    /// no such field and it has nothing else.
    pub(super) fn object(&self, name: &str) -> Map<String, Value> {
        match self.body.get(name) {
            Some(Value::Object(inner)) => inner.clone(),
            _ => Map::new(),
        }
    }

    /// The types of events in a list of the body: `[{"type": NAME}, ...]`; none: there is no list.
    pub(super) fn types(&self, name: &str) -> Result<Option<BTreeSet<String>>, Problem> {
        let filter = self.object("filter");
        let Some(list) = self.body.get(name).or_else(|| filter.get(name)) else {
            return Ok(None);
        };
        let wrong = || {
            Problem::new(
                400,
                format!("{name}: a list of at most 100 {{\"type\": NAME}}"),
            )
        };
        let list = list
            .as_array()
            .filter(|list| list.len() <= 100)
            .ok_or_else(wrong)?;
        let names = list.iter().map(|entry| entry.get("type")?.as_str());
        let names: Option<BTreeSet<String>> = names.map(|name| name.map(str::to_owned)).collect();
        names.map(Some).ok_or_else(wrong)
    }

    /// Variables: the texts of an object, at most so many.
    pub(super) fn variables(&self) -> Result<Vec<(String, String)>, Problem> {
        let object = self.object("variables");
        if object.len() > super::state::MAX_VARIABLES {
            return Err(Problem::new(400, "variables: too many"));
        }
        let all = object.iter().map(|(name, value)| {
            let value = text(value).filter(|value| value.len() <= super::state::MAX_VARIABLE);
            value.map(|value| (name.clone(), value)).ok_or_else(|| {
                Problem::new(
                    400,
                    format!("variables: {name}: a text of at most 4096 bytes"),
                )
            })
        });
        all.collect()
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(parts) => {
            let parts: Option<Vec<String>> = parts.iter().map(text).collect();
            parts.map(|parts| parts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str, body: &str) -> Request {
        Request {
            query: crate::api::query(query).unwrap(),
            body: body.as_bytes().to_vec(),
            ..Request::default()
        }
    }

    #[test]
    fn parameters_in_the_query_or_the_body() {
        let request = request(
            "media=sound:a,sound:b&media=tone:ring&maxSilenceSeconds=x",
            r#"{"media": "no", "app": "me", "channel": ["1", "2"], "n": 7, "b": true}"#,
        );
        let args = Args::of(&request).unwrap();
        assert_eq!(args.list("media"), ["sound:a", "sound:b", "tone:ring"]);
        assert_eq!(args.get("app").unwrap().as_deref(), Some("me"));
        assert_eq!(args.list("channel"), ["1", "2"]);
        assert_eq!(args.number("n", 0).unwrap(), 7);
        assert_eq!(args.number("m", 5).unwrap(), 5);
        assert!(args.flag("b").unwrap() && !args.flag("c").unwrap());
        assert_eq!(args.number("maxSilenceSeconds", 0).unwrap_err().status, 400);
        assert_eq!(args.need("format").unwrap_err().status, 400);
    }

    #[test]
    fn what_is_too_long_is_refused_and_not_taken_for_nothing() {
        let body = |length: usize| format!(r#"{{"x": "{}", "y": ""}}"#, "1".repeat(length));
        let longest = request("", &body(MAX_VALUE));
        let args = Args::of(&longest).unwrap();
        assert_eq!(args.get("x").unwrap().unwrap().len(), MAX_VALUE);
        assert_eq!(args.get("y").unwrap(), None);
        let longer = request("", &body(MAX_VALUE + 1));
        let args = Args::of(&longer).unwrap();
        assert_eq!(args.get("x").unwrap_err().status, 400);
        assert_eq!(args.need("x").unwrap_err().status, 400);
        assert_eq!(args.number("x", 0).unwrap_err().status, 400);
        assert_eq!(args.flag("x").unwrap_err().status, 400);
    }

    #[test]
    fn variables_are_texts_within_bounds() {
        let request = request("", r#"{"variables": {"A": "1", "B": 2}}"#);
        let args = Args::of(&request).unwrap();
        let known = [
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "2".to_owned()),
        ];
        assert_eq!(args.variables().unwrap(), known);
        for wrong in [r#"{"variables": {"A": {}}}"#, "[]", "{"] {
            let request = self::request("", wrong);
            let result = Args::of(&request).and_then(|args| args.variables());
            assert_eq!(result.unwrap_err().status, 400, "{wrong}");
        }
    }
}
