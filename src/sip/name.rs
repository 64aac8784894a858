//! Names of header fields: compared without case, compact forms included (RFC 3261 §7.3.3).

use std::fmt;
use std::hash::{Hash, Hasher};

macro_rules! names {
    ($($variant:ident $long:literal $(= $short:literal)?),+ $(,)?) => {
        /// The name of a header field.
        #[derive(Clone, Debug)]
        #[allow(missing_docs)] // Each is named as its header is.
        pub enum Name {
            $($variant,)+
            /// Any other, as written; equality does not see case.
            Other(Box<str>),
        }

        const KNOWN: &[(&str, Name)] = &[$(($long, Name::$variant),)+];

        impl Name {
            /// The name on the wire, in its long form.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Name::$variant => $long,)+
                    Name::Other(name) => name,
                }
            }

            fn compact(letter: u8) -> Option<Name> {
                $($(if letter == $short { return Some(Name::$variant); })?)+
                None
            }
        }
    };
}

// The usual ones first: lookup goes down the list.
names! {
    Via "Via" = b'v',
    From "From" = b'f',
    To "To" = b't',
    CallId "Call-ID" = b'i',
    CSeq "CSeq",
    Contact "Contact" = b'm',
    MaxForwards "Max-Forwards",
    ContentLength "Content-Length" = b'l',
    ContentType "Content-Type" = b'c',
    Route "Route",
    RecordRoute "Record-Route",
    Allow "Allow",
    Supported "Supported" = b'k',
    UserAgent "User-Agent",
    Expires "Expires",
    Require "Require",
    SessionExpires "Session-Expires" = b'x',
    MinSe "Min-SE",
    Accept "Accept",
    Server "Server",
    Subject "Subject" = b's',
    ContentEncoding "Content-Encoding" = b'e',
    ContentDisposition "Content-Disposition",
    ContentLanguage "Content-Language",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    AllowEvents "Allow-Events" = b'u',
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallInfo "Call-Info",
    Date "Date",
    ErrorInfo "Error-Info",
    Event "Event" = b'o',
    InReplyTo "In-Reply-To",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    Organization "Organization",
    PAssertedIdentity "P-Asserted-Identity",
    Path "Path",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    ReferTo "Refer-To" = b'r',
    ReferredBy "Referred-By" = b'b',
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RetryAfter "Retry-After",
    RSeq "RSeq",
    SubscriptionState "Subscription-State",
    Timestamp "Timestamp",
    Unsupported "Unsupported",
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

impl Name {
    /// The header that `text` names, in its long or its compact form.
    pub fn parse(text: &str) -> Name {
        if let [letter] = text.as_bytes()
            && let Some(name) = Name::compact(letter.to_ascii_lowercase())
        {
            return name;
        }
        KNOWN
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(text))
            .map_or_else(|| Name::Other(text.into()), |(_, name)| name.clone())
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name::parse(text)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        match (self, other) {
            (Name::Other(a), Name::Other(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        if let Name::Other(name) = self {
            name.to_ascii_lowercase().hash(state);
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_case() {
        assert_eq!(Name::parse("v"), Name::Via);
        assert_eq!(Name::parse("CALL-id"), Name::CallId);
        assert_eq!(Name::parse("X-a"), Name::parse("x-A"));
        assert_ne!(Name::parse("X-a"), Name::parse("X-b"));
        for (text, name) in KNOWN {
            assert_eq!(&Name::parse(text), name);
            assert_eq!(&name.as_str(), text);
        }
    }
}
