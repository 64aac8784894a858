//! dialog.
