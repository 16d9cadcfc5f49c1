//! What an input knows of its shards: read by HTTP, health and metrics, written by the shard consumers.

use super::failing_calls::{FailingCalls, LISTING_FAILED, MAX_FAILURE};
use super::progress::ReadTime;
use super::stream_state::StreamState;
use crate::domain::{
    Checkpoint, ErrorReport, HeldShard, Lease, LeaseCounter, RetrievalError, ShardId, ShardReport, ShardState,
    WorkerId, cause_line,
};
use crate::telemetry::{InputMetrics, InputTotals};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A read that takes longer counts as failing: the source is throttled or cannot reach Kinesis. Idle subscriptions send an
/// event more often, and the longest `pollInterval` and call take no longer.
const MAX_READ_TIME: Duration = Duration::from_secs(90);

/// Errors are shown up to this length.
const MAX_ERROR_CHARS: usize = 500;

/// The shards that an input reads now. Clones share the content.
#[derive(Debug, Clone, Default)]
pub struct InputStatus {
    // Locks and not an owner task: held for a few assignments, never across a wait. Each shard has its own.
    shards: Arc<Mutex<BTreeMap<ShardId, Arc<Mutex<Cell>>>>>,
    last_error: Arc<Mutex<Option<LastError>>>,
    failing: Arc<Mutex<FailingCalls>>,
}

#[derive(Debug)]
struct LastError {
    message: Arc<str>,
    at: Instant,
}

#[derive(Debug)]
struct Cell {
    state: ShardState,
    epoch: LeaseCounter,
    checkpoint: Checkpoint,
    /// How far behind the tip of the shard the last read was.
    behind: Duration,
    /// The read of the first record that the app has not accepted.
    unaccepted: Option<ReadTime>,
    /// Since when no read has succeeded.
    failing_since: Option<Instant>,
    /// Since when nothing is read until an operator acts.
    halted_since: Option<Instant>,
    /// Since when a read is in flight.
    reading_since: Option<Instant>,
    /// Since when accepted records wait for a checkpoint.
    unstored_since: Option<Instant>,
    delivery: DeliveryCounts,
    buffered_records: usize,
    last_error: Option<LastError>,
}

/// What is under way for one shard.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DeliveryCounts {
    pub(super) parked: usize,
    pub(super) in_flight: usize,
    pub(super) buffered_bytes: usize,
    /// Nothing is sent any more, as `onPoison` says.
    pub(super) is_halted: bool,
}

/// Through which the delivery of one shard writes its entry.
#[derive(Debug, Clone)]
pub(super) struct DeliveryStatus(Arc<Mutex<Cell>>);

/// The entry of one shard, which its consumer writes. Dropping it removes the shard.
#[derive(Debug)]
pub(super) struct StatusCell {
    shard: ShardId,
    status: InputStatus,
    cell: Arc<Mutex<Cell>>,
}

impl Cell {
    fn state(&self) -> ShardState {
        match self.state {
            ShardState::Reading | ShardState::ReadFailing | ShardState::Finishing if self.delivery.is_halted => {
                ShardState::Halted
            }
            state => state,
        }
    }

    fn lag(&self, now: Instant) -> Duration {
        let stalled = self.reading_since.filter(|since| now.saturating_duration_since(*since) > MAX_READ_TIME);
        let unread =
            self.failing_since.or(stalled).or(self.halted_since).map(|at| ReadTime { at, behind: self.behind });
        let lag = |read: ReadTime| read.behind + now.saturating_duration_since(read.at);
        [unread, self.unaccepted].into_iter().flatten().map(lag).fold(self.behind, Duration::max)
    }
}

impl LastError {
    fn new(message: &str, at: Instant) -> Self {
        let message = message.char_indices().nth(MAX_ERROR_CHARS).map_or(message, |(end, _)| &message[..end]);
        Self { message: message.into(), at }
    }

    fn report(&self, now: Instant) -> ErrorReport {
        ErrorReport { message: Arc::clone(&self.message), age: now.saturating_duration_since(self.at) }
    }
}

