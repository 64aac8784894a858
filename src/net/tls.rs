//! TLS below SIP: certificates read from files, chosen by the name that a client asks for (SNI),
//! and read anew while the server runs.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::task::{JoinError, spawn_blocking};
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{
    ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate chain and its key, both in PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub chain: PathBuf,
    /// Its private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Whether clients show a certificate of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Not asked for.
    #[default]
    Off,
    /// Checked where it is shown.
    Optional,
    /// Without a valid one there is no connection.
    Required,
}

/// What TLS stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// What we show; by the name that is asked for, otherwise the first.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients show one.
    pub client_certificates: ClientCertificates,
    /// Who may have signed theirs.
    pub client_ca: Option<PathBuf>,
    /// Who may have signed those of servers that we call; none: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Whether TLS 1.2 is refused.
    pub only_1_3: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that cannot be read, or holds something else.
    #[error("{file}: {why}", file = file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// TLS listeners without a certificate.
    #[error(
        "sip.tls, sip.wss and http.tls need a certificate: name its files by [[certificate]] chain = \
         \"...\" and key = \"...\""
    )]
    NoCertificate,
    /// Client certificates without anybody to trust.
    #[error(
        "tls.client_certificates needs tls.client_ca, the file of the authorities that sign them"
    )]
    NoClientCa,
    /// What the library has against it.
    #[error("TLS: {0}")]
    Library(#[from] rustls::Error),
    /// What reads files beside the runtime has ended.
    #[error("TLS: {0}")]
    Thread(#[from] JoinError),
}

/// Both sides of TLS, exchanged as a whole when the files are read anew.
pub struct Tls {
    current: RwLock<Sides>,
}

#[derive(Clone)]
struct Sides {
    server: Option<Server>,
    /// Made when it is first needed: whom the system trusts is a long list.
    client: Arc<OnceCell<Arc<ClientConfig>>>,
    settings: Arc<TlsSettings>,
}

/// What listeners stand on.
#[derive(Clone)]
struct Server {
    sip: Arc<ServerConfig>,
    /// Without certificates of clients: its keys say who they are.
    http: Arc<ServerConfig>,
    /// Of the certificate that who asks for no name is shown.
    fingerprint: String,
}

impl Tls {
    /// Reads all files; blocks. `serves`: whether there are listeners that need a certificate.
    pub fn load(settings: &TlsSettings, serves: bool) -> Result<Tls, TlsError> {
        let current = RwLock::new(sides(settings, serves)?);
        Ok(Tls { current })
    }

    /// Takes what another has read, for connections to come; without a server's side there ours stays,
    /// since listeners do. Whether it has stayed.
    pub fn replace(&self, other: &Tls) -> bool {
        let sides = other.sides();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let kept = current.server.take().filter(|_| sides.server.is_none());
        let stays = kept.is_some();
        *current = Sides {
            server: sides.server.or(kept),
            ..sides
        };
        stays
    }

    /// The server's side, where there is one.
    pub fn acceptor(&self) -> Option<TlsAcceptor> {
        self.sides().server.map(|server| server.sip.into())
    }

    /// The same for HTTP, whose clients show no certificate.
    pub fn http_acceptor(&self) -> Option<TlsAcceptor> {
        self.sides().server.map(|server| server.http.into())
    }

    /// The SHA-256 of the certificate that who asks for no name is shown, in hex.
    pub fn fingerprint(&self) -> Option<String> {
        self.sides().server.map(|server| server.fingerprint)
    }

    /// The client's side. Whom the system trusts is read at the first use, on a thread that may block.
    pub async fn connector(&self) -> Result<TlsConnector, TlsError> {
        let sides = self.sides();
        let settings = sides.settings;
        let making = async move {
            let made = spawn_blocking(move || client(&settings)).await??;
            Ok::<_, TlsError>(Arc::new(made))
        };
        let made = sides.client.get_or_try_init(|| making).await?;
        Ok(TlsConnector::from(Arc::clone(made)))
    }

    fn sides(&self) -> Sides {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn sides(settings: &TlsSettings, serves: bool) -> Result<Sides, TlsError> {
    let server = serves.then(|| server(settings)).transpose()?;
    // What is wrong with a file is told at once.
    let made = settings.ca.as_ref().map(|_| client(settings)).transpose()?;
    Ok(Sides {
        server,
        client: Arc::new(OnceCell::new_with(made.map(Arc::new))),
        settings: Arc::new(settings.clone()),
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn versions(settings: &TlsSettings) -> &'static [&'static SupportedProtocolVersion] {
    const ONLY_1_3: &[&SupportedProtocolVersion] = &[&TLS13];
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    if settings.only_1_3 { ONLY_1_3 } else { BOTH }
}

fn client(settings: &TlsSettings) -> Result<ClientConfig, TlsError> {
    let roots = match &settings.ca {
        Some(file) => authorities(file)?,
        None => system_authorities(),
    };
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(settings))?
        .with_root_certificates(roots);
    // Who asks for a certificate of ours gets the first.
    Ok(match settings.certificates.first() {
        Some(files) => {
            let (chain, key) = read(files)?;
            client.with_client_auth_cert(chain, key)?
        }
        None => client.with_no_client_auth(),
    })
}

/// The client's side towards the one server that has the certificate with this SHA-256, in hex,
/// whatever its name and whoever has signed it.
pub fn pinned(fingerprint: String) -> Result<TlsConnector, TlsError> {
    let provider = provider();
    let only = OnlyThis {
        fingerprint,
        provider: Arc::clone(&provider),
    };
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(&TlsSettings::default()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(only))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(client)))
}

/// Whether a handshake failed by the other side's certificate.
pub fn is_about_certificate(error: &std::io::Error) -> bool {
    let cause = error.get_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(certificate) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Takes one certificate alone. That the server has its key is proven as ever.
#[derive(Debug)]
struct OnlyThis {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnlyThis {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if fingerprint(end_entity) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn server(settings: &TlsSettings) -> Result<Server, TlsError> {
    let provider = provider();
    let mut keys = Vec::new();
    for files in &settings.certificates {
        let (chain, key) = read(files)?;
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
            let why = format!("the key does not fit {}: {error}", files.chain.display());
            file_error(&files.key, why)
        })?;
        keys.push(Arc::new(certified));
    }
    let first = keys.first().and_then(|key| key.cert.first());
    let fingerprint = fingerprint(first.ok_or(TlsError::NoCertificate)?);
    let resolver = Arc::new(ByName { keys });
    let builder = || {
        ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(settings))
    };
    let http = builder()?
        .with_no_client_auth()
        .with_cert_resolver(resolver.clone());
    let sip = match settings.client_certificates {
        ClientCertificates::Off => builder()?.with_no_client_auth(),
        wanted => {
            let file = settings.client_ca.as_ref().ok_or(TlsError::NoClientCa)?;
            let roots = Arc::new(authorities(file)?);
            let mut verifier =
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
            if wanted == ClientCertificates::Optional {
                verifier = verifier.allow_unauthenticated();
            }
            let verifier = verifier
                .build()
                .map_err(|error| file_error(file, error.to_string()))?;
            builder()?.with_client_cert_verifier(verifier)
        }
    };
    Ok(Server {
        sip: Arc::new(sip.with_cert_resolver(resolver)),
        http: Arc::new(http),
        fingerprint,
    })
}

/// Chooses a certificate by the name that the client asks for.
#[derive(Debug)]
struct ByName {
    /// Never empty.
    keys: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.keys.iter().find(|key| is_valid_for(key, &name)));
        named.or_else(|| self.keys.first()).cloned()
    }
}

