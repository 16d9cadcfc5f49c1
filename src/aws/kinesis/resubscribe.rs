//! Where and when the next subscription of a shard begins. Pure: the moments come from the caller.

use crate::domain::{FailureKind, SequenceNumber, StartingPosition, Timestamp};
use crate::resilience::{Backoff, Waits};
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row after which the caller is told.
const TRIES: u32 = 8;
const BACKOFF: Backoff = Backoff::millis(200, 5_000);
/// Pauses after a throttle.
const THROTTLED: Backoff = Backoff::millis(1_000, 60_000);
/// The pause after a refusal for contention doubles so often.
const DOUBLINGS: u32 = 3;

#[derive(Debug)]
pub(super) struct Resubscribe {
    position: StartingPosition,
    /// The last record received; where to go back to when the continuation number is refused.
    record: Option<SequenceNumber>,
    /// Where to begin as long as no record was received.
    start: StartingPosition,
    from_continuation: bool,
    not_before: Instant,
    last_success: Option<Instant>,
    apart: Duration,
    failures: u32,
    /// Subscriptions refused in a row because of contention or a limit.
    refusals: u32,
    waits: Waits,
    throttled: Waits,
}

impl Resubscribe {
    pub(super) fn new(start: StartingPosition, apart: Duration, now: Instant) -> Self {
        Self {
            position: start.clone(),
            record: None,
            start,
            from_continuation: false,
            not_before: now,
            last_success: None,
            apart,
            failures: 0,
            refusals: 0,
            waits: BACKOFF.waits(fastrand::u64(..)),
            throttled: THROTTLED.waits(fastrand::u64(..)),
        }
    }

    pub(super) const fn position(&self) -> &StartingPosition {
        &self.position
    }

    pub(super) const fn not_before(&self) -> Instant {
        self.not_before
    }

    /// How many subscriptions were refused in a row because of contention or a limit.
    pub(super) const fn refusals(&self) -> u32 {
        self.refusals
    }

    /// A subscription was granted at `now`, by the service's clock at `date`.
    pub(super) fn subscribed(&mut self, now: Instant, date: Timestamp) {
        self.last_success = Some(now);
        self.not_before = now + self.apart;
        if self.position == StartingPosition::Latest {
            // A second subscription at LATEST would skip what came since the first.
            self.position = StartingPosition::AtTimestamp(date);
            self.start = self.position.clone();
        }
    }

    /// An event came. Its continuation number may belong to no record, so it is used for this alone and not stored.
    pub(super) fn received(&mut self, last: Option<SequenceNumber>, continuation: Option<SequenceNumber>) {
        self.failures = 0;
        self.refusals = 0;
        self.waits.reset();
        self.throttled.reset();
        if let Some(last) = last {
            self.position = StartingPosition::After(last.clone());
            self.record = Some(last);
            self.from_continuation = false;
        }
        if let Some(continuation) = continuation {
            self.position = StartingPosition::After(continuation);
            self.from_continuation = true;
        }
    }

    /// A subscription was refused or broke; whether another try makes sense. Contention and limits pass, however long
    /// they last.
    pub(super) fn failed(&mut self, kind: FailureKind, code: Option<&str>, now: Instant) -> bool {
        let wait = match code {
            Some("InvalidArgumentException") => return self.fall_back(),
            Some("ResourceInUseException") => {
                // Another subscription lives, or ours is not forgotten yet: spread those who wait.
                let pause = self.apart * 2_u32.pow(self.refusals.min(DOUBLINGS));
                self.refusals = self.refusals.saturating_add(1);
                pause + pause.mul_f64(0.6 * fastrand::f64())
            }
            Some(_) | None if kind == FailureKind::Throttled => {
                self.refusals = self.refusals.saturating_add(1);
                self.throttled.next_wait()
            }
            Some(_) | None => {
                if !kind.may_retry() {
                    return false;
                }
                self.failures += 1;
                self.waits.next_wait()
            }
        };
        let again = self.last_success.map_or(now, |success| success + self.apart);
        self.not_before = again.max(now + wait);
        self.failures <= TRIES
    }

    /// From a refused continuation number to the last record, or to the beginning where there was none.
    fn fall_back(&mut self) -> bool {
        let was_continuation = std::mem::take(&mut self.from_continuation);
        if was_continuation {
            let start = self.start.clone();
            self.position = self.record.clone().map_or(start, StartingPosition::After);
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

    fn plan(start: StartingPosition) -> (Resubscribe, Instant) {
        let now = Instant::now();
        (Resubscribe::new(start, Duration::from_secs(5), now), now)
    }

    #[test]
    fn it_goes_on_after_the_continuation_number() {
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
    fn latest_is_pinned_once_subscribed() {
        let (mut plan, now) = plan(StartingPosition::Latest);
        plan.subscribed(now, Timestamp::from_millis(42));
        assert_eq!(*plan.position(), StartingPosition::AtTimestamp(Timestamp::from_millis(42)));
    }

    #[test]
    fn five_seconds_pass_between_a_success_and_the_next_try() {
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
    fn throttles_are_waited_out_with_growing_pauses() {
        let (mut plan, now) = plan(StartingPosition::TrimHorizon);
        let wait = |plan: &mut Resubscribe| {
            assert!(plan.failed(FailureKind::Throttled, Some("LimitExceededException"), now));
            plan.not_before() - now
        };
        let first: Duration = (0..4).map(|_| wait(&mut plan)).sum();
        assert!(first <= Duration::from_secs(1 + 2 + 4 + 8));
        let later: Duration = (0..40).map(|_| wait(&mut plan)).sum();
        assert!(later / 40 >= Duration::from_secs(10), "{later:?}");
    }

    #[test]
    fn a_denied_subscription_is_told_at_once() {
        let (mut plan, now) = plan(StartingPosition::TrimHorizon);
        assert!(!plan.failed(FailureKind::Denied, Some("AccessDeniedException"), now));
    }
}
