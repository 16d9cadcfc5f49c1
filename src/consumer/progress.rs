//! Progress of one shard: how far it was read, and the highest position up to which everything was accepted.

use super::shard_events::LeaseCall;
use crate::domain::{Checkpoint, RecordPosition, ShardId, StartingPosition};
use std::collections::VecDeque;
use std::time::Duration;

/// State of reading one shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    /// To be opened after a pause.
    Closed { after: Duration },
    /// A call is in flight.
    Busy,
    /// The next records may be fetched after a pause.
    Open { after: Duration },
    /// The end was signalled without child shards, and the shards are being listed.
    ConfirmingEnd,
    /// The position was rejected as invalid. A replaced stream gives the same error, so the stream is being checked.
    PositionRejected,
    /// The shard was read to its end. `children_stored`: the lease table has its child shards.
    Finished { children: Vec<ShardId>, children_stored: bool },
}

impl ReadState {
    pub(super) const OPEN: Self = Self::Open { after: Duration::ZERO };
    /// The shard is gone, or its end is stored already.
    pub(super) const NOTHING_LEFT: Self = Self::Finished { children: Vec::new(), children_stored: true };

    pub(super) fn initial(stored: &Checkpoint) -> Self {
        if stored.is_ended() { Self::NOTHING_LEFT } else { Self::Closed { after: Duration::ZERO } }
    }

    pub(super) const fn set_children_stored(&mut self) {
        if let Self::Finished { children_stored, .. } = self {
            *children_stored = true;
        }
    }

    /// The next step at the end of a shard, once all its records were accepted: store the children, checkpoint the end,
    /// release the lease.
    pub(super) fn next_end_step(&self, all_accepted: bool, stored: &Checkpoint) -> Option<LeaseCall> {
        let Self::Finished { children, children_stored } = self else { return None };
        if !all_accepted {
            return None;
        }
        Some(match (stored.is_ended(), *children_stored || children.is_empty()) {
            (true, _) => LeaseCall::Release,
            (false, false) => LeaseCall::StoreChildren(children.clone()),
            (false, true) => LeaseCall::Checkpoint(Checkpoint::Ended),
        })
    }
}

/// The positions that were handed to delivery, in order, and which of them were accepted.
#[derive(Debug, Default)]
pub(super) struct Progress {
    delivering: VecDeque<(RecordPosition, bool)>,
    reached: Option<RecordPosition>,
}

impl Progress {
    /// Adds a position that is handed to delivery. Positions must be added in order.
    pub(super) fn push(&mut self, position: RecordPosition) {
        self.delivering.push_back((position, false));
    }

    /// Marks a position as accepted. Positions may be accepted in any order.
    pub(super) fn accept(&mut self, position: &RecordPosition) {
        if let Ok(index) = self.delivering.binary_search_by(|(delivering, _)| delivering.cmp(position)) {
            self.delivering[index].1 = true;
        }
        while self.delivering.front().is_some_and(|(_, accepted)| *accepted) {
            self.reached = self.delivering.pop_front().map(|(position, _)| position);
        }
    }

    /// The highest position up to which everything was accepted.
    pub(super) const fn reached(&self) -> Option<&RecordPosition> {
        self.reached.as_ref()
    }

    pub(super) fn all_accepted(&self) -> bool {
        self.delivering.is_empty()
    }
}

/// At the record and not after it: it may be an aggregate that was accepted in part. Finding it also proves that no record
/// has aged out since.
pub(super) fn resume_at(position: &RecordPosition) -> StartingPosition {
    StartingPosition::At(position.sequence.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(number: usize) -> RecordPosition {
        RecordPosition::plain(number.to_string().parse().unwrap())
    }

    proptest! {
        #[test]
        fn progress_never_passes_a_record_that_is_not_accepted(
            order in Just((1_usize..=20).collect::<Vec<_>>()).prop_shuffle(),
            count in 0_usize..=20,
        ) {
            let mut progress = Progress::default();
            (1..=20).for_each(|number| progress.push(position(number)));
            order[..count].iter().for_each(|number| progress.accept(&position(*number)));
            let expected = (1..=20).take_while(|number| order[..count].contains(number)).last();
            prop_assert_eq!(progress.reached().cloned(), expected.map(position));
            prop_assert_eq!(progress.all_accepted(), count == 20);
        }
    }
}
