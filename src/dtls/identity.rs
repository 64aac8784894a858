//! The certificate that we show, with what all handshakes have in common.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate};

use super::{LIMIT, fingerprint};
use crate::sdp::Fingerprint;

/// The first flight is repeated after so long without an answer, then after twice that, and so on:
/// sooner than RFC 6347 §4.2.4.1 has it (1 s), since nothing is heard meanwhile.
const FIRST_REPETITION: Duration = Duration::from_millis(300);
/// Within [`LIMIT`].
const REPETITIONS: usize = 5;
/// Longer datagrams are not sent, bytes: they pass everywhere whole.
const MTU: usize = 1200;
/// Records that wait for those before them.
const MAX_QUEUE: usize = 30;

/// The certificate of this server, with its key.
#[derive(Clone)]
pub struct Identity {
    certificate: DtlsCertificate,
    fingerprint: Fingerprint,
    config: Arc<Config>,
}

/// A library that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DTLS: {0}")]
pub struct IdentityError(String);

impl IdentityError {
    /// It could not be made.
    pub fn new(error: &impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Identity {
    /// A certificate (DER) with its key (PKCS #8, DER): ECDSA on P-256 or P-384.
    pub fn new(certificate: Vec<u8>, private_key: Vec<u8>) -> Result<Self, IdentityError> {
        let config = Config::builder()
            .mtu(MTU)
            .max_queue_rx(MAX_QUEUE)
            .max_queue_tx(MAX_QUEUE)
            .flight_start_rto(FIRST_REPETITION)
            .flight_retries(REPETITIONS)
            .handshake_timeout(LIMIT)
            .build()
            .map_err(|error| IdentityError::new(&error))?;
        Ok(Self {
            fingerprint: fingerprint(&certificate),
            certificate: DtlsCertificate {
                certificate,
                private_key,
            },
            config: Arc::new(config),
        })
    }

    /// What session descriptions say of it.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(super) fn engine(&self, now: Instant) -> Dtls {
        Dtls::new_12(self.config.clone(), self.certificate.clone(), now)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}
