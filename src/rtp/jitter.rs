//! The packet store.
