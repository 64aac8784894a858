//! Why a negotiation failed, and how SIP says so.

use crate::sdp::SdpError;

/// Why there is no agreement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    /// The body is not a session description.
    #[error(transparent)]
    Syntax(#[from] SdpError),
    /// No audio stream, or only ones with port 0.
    #[error("no audio stream")]
    NoAudio,
    /// Audio, but in no format that we have.
    #[error("no common codec")]
    NoCommonCodec,
    /// SRTP, but with no `a=crypto` that we can do.
    #[error("no usable a=crypto for SRTP")]
    NoCrypto,
    /// SRTP with keys from DTLS, without what that needs.
    #[error("DTLS-SRTP without {0}")]
    NoDtls(&'static str),
    /// Plain RTP, where the policy wants SRTP.
    #[error("SRTP is required")]
    SrtpRequired,
    /// Audio only over a transport that we do not have, or that the policy forbids.
    #[error("unsupported media transport {0}")]
    UnsupportedTransport(String),
    /// Audio to an address of the other version of IP: none of our sockets reaches that.
    #[error("media address of the other IP version")]
    OtherFamily,
    /// An answer that does not fit the offer it answers.
    #[error("answer does not match the offer: {0}")]
    Mismatch(&'static str),
}

impl NegotiateError {
    /// The response to a request whose body failed so.
    pub fn status(&self) -> u16 {
        match self {
            NegotiateError::Syntax(_) => 400,
            _ => 488,
        }
    }

    /// The code and text of a `Warning` header (RFC 3261 §20.43); the text needs no escaping
    /// inside quotes.
    pub fn warning(&self) -> (u16, String) {
        let code = match self {
            NegotiateError::Syntax(_)
            | NegotiateError::Mismatch(_)
            | NegotiateError::NoCrypto
            | NegotiateError::NoDtls(_) => 399,
            NegotiateError::OtherFamily => 301,
            NegotiateError::NoAudio => 304,
            NegotiateError::NoCommonCodec => 305,
            NegotiateError::UnsupportedTransport(_) | NegotiateError::SrtpRequired => 302,
        };
        let text = self
            .to_string()
            .chars()
            .filter(|c| (c.is_ascii_graphic() && !matches!(c, '"' | '\\')) || *c == ' ')
            .take(MAX_WARNING_CHARS)
            .collect();
        (code, text)
    }
}

const MAX_WARNING_CHARS: usize = 120;
