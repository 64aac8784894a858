//! Writes a configuration as TOML, each key below a comment that says what it does.

use std::fmt::Write as _;
use std::time::Duration;

/// The text so far. Writing to a `String` cannot fail, so results are dropped.
#[derive(Debug, Default)]
pub(super) struct Printer {
    text: String,
    /// Secrets are left out.
    hides: bool,
}

impl Printer {
    /// One that leaves secrets out.
    pub(super) fn hiding() -> Self {
        Self {
            hides: true,
            ..Self::default()
        }
    }

    /// A key whose value is shown only where the text is to be read back.
    pub(super) fn secret(&mut self, key: &str, value: &str, comment: &str) {
        if self.hides {
            self.comment(comment);
            let _ = writeln!(self.text, "# {key}: not shown");
        } else {
            self.key(key, value, comment);
        }
    }

    pub(super) fn comment(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.text, "# {line}");
        }
    }

    /// Opens a section: `[name]` or `[[name]]`.
    pub(super) fn section(&mut self, header: &str) {
        let _ = writeln!(self.text, "\n{header}");
    }

    /// A key with its value.
    pub(super) fn key(&mut self, key: &str, value: impl Into<toml::Value>, comment: &str) {
        self.comment(comment);
        let _ = writeln!(self.text, "{key} = {}", value.into());
    }

    /// A key that may be absent: without a value, an example is left, commented out by a `#`
    /// without a space.
    pub(super) fn optional(
        &mut self,
        key: &str,
        value: Option<String>,
        example: &str,
        comment: &str,
    ) {
        if let Some(value) = value {
            self.key(key, value, comment);
        } else {
            self.comment(comment);
            let _ = writeln!(self.text, "#{key} = {}", toml::Value::from(example));
        }
    }

    /// A list of texts.
    pub(super) fn list<T: ToString>(&mut self, key: &str, values: &[T], comment: &str) {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        self.key(key, values, comment);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Whole seconds as TOML has them.
pub(super) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
