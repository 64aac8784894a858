//! `srtp` and `srtp_suites`: whether media is encrypted, and how.

use crate::sdp::SrtpPolicy;
use crate::srtp::Suite;

use super::reader::{Table, text};

const POLICIES: &str = "\"off\", \"optional\" or \"required\"";

/// Reads `srtp`, if it is there.
pub(super) fn read_policy(table: &mut Table<'_, '_>) -> Option<SrtpPolicy> {
    table.optional("srtp", POLICIES, |value| {
        let word = text(value)?;
        let mut all = [SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required].into_iter();
        all.find(|policy| name(*policy) == word)
    })
}

/// A policy as the configuration writes it.
pub(super) fn name(policy: SrtpPolicy) -> &'static str {
    match policy {
        SrtpPolicy::Off => "off",
        SrtpPolicy::Optional => "optional",
        SrtpPolicy::Required => "required",
    }
}

/// Reads `srtp_suites`.
pub(super) fn read_suites(table: &mut Table<'_, '_>) -> Vec<Suite> {
    let names = Suite::ALL.map(Suite::name);
    let expected = format!("at least one of {}", names.join(", "));
    let all = Suite::ALL.to_vec();
    let suites = table.list("srtp_suites", all, &expected, Suite::from_name);
    if suites.is_empty()
        && let Some(value) = table.find("srtp_suites")
        && value
            .get_ref()
            .as_array()
            .is_some_and(|list| list.is_empty())
    {
        table.refuse("srtp_suites", value, expected);
    }
    suites
}
