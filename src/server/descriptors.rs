//! What the open files that the system allows are shared out among: calls and connections.

use crate::config::Config;

/// What is neither a call's nor a connection: listeners, clocks, files that are played.
const OTHERS: u64 = 128;
/// RTP, RTCP and a recording.
const PER_CALL: u64 = 3;

/// What there may be at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub calls: usize,
    /// Connections of SIP.
    pub sip: usize,
    /// Connections of HTTP.
    pub http: usize,
    /// Why that is less than is configured, and what to do about it.
    pub shortfall: Option<String>,
}

impl Shares {
    /// Calls come first, but connections keep a quarter where they need it: without any there would be
    /// no calls over TCP.
    pub fn new(config: &Config, descriptors: u64, port_pairs: usize) -> Self {
        let wanted = Wanted::of(config, port_pairs);
        let spare = descriptors.saturating_sub(OTHERS);
        let left = spare.saturating_sub(wanted.calls as u64 * PER_CALL);
        let in_all = wanted.sip + wanted.http;
        let connections = in_all.min(left.max(spare / 4));
        let sip = (connections * wanted.sip).checked_div(in_all).unwrap_or(0);
        let by_descriptors = ((spare - connections) / PER_CALL) as usize;
        let mut shares = Self {
            calls: wanted.calls.min(by_descriptors).max(1),
            sip: (sip.max(1) as usize).min(config.limits.tcp_connections),
            http: ((connections - sip).max(1) as usize).min(config.http.connections),
            shortfall: None,
        };
        let is_short = shares.calls < wanted.calls && config.limits.calls.is_some();
        if is_short || connections < in_all {
            shares.shortfall = Some(wanted.too_few_descriptors(&shares, descriptors));
        } else if let Some(calls) = config.limits.calls.filter(|&calls| calls > port_pairs) {
            shares.shortfall = Some(format!(
                "limits.calls = {calls} takes as many pairs of ports, and media.rtp_ports has {port_pairs}"
            ));
        }
        shares
    }
}

/// What the configuration asks for.
struct Wanted {
    calls: usize,
    sip: u64,
    http: u64,
}

impl Wanted {
    fn of(config: &Config, port_pairs: usize) -> Self {
        let speaks_http = !config.http.listen.is_empty();
        Self {
            calls: config.limits.calls.unwrap_or(port_pairs).min(port_pairs),
            sip: config.limits.tcp_connections as u64,
            http: if speaks_http {
                config.http.connections as u64
            } else {
                0
            },
        }
    }

    fn too_few_descriptors(&self, shares: &Shares, allowed: u64) -> String {
        let needed = OTHERS + self.sip + self.http + self.calls as u64 * PER_CALL;
        let Shares {
            calls, sip, http, ..
        } = shares;
        let http = if self.http > 0 {
            format!(" and {http} of HTTP")
        } else {
            String::new()
        };
        format!(
            "{allowed} open files are allowed, and {} calls with all configured connections take \
             {needed}: there is room for {calls} calls, {sip} connections of SIP{http}. Allow more with \
             `ulimit -n {needed}`, or LimitNOFILE={needed} in a unit of systemd",
            self.calls
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(calls: usize, http: bool) -> Config {
        let listen = if http { "[\"127.0.0.1:8080\"]" } else { "[]" };
        let text = format!("[limits]\ncalls = {calls}\n[http]\nlisten = {listen}\n");
        Config::parse(&text, "test.toml").unwrap()
    }

    fn calls_sip_http(shares: &Shares) -> (usize, usize, usize) {
        (shares.calls, shares.sip, shares.http)
    }

    #[test]
    fn what_is_configured_is_met_where_there_are_enough() {
        let shares = Shares::new(&config(200, true), 2752, 5_000);
        assert_eq!(calls_sip_http(&shares), (200, 1_000, 1_024));
        assert_eq!(shares.shortfall, None);
        // HTTP takes none where there is none.
        let shares = Shares::new(&config(200, false), 1_728, 5_000);
        assert_eq!((shares.calls, shares.sip), (200, 1_000));
        assert_eq!(shares.shortfall, None);
    }

    #[test]
    fn calls_come_before_connections_and_what_is_short_is_told() {
        // 2,000 to share: 600 for calls leave 1,400 of the 2,024 connections.
        let shares = Shares::new(&config(200, true), 2_128, 5_000);
        assert_eq!(calls_sip_http(&shares), (200, 691, 709));
        let told = shares.shortfall.unwrap();
        assert!(told.contains("LimitNOFILE=2752"), "{told}");
        assert!(told.contains("ulimit -n 2752"), "{told}");
        // 900 to share: a quarter is for connections.
        let shares = Shares::new(&config(500, false), 1_028, 5_000);
        assert_eq!((shares.calls, shares.sip), (225, 225));
        let told = shares.shortfall.unwrap();
        assert!(told.contains("225 calls"), "{told}");
        assert!(told.contains("LimitNOFILE=2628"), "{told}");
    }

    #[test]
    fn as_many_calls_as_there_can_be_are_nothing_to_warn_of() {
        let shares = Shares::new(&config(0, true), 10_128, 5_000);
        assert_eq!(shares.calls, 2_658);
        assert_eq!(shares.shortfall, None);
    }

    #[test]
    fn too_few_ports_are_told_and_one_call_is_always_possible() {
        let shares = Shares::new(&config(200, true), 100_000, 50);
        assert_eq!(shares.calls, 50);
        let told = shares.shortfall.unwrap();
        assert!(told.contains("media.rtp_ports has 50"), "{told}");
        let shares = Shares::new(&config(200, true), 64, 5_000);
        assert_eq!(calls_sip_http(&shares), (1, 1, 1));
    }
}
