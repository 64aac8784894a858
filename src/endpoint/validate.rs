//! What a user agent server looks at before it looks at the call (RFC 3261 §8.2).

use super::Settings;
use crate::sip::header::Name;
use crate::sip::message::{ParseError, Request};
use crate::sip::method::Method;

/// An answer that needs no call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Instead of the default phrase.
    pub(super) phrase: Option<String>,
    pub(super) headers: Vec<(Name, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16) -> Self {
        Refusal {
            status,
            phrase: None,
            headers: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: Name, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn phrase(mut self, phrase: &str) -> Self {
        self.phrase = Some(phrase.to_owned());
        self
    }
}

impl From<&ParseError> for Refusal {
    fn from(error: &ParseError) -> Self {
        Refusal::new(error.status).phrase(&error.phrase)
    }
}

/// RFC 3261 §8.2.1: the method.
pub(super) fn check_method(request: &Request, settings: &Settings) -> Result<(), Refusal> {
    let method = &request.method;
    if settings.allow.contains(method) {
        Ok(())
    } else if method.is_known() {
        Err(Refusal::new(405).with(Name::Allow, allow(settings)))
    } else {
        Err(Refusal::new(501).with(Name::Allow, allow(settings)))
    }
}

/// RFC 3261 §8.2.2.3: the extensions.
pub(super) fn check_extensions(request: &Request, settings: &Settings) -> Result<(), Refusal> {
    let known = |tag: &str| {
        settings
            .extensions
            .iter()
            .any(|e| e.eq_ignore_ascii_case(tag))
    };
    let unknown: Vec<_> = request
        .headers
        .require()
        .into_iter()
        .filter(|tag| !known(tag))
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Refusal::new(420).with(Name::Unsupported, unknown.join(", ")))
    }
}

/// RFC 3261 §8.2.3: the body, and for an INVITE what may come back.
pub(super) fn check_content(request: &Request, settings: &Settings) -> Result<(), Refusal> {
    let headers = &request.headers;
    if request.method == Method::Invite
        && headers.contains(&Name::Accept)
        && !headers.list(&Name::Accept).any(accepts_sdp)
    {
        return Err(Refusal::new(406));
    }
    // Nothing should keep a call from ending.
    if request.body.is_empty() || request.method == Method::Bye {
        return Ok(());
    }
    let optional = headers
        .get(&Name::ContentDisposition)
        .is_some_and(|value| value.to_ascii_lowercase().contains("handling=optional"));
    if optional {
        return Ok(());
    }
    if headers
        .list(&Name::ContentEncoding)
        .any(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        return Err(Refusal::new(415).with(Name::AcceptEncoding, "identity"));
    }
    match headers.content_type() {
        None => Err(Refusal::new(400).phrase("Missing Content-Type header")),
        // RFC 3428 §8: a text is what every receiver takes.
        Some(media) if request.method == Method::Message => {
            if media.eq_ignore_ascii_case("text/plain") {
                Ok(())
            } else {
                Err(Refusal::new(415).with(Name::Accept, "text/plain"))
            }
        }
        Some(media)
            if settings
                .accept
                .iter()
                .any(|a| a.eq_ignore_ascii_case(&media)) =>
        {
            Ok(())
        }
        Some(_) => Err(Refusal::new(415).with(Name::Accept, settings.accept.join(", "))),
    }
}

fn accepts_sdp(range: &str) -> bool {
    let media = range.split(';').next().unwrap_or_default().trim();
    ["application/sdp", "application/*", "*/*"]
        .iter()
        .any(|a| media.eq_ignore_ascii_case(a))
}

/// The value of Allow.
pub(super) fn allow(settings: &Settings) -> String {
    let names: Vec<_> = settings.allow.iter().map(Method::as_str).collect();
    names.join(", ")
}
