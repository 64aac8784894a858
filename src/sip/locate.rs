//! Where a SIP URI leads (RFC 3263), without the asking: what is to be looked up, and in which
//! order what was found is tried.

use std::net::IpAddr;

use rand::Rng;

use super::transport::Transport;
use super::uri::{Host, Scheme, Uri};

/// What has to be looked up for a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it is an address.
    Address(Transport, IpAddr, u16),
    /// The addresses of a host.
    Host(Transport, String, u16),
    /// The services of a domain: by NAPTR where no transport is named, then by SRV, then its own
    /// addresses.
    Domain {
        /// The domain.
        name: String,
        /// What the URI names.
        transport: Option<Transport>,
        /// Whether it has to be TLS.
        secure: bool,
    },
}

/// A NAPTR record (RFC 3403), as far as SIP uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// The lowest is taken first.
    pub order: u16,
    /// The lowest of an order is taken first.
    pub preference: u16,
    /// `s`: the replacement has SRV records.
    pub flags: String,
    /// `SIP+D2U` and the like.
    pub service: String,
    /// The name to go on with.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// The lowest is taken first.
    pub priority: u16,
    /// How often it is taken first among its equals.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: String,
}

/// The URI names a transport that is unknown, or not one for `sips`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transport {0:?} is not supported; udp, tcp and tls are, and tcp and tls for sips")]
pub struct UnknownTransport(pub String);

/// RFC 3263 §4.1 and §4.2, up to the first question.
pub fn plan(uri: &Uri) -> Result<Plan, UnknownTransport> {
    let secure = uri.scheme == Scheme::Sips;
    let named = match uri.params.value("transport") {
        None => None,
        Some(text) => Some(
            Transport::named(text, secure)
                .filter(|t| !matches!(t, Transport::Ws | Transport::Wss))
                .ok_or_else(|| UnknownTransport(text.to_owned()))?,
        ),
    };
    let otherwise = if secure {
        Transport::Tls
    } else {
        Transport::Udp
    };
    let transport = named.unwrap_or(otherwise);
    let port = uri.port.unwrap_or(transport.default_port());
    Ok(match &uri.host {
        Host::V4(ip) => Plan::Address(transport, (*ip).into(), port),
        Host::V6(ip) => Plan::Address(transport, (*ip).into(), port),
        Host::Name(name) if uri.port.is_some() => Plan::Host(transport, name.clone(), port),
        Host::Name(name) => Plan::Domain {
            name: name.clone(),
            transport: named,
            secure,
        },
    })
}

/// The SRV names that NAPTR records lead to, in their order; those that we cannot speak left out.
pub fn by_naptr(mut records: Vec<Naptr>, secure: bool) -> Vec<(Transport, String)> {
    records.sort_by_key(|record| (record.order, record.preference));
    let service = |record: &Naptr| {
        let is = |name: &str| record.service.eq_ignore_ascii_case(name);
        match () {
            () if is("SIPS+D2T") => Some(Transport::Tls),
            () if is("SIP+D2T") && !secure => Some(Transport::Tcp),
            () if is("SIP+D2U") && !secure => Some(Transport::Udp),
            () => None,
        }
    };
    records
        .into_iter()
        .filter(|record| record.flags.eq_ignore_ascii_case("s") && !record.replacement.is_empty())
        .filter_map(|record| Some((service(&record)?, record.replacement)))
        .collect()
}

/// The SRV names to ask for where no NAPTR record says which: ours in our order.
pub fn by_convention(
    domain: &str,
    transport: Option<Transport>,
    secure: bool,
) -> Vec<(Transport, String)> {
    let ours: &[Transport] = match (transport, secure) {
        (Some(Transport::Udp), _) => &[Transport::Udp],
        (Some(Transport::Tcp), _) => &[Transport::Tcp],
        (Some(_), _) | (None, true) => &[Transport::Tls],
        (None, false) => &[Transport::Udp, Transport::Tcp, Transport::Tls],
    };
    let name = |transport: &Transport| {
        let service = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            _ => "_sips._tcp",
        };
        (*transport, format!("{service}.{domain}"))
    };
    ours.iter().map(name).collect()
}

