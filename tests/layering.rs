//! Who may import whom, and what only the edge may touch: all of `src` against one table.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "layering/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use source::{Mention, Source, read};

/// Each top-level module: its layer, and what it may import of its own layer. Of the layers above
/// it in `src/lib.rs` it may import anything, unless `ONLY` says less.
const TABLE: &[(&str, u8, &[&str])] = &[
    ("audio", 0, &[]),
    ("codec", 0, &["audio"]),
    ("dtmf", 0, &["audio", "rtp"]),
    // Media time is audio's.
    ("rtp", 0, &["audio"]),
    ("srtp", 0, &[]),
    // A-law and u-law files are decoded by the codec's tables.
    ("wav", 0, &["audio", "codec"]),
    ("bridge", 1, &[]),
    ("sdp", 1, &[]),
    ("sip", 1, &[]),
    // Handlers work on the switch itself.
    (
        "api",
        2,
        &["app", "call", "endpoint", "leg", "room", "switch"],
    ),
    ("app", 2, &[]),
    // A call turns what was negotiated into a leg's parameters, and tells a leg's statistics.
    ("call", 2, &["app", "leg"]),
    ("dtls", 2, &[]),
    ("endpoint", 2, &[]),
    ("leg", 2, &[]),
    // A room names its members by call, its bridge by the worker's handle, and tells applications.
    ("room", 2, &["app", "call", "worker"]),
    // The switch makes legs and bridges, and addresses them on their worker.
    (
        "switch",
        2,
        &["app", "call", "dtls", "endpoint", "leg", "room", "worker"],
    ),
    ("worker", 2, &["leg"]),
    // A caller is a server that dials; what it plays comes from the store.
    ("caller", 3, &["config", "net", "server", "store"]),
    // What is found beside the control socket is the server's to say.
    ("client", 3, &["net", "server"]),
    // TLS' and HTTP's settings are named by what carries them out.
    ("config", 3, &["http", "net"]),
    ("engine", 3, &["net", "store"]),
    // TLS is that of SIP.
    ("http", 3, &["net"]),
    ("net", 3, &[]),
    ("server", 3, &["config", "engine", "http", "net", "store"]),
    // What is fetched from the web is kept in files.
    ("store", 3, &["net"]),
];

/// Modules that know less than their layer would allow.
const ONLY: &[(&str, &[&str])] = &[
    // The mixer knows neither SIP nor RTP.
    ("bridge", &["audio"]),
    // What a call does is told in its own terms; digits are among them.
    ("app", &["dtmf"]),
    // Handshakes know what they are for and what they are to give.
    ("dtls", &["sdp", "srtp"]),
    // Transactions carry no media.
    ("endpoint", &["sip"]),
    ("net", &["audio", "sip"]),
];

/// What only the edge, layer 3, may touch.
const EDGE: &[&[&str]] = &[
    &["tokio"],
    &["socket2"],
    &["libc"],
    &["UdpSocket"],
    &["TcpStream"],
    &["TcpListener"],
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["std", "thread"],
    &["std", "fs"],
];

/// Where a media thread runs: no lock, no log, no output.
const MEDIA: &[&str] = &[
    "audio/",
    "bridge/",
    "codec/",
    "dtmf/",
    "engine/bell.rs",
    "engine/drain.rs",
    "engine/sockets.rs",
    "engine/thread.rs",
    "leg/",
    "net/clock.rs",
    "net/media.rs",
    "rtp/",
    "srtp/",
    "worker/",
];
const NOT_IN_MEDIA: &[&str] = &[
    "Mutex", "RwLock", "Condvar", "Barrier", "tracing", "println", "eprintln", "print", "eprint",
    "dbg",
];

const UNSAFE_MODULE: &str = "net/sys/";
const MAX_LINES: usize = 600;

