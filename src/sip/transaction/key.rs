//! Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3).

use crate::sip::header::ViaRef;
use crate::sip::message::Request;
use crate::sip::method::Method;
use crate::sip::uri::HostRef;
use crate::sip::validate::MAGIC_COOKIE;
use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// What is digested is put together on the stack up to so many bytes.
const SHORT: usize = 320;

/// The identity of a transaction: a keyed 128-bit digest of what the RFC compares, so that a key
/// has one size whatever a peer writes into its headers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:032x})", self.0)
    }
}

/// Makes keys. The secret keeps a peer from finding two messages of the same key.
#[derive(Clone)]
pub struct Keys {
    secret: [u64; 2],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    /// With a secret.
    pub const fn new(secret: [u64; 2]) -> Self {
        Keys { secret }
    }

    /// The server transaction of `request`, were its method `method`: ACK and CANCEL look for
    /// their INVITE. `via` is its top Via as it arrived. `None`: a header that is needed is bad.
    pub(crate) fn server(
        &self,
        request: &Request,
        via: &ViaRef<'_>,
        method: &Method,
    ) -> Option<Key> {
        match via.branch() {
            Some(branch) if is_unique(branch) => Some(self.digest(&[
                b"3261",
                method.as_str().as_bytes(),
                branch.as_bytes(),
                &host(via.host),
                &via.port.unwrap_or(5060).to_be_bytes(),
            ])),
            // RFC 2543: the branch says nothing. The To tag is left out, since an ACK has one
            // where its INVITE had none.
            _ => {
                let mut whole = String::new();
                via.push_stamped(None, None, &mut whole);
                Some(self.digest(&[
                    b"2543",
                    method.as_str().as_bytes(),
                    request.uri.as_bytes(),
                    request.tag_of_from().unwrap_or_default().as_bytes(),
                    request.headers.call_id().ok()?.as_bytes(),
                    &request.headers.cseq().ok()?.number.to_be_bytes(),
                    whole.as_bytes(),
                ]))
            }
        }
    }

    /// The client transaction of a response with this branch in its Via and this method in CSeq.
    pub fn client(&self, branch: &str, method: &Method) -> Key {
        self.digest(&[b"client", method.as_str().as_bytes(), branch.as_bytes()])
    }

    /// What an ACK of a 2xx has in common with its INVITE (RFC 3261 §13.3.1.4), and a merged
    /// request with the first of its copies (RFC 3261 §8.2.2.2): Call-ID, From tag, CSeq.
    pub fn call(&self, request: &Request, method: &Method) -> Option<Key> {
        Some(self.digest(&[
            b"call",
            method.as_str().as_bytes(),
            request.headers.call_id().ok()?.as_bytes(),
            request.tag_of_from().unwrap_or_default().as_bytes(),
            &request.headers.cseq().ok()?.number.to_be_bytes(),
        ]))
    }

    /// A dialog (RFC 3261 §12): Call-ID, our tag, the peer's tag.
    pub fn dialog(&self, call_id: &str, local_tag: &str, remote_tag: &str) -> Key {
        self.digest(&[
            b"dialog",
            call_id.as_bytes(),
            local_tag.as_bytes(),
            remote_tag.as_bytes(),
        ])
    }

    /// A To tag for a response that is sent without a transaction: the same for each repetition of
    /// the request (RFC 3261 §8.2.7).
    pub fn tag(&self, request: &Request) -> String {
        let via = request.headers.top_via().ok();
        let Key(digest) = self.digest(&[
            b"tag",
            via.and_then(|via| via.branch())
                .unwrap_or_default()
                .as_bytes(),
            request.headers.call_id().unwrap_or_default().as_bytes(),
            request.tag_of_from().unwrap_or_default().as_bytes(),
        ]);
        format!("{:016x}", digest as u64)
    }

    fn digest(&self, parts: &[&[u8]]) -> Key {
        let bytes = parts.iter().map(|part| part.len() + 2).sum();
        let mut short = [0; SHORT];
        let mut long = Vec::new();
        // Usually all fits on the stack.
        let text = if bytes <= SHORT {
            &mut short[..bytes]
        } else {
            long.resize(bytes, 0);
            &mut long[..]
        };
        let mut rest = &mut *text;
        for part in parts {
            let (head, tail) = rest.split_at_mut(2 + part.len());
            // No header is longer than a message, 65,535 bytes.
            head[..2].copy_from_slice(&(part.len() as u16).to_be_bytes());
            head[2..].copy_from_slice(part);
            rest = tail;
        }
        let half = |secret: u64| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(secret);
            hasher.write(text);
            u128::from(hasher.finish())
        };
        Key(half(self.secret[0]) << 64 | half(self.secret[1]))
    }
}

