//! What an endpoint does with hostile input: RFC 4475's torture messages, and those with bytes
//! changed at random. It answers or hands on each as it should, stays within its bounds, and is
//! empty when its timers have ended.

use antiphon::endpoint::{Endpoint, Input, Limits, Output, Settings};
use antiphon::sip::message::{Message, Response, parse_datagram};
use antiphon::sip::transport::{ConnectionId, Flow, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn flow(transport: Transport) -> Flow {
    Flow {
        transport,
        local: ([192, 0, 2, 1], 5060).into(),
        remote: ([192, 0, 2, 9], 5060).into(),
        connection: (transport == Transport::Tcp).then_some(ConnectionId(1)),
        host: None,
    }
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torture")
}

fn samples() -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(directory())
        .expect("samples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "sip"))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).expect("a sample");
    paths.iter().map(read).collect()
}

fn input(bytes: &[u8], flow: Flow) -> Input {
    match parse_datagram(bytes) {
        Ok(message) => Input::Message { flow, message },
        Err(error) => Input::Malformed { flow, error },
    }
}

/// What becomes of a message: the status of its answer, or `request`, or `nothing`.
fn outcome(name: &str) -> String {
    let bytes = std::fs::read(directory().join(format!("{name}.sip"))).expect("a sample");
    let mut endpoint = Endpoint::new(Settings::default(), 1);
    endpoint.handle(input(&bytes, flow(Transport::Udp)), Instant::now());
    let mut words = Vec::new();
    while let Some(output) = endpoint.poll_output() {
        words.push(match output {
            Output::Transmit { bytes, .. } => match parse_datagram(&bytes) {
                Ok(Message::Response(response)) => response.status.to_string(),
                other => format!("{other:?}"),
            },
            Output::Request { .. } => "request".to_owned(),
            other => format!("{other:?}"),
        });
    }
    if words.is_empty() {
        words.push("nothing".to_owned());
    }
    words.join(" ")
}

#[test]
fn torture_messages_get_what_the_rfc_asks_for() {
    let table = [
        // RFC 4475 §3.1.1: valid.
        (
            "request",
            "wsinv esc01 escnull lwsdisp longreq dblreq semiuri transports",
        ),
        ("501", "intmeth esc02"),
        ("405", "mpart01"),
        ("nothing", "unreason noreason"),
        // §3.1.2: invalid.
        (
            "400",
            "badinv01 clerr ncl scalar02 quotbal ltgtruri lwsruri lwsstart trws escruri baddate \
             regbadct badaspec baddn mismatch01 mismatch02",
        ),
        ("nothing", "scalarlg bigcode"),
        ("505", "badvers"),
        // §3.2, §3.3: transaction and application layer.
        ("400", "badbranch insuf multi01 mcl01"),
        ("416", "unkscm novelsc"),
        ("420", "bext01"),
        ("415", "invut"),
        ("406", "sdp01"),
        ("nothing", "bcast"),
        (
            "request",
            "unksm2 regaut01 zeromf cparam01 cparam02 regescrt",
        ),
        // §3.4.
        ("request", "inv2543"),
    ];
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (expected, names) in table {
        for name in names.split_whitespace() {
            seen += 1;
            let got = outcome(name);
            if got != expected {
                wrong.push(format!("{name}: {got}, not {expected}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    let files = samples().len();
    assert_eq!(seen, files, "each sample is in the table");
}

/// The samples with a few bytes replaced, dropped, doubled or cut.
fn mutate(rng: &mut StdRng, sample: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    // Mostly other transactions of other calls, else nearly all would be repetitions.
    for mark in [&b"z9hG4bK"[..], b"Call-ID: "] {
        let found = bytes.windows(mark.len()).position(|w| w == mark);
        if let Some(at) = found
            && rng.random_bool(0.8)
        {
            let end = at + mark.len();
            let fresh = rng.random_range(0..100_000).to_string();
            bytes.splice(end..end, fresh.into_bytes());
        }
    }
    for _ in 0..rng.random_range(0..6) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        let end = (at + rng.random_range(1..40)).min(bytes.len());
        match rng.random_range(0..5) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] = b" \r\n:;,<>\"@=%\0z9"[rng.random_range(0..15)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.truncate(end),
        }
    }
    bytes
}

#[test]
fn mutated_messages_stay_within_bounds_and_leave_nothing() {
    const LIMIT: usize = 200;
    let samples = samples();
    let settings = Settings {
        limits: Limits {
            transactions: LIMIT,
            calls_per_second_per_source: 50,
            sources: 10,
        },
        ..Settings::default()
    };
    let mut endpoint = Endpoint::new(settings, 1);
    let mut rng = StdRng::seed_from_u64(5);
    let mut now = Instant::now();
    let mut requests = 0;
    for _ in 0..30_000 {
        now += Duration::from_millis(rng.random_range(0..40));
        let mut flow = flow([Transport::Udp, Transport::Tcp][rng.random_range(0..2)]);
        flow.remote.set_port(rng.random_range(5000..5010));
        let sample = &samples[rng.random_range(0..samples.len())];
        let event = match rng.random_range(0..100) {
            0 => Input::ConnectionClosed(ConnectionId(1)),
            1 => Input::TransportFailed(flow),
            _ => input(&mutate(&mut rng, sample), flow),
        };
        endpoint.handle_timeout(now);
        endpoint.handle(event, now);
        requests += answer(&mut endpoint, &mut rng, now);
        assert!(endpoint.transactions() <= LIMIT + LIMIT / 4);
    }
    assert!(requests > 1000, "{requests}");
    while let Some(at) = endpoint.poll_timeout() {
        assert!(at - now < Duration::from_secs(64), "every timer ends");
        endpoint.handle_timeout(at);
        answer(&mut endpoint, &mut rng, at);
    }
    assert_eq!(endpoint.transactions(), 0);
}

/// Answers each request at once; returns how many there were.
fn answer(endpoint: &mut Endpoint, rng: &mut StdRng, now: Instant) -> usize {
    let mut requests = 0;
    while let Some(output) = endpoint.poll_output() {
        if let Output::Request {
            transaction,
            request,
            ..
        } = output
        {
            requests += 1;
            let status = [200, 404][rng.random_range(0..2)];
            endpoint.respond(transaction, Response::to(&request, status), now);
        }
    }
    requests
}
