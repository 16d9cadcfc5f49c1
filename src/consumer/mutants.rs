//! Rules of the engine that a test can break on purpose, to prove that the simulation notices. Only with the feature
//! `mutants`; without it [`is_broken`] is a constant, and the compiler removes what it guards.

/// A rule, named by how it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// A checkpoint includes the first record that is not accepted.
    CheckpointAhead,
    /// A child shard is read before its parents have ended.
    ParentsIgnored,
    /// The child of a merge is read when one of its parents has ended.
    SecondParentIgnored,
    /// A child shard begins at LATEST.
    ChildrenAtLatest,
    /// Deliveries begin although the lease may be lost.
    FenceIgnored,
    /// The fence is dated from the reply to a renewal, not from its request.
    FenceFromReply,
    /// The fence is as late as the end of the lease.
    MarginRemoved,
    /// Renewals wait until the app has answered.
    RenewalsWait,
    /// A row that an earlier write of ours left counts as a renewal.
    AdoptionRenews,
    /// A requested lease is taken before its owner has drained.
    HandoffNotAwaited,
    /// Records of one key are in flight at the same time.
    KeysOverlap,
    /// A record that failed is sent again after its followers.
    FollowersPass,
    /// More records are fetched than the window allows.
    WindowIgnored,
    /// Progress moves beyond a dead letter that may not be stored.
    DeadLetterUnconfirmed,
    /// Of an aggregate that was accepted in part, the rest is skipped.
    SubSequenceIgnored,
    /// A shard is opened again after the last record and not at it.
    OpenedAfter,
    /// Of records that were read, some are lost when the next read fails.
    BatchDropped,
    /// Pauses after failures stay as short as the first.
    BackoffNeverGrows,
    /// Records that aged out unread are not counted.
    GapNotReported,
    /// Progress does not pass filtered records that follow one which was not accepted when they were read.
    FilteredNotPassed,
    /// An end of a shard is believed without a listing that shows it closed.
    EndBelieved,
}

/// Whether a rule is broken in this thread.
#[cfg(not(feature = "mutants"))]
pub const fn is_broken(_: Mutant) -> bool {
    false
}

#[cfg(not(feature = "mutants"))]
pub(super) use no_calls::{app_call, app_has_answered};
#[cfg(feature = "mutants")]
pub(super) use switch::{app_call, app_has_answered};
#[cfg(feature = "mutants")]
pub use switch::{break_rule, is_broken};

#[cfg(not(feature = "mutants"))]
mod no_calls {
    use crate::domain::ShardId;

    #[derive(Debug)]
    pub(in super::super) struct AppCall;

    pub(in super::super) const fn app_call(_: &ShardId) -> AppCall {
        AppCall
    }

    pub(in super::super) async fn app_has_answered(_: &ShardId) {}
}

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use crate::domain::ShardId;
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    thread_local! {
        static BROKEN: Cell<Option<Mutant>> = const { Cell::new(None) };
        static CALLS: RefCell<Vec<ShardId>> = const { RefCell::new(Vec::new()) };
    }

    /// A call of the app that is in flight until it is dropped.
    #[derive(Debug)]
    pub(in super::super) struct AppCall(ShardId);

    impl Drop for AppCall {
        fn drop(&mut self) {
            CALLS.with_borrow_mut(|calls| {
                if let Some(index) = calls.iter().position(|shard| *shard == self.0) {
                    calls.swap_remove(index);
                }
            });
        }
    }

    /// Counts a call for [`Mutant::RenewalsWait`].
    pub(in super::super) fn app_call(shard: &ShardId) -> AppCall {
        CALLS.with_borrow_mut(|calls| calls.push(shard.clone()));
        AppCall(shard.clone())
    }

    /// With [`Mutant::RenewalsWait`], waits until no call of a shard is in flight.
    pub(in super::super) async fn app_has_answered(shard: &ShardId) {
        while is_broken(Mutant::RenewalsWait) && CALLS.with_borrow(|calls| calls.contains(shard)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Breaks a rule in this thread; `None` breaks none.
    pub fn break_rule(mutant: Option<Mutant>) {
        BROKEN.set(mutant);
    }

    /// Whether a rule is broken in this thread.
    #[must_use]
    pub fn is_broken(mutant: Mutant) -> bool {
        BROKEN.get() == Some(mutant)
    }
}
