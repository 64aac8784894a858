//! The control API of the real server, while a real call runs: figures, events, the command line.

use crate::support::{caller, certificates, server, web};

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

const KEY: &str =
    "[[http.key]]\nname = \"test\"\nscope = \"control\"\nsecret = \"a-secret-of-the-test\"\n";
const SECRET: &str = "a-secret-of-the-test";
const LONG: Duration = Duration::from_secs(15);

fn start(sockets: &Path) -> (server::Server, SocketAddr) {
    let socket = sockets.join("control.sock");
    let server = server::Config::new()
        .set("http", "listen", "[\"127.0.0.1:0\"]")
        .set(
            "server",
            "control_socket",
            format!("{:?}", socket.display().to_string()),
        )
        .tables(KEY)
        .start();
    let here = server.address("HTTP", false);
    (server, here)
}

fn get(here: SocketAddr, path: &str) -> (u16, String) {
    web::get(here, path, SECRET)
}

fn json(here: SocketAddr, path: &str) -> Value {
    let (status, body) = get(here, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads the text format of Prometheus as strictly as its documentation has it: samples by name and
/// labels.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut family: Option<(String, String)> = None;
    let mut help = None;
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, about) = rest.split_once(' ').expect(line);
            assert!(
                !about.is_empty() && families.insert(name.to_owned()),
                "{line}"
            );
            help = Some(name.to_owned());
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert_eq!(help.take().as_deref(), Some(name), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = Some((name.to_owned(), kind.to_owned()));
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect(line);
        let value: f64 = value.parse().expect(line);
        let (name, labels) = sample
            .split_once('{')
            .map_or((sample, ""), |(n, l)| (n, l.strip_suffix('}').expect(line)));
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{line}"
        );
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once("=\"").expect(line);
            assert!(name.bytes().all(|b| b.is_ascii_lowercase()), "{line}");
            assert!(
                value.strip_suffix('"').is_some_and(|v| !v.contains('"')),
                "{line}"
            );
        }
        let (of, kind) = family.as_ref().expect(line);
        let suffix = name.strip_prefix(of.as_str()).expect(line);
        if kind == "histogram" {
            assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}");
        } else {
            assert_eq!(suffix, "", "{line}");
        }
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        assert!(
            samples.insert(sample.to_owned(), value).is_none(),
            "twice: {line}"
        );
    }
    for count in samples.keys().filter(|name| name.ends_with("_count")) {
        let of = count.strip_suffix("_count").unwrap();
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|(name, value)| {
                let bound = name
                    .strip_prefix(&format!("{of}_bucket{{le=\""))?
                    .strip_suffix("\"}")?;
                Some((bound.parse().unwrap(), *value))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(
            buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
            "{of}: {buckets:?}"
        );
        let last = buckets.last().unwrap();
        assert_eq!((last.0, last.1), (f64::INFINITY, samples[count]), "{of}");
        assert!(samples.contains_key(&format!("{of}_sum")));
    }
    samples
}

/// Counts that are one.
fn one_each(samples: &BTreeMap<String, f64>, names: &[&str]) {
    for name in names {
        assert!(
            (samples[*name] - 1.0).abs() < 0.1,
            "{name}: {}",
            samples[*name]
        );
    }
}

fn lists_a_call_and_its_room(id: &str, run: &dyn Fn(&[&str]) -> caller::Ended) {
    let listed = run(&["calls", "list"]);
    assert!(
        listed.out.starts_with("ID ") && listed.out.contains(id),
        "{listed:?}"
    );
    assert_eq!(run(&["calls", "list", "--json"]).json()[0]["id"], id);
    assert_eq!(
        run(&["calls", "show", id, "--json"]).json()["app"],
        "conference"
    );
    assert!(run(&["rooms", "list"]).out.contains("600"));
    assert!(run(&["rooms", "show", "600"]).out.contains(id));
    let unknown = run(&["rooms", "show", "601"]);
    assert_eq!(unknown.status, Some(1));
    assert!(
        unknown.err.contains("there is no room \"601\""),
        "{unknown:?}"
    );
}

fn says_why_it_cannot_ask(
    here: SocketAddr,
    directory: &Path,
    run: &dyn Fn(&[&str]) -> caller::Ended,
) {
    // Its own words where it cannot be reached.
    let elsewhere = format!("http://{}", server::free_address(here.ip()));
    let nobody = run(&["calls", "list", "--url", &elsewhere]);
    assert!(nobody.err.contains("is it running"), "{nobody:?}");
    let wrong = directory.join("wrong");
    std::fs::write(&wrong, "nonsense\n").unwrap();
    let wrong = run(&["calls", "list", "--key-file", &wrong.display().to_string()]);
    assert!(wrong.err.contains("does not know this key"), "{wrong:?}");
}

