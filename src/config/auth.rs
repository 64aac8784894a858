//! `[auth]` and `[[user]]`: who has to say who they are, and who there is.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use super::Config;
use super::error::{Fault, Place};
use super::print::{Printer, seconds};
use super::reader::Table;
use super::routes::{NETWORK, network};
use crate::sip::auth::{Algorithm, Ha1};
use crate::sip::transport::Transport;

/// `[auth]`: where users are asked for, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// What passwords belong to.
    pub realm: String,
    /// The hashes that are offered, the first one preferred.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good.
    pub nonce: Duration,
    /// Whether the form of RFC 2617 without `qop` is refused.
    pub require_qop: bool,
    /// Whether REGISTER needs a user.
    pub register: bool,
    /// Networks from which everything needs a user.
    pub sources: Vec<IpNet>,
    /// Transports on which everything does.
    pub transports: Vec<Transport>,
    /// Networks from which nothing does.
    pub exempt: Vec<IpNet>,
}

/// `[[user]]`: somebody with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct UserConfig {
    /// The name, as phones send it.
    pub name: String,
    /// The password, or what is known of it.
    pub secret: Secret,
    /// Where it stands.
    pub place: Place,
}

/// What is known of a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// All.
    Password(String),
    /// Hashes of name, realm and password, hexadecimal.
    Ha1 {
        /// By MD5.
        md5: Option<String>,
        /// By SHA-256.
        sha256: Option<String>,
    },
}

impl UserConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Option<Self> {
        const NAME: &str = "a name of up to 64 printable characters without quotes and backslashes";
        const PASSWORD: &str = "a password of 1 to 128 characters";
        let place = table.own_place();
        let name = table.optional("name", NAME, |value| name(value.as_str()?));
        if name.is_none() && table.find("name").is_none() {
            table.missing("name", NAME);
        }
        let password = secret(&mut table, "password", PASSWORD, |text| {
            let good =
                (1..=128).contains(&text.chars().count()) && !text.contains(char::is_control);
            good.then(|| text.to_owned())
        });
        let hash = |algorithm: Algorithm| {
            move |text: &str| Ha1::from_hex(algorithm, text).map(|_| text.to_ascii_lowercase())
        };
        let md5 = secret(
            &mut table,
            "ha1_md5",
            "32 hexadecimal digits, the MD5 of name:realm:password",
            hash(Algorithm::Md5),
        );
        let sha256 = secret(
            &mut table,
            "ha1_sha256",
            "64 hexadecimal digits, the SHA-256 of name:realm:password",
            hash(Algorithm::Sha256),
        );
        let hashed = md5.is_there || sha256.is_there;
        if !password.is_there && !hashed {
            table.missing("password", format!("{PASSWORD}, or ha1_sha256, or ha1_md5"));
            table.finish();
            return None;
        }
        if password.is_there && hashed {
            let why = "a user has either a password, or hashes of it".to_owned();
            table.report(&place, Fault::Senseless(why));
        }
        table.finish();
        let secret = if password.is_there {
            Secret::Password(password.text?)
        } else {
            Secret::Ha1 {
                md5: md5.text,
                sha256: sha256.text,
            }
        };
        Some(Self {
            name: name?,
            secret,
            place,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[user]]");
        out.key("name", self.name.as_str(), "The name, as phones send it.");
        match &self.secret {
            Secret::Password(password) => out.secret("password", password, "The password."),
            Secret::Ha1 { md5, sha256 } => {
                for (key, value) in [("ha1_sha256", sha256), ("ha1_md5", md5)] {
                    if let Some(value) = value {
                        out.secret(key, value, "The hash of name:realm:password.");
                    }
                }
            }
        }
    }

    /// The hash of name, realm and password, if it can be had.
    pub fn ha1(&self, algorithm: Algorithm, realm: &str) -> Option<Ha1> {
        match (&self.secret, algorithm) {
            (Secret::Password(password), _) => {
                Some(Ha1::new(algorithm, &self.name, realm, password))
            }
            (Secret::Ha1 { md5, .. }, Algorithm::Md5) => Ha1::from_hex(algorithm, md5.as_ref()?),
            (Secret::Ha1 { sha256, .. }, Algorithm::Sha256) => {
                Ha1::from_hex(algorithm, sha256.as_ref()?)
            }
        }
    }
}

