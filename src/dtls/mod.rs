//! DTLS in the media of a call (RFC 5764): the handshake that SRTP's keys come from.
//!
//! Sits between `sdp`, which says whose certificate is awaited and who begins, and the leg, which
//! carries the datagrams. Sans-IO: [`Handshake::handle`] takes a datagram, [`Handshake::poll_output`]
//! says what to send and what the keys are, [`Handshake::poll_timeout`] when to wake. Viewpoint: rx
//! is what the party sends, tx what the server sends. No key comes out before the party's certificate
//! has the fingerprint that its session description gave.
//!
//! The library takes what is random in a handshake from the system.

mod identity;
#[cfg(test)]
mod tests;

pub use identity::{Identity, IdentityError};

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dimpl::{KeyingMaterial, SrtpProfile};
use zeroize::Zeroizing;

use crate::sdp::{Association, Fingerprint, Role};
use crate::srtp::{MasterKey, Suite};

/// The longest datagram that is taken or sent, bytes.
pub const MAX_DATAGRAM: usize = 2048;
/// A handshake that takes longer has failed.
pub const LIMIT: Duration = Duration::from_secs(10);
/// Datagrams that wait to be sent; a flight has fewer.
const MAX_WAITING: usize = 16;

/// The keys of an association.
#[derive(Debug)]
pub struct Keys {
    /// What the party sends with.
    pub rx: MasterKey,
    /// What we send with.
    pub tx: MasterKey,
}

/// What a handshake wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this to the party.
    Send(Vec<u8>),
    /// It has succeeded.
    Keys(Box<Keys>),
    /// It has failed; nothing follows.
    Failed(Failure),
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The certificate is another than the session description says.
    #[error("certificate without the fingerprint of the session description")]
    WrongCertificate,
    /// The other side did not answer, or not to the end.
    #[error("no handshake within {} s", LIMIT.as_secs())]
    TimedOut,
    /// The same, after a fatal alert (RFC 5246 §7.2) that anybody may have sent.
    #[error("no handshake within {limit} s, alert {0} received", limit = LIMIT.as_secs())]
    Alerted(u8),
    /// The other side has no SRTP, or none that we have.
    #[error("no common SRTP profile")]
    NoProfile,
    /// The other side broke off, or does not keep to the protocol.
    #[error("{0}")]
    Protocol(String),
}

/// One association.
///
/// ```text
/// Running ---- connected, certificate as awaited ----> Done (repeats its last flight where asked)
///    |-- other certificate, error, 10 s --> Failed (an alert that is not authentic is none)
/// ```
#[derive(Debug)]
pub struct Handshake {
    engine: dimpl::Dtls,
    association: Association,
    state: State,
    wake: Option<Instant>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Running {
        until: Instant,
        proven: bool,
        connected: bool,
        material: Option<Keys>,
        /// The last fatal alert; none is authentic so early.
        alert: Option<u8>,
    },
    Done,
    Failed,
}

impl Handshake {
    /// Begins, or waits for the party to begin.
    pub fn new(identity: &Identity, association: Association, now: Instant) -> Self {
        let mut engine = identity.engine(now);
        engine.set_active(association.role == Role::Client);
        let mut handshake = Self {
            engine,
            association,
            state: State::Running {
                until: now + LIMIT,
                proven: false,
                connected: false,
                material: None,
                alert: None,
            },
            wake: None,
            outputs: VecDeque::new(),
        };
        handshake.advance(None, now);
        handshake
    }

    /// What it is for.
    pub fn association(&self) -> &Association {
        &self.association
    }

    /// Whether it is still under way.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Takes a datagram of the party's.
    pub fn handle(&mut self, datagram: &[u8], now: Instant) {
        self.advance(Some(datagram), now);
    }

