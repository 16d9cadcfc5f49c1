//! Decides when to fire. Pure: times are arguments.

use super::schedule::Schedule;
use std::time::Duration;

/// The clock of the host is looked at again after so long, as it may have been set.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// A clock that is set back by at most so much repeats no firing of a calendar; one that is set back further is believed.
const MAX_SET_BACK: i64 = 3 * 3_600;
/// More firings are not counted one by one.
pub(super) const MAX_COUNTED: usize = 100_000;

#[derive(Debug)]
pub(super) struct Ticker {
    schedule: Schedule,
    /// In seconds since 1970; `None` if there is no further firing.
    due: Option<i64>,
    /// The latest time that was seen.
    latest: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tick {
    /// Nothing is due; look again after this time.
    Wait(Duration),
    /// Fire once. So many firings more were due by now, because the process slept or the clock was set; as in Dapr, they are
    /// left out.
    Fire { skipped: usize },
    /// The schedule has no further firing.
    Never,
}

impl Ticker {
    /// Times are since 1970.
    pub(super) fn new(schedule: Schedule, now: Duration) -> Self {
        let now = seconds(now);
        Self { due: schedule.next(now), schedule, latest: now }
    }

    pub(super) fn tick(&mut self, now: Duration) -> Tick {
        let whole = seconds(now);
        let set_back = self.latest - whole;
        // An interval counts from the clock as it is.
        if set_back > MAX_SET_BACK || (set_back > 0 && self.schedule.is_every()) {
            self.due = self.schedule.next(whole);
            self.latest = whole;
        }
        self.latest = self.latest.max(whole);
        let Some(due) = self.due else { return Tick::Never };
        if whole < due {
            let due = Duration::from_secs(u64::try_from(due).unwrap_or_default());
            return Tick::Wait(due.saturating_sub(now).min(MAX_WAIT));
        }
        let skipped = self.schedule.count(due, whole, MAX_COUNTED);
        self.due = self.schedule.next(whole);
        Tick::Fire { skipped: if self.schedule.is_every() { 0 } else { skipped } }
    }
}

pub(super) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn ticker(text: &str, now: u64) -> Ticker {
        let schedule = Schedule::parse(text, &HashMap::from([("TZ", "UTC")])).unwrap();
        Ticker::new(schedule, Duration::from_secs(now))
    }

    fn at(ticker: &mut Ticker, now: u64) -> Tick {
        ticker.tick(Duration::from_secs(now))
    }

    const FIRE: Tick = Tick::Fire { skipped: 0 };

    fn wait(seconds: u64) -> Tick {
        Tick::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn it_fires_once_at_each_time() {
        let mut ticker = ticker("* * * * *", 0);
        assert_eq!(at(&mut ticker, 0), wait(10));
        assert_eq!(ticker.tick(Duration::from_millis(59_750)), Tick::Wait(Duration::from_millis(250)));
        assert_eq!([at(&mut ticker, 60), at(&mut ticker, 60), at(&mut ticker, 120)], [FIRE, wait(10), FIRE]);
    }

    #[test]
    fn after_a_jump_of_the_clock_it_fires_once_and_says_how_many_were_skipped() {
        let mut ticker = ticker("* * * * *", 0);
        assert_eq!(at(&mut ticker, 200), Tick::Fire { skipped: 2 });
        assert_eq!(at(&mut ticker, 235), wait(5));
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_repeats_nothing() {
        let mut ticker = ticker("0 * * * *", 0);
        assert_eq!(at(&mut ticker, 3_600), FIRE);
        assert_eq!([at(&mut ticker, 1_800), at(&mut ticker, 3_600)], [wait(10), wait(10)]);
        assert_eq!(at(&mut ticker, 7_200), FIRE);
    }

    #[test]
    fn a_clock_that_is_set_back_far_is_believed() {
        let mut ticker = ticker("0 * * * *", 1_000_000);
        assert_eq!(at(&mut ticker, 100), wait(10));
        assert_eq!(at(&mut ticker, 3_600), FIRE);
    }

    #[test]
    fn an_interval_goes_on_from_the_clock_as_it_is() {
        let mut ticker = ticker("@every 5s", 100);
        assert_eq!(at(&mut ticker, 105), FIRE);
        assert_eq!([at(&mut ticker, 50), at(&mut ticker, 55)], [wait(5), FIRE]);
        assert_eq!(at(&mut ticker, 500), FIRE, "an interval skips nothing");
    }

    #[test]
    fn a_day_that_does_not_exist_never_fires() {
        assert_eq!(at(&mut ticker("0 0 31 2 *", 0), 10), Tick::Never);
    }
}
