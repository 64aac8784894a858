//! What a request must have before anybody looks at what it wants (RFC 3261 §8.1.1, §8.2).
//!
//! Sits between `parse` and the endpoint. Parsing only refuses what it cannot cut into pieces;
//! here the pieces that everything later stands on are read once.

use super::header::{HeaderError, Headers, Name, ViaRef};
use super::message::{ParseError, Request, Response};
use super::method::Method;
use super::parse::phrase;
use super::uri::{UriError, UriRef};

/// Checks a request: 400 with a phrase that says what, or 416 for a Request-URI of another scheme.
/// Max-Forwards and the tag of From may be missing (RFC 2543); `request` of the error stays empty,
/// as the caller has it.
pub fn validate(request: &Request) -> Result<(), ParseError> {
    let headers = &request.headers;
    let via = check_headers(headers, &request.method).map_err(|e| bad_header(&e))?;
    if via.branch() == Some(MAGIC_COOKIE) {
        return Err(ParseError::bad("Via branch is empty behind its cookie"));
    }
    headers.max_forwards().map_err(|e| bad_header(&e))?;
    for name in [Name::Route, Name::RecordRoute] {
        let checked = headers.check_addresses(&name);
        checked.map_err(|e| bad_header(&e))?;
    }
    if headers.get(&Name::Contact) == Some("*") {
        if request.method != Method::Register {
            return Err(ParseError::bad("Contact is a wildcard"));
        }
    } else {
        let checked = headers.check_addresses(&Name::Contact);
        checked.map_err(|e| bad_header(&e))?;
    }
    // RFC 3261 §20.17: a SIP date is in GMT.
    if headers
        .get(&Name::Date)
        .is_some_and(|date| !date.ends_with(" GMT"))
    {
        return Err(ParseError::bad("Date is not in GMT"));
    }
    check_uri(request)
}

/// Checks a response: one with an error is dropped. A response for us has one Via (§8.1.3.3).
pub fn validate_response(response: &Response) -> Result<(), ParseError> {
    let headers = &response.headers;
    let method = headers.cseq().map_err(|e| bad_header(&e))?.method;
    check_headers(headers, &method).map_err(|e| bad_header(&e))?;
    if headers.list(&Name::Via).nth(1).is_some() {
        return Err(ParseError::bad("More than one Via"));
    }
    Ok(())
}

/// RFC 3261 §8.1.1.7: what a branch starts with.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

fn bad_header(error: &HeaderError) -> ParseError {
    ParseError::bad(phrase(&error.to_string()))
}

/// The top Via, where all is right.
fn check_headers<'a>(headers: &'a Headers, method: &Method) -> Result<ViaRef<'a>, HeaderError> {
    let via = headers.check_vias()?;
    headers.check_address(&Name::From)?;
    headers.check_address(&Name::To)?;
    headers.call_id()?;
    if headers.cseq()?.method != *method {
        return Err(HeaderError::Invalid(Name::CSeq, "method does not match"));
    }
    Ok(via)
}

