//! What an input knows of its shards: read by HTTP, health and metrics, written by the shard consumers.

use crate::domain::{Checkpoint, LeaseCounter, ShardId};
use crate::telemetry::InputMetrics;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A read that takes longer counts as failing: the source is throttled or cannot reach Kinesis. Idle subscriptions send an
/// event more often.
const MAX_READ_TIME: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardState {
    /// The shard was not read yet.
    Starting,
    Reading,
    /// The last read failed.
    ReadFailing,
    /// Nothing is read until an operator acts.
    Halted,
    /// Nothing more is delivered, and the lease is being released.
    Draining,
    /// Read to its end; the last records are being delivered.
    Finishing,
}

impl ShardState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Reading => "reading",
            Self::ReadFailing => "read_failing",
            Self::Halted => "halted",
            Self::Draining => "draining",
            Self::Finishing => "finishing",
        }
    }
}

/// One shard whose lease is held, at one moment.
#[derive(Debug, Clone)]
pub struct ShardStatus {
    pub shard: ShardId,
    pub state: ShardState,
    /// The lease's counter when it was taken.
    pub epoch: LeaseCounter,
    /// As last stored.
    pub checkpoint: Checkpoint,
    /// How far behind the newest record the delivery is.
    pub lag: Duration,
    /// Keys (or records, by the order) that wait because a record failed.
    pub parked: usize,
    /// Requests to the app.
    pub in_flight: usize,
    /// Records that were fetched and are not accepted.
    pub buffered_records: usize,
    pub buffered_bytes: usize,
    pub last_error: Option<String>,
}

/// The shards that an input reads now. Clones share the content.
#[derive(Debug, Clone, Default)]
pub struct InputStatus {
    // Locks and not an owner task: held for a few assignments, never across a wait. Each shard has its own.
    shards: Arc<Mutex<BTreeMap<ShardId, Arc<Mutex<Cell>>>>>,
}

#[derive(Debug)]
struct Cell {
    state: ShardState,
    epoch: LeaseCounter,
    checkpoint: Checkpoint,
    /// How far behind the tip of the shard the last read was.
    behind: Duration,
    /// Since when fetched records wait for the app. The lag grows during that time.
    unaccepted_since: Option<Instant>,
    /// Since when no read has succeeded.
    failing_since: Option<Instant>,
    /// Since when a read is in flight.
    reading_since: Option<Instant>,
    /// Since when accepted records wait for a checkpoint.
    unstored_since: Option<Instant>,
    delivery: DeliveryCounts,
    last_error: Option<String>,
}

/// What is under way for one shard.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DeliveryCounts {
    pub(super) parked: usize,
    pub(super) in_flight: usize,
    pub(super) buffered_records: usize,
    pub(super) buffered_bytes: usize,
}

/// The entry of one shard, which its consumer writes. Dropping it removes the shard.
#[derive(Debug)]
pub(super) struct StatusCell {
    shard: ShardId,
    status: InputStatus,
    cell: Arc<Mutex<Cell>>,
}

impl Cell {
    fn lag(&self, now: Instant) -> Duration {
        let stalled = self.reading_since.filter(|since| now.saturating_duration_since(*since) > MAX_READ_TIME);
        let since = [self.unaccepted_since, self.failing_since, stalled].into_iter().flatten().min();
        self.behind + since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl InputStatus {
    /// All shards, in the order of their ids.
    #[must_use]
    pub fn shards(&self, now: Instant) -> Vec<ShardStatus> {
        let cells: Vec<_> = lock(&self.shards).iter().map(|(shard, cell)| (shard.clone(), Arc::clone(cell))).collect();
        cells.into_iter().map(|(shard, cell)| lock(&cell).status(shard, now)).collect()
    }

    /// Sets the metrics that grow with time.
    pub(super) fn update(&self, metrics: &InputMetrics, now: Instant) {
        let cells: Vec<_> = lock(&self.shards).values().cloned().collect();
        let (mut lag, mut age) = (Duration::ZERO, Duration::ZERO);
        for cell in cells {
            let cell = lock(&cell);
            lag = lag.max(cell.lag(now));
            age = age.max(cell.unstored_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)));
        }
        metrics.set_lag(lag);
        metrics.set_checkpoint_age(age);
    }

