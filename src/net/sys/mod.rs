//! The system calls that `std`, `socket2` and `tokio` do not offer: receive with kernel time
//! stamps, batched send, absolute sleep, real-time scheduling. All of the project's `unsafe` is
//! here. Nothing in it allocates, locks or logs once a [`Batch`] exists.
//!
//! rx and tx are the server's.

#![allow(
    unsafe_code,
    reason = "system calls without a safe wrapper that neither allocates nor locks"
)]

mod receive;
mod ring;
mod send;
pub mod xdp;

use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use crate::audio::MediaTime;

pub use crate::net::clock::{ClockMap, WallStamp};
pub use receive::{
    Batch, ReceiveCounters, Received, enable_timestamps, recv_batch, recv_more, recv_one,
};
pub use ring::{RING_PACKETS, SendRing};
pub use send::{SendCounters, connect, disconnect, send, send_batch};

/// Packets that are received or sent in one go at most.
pub const BATCH_PACKETS: usize = 32;
/// Bytes of a receive buffer: above any RTP packet on an Ethernet path; longer ones are dropped.
pub const PACKET_BYTES: usize = 2048;

// ---------------------------------------------------------------------------------------------
// Memory

/// Has the processor fetch memory into its caches while it does other work, 6 KiB at most.
/// What a tick of a thousand legs costs is above all waiting for memory, one line after the other.
#[inline]
pub fn prefetch<T>(values: &[T]) {
    const LINE: usize = 64;
    const MOST: usize = 6144;
    #[cfg(target_arch = "x86_64")]
    for offset in (0..mem::size_of_val(values).min(MOST)).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address lies within `values`; a prefetch neither reads nor faults, and is part
        // of every x86-64.
        unsafe { _mm_prefetch(values.as_ptr().byte_add(offset).cast(), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, LINE, MOST);
}

/// Has a write to what nobody reads fail, and not end the program: as it is from the start, until an
/// attempt to become another program.
pub fn ignore_broken_pipes() {
    // SAFETY: it sets how one signal is taken; no handler of ours is involved.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// Gives freed memory back to the system, as far as the C library can. Takes some ms for a large
/// heap, in which nobody else may allocate.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and no pointer.
    unsafe {
        libc::malloc_trim(0)
    };
}

// ---------------------------------------------------------------------------------------------
// Clocks

/// Now, since the process-wide media epoch: the first call of this function. Monotonic.
pub fn monotonic_now() -> MediaTime {
    MediaTime::from_micros((media_ns() / 1000) as u64)
}

/// CPU time that the calling thread has used.
pub fn thread_cpu_time() -> Duration {
    Duration::from_nanos(clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) as u64)
}

/// Sleeps until `deadline` by absolute time, so that being late once does not shift what follows.
/// Returns at once when it has passed.
pub fn sleep_until(deadline: MediaTime) {
    let ns = epoch_ns() + (deadline.as_micros() as i64).saturating_mul(1000);
    let time = libc::timespec {
        tv_sec: ns / 1_000_000_000,
        tv_nsec: ns % 1_000_000_000,
    };
    loop {
        // SAFETY: `time` is a valid timespec that outlives the call; a null remainder is allowed.
        let error = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const time,
                ptr::null_mut(),
            )
        };
        if error != libc::EINTR {
            return;
        }
    }
}

/// Since the media epoch, nanoseconds.
pub(super) fn media_ns() -> i64 {
    // The epoch first: taken after the reading, the first time would be before it.
    let epoch = epoch_ns();
    clock_ns(libc::CLOCK_MONOTONIC) - epoch
}

/// A time of CLOCK_MONOTONIC, nanoseconds.
pub fn monotonic_time(ns: u64) -> MediaTime {
    MediaTime::from_micros((ns as i64 - epoch_ns()).max(0) as u64 / 1000)
}

/// CLOCK_REALTIME, nanoseconds since 1970.
pub(super) fn wall_ns() -> i64 {
    clock_ns(libc::CLOCK_REALTIME)
}

fn epoch_ns() -> i64 {
    static EPOCH: OnceLock<i64> = OnceLock::new();
    *EPOCH.get_or_init(|| clock_ns(libc::CLOCK_MONOTONIC))
}

fn clock_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid, writable timespec; the clocks in use exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

// ---------------------------------------------------------------------------------------------
// The process and the thread

/// Gives the calling thread the real-time class SCHED_FIFO at `priority` (1 to 99). Fails with
/// `PermissionDenied` without CAP_SYS_NICE or an RLIMIT_RTPRIO; the thread then runs on as before.
pub fn set_fifo(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: i32::from(priority),
    };
    // SAFETY: `parameters` is a valid sched_param; process id 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    check(result)
}

/// Raises the soft limit on open descriptors to the hard one, where that is permitted; returns the
/// limit now in force.
pub fn raise_nofile() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid, writable rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(raised(limit, |wanted| {
        // SAFETY: `wanted` is a valid rlimit that outlives the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, wanted) })
    }))
}

/// Raises the limit on memory that stays in place to all that there may be, where that is permitted.
pub fn raise_memlock() {
    let all = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `all` is a valid rlimit that outlives the call. Where it is refused the present one stays.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all) };
}

/// The soft limit once it has been tried to `set` it to the hard one: as before where that is refused.
fn raised(limit: libc::rlimit, set: impl FnOnce(&libc::rlimit) -> io::Result<()>) -> u64 {
    let wanted = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    if limit.rlim_cur < limit.rlim_max && set(&wanted).is_ok() {
        return wanted.rlim_cur;
    }
    limit.rlim_cur
}

/// Bytes that an unprivileged process may still write to the file system of `path`.
pub fn free_bytes(path: &std::path::Path) -> io::Result<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain data for which all zeroes is a valid value.
    let mut stat: libc::statvfs = unsafe { mem::zeroed() };
    // SAFETY: `path` is a C string and `stat` a writable statvfs, both live for the call.
    check(unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) })?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Whether an error is an ICMP answer to an earlier packet that the socket held ready.
fn is_icmp(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENETUNREACH
                | libc::ENOPROTOOPT
                | libc::EPROTO
        )
    )
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_forward_and_sleeps_to_the_deadline() {
        let start = monotonic_now();
        let deadline = start + Duration::from_millis(3);
        sleep_until(deadline);
        assert!(monotonic_now() >= deadline);
        sleep_until(start); // in the past: at once
        assert!(thread_cpu_time() > Duration::ZERO);
    }

    #[test]
    fn the_descriptor_limit_is_raised_to_the_hard_one() {
        let limit = raise_nofile().unwrap();
        assert_eq!(raise_nofile().unwrap(), limit);
        assert!(limit > 0);
    }

    #[test]
    fn a_descriptor_limit_that_cannot_be_raised_counts_as_it_is() {
        let limit = libc::rlimit {
            rlim_cur: 20_000,
            rlim_max: 50_000,
        };
        assert_eq!(raised(limit, |_| Ok(())), 50_000);
        let refused = io::ErrorKind::PermissionDenied;
        assert_eq!(raised(limit, |_| Err(refused.into())), 20_000);
    }
}
