//! The prompts that the program carries, and which of them speak a key or a number.
//!
//! Sits behind [`super::Prompts::load`], which decodes them. `media/make-prompts.sh` makes the
//! files from `media/prompts.txt`.

/// Names and files, from the names alone.
macro_rules! bundle {
    ($($name:literal)*) => {
        /// Each prompt's name and WAV file.
        pub(super) const BUNDLED: &[(&str, &[u8])] = &[
            $(($name, include_bytes!(concat!("../../../media/", $name, ".wav")))),*
        ];
    };
}

bundle! {
    "welcome" "goodbye" "only-one" "beep"
    "digit-0" "digit-1" "digit-2" "digit-3" "digit-4"
    "digit-5" "digit-6" "digit-7" "digit-8" "digit-9"
    "digit-star" "digit-pound" "digit-a" "digit-b" "digit-c" "digit-d"
    "number-10" "number-11" "number-12" "number-13" "number-14"
    "number-15" "number-16" "number-17" "number-18" "number-19"
    "number-20" "number-30" "number-40" "number-50"
    "number-60" "number-70" "number-80" "number-90"
    "digits-enter" "digits-you-entered" "digits-none"
    "menu-main" "menu-invalid" "menu-timeout" "menu-announcement"
    "vm-greeting" "vm-kept" "vm-short" "vm-failed" "vm-full"
    "vm-no-box" "vm-mailbox" "vm-pin" "vm-wrong"
    "vm-you-have" "vm-message" "vm-messages" "vm-none" "vm-message-number" "vm-saved-message"
    "vm-options" "vm-message-saved" "vm-message-deleted" "vm-end"
}

/// The keys of a telephone, and the prompts that speak them.
const KEYS: [(char, &str); 16] = [
    ('0', "digit-0"),
    ('1', "digit-1"),
    ('2', "digit-2"),
    ('3', "digit-3"),
    ('4', "digit-4"),
    ('5', "digit-5"),
    ('6', "digit-6"),
    ('7', "digit-7"),
    ('8', "digit-8"),
    ('9', "digit-9"),
    ('*', "digit-star"),
    ('#', "digit-pound"),
    ('A', "digit-a"),
    ('B', "digit-b"),
    ('C', "digit-c"),
    ('D', "digit-d"),
];

/// 10 to 19.
const TEENS: [&str; 10] = [
    "number-10",
    "number-11",
    "number-12",
    "number-13",
    "number-14",
    "number-15",
    "number-16",
    "number-17",
    "number-18",
    "number-19",
];

/// 20, 30, ... 90.
const TENS: [&str; 8] = [
    "number-20",
    "number-30",
    "number-40",
    "number-50",
    "number-60",
    "number-70",
    "number-80",
    "number-90",
];

/// The name of the prompt that speaks a telephone key; letters in either case.
pub fn digit_name(digit: char) -> Option<&'static str> {
    let key = digit.to_ascii_uppercase();
    let known = KEYS.iter().find(|(known, _)| *known == key);
    known.map(|(_, name)| *name)
}

/// The names of the prompts that speak a number, in their order: up to 99 as one counts, from
/// 100 on digit by digit.
pub fn number_names(n: u32) -> Vec<&'static str> {
    let digits = |n: u32| -> Vec<_> { n.to_string().chars().filter_map(digit_name).collect() };
    match n {
        10..=19 => vec![TEENS[n as usize - 10]],
        20..=99 => {
            let mut names = vec![TENS[n as usize / 10 - 2]];
            let unit = n % 10;
            if unit > 0 {
                names.extend(digits(unit));
            }
            names
        }
        _ => digits(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::Digit;

    fn is_bundled(name: &str) -> bool {
        BUNDLED.iter().any(|(known, _)| *known == name)
    }

    #[test]
    fn each_key_is_spoken_by_a_prompt_of_its_own() {
        let mut names: Vec<_> = Digit::all()
            .map(|digit| digit_name(digit.as_char()).unwrap())
            .collect();
        assert!(names.iter().all(|name| is_bundled(name)), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 16);
        for (key, name) in [
            ('7', Some("digit-7")),
            ('*', Some("digit-star")),
            ('#', Some("digit-pound")),
            ('d', Some("digit-d")),
            ('E', None),
            ('\u{661}', None),
        ] {
            assert_eq!(digit_name(key), name, "{key}");
        }
    }

    #[test]
    fn numbers_are_spoken_as_one_counts() {
        for (n, names) in [
            (0, &["digit-0"][..]),
            (9, &["digit-9"]),
            (10, &["number-10"]),
            (19, &["number-19"]),
            (20, &["number-20"]),
            (21, &["number-20", "digit-1"]),
            (90, &["number-90"]),
            (99, &["number-90", "digit-9"]),
            (100, &["digit-1", "digit-0", "digit-0"]),
            (4096, &["digit-4", "digit-0", "digit-9", "digit-6"]),
        ] {
            assert_eq!(number_names(n), names, "{n}");
        }
        assert_eq!(number_names(u32::MAX).len(), 10);
        for n in 0..=99 {
            let names = number_names(n);
            assert!(names.iter().all(|name| is_bundled(name)), "{names:?}");
        }
    }
}
