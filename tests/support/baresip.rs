//! baresip as a telephone without a loudspeaker: it sends a WAV file, and what it hears goes to
//! another. It is told what to do, and tells what happens, over its `ctrl_tcp` connection.
//!
//! Written for Debian 12's baresip 1.0.0: its `aufile` cannot record, so `sndfile` writes what
//! comes out of the decoder; and that file ends when the call is first put on hold, although it
//! hears what comes after that.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long it may take for anything that it does at once.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// It ends by itself after so long, whatever becomes of the test.
const LIFE: Duration = Duration::from_mins(2);
/// How long its tone is, and a call at most. It loads the file when the call starts, and throws away
/// what has come meanwhile: so not longer than needed.
pub const TONE_SECONDS: f64 = 15.0;
/// What libsndfile writes before the samples of a 16-bit file.
const HEADER: usize = 44;
/// Attempts to start it: its control port is free when it is chosen, and may not be any more.
const STARTS: usize = 5;

/// What it sends.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A WAV file, 16-bit at its codec's rate. It hangs up at its end.
    File(&'a Path),
    /// A sine of so many Hz and this peak (1.0: full scale), for [`TONE_SECONDS`].
    Tone(f64, f64),
}

/// A telephone to be started.
#[derive(Clone, Debug)]
pub struct Phone<'a> {
    name: &'a str,
    server: SocketAddr,
    transport: &'static str,
    ca: Option<&'a Path>,
    source: Source<'a>,
    register: bool,
    password: &'a str,
    codec: &'a str,
    mediaenc: Option<&'a str>,
    rtcp_apart: bool,
    own: Option<SocketAddr>,
}

impl<'a> Phone<'a> {
    /// A telephone of `name` that calls `server` over UDP.
    pub fn new(name: &'a str, server: SocketAddr, source: Source<'a>) -> Self {
        Self {
            name,
            server,
            transport: "udp",
            ca: None,
            source,
            register: false,
            password: "",
            codec: "PCMU",
            mediaenc: None,
            rtcp_apart: false,
            own: None,
        }
    }

    /// SIP over TCP.
    pub fn tcp(mut self) -> Self {
        self.transport = "tcp";
        self
    }

    /// SIP over TLS; the server's certificate has to be signed by this authority.
    pub fn tls(mut self, ca: &'a Path) -> Self {
        self.transport = "tls";
        self.ca = Some(ca);
        self
    }

    /// Offers this codec alone.
    pub fn codec(mut self, codec: &'a str) -> Self {
        self.codec = codec;
        self
    }

    /// Encrypts its media: `srtp` offers it beside plain RTP, `srtp-mand` asks for RTP/SAVP,
    /// `srtp-mandf` for RTP/SAVPF, `dtls_srtp` for keys by DTLS, with a certificate by ECDSA.
    pub fn mediaenc(mut self, mediaenc: &'a str) -> Self {
        self.mediaenc = Some(mediaenc);
        self
    }

    /// RTCP on a port of its own, although its keys come by DTLS: its default.
    pub fn rtcp_apart(mut self) -> Self {
        self.rtcp_apart = true;
        self
    }

    /// Listens there, and takes every call.
    pub fn answers_at(mut self, own: SocketAddr) -> Self {
        self.own = Some(own);
        self
    }

    /// Registers before anything else.
    pub fn register(mut self) -> Self {
        self.register = true;
        self
    }

    /// Answers who asks who it is with its name and this.
    pub fn password(mut self, password: &'a str) -> Self {
        self.password = password;
        self
    }

    /// Starts it and waits until it takes commands.
    pub fn start(self) -> Baresip {
        for _ in 0..STARTS {
            if let Some(phone) = self.try_start() {
                return phone;
            }
        }
        panic!("baresip does not start (is the package installed?)");
    }

