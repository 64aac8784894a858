//! A seccomp filter for one thread: the clock and the sockets, nothing else.
//!
//! What it does not allow traps: the thread is held where it is, and a watcher names the system
//! call on standard error and ends the process with [`VIOLATION`].

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

/// The exit status of a process whose media thread has left its bounds.
pub const VIOLATION: i32 = 77;

/// The system call that trapped; -1: none so far.
static TRAPPED: AtomicI64 = AtomicI64::new(-1);
/// Where from: return addresses, the innermost first.
static TRACE: [AtomicUsize; FRAMES] = [const { AtomicUsize::new(0) }; FRAMES];
const FRAMES: usize = 24;

/// What a media thread may ask of the kernel.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmmsg,
    libc::SYS_connect,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // The kernel's own: a sleep that a signal has interrupted goes on.
    libc::SYS_restart_syscall,
];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64

/// Prepares the process: the trap's handler, and the thread that reports. To be called before
/// any thread confines itself.
pub fn watch() {
    // The unwinder loads its tables with the first use: not inside the handler.
    let mut frames = [std::ptr::null_mut(); FRAMES];
    // SAFETY: the array is as long as is said.
    unsafe { libc::backtrace(frames.as_mut_ptr(), FRAMES as libc::c_int) };
    // SAFETY: a zeroed sigaction is a valid one; the handler has the signature that SA_SIGINFO
    // asks for and does nothing that a signal handler may not.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = trapped as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(installed, 0, "SIGSYS handled");
    std::thread::spawn(report);
}

/// Confines the calling thread for good.
pub fn confine() {
    let mut program = Vec::with_capacity(2 * ALLOWED.len() + 6);
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let unless_equal_skip = |k: u32, jf: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let give = libc::BPF_RET | libc::BPF_K;
    // Offsets within seccomp_data: the number at 0, the architecture at 4.
    program.push(statement(load, 4));
    program.push(unless_equal_skip(ARCHITECTURE, 1));
    program.push(statement(load, 0));
    for &call in ALLOWED {
        program.push(unless_equal_skip(call as u32, 1));
        program.push(statement(give, libc::SECCOMP_RET_ALLOW));
    }
    program.push(statement(give, libc::SECCOMP_RET_TRAP));
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: prctl with these arguments touches nothing but the calling thread; `filter` and
    // the program it points to live through the call, and the kernel copies both.
    let (privileges, filtered) = unsafe {
        (
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ),
        )
    };
    assert_eq!(
        (privileges, filtered),
        (0, 0),
        "seccomp filters are allowed here"
    );
    // Freeing may give memory back to the kernel, which from here on traps.
    std::mem::forget(program);
}

/// Holds the thread that left its bounds.
extern "C" fn trapped(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let mut frames = [std::ptr::null_mut(); FRAMES];
    // SAFETY: the array is as long as is said, and the unwinder was loaded before.
    unsafe { libc::backtrace(frames.as_mut_ptr(), FRAMES as libc::c_int) };
    for (place, frame) in TRACE.iter().zip(frames) {
        place.store(frame as usize, Ordering::Relaxed);
    }
    // SAFETY: the kernel hands a valid siginfo_t; for SIGSYS the number of the call stands
    // behind the address of it (sigaction(2): si_call_addr, si_syscall), at byte 24.
    let call = unsafe { info.cast::<u8>().add(24).cast::<i32>().read_unaligned() };
    TRAPPED.store(i64::from(call), Ordering::Release);
    loop {
        let long = libc::timespec {
            tv_sec: 3600,
            tv_nsec: 0,
        };
        // SAFETY: the time is valid, and sleeping is allowed to the thread.
        unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &raw const long, &mut { long }) };
    }
}

/// Waits for a trap. Allocates nothing from then on: the held thread may hold the heap's lock.
fn report() {
    let mut text = Text {
        bytes: [0; 4096],
        len: 0,
    };
    let call = loop {
        match TRAPPED.load(Ordering::Acquire) {
            -1 => std::thread::sleep(Duration::from_millis(5)),
            call => break call,
        }
    };
    let name = NAMES
        .iter()
        .find(|(number, _)| *number == call)
        .map_or("?", |(_, name)| name);
    let _ = write!(
        text,
        "the media thread called {name} (system call {call}) from"
    );
    let base = image_base();
    for place in &TRACE {
        let address = place.load(Ordering::Relaxed);
        if address != 0 {
            let _ = write!(text, " {:#x}", address.wrapping_sub(base));
        }
    }
    let _ = writeln!(text);
    // SAFETY: the bytes are live and as many as is said; nothing runs after _exit.
    unsafe {
        libc::write(2, text.bytes.as_ptr().cast(), text.len);
        libc::_exit(VIOLATION);
    }
}

/// Where the program is loaded, so that addresses fit `addr2line`.
fn image_base() -> usize {
    unsafe extern "C" {
        static __ehdr_start: u8;
    }
    (&raw const __ehdr_start) as usize
}

struct Text {
    bytes: [u8; 4096],
    len: usize,
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let count = s.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + count].copy_from_slice(&s.as_bytes()[..count]);
        self.len += count;
        Ok(())
    }
}

/// Those that a mistake on a media thread most likely ends in.
const NAMES: &[(i64, &str)] = &[
    (libc::SYS_futex, "futex: a lock, or waking somebody"),
    (libc::SYS_sched_yield, "sched_yield: waiting for a lock"),
    (libc::SYS_write, "write: a log line or a file"),
    (libc::SYS_writev, "writev: a log line or a file"),
    (libc::SYS_read, "read: a file"),
    (libc::SYS_openat, "openat: a file"),
    (libc::SYS_close, "close: a descriptor"),
    (libc::SYS_fsync, "fsync: a file"),
    (libc::SYS_lseek, "lseek: a file"),
    (libc::SYS_mmap, "mmap: memory"),
    (libc::SYS_munmap, "munmap: memory"),
    (libc::SYS_mremap, "mremap: memory"),
    (libc::SYS_madvise, "madvise: memory"),
    (libc::SYS_mprotect, "mprotect: memory"),
    (libc::SYS_brk, "brk: memory"),
    (libc::SYS_getrandom, "getrandom"),
    (libc::SYS_exit, "exit: the thread has ended"),
    (
        libc::SYS_rt_sigprocmask,
        "rt_sigprocmask: a panic that aborts",
    ),
    (libc::SYS_socket, "socket"),
    (
        libc::SYS_recvfrom,
        "recvfrom: a socket read by other means than recvmsg",
    ),
    (
        libc::SYS_recvmmsg,
        "recvmmsg: a socket read by other means than recvmsg",
    ),
    (
        libc::SYS_sendmsg,
        "sendmsg: a socket written by other means than sendto, sendmmsg",
    ),
];
