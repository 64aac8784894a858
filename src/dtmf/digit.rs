//! The sixteen digits of a telephone keypad, and the two tones of each (ITU-T Q.23 §6).

use std::fmt;

/// A digit: `0` to `9`, `*`, `#`, `A` to `D`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digit(u8);

/// The low group, Hz (ITU-T Q.23 §6.1): the rows of the keypad.
pub const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// The high group, Hz (ITU-T Q.23 §6.1): the columns of the keypad.
pub const HIGH_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// In the order of event codes (RFC 4733 §3.2, table 3).
const CHARS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
];
/// Row by row, as on the keypad.
const KEYPAD: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

impl Digit {
    /// `#`, which ends an entry as a rule.
    pub const POUND: Digit = Digit(11);
    /// `*`.
    pub const STAR: Digit = Digit(10);

    /// All sixteen, in the order of their event codes.
    pub fn all() -> impl Iterator<Item = Digit> {
        (0..16).map(Digit)
    }

    /// The digit of a character; letters in either case.
    pub fn from_char(c: char) -> Option<Digit> {
        let c = c.to_ascii_uppercase();
        let code = CHARS.iter().position(|&known| known == c)?;
        Some(Digit(code as u8))
    }

    /// The digit of an event code (RFC 4733 §3.2), if it is one.
    pub const fn from_event(code: u8) -> Option<Digit> {
        if code < 16 { Some(Digit(code)) } else { None }
    }

    /// The digit at a row and a column of the keypad, each below 4.
    pub fn from_keypad(row: usize, column: usize) -> Option<Digit> {
        Digit::from_char(*KEYPAD.get(row)?.get(column)?)
    }

    /// Its event code, 0 to 15 (RFC 4733 §3.2).
    pub const fn event(self) -> u8 {
        self.0
    }

    /// Its character.
    pub fn as_char(self) -> char {
        CHARS[usize::from(self.0 & 15)]
    }

    /// Its row and column on the keypad: indices into [`LOW_HZ`] and [`HIGH_HZ`].
    pub fn keypad(self) -> (usize, usize) {
        let c = self.as_char();
        let place = |row: usize| Some((row, KEYPAD[row].iter().position(|&k| k == c)?));
        (0..4).find_map(place).unwrap_or((3, 1))
    }

    /// Its two frequencies, low then high, Hz.
    pub fn frequencies(self) -> (f32, f32) {
        let (row, column) = self.keypad();
        (LOW_HZ[row], HIGH_HZ[column])
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_codes_and_keys_agree() {
        for (code, digit) in Digit::all().enumerate() {
            assert_eq!(usize::from(digit.event()), code);
            assert_eq!(Digit::from_char(digit.as_char()), Some(digit));
            assert_eq!(Digit::from_event(digit.event()), Some(digit));
            let (row, column) = digit.keypad();
            assert_eq!(Digit::from_keypad(row, column), Some(digit));
        }
        assert_eq!(Digit::from_char('a'), Digit::from_char('A'));
        assert_eq!(Digit::from_char('E'), None);
        assert_eq!(Digit::from_event(16), None);
        assert_eq!(Digit::from_keypad(0, 4), None);
    }

    #[test]
    fn the_tones_are_those_of_the_standard() {
        let of = |c| Digit::from_char(c).unwrap().frequencies();
        assert_eq!(of('1'), (697.0, 1209.0));
        assert_eq!(of('5'), (770.0, 1336.0));
        assert_eq!(of('#'), (941.0, 1477.0));
        assert_eq!(of('D'), (941.0, 1633.0));
        assert_eq!(of('0'), (941.0, 1336.0));
    }
}
