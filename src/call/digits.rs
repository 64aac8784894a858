//! The digits of a call: those that come, each told once; those that go out by INFO.
//!
//! A phone may send a digit both in its media and by INFO: of one press, whichever way comes second is
//! passed over. INFO over UDP may come late and out of order, so any digit of the other way that has
//! not been matched yet may be the one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Call, Output};
use crate::app::{Action, DtmfMethod, Happened};
use crate::dtmf::Digit;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::transaction::ServerId;

/// The two ways of one digit are at most so far apart, the length of the press left out: INFO may be
/// sent again once or twice.
const WAYS_APART: Duration = Duration::from_secs(3);
/// The longest press that an INFO is believed.
const LONGEST_PRESS: Duration = Duration::from_secs(30);
/// Digits that wait for their like; at the bound the oldest is forgotten.
const MAX_UNMATCHED: usize = 32;
/// The body types of digits in INFO.
const RELAY: &str = "application/dtmf-relay";
const PLAIN: &str = "application/dtmf";

/// By which way a digit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As events or tones.
    Media,
    /// By SIP INFO.
    Info,
}

/// Digits told lately, for which the other way has not come.
#[derive(Debug, Default)]
pub(super) struct Unmatched(VecDeque<(Digit, Way, Instant)>);

impl Unmatched {
    /// Whether a digit is news; `length` is how long ago it was pressed, as far as that is told.
    pub fn is_new(&mut self, digit: Digit, way: Way, length: Duration, now: Instant) -> bool {
        let kept = WAYS_APART + LONGEST_PRESS;
        self.0
            .retain(|(.., at)| now.saturating_duration_since(*at) <= kept);
        let within = WAYS_APART + length.min(LONGEST_PRESS);
        let other = self.0.iter().position(|(known, by, at)| {
            *by != way && *known == digit && now.saturating_duration_since(*at) <= within
        });
        if let Some(other) = other {
            self.0.remove(other);
            return false;
        }
        if self.0.len() >= MAX_UNMATCHED {
            self.0.pop_front();
        }
        self.0.push_back((digit, way, now));
        true
    }
}

/// Digits on their way out by INFO, one after the other.
#[derive(Debug)]
pub(super) struct InfoDial {
    digits: VecDeque<Digit>,
    tone: Duration,
    pause: Duration,
    /// The one that is out and not answered.
    pending: Option<Digit>,
    /// When the next may go.
    due: Option<Instant>,
}

impl Call {
    /// The party has pressed a digit.
    pub fn digit(&mut self, digit: Digit, way: Way, now: Instant) {
        self.digit_of_length(digit, way, Duration::ZERO, now);
    }

    fn digit_of_length(&mut self, digit: Digit, way: Way, length: Duration, now: Instant) {
        if self.unmatched.is_new(digit, way, length, now) {
            self.outputs.push_back(Output::Digit(digit));
            self.happened(&Happened::Digit(digit), now);
        }
    }

    /// Digits are out, or why not.
    pub fn digits_sent(&mut self, result: Result<(), String>, now: Instant) {
        if let Err(error) = &result {
            self.outputs.push_back(Output::DigitsNotSent(error.clone()));
        }
        self.happened(&Happened::DigitsSent(result), now);
    }

    /// INFO in the dialog: a digit, or nothing that concerns us.
    pub(super) fn on_info(&mut self, transaction: ServerId, request: &Request, now: Instant) {
        let response = match read_info(request) {
            Ok(digit) => {
                if let Some((digit, length)) = digit {
                    self.digit_of_length(digit, Way::Info, length, now);
                }
                self.response(request, 200)
            }
            Err(reason) => self.response(request, 400).with_reason(reason),
        };
        self.outputs
            .push_back(Output::Respond(transaction, response));
    }

    /// Sends digits by INFO; those of the other methods are for the media.
    pub(super) fn dial_by_info(&mut self, action: &Action, now: Instant) -> bool {
        let Action::SendDigits {
            digits,
            method: DtmfMethod::Info,
            tone,
            pause,
        } = action
        else {
            return false;
        };
        self.info_dial = Some(InfoDial {
            digits: digits.iter().copied().collect(),
            tone: *tone,
            pause: *pause,
            pending: None,
            due: Some(now),
        });
        self.send_info(now);
        true
    }

    /// When the next INFO is due.
    pub(super) fn info_due(&self) -> Option<Instant> {
        self.info_dial.as_ref().and_then(|dial| dial.due)
    }

    pub(super) fn send_info(&mut self, now: Instant) {
        let Some(dial) = &mut self.info_dial else {
            return;
        };
        if dial.pending.is_some() || dial.due.is_none_or(|due| due > now) {
            return;
        }
        dial.due = None;
        let Some(digit) = dial.digits.pop_front() else {
            self.info_dial = None;
            self.digits_sent(Ok(()), now);
            return;
        };
        dial.pending = Some(digit);
        let body = format!("Signal={digit}\r\nDuration={}\r\n", dial.tone.as_millis());
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let mut info = dialog.request(Method::Info);
        info.headers.set(Name::ContentType, RELAY);
        info.body = body.into_bytes();
        let flow = self.target();
        self.outputs.push_back(Output::Request(info, flow));
    }

    /// Who was asked who we are is told, with the same digit. Whether there is one.
    pub(super) fn repeat_info(&mut self, now: Instant) -> bool {
        let Some(dial) = &mut self.info_dial else {
            return false;
        };
        let Some(digit) = dial.pending.take() else {
            return false;
        };
        dial.digits.push_front(digit);
        dial.due = Some(now);
        self.send_info(now);
        true
    }

