//! What web servers have: fetched once, asked for again by its validator, and never more than is
//! allowed from whom it is allowed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use antiphon::net::fetch::{FetchError, FetchLimits, Fetcher};
use antiphon::net::tls::{Tls, TlsSettings};
use antiphon::store::web::{Web, WebError, WebSettings};

use crate::support::tone;
use crate::support::web::{WebServer, response};

const LIMIT: usize = 100_000;

fn web(directory: &Path, hosts: &[&str], max_bytes: u64) -> Arc<Web> {
    let tls = Arc::new(Tls::load(&TlsSettings::default(), false).unwrap());
    let limits = FetchLimits {
        time: Duration::from_millis(1500),
        bytes: LIMIT,
    };
    let settings = WebSettings {
        hosts: hosts.iter().map(|&h| h.to_owned()).collect(),
        directory: directory.to_owned(),
        max_bytes,
    };
    Arc::new(Web::new(Fetcher::new(tls, limits), settings))
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
async fn who_wants_the_same_at_once_waits_for_one_request() {
    let here = tempfile::tempdir().unwrap();
    let server = WebServer::new(|_| {
        std::thread::sleep(Duration::from_millis(200));
        response("200 OK", "Cache-Control: max-age=60\r\n", &wav(800))
    });
    let web = web(here.path(), &["*"], 1 << 20);
    let url = server.url("/a.wav");
    let callers = (0..20).map(|_| {
        let (web, url) = (web.clone(), url.clone());
        tokio::spawn(async move { web.get(&url, None, None).await.unwrap() })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_web_server_that_is_not_there_leaves_what_is_known() {
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
    let url = server.url("/a.wav");
    let path = web.get(&url, None, None).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    assert_eq!(web.get(&url, None, None).await.unwrap(), path);
    server.close();
    assert_eq!(web.get(&url, None, None).await.unwrap(), path);
    let error = web.get(&server.url("/b.wav"), None, None).await;
    assert!(matches!(
        error,
        Err(WebError::Fetch {
            source: FetchError::Connect(_),
            ..
        })
    ));
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