#[test]
fn the_source_keeps_to_its_layers() {
    let mut sources = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut sources,
    );
    assert!(sources.len() > 50, "the source is there");
    let faults = check(&sources);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn collect(folder: &Path, below: &str, sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{below}{name}");
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), sources);
        } else if entry.path().extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            sources.push(Source { path, text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
}

/// What is wrong, a line each.
fn check(sources: &[Source]) -> Vec<String> {
    let readings: Vec<_> = sources.iter().map(|s| (s, read(s))).collect();
    let tests: Vec<&String> = readings.iter().flat_map(|(_, r)| &r.test_files).collect();
    let mut faults = Vec::new();
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (source, reading) in &readings {
        let path = source.path.as_str();
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!(
                "src/{path}: {lines} lines, at most {MAX_LINES}: split it"
            ));
        }
        if !path.starts_with(UNSAFE_MODULE) {
            let lines = reading.unsafe_lines.iter();
            faults.extend(lines.map(|line| {
                format!("src/{path}:{line}: `unsafe` belongs into src/{UNSAFE_MODULE} alone")
            }));
        }
        if path == "lib.rs" {
            check_list(&source.text, &mut faults);
        }
        let is_test =
            |t: &&String| path == **t || (t.ends_with('/') && path.starts_with(t.as_str()));
        if path == "lib.rs" || path == "main.rs" || tests.iter().any(is_test) {
            continue;
        }
        let Some(&(module, layer, _)) = TABLE.iter().find(|(name, ..)| *name == module_of(path))
        else {
            faults.push(format!("src/{path}: not in the table of tests/layering.rs"));
            continue;
        };
        for mention in &reading.mentions {
            if let Some(to) = imported(path, mention) {
                let known = TABLE.iter().find(|(name, ..)| *name == to);
                if let Some((to, ..)) = known {
                    imports.entry(module).or_default().insert(to);
                }
                if let Some(why) = refused(module, &to) {
                    faults.push(format!("src/{path}:{}: {why}", mention.line));
                }
            }
            let text = mention.path.join("::");
            if layer < 3 && EDGE.iter().any(|what| touches(&mention.path, what)) {
                faults.push(format!(
                    "src/{path}:{}: `{text}`: clocks, threads, files and sockets are for layer 3",
                    mention.line
                ));
            }
            let media = MEDIA.iter().any(|place| path.starts_with(place));
            let banned = |word: &String| NOT_IN_MEDIA.contains(&word.as_str());
            if media && mention.path.iter().any(banned) {
                faults.push(format!(
                    "src/{path}:{}: `{text}`: no lock, log or output where a media thread runs",
                    mention.line
                ));
            }
        }
    }
    if let Some(cycle) = cycle(&imports) {
        faults.push(format!("import cycle: {}", cycle.join(" -> ")));
    }
    faults
}

fn module_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.trim_end_matches(".rs")
}

/// The top-level module that a path leads to, if it goes by the crate's root.
fn imported(file: &str, mention: &Mention) -> Option<String> {
    let mut path = mention.path.as_slice();
    if path.first()? == "crate" {
        return path.get(1).cloned();
    }
    let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    let mut depth = parts.len() - usize::from(parts.last() == Some(&"mod"));
    while path.first().is_some_and(|word| word == "super") {
        path = &path[1..];
        depth = depth.checked_sub(1)?;
        if depth == 0 {
            return path.first().cloned();
        }
    }
    None
}

fn refused(from: &str, to: &str) -> Option<String> {
    let (_, layer, sideways) = TABLE.iter().find(|(name, ..)| *name == from)?;
    let Some((_, other, _)) = TABLE.iter().find(|(name, ..)| *name == to) else {
        return Some(format!("`{to}` is no module of the table"));
    };
    if from == to {
        return None;
    }
    if let Some((_, only)) = ONLY.iter().find(|(name, _)| *name == from) {
        return (!only.contains(&to))
            .then(|| format!("`{from}` may import {only:?} only, not `{to}`"));
    }
    if other > layer {
        return Some(format!(
            "`{from}` (layer {layer}) imports `{to}` (layer {other}): upwards"
        ));
    }
    (other == layer && !sideways.contains(&to))
        .then(|| format!("`{from}` imports `{to}` beside it: the table does not say so"))
}

fn touches(path: &[String], what: &[&str]) -> bool {
    path.windows(what.len()).any(|window| window == what)
}

/// Holds the list of `src/lib.rs` against the table.
fn check_list(text: &str, faults: &mut Vec<String>) {
    let mut listed = Vec::new();
    let mut layer = 0;
    for line in text.lines() {
        if let Some(n) = line
            .strip_prefix("// L")
            .and_then(|rest| rest.chars().next())
        {
            layer = n.to_digit(10).unwrap_or(9) as u8;
        } else if let Some(name) = line.strip_prefix("pub mod ") {
            listed.push((name.trim_end_matches(';'), layer));
        }
    }
    let table: Vec<_> = TABLE
        .iter()
        .map(|(name, layer, _)| (*name, *layer))
        .collect();
    for (name, layer) in &listed {
        if !table.contains(&(name, *layer)) {
            faults.push(format!(
                "src/lib.rs: `{name}` in layer {layer} is not what the table says"
            ));
        }
    }
}

fn cycle<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    fn walk<'a>(
        at: &'a str,
        imports: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        trail: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> bool {
        if let Some(start) = trail.iter().position(|module| *module == at) {
            trail.drain(..start);
            trail.push(at);
            return true;
        }
        if !done.insert(at) {
            return false;
        }
        trail.push(at);
        for to in imports.get(at).into_iter().flatten() {
            if *to != at && walk(to, imports, trail, done) {
                return true;
            }
        }
        trail.pop();
        false
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|start| {
        let mut trail = Vec::new();
        walk(start, imports, &mut trail, &mut done).then_some(trail)
    })
}