fn is_valid_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    key.cert.first().is_some_and(|own| certifies(own, name))
}

/// Whether a certificate names this one; who has signed it is not asked here.
pub fn certifies(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let parsed = ParsedCertificate::try_from(certificate);
    parsed.is_ok_and(|own| verify_server_name(&own, name).is_ok())
}

/// Whom a server's certificate has to name: the host that was called (RFC 5922 §7.1), or its
/// address where no name is known.
pub fn server_name(name: Option<&str>, address: IpAddr) -> ServerName<'static> {
    name.and_then(|name| ServerName::try_from(name.to_owned()).ok())
        .unwrap_or_else(|| ServerName::from(address))
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(files: &CertificateFiles) -> Result<Chain, TlsError> {
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        let why = format!("no private key in PEM ({error}); it begins with -----BEGIN PRIVATE KEY");
        file_error(&files.key, why)
    })?;
    Ok((certificates(&files.chain)?, key))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |error: &dyn fmt::Display| {
        let why = format!("no certificate in PEM ({error}); it begins with -----BEGIN CERTIFICATE");
        file_error(file, why)
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .map_err(|error| wrong(&error))?
        .collect();
    let found = found.map_err(|error| wrong(&error))?;
    if found.is_empty() {
        return Err(wrong(&"it holds none"));
    }
    Ok(found)
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| file_error(file, error.to_string()))?;
    }
    Ok(roots)
}

fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, "certificate authorities of the system");
    roots
}

fn file_error(file: &Path, why: String) -> TlsError {
    TlsError::File {
        file: file.to_owned(),
        why,
    }
}
