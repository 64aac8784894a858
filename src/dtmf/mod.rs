//! dtmf.
