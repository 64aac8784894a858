//! Digits: empty yet. Telephone events (RFC 4733) are negotiated, counted and not mixed; reading them
//! comes with the applications that want digits.
