//! How far one shard was read, and the highest position up to which everything was accepted. Pure.

use super::mutants::{Mutant, is_broken};
use crate::domain::{Record, RecordPosition};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// When a read returned, and how far it was behind the newest record of the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadTime {
    pub(super) at: Instant,
    pub(super) behind: Duration,
}

/// A record that was delivered, or will be.
#[derive(Debug)]
struct Entry {
    position: RecordPosition,
    is_accepted: bool,
    /// The last of the filtered records that follow it directly. They take no more than this, however many they are.
    filtered_to: Option<RecordPosition>,
}

/// The records between the first that is not accepted and the last that was fetched, in order.
#[derive(Debug, Default)]
pub(super) struct Progress {
    window: VecDeque<Entry>,
    /// The index of the first record in the window.
    first_index: u64,
    /// The reads that returned the records in the window, each with the index after its last record.
    reads: VecDeque<(u64, ReadTime)>,
    reached: Option<RecordPosition>,
    fetched: Option<RecordPosition>,
}

impl Progress {
    /// Adds a record that was fetched, and returns its index. Records must be added in order.
    pub(super) fn push(&mut self, position: RecordPosition) -> u64 {
        self.fetched = Some(position.clone());
        self.window.push_back(Entry { position, is_accepted: false, filtered_to: None });
        self.end_index() - 1
    }

    /// Adds records that were fetched, and leaves those that the app receives. Returns the index of the first of these.
    pub(super) fn add(&mut self, records: &mut Vec<Record>) -> Option<u64> {
        let mut first = None;
        records.retain(|record| {
            if record.is_filtered {
                self.pass(record.position.clone());
            } else {
                let index = self.push(record.position.clone());
                first.get_or_insert(index);
            }
            !record.is_filtered
        });
        first
    }

    /// Adds a record that was fetched and that the app does not receive. It takes no place in the window.
    fn pass(&mut self, position: RecordPosition) {
        self.fetched = Some(position.clone());
        match self.window.back_mut() {
            Some(_) if is_broken(Mutant::FilteredNotPassed) => {}
            Some(last) => last.filtered_to = Some(position),
            None => self.reached = Some(position),
        }
    }

    fn end_index(&self) -> u64 {
        self.first_index + self.window.len() as u64
    }

    /// The records pushed since the last call of this were returned by one read.
    pub(super) fn read_returned(&mut self, time: ReadTime) {
        let end = self.end_index();
        if self.reads.back().map_or(self.first_index, |(end, _)| *end) < end {
            self.reads.push_back((end, time));
        }
    }

    /// The read that returned the first record that is not accepted.
    pub(super) fn oldest_read(&self) -> Option<ReadTime> {
        self.reads.front().map(|(_, time)| *time)
    }

    /// Marks a record as accepted. Records may be accepted in any order.
    pub(super) fn accept(&mut self, index: u64) {
        let offset = index.checked_sub(self.first_index).and_then(|offset| usize::try_from(offset).ok());
        if let Some(entry) = offset.and_then(|offset| self.window.get_mut(offset)) {
            entry.is_accepted = true;
        }
        while let Some(entry) = self.window.pop_front_if(|entry| entry.is_accepted) {
            self.first_index += 1;
            self.reached = Some(entry.filtered_to.unwrap_or(entry.position));
        }
        while self.reads.pop_front_if(|(end, _)| *end <= self.first_index).is_some() {}
    }

    /// The highest position up to which everything was accepted.
    pub(super) fn reached(&self) -> Option<&RecordPosition> {
        let ahead = self.window.front().filter(|_| is_broken(Mutant::CheckpointAhead));
        ahead.map(|entry| &entry.position).or(self.reached.as_ref())
    }

    /// The last record that was fetched.
    pub(super) const fn fetched(&self) -> Option<&RecordPosition> {
        self.fetched.as_ref()
    }

    /// Records from the first that is not accepted to the last that was fetched.
    pub(super) fn window(&self) -> usize {
        self.window.len()
    }

    /// Clears the positions, for a read from a new start. All records must be accepted.
    pub(super) fn restart(&mut self) {
        (self.reached, self.fetched) = (None, None);
    }

    pub(super) fn all_accepted(&self) -> bool {
        self.window.is_empty()
    }
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
        fn filtered_records_count_as_accepted_and_take_no_place(
            filtered in proptest::collection::vec(any::<bool>(), 1..40),
            accepted in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let mut progress = Progress::default();
            let mut indexes = Vec::new();
            for (number, is_filtered) in filtered.iter().enumerate() {
                match is_filtered {
                    true => progress.pass(position(number)),
                    false => indexes.push((number, progress.push(position(number)))),
                }
            }
            let is_done = |number: &usize| filtered[*number] || accepted[*number];
            for (_, index) in indexes.iter().filter(|(number, _)| accepted[*number]).rev() {
                progress.accept(*index);
            }
            let expected = (0..filtered.len()).take_while(is_done).last();
            prop_assert_eq!(progress.reached().cloned(), expected.map(position));
            let first_open = (0..filtered.len()).find(|number| !is_done(number)).unwrap_or(filtered.len());
            let places = indexes.iter().filter(|(number, _)| *number >= first_open).count();
            prop_assert_eq!((progress.window(), progress.all_accepted()), (places, places == 0));
            prop_assert_eq!(progress.fetched().cloned(), Some(position(filtered.len() - 1)));
        }

        #[test]
        fn progress_never_passes_a_record_that_is_not_accepted(
            order in Just((1_usize..=20).collect::<Vec<_>>()).prop_shuffle(),
            count in 0_usize..=20,
        ) {
            let mut progress = Progress::default();
            let indexes: Vec<u64> = (1..=20).map(|number| progress.push(position(number))).collect();
            order[..count].iter().for_each(|number| progress.accept(indexes[number - 1]));
            let expected = (1..=20).take_while(|number| order[..count].contains(number)).last();
            prop_assert_eq!(progress.reached().cloned(), expected.map(position));
            prop_assert_eq!(progress.all_accepted(), count == 20);
            prop_assert_eq!(progress.window(), 20 - expected.unwrap_or(0));
            prop_assert_eq!(progress.fetched(), Some(&position(20)));
        }
    }

    #[test]
    fn the_oldest_read_is_that_of_the_first_record_that_is_not_accepted() {
        let begun = Instant::now();
        let time = |seconds| ReadTime { at: begun + Duration::from_secs(seconds), behind: Duration::ZERO };
        let mut progress = Progress::default();
        progress.read_returned(time(0));
        assert_eq!(progress.oldest_read(), None, "it had no records");
        for number in 1..=3 {
            progress.push(position(number));
        }
        progress.read_returned(time(1));
        progress.read_returned(time(2));
        progress.push(position(4));
        progress.read_returned(time(3));
        for (accepted, oldest) in [(1, Some(1)), (0, Some(1)), (2, Some(3)), (3, None)] {
            progress.accept(accepted);
            assert_eq!(progress.oldest_read(), oldest.map(time), "{accepted}");
        }
    }
}
