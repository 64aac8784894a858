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
    "conf-pin" "conf-wrong-pin" "conf-locked" "conf-full" "conf-waiting" "conf-count"
    "conf-muted" "conf-unmuted" "conf-all-muted" "conf-all-unmuted" "conf-hand-up"
    "conf-hand-down" "conf-room-locked" "conf-room-unlocked" "conf-joined" "conf-left"
    "conf-ends-soon" "conf-ended" "conf-recording" "conf-recording-ended" "conf-say-name"
    "conf-no-name" "conf-review" "conf-kicked" "conf-invited" "conf-calling"
    "conf-not-joined" "conf-help" "conf-help-moderator"
    "vm-greeting" "vm-kept" "vm-short" "vm-failed" "vm-full"
    "vm-no-box" "vm-mailbox" "vm-pin" "vm-wrong"
    "vm-you-have" "vm-message" "vm-messages" "vm-none" "vm-message-number" "vm-saved-message"
    "vm-options" "vm-message-saved" "vm-message-deleted" "vm-end"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{PlayItem, speak};
    use crate::dtmf::Digit;

    #[test]
    fn whatever_is_spoken_is_bundled() {
        let keys = Digit::all().map(speak::digit);
        for item in keys.chain((0..=120).flat_map(speak::number)) {
            let PlayItem::Prompt(name) = &item else {
                panic!("{item:?}");
            };
            assert!(BUNDLED.iter().any(|(known, _)| known == name), "{name}");
        }
    }
}
