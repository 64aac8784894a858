//! The configuration: defaults, refusals word for word, and that the documentation tells all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon::app::room_record::{NamePattern, RecordFormat, RecordLayout, RoomRecordSettings};
use antiphon::audio::process::ProcessSettings;
use antiphon::codec::{Codec, OpusSettings};
use antiphon::config::{AppConfig, Config, ConfigError, LogFormat, Route};
use proptest::prelude::*;

/// The one line that says what is wrong with a text.
fn problem(text: &str) -> String {
    let error = Config::parse(text, "antiphon.toml").expect_err(text);
    error.to_string()
}

fn parse(text: &str) -> Config {
    Config::parse(text, "antiphon.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A configuration of one route.
fn route(settings: &str) -> Route {
    let mut config = parse(&format!("[[route]]\n{settings}"));
    config.routes.remove(0)
}

#[test]
fn nothing_configured_gives_the_defaults() {
    let config = parse("");
    assert_eq!(config, Config::default());
    assert_eq!(config.server.log_format, LogFormat::Text);
    assert_eq!(config.sip.udp, config.sip.tcp);
    assert_eq!(config.sip.udp[1].to_string(), "[::]:5060");
    assert_eq!(config.sip.t1, Duration::from_millis(500));
    assert_eq!(config.sip.session_expires, Some(Duration::from_mins(30)));
    assert!(config.sip.external_address.is_empty());
    assert_eq!(config.limits.calls, None);
    assert_eq!(config.media.rtp_ports, 10_000..=19_999);
    assert_eq!(
        config.media.codecs,
        [Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma]
    );
    assert_eq!(config.media.workers, None);
    assert_eq!(
        config.media.processing.settings(),
        ProcessSettings::default()
    );
    assert_eq!(config.recording.directory, PathBuf::from("recordings"));
    assert_eq!(config.recording.silence, None);
    assert!(config.builtin_routes && config.routes.is_empty());
}

#[test]
fn values_are_taken() {
    let config = parse(
        "builtin_routes = false\n[sip]\nudp = [\"192.0.2.1:5062\"]\ntcp = []\n\
         external_address = \"2001:db8::1\"\nsession_expires_seconds = 0\n\
         [limits]\ncalls = 1_000\n[media]\nrtp_ports = \"40000-40001\"\ncodecs = [\"pcma\"]\n\
         realtime_priority = 0\nio_uring = false\nhuge_pages = false\nxdp_interface = \"eth0.5\"\nptime_ms = 0x1e\n\
         [media.processing]\ngain_in_db = -3\nagc = true\nagc_target_dbov = -18\n\
         noise_suppression = true\nsilence_gate = true\ncomfort_noise_dbov = -70\n[prompts]\ndirectory = \"/srv/prompts\"\n",
    );
    assert!(!config.builtin_routes && config.effective_routes().is_empty());
    assert_eq!(config.sip.udp[0].port(), 5062);
    assert_eq!(
        config.sip.external_address,
        ["2001:db8::1".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(config.sip.session_expires, None);
    assert_eq!(config.limits.calls, Some(1000));
    assert_eq!(config.media.rtp_ports, 40_000..=40_001);
    assert_eq!(config.media.codecs, [Codec::Pcma]);
    assert_eq!(config.media.realtime_priority, None);
    assert!(!config.media.io_uring && !config.media.huge_pages);
    assert_eq!(config.media.xdp_interface.as_deref(), Some("eth0.5"));
    assert_eq!(config.media.ptime_ms, 30);
    assert_eq!(
        config.media.processing.settings(),
        ProcessSettings {
            gain_in_db: -3,
            gain_out_db: 0,
            agc_dbov: Some(-18),
            noise_suppression: true,
            gate_dbov: Some(-50),
            comfort_noise_dbov: None,
        }
    );
    assert_eq!(
        config.prompts.directory,
        Some(PathBuf::from("/srv/prompts"))
    );
}

#[test]
fn every_codec_can_be_named_and_opus_set() {
    let config = parse(
        "[media]\ncodecs = [\"opus\", \"L16/48000\", \"G722\", \"l16/8000\", \"PCMA\"]\n\
         [media.opus]\nbitrate = 24_000\ncomplexity = 10\nfec = false\ndtx = true\ncbr = true\n\
         expected_loss = 0\nmax_playback_rate = 16000\n",
    );
    use Codec::{G722, L16Full, L16Narrow, Opus, Pcma};
    assert_eq!(config.media.codecs, [Opus, L16Full, G722, L16Narrow, Pcma]);
    let opus = OpusSettings {
        bitrate: 24_000,
        complexity: 10,
        fec: false,
        dtx: true,
        cbr: true,
        max_playback_rate: 16_000,
        expected_loss: 0,
    };
    assert_eq!(config.media.opus, opus);
    assert_eq!(parse(&config.to_toml_with_defaults()), config);
}

#[test]
fn a_wrong_value_is_refused_with_its_place() {
    let cases = include_str!("config/refused.txt").split("\n\n").skip(1);
    let mut checked = 0;
    for case in cases {
        let lines: Vec<&str> = case.lines().collect();
        let [section, line, said] = lines[..] else {
            panic!("section, line, message: {case}");
        };
        assert_eq!(
            problem(&format!("# one\n{section}\n{line}\n")),
            format!("antiphon.toml:3: {said}")
        );
        checked += 1;
    }
    assert!(checked > 25, "only {checked} cases found");
    assert_eq!(
        problem("[[certificate]]\nchain = \"a.pem\"\n"),
        "antiphon.toml:1: certificate[1].key: missing, expected the path of its private key, PEM"
    );
    assert_eq!(
        problem("[[network]]\nexternal_address = \"192.0.2.1\"\n"),
        "antiphon.toml:1: network[1].peers: missing, expected a list, each entry a network such as \
         \"192.0.2.0/24\", or an address"
    );
    assert_eq!(
        problem("[sip]\nudp = []\ntcp = []\n"),
        "antiphon.toml:3: sip.tcp: found [], expected at least one address in sip.udp, tcp, tls, ws or wss"
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let cases = [
        ("[sip]\nudpp = []", "2: sip.udpp", "sip.udp"),
        (
            "[sip]\nsession_expires = 90",
            "2: sip.session_expires",
            "sip.session_expires_seconds",
        ),
        (
            "[sip]\nrtp_ports = \"2-3\"",
            "2: sip.rtp_ports",
            "media.rtp_ports",
        ),
        ("\n[limts]", "2: limts", "limits"),
        ("builtin_route = true", "1: builtin_route", "builtin_routes"),
        (
            "[[route]]\nuser = \"1\"\napp = \"echo\"\nsources = []",
            "4: route[1].sources",
            "route.source",
        ),
    ];
    for (text, place, nearest) in cases {
        assert_eq!(
            problem(text),
            format!("antiphon.toml:{place}: unknown key, the nearest known key is {nearest}")
        );
    }
}

#[test]
fn every_problem_is_told_in_the_order_of_lines() {
    let text = "[media]\nworkers = 99\nptime = 20\n[sip]\nt1_ms = 0\n";
    let error = Config::parse(text, "a.toml").expect_err("three problems");
    assert_eq!(error.problems().len(), 3);
    assert_eq!(
        error.to_string(),
        "a.toml:2: media.workers: found 99, expected a whole number from 0 to 64\n\
         a.toml:3: media.ptime: unknown key, the nearest known key is media.ptime_ms\n\
         a.toml:5: sip.t1_ms: found 0, expected a whole number from 10 to 5000"
    );
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let text = problem("[sip]\nt1_ms = 1\nt1_ms = 2\n");
    assert_eq!(text, "antiphon.toml:3: duplicate key, at \"t1_ms = 2\"");
    assert!(problem("\n[sip\n").starts_with("antiphon.toml:2: "));
    assert!(problem("[sip]\nudp = [\"é\n").starts_with("antiphon.toml:2: "));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load("no/such/file.toml").expect_err("no such file");
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert!(
        error.to_string().starts_with("no/such/file.toml: "),
        "{error}"
    );

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("latin1.toml");
    fs::write(&path, b"[server]\nlog = \"\xe9\"\n").expect("a file");
    assert!(matches!(
        Config::load(&path),
        Err(ConfigError::Unreadable { .. })
    ));
    fs::write(&path, "[media]\nptime_ms = 30\n").expect("a file");
    assert_eq!(Config::load(&path).expect("a good file").media.ptime_ms, 30);
}

#[test]
fn routes_match_the_whole_user_and_the_source() {
    let route = route("user = \"5.0|7\"\nsource = [\"192.0.2.0/24\", \"::1\"]\napp = \"echo\"");
    let inside: IpAddr = [192, 0, 2, 9].into();
    assert_eq!(route.app, AppConfig::Echo);
    for (user, source, is_match) in [
        ("500", inside, true),
        ("7", inside, true),
        ("1500", inside, false),
        ("5000", inside, false),
        ("500\n", inside, false),
        ("500", [198, 51, 100, 1].into(), false),
        ("500", "::1".parse().expect("an address"), true),
        // How a dual-stack socket shows an IPv4 peer.
        ("500", "::ffff:192.0.2.9".parse().expect("an address"), true),
    ] {
        assert_eq!(route.matches(user, source), is_match, "{user} {source}");
    }
}

#[test]
fn route_settings_default_to_their_sections() {
    let text = "[recording]\nbeep = false\nmax_seconds = 60\nsilence_seconds = 5\n\
        [conference]\nlone_prompt = false\nmax_members = 3\n\
        [[route]]\nuser = \"1\"\napp = \"record\"\n\
        [[route]]\nuser = \"2\"\napp = \"record\"\nbeep = true\nmax_seconds = 9\n\
        silence_seconds = 0\n\
        [[route]]\nuser = \"3(.)\"\napp = \"conference\"\n\
        [[route]]\nuser = \"4(.)\"\napp = \"conference\"\nroom = \"r$1\"\nmax_members = 7\n";
    let config = parse(text);
    let record = |beep, max, silence: Option<u64>| AppConfig::Record {
        beep,
        max: Duration::from_secs(max),
        silence: silence.map(Duration::from_secs),
        name: None,
    };
    let conference = |room: &str, max_members| AppConfig::Conference {
        room: room.to_owned(),
        lone_prompt: false,
        max_members,
    };
    let apps: Vec<_> = config
        .routes
        .iter()
        .map(|route| route.app.clone())
        .collect();
    assert_eq!(
        apps,
        [
            record(false, 60, Some(5)),
            record(true, 9, None),
            conference("$0", 3),
            conference("r$1", 7),
        ]
    );
    assert_eq!(config.routes[3].expand("r$1", "42"), "r2");
    assert_eq!(config.routes[2].expand("$0", "39"), "39");
}

#[test]
fn the_name_of_a_recording_may_have_what_becomes_a_stroke() {
    let long = "x".repeat(200);
    for name in ["hotline.$1", "Büro-$1", "a b$$", "$1-$1-$1-$1-$1", &long] {
        let text = format!("[[route]]\nuser = \"5(.*)\"\napp = \"record\"\nname = \"{name}\"\n");
        let config = parse(&text);
        let AppConfig::Record { name: read, .. } = &config.routes[0].app else {
            panic!("{name}");
        };
        assert_eq!(read.as_deref(), Some(name));
    }
}

#[test]
fn wrong_routes_are_refused() {
    let pattern = "a regular expression for the whole dialled user";
    let template = "a name, with $1 or ${1} for what the first group of user captured";
    let file_name = "a file name of 200 characters at most, without \"/\" and a leading \".\", with $1 or ${1} for what the \
                     first group of user captured";
    let long = "x".repeat(201);
    let named_dollars = format!("user = \"5\"\napp = \"record\"\nname = \"{long}$$-$0\"");
    let named_long = format!("user = \"5\"\napp = \"record\"\nname = \"{long}$0\"");
    let cases = [
        (
            "app = \"echo\"",
            format!("1: route[1].user: missing, expected {pattern}"),
        ),
        (
            "user = \"5(\"\napp = \"echo\"",
            format!("2: route[1].user: found \"5(\", expected {pattern}"),
        ),
        (
            "user = \"a)(b\"\napp = \"echo\"",
            format!("2: route[1].user: found \"a)(b\", expected {pattern}"),
        ),
        (
            "user = \"5\"",
            "1: route[1].app: missing, expected one of \"echo\", \"play\", \"record\", \
             \"conference\", \"digits\", \"announcement\", \"menu\", \"voicemail\", \
             \"stasis\""
                .to_owned(),
        ),
        (
            "user = \"5\"\napp = \"echoo\"",
            "3: route[1].app: found \"echoo\", expected one of \"echo\", \"play\", \"record\", \
             \"conference\", \"digits\", \"announcement\", \"menu\", \"voicemail\", \
             \"stasis\""
                .to_owned(),
        ),
        (
            "user = \"5\"\napp = \"play\"\nprompts = [\"a\"]\nbeep = true",
            "5: route[1].beep: does not belong to app \"play\", which takes prompts, repeat, \
             tone_hz"
                .to_owned(),
        ),
        (
            "user = \"5\"\napp = \"echo\"\nroom = \"a\"",
            "4: route[1].room: does not belong to app \"echo\", which takes no settings".to_owned(),
        ),
        (
            "user = \"5\"\napp = \"play\"\nrepeat = 2",
            "1: route[1].prompts: missing, expected names of prompts or WAV files, or tone_hz"
                .to_owned(),
        ),
        (
            "user = \"5(.)\"\napp = \"conference\"\nroom = \"$2\"",
            format!("4: route[1].room: found \"$2\", expected {template}"),
        ),
        (
            "user = \"5(.)\"\napp = \"conference\"\nroom = \"$1x\"",
            format!("4: route[1].room: found \"$1x\", expected {template}"),
        ),
        (
            "user = \"5\"\nsource = [\"10.0.0.0/33\"]\napp = \"echo\"",
            "3: route[1].source: found \"10.0.0.0/33\", expected a network such as \
             \"192.0.2.0/24\", or an address"
                .to_owned(),
        ),
        (
            "user = \"5\"\napp = \"record\"\nname = \"../$0\"",
            format!("4: route[1].name: found \"../$0\", expected {file_name}"),
        ),
        (
            &named_dollars,
            format!(
                "4: route[1].name: found \"{}..., expected {file_name}",
                &long[..59]
            ),
        ),
        (
            &named_long,
            format!(
                "4: route[1].name: found \"{}..., expected {file_name}",
                &long[..59]
            ),
        ),
    ];
    for (text, said) in cases {
        let text = format!("[[route]]\n{text}\n");
        assert_eq!(problem(&text), format!("antiphon.toml:{said}"));
    }
}

#[test]
fn templates_may_use_every_group_of_the_pattern() {
    for room in [
        "$1",
        "${1}x",
        "$0",
        "$name-${name}",
        "plain",
        "$$1",
        "a$1-$0",
    ] {
        let settings = format!("user = '(?<name>\\d)\\d'\napp = \"conference\"\nroom = \"{room}\"");
        assert!(matches!(route(&settings).app, AppConfig::Conference { .. }));
    }
}

#[test]
fn built_in_routes_answer_what_the_table_says() {
    let config = parse("[[route]]\nuser = \"500\"\napp = \"record\"\n");
    let routes = config.effective_routes();
    let app = |user: &str| {
        let route = routes
            .iter()
            .find(|route| route.matches(user, [192, 0, 2, 1].into()))?;
        Some(match &route.app {
            AppConfig::Conference { room, .. } => format!("room {}", route.expand(room, user)),
            app => app.name().to_owned(),
        })
    };
    for (user, wanted) in [
        ("600", Some("room 600")),
        ("60000", Some("room 60000")),
        ("6000", None),
        ("conf=abc", Some("room abc")),
        ("conf-600", Some("room 600")),
        ("conf=", None),
        ("510", Some("play")),
        ("520", Some("record")),
        // The configured route comes first.
        ("500", Some("record")),
        ("501", None),
    ] {
        assert_eq!(app(user).as_deref(), wanted, "{user}");
    }
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let texts = [
        String::new(),
        uncommented(&example()),
        "builtin_routes = false\n[sip]\nuser_agent = 'quote\"and\\slash'\nudp = []\n\
         [media]\nworkers = 3\n[[route]]\nuser = '\\d+\\.\"x\"'\napp = 'play'\n\
         prompts = ['a', 'a']\ntone_hz = 697.1\nrepeat = 0\n"
            .to_owned(),
        MENUS.to_owned(),
        ROOMS.to_owned(),
    ];
    for text in texts {
        let config = parse(&text);
        let printed = config.to_toml_with_defaults();
        let again = parse(&printed);
        assert_eq!(again, config);
        assert_eq!(again.to_toml_with_defaults(), printed);
    }
}

#[test]
fn the_example_is_the_default_configuration() {
    let example = example();
    assert_eq!(parse(&example), Config::default());
    let printed = Config::default().to_toml_with_defaults();
    assert!(
        example.contains(&printed),
        "examples/antiphon.toml does not contain what is printed for the defaults:\n{printed}"
    );
    let config = parse(&uncommented(&example));
    assert_eq!(config.routes.len(), 8);
    assert_eq!((config.menus.len(), config.mailboxes.len()), (2, 1));
    assert!(config.tls.ca.is_some() && config.prompts.directory.is_some());
    assert_eq!((config.certificates.len(), config.networks.len()), (1, 1));
    assert_eq!((config.users.len(), config.sequences.len()), (1, 1));
    assert_eq!((config.users.len(), config.http.keys.len()), (1, 1));
    assert_eq!((config.rooms.len(), config.keypads.len()), (2, 1));
}

#[test]
fn the_documentation_tells_every_key_and_its_default() {
    let mut printed = keys_printed(&Config::default().to_toml_with_defaults());
    let agent = printed.insert(
        "sip.user_agent".to_owned(),
        "\"antiphon/VERSION\"".to_owned(),
    );
    assert_eq!(
        agent,
        Some(format!("\"antiphon/{}\"", env!("CARGO_PKG_VERSION")))
    );

    let (sections, tables) = keys_documented();
    assert_eq!(sections, printed);

    let hash = "0123456789abcdef";
    let users = format!(
        "[[user]]\nname = \"a\"\npassword = \"p\"\n[[user]]\nname = \"b\"\n\
         ha1_md5 = \"{}\"\nha1_sha256 = \"{}\"\n",
        hash.repeat(2),
        hash.repeat(4)
    );
    let keys = format!(
        "[[http.key]]\nname = \"a\"\nscope = \"read\"\nsecret = \"{hash}\"\n\
         [[http.key]]\nname = \"b\"\nscope = \"admin\"\nsecret_sha256 = \"{}\"\n",
        hash.repeat(4)
    );
    let all_settings = keys
        + &users
        + "[[route]]\nuser = \"1\"\nsource = [\"::1\"]\nsrtp = \"off\"\napp = \"play\"\n\
        deny = [\"::2\"]\nauth = true\nprompts = [\"a\"]\ntone_hz = 400\n\
        [[route]]\nuser = \"1\"\napp = \"record\"\nname = \"a\"\n\
        [[route]]\nuser = \"1\"\napp = \"conference\"\n\
        [[route]]\nuser = \"1\"\napp = \"menu\"\nmenu = \"m\"\n\
        [[route]]\nuser = \"1\"\napp = \"voicemail\"\nmailbox = \"1\"\n\
        [[route]]\nuser = \"1\"\napp = \"stasis\"\nprogram = \"p\"\nargs = [\"a\"]\notherwise = \"500\"\n\
        [[certificate]]\nchain = \"a\"\nkey = \"b\"\n\
        [[network]]\npeers = [\"10.0.0.0/8\"]\n\
        [[mailbox]]\nnumber = \"1\"\npin = \"1111\"\n\
        [[sequence]]\nname = \"s\"\nitems = [\"beep\", \"$1:digits\", \"$2:number\", \"$9:prompt\"]\n\
        [[keypad]]\nname = \"k\"\n[[keypad.key]]\ndigits = \"1\"\naction = \"help\"\n\
        [[room_profile]]\nname = \"p\"\n[[room]]\nname = \"600\"\nprofile = \"p\"\n\
        [[menu]]\nname = \"m\"\n[[menu.choice]]\ndigits = \"1\"\napp = \"echo\"\n";
    let printed = keys_printed(&parse(&all_settings).to_toml_with_defaults());
    let of_tables = |key: &&String| {
        let section = key.rsplit_once('.').map_or("", |(section, _)| section);
        TABLES.contains(&section)
    };
    assert_eq!(tables, printed.keys().filter(of_tables).cloned().collect());
}

/// Sections that may come several times.
const TABLES: [&str; 13] = [
    "certificate",
    "keypad",
    "keypad.key",
    "network",
    "room",
    "room_profile",
    "route",
    "menu",
    "menu.choice",
    "mailbox",
    "user",
    "sequence",
    "http.key",
];

proptest! {
    #[test]
    fn a_damaged_file_is_read_or_refused(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..5),
    ) {
        let mut text: Vec<char> = uncommented(&example()).chars().collect();
        for (place, value) in damage {
            let place = place.index(text.len());
            text[place] = value;
        }
        let text: String = text.into_iter().collect();
        match Config::parse(&text, "a.toml") {
            Ok(config) => prop_assert_eq!(parse(&config.to_toml_with_defaults()), config),
            Err(error) => {
                let last = text.lines().count();
                prop_assert!(!error.problems().is_empty());
                for problem in error.problems() {
                    prop_assert!((1..=last + 1).contains(&problem.line), "{}", problem);
                }
            }
        }
    }
}

/// `section.key` and value of each line of a TOML text, those commented out as `unset`.
fn keys_printed(text: &str) -> BTreeMap<String, String> {
    let mut section = String::new();
    let mut keys = BTreeMap::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = format!("{}.", line.trim_matches(['[', ']']));
        } else if let Some((key, value)) = line.split_once(" = ")
            && !line.starts_with("# ")
        {
            let (key, value) = key
                .strip_prefix('#')
                .map_or((key, value), |key| (key, "unset"));
            keys.insert(format!("{section}{key}"), value.to_owned());
        }
    }
    keys
}

/// `section.key` and default of each row of the documentation; the keys of [`TABLES`] apart.
fn keys_documented() -> (BTreeMap<String, String>, BTreeSet<String>) {
    let text = fs::read_to_string(root().join("docs/configuration.md")).expect("the documentation");
    let mut section = String::new();
    let mut keys = BTreeMap::new();
    let mut tables = BTreeSet::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = match heading.strip_prefix("`[") {
                Some(name) => format!("{}.", name.trim_matches(['[', ']', '`'])),
                None => String::new(),
            };
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, key, default, _, _, _] = cells[..] else {
            continue;
        };
        let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`')) else {
            continue;
        };
        if TABLES.contains(&section.trim_end_matches('.')) {
            tables.insert(format!("{section}{key}"));
        } else {
            keys.insert(
                format!("{section}{key}"),
                default.trim_matches('`').to_owned(),
            );
        }
    }
    (keys, tables)
}

