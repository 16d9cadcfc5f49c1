//! Where and when the next subscription of a shard begins. Pure: the caller passes the time.

use super::retries::ReadRetries;
use crate::domain::{FailureKind, SequenceNumber, StartingPosition, Timestamp};
use crate::resilience::{Backoff, Waits};
use std::time::Duration;
use tokio::time::Instant;

const BACKOFF: Backoff = Backoff::millis(200, 5_000);
const THROTTLED: Backoff = Backoff::millis(1_000, 60_000);
/// How often the pause after contention doubles.
const MAX_DOUBLINGS: u32 = 3;

#[derive(Debug)]
pub(super) struct SubscriptionPlan {
    position: StartingPosition,
    /// Where to continue if the continuation number is refused.
    last_record: Option<SequenceNumber>,
    /// Where to begin until a record was received.
    start: StartingPosition,
    from_continuation: bool,
    not_before: Instant,
    last_success: Option<Instant>,
    /// The minimum time between two subscriptions.
    min_interval: Duration,
    /// Subscriptions refused in a row because of contention or a limit.
    refusals: u32,
    retries: ReadRetries,
    throttles: Waits,
}

impl SubscriptionPlan {
    pub(super) fn new(start: StartingPosition, min_interval: Duration, now: Instant) -> Self {
        Self {
            position: start.clone(),
            last_record: None,
            start,
            from_continuation: false,
            not_before: now,
            last_success: None,
            min_interval,
            refusals: 0,
            retries: ReadRetries::new(BACKOFF),
            throttles: THROTTLED.waits(fastrand::u64(..)),
        }
    }

    pub(super) const fn position(&self) -> &StartingPosition {
        &self.position
    }

    pub(super) const fn not_before(&self) -> Instant {
        self.not_before
    }

    pub(super) const fn refusals(&self) -> u32 {
        self.refusals
    }

    /// `date` is the time of `now` by the service's clock.
    pub(super) fn subscribed(&mut self, now: Instant, date: Timestamp) {
        self.last_success = Some(now);
        self.not_before = now + self.min_interval;
        if self.position == StartingPosition::Latest {
            // A second subscription at LATEST would skip the records since the first.
            self.position = StartingPosition::AtTimestamp(date);
            self.start = self.position.clone();
        }
    }

    /// After an event. Its continuation number may belong to no record, so it is used for subscribing only, never as a
    /// checkpoint.
    pub(super) fn received(&mut self, last: Option<SequenceNumber>, continuation: Option<SequenceNumber>) {
        self.refusals = 0;
        self.retries.reset();
        self.throttles.reset();
        if let Some(last) = last {
            self.position = StartingPosition::After(last.clone());
            self.last_record = Some(last);
            self.from_continuation = false;
        }
        if let Some(continuation) = continuation {
            self.position = StartingPosition::After(continuation);
            self.from_continuation = true;
        }
    }

    /// After a subscription was refused or broke. Returns whether another attempt makes sense; contention and limits pass,
    /// however long they last.
    pub(super) fn failed(&mut self, kind: FailureKind, code: Option<&str>, now: Instant) -> bool {
        let wait = match code {
            Some("InvalidArgumentException") => return self.fall_back(),
            Some("ResourceInUseException") => {
                // Another subscription is open, or the service still counts our last one: spread the attempts.
                let pause = self.min_interval * 2_u32.pow(self.refusals.min(MAX_DOUBLINGS));
                self.refusals = self.refusals.saturating_add(1);
                pause + pause.mul_f64(0.6 * fastrand::f64())
            }
            Some(_) | None if kind == FailureKind::Throttled => {
                self.refusals = self.refusals.saturating_add(1);
                self.throttles.next_wait()
            }
            Some(_) | None => match self.retries.next_wait(kind) {
                Some(wait) => wait,
                None => return false,
            },
        };
        let earliest = self.last_success.map_or(now, |success| success + self.min_interval);
        self.not_before = earliest.max(now + wait);
        true
    }