    /// What became of our INFO; no status: it got no answer.
    pub(super) fn info_answered(&mut self, response: Option<&Response>, now: Instant) {
        let Some(dial) = self.info_dial.as_mut().filter(|d| d.pending.is_some()) else {
            return;
        };
        match response {
            Some(r) if r.status < 200 => {}
            Some(r) if r.status < 300 => {
                dial.pending = None;
                dial.due = Some(now + dial.tone + dial.pause);
            }
            other => {
                self.info_dial = None;
                let why = other.map_or("no answer to INFO".to_owned(), |r| {
                    format!("INFO was answered {} {}", r.status, r.reason)
                });
                self.digits_sent(Err(why), now);
            }
        }
    }
}

/// The digit of an INFO request and how long it was pressed; none where its body is not about digits.
fn read_info(request: &Request) -> Result<Option<(Digit, Duration)>, &'static str> {
    let kind = request.headers.content_type().unwrap_or_default();
    let text = std::str::from_utf8(&request.body).unwrap_or_default();
    let field = |wanted: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case(wanted);
            is_it.then_some(value.trim())
        })
    };
    let signal = if kind.eq_ignore_ascii_case(RELAY) {
        field("signal")
    } else if kind.eq_ignore_ascii_case(PLAIN) {
        Some(text)
    } else {
        return Ok(None);
    };
    match signal.map(str::trim).map(read_signal) {
        Some(Some(digit)) => {
            let ms = field("duration").and_then(|d| d.parse().ok());
            Ok(Some((digit, Duration::from_millis(ms.unwrap_or(0)))))
        }
        // Flash and pause are said in the same way, and mean nothing here.
        Some(None) if signal.is_some_and(|s| is_other_signal(s.trim())) => Ok(None),
        _ => Err("Not A Digit"),
    }
}

/// A character, or an event code as some phones write it: 10 for `*`, 11 for `#`.
fn read_signal(text: &str) -> Option<Digit> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Digit::from_char(c),
        _ => Digit::from_event(text.parse::<u8>().ok().filter(|code| *code >= 10)?),
    }
}

fn is_other_signal(text: &str) -> bool {
    text.eq_ignore_ascii_case("hf")
        || text.eq_ignore_ascii_case("flash")
        || text == "16"
        || text == "p"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::{Message, parse_datagram};

    fn d(c: char) -> Digit {
        Digit::from_char(c).unwrap()
    }

    /// `m5` is a 5 in the media, `i5` one by INFO, a number a pause of so many ms.
    fn told(script: &str) -> String {
        let mut unmatched = Unmatched::default();
        let mut now = Instant::now();
        let mut out = String::new();
        for word in script.split(' ') {
            let (way, c) = word.split_at(1);
            let way = match way {
                "m" => Way::Media,
                "i" => Way::Info,
                _ => {
                    now += Duration::from_millis(word.parse().unwrap());
                    continue;
                }
            };
            // Behind the digit, how long it was pressed, ms.
            let (digit, length) = c.split_at(1);
            let length = Duration::from_millis(length.parse().unwrap_or(0));
            if unmatched.is_new(d(digit.chars().next().unwrap()), way, length, now) {
                out.push_str(digit);
            }
        }
        out
    }

    #[test]
    fn one_press_that_comes_both_ways_is_one_digit() {
        assert_eq!(told("m5 i5"), "5");
        assert_eq!(told("i5 m5"), "5");
        assert_eq!(told("m5 100 m5 20 i5 80 i5"), "55");
        assert_eq!(told("m1 i1 m2 i2 m2 i2 i3 m3"), "1223");
        assert_eq!(told("m5 2900 i5"), "5", "sent again twice");
        assert_eq!(told("m5 5000 i55000"), "5", "a long press");
        assert_eq!(told("m1 m2 i2 i1"), "12", "the first INFO was lost");
    }

    #[test]
    fn presses_of_one_way_are_all_told() {
        assert_eq!(told("m5 m5 m5"), "555");
        assert_eq!(told("i5 i5 100 i6"), "556");
        assert_eq!(told("m5 3100 i5"), "55", "too far apart to be one");
        assert_eq!(told("m5 i6"), "56");
    }

    fn info(kind: &str, body: &str) -> Result<Option<(Digit, Duration)>, &'static str> {
        let text = format!(
            "INFO sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INFO\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        match parse_datagram(text.as_bytes()) {
            Ok(Message::Request(request)) => read_info(&request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn info_in_the_forms_that_phones_use() {
        for (body, digit) in [
            ("Signal=5\r\nDuration=160\r\n", '5'),
            ("Signal= 5\nDuration= 160", '5'),
            ("signal = *\r\n", '*'),
            ("Duration=100\r\nSignal=11\r\n", '#'),
            ("Signal=10", '*'),
            ("Signal=d", 'D'),
        ] {
            let read = info(RELAY, body).map(|r| r.map(|(digit, _)| digit));
            assert_eq!(read, Ok(Some(d(digit))), "{body:?}");
        }
        assert_eq!(info(PLAIN, "7"), Ok(Some((d('7'), Duration::ZERO))));
        let long = info("Application/DTMF-Relay", "Signal=#\r\nDuration=1500");
        assert_eq!(long, Ok(Some((d('#'), Duration::from_millis(1500)))));
        assert_eq!(info(RELAY, "Signal=hf"), Ok(None));
        assert_eq!(info("application/sdp", "v=0"), Ok(None));
        for bad in ["", "Signal=", "Signal=55", "Sig=5", "Signal=\u{0}", "5"] {
            assert!(info(RELAY, bad).is_err(), "{bad:?}");
        }
    }
}
