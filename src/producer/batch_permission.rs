//! Whether calls with several records are allowed. Pure.
//!
//! Some policies allow only calls with one record: `kinesis:PutRecord` without `kinesis:PutRecords`, which is enough for
//! daprd's binding. A refused batch stored nothing, so its records are sent again, each by its own call, and so are later
//! ones. If these calls are refused too, batches are sent as before and their refusal is the answer.
//!
//! ```text
//!             batch refused                     one record stored: log   
//!  Batches ──────────────────► Single(untried) ──────────────────────────► Single(works)
//!     ▲  ▲                          │ one record refused too                     │ every 5 minutes one batch
//!     │  └──────────────────────────┘ for 5 minutes a refused batch fails        │
//!     └─────────────────────────── that batch was not refused ───────────────────┘
//! ```

use std::time::Duration;
use tokio::time::Instant;

/// How long a refusal is taken as still valid. A changed policy takes effect within seconds, but each probe costs a call.
const RECHECK_AFTER: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(super) struct BatchPermission {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Batches are sent. Until `single_refused_until` calls with one record are refused as well, as far as is known.
    Batches { single_refused_until: Option<Instant> },
    /// Each record is sent by its own call; at `retry_at` the next batch is sent.
    Single { works: bool, retry_at: Instant },
}

/// What to do with the records of a refused batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Send each by its own call.
    SendSingly,
    /// The refusal is their answer.
    Fail,
}

/// A change that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Calls with one record work where those with several are refused.
    OnlySingle,
    /// Calls with several records are allowed again.
    BatchesAllowed,
}

impl BatchPermission {
    pub(super) const fn new() -> Self {
        Self { state: State::Batches { single_refused_until: None } }
    }

    /// Whether the next call may have several records.
    pub(super) fn may_batch(&self, now: Instant) -> bool {
        match self.state {
            State::Batches { .. } => true,
            State::Single { retry_at, .. } => retry_at <= now,
        }
    }

    /// A call with several records is sent. No second one is sent before its reply, nor soon after.
    pub(super) fn batch_sent(&mut self, now: Instant) {
        if let State::Single { retry_at, .. } = &mut self.state {
            *retry_at = now + RECHECK_AFTER;
        }
    }

    /// A call with several records was refused for lack of permission.
    pub(super) fn batch_refused(&mut self, now: Instant) -> Refused {
        match self.state {
            State::Batches { single_refused_until: Some(until) } if now < until => Refused::Fail,
            State::Batches { .. } => {
                self.state = State::Single { works: false, retry_at: now + RECHECK_AFTER };
                Refused::SendSingly
            }
            State::Single { .. } => Refused::SendSingly,
        }
    }

    /// A call with several records had a result for each of them, so it is allowed.
    pub(super) fn batch_answered(&mut self) -> Option<Change> {
        match self.state {
            State::Single { works, .. } => {
                self.state = State::Batches { single_refused_until: None };
                works.then_some(Change::BatchesAllowed)
            }
            State::Batches { .. } => None,
        }
    }

    /// Whether calls with one record are refused too, as far as is known.
    pub(super) fn is_all_refused(&self, now: Instant) -> bool {
        matches!(self.state, State::Batches { single_refused_until: Some(until) } if now < until)
    }

    /// A call with one record stored it.
    pub(super) fn single_stored(&mut self) -> Option<Change> {
        match &mut self.state {
            State::Batches { single_refused_until } => {
                *single_refused_until = None;
                None
            }
            State::Single { works, .. } => (!std::mem::replace(works, true)).then_some(Change::OnlySingle),
        }
    }

    /// A call with one record was refused for lack of permission.
    pub(super) fn single_refused(&mut self, now: Instant) {
        self.state = State::Batches { single_refused_until: Some(now + RECHECK_AFTER) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn after_a_refused_batch_calls_have_one_record_and_that_is_logged_once() {
        let (mut permission, now) = (BatchPermission::new(), Instant::now());
        assert!(permission.may_batch(now));
        assert_eq!(permission.single_stored(), None, "nothing was refused");
        assert_eq!(permission.batch_refused(now), Refused::SendSingly);
        assert_eq!(permission.batch_refused(now), Refused::SendSingly, "one that was in flight already");
        assert!(!permission.may_batch(now) && !permission.is_all_refused(now));
        assert_eq!(permission.single_stored(), Some(Change::OnlySingle));
        assert_eq!(permission.single_stored(), None, "once");
    }

    #[test]
    fn one_batch_is_tried_every_five_minutes() {
        let (mut permission, now) = (BatchPermission::new(), Instant::now());
        permission.batch_refused(now);
        permission.single_stored();
        assert!(!permission.may_batch(now + 5 * MINUTE - Duration::from_millis(1)));
        let later = now + 5 * MINUTE;
        assert!(permission.may_batch(later));
        permission.batch_sent(later);
        assert!(!permission.may_batch(later + MINUTE), "not a second one, however the first ends");
        assert_eq!(permission.batch_refused(later), Refused::SendSingly);
        assert_eq!(permission.single_stored(), None, "not logged again");
        let granted = later + 5 * MINUTE;
        permission.batch_sent(granted);
        assert_eq!(permission.batch_answered(), Some(Change::BatchesAllowed));
        assert!(permission.may_batch(granted));
        assert_eq!(permission.batch_answered(), None);
    }

    #[test]
    fn where_both_kinds_of_calls_are_refused_no_call_is_repeated() {
        let (mut permission, now) = (BatchPermission::new(), Instant::now());
        permission.batch_refused(now);
        permission.single_refused(now);
        assert!(permission.may_batch(now) && permission.is_all_refused(now), "batches are sent as before");
        for _ in 0..3 {
            assert_eq!(permission.batch_refused(now + 4 * MINUTE), Refused::Fail);
        }
        assert_eq!(permission.batch_refused(now + 5 * MINUTE), Refused::SendSingly, "a policy may have changed");
        permission.single_refused(now + 5 * MINUTE);
        permission.single_stored();
        assert_eq!(permission.batch_refused(now + 5 * MINUTE), Refused::SendSingly, "single calls are allowed now");
    }

    #[test]
    fn a_refused_single_call_is_remembered_for_the_next_batch() {
        let (mut permission, now) = (BatchPermission::new(), Instant::now());
        permission.single_refused(now);
        assert_eq!(permission.batch_refused(now), Refused::Fail);
        assert_eq!(permission.batch_answered(), None, "where only batches are allowed they are sent on");
        assert!(permission.may_batch(now));
    }

    #[test]
    fn a_permission_that_is_taken_away_later_is_noticed() {
        let (mut permission, now) = (BatchPermission::new(), Instant::now());
        permission.batch_refused(now);
        permission.single_stored();
        permission.single_refused(now);
        assert_eq!(permission.batch_refused(now), Refused::Fail);
    }
}
