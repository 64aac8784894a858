//! Whether a directory could be had, found out before somebody needs it.

use std::fs;
use std::io;
use std::path::Path;

use rand::Rng as _;

/// Whether a file can be made, and removed, in a directory or in the first one above it that is there.
/// Blocks.
pub fn probe(directory: &Path) -> io::Result<()> {
    let whole = std::path::absolute(directory)?;
    let there = whole.ancestors().find(|above| above.exists());
    let name = format!(".probe-{:016x}", rand::rng().random::<u64>());
    let file = there.unwrap_or(&whole).join(name);
    fs::File::create_new(&file).and_then(|_| fs::remove_file(&file))
}