    /// When [`Handshake::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Running { until, .. } => Some(self.wake.map_or(until, |at| at.min(until))),
            // What is repeated then is asked for by the party.
            State::Done | State::Failed => None,
        }
    }

    /// Some timer is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Running { until, .. } if now >= until => self.time_out(),
            _ => self.advance(None, now),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn advance(&mut self, datagram: Option<&[u8]>, now: Instant) {
        if matches!(self.state, State::Failed) {
            return;
        }
        let mut result = self.engine.handle_timeout(now);
        if let (Ok(()), Some(datagram)) = (&result, datagram) {
            result = self.engine.handle_packet(datagram);
            if result
                .as_ref()
                .is_err_and(|error| self.is_as_if_lost(error))
            {
                result = Ok(());
            }
        }
        match result {
            Ok(()) => self.drain(),
            Err(error) if self.is_running() => {
                self.drain();
                match error {
                    dimpl::Error::Timeout(_) => self.time_out(),
                    error => self.fail(Failure::Protocol(error.to_string())),
                }
            }
            // There are keys: what comes to the engine now, and be it nonsense, takes none away.
            Err(_) => self.state = State::Failed,
        }
    }

    /// Whether a datagram with this error counts as lost on the way: anybody may have sent it, and the
    /// engine is as it was. An alert before the keys is not authenticated; later the engine passes over
    /// those that are not.
    fn is_as_if_lost(&mut self, error: &dimpl::Error) -> bool {
        match (error, &mut self.state) {
            (dimpl::Error::ReceiveQueueFull, _) => true,
            (
                dimpl::Error::SecurityError(dimpl::SecurityError::FatalAlert { description }),
                State::Running { alert, .. },
            ) => {
                *alert = Some(*description);
                true
            }
            _ => false,
        }
    }

    fn drain(&mut self) {
        let mut buffer = [0u8; MAX_DATAGRAM];
        loop {
            match self.engine.poll_output(&mut buffer) {
                // Beyond the bound it is lost, as on the way.
                dimpl::Output::Packet(packet) if self.outputs.len() < MAX_WAITING => {
                    self.outputs.push_back(Output::Send(packet.to_vec()));
                }
                dimpl::Output::Timeout(at) => {
                    self.wake = Some(at);
                    break;
                }
                dimpl::Output::PeerCert(certificate) => {
                    if let State::Running { proven, .. } = &mut self.state {
                        if !self.association.remote.matches(certificate) {
                            return self.fail(Failure::WrongCertificate);
                        }
                        *proven = true;
                    }
                }
                dimpl::Output::Connected => {
                    if let State::Running { connected, .. } = &mut self.state {
                        *connected = true;
                    }
                }
                dimpl::Output::KeyingMaterial(exported, profile) => {
                    let keys = keys(&exported, profile, self.association.role);
                    if let State::Running { material, .. } = &mut self.state {
                        *material = keys;
                    }
                }
                dimpl::Output::BufferTooSmall { .. } => {
                    return self.fail(Failure::Protocol("datagram too long".to_owned()));
                }
                dimpl::Output::CloseNotify if self.is_running() => {
                    return self.fail(Failure::Protocol("closed by the other side".to_owned()));
                }
                _ => {}
            }
        }
        self.conclude();
    }

    fn conclude(&mut self) {
        let State::Running {
            proven: true,
            connected: true,
            material,
            ..
        } = &mut self.state
        else {
            return;
        };
        match material.take() {
            Some(keys) => {
                self.state = State::Done;
                self.outputs.push_back(Output::Keys(Box::new(keys)));
            }
            None => self.fail(Failure::NoProfile),
        }
    }

    fn time_out(&mut self) {
        let alert = match self.state {
            State::Running { alert, .. } => alert,
            State::Done | State::Failed => None,
        };
        self.fail(alert.map_or(Failure::TimedOut, Failure::Alerted));
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Failed;
        self.outputs.push_back(Output::Failed(failure));
    }
}

/// Takes the exported material apart: the client's key, the server's, the client's salt, the server's
/// (RFC 5764 §4.2).
fn keys(exported: &KeyingMaterial, profile: SrtpProfile, role: Role) -> Option<Keys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        _ => return None,
    };
    let (key_len, salt_len) = (suite.key_len(), suite.salt_len());
    let (keys, salts) = exported.split_at_checked(2 * key_len)?;
    let master = |side: usize| {
        let mut bytes = Zeroizing::new(Vec::with_capacity(key_len + salt_len));
        bytes.extend_from_slice(keys.get(side * key_len..(side + 1) * key_len)?);
        bytes.extend_from_slice(salts.get(side * salt_len..(side + 1) * salt_len)?);
        MasterKey::new(suite, bytes)
    };
    let (client, server) = (master(0)?, master(1)?);
    Some(match role {
        Role::Client => Keys {
            rx: server,
            tx: client,
        },
        Role::Server => Keys {
            rx: client,
            tx: server,
        },
    })
}

/// The fingerprint that our descriptions give.
fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Fingerprint::of(certificate, crate::sdp::fingerprint::Hash::Sha256)
}
