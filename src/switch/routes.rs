//! The route table: dialled user (and source) -> application.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use regex::{Captures, Regex};

use crate::app::room;
use crate::app::{
    AppSpec, ConferenceSpec, MAX_INSERTED, RecordSpec, StasisSpec, VoicemailSpec, split_reference,
};
use crate::sdp::SrtpPolicy;

/// One row: the first that matches decides.
#[derive(Clone, Debug)]
pub struct Route {
    /// Matched against the whole dialled user, decoded.
    pub pattern: Regex,
    /// Networks that the call must come from; empty: any.
    pub sources: Vec<IpNet>,
    /// Whether media is encrypted.
    pub srtp: SrtpPolicy,
    /// Networks that the call must not come from.
    pub denied: Vec<IpNet>,
    /// The caller has to be a user.
    pub auth: bool,
    /// What happens. `$1`, `${name}` in a room or file name stand for the pattern's groups.
    pub spec: AppSpec,
}

/// Routes in their order.
#[derive(Clone, Debug, Default)]
pub struct Routes(pub Vec<Route>);

impl Routes {
    /// The application for a dialled user, if there is one.
    pub fn resolve(&self, user: &str, source: IpAddr) -> Option<AppSpec> {
        self.find(user, source).map(|(spec, _)| spec)
    }

    /// The same, and whether media is encrypted.
    pub fn find(&self, user: &str, source: IpAddr) -> Option<(AppSpec, SrtpPolicy)> {
        let (route, groups) = self.first(user, source)?;
        let spec = expand(&route.spec, &groups);
        // What callers dial may name what no room may be called.
        let exists = match &spec {
            AppSpec::Conference(conference) => room::is_name(&conference.room),
            _ => true,
        };
        exists.then_some((spec, route.srtp))
    }

    /// Whether a call to a dialled user has to come from one of our users. Where any route wants that,
    /// a user without a route wants it too: else the answers would tell which there are.
    pub fn wants_auth(&self, user: &str, source: IpAddr) -> bool {
        self.0.iter().any(|route| route.auth)
            && self.first(user, source).is_none_or(|(route, _)| route.auth)
    }

    fn first<'a>(&self, user: &'a str, source: IpAddr) -> Option<(&Route, Captures<'a>)> {
        // A peer on a dual-stack socket is the same peer.
        let source = source.to_canonical();
        let has = |networks: &[IpNet]| networks.iter().any(|n| n.contains(&source));
        self.0.iter().find_map(|route| {
            let groups = route.pattern.captures(user)?;
            let whole = groups.get(0)?;
            let matches = whole.len() == user.len()
                && (route.sources.is_empty() || has(&route.sources))
                && !has(&route.denied);
            matches.then_some((route, groups))
        })
    }
}

