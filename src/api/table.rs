//! The table of operations: what it says is served, and is described, and nothing else is.

use std::fmt::Write as _;

use schemars::{Schema, SchemaGenerator};

use super::message::{Method, Request, Scope};
use super::problem::{Format, Problem};
use super::{Context, Reply, ari, v1};

/// A part of the paths with one way to tell errors.
#[derive(Debug)]
pub struct Tree {
    /// What its paths begin with.
    pub prefix: &'static str,
    /// How it tells errors.
    pub format: Format,
    /// Parameters that the description does not name are refused.
    pub strict: bool,
    /// The query may have `api_key=NAME:SECRET` in place of a header.
    pub key_in_query: bool,
    /// What there is.
    pub operations: &'static [Operation],
}

/// All trees; the last one has what is in no other.
pub static TREES: &[Tree] = &[
    Tree {
        prefix: "/ari/",
        format: Format::Message,
        strict: false,
        key_in_query: true,
        operations: ari::OPERATIONS,
    },
    Tree {
        prefix: "/",
        format: Format::Problem,
        strict: true,
        key_in_query: false,
        operations: v1::OPERATIONS,
    },
];

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever has a key of this scope.
    Key(Scope),
    /// The same, or who watches the server: without a key from where the configuration says.
    Monitoring,
}

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// Its name in the description.
    pub id: &'static str,
    /// What it is about.
    pub tag: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What the query may have.
    pub query: &'static [Parameter],
    /// What the body has to be; none: there is no body.
    pub body: Option<SchemaOf>,
    /// What is answered, besides what any request may get.
    pub answers: &'static [Answer],
    /// Does it.
    pub run: fn(&mut Context<'_>) -> Result<Reply, Problem>,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// A parameter of a query.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it does.
    pub about: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text of at most so many characters.
    Text(usize),
    /// The ID of a call: two whole numbers with a point between them.
    CallId,
    /// A whole number within bounds; the default.
    Number(usize, usize, usize),
    /// true or false.
    Flag,
    /// One or more of these, with commas between them.
    Some(&'static [&'static str]),
}

/// An answer that an operation may give.
#[derive(Debug)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// When.
    pub about: &'static str,
    /// Its body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Copy)]
pub enum Body {
    /// None.
    None,
    /// JSON of this type.
    Json(SchemaOf),
    /// A problem.
    Problem,
    /// Something else.
    Other(&'static str),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Body::None => "none",
            Body::Json(_) => "JSON",
            Body::Problem => "problem",
            Body::Other(kind) => kind,
        })
    }
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Routed {
    /// The operation.
    pub operation: &'static Operation,
    /// What stands in the places of its path, decoded.
    pub path: Vec<(&'static str, String)>,
}

/// Why it goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// No operation has such a path.
    NotFound,
    /// None of those that do has this method; these are had.
    Method(Vec<Method>),
}

/// The tree of operations of our own.
pub(super) fn own_tree() -> &'static Tree {
    &TREES[TREES.len() - 1]
}

/// The tree that a path belongs to.
pub fn tree(path: &str) -> &'static Tree {
    let fits = |tree: &&Tree| path.starts_with(tree.prefix);
    TREES.iter().find(fits).unwrap_or(own_tree())
}

/// Finds the operation for a method and the path of a URL, as it stands there.
pub fn route(method: Option<Method>, path: &str) -> Result<Routed, Unrouted> {
    let mut others = Vec::new();
    let mut found: Option<Routed> = None;
    for operation in tree(path).operations {
        let Some(places) = places(operation.path, path) else {
            continue;
        };
        if Some(operation.method) != method {
            if !others.contains(&operation.method) {
                others.push(operation.method);
            }
            continue;
        }
        // What stands there literally counts for more than a place.
        if found.as_ref().is_none_or(|f| places.len() < f.path.len()) {
            found = Some(Routed {
                operation,
                path: places,
            });
        }
    }
    match found {
        Some(routed) => Ok(routed),
        None if others.is_empty() => Err(Unrouted::NotFound),
        None => Err(Unrouted::Method(others)),
    }
}

/// The value of the header Allow.
pub fn allow(methods: &[Method]) -> String {
    let mut text = String::new();
    for method in methods {
        let head = if *method == Method::Get { ", HEAD" } else { "" };
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{method}{head}");
    }
    let comma = if text.is_empty() { "" } else { ", " };
    let _ = write!(text, "{comma}OPTIONS");
    text
}

