//! Pure: whether a shard has ended when its end was signalled without naming children.
//!
//! Such a signal is a field that is absent: `NextShardIterator` of GetRecords, `ContinuationSequenceNumber` of
//! SubscribeToShard. A proxy or an emulator that drops the field looks the same, and a shard that is wrongly marked as
//! ended is never read again. So a shard ends only when ListShards shows it closed, and when a read that began after
//! that gave the signal once more and no record.

use crate::domain::ShardId;
use crate::resilience::{Backoff, Waits};
use std::time::Duration;

/// Pauses before a shard is read again that ListShards shows open. Capped low, because its records wait meanwhile.
const OPEN: Backoff = Backoff::millis(1_000, 10_000);

/// What ListShards shows of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListedShard {
    /// Without an ending sequence number.
    Open,
    /// With an ending sequence number.
    Closed,
    /// Not listed: the stream does not hold it (any more).
    Absent,
    /// The shards could not be listed.
    Unknown,
}

/// What follows a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndSignal {
    /// The shard has ended.
    Confirmed,
    /// Read from the last record again.
    ReadAgain,
    /// List the shards.
    AskListing,
}

/// State of one held shard.
#[derive(Debug)]
pub(super) struct EndCheck {
    /// ListShards showed the shard closed or no longer listed. Neither is ever undone.
    is_closed: bool,
    /// A read began since, and has brought no record yet.
    is_confirming: bool,
    /// Answers since the last signal.
    answers: u32,
    is_warned: bool,
    waits: Waits,
}

impl EndCheck {
    pub(super) fn new(seed: u64) -> Self {
        Self { is_closed: false, is_confirming: false, answers: 0, is_warned: false, waits: OPEN.waits(seed) }
    }

    /// Takes an answer that was no signal; `has_records`: it brought records that were not delivered before.
    pub(super) const fn answered(&mut self, has_records: bool) {
        if has_records {
            self.is_confirming = false;
        }
        self.answers = self.answers.saturating_add(1);
        // A single answer between two signals is no recovery.
        if self.answers > 1 {
            self.waits.reset();
        }
    }

    /// Takes a signal.
    pub(super) const fn signalled(&mut self) -> EndSignal {
        self.answers = 0;
        if !self.is_closed {
            return EndSignal::AskListing;
        }
        if self.is_confirming {
            return EndSignal::Confirmed;
        }
        self.is_confirming = true;
        EndSignal::ReadAgain
    }

    /// Takes what ListShards shows; returns the pause before the shard is read again.
    pub(super) fn listed(&mut self, shard: &ShardId, found: ListedShard) -> Duration {
        match found {
            ListedShard::Closed | ListedShard::Absent => {
                self.is_closed = true;
                self.is_confirming = true;
                Duration::ZERO
            }
            ListedShard::Open => {
                if !std::mem::replace(&mut self.is_warned, true) {
                    let remedy =
                        "look for a proxy or an endpoint that drops NextShardIterator or ContinuationSequenceNumber";
                    tracing::warn!(%shard, remedy, "end of a shard was signalled that ListShards shows open");
                }
                self.waits.next_wait()
            }
            ListedShard::Unknown => self.waits.next_wait(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(check: &mut EndCheck, found: ListedShard) -> Duration {
        check.listed(&ShardId::new("shardId-0"), found)
    }

    #[test]
    fn a_shard_that_is_open_never_ends() {
        let mut check = EndCheck::new(1);
        for _ in 0..100 {
            assert_eq!(check.signalled(), EndSignal::AskListing);
            let wait = listed(&mut check, ListedShard::Open);
            assert!(!wait.is_zero() && wait <= Duration::from_secs(10), "{wait:?}");
        }
    }

    #[test]
    fn a_listing_that_failed_ends_nothing() {
        let mut check = EndCheck::new(1);
        for _ in 0..100 {
            assert_eq!(check.signalled(), EndSignal::AskListing);
            assert!(!listed(&mut check, ListedShard::Unknown).is_zero());
        }
    }

    #[test]
    fn a_closed_shard_ends_at_the_next_signal_without_records() {
        for found in [ListedShard::Closed, ListedShard::Absent] {
            let mut check = EndCheck::new(1);
            assert_eq!(check.signalled(), EndSignal::AskListing);
            assert_eq!(listed(&mut check, found), Duration::ZERO);
            check.answered(false);
            assert_eq!(check.signalled(), EndSignal::Confirmed);
        }
    }

    #[test]
    fn records_after_the_listing_ask_for_one_more_read() {
        let mut check = EndCheck::new(1);
        check.signalled();
        listed(&mut check, ListedShard::Closed);
        check.answered(true);
        assert_eq!(check.signalled(), EndSignal::ReadAgain);
        assert_eq!(check.signalled(), EndSignal::Confirmed);
    }

    #[test]
    fn pauses_grow_until_two_answers_in_a_row() {
        let mut check = EndCheck::new(1);
        for _ in 0..20 {
            check.signalled();
            listed(&mut check, ListedShard::Open);
            check.answered(true);
        }
        assert!(check.waits.taken() >= 20, "one answer between two signals does not shorten the pauses");
        check.answered(false);
        assert_eq!(check.waits.taken(), 0);
    }
}
