//! Memory in pages of 2 MB, where the system gives them to who asks.

use std::fs;

use crate::support::server::{Config, Server};

const POLICY: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Whether any memory has asked for large pages (proc(5), `VmFlags` of smaps: `hg`). Whether there are any to
/// be had is the system's.
fn asks_for_large_pages(server: &Server) -> bool {
    let maps = fs::read_to_string(format!("/proc/{}/smaps", server.pid())).unwrap();
    let mut flags = maps.lines().filter_map(|l| l.strip_prefix("VmFlags:"));
    flags.any(|flags| flags.split_whitespace().any(|flag| flag == "hg"))
}

#[test]
fn memory_is_in_large_pages_unless_that_is_not_wanted() {
    let policy = fs::read_to_string(POLICY).unwrap_or_default();
    let gives = policy.contains("[madvise]");
    let wanted = Config::new().start();
    // glibc 2.36 heeds its tunable by chance.
    let once_more = Config::new().start();
    let not_wanted = Config::new().set("media", "huge_pages", false).start();
    let chosen = ["env", "GLIBC_TUNABLES=glibc.malloc.hugetlb=0"];
    let chosen_otherwise = Config::new().through(&chosen).start();
    let asks = [&wanted, &once_more, &not_wanted, &chosen_otherwise].map(asks_for_large_pages);
    // Where all memory is in them, or none, nothing needs to be asked for.
    assert_eq!(asks, [gives, gives, false, false], "under {policy}");
    for server in [&wanted, &not_wanted] {
        // It is the same process, of the same name.
        let name = fs::read_to_string(format!("/proc/{}/comm", server.pid())).unwrap();
        assert_eq!(name.trim(), "antiphon");
    }
}
