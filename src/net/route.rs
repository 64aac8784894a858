//! Route look-up.
