//! How far a shard came: the highest position with everything before it accepted.

use crate::domain::{RecordPosition, StartingPosition};
use std::collections::VecDeque;

/// Positions handed to delivery, in order, and which of them were accepted.
#[derive(Debug, Default)]
pub(super) struct Progress {
    handed: VecDeque<(RecordPosition, bool)>,
    reached: Option<RecordPosition>,
}

impl Progress {
    /// Notes a position that goes to delivery. Positions come in order.
    pub(super) fn hand(&mut self, position: RecordPosition) {
        self.handed.push_back((position, false));
    }

    /// Notes an accepted position; acceptances may come in any order.
    pub(super) fn accept(&mut self, position: &RecordPosition) {
        if let Ok(index) = self.handed.binary_search_by(|(handed, _)| handed.cmp(position)) {
            self.handed[index].1 = true;
        }
        while self.handed.front().is_some_and(|(_, accepted)| *accepted) {
            self.reached = self.handed.pop_front().map(|(position, _)| position);
        }
    }

    /// The highest contiguous accepted position since this progress began.
    pub(super) const fn reached(&self) -> Option<&RecordPosition> {
        self.reached.as_ref()
    }

    /// Whether everything handed over was accepted.
    pub(super) fn is_settled(&self) -> bool {
        self.handed.is_empty()
    }
}

/// At the record and not after it: it may be an aggregate that was accepted in part, and finding it proves that
/// nothing has aged out in between.
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
            (1..=20).for_each(|number| progress.hand(position(number)));
            order[..count].iter().for_each(|number| progress.accept(&position(*number)));
            let expected = (1..=20).take_while(|number| order[..count].contains(number)).last();
            prop_assert_eq!(progress.reached().cloned(), expected.map(position));
            prop_assert_eq!(progress.is_settled(), count == 20);
        }
    }
}
