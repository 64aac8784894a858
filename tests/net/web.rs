//! What web servers have: fetched once, asked for again by its validator, and never more than is
//! allowed from whom it is allowed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use antiphon::net::fetch::{FetchError, FetchLimits, Fetcher};
use antiphon::net::tls::{Tls, TlsSettings};
use antiphon::store::web::{Web, WebError, WebSettings};

use crate::support::tone;
use crate::support::web::{WebServer, response};

const LIMIT: usize = 100_000;

fn web(directory: &Path, hosts: &[&str], max_bytes: u64) -> Web {
    web_within(Duration::from_millis(1500), directory, hosts, max_bytes)
}

fn web_within(time: Duration, directory: &Path, hosts: &[&str], max_bytes: u64) -> Web {
    let tls = Arc::new(Tls::load(&TlsSettings::default(), false).unwrap());
    let limits = FetchLimits { time, bytes: LIMIT };
    let settings = WebSettings {
        hosts: hosts.iter().map(|&h| h.to_owned()).collect(),
        directory: directory.to_owned(),
        max_bytes,
    };
    Web::new(Fetcher::new(tls, limits), settings)
}

/// A WAV file of so many samples.
fn wav(samples: usize) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wav");
    tone::write(&path, &vec![1000; samples]);
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again_and_what_is_fresh_not_asked_for() {
    let here = tempfile::tempdir().unwrap();
    let version = Arc::new(AtomicUsize::new(1));
    let serves = version.clone();
    let server = WebServer::new(move |asked| {
        let version = serves.load(Ordering::SeqCst);
        let tag = format!("\"v{version}\"");
        let fresh = if asked.line.contains("fresh") {
            "Cache-Control: max-age=60\r\n"
        } else {
            ""
        };
        if asked.header("if-none-match") == Some(&tag) {
            return response("304 Not Modified", fresh, b"");
        }
        let headers = format!("ETag: {tag}\r\n{fresh}Content-Type: audio/wav\r\n");
        response("200 OK", &headers, &wav(800 * version))
    });
    let web = web(here.path(), &["127.0.0.1"], 1 << 20);
    let first = web.get(&server.url("/a.wav"), None, None).await.unwrap();
    let bytes = std::fs::read(&first).unwrap();
    let again = web.get(&server.url("/a.wav"), None, None).await.unwrap();
    assert_eq!(first, again);
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("if-none-match"), None);
    assert_eq!(asked[1].header("if-none-match"), Some("\"v1\""));

    version.store(2, Ordering::SeqCst);
    let changed = web.get(&server.url("/a.wav"), None, None).await.unwrap();
    assert!(std::fs::read(&changed).unwrap().len() > bytes.len());

    for _ in 0..3 {
        web.get(&server.url("/fresh.wav"), None, None)
            .await
            .unwrap();
    }
    assert_eq!(
        server.asked().len(),
        4,
        "asked for once and then not at all"
    );
}

