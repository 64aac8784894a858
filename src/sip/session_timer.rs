//! Session timers (RFC 4028): a call whose far end has vanished ends, media or no media.
//!
//! Sits beside the dialog: a call negotiates here, and holds one [`SessionTimer`].

use std::time::{Duration, Instant};

use super::header::{Name, Refresher, SessionExpires};
use super::message::{Request, Response};

/// What we ask for and what we bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The interval that we want, whole seconds. Zero: none unless the peer asks.
    pub expires: Duration,
    /// The shortest interval that we take, whole seconds, at least [`MIN_SE`].
    pub min_se: Duration,
}

/// What was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The session interval.
    pub interval: Duration,
    /// Whether the refreshes are ours to send.
    pub refresher_is_us: bool,
}

/// The peer wants a shorter interval than we bear: 422 with Min-SE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session interval below {} s", min_se.as_secs())]
pub struct TooSmall {
    /// What to put into Min-SE.
    pub min_se: Duration,
}

/// RFC 4028 §4: the least that Min-SE may be, and its default.
pub const MIN_SE: Duration = Duration::from_secs(90);

/// The option tag.
pub const OPTION: &str = "timer";

fn supports(request: &Request) -> bool {
    let has = |name| {
        request
            .headers
            .list(name)
            .any(|tag| tag.eq_ignore_ascii_case(OPTION))
    };
    has(&Name::Supported) || has(&Name::Require)
}

/// Answers the timer of an INVITE or UPDATE (RFC 4028 §9).
pub fn uas(request: &Request, settings: &Settings) -> Result<Option<Agreed>, TooSmall> {
    let supported = supports(request);
    let floor = settings.min_se.max(MIN_SE);
    let asked = request.headers.session_expires().ok().flatten();
    let Some(asked) = asked.filter(|asked| supported || asked.seconds >= 90) else {
        if settings.expires.is_zero() {
            return Ok(None);
        }
        // A caller that knows no timers is refreshed by us (table 2); its Min-SE holds.
        let theirs = request.headers.min_se().ok().flatten().unwrap_or(0);
        let interval = settings.expires.max(floor).max(seconds(theirs));
        return Ok(Some(Agreed {
            interval,
            refresher_is_us: !supported,
        }));
    };
    let wanted = seconds(asked.seconds);
    if supported && wanted < floor {
        return Err(TooSmall { min_se: floor });
    }
    // §9: the answer may be shorter, not below the request's Min-SE, and never longer.
    let theirs = request.headers.min_se().ok().flatten().unwrap_or(0);
    let ours = if settings.expires.is_zero() {
        wanted
    } else {
        settings.expires.max(floor).max(seconds(theirs))
    };
    Ok(Some(Agreed {
        interval: wanted.min(ours),
        refresher_is_us: !supported || asked.refresher == Some(Refresher::Uas),
    }))
}

/// Writes what [`uas`] agreed into the 2xx to `request`.
pub fn uas_headers(response: &mut Response, request: &Request, agreed: &Agreed) {
    let refresher = if agreed.refresher_is_us {
        Refresher::Uas
    } else {
        Refresher::Uac
    };
    set_expires(&mut response.headers, agreed.interval, Some(refresher));
    if supports(request) {
        add_option(&mut response.headers, Name::Require);
    }
}

/// Asks for a timer in our INVITE or UPDATE (RFC 4028 §7.1). `refresher`: who shall refresh,
/// where that is known already (a refresh keeps it).
pub fn uac_headers(request: &mut Request, settings: &Settings, refresher: Option<Refresher>) {
    add_option(&mut request.headers, Name::Supported);
    if settings.expires.is_zero() {
        return;
    }
    let floor = settings.min_se.max(MIN_SE);
    set_expires(&mut request.headers, settings.expires.max(floor), refresher);
    request
        .headers
        .set(Name::MinSe, floor.as_secs().to_string());
}

