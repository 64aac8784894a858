//! Our handshake against OpenSSL's over UDP, from either side and in each SRTP profile: both export the
//! same keys, and a certificate that is not the one awaited gets none.

use std::fmt::Write as _;
use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use antiphon::dtls::{Failure, Handshake, Identity, Keys, Output};
use antiphon::sdp::fingerprint::{Fingerprint, Hash};
use antiphon::sdp::{Association, Profile, Role};
use antiphon::srtp::Suite;

/// OpenSSL's name of a profile, the suite, and the bytes that it exports.
const PROFILES: [(&str, Suite, usize); 3] = [
    ("SRTP_AES128_CM_SHA1_80", Suite::AesCm128HmacSha1_80, 60),
    ("SRTP_AEAD_AES_128_GCM", Suite::AeadAes128Gcm, 56),
    ("SRTP_AEAD_AES_256_GCM", Suite::AeadAes256Gcm, 88),
];
/// For what takes no time.
const PATIENCE: Duration = Duration::from_secs(15);

/// A certificate of OpenSSL's side, in files.
struct Theirs {
    directory: tempfile::TempDir,
    fingerprint: Fingerprint,
}

impl Theirs {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["phone".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("c"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("k"), made.signing_key.serialize_pem()).unwrap();
        Self {
            fingerprint: Fingerprint::of(made.cert.der(), Hash::Sha256),
            directory,
        }
    }

    fn start(&self, role: Role, at: SocketAddr, (profile, _, len): (&str, Suite, usize)) -> Child {
        let mut command = Command::new("openssl");
        match role {
            Role::Client => command.args(["s_client", "-connect"]).arg(at.to_string()),
            Role::Server => command
                .args(["s_server", "-Verify", "1", "-accept"])
                .arg(at.to_string()),
        };
        let file = |name: &str| Path::join(self.directory.path(), name);
        command
            .args(["-dtls1_2", "-use_srtp", profile])
            .args(["-keymatexport", "EXTRACTOR-dtls_srtp"])
            .args(["-keymatexportlen", &len.to_string()])
            .arg("-cert")
            .arg(file("c"))
            .arg("-key")
            .arg(file("k"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed")
    }
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
    let key = made.signing_key.serialize_der();
    Identity::new(made.cert.der().to_vec(), key).unwrap()
}

/// Runs our side until it has succeeded or failed.
fn shake(
    socket: &UdpSocket,
    mut peer: Option<SocketAddr>,
    handshake: &mut Handshake,
) -> Result<Keys, Failure> {
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut buffer = [0; 4096];
    let mut result = None;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        while let Some(output) = handshake.poll_output() {
            match output {
                Output::Send(datagram) => {
                    // It may not listen yet.
                    let _ = socket.send_to(&datagram, peer.unwrap());
                }
                Output::Keys(keys) => result = Some(Ok(*keys)),
                Output::Failed(failure) => result = Some(Err(failure)),
            }
        }
        if let Some(result) = result {
            return result;
        }
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            peer = Some(from);
            handshake.handle(&buffer[..len], Instant::now());
        }
        let now = Instant::now();
        if handshake.poll_timeout().is_some_and(|at| at <= now) {
            handshake.handle_timeout(now);
        }
    }
    panic!("neither keys nor a failure");
}

/// The keys as they were exported: the client's, the server's, the salts likewise.
fn material(keys: &Keys, role: Role) -> String {
    let (client, server) = match role {
        Role::Client => (&keys.tx, &keys.rx),
        Role::Server => (&keys.rx, &keys.tx),
    };
    let split = |secret: &'_ [u8]| {
        let (key, salt) = secret.split_at(keys.rx.suite().key_len());
        (key.to_vec(), salt.to_vec())
    };
    let (client, server) = (split(client.secret()), split(server.secret()));
    let all = [client.0, server.0, client.1, server.1].concat();
    all.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02X}");
        text
    })
}

/// What it says it has exported.
fn told(child: &mut Child) -> String {
    let mut text = String::new();
    let mut byte = [0];
    let out = child.stdout.as_mut().unwrap();
    loop {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "{text}");
        text.push(char::from(byte[0]));
        if byte[0] == b'\n'
            && let Some((_, key)) = text.split_once("Keying material: ")
        {
            return key.trim().to_owned();
        }
    }
}

fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// Our side and theirs, with the certificate that is awaited of it.
fn run(
    role: Role,
    profile: (&str, Suite, usize),
    theirs: &Theirs,
    awaited: &Fingerprint,
) -> (Result<Keys, Failure>, Child) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let association = Association {
        rtcp_apart: false,
        remote: awaited.clone(),
        role,
        profile: Profile::TlsSavp,
        address: None,
        local_id: None,
        remote_id: None,
    };
    let (peer, child) = match role {
        Role::Client => {
            let at = free_address();
            (Some(at), theirs.start(Role::Server, at, profile))
        }
        Role::Server => {
            let at = socket.local_addr().unwrap();
            (None, theirs.start(Role::Client, at, profile))
        }
    };
    let mut handshake = Handshake::new(&identity(), association, Instant::now());
    (shake(&socket, peer, &mut handshake), child)
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn both_export_the_same_keys() {
    let theirs = Theirs::new();
    for role in [Role::Client, Role::Server] {
        for profile in PROFILES {
            let (result, mut child) = run(role, profile, &theirs, &theirs.fingerprint);
            let keys = result.unwrap_or_else(|failure| panic!("{role:?} {profile:?}: {failure}"));
            assert_eq!(keys.rx.suite(), profile.1);
            assert_eq!(
                told(&mut child),
                material(&keys, role),
                "{role:?} {profile:?}"
            );
            end(child);
        }
    }
}

#[test]
fn another_certificate_gets_no_keys() {
    let (theirs, other) = (Theirs::new(), Theirs::new());
    for role in [Role::Client, Role::Server] {
        let (result, child) = run(role, PROFILES[0], &theirs, &other.fingerprint);
        assert_eq!(result.unwrap_err(), Failure::WrongCertificate, "{role:?}");
        end(child);
    }
}
