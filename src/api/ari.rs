//! The subset of the Asterisk REST Interface that is served.

use super::table::Operation;

/// What there is below `/ari/`.
pub static OPERATIONS: &[Operation] = &[];
