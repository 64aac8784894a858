//! Memory in pages of 2 MB, where the system gives them to who asks.

use std::fs;

use crate::support::server::{Config, Server};

const POLICY: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// kB in large pages.
fn large_pages(server: &Server) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid())).unwrap();
    let line = rollup.lines().find(|l| l.starts_with("AnonHugePages:"));
    let value = line.and_then(|l| l.split_whitespace().nth(1));
    value.unwrap().parse().unwrap()
}

#[test]
fn memory_is_in_large_pages_unless_that_is_not_wanted() {
    let policy = fs::read_to_string(POLICY).unwrap_or_default();
    let gives = policy.contains("[madvise]");
    let wanted = Config::new().start();
    let not_wanted = Config::new().set("media", "huge_pages", false).start();
    let chosen = ["env", "GLIBC_TUNABLES=glibc.malloc.hugetlb=0"];
    let chosen_otherwise = Config::new().through(&chosen).start();
    let kb = [&wanted, &not_wanted, &chosen_otherwise].map(large_pages);
    // Where all memory is in them, nothing needs to be asked for.
    assert!(
        policy.contains("[always]") || (kb[0] > 0) == gives && kb[1..] == [0, 0],
        "{kb:?} under {policy}"
    );
    for server in [&wanted, &not_wanted] {
        // It is the same process, of the same name.
        let name = fs::read_to_string(format!("/proc/{}/comm", server.pid())).unwrap();
        assert_eq!(name.trim(), "antiphon");
    }
}
