//! Memory in pages of 2 MB.
//!
//! A tick of a large room goes through the memory of every leg, some ten pages of 4 KB each: more than
//! the processor keeps the addresses of. The C library asks the system for large pages where its tunable
//! says so (`glibc.malloc.hugetlb`, since glibc 2.35), which it reads when a program starts, and only then.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::sys;

const TUNABLES: &str = "GLIBC_TUNABLES";
const TUNABLE: &str = "glibc.malloc.hugetlb";
/// Set in a program that was started anew, to what the tunables were: the programs that it runs get them
/// as they were.
const BEFORE: &str = "ANTIPHON_TUNABLES_BEFORE";
/// How often it was.
const STARTS: &str = "ANTIPHON_STARTS";
/// glibc up to 2.36 takes its tunable by chance, about two times of three: it compares the policy as text
/// that nothing ends but what lay in its place before.
const MOST_STARTS: u32 = 16;
/// What the system gives such pages to.
const POLICY: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Starts this program anew in its own process (the same PID, files and arguments), with memory in pages of
/// 2 MB: where the system gives them to who asks, and nobody has set that tunable already. Not where `read`
/// is a file that was read already and cannot be read again. To be called before the first thread. Comes
/// back where that is not so, not possible, or done; if it is not possible it says why.
pub fn use_huge_pages(read: Option<&Path>) -> Option<String> {
    let set = env::var_os(TUNABLES).unwrap_or_default();
    let policy = fs::read_to_string(POLICY).unwrap_or_default();
    let again = |file: &Path| fs::metadata(file).is_ok_and(|m| m.is_file());
    if !cfg!(target_env = "gnu") || !policy.contains("[madvise]") || !read.is_none_or(again) {
        return None;
    }
    let starts = env::var(STARTS).map_or(0, |n| n.parse().unwrap_or(MOST_STARTS));
    let tunables = with_ours(&set);
    match (starts, tunables) {
        (0, Some(tunables)) => Some(start_anew(&tunables, &set, 1)),
        // The user's own choice.
        (0, None) => None,
        (_, Some(_)) => {
            let why = "the C library ignores GLIBC_TUNABLES, as where the program's file has capabilities";
            Some(why.to_owned())
        }
        (_, None) if asks_for_huge_pages() => None,
        (MOST_STARTS.., None) => Some(format!("the C library does not take {TUNABLE}")),
        (_, None) => {
            let before = env::var_os(BEFORE).unwrap_or_default();
            Some(start_anew(&set, &before, starts + 1))
        }
    }
}

/// Returns where it has failed, and says why.
fn start_anew(tunables: &OsStr, before: &OsStr, starts: u32) -> String {
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    if is_loader(&program) {
        return "the program was started by the dynamic loader".to_owned();
    }
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command
        .args(arguments)
        .env(TUNABLES, tunables)
        .env(BEFORE, before)
        .env(STARTS, starts.to_string())
        .exec();
    // What the attempt has undone.
    sys::ignore_broken_pipes();
    error.to_string()
}

/// Whether the C library has asked for large pages, which it does with the first memory that it gets
/// (proc(5), `VmFlags` of smaps: `hg`). Where that cannot be seen it is believed.
fn asks_for_huge_pages() -> bool {
    let Ok(maps) = fs::read_to_string("/proc/self/smaps") else {
        return true;
    };
    let mut flags = maps.lines().filter_map(|l| l.strip_prefix("VmFlags:"));
    flags.any(|flags| flags.split_whitespace().any(|flag| flag == "hg"))
}

/// Gives a program that is to be run the tunables as they were.
pub fn without_ours(command: &mut Command) {
    let Some(before) = env::var_os(BEFORE) else {
        return;
    };
    command.env_remove(BEFORE).env_remove(STARTS);
    if before.is_empty() {
        command.env_remove(TUNABLES);
    } else {
        command.env(TUNABLES, before);
    }
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

/// Whether this is the loader (`ld-linux-x86-64.so.2 antiphon serve`), whose arguments are others.
fn is_loader(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("ld") && name.contains(".so")
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

    #[test]
    fn the_loader_is_known() {
        assert!(is_loader(Path::new("/lib64/ld-linux-x86-64.so.2")));
        assert!(!is_loader(Path::new("/usr/bin/antiphon")));
    }
}
