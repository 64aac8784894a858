//! SIP net