/// What a 2xx to our request says (RFC 4028 §7.2); `None`: no timer.
pub fn uac(response: &Response) -> Option<Agreed> {
    let answer = response.headers.session_expires().ok().flatten()?;
    Some(Agreed {
        // An interval below what the RFC allows would have us refresh all the time.
        interval: seconds(answer.seconds).max(MIN_SE),
        refresher_is_us: answer.refresher != Some(Refresher::Uas),
    })
}

/// The interval for another try after a 422 (RFC 4028 §7.3).
pub fn raised(response: &Response) -> Option<Duration> {
    let least = response.headers.min_se().ok().flatten()?;
    (response.status == 422).then(|| seconds(least))
}

fn seconds(n: u32) -> Duration {
    Duration::from_secs(n.into())
}

fn set_expires(
    headers: &mut super::header::Headers,
    interval: Duration,
    refresher: Option<Refresher>,
) {
    let value = SessionExpires {
        seconds: u32::try_from(interval.as_secs()).unwrap_or(u32::MAX),
        refresher,
    };
    headers.set(Name::SessionExpires, value.to_string());
}

fn add_option(headers: &mut super::header::Headers, name: Name) {
    if !headers
        .list(&name)
        .any(|tag| tag.eq_ignore_ascii_case(OPTION))
    {
        headers.push(name, OPTION);
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send an UPDATE or re-INVITE.
    Refresh,
    /// Nobody refreshed: send BYE.
    Expired,
}

/// The running timer of a session.
///
/// ```text
///            half the interval, if we refresh
///  Waiting -----------------------------------> Refreshing
///     ^  \                                        /     |
///     |   `------> Expired <---------------------'      |
///     |     interval - min(32 s, interval / 3)          |
///     '---------------- refreshed ----------------------'
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SessionTimer {
    agreed: Agreed,
    since: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Refreshing,
    Expired,
}

impl SessionTimer {
    /// Starts with the 2xx that agreed on it.
    pub const fn new(agreed: Agreed, now: Instant) -> SessionTimer {
        SessionTimer {
            agreed,
            since: now,
            state: State::Waiting,
        }
    }

    /// A refresh, by whomever, was answered 2xx.
    pub const fn refreshed(&mut self, agreed: Agreed, now: Instant) {
        *self = SessionTimer::new(agreed, now);
    }

    /// What holds now.
    pub const fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// When [`SessionTimer::handle_timeout`] has something to say.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let interval = self.agreed.interval;
        match self.state {
            State::Waiting if self.agreed.refresher_is_us => Some(self.since + interval / 2),
            State::Waiting | State::Refreshing => {
                // RFC 4028 §10.
                let margin = Duration::from_secs(32).min(interval / 3);
                Some(self.since + interval.saturating_sub(margin))
            }
            State::Expired => None,
        }
    }

    /// What is due at `now`; each once.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        if now < self.poll_timeout()? {
            return None;
        }
        if self.state == State::Waiting && self.agreed.refresher_is_us {
            self.state = State::Refreshing;
            return Some(Due::Refresh);
        }
        self.state = State::Expired;
        Some(Due::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::method::Method;

    const SETTINGS: Settings = Settings {
        expires: Duration::from_mins(30),
        min_se: Duration::from_mins(2),
    };

    fn invite(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Method::Invite, "sip:a@h");
        for (name, value) in headers {
            request.headers.push(Name::parse(name), *value);
        }
        request
    }

    fn agreed(interval: u64, refresher_is_us: bool) -> Agreed {
        Agreed {
            interval: Duration::from_secs(interval),
            refresher_is_us,
        }
    }

    #[test]
    fn as_uas() {
        let k = ("Supported", "100rel, timer");
        for (headers, expected) in [
            (&[][..], Ok(agreed(1800, true))),
            (&[k], Ok(agreed(1800, false))),
            (&[k, ("Min-SE", "3600")], Ok(agreed(3600, false))),
            (&[k, ("x", "600")], Ok(agreed(600, false))),
            (&[k, ("x", "7200")], Ok(agreed(1800, false))),
            (
                &[k, ("x", "7200"), ("Min-SE", "2000")],
                Ok(agreed(2000, false)),
            ),
            (&[k, ("x", "600;refresher=uas")], Ok(agreed(600, true))),
            (&[k, ("x", "600;refresher=uac")], Ok(agreed(600, false))),
            (&[("x", "600;refresher=uac")], Ok(agreed(600, true))),
            (
                &[k, ("x", "119")],
                Err(TooSmall {
                    min_se: SETTINGS.min_se,
                }),
            ),
            // Put in by a proxy: a caller that knows no 422 does not get one.
            (&[("x", "100")], Ok(agreed(100, true))),
            (&[("x", "5")], Ok(agreed(1800, true))),
        ] {
            let outcome = uas(&invite(headers), &SETTINGS);
            assert_eq!(outcome, expected.map(Some), "{headers:?}");
        }
        let off = Settings {
            expires: Duration::ZERO,
            ..SETTINGS
        };
        assert_eq!(uas(&invite(&[k]), &off), Ok(None));
        assert_eq!(
            uas(&invite(&[k, ("x", "600")]), &off),
            Ok(Some(agreed(600, false)))
        );
    }

    #[test]
    fn headers_of_both_sides_agree() {
        let mut request = invite(&[("Supported", "100rel")]);
        uac_headers(&mut request, &SETTINGS, Some(Refresher::Uac));
        assert_eq!(request.headers.supported(), ["100rel", "timer"]);
        assert_eq!(request.headers.min_se(), Ok(Some(120)));
        let theirs = uas(&request, &SETTINGS).expect("fits").expect("timer");
        assert_eq!(theirs, agreed(1800, false));
        let mut response = Response::to(&request, 200);
        uas_headers(&mut response, &request, &theirs);
        assert_eq!(
            response.headers.get(&Name::SessionExpires),
            Some("1800;refresher=uac")
        );
        assert_eq!(response.headers.require(), ["timer"]);
        assert_eq!(uac(&response), Some(agreed(1800, true)));
        assert_eq!(uac(&Response::to(&request, 200)), None);
    }

    #[test]
    fn a_raised_minimum() {
        let mut response = Response::to(&invite(&[]), 422);
        assert_eq!(raised(&response), None);
        response.headers.push(Name::MinSe, "3600");
        assert_eq!(raised(&response), Some(Duration::from_hours(1)));
    }

    #[test]
    fn we_refresh_at_half() {
        let t0 = Instant::now();
        let at = |s| t0 + Duration::from_secs(s);
        let mut timer = SessionTimer::new(agreed(1800, true), t0);
        assert_eq!(timer.poll_timeout(), Some(at(900)));
        assert_eq!(timer.handle_timeout(at(899)), None);
        assert_eq!(timer.handle_timeout(at(900)), Some(Due::Refresh));
        assert_eq!(timer.poll_timeout(), Some(at(1768)));
        assert_eq!(timer.handle_timeout(at(901)), None);
        timer.refreshed(agreed(1800, true), at(901));
        assert_eq!(timer.poll_timeout(), Some(at(1801)));
        assert_eq!(timer.handle_timeout(at(1801)), Some(Due::Refresh));
        assert_eq!(timer.handle_timeout(at(2669)), Some(Due::Expired));
        assert_eq!(timer.poll_timeout(), None);
        assert_eq!(timer.handle_timeout(at(9999)), None);
    }

    #[test]
    fn they_do_not_refresh() {
        let t0 = Instant::now();
        let mut timer = SessionTimer::new(agreed(90, false), t0);
        assert_eq!(timer.poll_timeout(), Some(t0 + Duration::from_mins(1)));
        let late = t0 + Duration::from_mins(1);
        assert_eq!(timer.handle_timeout(late), Some(Due::Expired));
    }
}