fn places(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    let mut given = path.split('/');
    for part in template.split('/') {
        let value = given.next()?;
        match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some(name) => {
                let value = decode(value, false)?;
                if value.is_empty() {
                    return None;
                }
                found.push((name, value));
            }
            None if part == value => {}
            None => return None,
        }
    }
    given.next().is_none().then_some(found)
}

/// Undoes percent-encoding; none: it is not right, or not UTF-8. In a query `+` is a space.
pub fn decode(text: &str, in_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            b'+' if in_query => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The parameters of a query, as it stands in a URL.
pub fn query(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let wrong = || Problem::new(400, "the query is not percent-encoded UTF-8");
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let both = decode(name, true).zip(decode(value, true));
            both.ok_or_else(wrong)
        })
        .collect()
}

/// Holds a query against what the operation takes.
pub fn check(operation: &Operation, request: &Request) -> Result<(), Problem> {
    for (name, value) in &request.query {
        let Some(parameter) = operation.query.iter().find(|p| p.name == name) else {
            let known: Vec<&str> = operation.query.iter().map(|p| p.name).collect();
            let why = if known.is_empty() {
                "this takes no parameters".to_owned()
            } else {
                format!("no such parameter; there are: {}", known.join(", "))
            };
            return Err(Problem::invalid(name, why));
        };
        let twice = request.query.iter().filter(|(n, _)| n == name).count() > 1;
        let fault = match parameter.kind {
            _ if twice => Some("it may be there only once".to_owned()),
            Kind::Text(max) => {
                let fits = value.chars().count() <= max && !value.contains(char::is_control);
                (!fits).then(|| format!("at most {max} characters, none of them a control one"))
            }
            Kind::CallId => {
                let digits = |part: &str| {
                    (1..=20).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
                };
                let fits = value
                    .split_once('.')
                    .is_some_and(|(a, b)| digits(a) && digits(b));
                (!fits).then(|| "the ID of a call, such as 1764183000500123.17".to_owned())
            }
            Kind::Number(min, max, _) => {
                let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                let number = value.parse().ok().filter(|_| plain);
                let fits = number.is_some_and(|n: usize| (min..=max).contains(&n));
                (!fits).then(|| format!("a whole number from {min} to {max}"))
            }
            Kind::Flag => {
                (!matches!(value.as_str(), "true" | "false")).then(|| "true or false".to_owned())
            }
            Kind::Some(known) => {
                let unknown = value.split(',').any(|one| !known.contains(&one));
                unknown.then(|| format!("some of these, with commas: {}", known.join(", ")))
            }
        };
        if let Some(fault) = fault {
            return Err(Problem::invalid(name, fault));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_operations_and_what_stands_there_is_decoded() {
        let routed = route(Some(Method::Get), "/api/v1/calls/a%2Fb%C3%A9").unwrap();
        assert_eq!(routed.operation.id, "showCall");
        assert_eq!(routed.path, [("id", "a/b\u{e9}".to_owned())]);
        for nowhere in [
            "/api/v1/calls/",
            "/api/v1/calls/a/b",
            "/api/v1",
            "",
            "/api/v1/calls/%zz",
        ] {
            let found = route(Some(Method::Get), nowhere).unwrap_err();
            assert_eq!(found, Unrouted::NotFound, "{nowhere}");
        }
    }

    #[test]
    fn another_method_is_told_which_there_are() {
        let Err(Unrouted::Method(methods)) = route(None, "/api/v1/calls") else {
            panic!("no method fits");
        };
        assert_eq!(allow(&methods), "GET, HEAD, POST, OPTIONS");
    }

    #[test]
    fn a_query_is_held_against_the_table() {
        let operation = route(Some(Method::Get), "/api/v1/calls").unwrap().operation;
        let problem = |text: &str| {
            let query = query(text)?;
            check(
                operation,
                &Request {
                    query,
                    ..Request::default()
                },
            )
        };
        assert_eq!(problem("limit=5"), Ok(()));
        for wrong in [
            "limit=0",
            "limit=x",
            "limit=+5",
            "limit=1&limit=2",
            "limi=5",
            "limit=",
            "a=%f",
        ] {
            let problem = problem(wrong).unwrap_err();
            assert_eq!(problem.status, 400, "{wrong}");
        }
        assert_eq!(
            problem("limit=0").unwrap_err().field.as_deref(),
            Some("limit")
        );
    }
}
