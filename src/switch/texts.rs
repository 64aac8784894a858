//! Texts outside of calls (RFC 3428): programs send them, and are told of those that come while they
//! listen.

use std::time::Instant;

use super::programs::ProgramError;
use super::{Event, Output, Switch};
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::transaction::ServerId;
use crate::sip::transport::Flow;
use crate::sip::uri::Host;

/// The longest text, bytes.
pub const MAX_TEXT: usize = 8_192;

/// A text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMessage {
    /// Who sends it, a URI.
    pub from: String,
    /// Whom it is for, a URI.
    pub to: String,
    /// What it says.
    pub body: String,
    /// Further headers, by name.
    pub headers: Vec<(String, String)>,
}

impl Switch {
    /// Whether texts that come are taken; else they get 405.
    pub fn take_texts(&mut self, taken: bool) {
        self.endpoint.take_texts(taken);
    }

    /// Sends a text on this path, from a user of ours. What becomes of it is not told.
    pub fn send_text(
        &mut self,
        text: &TextMessage,
        flow: Flow,
        now: Instant,
    ) -> Result<(), ProgramError> {
        let host = Host::from(self.settings.call.advertised.address(&flow));
        let mut request = Request::new(Method::Message, &text.to);
        let (tag, call_id) = (self.endpoint.new_tag(), self.endpoint.new_call_id());
        let headers = &mut request.headers;
        headers.set(Name::From, format!("<sip:{}@{host}>;tag={tag}", text.from));
        headers.set(Name::To, format!("<{}>", text.to));
        headers.set(Name::CallId, call_id);
        headers.set(Name::CSeq, "1 MESSAGE");
        for (name, value) in &text.headers {
            headers.push(Name::parse(name), value.clone());
        }
        headers.set(Name::ContentType, "text/plain;charset=UTF-8");
        request.body = text.body.clone().into_bytes();
        let sent = self.endpoint.request(request, flow, now);
        self.settle(now);
        sent.map(drop).map_err(|_| ProgramError::Full)
    }

    /// A text has come.
    pub(super) fn on_text(&mut self, transaction: ServerId, request: &Request, now: Instant) {
        let uri = |name: &Name| {
            let address = match name {
                Name::From => request.headers.from(),
                _ => request.headers.to(),
            };
            address.map_or_else(|_| String::new(), |address| address.uri.to_string())
        };
        let body = std::str::from_utf8(&request.body).ok();
        let (status, body) = match body {
            _ if request.body.len() > MAX_TEXT => (413, None),
            Some(body) => (200, Some(body.to_owned())),
            None => (400, None),
        };
        let response = Response::to(request, status);
        self.endpoint.respond(transaction, response, now);
        if let Some(body) = body {
            let from = request.headers.from().ok();
            let user = from.and_then(|from| from.sip_uri().and_then(|uri| uri.user.clone()));
            let text = TextMessage {
                from: uri(&Name::From),
                to: uri(&Name::To),
                body,
                headers: Vec::new(),
            };
            let event = Event::Text(user.unwrap_or_default(), Box::new(text));
            self.outputs.push_back(Output::Event(event));
        }
    }
}