impl InputStatus {
    /// The shards of all workers, in the order of their ids: those of this worker as they are now, the others as the last
    /// scan found their leases.
    #[must_use]
    pub fn shards(&self, state: &StreamState, worker: &WorkerId, now: Instant) -> Vec<ShardReport> {
        let mut shards: BTreeMap<ShardId, ShardReport> =
            state.leases().into_iter().map(|lease| (lease.shard.clone(), other_shard(lease, worker))).collect();
        for (shard, cell) in self.cells() {
            let before = shards.remove(&shard);
            let next_owner = before.and_then(|before| before.next_owner).filter(|next| next != worker);
            let cell = lock(&cell);
            let report = ShardReport {
                shard: shard.clone(),
                owner: Some(worker.clone()),
                next_owner,
                checkpoint: cell.checkpoint.clone(),
                held: Some(cell.held(now)),
            };
            shards.insert(shard, report);
        }
        shards.into_values().collect()
    }

    /// The last failed call that concerns the whole input.
    #[must_use]
    pub fn last_error(&self, now: Instant) -> Option<ErrorReport> {
        lock(&self.last_error).as_ref().map(|error| error.report(now))
    }

    /// Why the input does not read: for longer than a minute, a call failed that it needs, or each read of each shard.
    #[must_use]
    pub fn refusal(&self, now: Instant) -> Option<String> {
        // Shards that are held are read without a listing.
        let is_reading = !lock(&self.shards).is_empty();
        let counts = |what| !(is_reading && what == LISTING_FAILED);
        lock(&self.failing).lasting(counts, now).or_else(|| self.read_failure(now))
    }

    fn read_failure(&self, now: Instant) -> Option<String> {
        let mut last = None;
        for (_, cell) in self.cells() {
            let cell = lock(&cell);
            if now.saturating_duration_since(cell.failing_since?) <= MAX_FAILURE {
                return None;
            }
            last = cell.last_error.as_ref().map(|error| error.message.to_string()).or(last);
        }
        last
    }

    /// A call failed that the input needs, or has begun and may fail. `what`: what could not be done.
    pub fn call_failed(&self, what: &'static str, error: String, now: Instant) {
        lock(&self.failing).failed(what, error, now);
    }

    pub fn call_succeeded(&self, what: &'static str) {
        lock(&self.failing).succeeded(what);
    }

    /// How far each shard that is held is behind.
    pub(super) fn lags(&self, now: Instant) -> Vec<(ShardId, Duration)> {
        self.cells().into_iter().map(|(shard, cell)| (shard, lock(&cell).lag(now))).collect()
    }

    pub(super) fn failed(&self, error: &(dyn std::error::Error + 'static), now: Instant) {
        *lock(&self.last_error) = Some(LastError::new(&cause_line(error), now));
    }

    /// Sets the metrics that grow with time.
    pub(super) fn update(&self, metrics: &InputMetrics, now: Instant) {
        let (mut lag, mut age, mut totals) = (Duration::ZERO, Duration::ZERO, InputTotals::default());
        let cells = self.cells();
        // Without the lease table no shard is held, and none is read.
        if let (true, Some(since)) = (cells.is_empty(), lock(&self.failing).since()) {
            lag = now.saturating_duration_since(since);
        }
        for (_, cell) in cells {
            let cell = lock(&cell);
            lag = lag.max(cell.lag(now));
            age = age.max(cell.unstored_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)));
            totals.in_flight += cell.delivery.in_flight;
            totals.parked_keys += cell.delivery.parked;
            totals.buffered_records += cell.buffered_records;
            totals.buffered_bytes += cell.delivery.buffered_bytes;
            totals.shards[cell.state() as usize] += 1;
        }
        metrics.set_lag(lag);
        metrics.set_checkpoint_age(age);
        metrics.set_totals(&totals);
    }

    fn cells(&self) -> Vec<(ShardId, Arc<Mutex<Cell>>)> {
        lock(&self.shards).iter().map(|(shard, cell)| (shard.clone(), Arc::clone(cell))).collect()
    }

    pub(super) fn add(&self, shard: &ShardId, epoch: LeaseCounter, checkpoint: &Checkpoint) -> StatusCell {
        let cell = Arc::new(Mutex::new(Cell {
            state: ShardState::Starting,
            epoch,
            checkpoint: checkpoint.clone(),
            behind: Duration::ZERO,
            unaccepted: None,
            failing_since: None,
            halted_since: None,
            reading_since: None,
            unstored_since: None,
            delivery: DeliveryCounts::default(),
            buffered_records: 0,
            last_error: None,
        }));
        lock(&self.shards).insert(shard.clone(), Arc::clone(&cell));
        StatusCell { shard: shard.clone(), status: self.clone(), cell }
    }
}

