//! Where a shard is read on, and what was returned already. Pure: the caller passes the time.
//!
//! After a pause reading continues AT the last record and not after it. If Kinesis still has that record, nothing in
//! between can be missing; if it starts with a later one, records may have aged out unread.

use crate::domain::{Record, RecordGap, SequenceNumber, StartingPosition, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// No stream keeps its records for a shorter time (Developer Guide, "Changing the data retention period").
const MIN_RETENTION: Duration = Duration::from_secs(24 * 3_600);
/// A position pinned by a response's `Date` is this much earlier: the header has whole seconds, and the clocks of the
/// service's hosts may differ.
const PIN_MARGIN_MILLIS: i64 = 1_000;

#[derive(Debug)]
pub(super) struct ReadPosition {
    /// Where to begin until a record was returned.
    start: StartingPosition,
    /// The last record that was returned, with all its records if it is an aggregate.
    last: Option<SequenceNumber>,
    /// The time of the last response and how far it was behind; `None` if it did not say.
    seen: Option<(Instant, Duration)>,
    /// Reading continued at `last`, and no record was received since.
    is_resumed: bool,
}

impl ReadPosition {
    pub(super) const fn new(start: StartingPosition) -> Self {
        Self { start, last: None, seen: None, is_resumed: false }
    }

    pub(super) const fn last(&self) -> Option<&SequenceNumber> {
        self.last.as_ref()
    }

    /// Where to begin until a record was returned.
    pub(super) const fn start(&self) -> &StartingPosition {
        &self.start
    }

    /// Where to continue so that missing records are noticed: at the last record.
    pub(super) fn resume(&mut self) -> StartingPosition {
        match &self.last {
            Some(last) => {
                self.is_resumed = true;
                StartingPosition::At(last.clone())
            }
            None => self.start.clone(),
        }
    }

    /// After reading began at LATEST. `date` is the service's time of that response. A second start at LATEST would skip the
    /// records since the first.
    pub(super) fn pin_latest(&mut self, date: Timestamp) {
        if self.start == StartingPosition::Latest {
            self.start = StartingPosition::AtTimestamp(Timestamp::from_millis(date.as_millis() - PIN_MARGIN_MILLIS));
        }
    }

    /// After reading continued: removes the records that were returned before, and reports a gap before the first record.
    /// `behind` is `MillisBehindLatest` of the response.
    pub(super) fn accept(
        &mut self,
        records: &mut Vec<Record>,
        behind: Option<Duration>,
        now: Instant,
    ) -> Option<RecordGap> {
        let mut gap = None;
        if let (true, Some(last), Some(first)) = (self.is_resumed, &self.last, records.first()) {
            let found = &first.position.sequence;
            if found > last {
                gap = self.may_have_lost(now).then(|| RecordGap { after: last.clone(), found: found.clone() });
            } else {
                let skipped = records.partition_point(|record| record.position.sequence <= *last);
                records.drain(..skipped);
            }
            self.is_resumed = false;
        }
        if let Some(newest) = records.last() {
            self.last = Some(newest.position.sequence.clone());
        }
        self.seen = behind.map(|behind| (now, behind));
        gap
    }

    /// Whether a record after `last` can have aged out. Each of them arrived later than the last response was behind.
    fn may_have_lost(&self, now: Instant) -> bool {
        self.seen.is_none_or(|(at, behind)| now.saturating_duration_since(at) + behind >= MIN_RETENTION)
    }
}

#[cfg(test)]
#[path = "tests/read_position.rs"]
mod tests;
