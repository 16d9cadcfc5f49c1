//! A record that waits or is in flight, with its caller.

use super::admission::Permit;
use super::errors;
use super::limiter::Slot;
use super::settings::Ordering;
use super::types::{Answer, PutOptions};
use crate::domain::{BindingError, FailureKind, NewRecord, Outcome, PartitionKey, ShardId};
use slab::Slab;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Capacity that stays allocated when no record is left.
const KEPT_CAPACITY: usize = 1_024;

/// Sends the answer to the caller. Dropped without an answer it reports that the producer is closed, so that no caller
/// waits forever when the owner is aborted or panics.
#[derive(Debug)]
pub(super) struct Responder {
    sender: Option<oneshot::Sender<Answer>>,
    /// Whether the record may be stored, for an answer on drop.
    outcome: Outcome,
}

impl Responder {
    pub(super) const fn new(sender: oneshot::Sender<Answer>) -> Self {
        Self { sender: Some(sender), outcome: Outcome::NotDone }
    }

    /// No caller waits: it went away or has its answer.
    pub(super) fn is_gone(&self) -> bool {
        self.sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    pub(super) const fn is_answered(&self) -> bool {
        self.sender.is_none()
    }

    pub(super) const fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// False when the caller went away.
    pub(super) fn answer(&mut self, answer: Answer) -> bool {
        self.sender.take().is_some_and(|sender| sender.send(answer).is_ok())
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if self.sender.is_some() {
            self.answer(Err(errors::closed(self.outcome)));
        }
    }
}

/// The key within which order is kept: the explicit hash key where there is one, else the partition key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum OrderingKey {
    Partition(PartitionKey),
    Hash(u128),
}

impl OrderingKey {
    /// `None` where no order is kept, or the record has no key.
    pub(super) fn from_record(record: &NewRecord, ordering: Ordering) -> Option<Self> {
        match ordering {
            Ordering::None => None,
            Ordering::Key | Ordering::Strict => {
                let explicit = record.explicit_hash_key.map(Self::Hash);
                explicit.or_else(|| record.partition_key.clone().map(Self::Partition))
            }
        }
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Behind another record of its key.
    Blocked,
    /// Until its `due` time: a slot of the rate limit, or the delay of a retry.
    Delayed,
    /// May be sent now.
    Ready,
    /// In a call.
    InFlight,
    /// In a part of a refused call; the part waits to be sent by its own call.
    Split,
}

impl State {
    /// Whether it belongs to a call or a part of one, and cannot be removed without the others.
    pub(super) const fn is_in_call(self) -> bool {
        matches!(self, Self::InFlight | Self::Split)
    }
}

/// What is known from the attempts so far.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Attempts made, the one in flight included.
    pub(super) count: u32,
    /// Attempts whose call was refused as a whole, probably because of another record. They do not count as retries.
    pub(super) split: u32,
    /// When the first was made.
    pub(super) first: Option<Instant>,
    /// Unknown once any attempt was.
    pub(super) outcome: Outcome,
    /// The failure of the last attempt.
    pub(super) last_error: Option<BindingError>,
}

/// Identifies a record of the queue. The serial number makes it unique, since the slab uses its slots again. Ordered by
/// arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct RecordId {
    serial: u64,
    slot: usize,
}

/// A record on its way from its caller. Boxed, so that it is not copied from channel to queue.
pub(super) type Arrival = Box<PendingRecord>;

/// A record with its caller.
#[derive(Debug)]
pub(super) struct PendingRecord {
    pub(super) id: RecordId,
    pub(super) record: NewRecord,
    /// Payload and partition key, in bytes.
    pub(super) size: usize,
    /// The hash key, if the shards can be listed.
    pub(super) hash: Option<u128>,
    pub(super) options: PutOptions,
    /// The shard that is expected to store it, if the shards are known.
    pub(super) shard: Option<ShardId>,
    pub(super) key: Option<OrderingKey>,
    /// False once it must not be packed with others.
    pub(super) may_pack: bool,
    /// Whether it is sent without linger once it is ready: it ends its batch, or one behind it does.
    pub(super) is_urgent: bool,
    pub(super) arrived: Instant,
    /// The rate limit may not delay it longer: a call that begins later would hardly end before the deadline.
    pub(super) begin_by: Instant,
    /// Not to be sent before: the time of its slot, later that of a retry.
    pub(super) due: Instant,
    /// Since when it may be sent; of a record that was put in front of others, since when the first of these may be sent.
    pub(super) ready_since: Instant,
    /// Its place in the queue that it is in.
    pub(super) position: i64,
    /// Whether a rate limit applied when it arrived.
    pub(super) is_limited: bool,
    pub(super) slot: Slot,
    pub(super) attempts: Attempts,
    pub(super) state: State,
    pub(super) responder: Responder,
    pub(super) permit: Permit,
}