impl Cell {
    fn held(&self, now: Instant) -> HeldShard {
        HeldShard {
            state: self.state(),
            epoch: self.epoch,
            lag: self.lag(now),
            parked: self.delivery.parked,
            in_flight: self.delivery.in_flight,
            buffered_records: self.buffered_records,
            buffered_bytes: self.delivery.buffered_bytes,
            last_error: self.last_error.as_ref().map(|error| error.report(now)),
        }
    }
}

/// A shard as its lease describes it. What the row says of this worker is out of date: it does not hold the lease any more.
fn other_shard(lease: Lease, worker: &WorkerId) -> ShardReport {
    // During a handoff, the row has the next owner already.
    let (owner, next_owner) = match lease.handoff_from {
        Some(owner) => (Some(owner), lease.owner),
        None => (lease.owner, None),
    };
    let owner = owner.filter(|owner| owner != worker);
    ShardReport { shard: lease.shard, owner, next_owner, checkpoint: lease.checkpoint, held: None }
}

impl DeliveryStatus {
    pub(super) fn set(&self, counts: DeliveryCounts) {
        lock(&self.0).delivery = counts;
    }

    pub(super) fn failed(&self, error: &str, now: Instant) {
        lock(&self.0).last_error = Some(LastError::new(error, now));
    }
}

impl StatusCell {
    pub(super) fn delivery(&self) -> DeliveryStatus {
        DeliveryStatus(Arc::clone(&self.cell))
    }

    pub(super) fn set_state(&self, state: ShardState) {
        lock(&self.cell).state = state;
    }

    /// Nothing is read any more until an operator acts.
    pub(super) fn reading_halted(&self, now: Instant) {
        let mut cell = lock(&self.cell);
        cell.state = ShardState::Halted;
        cell.halted_since.get_or_insert(now);
    }

    pub(super) fn read_began(&self, now: Instant) {
        lock(&self.cell).reading_since = Some(now);
    }

    /// A read returned. `behind`: how far it was behind the newest record. Returns the state before.
    pub(super) fn read_succeeded(&self, behind: Option<Duration>) -> ShardState {
        let mut cell = lock(&self.cell);
        let before = cell.state;
        cell.behind = behind.unwrap_or(cell.behind);
        (cell.failing_since, cell.reading_since) = (None, None);
        if matches!(cell.state, ShardState::Starting | ShardState::ReadFailing) {
            cell.state = ShardState::Reading;
        }
        before
    }

    pub(super) fn read_failed(&self, error: &RetrievalError, now: Instant) {
        let mut cell = lock(&self.cell);
        cell.reading_since = None;
        cell.failing_since.get_or_insert(now);
        cell.last_error = Some(LastError::new(&cause_line(error), now));
        if matches!(cell.state, ShardState::Starting | ShardState::Reading) {
            cell.state = ShardState::ReadFailing;
        }
    }

    /// The read of the first record that the app has not accepted, or `None` if it accepted all.
    pub(super) fn set_unaccepted(&self, oldest: Option<ReadTime>) {
        lock(&self.cell).unaccepted = oldest;
    }

    pub(super) fn set_unstored(&self, since: Option<Instant>) {
        lock(&self.cell).unstored_since = since;
    }

    pub(super) fn stored(&self, checkpoint: &Checkpoint) {
        lock(&self.cell).checkpoint = checkpoint.clone();
    }

    pub(super) fn set_buffered(&self, records: usize) {
        lock(&self.cell).buffered_records = records;
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
#[path = "tests/status.rs"]
mod tests;
