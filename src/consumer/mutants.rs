//! Rules of the engine that a test can break on purpose, to prove that the simulation notices. Only with the feature
//! `mutants`; without it [`is_broken`] is a constant, and the compiler removes what it guards.

/// A rule, named by how it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// A checkpoint includes the first record that is not accepted.
    CheckpointAhead,
    /// A child shard is read before its parents have ended.
    ParentsIgnored,
    /// A child shard begins at LATEST.
    ChildrenAtLatest,
    /// Deliveries begin although the lease may be lost.
    FenceIgnored,
    /// The fence is dated from the reply to a renewal, not from its request.
    FenceFromReply,
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
    /// Pauses after failures stay as short as the first.
    BackoffNeverGrows,
    /// Records that aged out unread are not counted.
    GapNotReported,
    /// An end of a shard is believed without a listing that shows it closed.
    EndBelieved,
}

/// Whether a rule is broken in this thread.
#[cfg(not(feature = "mutants"))]
pub const fn is_broken(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switch::{break_rule, is_broken};

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static BROKEN: Cell<Option<Mutant>> = const { Cell::new(None) };
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
