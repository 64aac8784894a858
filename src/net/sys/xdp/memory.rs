//! Memory that is shared with the kernel.

use std::io;
use std::ptr::{self, NonNull};
use std::slice;

/// Mapped memory; unmapped when dropped.
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is an address and a length; what is done with them is each user's affair.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps memory of the system's, or with `file` what that offers at `offset`.
    pub fn new(len: usize, file: Option<(i32, libc::off_t)>) -> io::Result<Self> {
        let (flags, fd, offset) = match file {
            Some((fd, offset)) => (libc::MAP_SHARED | libc::MAP_POPULATE, fd, offset),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
        };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping wherever the system finds room; no memory in use is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at nothing"))?;
        Ok(Self { start, len })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// What lies `offset` bytes in, where `count` values of that type fit.
    pub fn at<T>(&self, offset: usize, count: usize) -> NonNull<T> {
        assert!(
            offset + count * size_of::<T>() <= self.len && offset.is_multiple_of(align_of::<T>())
        );
        // SAFETY: within the mapping, by the line above.
        unsafe { self.start.add(offset).cast() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and who holds addresses in it holds this too.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The frames. That nobody else has a frame when its bytes are asked for is the affair of
/// [`Port`](super::Port), which hands each number to one holder only.
pub(super) struct Area(Mapping);

impl Area {
    pub fn new(len: usize) -> io::Result<Self> {
        let mapping = Mapping::new(len, None)?;
        // The kernel writes to these very pages: a child of this process must not have them copied.
        // In large pages, where there are any, there are fewer addresses to know.
        for advice in [libc::MADV_DONTFORK, libc::MADV_HUGEPAGE] {
            // SAFETY: it names the mapping, and changes nothing about what lies in it.
            unsafe { libc::madvise(mapping.start.as_ptr().cast(), len, advice) };
        }
        Ok(Self(mapping))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn start(&self) -> *mut u8 {
        self.0.start.as_ptr()
    }

    pub fn bytes(&self, at: u32, len: u32) -> &[u8] {
        let start = self.0.at::<u8>(at as usize, len as usize);
        // SAFETY: within the mapping, which lives as long as this; the caller's frame, which the kernel
        // does not write to meanwhile.
        unsafe { slice::from_raw_parts(start.as_ptr(), len as usize) }
    }

    #[expect(clippy::mut_from_ref, reason = "the frame is the caller's alone")]
    pub fn bytes_mut(&self, at: u32, len: u32) -> &mut [u8] {
        let start = self.0.at::<u8>(at as usize, len as usize);
        // SAFETY: as above; the frame was free, so nobody reads it either.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), len as usize) }
    }
}
