//! A model of a stream for writers: its shards have hash ranges and rates, its sequence numbers increase. Entries and whole
//! calls may fail, replies may be lost, and shards may be split and merged meanwhile.
//!
//! Invariants: what is confirmed is stored; stored records never change; a call beyond the limits of AWS is recorded as a
//! violation; a record whose data begins with [`POISON`] makes the service refuse the whole call.

use super::sink_faults::{CallFate, Effect, SinkFaults, batch_denied, lost, refused, throttled, unreachable};
use super::sink_shards::{SinkShards, StoredRecord};
use crate::domain::{
    BindingError, FailureKind, NewRecord, Receipt, RecordWriter, RetrievalError, SequenceNumber, ShardDirectory,
    ShardListing, Timestamp,
};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A record whose data begins with this makes the service refuse the whole call.
pub const POISON: &[u8] = b"poison";
/// Records of one `PutRecords` (AWS, API reference).
const MAX_RECORDS: usize = 500;
/// Bytes of one `PutRecords`, keys included (AWS, API reference).
const MAX_BYTES: usize = 10 << 20;
/// How long a call hangs: longer than any deadline.
const HANG_TIME: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Copy)]
pub struct SinkSettings {
    /// Open shards at the start; at least one.
    pub shards: u32,
    /// What each shard accepts in a second, and in one burst.
    pub records_per_second: u32,
    /// As `records_per_second`, in bytes; a burst may have at least the size of the largest record.
    pub bytes_per_second: u32,
    /// The largest record, in bytes.
    pub max_record_size: usize,
    /// Larger calls are refused (`TooLarge`). The documentation allows 10 MiB, but older regions allow less.
    pub max_call_size: usize,
    /// Whether the shards may be listed.
    pub may_list: bool,
    /// Whether a call may have several records (`PutRecords`); else it is denied.
    pub may_batch: bool,
    pub faults: SinkFaults,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// Counts of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkCalls {
    /// Calls of `PutRecord`.
    pub single: usize,
    /// Calls of `PutRecords`.
    pub shared: usize,
    /// Calls of `PutRecords` that were denied.
    pub denied: usize,
    /// The most calls that were open at once.
    pub max_open: usize,
    /// The most records of one call.
    pub max_records: usize,
    /// The most bytes of one call with more than one record.
    pub max_bytes: usize,
}

/// The stream. Clones share its state.
#[derive(Debug, Clone)]
pub struct ModelSink {
    // A lock and not an owner task, so that a test can read the state at any time.
    state: Arc<Mutex<State>>,
    settings: SinkSettings,
}

#[derive(Debug)]
struct State {
    shards: SinkShards,
    faults: SinkFaults,
    random: fastrand::Rng,
    calls: SinkCalls,
    open: usize,
    violation: Option<String>,
}

impl ModelSink {
    /// Must be called within a Tokio runtime with time.
    #[must_use]
    pub fn new(settings: SinkSettings) -> Self {
        let random = fastrand::Rng::with_seed(settings.seed);
        let (shards, faults, calls) = (SinkShards::new(&settings), settings.faults, SinkCalls::default());
        let state = State { shards, faults, random, calls, open: 0, violation: None };
        Self { state: Arc::new(Mutex::new(state)), settings }
    }

    /// Splits an open shard, or merges two.
    pub fn reshard(&self) {
        self.with(|state| state.shards.reshard(&mut state.random));
    }

    /// All records, in the order in which they were stored.
    #[must_use]
    pub fn stored(&self) -> Vec<StoredRecord> {
        self.with(|state| state.shards.stored.clone())
    }

    /// All shards, closed ones too.
    #[must_use]
    pub fn shards(&self) -> Vec<crate::domain::Shard> {
        self.with(|state| state.shards.all())
    }

    #[must_use]
    pub fn calls(&self) -> SinkCalls {
        self.with(|state| state.calls)
    }

