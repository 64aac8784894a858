//! Tables for people.

use serde_json::Value;

/// Columns of texts, each as wide as its widest.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let of_rows = rows.iter().map(|row| row[column].chars().count());
        of_rows.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    };
    line(&mut heads.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

/// Each field of an object in a line; those of objects in it behind their name.
pub(super) fn fields(value: &Value) -> String {
    let mut rows = Vec::new();
    gather(value, "", &mut rows);
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows
        .iter()
        .map(|(name, text)| format!("{name:width$}  {text}\n"));
    lines.collect()
}

fn gather(value: &Value, before: &str, rows: &mut Vec<(String, String)>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{before}{name}");
        if value.is_object() {
            gather(value, &format!("{name}."), rows);
        } else {
            rows.push((name, text(value)));
        }
    }
}

/// A value as people read it; what a peer has named cannot steer the terminal.
pub(super) fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.replace(|c: char| c.is_control(), "?")
}

/// Seconds as hours, minutes and seconds.
pub(super) fn time(value: &Value) -> String {
    match value.as_u64() {
        None => "-".to_owned(),
        Some(s) if s < 3600 => format!("{}:{:02}", s / 60, s % 60),
        Some(s) => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let rows = [
            vec!["1".to_owned(), "é".to_owned()],
            vec!["long".to_owned(), "b".to_owned()],
        ];
        assert_eq!(table(&["A", "BC"], &rows), "A     BC\n1     é\nlong  b\n");
    }

    #[test]
    fn fields_of_fields_stand_behind_their_names() {
        let value = json!({"id": "1", "media": {"rx": 5, "srtp": true}, "x": "a\u{1b}[2J"});
        assert_eq!(
            fields(&value),
            "id          1\nmedia.rx    5\nmedia.srtp  true\nx           a?[2J\n"
        );
        assert_eq!(time(&json!(3725)), "1:02:05");
        assert_eq!(time(&json!(65)), "1:05");
    }
}
