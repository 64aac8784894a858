//! The control API under requests that schemathesis makes from its description, while a call runs.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::program::clients;
use crate::support::caller;
use crate::support::dns::NameServer;
use crate::support::server::Config;
use crate::support::web::get;

const SECRET: &str = "a-secret-of-the-fuzzer";

/// What schemathesis is to know: the names of what there is, so that it gets further than 404; and that
/// a called party may not be found, which 502 tells.
fn settings(call: &str) -> String {
    let mut text = "[checks.not_a_server_error]\n\
         expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 502]\n"
        .to_owned();
    // What ends the call is tried at names that schemathesis makes up.
    for (method, path) in [
        ("GET", "/api/v1/calls/{id}"),
        ("GET", "/api/v1/rooms/{room}"),
        ("POST", "/api/v1/rooms/{room}"),
        ("POST", "/api/v1/rooms/{room}/members/{call}"),
    ] {
        let _ = write!(
            text,
            "[[operations]]\ninclude-name = \"{method} {path}\"\n\
             parameters = {{ room = \"600\", call = \"{call}\", id = \"{call}\" }}\n"
        );
    }
    text
}

#[test]
fn requests_made_from_the_description_get_neither_500_nor_no_answer() {
    let names = NameServer::start(Vec::new());
    let server = Config::new()
        .set("http", "listen", "[\"127.0.0.1:0\"]")
        .set("http", "requests_per_second", 100_000)
        // Nobody is called outside of this machine.
        .set("sip", "dns_servers", format!("[\"{}\"]", names.address))
        .tables(&format!(
            "[[http.key]]\nname = \"fuzz\"\nscope = \"admin\"\nsecret = \"{SECRET}\""
        ))
        .start();
    let here = server.address("http", false);
    let mut calling = caller::call("600", server.udp(), &["--seconds", "120", "--json"]);
    server.wait_log(" joined ");
    let calls: Value = serde_json::from_str(&get(here, "/api/v1/calls", SECRET).1).unwrap();
    let id = calls["calls"][0]["id"].as_str().unwrap().to_owned();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("schemathesis.toml"), settings(&id)).unwrap();
    let out = Command::new(clients().join("bin/schemathesis"))
        .current_dir(directory.path())
        .args(["--no-color", "run"])
        .arg(format!("http://{here}/api/v1/openapi.json"))
        .args(["-H", &format!("Authorization: Bearer {SECRET}")])
        .args([
            "--phases",
            "coverage,fuzzing",
            "--generation-database",
            "none",
        ])
        .args(["--checks", CHECKS, "--max-examples", "12", "--seed", "1"])
        .args(["--request-timeout", "10", "--no-shrink"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}");
    assert!(said.contains("Tested: "), "{said}");
    // It has reached what is served.
    let (status, figures) = get(here, "/metrics", SECRET);
    assert_eq!(status, 200);
    let count = |class: &str| {
        let name = format!("antiphon_http_responses_total{{class=\"{class}\"}} ");
        let line = figures.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap().parse::<f64>().unwrap()
    };
    assert!(count("2xx") > 50.0 && count("4xx") > 100.0, "{figures}");
    // Who makes up requests finds out what the call's room is called, and may have ended it.
    if !calling.ends_within(Duration::ZERO) {
        calling.signal("INT");
    }
    assert!(calling.ends_within(Duration::from_secs(10)));
    let ended = calling.wait().json();
    let received = &ended["received"];
    assert!(received["packets"].as_u64() > Some(50), "{ended}");
    assert_eq!(received["lost"], 0, "{ended}");
    server.terminate();
    assert!(server.wait_exit().success());
}

/// Not that all is taken that the description allows: it cannot say everything, such as that two fields
/// go together.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,negative_data_rejection";
