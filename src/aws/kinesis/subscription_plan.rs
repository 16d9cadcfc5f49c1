//! Where the next subscription of a shard begins. Pure: the caller passes the time.
//!
//! A subscription continues after the continuation number of the last event, which moves on without records too. After a
//! pause that number may have aged out, so the subscription continues at the last record, which shows a gap.

use super::read_position::ReadPosition;
use crate::domain::{Record, RecordGap, SequenceNumber, StartingPosition, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// After a longer time without an event a subscription continues at the last record.
const MAX_PAUSE: Duration = Duration::from_secs(270);

#[derive(Debug)]
pub(crate) struct SubscriptionPlan {
    position: ReadPosition,
    /// It may belong to no record, so it is used for subscribing only, never as a checkpoint.
    continuation: Option<SequenceNumber>,
    received_at: Option<Instant>,
    /// Kinesis refused the continuation number, which may have aged out.
    was_refused: bool,
    /// What was requested last.
    requested: Option<StartingPosition>,
}

impl SubscriptionPlan {
    pub(crate) const fn new(start: StartingPosition) -> Self {
        Self {
            position: ReadPosition::new(start),
            continuation: None,
            received_at: None,
            was_refused: false,
            requested: None,
        }
    }

    /// Where to subscribe now.
    pub(crate) fn next_position(&mut self, now: Instant) -> StartingPosition {
        let was_paused = self.received_at.is_some_and(|at| now.saturating_duration_since(at) > MAX_PAUSE);
        let next = match (&self.continuation, self.position.last()) {
            (_, Some(_)) if was_paused || self.was_refused => self.position.resume(),
            (Some(continuation), _) => StartingPosition::After(continuation.clone()),
            (None, Some(last)) => StartingPosition::After(last.clone()),
            (None, None) => self.position.start().clone(),
        };
        self.requested = Some(next.clone());
        next
    }

    /// `date` is the time of the response by the service's clock.
    pub(crate) fn subscribed(&mut self, date: Timestamp) {
        self.position.pin_latest(date);
    }

    /// After an event: removes the records that were returned before, and reports a gap before the first record.
    pub(crate) fn received(
        &mut self,
        records: &mut Vec<Record>,
        continuation: Option<SequenceNumber>,
        behind: Option<Duration>,
        now: Instant,
    ) -> Option<RecordGap> {
        self.received_at = Some(now);
        self.was_refused = false;
        let gap = self.position.accept(records, behind, now);
        if continuation.is_some() || !records.is_empty() {
            self.continuation = continuation;
        }
        gap
    }

    /// Kinesis refused the position. Returns whether another is left to try: the last record, else the start.
    pub(crate) fn position_refused(&mut self) -> bool {
        let continuation = self.continuation.take().map(StartingPosition::After);
        self.was_refused = continuation.is_some() && continuation == self.requested;
        self.was_refused
    }
}

#[cfg(test)]
#[path = "tests/subscription_plan.rs"]
mod tests;
