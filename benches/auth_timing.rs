//! Whether a user can be told from nobody by how long a 401 takes: `cargo bench --bench auth_timing`.
//!
//! Asks the real server over UDP, one request at a time, as two users that there are and as one that
//! there is not, in random order: without credentials, and with a wrong password for the nonce that came
//! back. The second user is the control: it differs from the first by chance alone. All answers have to
//! be of one length and, but for nonces, tags and what they repeat of the request, of one text.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use clap::Parser;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use support::server::Server;
use support::stats::Quantiles;

/// Two that there are, and nobody; as long as each other, since answers repeat them.
const NAMES: [&str; 3] = ["alice", "bobby", "quinn"];
const METHODS: [&str; 2] = ["REGISTER", "INVITE"];
/// Everybody has to be a user, wherever from; nobody is banned, and nobody spared by trust.
const CONFIG: &str = "[auth]\nsources = [\"0.0.0.0/0\"]\n[access]\ntrusted = []\n\
                      [access.ban]\nenabled = false\n\
                      [[user]]\nname = \"alice\"\npassword = \"plain-Sight-7\"\n\
                      [[user]]\nname = \"bobby\"\npassword = \"a long one\"\n";
/// Rounds before it counts.
const WARM_UP: usize = 1000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answer times of 401 for users that there are and for nobody.
#[derive(Parser, Debug)]
struct Args {
    /// Requests of each user, method and kind of credentials.
    #[arg(long, default_value_t = 20_000)]
    rounds: usize,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    println!("{}\n{} rounds\n", support::machine(), args.rounds);
    let server = Server::start_with(|_| CONFIG.to_owned());
    let mut asker = Asker::new(server.sip);
    let mut rng = StdRng::seed_from_u64(1);
    let mut table = Table::default();
    let mut order: Vec<(usize, usize)> = (0..METHODS.len())
        .flat_map(|method| (0..NAMES.len()).map(move |name| (method, name)))
        .collect();
    for round in 0..args.rounds + WARM_UP {
        order.shuffle(&mut rng);
        for &(method, name) in &order {
            let guess = format!("{:064x}", rng.random::<u64>());
            let counts = round >= WARM_UP;
            let (nonce, plain) = asker.ask(METHODS[method], NAMES[name], None);
            let (_, wrong) = asker.ask(METHODS[method], NAMES[name], Some((&nonce, &guess)));
            if counts {
                table.add(method, false, name, plain);
                table.add(method, true, name, wrong);
            }
        }
    }
    table.print();
    asker.print();
    server.stop();
}

/// A socket that asks, and what it has been answered.
struct Asker {
    socket: UdpSocket,
    local: SocketAddr,
    server: SocketAddr,
    next: u32,
    lost: u32,
    /// Lengths and texts of answers, by method.
    texts: BTreeMap<&'static str, (usize, String)>,
    answers: u32,
}