    pub(super) fn add(&self, shard: &ShardId, epoch: LeaseCounter, checkpoint: &Checkpoint) -> StatusCell {
        let cell = Arc::new(Mutex::new(Cell {
            state: ShardState::Starting,
            epoch,
            checkpoint: checkpoint.clone(),
            behind: Duration::ZERO,
            unaccepted_since: None,
            failing_since: None,
            reading_since: None,
            unstored_since: None,
            delivery: DeliveryCounts::default(),
            last_error: None,
        }));
        lock(&self.shards).insert(shard.clone(), Arc::clone(&cell));
        StatusCell { shard: shard.clone(), status: self.clone(), cell }
    }
}

impl Cell {
    fn status(&self, shard: ShardId, now: Instant) -> ShardStatus {
        let DeliveryCounts { parked, in_flight, buffered_records, buffered_bytes } = self.delivery;
        ShardStatus {
            shard,
            state: self.state,
            epoch: self.epoch,
            checkpoint: self.checkpoint.clone(),
            lag: self.lag(now),
            parked,
            in_flight,
            buffered_records,
            buffered_bytes,
            last_error: self.last_error.clone(),
        }
    }
}

impl StatusCell {
    pub(super) fn set_state(&self, state: ShardState) {
        lock(&self.cell).state = state;
    }

    pub(super) fn read_began(&self, now: Instant) {
        lock(&self.cell).reading_since = Some(now);
    }

    /// A read returned. `behind`: how far it was behind the newest record; `has_records`: records wait for the app now.
    pub(super) fn read_succeeded(&self, behind: Option<Duration>, has_records: bool, now: Instant) {
        let mut cell = lock(&self.cell);
        cell.behind = behind.unwrap_or(cell.behind);
        (cell.failing_since, cell.reading_since) = (None, None);
        if has_records {
            cell.unaccepted_since.get_or_insert(now);
        }
        if matches!(cell.state, ShardState::Starting | ShardState::ReadFailing) {
            cell.state = ShardState::Reading;
        }
    }

    pub(super) fn read_failed(&self, error: String, now: Instant) {
        let mut cell = lock(&self.cell);
        cell.reading_since = None;
        cell.failing_since.get_or_insert(now);
        cell.last_error = Some(error);
        if matches!(cell.state, ShardState::Starting | ShardState::Reading) {
            cell.state = ShardState::ReadFailing;
        }
    }

    /// The app accepted all records that were fetched.
    pub(super) fn all_accepted(&self) {
        lock(&self.cell).unaccepted_since = None;
    }

    pub(super) fn set_unstored(&self, since: Option<Instant>) {
        lock(&self.cell).unstored_since = since;
    }

    pub(super) fn stored(&self, checkpoint: &Checkpoint) {
        lock(&self.cell).checkpoint = checkpoint.clone();
    }

    pub(super) fn set_delivery(&self, counts: DeliveryCounts) {
        lock(&self.cell).delivery = counts;
    }
}

impl Drop for StatusCell {
    fn drop(&mut self) {
        let mut shards = lock(&self.status.shards);
        // A later consumer of the shard may have its own entry already.
        if shards.get(&self.shard).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell)) {
            shards.remove(&self.shard);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SentinelCheckpoint;

    #[test]
    fn lag_grows_while_a_shard_cannot_be_read_or_delivered() {
        let (status, now) = (InputStatus::default(), Instant::now());
        let start = Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon);
        let cell = status.add(&ShardId::new("shardId-0"), LeaseCounter::new(1), &start);
        let lag = |seconds| status.shards(now + Duration::from_secs(seconds))[0].lag.as_secs();
        cell.read_succeeded(Some(Duration::from_secs(2)), false, now);
        assert_eq!(lag(100), 2);
        cell.read_failed("denied".to_owned(), now);
        cell.read_failed("denied".to_owned(), now + Duration::from_secs(50));
        assert_eq!(lag(100), 102);
        cell.read_succeeded(Some(Duration::ZERO), true, now);
        assert_eq!(lag(100), 100);
        cell.all_accepted();
        assert_eq!(lag(100), 0);
        cell.read_began(now);
        assert_eq!((lag(40), lag(100)), (0, 100), "a read that never returns");
        drop(cell);
        assert!(status.shards(now).is_empty());
    }
}