fn check_uri(request: &Request) -> Result<(), ParseError> {
    match UriRef::parse(&request.uri) {
        Ok(uri) if uri.has_headers() => Err(ParseError::bad("Headers in the Request-URI")),
        Ok(_) => Ok(()),
        Err(UriError::Scheme) => Err(ParseError::new(416, "Unsupported URI Scheme")),
        Err(error) => Err(ParseError::bad(format!("Bad Request-URI: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;
    use crate::sip::parse::parse_datagram;

    /// A request in which `from` has become `to`.
    fn outcome(from: &str, to: &str) -> Result<(), (u16, String)> {
        const GOOD: &str = "OPTIONS sip:a@h SIP/2.0\r\n\
            Via: SIP/2.0/UDP h:5070;branch=z9hG4bK1\r\n\
            From: <sip:a@h>;tag=1\r\n\
            To: <sip:b@h>\r\n\
            Call-ID: 1@h\r\n\
            CSeq: 1 OPTIONS\r\n\
            Max-Forwards: 70\r\n\
            Contact: <sip:c@h>\r\n\r\n";
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let read = parse_datagram(text.as_bytes()).and_then(|message| match message {
            Message::Request(request) => validate(&request),
            Message::Response(_) => unreachable!("a request"),
        });
        read.map_err(|e| (e.status, e.phrase))
    }

    #[test]
    fn what_may_differ() {
        for (from, to) in [
            ("a@h", "a@h"),
            ("Max-Forwards: 70\r\n", ""),
            (";tag=1", ""),
            ("Contact: <sip:c@h>\r\n", ""),
            ("<sip:c@h>", "<sip:c@h>, tel:+1;q=1"),
            ("<sip:b@h>", "Müller <tel:+1>"),
            ("CSeq: 1", "CSeq: 2147483647"),
            // The top one alone counts.
            ("From:", "Via: SIP/2.0/UDP g;branch=z9hG4bK\r\nFrom:"),
        ] {
            assert_eq!(outcome(from, to), Ok(()), "{to}");
        }
    }

    #[test]
    fn what_may_not() {
        for (from, to, status, phrase) in [
            (
                "Via: SIP/2.0/UDP h:5070;branch=z9hG4bK1\r\n",
                "",
                400,
                "Missing Via header",
            ),
            ("UDP h:5070", "UDP", 400, "Bad Via header: no sent-by"),
            (
                "branch=z9hG4bK1",
                "branch=z9hG4bK",
                400,
                "Via branch is empty behind its cookie",
            ),
            (
                "z9hG4bK1\r\n",
                "z9hG4bK\r\nVia: SIP/2.0/UDP g;branch=z9hG4bK2\r\n",
                400,
                "Via branch is empty behind its cookie",
            ),
            ("From: <sip:a@h>;tag=1\r\n", "", 400, "Missing From header"),
            (
                "To: <sip:b@h>",
                "To: <sip:b@h>\r\nt: <sip:b@h>",
                400,
                "More than one To header",
            ),
            (
                "<sip:b@h>",
                "\"b <sip:b@h>",
                400,
                "Bad To header: unterminated quoted string",
            ),
            ("<sip:b@h>", "<sip:b@h", 400, "Bad To header: missing '>'"),
            (
                "<sip:b@h>",
                "a, b <sip:b@h>",
                400,
                "Bad To header: display name needs quotes",
            ),
            (
                "Call-ID: 1@h",
                "Call-ID: 1 @h",
                400,
                "Bad Call-ID header: bad character",
            ),
            (
                "1 OPTIONS",
                "2147483648 OPTIONS",
                400,
                "Bad CSeq header: bad number",
            ),
            (
                "1 OPTIONS",
                "1 INVITE",
                400,
                "Bad CSeq header: method does not match",
            ),
            ("1 OPTIONS", "1", 400, "Bad CSeq header: no method"),
            (
                "Max-Forwards: 70",
                "Max-Forwards: 256",
                400,
                "Bad Max-Forwards header: bad value",
            ),
            ("<sip:c@h>", "*", 400, "Contact is a wildcard"),
            (
                "<sip:c@h>",
                "sip:c@h?a=b",
                400,
                "Bad Contact header: URI needs angle brackets",
            ),
            (
                "Contact:",
                "Record-Route: x\r\nContact:",
                400,
                "Bad Record-Route header: bad URI",
            ),
            ("sip:a@h SIP", "tel:1 SIP", 416, "Unsupported URI Scheme"),
            (
                "sip:a@h SIP",
                "sip:a@h?x=y SIP",
                400,
                "Headers in the Request-URI",
            ),
            (
                "sip:a@h SIP",
                "sip:a%x@h SIP",
                400,
                "Bad Request-URI: bad escape in URI",
            ),
        ] {
            assert_eq!(outcome(from, to), Err((status, phrase.to_owned())), "{to}");
        }
    }
}