impl fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserConfig")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Auth {
    pub(super) fn read(mut table: Table<'_, '_>, users: &[UserConfig]) -> Self {
        let realm = table.value(
            "realm",
            "antiphon".to_owned(),
            "a text of up to 64 printable characters without quotes and backslashes",
            |value| name(value.as_str()?),
        );
        let default = vec![Algorithm::Sha256, Algorithm::Md5];
        let algorithms = table.list(
            "algorithms",
            default.clone(),
            "\"SHA-256\" or \"MD5\"",
            Algorithm::parse,
        );
        if algorithms.is_empty()
            && let Some(value) = table.find("algorithms")
        {
            table.refuse(
                "algorithms",
                value,
                "at least one of \"SHA-256\" and \"MD5\"",
            );
        }
        let auth = Auth {
            realm,
            algorithms,
            nonce: Duration::from_secs(table.number("nonce_seconds", 300, 5..=86_400)),
            require_qop: table.boolean("require_qop", false),
            register: table.boolean("register", !users.is_empty()),
            sources: table.list("sources", Vec::new(), NETWORK, network),
            transports: table.list("transports", Vec::new(), TRANSPORT, transport),
            exempt: table.list("exempt", Vec::new(), NETWORK, network),
        };
        table.finish();
        auth
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[auth]");
        out.key(
            "realm",
            self.realm.as_str(),
            "What passwords belong to; a change of it makes every ha1 useless.",
        );
        let names: Vec<&str> = self.algorithms.iter().map(|a| a.as_str()).collect();
        out.list(
            "algorithms",
            &names,
            "The hashes that are offered, the preferred one first; each user needs all of them.",
        );
        out.key(
            "nonce_seconds",
            seconds(self.nonce),
            "How long a nonce is good; then phones are asked again, which nobody notices.",
        );
        out.key(
            "require_qop",
            self.require_qop,
            "Whether the old form of RFC 2617 is refused, whose requests are not counted.",
        );
        out.key(
            "register",
            self.register,
            "Whether REGISTER needs a user; unset: when there are users.",
        );
        out.list(
            "sources",
            &self.sources,
            "Networks from which everything needs a user, OPTIONS and unknown numbers included.",
        );
        out.list(
            "transports",
            &self
                .transports
                .iter()
                .map(|t| t.as_str().to_ascii_lowercase())
                .collect::<Vec<_>>(),
            "Transports on which everything needs a user.",
        );
        out.list(
            "exempt",
            &self.exempt,
            "Networks from which nothing does, whatever else is said: your proxy.",
        );
    }
}

/// Finds users that are there twice or cannot get in, and demands that nobody can meet.
pub(super) fn check(config: &Config, root: &mut Table<'_, '_>) {
    let (auth, users) = (&config.auth, &config.users);
    for (n, user) in users.iter().enumerate() {
        if users[..n].iter().any(|other| other.name == user.name) {
            let why = format!("there is another user {:?} above", user.name);
            root.report(&user.place, Fault::Senseless(why));
        }
        for algorithm in &auth.algorithms {
            if user.ha1(*algorithm, &auth.realm).is_none() {
                let (key, name) = match algorithm {
                    Algorithm::Md5 => ("ha1_md5", algorithm.as_str()),
                    Algorithm::Sha256 => ("ha1_sha256", algorithm.as_str()),
                };
                let why = format!(
                    "user {:?} has no {key}, and auth.algorithms has {name}: phones that choose \
                     it would be refused; add {key}, or take {name} out",
                    user.name
                );
                root.report(&user.place, Fault::Senseless(why));
            }
        }
    }
    let demanded = auth.register
        || !auth.sources.is_empty()
        || !auth.transports.is_empty()
        || config.routes.iter().any(|route| route.auth);
    if demanded && users.is_empty() {
        let place = root.own_place();
        let why = "auth is wanted, and there is no [[user]]: nobody could get in".to_owned();
        root.report(&place, Fault::Senseless(why));
    }
}

const TRANSPORT: &str = "\"udp\", \"tcp\", \"tls\", \"ws\" or \"wss\"";

/// A transport by its name.
pub(super) fn transport(text: &str) -> Option<Transport> {
    let is = |t: &Transport| t.as_str().eq_ignore_ascii_case(text);
    let all = [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
        Transport::Wss,
    ];
    all.into_iter().find(is)
}

fn name(text: &str) -> Option<String> {
    let good = |c: char| !c.is_control() && !matches!(c, '"' | '\\');
    let fits = (1..=64).contains(&text.chars().count());
    (fits && text.chars().all(good)).then(|| text.to_owned())
}

/// A value that no message shows.
struct Hidden {
    is_there: bool,
    /// None: it is not there, or not allowed.
    text: Option<String>,
}

fn secret(
    table: &mut Table<'_, '_>,
    key: &'static str,
    expected: &str,
    read: impl FnOnce(&str) -> Option<String>,
) -> Hidden {
    let Some(value) = table.find(key) else {
        return Hidden {
            is_there: false,
            text: None,
        };
    };
    let text = value.get_ref().as_str().and_then(read);
    if text.is_none() {
        let place = table.place(key, value);
        table.report(&place, Fault::Senseless(format!("expected {expected}")));
    }
    Hidden {
        is_there: true,
        text,
    }
}
