//! Whether a shard has ended, after a response that signals the end without child shards. Pure.
//!
//! The signal is an absent field: `NextShardIterator` of GetRecords, or `ContinuationSequenceNumber` of SubscribeToShard.
//! A proxy or an emulator that drops the field looks the same, and a shard that is wrongly marked as ended is never read
//! again. So the end counts only when ListShards shows the shard closed, and when a read that began after that returned
//! the signal again and no record.

use super::mutants::{Mutant, is_broken};
use crate::domain::ShardId;
use crate::resilience::{Backoff, Waits};
use std::time::Duration;

/// Pauses before a shard is read again that ListShards shows open. The cap is low, because records may be waiting.
const REREAD_BACKOFF: Backoff = Backoff::millis(1_000, 10_000);

/// What ListShards shows of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListedShard {
    /// Without an ending sequence number.
    Open,
    /// With an ending sequence number.
    Closed,
    /// Not listed: it is gone.
    Absent,
    /// The shards could not be listed.
    Unknown,
}

/// What to do after a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndDecision {
    Ended,
    ReadAgain,
    ListShards,
}

#[derive(Debug)]
pub(super) struct ShardEndCheck {
    /// ListShards showed the shard closed, or not at all. Kinesis never opens a shard again.
    is_closed: bool,
    /// No record was returned since then.
    is_confirming: bool,
    /// Responses since the last signal.
    responses: u32,
    has_warned: bool,
    waits: Waits,
}

impl ShardEndCheck {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            is_closed: false,
            is_confirming: false,
            responses: 0,
            has_warned: false,
            waits: REREAD_BACKOFF.waits(seed),
        }
    }

    /// Records a response without the signal. `has_records`: it has records that were not delivered before.
    pub(super) const fn responded(&mut self, has_records: bool) {
        if has_records {
            self.is_confirming = false;
        }
        self.responses = self.responses.saturating_add(1);
        // A single response between two signals does not mean that the endpoint works again.
        if self.responses > 1 {
            self.waits.reset();
        }
    }

    /// Records the signal.
    pub(super) fn end_signalled(&mut self) -> EndDecision {
        self.responses = 0;
        if is_broken(Mutant::EndBelieved) {
            return EndDecision::Ended;
        }
        if !self.is_closed {
            return EndDecision::ListShards;
        }
        if self.is_confirming {
            return EndDecision::Ended;
        }
        self.is_confirming = true;
        EndDecision::ReadAgain
    }

    /// Records what ListShards shows, and returns the pause before the shard is read again.
    pub(super) fn listed(&mut self, shard: &ShardId, found: ListedShard) -> Duration {
        match found {
            ListedShard::Closed | ListedShard::Absent => {
                self.is_closed = true;
                self.is_confirming = true;
                Duration::ZERO
            }
            ListedShard::Open => {
                if !std::mem::replace(&mut self.has_warned, true) {
                    let remedy =
                        "find the proxy or endpoint that drops NextShardIterator or ContinuationSequenceNumber";
                    tracing::warn!(%shard, remedy, "shard end signalled although ListShards shows the shard open");
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

    fn listed(check: &mut ShardEndCheck, found: ListedShard) -> Duration {
        check.listed(&ShardId::new("shardId-0"), found)
    }

    #[test]
    fn a_shard_that_is_open_never_ends() {
        let mut check = ShardEndCheck::new(1);
        for _ in 0..100 {
            assert_eq!(check.end_signalled(), EndDecision::ListShards);
            let wait = listed(&mut check, ListedShard::Open);
            assert!(!wait.is_zero() && wait <= Duration::from_secs(10), "{wait:?}");
        }
    }

    #[test]
    fn a_listing_that_failed_ends_nothing() {
        let mut check = ShardEndCheck::new(1);
        for _ in 0..100 {
            assert_eq!(check.end_signalled(), EndDecision::ListShards);
            assert!(!listed(&mut check, ListedShard::Unknown).is_zero());
        }
    }

    #[test]
    fn a_closed_shard_ends_at_the_next_signal_without_records() {
        for found in [ListedShard::Closed, ListedShard::Absent] {
            let mut check = ShardEndCheck::new(1);
            assert_eq!(check.end_signalled(), EndDecision::ListShards);
            assert_eq!(listed(&mut check, found), Duration::ZERO);
            check.responded(false);
            assert_eq!(check.end_signalled(), EndDecision::Ended);
        }
    }

    #[test]
    fn records_after_the_listing_need_one_more_read() {
        let mut check = ShardEndCheck::new(1);
        check.end_signalled();
        listed(&mut check, ListedShard::Closed);
        check.responded(true);
        assert_eq!(check.end_signalled(), EndDecision::ReadAgain);
        assert_eq!(check.end_signalled(), EndDecision::Ended);
    }

    #[test]
    fn pauses_grow_until_two_responses_in_a_row() {
        let mut check = ShardEndCheck::new(1);
        for _ in 0..20 {
            check.end_signalled();
            listed(&mut check, ListedShard::Open);
            check.responded(true);
        }
        assert!(check.waits.taken() >= 20, "one response between two signals does not shorten the pauses");
        check.responded(false);
        assert_eq!(check.waits.taken(), 0);
    }
}
