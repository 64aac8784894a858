//! Dialogs (RFC 3261 §12): who talks with whom, by which way, and what was last said.
//!
//! Sits above transactions: a call owns one, makes its requests from it, and shows it the
//! requests that come in.

use super::header::{HeaderError, Headers, Name, NameAddr};
use super::message::{Request, Response};
use super::method::Method;
use super::uri::Uri;

/// What names a dialog (RFC 3261 §12): the tags are ours and the peer's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty where it has none (RFC 2543).
    pub remote_tag: String,
}

impl DialogId {
    /// The dialog that a response to our request belongs to; `None` where To has no tag.
    pub fn of_response(response: &Response) -> Option<DialogId> {
        Some(DialogId {
            call_id: response.headers.call_id().ok()?.to_owned(),
            local_tag: response.from_tag()?,
            remote_tag: response.to_tag()?,
        })
    }
}

/// ```text
///   1xx with tag        2xx
/// ----------> Early ----------> Confirmed
///               |  2xx at once      ^
/// --------------+-------------------'
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogState {
    /// Before the final response.
    Early,
    /// After a 2xx.
    Confirmed,
}

/// Who sent the request that made the dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We did.
    Uac,
    /// The peer did.
    Uas,
}

/// Why there is no dialog: 400 for a request, the end of the call for a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// A header that the dialog needs is missing or broken.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The peer gave no SIP URI to send requests to.
    #[error("no SIP URI in Contact")]
    Target,
    /// A response without a tag in To.
    #[error("no tag in To")]
    Tag,
}

/// A request with a CSeq below the last one: 500 (RFC 3261 §12.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CSeq {number} came after {last}")]
pub struct OutOfOrder {
    /// The number that came.
    pub number: u32,
    /// The last one before it.
    pub last: u32,
}

/// One dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Its name.
    pub id: DialogId,
    /// Who made it.
    pub role: Role,
    /// How far it is.
    pub state: DialogState,
    /// Our address with our tag: From of our requests.
    pub local: NameAddr,
    /// The peer's address with its tag: To of our requests.
    pub remote: NameAddr,
    /// Where the peer takes requests: its Contact.
    pub remote_target: Uri,
    /// The proxies that stay on the way, the first hop first.
    pub route_set: Vec<NameAddr>,
    /// CSeq of our last request.
    pub local_cseq: u32,
    /// CSeq of the peer's last request.
    pub remote_cseq: Option<u32>,
}

impl Dialog {
    /// The dialog that our answer to `request` makes (§12.1.1), early until it is confirmed.
    /// `local_tag` is the one that our responses have in To.
    pub fn uas(request: &Request, local_tag: &str) -> Result<Dialog, DialogError> {
        let headers = &request.headers;
        let remote = headers.from()?;
        let mut local = headers.to()?;
        local.params.set("tag", Some(local_tag));
        Ok(Dialog {
            id: DialogId {
                call_id: headers.call_id()?.to_owned(),
                local_tag: local_tag.to_owned(),
                remote_tag: remote.tag().unwrap_or_default().to_owned(),
            },
            role: Role::Uas,
            state: DialogState::Early,
            // Callers of RFC 2543 need no Contact: their From is all there is.
            remote_target: match contact(headers)? {
                Some(target) => target,
                None => remote.sip_uri().cloned().ok_or(DialogError::Target)?,
            },
            route_set: headers.record_routes()?,
            local,
            remote,
            local_cseq: 0,
            remote_cseq: Some(headers.cseq()?.number),
        })
    }

    /// The dialog that `response` to our `request` makes (§12.1.2).
    pub fn uac(request: &Request, response: &Response) -> Result<Dialog, DialogError> {
        let id = DialogId::of_response(response).ok_or(DialogError::Tag)?;
        let mut dialog = Dialog {
            id,
            role: Role::Uac,
            state: DialogState::Early,
            local: request.headers.from()?,
            remote: response.headers.to()?,
            remote_target: match contact(&response.headers)? {
                Some(target) => target,
                None => request.parsed_uri().map_err(|_| DialogError::Target)?,
            },
            route_set: Vec::new(),
            local_cseq: request.headers.cseq()?.number,
            remote_cseq: None,
        };
        dialog.route_set = reversed_routes(response)?;
        if response.status >= 200 {
            dialog.state = DialogState::Confirmed;
        }
        Ok(dialog)
    }

