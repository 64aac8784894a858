//! The log's figures, by name: each is there, and is explained in docs/statistics.md.

use crate::support::caller;
use crate::support::server;

use std::path::Path;

use caller::call;
use serde_json::{Map, Value};

/// The fields of a line of the log in JSON.
fn fields(line: &str) -> Map<String, Value> {
    let mut line: Value = serde_json::from_str(line).unwrap();
    let Value::Object(fields) = line["fields"].take() else {
        panic!("{line}");
    };
    fields
}

/// Each of the fields must have a row of its own in the table.
fn check_explained(fields: &Map<String, Value>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/statistics.md");
    let page = std::fs::read_to_string(path).unwrap();
    for name in fields.keys().filter(|name| *name != "message") {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
}

#[test]
fn the_log_tells_every_figure() {
    let server = server::Config::new()
        .set("server", "log_format", "\"json\"")
        .set("server", "statistics_seconds", 1)
        .start();
    let ended = call("500", server.udp(), &["--seconds", "10", "--json"]).wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.err, "", "no progress line where there is no terminal");
    // Long enough for two reports of each side, which a round trip takes.
    // Both ends are ours, and ask for the other's metrics: what one says, the other hears.
    let json = ended.json();
    assert!(json["peer"]["mos_cq"].as_f64().unwrap() >= 1.0, "{json}");
    assert!(json["quality"]["mos_cq"].as_f64().unwrap() > 1.0, "{json}");
    assert!(json["sent"]["round_trip_ms"].as_f64().is_some(), "{json}");

    let line = fields(&server.wait_log("\"ended\""));
    check_explained(&line);
    let number = |name: &str| {
        line[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {line:?}"))
    };
    for name in [
        "set_up_ms",
        "rx_loss_percent",
        "rx_discarded",
        "rx_jitter_ms",
        "rx_jitter_max_ms",
        "bursts",
        "burst_density_percent",
        "burst_ms",
        "gap_density_percent",
        "buffer_ms",
        "buffer_mean_ms",
        "buffer_max_ms",
        "late",
        "concealed_samples",
        "tx_lost",
        "talk_s",
        "peer_loss_percent",
        "peer_discard_percent",
        "peer_buffer_ms",
        "peer_delay_ms",
        "rtt_ms",
        "rtt_max_ms",
    ] {
        assert!(number(name) >= 0.0, "{name}");
    }
    assert!((9.9..15.0).contains(&number("talked_s")), "{line:?}");
    assert!(number("rx_packets") > 150.0 && number("tx_packets") > 150.0);
    assert!(number("gap_ms") > 100.0 && number("delay_ms") >= 20.0);
    assert!(number("r_factor") > 1.0 && number("peer_r_factor") > 1.0);
    for name in ["mos_lq", "mos_cq", "peer_mos_lq", "peer_mos_cq"] {
        assert!((1.0..=4.5).contains(&number(name)), "{name}");
    }
    assert!(
        number("xr_sent") >= 2.0 && number("xr_received") >= 1.0,
        "{line:?}"
    );

    let media = fields(&server.wait_log("\"media\""));
    check_explained(&media);
    assert!(media["slots"].as_u64().unwrap() > 0, "{media:?}");
    server.terminate();
    assert!(server.wait_exit().success());
    let stopped = fields(&server.wait_log("\"stopped\""));
    check_explained(&stopped);
    assert!(stopped["slots"].as_u64().unwrap() >= 190, "{stopped:?}");
    let us = |name: &str| stopped[name].as_u64().unwrap();
    assert!(us("lateness_p50_us") <= us("lateness_p99_us"));
    assert!(us("lateness_p99_us") <= us("lateness_max_us"));
    assert!(us("length_p99_us") <= us("length_max_us"));
}