/// A host as it is compared: names without case, addresses whatever way they are written.
fn host(host: HostRef<'_>) -> Cow<'_, [u8]> {
    match host {
        HostRef::Name(name) if name.bytes().any(|b| b.is_ascii_uppercase()) => {
            name.to_ascii_lowercase().into_bytes().into()
        }
        HostRef::Name(name) => name.as_bytes().into(),
        // No name begins with a colon.
        HostRef::V4(address) => [b":".as_slice(), &address.octets()].concat().into(),
        HostRef::V6(address) => [b":".as_slice(), &address.octets()].concat().into(),
    }
}

/// Whether RFC 3261 §8.1.1.7 lets this branch identify a transaction. The bare cookie does not
/// (RFC 4475 §3.2.1).
fn is_unique(branch: &str) -> bool {
    branch.len() > MAGIC_COOKIE.len()
        && branch
            .get(..MAGIC_COOKIE.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(MAGIC_COOKIE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::Name;

    fn request(method: &Method, via: &str, call_id: &str) -> Request {
        let mut request = Request::new(method.clone(), "sip:b@h");
        request.headers.push(Name::Via, via);
        request.headers.push(Name::From, "<sip:a@h>;tag=f");
        request.headers.push(Name::To, "<sip:b@h>");
        request.headers.push(Name::CallId, call_id);
        request.headers.push(Name::CSeq, format!("1 {method}"));
        request
    }

    fn key(method: &Method, via: &str, call_id: &str, wanted: &Method) -> Option<Key> {
        let request = request(method, via, call_id);
        let via = request.headers.top_via().ok()?;
        Keys::new([1, 2]).server(&request, &via, wanted)
    }

    #[test]
    fn each_part_of_a_dialog_decides_and_none_runs_into_the_next() {
        let keys = Keys::new([1, 2]);
        let known = keys.dialog("call", "ours", "peers");
        assert_eq!(known, keys.dialog("call", "ours", "peers"));
        for (call_id, ours, peers) in [
            ("Call", "ours", "peers"),
            ("call", "theirs", "peers"),
            ("call", "ours", ""),
            ("call", "peers", "ours"),
            ("callo", "urs", "peers"),
            ("call", "oursp", "eers"),
        ] {
            let other = keys.dialog(call_id, ours, peers);
            assert_ne!(known, other, "{call_id} {ours} {peers}");
        }
        let secret = Keys::new([1, 3]);
        assert_ne!(known, secret.dialog("call", "ours", "peers"));
    }

    #[test]
    fn branch_sent_by_and_method_decide() {
        let invite = |via: &str, id: &str| key(&Method::Invite, via, id, &Method::Invite);
        let first = invite("SIP/2.0/UDP H:5060;branch=z9hG4bKx", "1");
        assert!(first.is_some());
        // Host without case, default port, anything else in the message.
        assert_eq!(first, invite("SIP/2.0/UDP h;branch=z9hG4bKx;rport", "2"));
        let ack = key(
            &Method::Ack,
            "SIP/2.0/UDP h;branch=z9hG4bKx",
            "1",
            &Method::Invite,
        );
        assert_eq!(first, ack);
        for other in [
            "SIP/2.0/UDP h;branch=z9hG4bKy",
            "SIP/2.0/UDP h:5061;branch=z9hG4bKx",
            "SIP/2.0/UDP g;branch=z9hG4bKx",
        ] {
            assert_ne!(first, invite(other, "1"), "{other}");
        }
        assert_ne!(
            first,
            key(
                &Method::Cancel,
                "SIP/2.0/UDP h;branch=z9hG4bKx",
                "1",
                &Method::Cancel
            )
        );
    }

    #[test]
    fn without_the_cookie_the_whole_request_decides() {
        for via in [
            "SIP/2.0/UDP h",
            "SIP/2.0/UDP h;branch=1",
            "SIP/2.0/UDP h;branch=z9hG4bK",
        ] {
            let first = key(&Method::Invite, via, "1", &Method::Invite);
            assert!(first.is_some());
            assert_eq!(first, key(&Method::Ack, via, "1", &Method::Invite));
            assert_ne!(first, key(&Method::Invite, via, "2", &Method::Invite));
        }
    }
}
