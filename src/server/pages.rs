//! Memory in pages of 2 MB.
//!
//! A tick of a large room goes through the memory of every leg, some ten pages of 4 KB each: more than
//! the processor keeps the addresses of. The C library asks the system for large pages where its tunable
//! says so (`glibc.malloc.hugetlb`, since glibc 2.35), which it reads when a program starts, and only then.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const TUNABLES: &str = "GLIBC_TUNABLES";
const TUNABLE: &str = "glibc.malloc.hugetlb";
/// Set in a program that was started anew: a C library that forgets tunables, as it does where the
/// program's file has capabilities, must not lead to another start.
const STARTED_ANEW: &str = "ANTIPHON_STARTED_ANEW";
/// What the system gives such pages to.
const POLICY: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Starts this program anew in its own process (the same PID, files and arguments), once, with memory in
/// pages of 2 MB: where the system gives them to who asks, and nobody has set that tunable already.
/// Comes back where that is not so, or not possible. To be called before the first thread.
pub fn use_huge_pages() {
    let set = env::var_os(TUNABLES).unwrap_or_default();
    let policy = fs::read_to_string(POLICY).unwrap_or_default();
    let wanted = env::var_os(STARTED_ANEW).is_none() && policy.contains("[madvise]");
    let (true, Some(tunables)) = (wanted && cfg!(target_env = "gnu"), with_ours(&set)) else {
        return;
    };
    let Ok(program) = env::current_exe() else {
        return;
    };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // It returns where it has failed: then all goes on in small pages.
    let _error = command
        .args(arguments)
        .env(TUNABLES, tunables)
        .env(STARTED_ANEW, "1")
        .exec();
}

/// The tunables with ours; none where it is among them already.
fn with_ours(set: &OsStr) -> Option<OsString> {
    if set.to_string_lossy().contains(TUNABLE) {
        return None;
    }
    let mut tunables = set.to_owned();
    if !tunables.is_empty() {
        tunables.push(":");
    }
    tunables.push(format!("{TUNABLE}=1"));
    Some(tunables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_tunables_stay_and_the_users_own_choice_counts() {
        let with = |set: &str| with_ours(OsStr::new(set));
        assert_eq!(with("").unwrap(), "glibc.malloc.hugetlb=1");
        assert_eq!(
            with("glibc.malloc.arena_max=2").unwrap(),
            "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"
        );
        assert_eq!(with("glibc.malloc.hugetlb=0"), None);
    }
}