#[tokio::test]
async fn who_wants_the_same_at_once_gets_what_comes_of_one_request_be_it_a_failure() {
    let here = tempfile::tempdir().unwrap();
    for status in ["200 OK", "404 Not Found"] {
        let (all_wait, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let server = WebServer::new(move |_| {
            let _ = gate.lock().unwrap().recv();
            response(status, "", &wav(800))
        });
        let web = web(here.path(), &["*"], 1 << 20);
        let url = server.url("/a.wav");
        let callers = (0..20).map(|_| {
            let (web, url) = (web.clone(), url.clone());
            tokio::spawn(async move { web.get(&url, None, None).await })
        });
        let callers: Vec<_> = callers.collect();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        drop(all_wait);
        for caller in callers {
            match caller.await.unwrap() {
                Ok(path) => assert!(path.exists() && status == "200 OK"),
                Err(error) => assert!(error.to_string().contains("status 404"), "{error}"),
            }
        }
        assert_eq!(server.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn who_waits_for_a_turn_waits_no_longer_than_for_an_answer() {
    let here = tempfile::tempdir().unwrap();
    let server = WebServer::new(|_| Vec::new());
    let web = web(here.path(), &["*"], 1 << 20);
    let start = Instant::now();
    let callers = (0..40).map(|n| {
        let (web, url) = (web.clone(), server.url(&format!("/{n}.wav")));
        tokio::spawn(async move { web.get(&url, None, None).await.unwrap_err() })
    });
    for caller in callers.collect::<Vec<_>>() {
        let error = caller.await.unwrap().to_string();
        assert!(error.contains("no whole answer within"), "{error}");
    }
    let length = start.elapsed();
    assert!(length < Duration::from_secs(3), "{length:?} for 1.5 s");
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_makes_room_for_others() {
    let here = tempfile::tempdir().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = WebServer::new(move |asked| {
        if asked.line.contains("/never") {
            let _ = tell.send(());
            return Vec::new();
        }
        response("200 OK", "", &wav(800))
    });
    let web = web_within(Duration::from_mins(1), here.path(), &["*"], 1 << 20);
    let callers = (0..16).map(|n| {
        let (web, url) = (web.clone(), server.url(&format!("/never{n}.wav")));
        tokio::spawn(async move { web.get(&url, None, None).await })
    });
    let callers: Vec<_> = callers.collect();
    for _ in &callers {
        told.recv().await.unwrap();
    }
    for caller in callers {
        caller.abort();
    }
    let url = server.url("/a.wav");
    let next = web.get(&url, None, None);
    let next = tokio::time::timeout(Duration::from_secs(20), next).await;
    next.expect("a turn").unwrap();
}

#[tokio::test]
async fn a_web_server_that_is_not_there_leaves_what_is_known_and_is_left_alone() {
    let here = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let server = WebServer::new(move |_| {
        if failing.load(Ordering::SeqCst) {
            response("503 Service Unavailable", "", b"")
        } else {
            response("200 OK", "", &wav(800))
        }
    });
    let web = web(here.path(), &["*"], 1 << 20);
    let get = async |path: &str| web.get(&server.url(path), None, None).await;
    let (path, other) = (get("/a.wav").await.unwrap(), get("/b.wav").await.unwrap());
    fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(get("/a.wav").await.unwrap(), path);
    }
    assert_eq!(server.asked().len(), 3, "the fourth would come 10 s later");
    server.close();
    assert_eq!(get("/b.wav").await.unwrap(), other);
    // Nor is played what is not there.
    std::fs::remove_file(&other).unwrap();
    for path in ["/b.wav", "/c.wav"] {
        let error = get(path).await;
        assert!(
            matches!(
                error,
                Err(WebError::Fetch {
                    source: FetchError::Connect(_),
                    ..
                })
            ),
            "{path}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_fetched_as_if_it_had_never_been_there() {
    let here = tempfile::tempdir().unwrap();
    let server = WebServer::new(|asked| {
        if asked.header("if-none-match").is_some() {
            return response("304 Not Modified", "", b"");
        }
        let fresh = if asked.line.contains("fresh") {
            "Cache-Control: max-age=60\r\n"
        } else {
            ""
        };
        response("200 OK", &format!("ETag: \"v1\"\r\n{fresh}"), &wav(800))
    });
    let web = web(here.path(), &["*"], 1 << 20);
    for path in ["/a.wav", "/fresh.wav"] {
        let url = server.url(path);
        let kept = web.get(&url, None, None).await.unwrap();
        std::fs::remove_file(&kept).unwrap();
        let again = web.get(&url, None, None).await.unwrap();
        assert!(again.exists(), "{path}");
    }
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn only_hosts_of_the_list_are_asked_also_where_a_redirection_leads() {
    let here = tempfile::tempdir().unwrap();
    let server = WebServer::new(|asked| {
        let location = match asked.line.split(' ').nth(1).unwrap() {
            "/elsewhere" => "http://localhost:1/a.wav".to_owned(),
            "/circle" => "/circle".to_owned(),
            "/moved" => "/a.wav".to_owned(),
            _ => return response("200 OK", "", &wav(800)),
        };
        response("302 Found", &format!("Location: {location}\r\n"), b"")
    });
    let web = web(here.path(), &["127.0.0.1", "*.example"], 1 << 20);
    web.get(&server.url("/moved"), None, None).await.unwrap();
    let error = web.get(&server.url("/elsewhere"), None, None).await;
    assert!(matches!(error, Err(WebError::Host(host)) if host == "localhost"));
    let error = web.get(&server.url("/circle"), None, None).await;
    assert!(matches!(error, Err(WebError::Redirections)));
    for address in [
        "http://localhost/",
        "http://example/",
        "http://notexample/",
        "http://a.example.org/",
    ] {
        let error = web.get(address, None, None).await;
        assert!(matches!(error, Err(WebError::Host(_))), "{address}");
    }
    let error = web.get("ftp://127.0.0.1/", None, None).await;
    assert!(matches!(error, Err(WebError::Address(_))));
}

#[tokio::test]
async fn what_is_too_large_too_slow_or_no_sound_is_refused() {
    let here = tempfile::tempdir().unwrap();
    let server = WebServer::new(|asked| match asked.line.split(' ').nth(1).unwrap() {
        "/large" => response("200 OK", "", &vec![b'R'; LIMIT + 1]),
        // No length is told: it is counted.
        "/endless" => {
            let mut bytes = b"HTTP/1.1 200 OK\r\n\r\nRIFF".to_vec();
            bytes.resize(LIMIT + 100, 0);
            bytes
        }
        "/silent" => Vec::new(),
        "/page" => response("200 OK", "Content-Type: text/html\r\n", b"<html>"),
        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nRIFF".to_vec(),
        "/nonsense" => b"SIP/2.0 200 OK\r\n\r\n".to_vec(),
        _ => response("404 Not Found", "", b""),
    });
    let web = web(here.path(), &["*"], 1 << 20);
    let start = Instant::now();
    let get = async |path: &str| {
        let error = web.get(&server.url(path), None, None).await.unwrap_err();
        error.to_string()
    };
    assert!(get("/large").await.contains("larger than 100000 bytes"));
    assert!(get("/endless").await.contains("larger than 100000 bytes"));
    assert!(get("/page").await.contains("\"text/html\""));
    assert!(get("/gone").await.contains("status 404"));
    assert!(!get("/short").await.is_empty());
    assert!(!get("/nonsense").await.is_empty());
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "nothing was waited for"
    );
    assert!(get("/silent").await.contains("no whole answer within"));
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn raw_sound_is_what_the_caller_or_the_server_says_it_is() {
    let here = tempfile::tempdir().unwrap();
    let server = WebServer::new(|asked| {
        let kind = if asked.line.contains("told") {
            "audio/basic"
        } else {
            "application/octet-stream"
        };
        response(
            "200 OK",
            &format!("Content-Type: {kind}; rate=8000\r\n"),
            &[0xff; 800],
        )
    });
    let web = web(here.path(), &["*"], 1 << 20);
    let frames = |path| {
        antiphon::wav::Reader::open(std::fs::File::open(path).unwrap())
            .unwrap()
            .spec()
            .frames
    };
    let path = web.get(&server.url("/told"), None, None).await.unwrap();
    assert_eq!(frames(path), 800);
    assert!(web.get(&server.url("/raw"), None, None).await.is_err());
    let path = web
        .get(&server.url("/raw"), Some("audio/pcma"), Some("de-CH"))
        .await
        .unwrap();
    assert_eq!(frames(path), 800);
    assert_eq!(server.asked()[2].header("accept-language"), Some("de-CH"));
}
