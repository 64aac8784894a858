//! Digits and numbers as prompts.

use super::PlayItem;
use crate::dtmf::Digit;

/// A prompt by name.
pub(super) fn prompt(name: &str) -> PlayItem {
    PlayItem::Prompt(name.to_owned())
}

/// Prompts by their names.
pub(super) fn prompts(names: &[&str]) -> Vec<PlayItem> {
    names.iter().map(|name| prompt(name)).collect()
}

/// One key.
pub fn digit(digit: Digit) -> PlayItem {
    match digit.as_char() {
        '*' => prompt("digit-star"),
        '#' => prompt("digit-pound"),
        c => prompt(&format!("digit-{}", c.to_ascii_lowercase())),
    }
}

/// A number as it is said: up to 99 in words, above digit by digit.
pub fn number(n: usize) -> Vec<PlayItem> {
    match n {
        0..=9 => vec![prompt(&format!("digit-{n}"))],
        10..=19 => vec![prompt(&format!("number-{n}"))],
        20..=99 => {
            let mut items = vec![prompt(&format!("number-{}", n / 10 * 10))];
            if !n.is_multiple_of(10) {
                items.extend(number(n % 10));
            }
            items
        }
        _ => n
            .to_string()
            .chars()
            .filter_map(Digit::from_char)
            .map(digit)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(items: &[PlayItem]) -> String {
        let name = |item: &PlayItem| match item {
            PlayItem::Prompt(name) => name.clone(),
            other => panic!("{other:?}"),
        };
        items.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn numbers_and_keys() {
        assert_eq!(said(&number(0)), "digit-0");
        assert_eq!(said(&number(13)), "number-13");
        assert_eq!(said(&number(40)), "number-40");
        assert_eq!(said(&number(99)), "number-90 digit-9");
        assert_eq!(said(&number(120)), "digit-1 digit-2 digit-0");
        let keys: Vec<PlayItem> = Digit::all().skip(9).take(4).map(digit).collect();
        assert_eq!(said(&keys), "digit-9 digit-star digit-pound digit-a");
    }
}