    /// A 2xx has been sent, or has come.
    pub fn confirm(&mut self) {
        self.state = DialogState::Confirmed;
    }

    /// A 2xx to our INVITE confirms an early dialog: its route set counts (§13.2.2.4).
    pub fn confirm_by(&mut self, response: &Response) -> Result<(), DialogError> {
        self.route_set = reversed_routes(response)?;
        self.refresh_target(&response.headers);
        self.confirm();
        Ok(())
    }

    /// Takes note of a request from the peer (§12.2.2). Gaps in CSeq are fine; ACK and CANCEL
    /// repeat the number of their INVITE and do not count.
    pub fn on_request(&mut self, request: &Request) -> Result<(), OutOfOrder> {
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let Ok(cseq) = request.headers.cseq() else {
            return Ok(()); // The endpoint has refused such a request.
        };
        match self.remote_cseq {
            Some(last) if cseq.number < last => Err(OutOfOrder {
                number: cseq.number,
                last,
            }),
            _ => {
                self.remote_cseq = Some(cseq.number);
                Ok(())
            }
        }
    }

    /// A target refresh (re-INVITE, UPDATE, or the 2xx to ours) moves the peer to its Contact,
    /// where that is a SIP URI.
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Ok(Some(target)) = contact(headers) {
            self.remote_target = target;
        }
    }

    /// The next request of ours (§12.2.1.1): Route, From, To, Call-ID, CSeq, Max-Forwards. Via and
    /// Contact are for others to add.
    pub fn request(&mut self, method: Method) -> Request {
        if !matches!(method, Method::Ack | Method::Cancel) {
            // Below 2^31 (§8.1.1.5): no dialog of ours lives to see it, a wrong peer's may.
            self.local_cseq = (self.local_cseq + 1) & 0x7fff_ffff;
        }
        self.build(method, self.local_cseq)
    }

    /// The ACK for a 2xx to our INVITE with this CSeq (§13.2.2.4).
    pub fn ack(&self, cseq: u32) -> Request {
        self.build(Method::Ack, cseq)
    }

    fn build(&self, method: Method, cseq: u32) -> Request {
        let strict = self.strict_first();
        let uri = request_uri(strict.unwrap_or(&self.remote_target));
        let mut request = Request::new(method, &uri.to_string());
        let headers = &mut request.headers;
        for route in self.route_set.iter().skip(usize::from(strict.is_some())) {
            headers.push(Name::Route, route.to_string());
        }
        if strict.is_some() {
            headers.push(Name::Route, format!("<{}>", self.remote_target));
        }
        headers.push(Name::From, self.local.to_string());
        headers.push(Name::To, self.remote.to_string());
        headers.push(Name::CallId, self.id.call_id.as_str());
        headers.push(Name::CSeq, format!("{cseq} {}", request.method));
        headers.push(Name::MaxForwards, "70");
        request
    }

    /// Where requests go: the first route, else the peer's target.
    pub fn next_hop(&self) -> Uri {
        self.route_set
            .first()
            .and_then(NameAddr::sip_uri)
            .unwrap_or(&self.remote_target)
            .clone()
    }

    /// The first route, where it is a strict router (RFC 2543).
    fn strict_first(&self) -> Option<&Uri> {
        let first = self.route_set.first()?.sip_uri()?;
        (!first.is_loose_route()).then_some(first)
    }
}

/// A URI without what a Request-URI must not have (RFC 3261 §19.1.1, table 1).
fn request_uri(uri: &Uri) -> Uri {
    let mut uri = uri.clone();
    uri.headers = None;
    uri.params.remove("method");
    uri
}

/// The first Contact; an error where there is one and it is not a SIP URI.
fn contact(headers: &Headers) -> Result<Option<Uri>, DialogError> {
    match headers.contacts()?.first() {
        None => Ok(None),
        Some(contact) => match contact.sip_uri() {
            Some(uri) => Ok(Some(uri.clone())),
            None => Err(DialogError::Target),
        },
    }
}

fn reversed_routes(response: &Response) -> Result<Vec<NameAddr>, DialogError> {
    let mut routes = response.headers.record_routes()?;
    routes.reverse();
    Ok(routes)
}

#[cfg(test)]
#[path = "dialog_tests.rs"]
mod tests;
