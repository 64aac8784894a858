//! A timer for a loop that waits anew, and mostly for the same time, behind each event.

use std::pin::Pin;
use std::time::Instant;

use tokio::time::Sleep;

/// Wakes a loop in time, or too early: the loop looks at what is due. So an event does not set the
/// timer anew, but for one that wants to be woken earlier.
#[derive(Debug)]
pub struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> Self {
        Self { sleep: None }
    }

    /// Waits until `time` at most.
    pub async fn until(&mut self, time: Instant) {
        let time = time.into();
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(time)));
        if time < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(time);
        }
        sleep.as_mut().await;
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;

    /// Asks for a time that has not come: when the timer goes off.
    fn ask(alarm: &mut Alarm, time: Instant) -> Instant {
        {
            let mut until = std::pin::pin!(alarm.until(time));
            let mut context = Context::from_waker(Waker::noop());
            assert!(until.as_mut().poll(&mut context).is_pending());
        }
        let at = alarm.sleep.as_ref().map(|sleep| sleep.deadline().into());
        at.expect("a timer")
    }

    #[tokio::test]
    async fn it_is_set_anew_for_an_earlier_time_and_once_it_has_gone_off() {
        let mut alarm = Alarm::new();
        let now = Instant::now();
        let far = |minutes| now + Duration::from_mins(minutes);
        assert_eq!(ask(&mut alarm, far(5)), far(5));
        assert_eq!(ask(&mut alarm, far(9)), far(5), "it may be early");
        assert_eq!(ask(&mut alarm, far(2)), far(2), "never late");
        alarm.until(now).await;
        assert_eq!(ask(&mut alarm, far(9)), far(9));
    }
}