    fn try_start(&self) -> Option<Baresip> {
        let directory = tempfile::tempdir().unwrap();
        // Only its control port has to be known; the rest is the system's choice.
        let control = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        self.write_files(directory.path(), control);
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let words = super::pacing::on_time().iter().copied();
        let life = LIFE.as_secs().to_string();
        let words: Vec<&str> = words.chain(["baresip", "-t", &life, "-f"]).collect();
        let mut command = Command::new(words[0]);
        if self.is_dtls() {
            certify(directory.path());
            command
                .env("LD_PRELOAD", directory.path().join("dtls_ecdsa.so"))
                .env("DTLS_ECDSA", directory.path());
        }
        let mut child = command
            .args(&words[1..])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
            // It is ready without its control port too, where another has taken that meanwhile, and answers.
            let refused = text.contains("failed to listen");
            if text.contains("baresip is ready")
                && !refused
                && let Ok(connection) = TcpStream::connect(control)
            {
                connection.set_nodelay(true).unwrap();
                let host = self.host();
                let suffix = match self.transport {
                    "udp" => String::new(),
                    transport => format!(";transport={transport}"),
                };
                return Some(Baresip {
                    child,
                    directory,
                    connection,
                    buffer: Vec::new(),
                    events: Vec::new(),
                    target: format!("@{host}{suffix}"),
                });
            }
            let ended = child.try_wait().unwrap().is_some();
            if ended || refused || Instant::now() > deadline {
                eprintln!("baresip did not start:\n{text}");
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            // Its log is a file, which nobody can wait for.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_dtls(&self) -> bool {
        self.mediaenc.is_some_and(|name| name.starts_with("dtls"))
    }

    /// Its codec's module, and the sampling rate and channels of the files.
    fn format(&self) -> (&'static str, usize, u16) {
        match self.codec {
            "opus" => ("opus", 48_000, 2),
            "G722" => ("g722", 16_000, 1),
            _ => ("g711", 8000, 1),
        }
    }

    fn host(&self) -> SocketAddr {
        self.server
    }

    fn write_files(&self, directory: &Path, control: SocketAddr) {
        let path = directory.display();
        let own = match (self.own, self.server.ip()) {
            (Some(own), _) => own.to_string(),
            (None, IpAddr::V4(ip)) => format!("{ip}:0"),
            (None, IpAddr::V6(ip)) => format!("[{ip}]:0"),
        };
        let source = match self.source {
            Source::File(file) => format!("aufile,{}", file.display()),
            Source::Tone(hz, amplitude) => {
                let file = directory.join("tone.wav");
                let (_, rate, channels) = self.format();
                let format = (rate, channels);
                super::tone::write_sine(&file, hz, amplitude, TONE_SECONDS, format);
                format!("aufile,{}", file.display())
            }
        };
        let interface = self.server.ip();
        let mux = if self.is_dtls() && !self.rtcp_apart {
            "yes"
        } else {
            "no"
        };
        let mut config = format!(
            "sip_listen {own}\n\
             net_interface {interface}\n\
             ctrl_tcp_listen {control}\n\
             audio_source {source}\n\
             audio_player aubridge,loop\n\
             audio_alert aubridge,alert\n\
             audio_buffer 20-160\n\
             jitter_buffer_type off\n\
             rtp_ports 61000-64998\n\
             rtcp_mux {mux}\n\
             snd_path {path}\n\
             module_path /usr/lib/baresip/modules\n"
        );
        if let Some(ca) = self.ca {
            let _ = writeln!(config, "sip_cafile {}\nsip_verify_server yes", ca.display());
        }
        for module in [self.format().0, "aufile", "aubridge", "sndfile", "ctrl_tcp"] {
            let _ = writeln!(config, "module {module}.so");
        }
        if self.mediaenc.is_some() {
            config.push_str("module srtp.so\n");
        }
        if self.is_dtls() {
            config.push_str("module dtls_srtp.so\n");
        }
        config.push_str("module_tmp account.so\nmodule_app menu.so\n");
        std::fs::write(directory.join("config"), config).unwrap();
        let transport = self.transport;
        let (_, rate, channels) = self.format();
        let mut more = String::new();
        if let Some(mediaenc) = self.mediaenc {
            let _ = write!(more, ";mediaenc={mediaenc}");
        }
        if self.own.is_some() {
            more.push_str(";answermode=auto");
        }
        let login = if self.password.is_empty() {
            String::new()
        } else {
            format!(";auth_user={};auth_pass={}", self.name, self.password)
        };
        let account = format!(
            "<sip:{}@{};transport={transport}>{login};regint={};audio_codecs={}/{rate}/{channels}{more}\n",
            self.name,
            self.host(),
            if self.register { 600 } else { 0 },
            self.codec
        );
        std::fs::write(directory.join("accounts"), account).unwrap();
        std::fs::write(directory.join("contacts"), "").unwrap();
    }
}

/// A certificate for its DTLS, and what makes it take that.
fn certify(directory: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = Vec::<String>::new();
    let certificate = rcgen::CertificateParams::new(names).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    std::fs::write(directory.join("dtls.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.join("dtls.key"), key.serialize_pem()).unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/dtls_ecdsa.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(directory.join("dtls_ecdsa.so"))
        .arg(source)
        .status();
    assert!(built.unwrap().success(), "cc builds {source}");
}

/// A running telephone.
#[derive(Debug)]
pub struct Baresip {
    child: Child,
    directory: tempfile::TempDir,
    connection: TcpStream,
    buffer: Vec<u8>,
    events: Vec<Value>,
    target: String,
}

impl Baresip {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Dials a user of the server and waits until it is answered.
    pub fn dial(&mut self, user: &str) {
        self.command("dial", &format!("sip:{user}{}", self.target));
        self.wait_event("CALL_ESTABLISHED");
    }

    /// Dials, and gives the reason for which there is no call.
    pub fn dial_in_vain(&mut self, user: &str) -> String {
        self.command("dial", &format!("sip:{user}{}", self.target));
        self.wait_closed()
    }

    /// Waits until it has registered: true; or until it was refused.
    pub fn registered(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // It may have told so before anybody listened, so it is asked.
            let text = self.command("reginfo", "");
            if text.contains("OK") || text.contains("ERR") {
                return text.contains("OK");
            }
            assert!(
                Instant::now() < deadline,
                "baresip neither registers nor fails: {text}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Gives a command of its menu, waits until it has taken it, and gives its answer.
    pub fn command(&mut self, command: &str, parameters: &str) -> String {
        let text = json!({"command": command, "params": parameters, "token": "t"}).to_string();
        let frame = format!("{}:{text},", text.len());
        self.connection.write_all(frame.as_bytes()).unwrap();
        let answer = self.wait(|m| m["response"] == true, command);
        assert_eq!(answer["ok"], true, "{command}: {answer}");
        answer["data"].as_str().unwrap_or_default().to_owned()
    }

    /// Presses keys, which it sends as telephone events (RFC 4733), at a person's pace.
    pub fn press(&mut self, keys: &str) {
        for key in keys.chars() {
            self.command("sndcode", &key.to_string());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What it has heard so far: the samples of its file, which has no right header yet.
    pub fn heard_so_far(&self) -> Vec<i16> {
        let Some(file) = self.heard_file() else {
            return Vec::new();
        };
        let bytes = std::fs::read(file).unwrap_or_default();
        let samples = bytes.get(HEADER..).unwrap_or_default().chunks_exact(2);
        samples.map(|s| i16::from_le_bytes([s[0], s[1]])).collect()
    }

    fn heard_file(&self) -> Option<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.directory.path()).ok()?.flatten();
        let mut paths = entries.map(|entry| entry.path());
        paths.find(|path| path.to_string_lossy().ends_with("-dec.wav"))
    }

    /// Hangs up and waits until the call is over.
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
        self.wait_closed();
    }

    /// Waits until the call is over, and gives baresip's reason.
    pub fn wait_closed(&mut self) -> String {
        self.wait_event("CALL_CLOSED")["param"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits for an event of this type that nobody has waited for before.
    pub fn wait_event(&mut self, kind: &str) -> Value {
        self.wait(|m| m["event"] == true && m["type"] == kind, kind)
    }

    /// What it has heard. It ends for that: only then its file is whole.
    pub fn heard(self) -> Vec<i16> {
        super::tone::read(&self.end().1)
    }

    /// The same where its codec is not G.711: at the codec's rate, which goes with it.
    pub fn heard_at_rate(self) -> (Vec<i16>, usize) {
        super::tone::read_any(&self.end().1)
    }

    /// Ends it, and gives its file, which goes when it is dropped.
    fn end(mut self) -> (Self, std::path::PathBuf) {
        self.command("quit", "");
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "baresip does not quit");
            // Waiting for a child with a bound has no call in std.
            std::thread::sleep(Duration::from_millis(5));
        }
        let file = self.heard_file();
        let file = file.unwrap_or_else(|| panic!("nothing heard:\n{}", self.log()));
        (self, file)
    }

    /// What it said itself.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn wait(&mut self, is_it: impl Fn(&Value) -> bool, what: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(place) = self.events.iter().position(&is_it) {
                return self.events.remove(place);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "baresip never said {what}; it said {:?}",
                self.events
            );
            self.connection.set_read_timeout(Some(left)).unwrap();
            let mut piece = [0; 4096];
            match self.connection.read(&mut piece) {
                Ok(0) => panic!("baresip is gone, before {what}:\n{}", self.log()),
                Ok(count) => self.buffer.extend(&piece[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
            self.take_messages();
        }
    }

    /// Takes whole netstrings (`LENGTH:JSON,`) out of what has come.
    fn take_messages(&mut self) {
        while let Some(colon) = self.buffer.iter().position(|b| *b == b':') {
            let length: usize = std::str::from_utf8(&self.buffer[..colon])
                .unwrap()
                .parse()
                .unwrap();
            let end = colon + 1 + length;
            if self.buffer.len() <= end {
                return;
            }
            self.events
                .push(serde_json::from_slice(&self.buffer[colon + 1..end]).unwrap());
            self.buffer.drain(..=end);
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- baresip ---\n{}------", self.log());
        }
    }
}
