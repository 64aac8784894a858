//! What goes wrong, told as RFC 9457 has it, or as clients of ARI expect it.

use serde::Serialize;

use super::message::Response;

/// The content type of RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Of HTTP.
    pub status: u16,
    /// What is wrong, in a sentence.
    pub detail: String,
    /// The field or parameter that is wrong.
    pub field: Option<String>,
    /// Headers that the status wants: Allow, Retry-After.
    pub headers: Vec<(&'static str, String)>,
}

/// The body of a problem (RFC 9457 §3.1).
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ProblemBody<'a> {
    /// What the status means.
    title: &'a str,
    /// The status of HTTP.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What is wrong this time.
    detail: &'a str,
    /// The field or parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

#[derive(Serialize)]
struct MessageBody<'a> {
    message: &'a str,
}

/// How a tree of paths tells what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 9457.
    Problem,
    /// `{"message": ...}`.
    Message,
}

impl Problem {
    /// A status and what it is about.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            field: None,
            headers: Vec::new(),
        }
    }

    /// A field or parameter has a value that is not allowed: 400.
    pub fn invalid(field: &str, why: impl Into<String>) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::new(400, format!("{field}: {}", why.into()))
        }
    }

    /// There is no such thing: 404.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(404, format!("there is no {what} {id:?}"))
    }

    /// The same, and it stands in this field.
    pub fn of_field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// It cannot be done now: 409.
    pub fn conflict(why: impl Into<String>) -> Self {
        Self::new(409, why)
    }

    /// Not now, and when to try again: 503, or 429.
    pub fn later(status: u16, why: impl Into<String>, seconds: u64) -> Self {
        Self::new(status, why).header("Retry-After", seconds.to_string())
    }

    /// With one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As an answer.
    pub fn response(&self, format: Format) -> Response {
        let mut response = match format {
            Format::Problem => {
                let body = ProblemBody {
                    title: title(self.status),
                    status: self.status,
                    detail: &self.detail,
                    field: self.field.as_deref(),
                };
                Response {
                    content_type: Some(PROBLEM_JSON),
                    ..Response::json_with(self.status, &body)
                }
            }
            Format::Message => {
                let message = self.detail.as_str();
                Response::json_with(self.status, &MessageBody { message })
            }
        };
        response.headers.extend(self.headers.iter().cloned());
        response
    }
}

/// The words of HTTP for a status.
pub const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}
