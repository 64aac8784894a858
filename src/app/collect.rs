//! Reads one answer out of digits: when it is complete, and when the caller has waited too long.
//!
//! ```text
//! start ----> first digit ----> next digit ... ----> complete: a pattern, the length, the terminator
//!   | first_digit  '-- inter_digit --> what there is, if it is an answer; else too late
//!   '------------------ total -------> the same
//! ```

use std::time::{Duration, Instant};

use crate::dtmf::Digit;

/// Digits of an answer at most.
pub const MAX_ANSWER: usize = 32;

/// What an answer may look like, digit by digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Place>);

/// One place of a [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    This(Digit),
    /// `X`: 0 to 9.
    Any,
}

impl Pattern {
    /// Reads `6XX`: digits, and `X` for any of 0 to 9. Up to [`MAX_ANSWER`] of them.
    pub fn parse(text: &str) -> Option<Pattern> {
        let place = |c: char| match c {
            'X' | 'x' => Some(Place::Any),
            c => Digit::from_char(c).map(Place::This),
        };
        let places: Vec<Place> = text.chars().map(place).collect::<Option<_>>()?;
        (1..=MAX_ANSWER)
            .contains(&places.len())
            .then_some(Pattern(places))
    }

    /// How many digits it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none; no such pattern can be made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these digits are the whole of it.
    pub fn matches(&self, digits: &[Digit]) -> bool {
        digits.len() == self.0.len() && self.begins(digits)
    }

    /// Whether it may go on like this.
    pub fn begins(&self, digits: &[Digit]) -> bool {
        let fits = |(place, digit): (&Place, &Digit)| match place {
            Place::This(this) => this == digit,
            Place::Any => digit.event() < 10,
        };
        digits.len() <= self.0.len() && self.0.iter().zip(digits).all(fits)
    }

    /// Whether some answer fits both.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        let both = |(a, b): (&Place, &Place)| match (a, b) {
            (Place::This(a), Place::This(b)) => a == b,
            (Place::Any, Place::Any) => true,
            (Place::Any, Place::This(d)) | (Place::This(d), Place::Any) => d.event() < 10,
        };
        self.len() == other.len() && self.0.iter().zip(&other.0).all(both)
    }
}

/// How an answer is read.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectSpec {
    /// What it may be; none: any digits.
    pub patterns: Vec<Pattern>,
    /// It is complete with so many digits, up to [`MAX_ANSWER`].
    pub max: usize,
    /// It is complete with this one, which is no part of it. A pattern that goes on with this digit
    /// goes before.
    pub terminator: Option<Digit>,
    /// How long the first digit may take from the end of the prompt on.
    pub first_digit: Duration,
    /// How long each further one may take.
    pub inter_digit: Duration,
    /// How long all of it may take.
    pub total: Duration,
}

impl Default for CollectSpec {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            max: MAX_ANSWER,
            terminator: Some(Digit::POUND),
            first_digit: Duration::from_secs(10),
            inter_digit: Duration::from_secs(3),
            total: Duration::from_mins(1),
        }
    }
}

/// An answer, or as much of one as came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its digits.
    pub digits: Vec<Digit>,
    /// Whether it was ended by time and is not complete.
    pub timed_out: bool,
}

impl Answer {
    /// Its digits as characters.
    pub fn text(&self) -> String {
        self.digits.iter().map(|d| d.as_char()).collect()
    }
}

/// Reads one answer.
#[derive(Debug)]
pub(super) struct Collector {
    spec: CollectSpec,
    digits: Vec<Digit>,
    /// Since when the caller may answer.
    started: Option<Instant>,
    last: Option<Instant>,
}

impl Collector {
    pub fn new(spec: CollectSpec) -> Self {
        Self {
            spec,
            digits: Vec::new(),
            started: None,
            last: None,
        }
    }

    /// The prompt is over: time runs.
    pub fn start(&mut self, now: Instant) {
        self.started.get_or_insert(now);
    }

    /// Takes a digit; the answer, if that completes it.
    pub fn push(&mut self, digit: Digit, now: Instant) -> Option<Answer> {
        self.start(now);
        self.last = Some(now);
        self.digits.push(digit);
        let spec = &self.spec;
        let goes_on = |p: &&Pattern| p.begins(&self.digits);
        let fitting: Vec<&Pattern> = spec.patterns.iter().filter(goes_on).collect();
        if fitting.is_empty() && spec.terminator == Some(digit) {
            self.digits.pop();
            return Some(self.answer(false));
        }
        // With patterns, what none of them begins with is complete as well: it is wrong already.
        let decided =
            !spec.patterns.is_empty() && fitting.iter().all(|p| p.len() == self.digits.len());
        let full = self.digits.len() >= spec.max.min(MAX_ANSWER);
        (decided || full).then(|| self.answer(false))
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let started = self.started?;
        let next = match self.last {
            None => started + self.spec.first_digit,
            Some(last) => last + self.spec.inter_digit,
        };
        Some(next.min(started + self.spec.total))
    }

