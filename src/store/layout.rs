//! Where a recording goes: `DIRECTORY/YYYY-MM-DD/HHMMSS-CALLER-HASH.wav`, in UTC.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::app::MAX_FILE_NAME;

/// The longest that a caller's name gets in a file name, bytes.
const MAX_CALLER: usize = 40;

/// The path of a call's recording. Nothing that the caller sends leaves `directory`: the name
/// is cut to 40 letters, digits, `+`, `-` and `_`, and the Call-ID is hashed.
pub fn recording_path(directory: &Path, time: SystemTime, caller: &str, call_id: &str) -> PathBuf {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let date = format!("{year:04}-{month:02}-{day:02}");
    let (caller, hash) = (sanitise(caller), fnv1a(call_id.as_bytes()));
    directory.join(date).join(format!(
        "{hour:02}{minute:02}{second:02}-{caller}-{hash:08x}.wav"
    ))
}

/// `text` as a harmless part of a file name, cut to 40 characters.
pub fn sanitise(text: &str) -> String {
    harmless(text, MAX_CALLER)
}

/// `text` as a harmless name of a file, without its ending: what callers have put into it is cut already.
pub fn file_name(text: &str) -> String {
    harmless(text, MAX_FILE_NAME)
}

fn harmless(text: &str, max: usize) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "+-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = text.chars().take(max).map(safe).collect();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    }
}

/// Year, month and day from days since 1970 (proleptic Gregorian; Howard Hinnant's method:
/// years begin in March, so that the leap day is the last).
pub(super) fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// 32-bit FNV-1a: short, the same on every run, and not a secret.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Component;
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_by_date_caller_and_call() {
        let time = UNIX_EPOCH + Duration::from_secs(1_709_209_876);
        let path = recording_path(Path::new("/var/rec"), time, "+4930123", "abc@host");
        assert_eq!(
            path,
            Path::new("/var/rec/2024-02-29/123116-+4930123-088155cb.wav")
        );
    }

    #[test]
    fn a_name_of_the_configuration_is_not_cut() {
        let name = "quality-recordings-of-the-northern-support-4711";
        assert_eq!(file_name(name), name);
        assert_eq!(file_name("../a.b"), "___a_b");
        assert_eq!(sanitise(name).len(), MAX_CALLER);
    }

    #[test]
    fn dates_across_leap_years() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_453, (2025, 12, 31)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil_date(days), date);
        }
    }

    #[test]
    fn the_caller_cannot_leave_the_directory() {
        let long = "x".repeat(5000);
        for caller in [
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            "a/b\\c",
            "\0\r\n\u{202e}",
            "",
            &long,
            "é",
        ] {
            let path = recording_path(Path::new("rec"), UNIX_EPOCH, caller, "../../id");
            let parts: Vec<_> = path.components().collect();
            assert!(
                parts
                    .iter()
                    .all(|part| matches!(part, Component::Normal(_))),
                "{path:?}"
            );
            assert_eq!(
                (parts.len(), &parts[1]),
                (3, &Component::Normal("1970-01-01".as_ref()))
            );
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(name.len() < 80 && name.matches('.').count() == 1, "{name}");
        }
    }
}