#[test]
fn a_call_is_seen_in_figures_events_and_lists_and_hung_up_by_the_command_line() {
    let sockets = tempfile::tempdir().unwrap();
    let (server, here) = start(sockets.path());
    assert_eq!(get(here, "/ready").0, 200);
    let mut request =
        format!("ws://{here}/api/v1/events?types=call.started,call.answered,call.ended")
            .into_client_request()
            .unwrap();
    request
        .headers_mut()
        .insert("Authorization", format!("Bearer {SECRET}").parse().unwrap());
    let stream = TcpStream::connect(here).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    let mut next = || loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str::<Value>(&text).unwrap();
        }
    };
    let mut calling = caller::call("600", server.udp(), &["--seconds", "60"]);
    let started = next();
    assert_eq!(started["type"], "call.started");
    let id = started["call"]["id"].as_str().unwrap().to_owned();
    assert_eq!(next()["type"], "call.answered");
    let call = until("figures", || {
        let call = json(here, &format!("/api/v1/calls/{id}"));
        (call["media"]["rx_packets"].as_u64() > Some(10)).then_some(call)
    });
    assert_eq!(call["room"], "600");
    let room = json(here, "/api/v1/rooms/600");
    assert_eq!(room["members"][0]["id"], id.as_str());
    let samples = parse(&get(here, "/metrics").1);
    one_each(
        &samples,
        &[
            "antiphon_calls{state=\"up\"}",
            "antiphon_room_members",
            "antiphon_legs",
            "antiphon_event_readers",
            "antiphon_sip_requests_received_total{method=\"INVITE\"}",
        ],
    );
    assert!(samples["antiphon_tick_length_seconds_count"] > 10.0);
    assert!(samples["antiphon_tick_length_seconds_sum"] > 0.0);

    // The command line finds the server and its key beside the control socket.
    let file = sockets.path().join("control.key");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let config = server
        .directory()
        .join("antiphon.toml")
        .display()
        .to_string();
    let run = |words: &[&str]| caller::antiphon(&[words, &["--config", &config]].concat()).wait();
    lists_a_call_and_its_room(&id, &run);
    let gone = run(&["calls", "hang-up", &id]);
    assert_eq!(
        (gone.status, gone.out),
        (Some(0), format!("hung up: {id}\n"))
    );
    assert!(calling.ends_within(LONG));
    let ended = next();
    assert_eq!(
        (&ended["type"], &ended["call"]["reason"]),
        (&"call.ended".into(), &"hung-up".into())
    );
    assert!(ended["call"]["media"]["rx_packets"].as_u64() > Some(10));
    let samples = parse(&get(here, "/metrics").1);
    let ended = "antiphon_calls_ended_total{reason=\"hung-up\"}";
    one_each(&samples, &[ended, "antiphon_call_setup_seconds_count"]);
    assert!(samples["antiphon_rtp_received_packets_total"] > 10.0);

    says_why_it_cannot_ask(here, sockets.path(), &run);

    // Readers are told of the end, and the key goes with the server.
    server.terminate();
    let end = loop {
        match socket.read() {
            Ok(Message::Close(frame)) => break frame.unwrap(),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(u16::from(end.code), 1001);
    while socket.read().is_ok() {}
    assert!(server.wait_exit().success());
    assert!(!file.exists());
    assert!(!server.log().contains(SECRET));
}

#[test]
fn the_command_line_knows_the_certificate_of_its_own_server_whatever_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let authority = certificates::Authority::new(directory.path(), "ca");
    let files = authority.issue("here", &["host.example"]);
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let socket = directory.path().join("control.sock");
    let (chain, key) = (quoted(&files.chain), quoted(&files.key));
    let server = server::Config::new()
        .set("http", "listen", "[\"127.0.0.1:0\"]")
        .set("http", "tls", true)
        .set("server", "control_socket", quoted(&socket))
        .tables(&format!("[[certificate]]\nchain = {chain}\nkey = {key}\n"))
        .start();
    let config = server.directory().join("antiphon.toml");
    let config = config.display().to_string();
    let run = |words: &[&str]| caller::antiphon(&[words, &["--config", &config]].concat()).wait();
    let list = ["calls", "list", "--json"];
    let listed = run(&list);
    assert_eq!(listed.json(), Value::Array(Vec::new()), "{listed:?}");
    // Another one, read anew, is known too.
    authority.issue("here", &["other.example"]);
    server.hang_up();
    server.wait_log("SIGHUP: routes");
    let listed = run(&list);
    assert_eq!(listed.status, Some(0), "{listed:?}");

    // Where the server is named, the certificate has to be for the name, and that is said.
    let file = socket.with_extension("key");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (url, authority) = (
        format!("{}/", lines[0]),
        authority.file.display().to_string(),
    );
    let named = run(&["calls", "list", "--url", &url, "--tls-ca", &authority]);
    assert!(named.err.contains("does not do for that name"), "{named:?}");
    // Nothing is shown to who has taken its place.
    let wrong = format!("{}\n{}\n{}\n", lines[0], lines[1], "0".repeat(64));
    std::fs::write(&file, wrong).unwrap();
    let stranger = run(&list);
    assert!(stranger.err.contains("another certificate"), "{stranger:?}");
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("antiphon.toml");
    let text = format!(
        "[sip]\nudp = [\"127.0.0.1:0\"]\ntcp = []\n[server]\ncontrol_socket = \"\"\n[http]\nlisten = [\"{here}\"]\n"
    );
    std::fs::write(&file, text).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_antiphon"))
        .args(["serve", "--config"])
        .arg(&file)
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success());
    assert!(
        said.contains(&format!("http.listen: cannot listen on {here}")),
        "{said}"
    );
}