impl PendingRecord {
    /// A record that just arrived; the engine and the queue fill in the rest.
    pub(super) fn new(
        record: NewRecord,
        hash: Option<u128>,
        options: PutOptions,
        caller: (Responder, Permit),
    ) -> Arrival {
        let (now, (responder, permit)) = (Instant::now(), caller);
        Box::new(Self {
            id: RecordId::default(),
            size: record.size(),
            record,
            hash,
            shard: None,
            key: None,
            may_pack: true,
            is_urgent: options.ends_batch,
            arrived: now,
            begin_by: options.deadline,
            due: now,
            ready_since: now,
            position: 0,
            is_limited: false,
            slot: Slot::None,
            attempts: Attempts { count: 0, split: 0, first: None, outcome: Outcome::NotDone, last_error: None },
            state: State::Blocked,
            responder,
            permit,
            options,
        })
    }

    /// Whether its key has a gap if it is not sent again: it was sent before the records behind it.
    pub(super) const fn leaves_gap(&self) -> bool {
        self.attempts.count > 0 && self.key.is_some()
    }

    /// Records the outcome of a failed attempt.
    pub(super) fn attempt_failed(&mut self, error: &BindingError) {
        if error.outcome() == Outcome::Unknown {
            self.attempts.outcome = Outcome::Unknown;
        }
        self.responder.set_outcome(self.attempts.outcome);
    }

    /// Adds to a failure what is known of the record.
    pub(super) fn with_context(&self, error: BindingError) -> BindingError {
        let outcome = match error.outcome() {
            Outcome::Unknown => Outcome::Unknown,
            Outcome::NotDone => self.attempts.outcome,
        };
        let mut error = errors::with_shard(error, self.shard.as_ref()).with_outcome(outcome);
        if error.kind() == FailureKind::Throttled && error.retry_after().is_none() {
            error = error.with_retry_after(errors::whole_seconds(Duration::ZERO));
        }
        if self.attempts.count == 0 {
            return error;
        }
        error.with_detail("attempts", self.attempts.count.to_string())
    }

    /// Why a record that waits at its deadline was not stored.
    pub(super) fn deadline_error(&self) -> BindingError {
        self.attempts.last_error.clone().unwrap_or_else(errors::never_sent)
    }
}

/// All records that wait or are in flight.
#[derive(Debug, Default)]
pub(super) struct Records {
    slab: Slab<Arrival>,
    /// Of the last record.
    serial: u64,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn insert(&mut self, mut record: Arrival) -> RecordId {
        self.serial += 1;
        let entry = self.slab.vacant_entry();
        record.id = RecordId { serial: self.serial, slot: entry.key() };
        let id = record.id;
        entry.insert(record);
        id
    }

    pub(super) fn get(&self, id: RecordId) -> Option<&PendingRecord> {
        self.slab.get(id.slot).filter(|record| record.id == id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: RecordId) -> Option<&mut PendingRecord> {
        self.slab.get_mut(id.slot).filter(|record| record.id == id).map(Box::as_mut)
    }

    pub(super) fn remove(&mut self, id: RecordId) -> Option<Arrival> {
        self.get(id)?;
        let record = self.slab.try_remove(id.slot)?;
        if self.slab.is_empty() && self.slab.capacity() > KEPT_CAPACITY {
            // The memory of a burst is given back.
            self.slab = Slab::new();
        }
        Some(record)
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PendingRecord> {
        self.slab.iter().map(|(_, record)| record.as_ref())
    }
}

/// The records that one entry of a call holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Plain(RecordId),
    /// At least two; the index of each is its sub-sequence number.
    Aggregate(Vec<RecordId>),
}

impl Entry {
    pub(super) fn from_ids(ids: Vec<RecordId>) -> Self {
        if let [id] = ids[..] { Self::Plain(id) } else { Self::Aggregate(ids) }
    }

    pub(super) fn push(&mut self, id: RecordId) {
        match self {
            Self::Plain(first) => *self = Self::Aggregate(vec![*first, id]),
            Self::Aggregate(ids) => ids.push(id),
        }
    }

    pub(super) const fn ids(&self) -> &[RecordId] {
        match self {
            Self::Plain(id) => std::slice::from_ref(id),
            Self::Aggregate(ids) => ids.as_slice(),
        }
    }
}