impl Asker {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(server).expect("it connects");
        socket.set_read_timeout(Some(PATIENCE)).expect("it is set");
        Self {
            local: socket.local_addr().expect("it is bound"),
            socket,
            server,
            next: 10_000_000,
            lost: 0,
            texts: BTreeMap::new(),
            answers: 0,
        }
    }

    /// Asks for a 401: its nonce, and the time it took. What is lost is asked again.
    fn ask(
        &mut self,
        method: &'static str,
        name: &str,
        guess: Option<(&str, &str)>,
    ) -> (String, Duration) {
        loop {
            self.next += 1;
            let request = self.request(method, name, guess);
            let begun = Instant::now();
            self.socket.send(request.as_bytes()).expect("it is sent");
            let mut buffer = [0; 4096];
            let Ok(len) = self.socket.recv(&mut buffer) else {
                self.lost += 1;
                continue;
            };
            let took = begun.elapsed();
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            if !text.contains(&format!("Call-ID: {}\r\n", self.next)) {
                self.lost += 1;
                continue;
            }
            assert!(text.starts_with("SIP/2.0 401 "), "{text}");
            if method == "INVITE" {
                let ack = self.ack(name, &text);
                self.socket.send(ack.as_bytes()).expect("it is sent");
            }
            let nonce = between(&text, "nonce=\"", "\"").to_owned();
            self.compare(method, name, &nonce, &text);
            return (nonce, took);
        }
    }

    fn request(&self, method: &str, name: &str, guess: Option<(&str, &str)>) -> String {
        let (server, n) = (self.server, self.next);
        let credentials = guess.map_or_else(String::new, |(nonce, response)| {
            format!(
                "Authorization: Digest username=\"{name}\", realm=\"antiphon\", nonce=\"{nonce}\", \
                 uri=\"sip:{name}@{server}\", algorithm=SHA-256, response=\"{response}\", \
                 cnonce=\"c{n}\", qop=auth, nc=00000001\r\n"
            )
        });
        self.text(
            method,
            name,
            &format!("<sip:{name}@{server}>"),
            &credentials,
        )
    }

    fn ack(&self, name: &str, answer: &str) -> String {
        let to = between(answer, "\r\nTo: ", "\r\n");
        self.text("ACK", name, to, "")
    }

    fn text(&self, method: &str, name: &str, to: &str, more: &str) -> String {
        let (local, server, n) = (self.local, self.server, self.next);
        let of = if method == "ACK" { "INVITE" } else { method };
        format!(
            "{method} sip:{name}@{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};rport;branch=z9hG4bK-{n}-{of}\r\nMax-Forwards: 70\r\n\
             From: <sip:{name}@{server}>;tag=b{n}\r\nTo: {to}\r\nCall-ID: {n}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:{name}@{local}>\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }

    /// Whether the answer is as all before it, but for what has to differ.
    fn compare(&mut self, method: &'static str, name: &str, nonce: &str, text: &str) {
        let to = between(text, "\r\nTo: ", "\r\n");
        let tag = to.split_once(";tag=").expect("it has a tag").1;
        let same = text
            .replace(nonce, "NONCE")
            .replace(tag, "TAG")
            .replace(&self.next.to_string(), "NUMBER")
            .replace(&format!("sip:{name}@"), "sip:NAME@");
        self.answers += 1;
        let all = self.texts.entry(method);
        let (length, first) = all.or_insert_with(|| (text.len(), same.clone()));
        assert_eq!(*first, same, "another text");
        assert_eq!(*length, text.len(), "another length");
    }

    fn print(&self) {
        println!(
            "{} answers ({} lost): one text for each method but for nonce, tag and what they repeat",
            self.answers, self.lost
        );
        for (method, (length, text)) in &self.texts {
            println!("\n{method}, each of {length} bytes:\n{text}");
        }
    }
}

/// Times, ns, by method, whether with credentials, and name.
#[derive(Default)]
struct Table(BTreeMap<(usize, bool), [Vec<i64>; NAMES.len()]>);

impl Table {
    fn add(&mut self, method: usize, with: bool, name: usize, took: Duration) {
        let times = self.0.entry((method, with)).or_default();
        times[name].push(took.as_nanos() as i64);
    }

    fn print(self) {
        println!(
            "| request | credentials | a user, median us | p99 | nobody, median us | p99 | \
             nobody : user | user : user |\n|---|---|---|---|---|---|---|---|"
        );
        for ((method, with), times) in self.0 {
            let [user, other, nobody] = times.map(Quantiles::new);
            let credentials = if with { "wrong" } else { "none" };
            println!(
                "| {} | {credentials} | {:.1} | {:.1} | {:.1} | {:.1} | {:.4} | {:.4} |",
                METHODS[method],
                user.at(0.5),
                user.at(0.99),
                nobody.at(0.5),
                nobody.at(0.99),
                nobody.at(0.5) / user.at(0.5),
                other.at(0.5) / user.at(0.5),
            );
        }
        println!();
    }
}

/// What stands between two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).expect("the mark");
    rest.split(after).next().unwrap_or_default()
}
