//! session_timer.
