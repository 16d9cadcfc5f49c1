//! Retries of failed reads of a shard, by polling and by fan-out. Throttles and contention are not counted here: they pass,
//! however long they last.

use crate::domain::FailureKind;
use crate::resilience::{Backoff, Waits};
use std::time::Duration;

/// After more failures in a row than this the caller gets the error.
pub(super) const MAX_FAILURES: u32 = 8;

/// The bounds of the waits after errors that usually last.
const FIRST_LASTING_WAIT: Duration = Duration::from_secs(4);
const MAX_LASTING_WAIT: Duration = Duration::from_secs(60);

/// Counts errors that usually last until an operator acts: a missing permission, a disabled encryption key. Part of the
/// state of a shard that outlives its sources.
#[derive(Debug, Default)]
pub(super) struct LastingErrors(u32);

impl LastingErrors {
    /// How long not to try again: at first 2 to 4 s, for refused credentials that are just renewed, then doubled up to
    /// 30 to 60 s. `None` for errors of other kinds. `random` is from 0 to 1.
    pub(super) fn next_wait(&mut self, kind: FailureKind, random: f64) -> Option<Duration> {
        if !matches!(kind, FailureKind::Denied | FailureKind::Permanent | FailureKind::Unsupported) {
            return None;
        }
        let bound = (FIRST_LASTING_WAIT * 2_u32.pow(self.0.min(5))).min(MAX_LASTING_WAIT);
        self.0 = self.0.saturating_add(1);
        Some(bound.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0)))
    }

    pub(super) const fn reset(&mut self) {
        self.0 = 0;
    }
}

#[derive(Debug)]
pub(super) struct ReadRetries(Waits);

impl ReadRetries {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self(backoff.waits(fastrand::u64(..)))
    }

    /// How long to wait before the next attempt; `None` if the caller must get the error.
    pub(super) fn next_wait(&mut self, kind: FailureKind) -> Option<Duration> {
        (kind.may_retry() && self.0.taken() < MAX_FAILURES).then(|| self.0.next_wait())
    }

    pub(super) const fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_must_mend_is_tried_again_each_minute_at_last() {
        let mut errors = LastingErrors::default();
        for kind in [FailureKind::Transient, FailureKind::Throttled, FailureKind::NotFound, FailureKind::Caller] {
            assert_eq!(errors.next_wait(kind, 0.5), None);
        }
        let mut waits = |random| -> Vec<u64> {
            errors.reset();
            let kinds = [FailureKind::Denied, FailureKind::Permanent, FailureKind::Unsupported].iter().cycle();
            kinds.take(7).map(|kind| errors.next_wait(*kind, random).unwrap().as_secs()).collect()
        };
        assert_eq!((waits(0.0), waits(1.0)), (vec![2, 4, 8, 16, 30, 30, 30], vec![4, 8, 16, 32, 60, 60, 60]));
    }
}