/// Anchors a pattern on both ends.
pub fn anchored(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

fn expand(spec: &AppSpec, groups: &Captures<'_>) -> AppSpec {
    let fill = |template: &str| {
        let mut out = String::new();
        groups.expand(template, &mut out);
        out
    };
    match spec {
        AppSpec::Conference(c) => AppSpec::Conference(ConferenceSpec {
            room: fill(&c.room),
            ..c.clone()
        }),
        AppSpec::Record(r) => AppSpec::Record(RecordSpec {
            file: r
                .file
                .as_ref()
                .map(|f| PathBuf::from(file_name(&f.to_string_lossy(), groups))),
            ..r.clone()
        }),
        AppSpec::Voicemail(v) => AppSpec::Voicemail(VoicemailSpec {
            mailbox: v.mailbox.as_deref().map(fill),
            ..v.clone()
        }),
        AppSpec::Stasis(s) => AppSpec::Stasis(StasisSpec {
            app: s.app.clone(),
            args: s.args.iter().map(|arg| fill(arg)).collect(),
            otherwise: s.otherwise.as_deref().map(fill),
        }),
        other => other.clone(),
    }
}

/// The name of a file: what the caller puts in is cut, and nothing else.
fn file_name(template: &str, groups: &Captures<'_>) -> String {
    let mut name = String::new();
    let mut rest = template;
    while let Some((before, reference, behind)) = split_reference(rest) {
        let mut inserted = String::new();
        groups.expand(reference, &mut inserted);
        name.push_str(before);
        name.extend(inserted.chars().take(MAX_INSERTED));
        rest = behind;
    }
    name.push_str(rest);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let conference = |room: &str| {
            AppSpec::Conference(ConferenceSpec {
                room: room.to_owned(),
                lone_prompt: true,
                max_members: 10,
                ..ConferenceSpec::default()
            })
        };
        let row = |pattern, room| Route {
            pattern: anchored(pattern).unwrap(),
            sources: Vec::new(),
            srtp: SrtpPolicy::Off,
            denied: Vec::new(),
            auth: false,
            spec: conference(room),
        };
        Routes(vec![
            row("conf[=-](.+)", "$1"),
            row("6[0-9]{2}|6[0-9]{4}", "$0"),
        ])
    }

    fn room(user: &str) -> Option<String> {
        match routes().resolve(user, IpAddr::from([127, 0, 0, 1])) {
            Some(AppSpec::Conference(c)) => Some(c.room),
            _ => None,
        }
    }

    #[test]
    fn conference_ids_in_all_their_forms() {
        assert_eq!(room("600").as_deref(), Some("600"));
        assert_eq!(room("61234").as_deref(), Some("61234"));
        assert_eq!(room("conf=600").as_deref(), Some("600"));
        assert_eq!(room("conf-team.a").as_deref(), Some("team.a"));
        for other in ["6000", "60", "1600", "600x", "conf=", "", "6\n00"] {
            assert_eq!(room(other), None, "{other:?}");
        }
        let longest = "ä".repeat(64);
        assert_eq!(room(&format!("conf-{longest}")), Some(longest.clone()));
        let longer = format!("{longest}x");
        for other in [longer.as_str(), "\u{1}x", "x\t", "\u{85}"] {
            assert_eq!(room(&format!("conf-{other}")), None, "{other:?}");
        }
    }

    #[test]
    fn of_a_files_name_that_alone_is_cut_which_callers_put_in() {
        let captures = |user: &'static str| {
            let pattern = anchored("(?P<team>[^-]+)-(.+)").unwrap();
            move |template: &str| file_name(template, &pattern.captures(user).unwrap())
        };
        let long = "quality-recordings-of-the-northern-support";
        let name = captures("north-4711");
        assert_eq!(name(&format!("{long}-$2")), format!("{long}-4711"));
        assert_eq!(name("${team}_$2-x${2}"), "north_4711-x4711");
        assert_eq!(name("plain"), "plain");
        let digits = "12345678901234567890123456789012345678901234567890";
        let name = captures("a-12345678901234567890123456789012345678901234567890");
        assert_eq!(name("$2-end"), format!("{}-end", &digits[..MAX_INSERTED]));
    }

    #[test]
    fn a_source_limits_a_route() {
        let mut routes = routes();
        routes.0.insert(
            0,
            Route {
                pattern: anchored("600").unwrap(),
                sources: vec!["10.0.0.0/8".parse().unwrap()],
                srtp: SrtpPolicy::Off,
                denied: vec!["10.9.0.0/16".parse().unwrap()],
                auth: true,
                spec: AppSpec::Echo,
            },
        );
        let wants = |user: &str, ip: &str| routes.wants_auth(user, ip.parse().unwrap());
        assert!(wants("600", "10.1.2.3"));
        assert!(!wants("600", "10.9.2.3"), "another route takes it");
        assert!(wants("nobody", "192.0.2.1"), "nor can it be told from none");
        let from = |ip: &str| routes.resolve("600", ip.parse().unwrap());
        assert!(matches!(from("10.9.2.3"), Some(AppSpec::Conference(_))));
        assert_eq!(from("10.1.2.3"), Some(AppSpec::Echo));
        assert_eq!(from("::ffff:10.1.2.3"), Some(AppSpec::Echo));
        assert!(matches!(from("127.0.0.1"), Some(AppSpec::Conference(_))));
    }
}