/// The text with what is commented out by a `#` without a space taken in.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
        _ => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn example() -> String {
    let text = fs::read_to_string(root().join("examples/antiphon.toml")).expect("the example");
    // The version moves with each release; the example need not.
    let agent = |line: &str| line.starts_with("user_agent = ");
    let current = format!("user_agent = \"antiphon/{}\"", env!("CARGO_PKG_VERSION"));
    let lines = text
        .lines()
        .map(|line| if agent(line) { current.as_str() } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rooms with everything in them.
const ROOMS: &str = "
[[keypad]]
name = 'short'
inter_digit_seconds = 3
help = ['welcome']
[[keypad.key]]
digits = '1'
action = 'toggle-mute'
[[keypad.key]]
digits = '*X'
action = 'leave-to=demo'
[[keypad.key]]
digits = '9'
action = 'dial-out=sip:100@192.0.2.1'
[[room_profile]]
name = 'board'
pin = '1234'
moderator_pin = '987654'
max_seconds = 3600
names = 'review'
end_without_moderator = true
moderator_grace_seconds = 5
keypad = 'short'
waiting_music = ['welcome']
record = true
record_layout = 'mix+tracks'
record_format = 'ogg-opus'
record_rate = 8000
record_split_seconds = 600
record_name = 'board/{date}-{time}'
recording_prompts = []
[[room]]
name = '600'
profile = 'board'
moderator_pin = ''
keypad = 'none'
record_layout = 'stereo'
record_split_seconds = 0
[[room]]
match = '7\\d{2}'
tones = true
max_members = 3
[conference]
max_members = 20
";

#[test]
fn a_room_has_its_profiles_settings_and_its_own() {
    let config = parse(ROOMS);
    let [first, second] = &config.rooms[..] else {
        panic!("two rooms");
    };
    let options = &first.options;
    assert_eq!(options.pin.as_deref(), Some("1234"));
    assert_eq!((&options.moderator_pin, options.max_members), (&None, 20));
    assert_eq!(options.end_without_moderator, Some(Duration::from_secs(5)));
    assert_eq!(options.keypad.name, "none");
    assert_eq!(options.moderator_keypad.name, "built-in");
    let record = &options.record;
    let wanted = RoomRecordSettings {
        layout: RecordLayout::Stereo,
        format: RecordFormat::OggOpus,
        rate: 8000,
        split: None,
        name: NamePattern::parse("board/{date}-{time}").unwrap(),
    };
    assert!(record.from_start && record.prompts.names.is_empty());
    assert_eq!(record.settings, wanted);
    assert_eq!(
        second.options.record.settings,
        RoomRecordSettings::default()
    );
    assert_eq!(
        (&second.options.pin, second.options.max_members),
        (&None, 3)
    );
    let hidden = config.to_toml_without_secrets();
    assert!(!hidden.contains("1234") && !hidden.contains("987654"));
}

#[test]
fn wrong_rooms_and_keypads_are_refused() {
    let cases = [
        (
            "[[room]]",
            "1: room[1].name: missing, expected the name of a room, or match for a pattern",
        ),
        (
            "[[room]]\nname = '1'\nmatch = '1'",
            "1: room[1]: name and match: a room has one, or a pattern for many has the other",
        ),
        (
            "[[room]]\nmatch = '('",
            "2: room[1].match: found \"(\", expected a regular expression for the whole name of a room",
        ),
        (
            "[[room]]\nname = '1'\nprofile = 'x'",
            "3: room[1].profile: there is no [[room_profile]] \"x\"; there are none",
        ),
        (
            "[[room]]\nname = '1'\npin = '12'",
            "3: room[1].pin: expected a PIN of 4 to 16 digits, or \"\" for none",
        ),
        (
            "[[room]]\nname = '1'\npin = '1234'\nmoderator_pin = '1234'",
            "1: room[1]: pin and moderator_pin are the same: everybody would be a moderator",
        ),
        (
            "[[room]]\nname = '1'\n[[room]]\nname = '1'",
            "3: room[2]: there is another room \"1\" above",
        ),
        (
            "[[room]]\nname = '1'\nkeypad = 'x'",
            "3: room[1].keypad: there is no keypad \"x\"; keypads are: built-in, none",
        ),
        (
            "[[room]]\nname = '1'\nnames = 'yes'",
            "3: room[1].names: found \"yes\", expected \"off\", \"record\" or \"review\"",
        ),
        (
            "[[room]]\nname = '1'\nrecord_layout = 'both'",
            "3: room[1].record_layout: found \"both\", expected \"mix\", \"stereo\", \"tracks\" or \"mix+tracks\"",
        ),
        (
            "[[room]]\nname = '1'\nrecord_format = 'mp3'",
            "3: room[1].record_format: found \"mp3\", expected \"wav\" or \"ogg-opus\"",
        ),
        (
            "[[room]]\nname = '1'\nrecord_rate = 44100",
            "3: room[1].record_rate: found 44100, expected 8000, 16000 or 48000",
        ),
        (
            "[[room]]\nname = '1'\nrecord_split_seconds = 9",
            "3: room[1].record_split_seconds: found 9, expected a whole number from 10 to 86400, or 0 for one file",
        ),
        (
            "[[room]]\nname = '1'\nrecord_name = '../{room}'",
            "3: room[1].record_name: found \"../{room}\", expected letters, digits, -, _ and +, with {room}, \
             {date} and {time} once each, and up to two folders before (FOLDER/NAME), 100 characters at most",
        ),
        (
            "[[room]]\nname = '1'\nrecord = 'yes'",
            "3: room[1].record: found \"yes\", expected true or false",
        ),
        (
            "[[keypad]]\nname = 'k'",
            "1: keypad[1]: a keypad without a [[keypad.key]]: no key does anything",
        ),
        (
            "[[keypad]]\nname = 'k'\n[[keypad.key]]\ndigits = '1'\naction = 'help'\n[[keypad.key]]\ndigits = 'X'\naction = 'count'",
            "6: keypad[1].key[2]: \"X\" is taken by \"1\" above",
        ),
        (
            "[[keypad]]\nname = 'k'\n[[keypad.key]]\ndigits = '1'\naction = 'leave-to=x'",
            "3: keypad[1].key[1]: there is no menu \"x\"; menus are: demo",
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(problem(text), format!("antiphon.toml:{wanted}"), "{text}");
    }
    let action =
        problem("[[keypad]]\nname = 'k'\n[[keypad.key]]\ndigits = '1'\naction = 'dial-out=nobody'");
    assert!(action.contains(
        "keypad[1].key[1].action: found \"dial-out=nobody\", expected one of mute, unmute"
    ));
}

/// Menus with everything in them.
const MENUS: &str = "
[voicemail]
silence_seconds = 0
[[mailbox]]
number = '200'
pin = '987654'
greeting = ['welcome', 'a.wav']
[[menu]]
name = 'main'
prompts = ['menu-main']
invalid_prompts = []
terminator = ''
barge_in = false
type_ahead = false
retries = 0
on_invalid = 'other'
on_timeout = 'other'
[[menu.choice]]
digits = '6XX'
app = 'conference'
room = 'r$0'
[[menu.choice]]
digits = '#'
app = 'voicemail'
mailbox = '200'
task = 'listen'
then = 'main'
[[menu.choice]]
digits = '1'
app = 'play'
prompts = ['welcome']
then = 'hang-up'
[[menu]]
name = 'other'
[[menu.choice]]
digits = '*'
app = 'menu'
menu = 'main'
[[menu.choice]]
digits = '0'
app = 'hang-up'
[[route]]
user = '1'
app = 'menu'
menu = 'main'
";

#[test]
fn the_control_api_is_not_opened_to_everybody() {
    const KEY: &str = "[[http.key]]\nname = 'a'\nscope = 'read'\nsecret = '0123456789abcdef'\n";
    assert!(!parse("").http.is_configured());
    let open = "[http]\nlisten = ['127.0.0.1:8081', '0.0.0.0:8080']\n";
    assert_eq!(
        problem(open),
        "antiphon.toml:2: http.listen: 0.0.0.0:8080 can be reached from other machines, and there is no \
         [[http.key]]: nobody could get in; add one with name, scope and secret, or listen on \
         127.0.0.1 alone"
    );
    let config = parse(&format!("{open}{KEY}"));
    assert!(config.http.is_configured());
    assert!(
        !config
            .to_toml_without_secrets()
            .contains("0123456789abcdef")
    );
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
    for (keys, said) in [
        (
            "name = 'a'\nscope = 'read'",
            "1: http.key[1].secret: missing, expected a secret of 16 to 256 printable ASCII \
             characters, or secret_sha256",
        ),
        (
            "name = 'a'\nscope = 'read'\nsecret = 'short'",
            "4: http.key[1].secret: expected a secret of 16 to 256 printable ASCII characters",
        ),
        (
            "name = 'a b'\nscope = 'all'\nsecret = '0123456789abcdef'",
            "2: http.key[1].name: found \"a b\", expected a name of 1 to 64 letters, digits and -_.\n\
             antiphon.toml:3: http.key[1].scope: found \"all\", expected \"read\", \"control\" or \
             \"admin\"",
        ),
        (
            "name = 'a'\nscope = 'read'\nsecret = '0123456789abcdef'\nsecret_sha256 = 'x'",
            "1: http.key[1]: a key has either a secret, or the hash of one",
        ),
    ] {
        assert_eq!(
            problem(&format!("[[http.key]]\n{keys}\n")),
            format!("antiphon.toml:{said}")
        );
    }
    assert_eq!(
        problem(&format!("{KEY}{KEY}")),
        "antiphon.toml:5: http.key[2]: there is another key \"a\" above"
    );
    assert!(problem("[http]\ntls = true\n").contains("missing, expected [[certificate]]"));
}

#[test]
fn listeners_that_exclude_each_other_are_refused() {
    const CERTIFICATE: &str = "[[certificate]]\nchain = 'a.pem'\nkey = 'b.pem'\n";
    for (text, said) in [
        (
            "[sip]\ntcp = ['127.0.0.1:5061']\ntls = ['127.0.0.1:5061']\n",
            "3: sip.tls: 127.0.0.1:5061 excludes 127.0.0.1:5061 of sip.tcp: only one can listen there",
        ),
        (
            "[sip]\nws = ['192.0.2.1:8080']\n[http]\nlisten = ['0.0.0.0:8080']\n[[http.key]]\nname = 'a'\n\
             scope = 'read'\nsecret = '0123456789abcdef'\n",
            "4: http.listen: 0.0.0.0:8080 excludes 192.0.2.1:8080 of sip.ws: only one can listen there",
        ),
        (
            "[sip]\nwss = ['[::1]:5060']\n",
            "2: sip.wss: [::1]:5060 excludes [::]:5060 of built-in sip.tcp: only one can listen there",
        ),
        (
            "[http]\nlisten = ['127.0.0.1:5060']\n",
            "2: http.listen: 127.0.0.1:5060 excludes 0.0.0.0:5060 of built-in sip.tcp: only one can listen \
             there",
        ),
        (
            "[sip]\nws = ['127.0.0.1:8080']\n",
            "2: sip.ws: 127.0.0.1:8080 excludes 127.0.0.1:8080 of built-in http.listen: only one can listen \
             there",
        ),
        (
            "[sip]\nudp = ['0.0.0.0:5060', '192.0.2.1:5060']\n",
            "2: sip.udp: 192.0.2.1:5060 excludes 0.0.0.0:5060 of sip.udp: only one can listen there",
        ),
    ] {
        assert_eq!(
            problem(&format!("{text}{CERTIFICATE}")),
            format!("antiphon.toml:{said}")
        );
    }
    // Ports of the system's choice, other families and UDP beside streams are no matter.
    parse(&format!(
        "[sip]\nudp = ['127.0.0.1:5060', '127.0.0.2:5060', '[::]:5060', '0.0.0.0:0', '[::1]:0']\ntcp = ['127.0.0.1:0', '0.0.0.0:5060']\ntls = ['127.0.0.1:0', '[::1]:5060']\n\
         ws = ['[::1]:5061', '127.0.0.1:8081']\n{CERTIFICATE}"
    ));
}

#[test]
fn origins_are_as_browsers_write_them() {
    for origin in [
        "https://a.example:443",
        "http://a.example:80",
        "https://a.example/",
    ] {
        for key in ["[sip]\nws_origins", "[http]\ncors_origins"] {
            let said = problem(&format!("{key} = ['{origin}']\n"));
            assert!(said.contains("no default port"), "{said}");
        }
    }
    let config = parse("[http]\ncors_origins = ['HTTPS://A.example:8443', '*']\n");
    assert_eq!(config.http.cors_origins, ["https://a.example:8443", "*"]);
}

#[test]
fn wrong_menus_and_mailboxes_are_refused() {
    const M: &str = "[[menu]]\nname = 'm'\n";
    const C: &str = "[[menu.choice]]\ndigits = '1'\n";
    // A choice that is right, so that nothing but what is tested is wrong.
    const ECHO: &str = "[[menu.choice]]\ndigits = '0'\napp = 'echo'\n";
    let cases = [
        (
            format!("[[menu]]\n{ECHO}"),
            format!("1: menu[1].name: missing, expected {NAME}"),
        ),
        (
            format!("[[menu]]\nname = 'a b'\n{ECHO}"),
            format!("2: menu[1].name: found \"a b\", expected {NAME}"),
        ),
        (
            M.to_owned(),
            "1: menu[1]: a menu without a [[menu.choice]]: no answer leads anywhere".into(),
        ),
        (
            format!("{M}{ECHO}{M}{ECHO}"),
            "6: menu[2]: there is another menu \"m\" above".into(),
        ),
        (
            format!("{M}on_timeout = 'x'\n{ECHO}"),
            "3: menu[1].on_timeout: there is no menu \"x\"; menus are: m".into(),
        ),
        (
            format!("{M}on_timeout = 'm'\n{ECHO}"),
            "3: menu[1].on_timeout: a loop without input: m -> m; a caller who presses nothing \
             stays in it for ever"
                .into(),
        ),
        (
            format!("{M}terminator = '12'\n{ECHO}"),
            "3: menu[1].terminator: found \"12\", expected one digit, or \"\"".into(),
        ),
        (
            format!("{M}promts = []\n{ECHO}"),
            "3: menu[1].promts: unknown key, the nearest known key is menu.prompts".into(),
        ),
    ];
    check_without_demo(&cases);
    let choices = [
        (
            "[[menu.choice]]\napp = 'echo'".to_owned(),
            "3: menu[1].choice[1].digits: missing, expected digits 0 to 9, *, #, A to D, with X \
             for any of 0 to 9, 32 at most",
        ),
        (
            format!("{C}app = 'announcement'"),
            "5: menu[1].choice[1].app: found \"announcement\", expected one of \"menu\", \
             \"play\", \"record\", \"voicemail\", \"conference\", \"digits\", \"echo\", \
             \"hang-up\"",
        ),
        (
            format!("{C}app = 'menu'\nmenu = 'x'"),
            "6: menu[1].choice[1].menu: there is no menu \"x\"; menus are: m",
        ),
        (
            format!("{C}app = 'menu'"),
            "3: menu[1].choice[1].menu: missing, expected the name of a menu",
        ),
        (
            format!("{C}app = 'echo'\nthen = 'x'"),
            "6: menu[1].choice[1].then: there is no menu \"x\"; menus are: m",
        ),
        (
            format!("{C}app = 'hang-up'\nthen = 'm'"),
            "6: menu[1].choice[1].then: nothing follows a menu or a hang-up",
        ),
        (
            format!("{C}app = 'echo'\nroom = 'x'"),
            "6: menu[1].choice[1].room: does not belong to app \"echo\", which takes no settings",
        ),
        (
            format!("{C}app = 'conference'\nroom = '${{0}}'"),
            "6: menu[1].choice[1].room: found \"${0}\", expected a name, with $0 for the digits",
        ),
        (
            format!("{C}app = 'echo'\n[[menu.choice]]\ndigits = 'X'\napp = 'echo'"),
            "6: menu[1].choice[2]: \"X\" is answered by \"1\" above",
        ),
        (
            format!("{C}app = 'voicemail'\nmailbox = '7'"),
            "6: menu[1].choice[1].mailbox: there is no mailbox \"7\"; mailboxes are: ",
        ),
    ];
    check_without_demo(&choices.map(|(text, said)| (format!("{M}{text}"), said.to_owned())));
}

/// What a menu's name may be.
const NAME: &str = "a name of letters, digits, \"-\" and \"_\" (but \"hang-up\")";

#[test]
fn wrong_mailboxes_and_what_leads_to_none_are_refused() {
    const PIN: &str = "a PIN of 4 to 16 digits";
    let cases = [
        (
            "[[mailbox]]\nnumber = '1'".to_owned(),
            format!("1: mailbox[1].pin: missing, expected {PIN}"),
        ),
        (
            "[[mailbox]]\nnumber = '1'\npin = '12x4'".to_owned(),
            format!("3: mailbox[1].pin: expected {PIN}"),
        ),
        (
            "[[mailbox]]\nnumber = '1'\npin = '1234'\n[[mailbox]]\nnumber = '1'\npin = '1234'"
                .to_owned(),
            "4: mailbox[2]: there is another mailbox 1 above".to_owned(),
        ),
        (
            "[voicemail]\nmin_seconds = 9\nmax_seconds = 9".to_owned(),
            "2: voicemail.min_seconds: min_seconds is 9 and max_seconds 9: no message could be kept"
                .to_owned(),
        ),
        (
            "[[route]]\nuser = '1'\napp = 'menu'\nmenu = 'x'".to_owned(),
            "4: route[1].menu: there is no menu \"x\"; menus are: ".to_owned(),
        ),
        (
            "[[route]]\nuser = '1'\napp = 'hang-up'".to_owned(),
            "3: route[1].app: found \"hang-up\", expected one of \"echo\", \"play\", \"record\", \
             \"conference\", \"digits\", \"announcement\", \"menu\", \"voicemail\", \
             \"stasis\""
                .to_owned(),
        ),
    ];
    check_without_demo(&cases);
}

#[test]
fn arguments_of_a_program_stay_as_they_are_written() {
    let route = route("user = '1'\napp = 'stasis'\nprogram = 'p'\nargs = ['0', 'a', '0']");
    let AppConfig::Stasis { args, .. } = &route.app else {
        panic!("{:?}", route.app);
    };
    assert_eq!(*args, ["0", "a", "0"]);
}

#[test]
fn what_is_wrong_with_a_route_to_a_program_is_named() {
    const NAME: &str = "a name of 1 to 128 bytes, without \"/\" and \",\"";
    const TEXT: &str = "a text, with $1 or ${1} for what the first group of user captured";
    let stasis = |rest: &str| format!("[[route]]\nuser = '1(.)'\napp = 'stasis'\n{rest}");
    let cases = [
        (
            stasis(""),
            format!("1: route[1].program: missing, expected {NAME}"),
        ),
        (
            stasis("program = 'a/b'"),
            format!("4: route[1].program: found \"a/b\", expected {NAME}"),
        ),
        (
            stasis("program = 'a'\nargs = ['$2']"),
            format!("5: route[1].args: found \"$2\", expected {TEXT}"),
        ),
        (
            stasis("program = 'a'\notherwise = 5"),
            format!("5: route[1].otherwise: found 5, expected {TEXT}"),
        ),
        (
            stasis("program = 'a'\nroom = 'r'"),
            "5: route[1].room: does not belong to app \"stasis\", which takes program, args, otherwise"
                .to_owned(),
        ),
    ];
    check_without_demo(&cases);
}

#[test]
fn a_pin_is_in_no_message() {
    for line in [
        "pin = 0723",
        "pin = \"4711",
        "pin = '5555'\npin = '4711'",
        "pin = 4711x",
    ] {
        let text = format!("[[mailbox]]\nnumber = '1'\n{line}\n");
        let said = Config::parse(&text, "a.toml").unwrap_err().to_string();
        assert!(!said.contains("0723") && !said.contains("4711"), "{said}");
        assert!(said.contains("a.toml:"), "{said}");
    }
}

/// Each text has this one problem, without the demonstration: its names would be among those that
/// are known.
fn check_without_demo(cases: &[(String, String)]) {
    for (text, said) in cases {
        let text = format!("builtin_routes = false\n{text}\n");
        let (line, rest) = said.split_once(':').expect("a line");
        let line = line.parse::<usize>().expect("a number") + 1;
        assert_eq!(
            problem(&text),
            format!("antiphon.toml:{line}:{rest}"),
            "{text}"
        );
    }
}

#[test]
fn a_longer_loop_is_told_once_and_a_way_out_is_none() {
    let menu = |name: &str, next: &str| {
        format!(
            "[[menu]]\nname = '{name}'\non_timeout = '{next}'\n\
             [[menu.choice]]\ndigits = '0'\napp = 'echo'\n"
        )
    };
    let ring = [menu("b", "c"), menu("c", "a"), menu("a", "b")].concat();
    assert_eq!(
        problem(&ring),
        "antiphon.toml:15: menu[3].on_timeout: a loop without input: a -> b -> c -> a; \
         a caller who presses nothing stays in it for ever"
    );
    parse(&[menu("a", "b"), menu("b", "c"), menu("c", "hang-up")].concat());
    // A tail that leads into a loop is not the loop.
    let tail = [menu("t", "a"), menu("a", "a")].concat();
    assert!(
        problem(&tail).starts_with("antiphon.toml:9: menu[2].on_timeout"),
        "{}",
        problem(&tail)
    );
}

#[test]
fn a_prompt_that_is_missing_is_told_with_its_place() {
    let menu = "[[menu]]\nname = 'm'\nprompts = ['welcome', 'no-such']\n\
                [[menu.choice]]\ndigits = '1'\napp = 'play'\nprompts = ['welcome']\n";
    let broken = menu.replace("prompts = ['welcome']\n", "prompts = ['nor-this.wav']\n");
    for (text, said) in [
        (
            menu,
            "antiphon.toml:3: menu[1].prompts: \"no-such\" is neither a prompt nor",
        ),
        (
            &broken.replace(", 'no-such'", ""),
            "antiphon.toml:7: menu[1].choice[1].prompts: \"nor-this.wav\" is neither a prompt nor",
        ),
        (
            "[[mailbox]]\nnumber = '1'\npin = '1234'\ngreeting = ['hello']\n",
            "antiphon.toml:4: mailbox[1].greeting: \"hello\" is neither a prompt nor",
        ),
        (
            "[[route]]\nuser = '1'\napp = 'play'\nprompts = ['x']\n",
            "antiphon.toml:4: route[1].prompts: \"x\" is neither a prompt nor",
        ),
    ] {
        let error = antiphon::server::check(&parse(text))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn srtp_for_all_and_for_a_route() {
    use antiphon::sdp::SrtpPolicy;
    use antiphon::srtp::Suite;
    let config = parse("");
    assert_eq!(config.media.srtp, SrtpPolicy::Optional);
    assert_eq!(config.media.srtp_suites, Suite::ALL);
    let config = parse(
        "[media]\nsrtp = \"off\"\nsrtp_suites = [\"aes_cm_128_hmac_sha1_80\", \"AEAD_AES_256_GCM\"]\n\
         [[route]]\nuser = \"1\"\napp = \"echo\"\nsrtp = \"required\"\n\
         [[route]]\nuser = \"2\"\napp = \"echo\"\n",
    );
    assert_eq!(config.media.srtp, SrtpPolicy::Off);
    assert_eq!(
        config.media.srtp_suites,
        [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm]
    );
    let policies: Vec<_> = config.routes.iter().map(|route| route.srtp).collect();
    assert_eq!(policies, [Some(SrtpPolicy::Required), None]);
    assert_eq!(parse(&config.to_toml_with_defaults()), config);
    for (wrong, said) in [
        (
            "[media]\nsrtp = \"on\"",
            "\"off\", \"optional\" or \"required\"",
        ),
        (
            "[media]\nsrtp = true",
            "\"off\", \"optional\" or \"required\"",
        ),
        (
            "[media]\nsrtp_suites = []",
            "at least one of AEAD_AES_256_GCM",
        ),
        (
            "[media]\nsrtp_suites = [\"F8\"]",
            "at least one of AEAD_AES_256_GCM",
        ),
        (
            "[[route]]\nuser = \"1\"\napp = \"echo\"\nsrtp = \"yes\"",
            "\"off\", \"optional\" or \"required\"",
        ),
    ] {
        let error = problem(wrong);
        assert!(error.contains(said) && error.contains("srtp"), "{error}");
    }
}

#[test]
fn a_network_interface_has_a_name_that_can_be() {
    let named = |name: &str| format!("[media]\nxdp_interface = \"{name}\"");
    assert_eq!(parse(&named("")).media.xdp_interface, None);
    for wrong in ["eth0/1", "a name", "sixteen-letters-"] {
        assert_eq!(
            problem(&named(wrong)),
            format!(
                "antiphon.toml:2: media.xdp_interface: found \"{wrong}\", expected the name of a network \
                 interface such as \"eth0\", of at most 15 letters, or \"\""
            )
        );
    }
}

#[test]
fn who_is_heard_and_asked_is_taken() {
    let config = parse(
        "[access]\ntrusted = []\ndeny = [\"192.0.2.0/24\"]\n[access.udp]\nallow = [\"10.0.0.1\"]\n\
         [access.ban]\nmalformed = 0\nseconds = 5\n[auth]\nrealm = \"r\"\nsources = [\"::/0\"]\n\
         transports = [\"TCP\"]\nalgorithms = [\"md5\"]\n[[user]]\nname = \"alice\"\n\
         ha1_md5 = \"00112233445566778899AABBCCDDEEFF\"\n",
    );
    assert!(config.access.trusted.is_empty());
    assert_eq!(
        config.access.transports[0].1.allow[0].to_string(),
        "10.0.0.1/32"
    );
    let bans = config.access.bans.unwrap();
    assert_eq!((bans.malformed, bans.length), (0, Duration::from_secs(5)));
    assert!(config.auth.register, "there is a user");
    assert_eq!(config.auth.transports.len(), 1);
    assert!(!Config::default().auth.register);
    let off = parse("[access.ban]\nenabled = false\n");
    assert_eq!(off.access.bans, None);
}

#[test]
fn users_that_nobody_could_be_are_refused() {
    const USER: &str = "[[user]]\nname = \"a\"\n";
    let md5 = "ha1_md5 = \"00112233445566778899aabbccddeeff\"\n";
    let cases = [
        (
            USER.to_owned(),
            "1: user[1].password: missing, expected a password of 1 to 128 characters, or \
             ha1_sha256, or ha1_md5",
        ),
        (
            format!("{USER}{md5}"),
            "1: user[1]: user \"a\" has no ha1_sha256, and auth.algorithms has SHA-256: phones that \
             choose it would be refused; add ha1_sha256, or take SHA-256 out",
        ),
        (
            format!("{USER}password = \"x\"\n{md5}"),
            "1: user[1]: a user has either a password, or hashes of it",
        ),
        (
            format!("{USER}password = \"x\"\n{USER}password = \"y\"\n"),
            "4: user[2]: there is another user \"a\" above",
        ),
        (
            "[[user]]\npassword = \"x\"\n".to_owned(),
            "1: user[1].name: missing, expected a name of up to 64 printable characters without \
             quotes and backslashes",
        ),
        (
            "[auth]\nregister = true\n".to_owned(),
            "1: : auth is wanted, and there is no [[user]]: nobody could get in",
        ),
        (
            "[auth]\ntransports = [\"sctp\"]\n".to_owned(),
            "2: auth.transports: found \"sctp\", expected \"udp\", \"tcp\", \"tls\", \"ws\" or \"wss\"",
        ),
        (
            "[access.ban]\nseconds = 100\nmax_seconds = 50\n".to_owned(),
            "3: access.ban.max_seconds: found 50, expected at least access.ban.seconds, 100",
        ),
    ];
    for (text, said) in cases {
        let said = said.replace(": : ", ": ");
        assert_eq!(problem(&text), format!("antiphon.toml:{said}"), "{text}");
    }
}

#[test]
fn a_password_is_in_no_message_and_in_no_print() {
    const SECRET: &str = "hunter22";
    let user = format!("[[user]]\nname = \"a\"\npassword = \"{SECRET}\"\n");
    let config = parse(&user);
    assert!(!format!("{config:?}").contains(SECRET));
    let shown = config.to_toml_without_secrets();
    assert!(!shown.contains(SECRET) && shown.contains("# password: not shown"));
    assert!(config.to_toml_with_defaults().contains(SECRET));
    for wrong in [
        format!("[[user]]\nname = \"a\"\npassword = \"{SECRET}\nx\"\n"),
        format!("[[user]]\nname = \"a\"\npassword = {SECRET}\n"),
        format!("[[user]]\nname = \"a\"\npassword = [\"{SECRET}\"]\n"),
        format!("[[user]]\nname = \"a\"\nha1_md5 = \"{SECRET}\"\n"),
        format!("[[user]]\nname = \"a\"\nha1_sha256 = \"{SECRET}\n"),
        format!(
            "[[user]]\nname = \"a\"\npassword = \"{}\"\n",
            SECRET.repeat(30)
        ),
        format!("{user}passwort = \"{SECRET}\"\n"),
    ] {
        let said = problem(&wrong);
        assert!(!said.contains(SECRET), "{said}");
    }
    let mailbox = parse("[[mailbox]]\nnumber = \"1\"\npin = \"4711\"\n");
    assert!(!mailbox.to_toml_without_secrets().contains("4711"));
}