    /// The answer, if its time is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Answer> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return None;
        }
        let patterns = &self.spec.patterns;
        let complete = !self.digits.is_empty()
            && (patterns.is_empty() || patterns.iter().any(|p| p.matches(&self.digits)));
        Some(self.answer(!complete))
    }

    fn answer(&mut self, timed_out: bool) -> Answer {
        Answer {
            digits: std::mem::take(&mut self.digits),
            timed_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digits, and numbers in brackets for seconds that pass: `12[3]4`. The answer, and whether it
    /// was ended by time; none if there is none after all of it.
    fn read(spec: &CollectSpec, script: &str) -> Option<(String, bool)> {
        let mut now = Instant::now();
        let mut collector = Collector::new(spec.clone());
        collector.start(now);
        let mut rest = script;
        while let Some(c) = rest.chars().next() {
            let answer = if let Some(after) = rest.strip_prefix('[') {
                let (seconds, tail) = after.split_once(']').unwrap();
                now += Duration::from_secs_f64(seconds.parse().unwrap());
                rest = tail;
                collector.handle_timeout(now)
            } else {
                rest = &rest[1..];
                collector.push(Digit::from_char(c).unwrap(), now)
            };
            if let Some(answer) = answer {
                assert_eq!(rest, "", "complete too early");
                return Some((answer.text(), answer.timed_out));
            }
        }
        None
    }

    fn spec(patterns: &[&str], max: usize) -> CollectSpec {
        CollectSpec {
            patterns: patterns
                .iter()
                .map(|p| Pattern::parse(p).unwrap())
                .collect(),
            max,
            ..CollectSpec::default()
        }
    }

    fn done(text: &str) -> (String, bool) {
        (text.into(), false)
    }

    fn late(text: &str) -> (String, bool) {
        (text.into(), true)
    }

    #[test]
    fn free_digits_end_with_the_terminator_the_length_or_a_pause() {
        let free = spec(&[], 4);
        assert_eq!(read(&free, "12#"), Some(done("12")));
        assert_eq!(read(&free, "1234"), Some(done("1234")));
        assert_eq!(read(&free, "12[2.9]3[3]"), Some(done("123")));
        assert_eq!(read(&free, "#"), Some(done("")));
        assert_eq!(read(&free, "[9.9]1[2.9]"), None);
        assert_eq!(read(&free, "[10]"), Some(late("")));
        let none = CollectSpec {
            terminator: None,
            ..free
        };
        assert_eq!(read(&none, "1#23"), Some(done("1#23")));
    }

    #[test]
    fn all_of_it_has_its_time() {
        let slow = CollectSpec {
            inter_digit: Duration::from_secs(50),
            ..spec(&["12345"], 5)
        };
        assert_eq!(read(&slow, "1[49]2[10.9]"), None);
        assert_eq!(read(&slow, "1[49]2[11]"), Some(late("12")));
    }

    #[test]
    fn patterns_decide_as_soon_as_they_can() {
        let menu = spec(&["1", "2", "6XX", "*"], 3);
        assert_eq!(read(&menu, "1"), Some(done("1")));
        assert_eq!(read(&menu, "600"), Some(done("600")));
        assert_eq!(read(&menu, "9"), Some(done("9")), "wrong at once");
        assert_eq!(read(&menu, "6*"), Some(done("6*")), "X is none of * and #");
        assert_eq!(read(&menu, "60[3]"), Some(late("60")));
        assert_eq!(read(&menu, "60#"), Some(done("60")), "ended by hand");
        // One that is the beginning of another waits.
        let both = spec(&["1", "12"], 2);
        assert_eq!(read(&both, "1[3]"), Some(done("1")));
        assert_eq!(read(&both, "12"), Some(done("12")));
        assert_eq!(read(&both, "1#"), Some(done("1")));
        // A choice goes before the terminator.
        let pound = spec(&["#", "1"], 1);
        assert_eq!(read(&pound, "#"), Some(done("#")));
    }

    #[test]
    fn patterns_that_overlap_are_found() {
        let overlap = |a: &str, b: &str| {
            let parse = |p| Pattern::parse(p).unwrap();
            parse(a).overlaps(&parse(b))
        };
        assert!(overlap("6XX", "60X") && overlap("1", "1") && overlap("X", "5"));
        assert!(!overlap("6XX", "6X") && !overlap("X", "*") && !overlap("1", "2"));
        assert_eq!(Pattern::parse(""), None);
        assert_eq!(Pattern::parse("1-2"), None);
    }
}