    /// The first call that AWS would not have allowed.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        self.with(|state| state.violation.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn call(&self, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
        let _open = self.open(records);
        let (fate, there, back) = self.with(|state| {
            let fate = state.faults.call(&mut state.random);
            (fate, state.faults.latency(&mut state.random), state.faults.latency(&mut state.random))
        });
        tokio::time::sleep(there / 2).await;
        let outcome = if records.len() > 1 && !self.settings.may_batch {
            // Permissions are checked before anything else.
            self.with(|state| state.calls.denied += 1);
            Err(batch_denied())
        } else {
            self.take(fate, records)
        };
        if matches!(fate, CallFate::Hangs(_)) {
            tokio::time::sleep(HANG_TIME).await;
        }
        tokio::time::sleep(back / 2).await;
        if let Ok(results) = &outcome {
            self.with(|state| state.shards.confirm(results));
        }
        outcome
    }

    fn take(&self, fate: CallFate, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
        match fate {
            CallFate::Throttled => return Err(throttled()),
            CallFate::Refused => return Err(refused()),
            CallFate::Unreachable => return Err(unreachable()),
            CallFate::Lost(Effect::None) | CallFate::Hangs(Effect::None) => return Err(lost()),
            CallFate::Works | CallFate::Lost(Effect::Stored) | CallFate::Hangs(Effect::Stored) => {}
        }
        self.refusal(records).map_or(Ok(()), Err)?;
        let results = self.with(|state| {
            let State { shards, faults, random, .. } = state;
            records.iter().map(|record| shards.put(record, *faults, random)).collect()
        });
        if fate == CallFate::Works { Ok(results) } else { Err(lost()) }
    }

    fn refusal(&self, records: &[NewRecord]) -> Option<BindingError> {
        if records.iter().map(NewRecord::size).sum::<usize>() > self.settings.max_call_size {
            return Some(BindingError::new(FailureKind::TooLarge, "the request is too large"));
        }
        let poison = records.iter().any(|record| record.data.starts_with(POISON));
        poison.then(|| BindingError::new(FailureKind::Caller, "a record of the request is not valid"))
    }

    fn open(&self, records: &[NewRecord]) -> OpenCall {
        let bytes: usize = records.iter().map(NewRecord::size).sum();
        let largest = records.iter().map(NewRecord::size).max().unwrap_or(0);
        let within = (1..=MAX_RECORDS).contains(&records.len())
            && bytes <= MAX_BYTES.max(self.settings.max_record_size)
            && largest <= self.settings.max_record_size;
        self.with(|state| {
            state.open += 1;
            state.calls.max_open = state.calls.max_open.max(state.open);
            state.calls.max_records = state.calls.max_records.max(records.len());
            if records.len() > 1 {
                state.calls.max_bytes = state.calls.max_bytes.max(bytes);
            }
            if !within {
                let text = format!("a call had {} records, {bytes} bytes, the largest of {largest}", records.len());
                state.violation.get_or_insert(text);
            }
        });
        OpenCall(self.clone())
    }
}

/// Open until the reply, or until the future is dropped.
struct OpenCall(ModelSink);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.with(|state| state.open -= 1);
    }
}

#[async_trait]
impl RecordWriter for ModelSink {
    async fn put(&self, record: &NewRecord, after: Option<&SequenceNumber>) -> Result<Receipt, BindingError> {
        self.with(|state| {
            state.calls.single += 1;
            if let Some(after) = after.filter(|after| !state.shards.has_issued(after)) {
                state.violation.get_or_insert(format!("{after} was never issued, but a record must follow it"));
            }
        });
        let mut results = self.call(std::slice::from_ref(record)).await?;
        results.pop().unwrap_or_else(|| Err(lost()))
    }

    async fn put_all(&self, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
        self.with(|state| state.calls.shared += 1);
        self.call(records).await
    }
}

#[async_trait]
impl ShardDirectory for ModelSink {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        let (wait, fails) = self.with(|state| {
            let fails = state.random.u32(0..1_000) < state.faults.calls;
            (state.faults.latency(&mut state.random), fails)
        });
        tokio::time::sleep(wait).await;
        let failure = |kind| {
            let (doing, source) = ("listing shards".to_owned(), "injected fault".into());
            Err(RetrievalError::Unavailable { doing, kind, source })
        };
        if !self.settings.may_list {
            return failure(FailureKind::Denied);
        }
        if fails {
            return failure(FailureKind::Transient);
        }
        let listed_at = Timestamp::from_millis(1_700_000_000_000);
        Ok(ShardListing { shards: self.shards(), listed_at })
    }
}