/// SRV records in the order in which they are tried (RFC 2782): by priority, and within one at
/// random by weight; the first `most` of them. A single record with the target `.` says that there is
/// no such service.
pub fn in_order(mut records: Vec<Srv>, most: usize, rng: &mut impl Rng) -> Vec<Srv> {
    records.retain(|record| !matches!(record.target.as_str(), "" | "."));
    // Those without weight first: so that they have a small chance.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len().min(most));
    while ordered.len() < most
        && let Some(first) = records.first()
    {
        let priority = first.priority;
        let equals = records
            .iter()
            .take_while(|record| record.priority == priority);
        let total: u32 = equals.map(|record| u32::from(record.weight)).sum();
        let mut draw = rng.random_range(0..=total);
        let mut chosen = 0;
        for (index, record) in records.iter().enumerate() {
            chosen = index;
            let weight = u32::from(record.weight);
            if weight >= draw {
                break;
            }
            draw -= weight;
        }
        ordered.push(records.remove(chosen));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn planned(uri: &str) -> Result<Plan, UnknownTransport> {
        plan(&uri.parse().unwrap())
    }

    #[test]
    fn what_is_asked_for_depends_on_what_the_uri_says() {
        use Transport::{Tcp, Tls, Udp};
        let ip = "192.0.2.1".parse().unwrap();
        let host = |transport, port| Ok(Plan::Host(transport, "a.example".into(), port));
        let domain = |transport, secure| {
            Ok(Plan::Domain {
                name: "a.example".into(),
                transport,
                secure,
            })
        };
        assert_eq!(planned("sip:1@192.0.2.1"), Ok(Plan::Address(Udp, ip, 5060)));
        assert_eq!(
            planned("sips:1@192.0.2.1"),
            Ok(Plan::Address(Tls, ip, 5061))
        );
        let named = planned("sip:1@192.0.2.1;transport=tls");
        assert_eq!(named, Ok(Plan::Address(Tls, ip, 5061)));
        let v6 = planned("sip:1@[2001:db8::1]:5070;transport=tcp");
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(v6, Ok(Plan::Address(Tcp, address, 5070)));
        assert_eq!(planned("sip:1@a.example:5070"), host(Udp, 5070));
        assert_eq!(planned("sips:1@a.example:5071"), host(Tls, 5071));
        assert_eq!(planned("sip:1@a.example"), domain(None, false));
        assert_eq!(planned("sips:1@a.example"), domain(None, true));
        let tcp = planned("sip:1@a.example;transport=tcp");
        assert_eq!(tcp, domain(Some(Tcp), false));
        assert!(planned("sip:1@a.example;transport=sctp").is_err());
        assert!(planned("sips:1@a.example;transport=udp").is_err());
        assert!(planned("sip:1@a.example;transport=ws").is_err());
    }

    fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Naptr {
        Naptr {
            order,
            preference,
            flags: "s".into(),
            service: service.into(),
            replacement: replacement.into(),
        }
    }

    #[test]
    fn naptr_records_go_by_order_and_preference() {
        let records = vec![
            naptr(50, 50, "SIP+D2U", "u"),
            naptr(20, 10, "SIPS+D2T", "s"),
            naptr(20, 5, "SIP+D2T", "t"),
            naptr(1, 1, "SIP+D2S", "sctp"),
            naptr(1, 1, "E2U+sip", "enum"),
        ];
        let all = by_naptr(records.clone(), false);
        let expected = [
            (Transport::Tcp, "t"),
            (Transport::Tls, "s"),
            (Transport::Udp, "u"),
        ];
        assert_eq!(all, expected.map(|(t, name)| (t, name.to_owned())));
        assert_eq!(by_naptr(records, true), [(Transport::Tls, "s".to_owned())]);
    }

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv {
            priority,
            weight,
            port: 5060,
            target: target.into(),
        }
    }

    #[test]
    fn srv_records_go_by_priority_and_share_by_weight() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut firsts = [0; 3];
        for _ in 0..10_000 {
            let records = vec![
                srv(2, 1, "z"),
                srv(1, 10, "a"),
                srv(1, 30, "b"),
                srv(1, 0, "c"),
            ];
            let order = in_order(records, 16, &mut rng);
            assert_eq!(order.len(), 4);
            assert_eq!(order[3].target, "z");
            let first = ["a", "b", "c"].iter().position(|t| *t == order[0].target);
            firsts[first.unwrap()] += 1;
        }
        let [a, b, c] = firsts;
        assert!((2_200..2_700).contains(&a), "{firsts:?}");
        assert!((7_000..7_600).contains(&b), "{firsts:?}");
        assert!((100..500).contains(&c), "{firsts:?}");
        assert!(in_order(vec![srv(0, 0, ".")], 16, &mut rng).is_empty());
        // However many there are, the best are taken.
        let many = (0..1000).map(|n| srv(1000 - n, 1, "a")).collect();
        let best = in_order(many, 3, &mut rng);
        let priorities: Vec<_> = best.iter().map(|record| record.priority).collect();
        assert_eq!(priorities, [1, 2, 3]);
    }

    #[test]
    fn services_are_named_by_convention() {
        let names = |transport, secure| -> Vec<String> {
            let found = by_convention("a.example", transport, secure);
            found.into_iter().map(|(_, name)| name).collect()
        };
        let all = [
            "_sip._udp.a.example",
            "_sip._tcp.a.example",
            "_sips._tcp.a.example",
        ];
        assert_eq!(names(None, false), all);
        assert_eq!(names(None, true), all[2..]);
        assert_eq!(names(Some(Transport::Tcp), false), all[1..2]);
    }
}