/// Each rule can fail, and names file, line and reason; what is allowed does not.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_rule_can_fail() {
    let long = "\n".repeat(MAX_LINES + 1);
    let cases: &[(&str, &str, &str)] = &[
        (
            "leg/a.rs",
            "\nuse crate::net::sys;",
            "src/leg/a.rs:2: `leg` (layer 2) imports `net`",
        ),
        (
            "bridge/mod.rs",
            "use crate::rtp::SeqNo;",
            "src/bridge/mod.rs:1: `bridge` may import [\"audio\"] only",
        ),
        (
            "leg/a.rs",
            "use crate::{\n audio,\n worker::X};",
            "src/leg/a.rs:3: `leg` imports `worker` beside it",
        ),
        (
            "leg/a.rs",
            "fn f() { crate::room::g() }",
            "`leg` imports `room` beside it",
        ),
        (
            "leg/mod.rs",
            "use super::server::X;",
            "`leg` (layer 2) imports `server`",
        ),
        (
            "leg/a.rs",
            "use super::super::server::X;",
            "`leg` (layer 2) imports `server`",
        ),
        (
            "room.rs",
            "use super::server::X;",
            "`room` (layer 2) imports `server`",
        ),
        ("leg/a.rs", "use crate::nobody::X;", "`nobody` is no module"),
        ("strange.rs", "", "src/strange.rs: not in the table"),
        (
            "lib.rs",
            "// L0: x\npub mod leg;",
            "src/lib.rs: `leg` in layer 0",
        ),
        (
            "sip/a.rs",
            "async fn f() { tokio::spawn(x) }",
            "src/sip/a.rs:1: `tokio::spawn`: clocks",
        ),
        (
            "sip/a.rs",
            "use std::net::{IpAddr, UdpSocket};",
            "`std::net::UdpSocket`: clocks",
        ),
        (
            "sip/a.rs",
            "use std::net::TcpStream as T;",
            "`std::net::TcpStream`: clocks",
        ),
        (
            "sip/a.rs",
            "fn f() { Instant::now() }",
            "`Instant::now`: clocks",
        ),
        (
            "sip/a.rs",
            "fn f() { std::time::SystemTime::now() }",
            "SystemTime::now`: clocks",
        ),
        (
            "sip/a.rs",
            "use std::{io, thread};",
            "`std::thread`: clocks",
        ),
        (
            "sip/a.rs",
            "fn f() { std::fs::read(\"x\") }",
            "`std::fs::read`: clocks",
        ),
        (
            "net/a.rs",
            "/* a */ fn f() {\n unsafe { g() } }",
            "src/net/a.rs:2: `unsafe` belongs",
        ),
        (
            "net/a.rs",
            "#[cfg(test)] mod tests { unsafe fn f() {} }",
            "`unsafe` belongs",
        ),
        ("net/a.rs", &long, "src/net/a.rs: 601 lines"),
        (
            "leg/a.rs",
            "use std::sync::Mutex;",
            "`std::sync::Mutex`: no lock",
        ),
        (
            "engine/thread.rs",
            "fn f() { tracing::warn!(\"x\") }",
            "`tracing::warn`: no lock",
        ),
    ];
    for (path, text, expected) in cases {
        let faults = check(&[file(path, text)]);
        let [fault] = &faults[..] else {
            panic!("{path}: {text}: {faults:?}");
        };
        assert!(fault.contains(expected), "{fault}, expected {expected}");
    }
    let imports = BTreeMap::from([
        ("a", BTreeSet::from(["b"])),
        ("b", BTreeSet::from(["b", "c"])),
        ("c", BTreeSet::from(["b"])),
    ]);
    assert_eq!(cycle(&imports), Some(vec!["b", "c", "b"]));
    let both = [
        file("net/a.rs", "use crate::sip::X;"),
        file("sip/a.rs", "use crate::net::X;"),
    ];
    assert!(check(&both).contains(&"import cycle: net -> sip -> net".to_owned()));
}

#[test]
fn what_is_allowed_passes() {
    let sources = [
        file(
            "leg/mod.rs",
            "use crate::{audio, rtp::{SeqNo, seq::X}};\nmod a;\n#[cfg(test)]\nmod tests;",
        ),
        file("leg/tests.rs", "use crate::server::X; use std::fs;"),
        file("leg/tests/more.rs", "use std::thread;"),
        file(
            "leg/a.rs",
            "// use crate::net;\nconst X: &str = \"crate::net \\\" tokio::spawn\"; /* unsafe */\n\
             #[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\n#[cfg(test)]\nuse tokio::x;\nuse super::X;",
        ),
        file("leg/b_tests.rs", "use tokio::x;"),
        file(
            "net/sys/mod.rs",
            "fn f() { unsafe { tokio::spawn(Instant::now()) } }",
        ),
        file(
            "sip/a.rs",
            "fn f<'a>(now: Instant) { if c == '\"' { g(r#\"std::fs \" \"#) } } #[cfg(test)] mod t { use std::fs; }",
        ),
    ];
    assert_eq!(check(&sources), Vec::<String>::new());
}

fn file(path: &str, text: &str) -> Source {
    Source {
        path: path.into(),
        text: text.into(),
    }
}
