//! Names of SIP URIs (RFC 3263), asked of a real name server.

use crate::support::dns;

use std::net::IpAddr;

use antiphon::net::resolve::{ResolveError, Resolver};
use antiphon::sip::transport::Transport::{self, Tcp, Tls, Udp};
use dns::{Entry, NameServer};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use rand::SeedableRng;
use rand::rngs::StdRng;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn zone() -> Vec<(&'static str, Entry)> {
    vec![
        // NAPTR, SRV, addresses.
        (
            "a.example",
            Entry::Naptr(20, 10, "SIP+D2U", "_sip._udp.a.example"),
        ),
        (
            "a.example",
            Entry::Naptr(10, 20, "SIP+D2T", "_sip._tcp.a.example"),
        ),
        (
            "a.example",
            Entry::Naptr(10, 10, "SIPS+D2T", "_sips._tcp.a.example"),
        ),
        (
            "_sips._tcp.a.example",
            Entry::Srv(1, 1, 5071, "one.example"),
        ),
        ("_sip._tcp.a.example", Entry::Srv(2, 1, 5080, "two.example")),
        ("_sip._tcp.a.example", Entry::Srv(1, 1, 5070, "one.example")),
        (
            "_sip._tcp.a.example",
            Entry::Srv(3, 1, 5090, "gone.example"),
        ),
        ("_sip._udp.a.example", Entry::Srv(1, 1, 5060, "one.example")),
        ("one.example", Entry::Address(ip("192.0.2.1"))),
        ("one.example", Entry::Address(ip("2001:db8::1"))),
        ("two.example", Entry::Address(ip("192.0.2.2"))),
        // SRV alone.
        ("b.example", Entry::Address(ip("192.0.2.9"))),
        ("_sip._tcp.b.example", Entry::Srv(1, 1, 5070, "two.example")),
        // An address alone.
        ("c.example", Entry::Address(ip("192.0.2.3"))),
        // A name without anything.
        (
            "_sip._udp.d.example",
            Entry::Srv(1, 1, 5060, "gone.example"),
        ),
    ]
}

async fn found(resolver: &Resolver, uri: &str) -> Result<Vec<(Transport, String)>, ResolveError> {
    let mut rng = StdRng::seed_from_u64(1);
    let targets = resolver.targets(&uri.parse().unwrap(), &mut rng).await?;
    let pair =
        |target: &antiphon::net::resolve::Target| (target.transport, target.address.to_string());
    Ok(targets.iter().map(pair).collect())
}

#[tokio::test]
async fn a_domain_leads_to_its_services_in_their_order() {
    let server = NameServer::start(zone());
    let resolver = Resolver::new(&[server.address]);
    let cases: &[(&str, &[(Transport, &str)])] = &[
        (
            "sip:1@a.example",
            &[
                (Tls, "192.0.2.1:5071"),
                (Tls, "[2001:db8::1]:5071"),
                (Tcp, "192.0.2.1:5070"),
                (Tcp, "[2001:db8::1]:5070"),
                (Tcp, "192.0.2.2:5080"),
                (Udp, "192.0.2.1:5060"),
                (Udp, "[2001:db8::1]:5060"),
            ],
        ),
        (
            "sips:1@a.example",
            &[(Tls, "192.0.2.1:5071"), (Tls, "[2001:db8::1]:5071")],
        ),
        (
            "sip:1@a.example;transport=udp",
            &[(Udp, "192.0.2.1:5060"), (Udp, "[2001:db8::1]:5060")],
        ),
        ("sip:1@b.example", &[(Tcp, "192.0.2.2:5070")]),
        ("sip:1@b.example:5099", &[(Udp, "192.0.2.9:5099")]),
        ("sip:1@b.example;transport=udp", &[(Udp, "192.0.2.9:5060")]),
        ("sip:1@c.example", &[(Udp, "192.0.2.3:5060")]),
        ("sip:1@c.example;transport=tcp", &[(Tcp, "192.0.2.3:5060")]),
        ("sips:1@c.example", &[(Tls, "192.0.2.3:5061")]),
        ("sip:1@192.0.2.7:5070", &[(Udp, "192.0.2.7:5070")]),
    ];
    for (uri, expected) in cases {
        let expected: Vec<_> = expected
            .iter()
            .map(|(t, a)| (*t, (*a).to_owned()))
            .collect();
        assert_eq!(found(&resolver, uri).await.expect(uri), expected, "{uri}");
    }
}

/// More records than are tried, the best one last.
#[tokio::test]
async fn the_best_of_many_records_are_tried() {
    let service = "_sip._udp.a.example";
    let mut zone: Vec<_> = (0..20)
        .map(|n| (service, Entry::Srv(100 - n, 1, 5060 + n, "one.example")))
        .collect();
    zone.push(("one.example", Entry::Address(ip("192.0.2.1"))));
    let server = NameServer::start(zone);
    let resolver = Resolver::new(&[server.address]);
    let expected: Vec<_> = (0..16)
        .map(|n| (Udp, format!("192.0.2.1:{}", 5079 - n)))
        .collect();
    let uri = "sip:1@a.example;transport=udp";
    assert_eq!(found(&resolver, uri).await.unwrap(), expected);
}

/// A name that is not known is not sought in the domains that people leave out in a shell.
#[tokio::test]
async fn the_search_list_is_for_names_without_a_dot() {
    let entry = |address| Entry::Address(ip(address));
    let server = NameServer::start(vec![
        ("pbx.corp.example", entry("192.0.2.66")),
        ("pbx.partner.corp.example", entry("192.0.2.67")),
    ]);
    let mut connection = ConnectionConfig::new(ProtocolConfig::Udp);
    connection.port = server.address.port();
    let servers = vec![NameServerConfig::new(
        server.address.ip(),
        true,
        vec![connection],
    )];
    let search = vec![Name::from_utf8("corp.example.").unwrap()];
    let config = ResolverConfig::from_parts(None, search, servers);
    let runtime = TokioRuntimeProvider::default();
    let dns = TokioResolver::builder_with_config(config, runtime).build();
    let resolver = Resolver::from(dns.unwrap());
    let whole = found(&resolver, "sip:1@pbx.corp.example:5060").await;
    assert_eq!(whole.unwrap(), [(Udp, "192.0.2.66:5060".to_owned())]);
    let short = found(&resolver, "sip:1@pbx:5060").await;
    assert_eq!(short.unwrap(), [(Udp, "192.0.2.66:5060".to_owned())]);
    for uri in ["sip:1@pbx.partner:5060", "sip:1@pbx.partner"] {
        assert!(found(&resolver, uri).await.is_err(), "{uri}");
    }
    // What the system knows without DNS is found.
    let here = found(&resolver, "sip:1@localhost:5060").await.unwrap();
    assert!(
        here.contains(&(Udp, "127.0.0.1:5060".to_owned())),
        "{here:?}"
    );
}

#[tokio::test]
async fn what_leads_nowhere_says_so() {
    let server = NameServer::start(zone());
    let resolver = Resolver::new(&[server.address]);
    for name in ["d.example", "nobody.example"] {
        let error = found(&resolver, &format!("sip:1@{name}"))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot resolve {name}: ")),
            "{error}"
        );
    }
    let error = found(&resolver, "sip:1@a.example;transport=sctp").await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("\"sctp\" is not supported")
    );
}

#[tokio::test]
async fn a_silent_name_server_is_not_waited_for_without_end() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = Resolver::new(&[silent.local_addr().unwrap()]);
    let began = std::time::Instant::now();
    assert!(found(&resolver, "sip:1@a.example").await.is_err());
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}