    /// From a refused continuation number to the last record, or to the start without one.
    fn fall_back(&mut self) -> bool {
        let was_continuation = std::mem::take(&mut self.from_continuation);
        if was_continuation {
            let start = self.start.clone();
            self.position = self.last_record.clone().map_or(start, StartingPosition::After);
        }
        was_continuation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> SequenceNumber {
        text.parse().unwrap()
    }

    fn plan(start: StartingPosition) -> (SubscriptionPlan, Instant) {
        let now = Instant::now();
        (SubscriptionPlan::new(start, Duration::from_secs(5), now), now)
    }

    #[test]
    fn a_subscription_continues_after_the_continuation_number() {
        let (mut plan, now) = plan(StartingPosition::TrimHorizon);
        plan.subscribed(now, Timestamp::from_millis(1));
        plan.received(Some(number("7")), Some(number("9")));
        assert_eq!(*plan.position(), StartingPosition::After(number("9")));
        plan.received(None, Some(number("11")));
        assert_eq!(*plan.position(), StartingPosition::After(number("11")));
    }

    #[test]
    fn a_refused_continuation_falls_back_to_the_last_record_once() {
        let (mut plan, now) = plan(StartingPosition::TrimHorizon);
        plan.received(Some(number("7")), Some(number("9")));
        assert!(plan.failed(FailureKind::Caller, Some("InvalidArgumentException"), now));
        assert_eq!(*plan.position(), StartingPosition::After(number("7")));
        assert!(!plan.failed(FailureKind::Caller, Some("InvalidArgumentException"), now));
    }

    #[test]
    fn latest_becomes_a_timestamp_once_subscribed() {
        let (mut plan, now) = plan(StartingPosition::Latest);
        plan.subscribed(now, Timestamp::from_millis(42));
        assert_eq!(*plan.position(), StartingPosition::AtTimestamp(Timestamp::from_millis(42)));
    }

    #[test]
    fn five_seconds_pass_between_a_success_and_the_next_attempt() {
        let (mut plan, now) = plan(StartingPosition::TrimHorizon);
        assert_eq!(plan.not_before(), now);
        plan.subscribed(now, Timestamp::from_millis(1));
        assert!(plan.failed(FailureKind::Transient, None, now));
        assert_eq!(plan.not_before(), now + Duration::from_secs(5));
    }

    #[test]
    fn contention_waits_at_least_five_seconds_and_longer_each_time() {
        let (mut plan, now) = plan(StartingPosition::TrimHorizon);
        for least in [5, 10, 20, 40, 40, 40, 40, 40, 40, 40] {
            assert!(plan.failed(FailureKind::Conflict, Some("ResourceInUseException"), now));
            let (wait, least) = (plan.not_before() - now, Duration::from_secs(least));
            assert!(wait >= least && wait <= least.mul_f64(1.6), "{wait:?}");
        }
        assert_eq!(plan.refusals(), 10);
        plan.received(None, Some(number("1")));
        assert_eq!(plan.refusals(), 0);
        assert!(plan.failed(FailureKind::Conflict, Some("ResourceInUseException"), now));
        assert!(plan.not_before() - now <= Duration::from_secs(8));
    }

    #[test]
    fn throttles_are_retried_without_end_with_growing_pauses() {
        let (mut plan, now) = plan(StartingPosition::TrimHorizon);
        let wait = |plan: &mut SubscriptionPlan| {
            assert!(plan.failed(FailureKind::Throttled, Some("LimitExceededException"), now));
            plan.not_before() - now
        };
        let first: Duration = (0..4).map(|_| wait(&mut plan)).sum();
        assert!(first <= Duration::from_secs(1 + 2 + 4 + 8));
        let later: Duration = (0..40).map(|_| wait(&mut plan)).sum();
        assert!(later / 40 >= Duration::from_secs(10), "{later:?}");
    }

    #[test]
    fn a_denied_subscription_is_reported_at_once() {
        let (mut plan, now) = plan(StartingPosition::TrimHorizon);
        assert!(!plan.failed(FailureKind::Denied, Some("AccessDeniedException"), now));
    }
}
