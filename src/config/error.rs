//! What is wrong with a configuration: file, line, key, what was found, what is allowed.

use std::fmt;
use std::sync::Arc;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read, or is not UTF-8.
    #[error("{file}: {source}")]
    Unreadable {
        /// The file's name as given.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The text is not a configuration; every problem that was found, in the order of lines.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// The problems, one for each line of the message; none for a file that cannot be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            ConfigError::Unreadable { .. } => &[],
            ConfigError::Invalid(problems) => problems,
        }
    }
}

/// Where something stands in the file. Two configurations that say the same are equal wherever they
/// say it.
#[derive(Clone, Default)]
pub struct Place {
    /// The file's name as given; empty: built in.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The key with its section.
    pub key: String,
    /// The same as bytes.
    pub(super) offset: usize,
}

impl Place {
    /// What no file says.
    pub(super) fn built_in(what: &str) -> Self {
        Self {
            key: format!("built-in {what}"),
            ..Self::default()
        }
    }
}

impl PartialEq for Place {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.file, self.line)?;
        }
        f.write_str(&self.key)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name as given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key with its section, such as `media.rtp_ports` or `route[2].user`; empty where the
    /// text is not TOML.
    pub key: String,
    /// What is wrong there.
    pub fault: Fault,
}

/// The kinds of problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not TOML.
    Syntax(String),
    /// A value that is not allowed.
    Value {
        /// The value as written, shortened.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// A required key is absent.
    Missing {
        /// What is allowed.
        expected: String,
    },
    /// No such key.
    Unknown {
        /// The known key that looks most like it, with its section.
        nearest: String,
    },
    /// Each value is allowed, and together they make no sense.
    Senseless(String),
    /// A route's setting that its application does not have.
    Misplaced {
        /// The application.
        app: String,
        /// The settings that it has.
        takes: Vec<&'static str>,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        match &self.fault {
            Fault::Syntax(message) => f.write_str(message),
            Fault::Value { found, expected } => write!(f, "found {found}, expected {expected}"),
            Fault::Missing { expected } => write!(f, "missing, expected {expected}"),
            Fault::Unknown { nearest } => {
                write!(f, "unknown key, the nearest known key is {nearest}")
            }
            Fault::Senseless(why) => f.write_str(why),
            Fault::Misplaced { app, takes } if takes.is_empty() => {
                write!(
                    f,
                    "does not belong to app \"{app}\", which takes no settings"
                )
            }
            Fault::Misplaced { app, takes } => {
                let takes = takes.join(", ");
                write!(f, "does not belong to app \"{app}\", which takes {takes}")
            }
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
