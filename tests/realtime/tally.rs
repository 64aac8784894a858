//! Counts what a marked thread does to the heap, and the log lines that it makes.
//!
//! Stands in the C library's own place (`malloc`, `free` and their kin are defined here and win
//! over glibc's), so that C libraries are seen as well as Rust, whose allocator is the same one.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was done while a thread was marked with this tally.
#[derive(Debug, Default)]
pub struct Tally {
    allocations: AtomicU64,
    frees: AtomicU64,
    log_lines: AtomicU64,
    /// Whether the first one's backtrace is taken; that opens files, so not under the filter.
    traced: bool,
    first: OnceLock<String>,
}

thread_local! {
    // Without a destructor and constant at first, so that reading it allocates nothing.
    static MARK: Cell<Option<&'static Tally>> = const { Cell::new(None) };
}

impl Tally {
    /// A tally with the backtrace of the first offence.
    pub fn traced() -> &'static Tally {
        Box::leak(Box::new(Tally {
            traced: true,
            ..Tally::default()
        }))
    }

    /// Runs `body` with the thread marked.
    pub fn watch<T>(&'static self, body: impl FnOnce() -> T) -> T {
        self.mark();
        let value = body();
        MARK.set(None);
        value
    }

    /// Marks the calling thread for good.
    pub fn mark(&'static self) {
        MARK.set(Some(self));
    }

    /// How often memory was taken, given back, and a log line or span made.
    pub fn counts(&self) -> (u64, u64, u64) {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (
            load(&self.allocations),
            load(&self.frees),
            load(&self.log_lines),
        )
    }

    /// Fails if anything was counted.
    pub fn assert_untouched(&self) {
        let (allocations, frees, log_lines) = self.counts();
        assert!(
            (allocations, frees, log_lines) == (0, 0, 0),
            "on the media thread: {allocations} allocations, {frees} frees, {log_lines} log \
             lines; the first:\n{}",
            self.first.get().map_or("(not traced)", String::as_str)
        );
    }

    fn note(&'static self, counter: &AtomicU64, what: &str) {
        counter.fetch_add(1, Ordering::Relaxed);
        if self.traced && self.first.get().is_none() {
            // Unmarked meanwhile: taking a backtrace allocates.
            MARK.set(None);
            let trace = format!("{what}\n{}", Backtrace::force_capture());
            let _ = self.first.set(trace);
            MARK.set(Some(self));
        }
    }
}

fn allocated() {
    if let Some(tally) = MARK.get() {
        tally.note(&tally.allocations, "an allocation");
    }
}

fn freed(memory: *mut c_void) {
    if !memory.is_null()
        && let Some(tally) = MARK.get()
    {
        tally.note(&tally.frees, "a free");
    }
}

/// Takes every log line of the process, down to the finest, and notes those of a marked thread.
pub struct Logs;

impl Logs {
    /// Puts it in place of a log; without one, a line would be skipped before it is made.
    pub fn install() {
        // Refused where another test of this process has done the same.
        let _ = tracing::subscriber::set_global_default(Logs);
    }

    fn note() {
        if let Some(tally) = MARK.get() {
            tally.note(&tally.log_lines, "a log line");
        }
    }
}

impl tracing::Subscriber for Logs {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        Logs::note();
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, _: &tracing::Event<'_>) {
        Logs::note();
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(memory: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
    fn __libc_free(memory: *mut c_void);
}

// SAFETY of all that follows: each function keeps the contract of the one that it stands for by
// handing its own arguments to glibc's implementation of it.

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    allocated();
    unsafe { __libc_malloc(size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    allocated();
    unsafe { __libc_calloc(count, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    allocated();
    unsafe { __libc_realloc(memory, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    allocated();
    unsafe { __libc_memalign(alignment, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    allocated();
    unsafe { __libc_memalign(alignment, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    allocated();
    let memory = unsafe { __libc_memalign(alignment, size) };
    if memory.is_null() {
        return libc::ENOMEM;
    }
    unsafe { *out = memory };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(memory: *mut c_void) {
    freed(memory);
    unsafe { __libc_free(memory) }
}
