//! Leases as rows of the lease table. The KCL 2.x and 3.x write the same rows, without our attributes (`bd…`); the KCL keeps
//! attributes that it does not know.

use super::super::Item;
use crate::domain::{
    Checkpoint, HashKeyRange, Lease, LeaseCounter, NewLease, RecordPosition, SentinelCheckpoint, ShardId, Timestamp,
    WorkerId,
};
use aws_sdk_dynamodb::types::AttributeValue;
use std::str::FromStr;
use std::time::Duration;

/// S, the table's only key: the shard id.
pub(super) const LEASE_KEY: &str = "leaseKey";
/// S: the owner, during a handoff the next one; absent without an owner.
pub(super) const LEASE_OWNER: &str = "leaseOwner";
/// N: the optimistic lock.
pub(super) const LEASE_COUNTER: &str = "leaseCounter";
/// N: how often the owner changed since the last checkpoint.
pub(super) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
/// S: a sequence number, or one of the KCL's sentinels: `TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP`, `SHARD_END`.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// N: index in an aggregated record.
pub(super) const SUB_SEQUENCE: &str = "checkpointSubSequenceNumber";
/// SS, in spite of its name: one or two parents; absent without.
pub(super) const PARENTS: &str = "parentShardId";
/// SS: children, once the shard ended.
pub(super) const CHILDREN: &str = "childShardIds";
/// S, decimal.
const STARTING_HASH_KEY: &str = "startingHashKey";
/// S, decimal.
const ENDING_HASH_KEY: &str = "endingHashKey";
/// S: during a handoff the old owner.
pub(super) const CHECKPOINT_OWNER: &str = "checkpointOwner";
/// S: absent or `LEASE` on a lease; the KCL 3.5 keeps other things in the same table.
pub(super) const ENTITY_TYPE: &str = "entityType";
/// Left by a prepared checkpoint of the KCL (S, N, and B, or by a bug of the KCL N). We never read them; a checkpoint
/// removes them.
pub(super) const PENDING: [&str; 3] =
    ["pendingCheckpoint", "pendingCheckpointSubSequenceNumber", "pendingCheckpointState"];
/// S, in tables of the KCL's multi-stream mode only.
const STREAM_NAME: &str = "streamName";
/// N: the version of our attributes.
const OUR_FORMAT: &str = "bdFormat";
/// N: the time, in ms since 1970, at which a LATEST or AT_TIMESTAMP start begins.
pub(super) const START_AT: &str = "bdStartTs";
/// N: when the stream was created, in ms since 1970.
pub(super) const STREAM_CREATED: &str = "bdStreamCreated";
/// S: the ARN of the stream, or its name if the ARN is not known.
pub(super) const STREAM: &str = "bdStream";

/// N: everything that arrived before this time, in ms since 1970, was accepted.
pub(super) const CAUGHT_UP: &str = "bdCaughtUp";
/// S: the worker of bindd that took the lease. If another library owns it by now, this is not the owner.
pub(super) const TAKEN_BY: &str = "bdOwner";
/// N: the lease duration of that worker, in ms.
pub(super) const LEASE_MILLIS: &str = "bdLeaseMs";

const LEASE: &str = "LEASE";
const SHARD_END: &str = "SHARD_END";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    Lease(Box<Lease>),
    /// The `entityType` of a row that the KCL 3.5 keeps beside its leases.
    Other(String),
}

/// A lease row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row `{row}` is not a lease that can be read: `{attribute}` {problem}")]
pub(super) struct RowError {
    pub(super) row: String,
    pub(super) attribute: &'static str,
    pub(super) problem: &'static str,
}

/// The error names the row and the first attribute that is missing, of the wrong type, or invalid.
pub(super) fn read_row(item: &Item) -> Result<Row, RowError> {
    let row = RowReader { item };
    if let Some(entity) = row.string(ENTITY_TYPE)?.filter(|entity| *entity != LEASE) {
        return Ok(Row::Other(entity.to_owned()));
    }
    if item.contains_key(STREAM_NAME) {
        return Err(row.error(STREAM_NAME, "shows a table of several streams; choose another `consumerName`"));
    }
    let key = row.required(row.string(LEASE_KEY)?, LEASE_KEY)?;
    Ok(Row::Lease(Box::new(Lease {
        shard: ShardId::new(key),
        owner: row.string(LEASE_OWNER)?.map(WorkerId::new),
        handoff_from: row.string(CHECKPOINT_OWNER)?.map(WorkerId::new),
        counter: LeaseCounter::new(row.required(row.number(LEASE_COUNTER)?, LEASE_COUNTER)?),
        checkpoint: row.checkpoint()?,
        parents: row.shards(PARENTS)?,
        children: row.shards(CHILDREN)?,
        hash_range: row.hash_range()?,
        start_at: row.number(START_AT)?.map(Timestamp::from_millis),
        stream: row.string(STREAM)?.map(Into::into),
        stream_created: row.number(STREAM_CREATED)?.map(Timestamp::from_millis),
        caught_up: row.number(CAUGHT_UP)?.map(Timestamp::from_millis),
        owner_duration: row.owner_duration()?,
    })))
}

pub(super) fn new_row(lease: &NewLease) -> Item {
    let (checkpoint, sub_sequence) = checkpoint_values(&lease.checkpoint);
    let mut item = Item::from([
        (LEASE_KEY.to_owned(), string(lease.shard.as_str())),
        (LEASE_COUNTER.to_owned(), number(&0)),
        (OWNER_SWITCHES.to_owned(), number(&0)),
        (CHECKPOINT.to_owned(), checkpoint),
        (SUB_SEQUENCE.to_owned(), sub_sequence),
        (ENTITY_TYPE.to_owned(), string(LEASE)),
        (OUR_FORMAT.to_owned(), number(&1)),
    ]);
    // DynamoDB has no empty sets.
    if !lease.parents.is_empty() {
        item.insert(PARENTS.to_owned(), shard_set(&lease.parents));
    }
    if let Some(range) = lease.hash_range {
        item.insert(STARTING_HASH_KEY.to_owned(), string(&range.start));
        item.insert(ENDING_HASH_KEY.to_owned(), string(&range.end));
    }
    if let Some(moment) = lease.start_at {
        item.insert(START_AT.to_owned(), number(&moment.as_millis()));
    }
    if let Some(stream) = &lease.stream {
        item.insert(STREAM.to_owned(), string(stream));
    }
    if let Some(moment) = lease.stream_created {
        item.insert(STREAM_CREATED.to_owned(), number(&moment.as_millis()));
    }
    item
}

/// `checkpoint` and `checkpointSubSequenceNumber`.
pub(super) fn checkpoint_values(checkpoint: &Checkpoint) -> (AttributeValue, AttributeValue) {
    match checkpoint {
        Checkpoint::NotStarted(sentinel) => (string(sentinel_text(*sentinel)), number(&0)),
        Checkpoint::After(position) => (string(&position.sequence), number(&position.sub_sequence)),
        Checkpoint::Ended => (string(SHARD_END), number(&0)),
    }
}

pub(super) fn string(text: &(impl ToString + ?Sized)) -> AttributeValue {
    AttributeValue::S(text.to_string())
}

pub(super) fn number(value: &impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// `shards` must not be empty; DynamoDB has no empty sets, and none with the same element twice.
pub(super) fn shard_set(shards: &[ShardId]) -> AttributeValue {
    let names: std::collections::BTreeSet<_> = shards.iter().map(ToString::to_string).collect();
    AttributeValue::Ss(names.into_iter().collect())
}

const fn sentinel_text(sentinel: SentinelCheckpoint) -> &'static str {
    match sentinel {
        SentinelCheckpoint::TrimHorizon => "TRIM_HORIZON",
        SentinelCheckpoint::Latest => "LATEST",
        SentinelCheckpoint::AtTimestamp => "AT_TIMESTAMP",
    }
}

/// Typed access to the attributes of a row. Absent is `None`; a wrong type is an error.
struct RowReader<'a> {
    item: &'a Item,
}

impl<'a> RowReader<'a> {
    fn string(&self, name: &'static str) -> Result<Option<&'a str>, RowError> {
        let Some(value) = self.item.get(name) else { return Ok(None) };
        value.as_s().map(|text| Some(text.as_str())).map_err(|_| self.error(name, "is not a string (S)"))
    }

    fn number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, RowError> {
        let Some(value) = self.item.get(name) else { return Ok(None) };
        let text = value.as_n().map_err(|_| self.error(name, "is not a number (N)"))?;
        text.parse().map(Some).map_err(|_| self.error(name, "is not a whole number in its range"))
    }

    fn shards(&self, name: &'static str) -> Result<Vec<ShardId>, RowError> {
        let Some(value) = self.item.get(name) else { return Ok(Vec::new()) };
        let names = value.as_ss().map_err(|_| self.error(name, "is not a set of strings (SS)"))?;
        Ok(names.iter().map(|name| ShardId::new(name.as_str())).collect())
    }

    /// Old rows have no range, and one end of it is useless.
    fn hash_range(&self) -> Result<Option<HashKeyRange>, RowError> {
        let ends = (self.hash_key(STARTING_HASH_KEY)?, self.hash_key(ENDING_HASH_KEY)?);
        Ok(if let (Some(start), Some(end)) = ends { Some(HashKeyRange { start, end }) } else { None })
    }

    fn hash_key(&self, name: &'static str) -> Result<Option<u128>, RowError> {
        let Some(text) = self.string(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.error(name, "is not a decimal number of 128 bits"))
    }

    fn checkpoint(&self) -> Result<Checkpoint, RowError> {
        match self.required(self.string(CHECKPOINT)?, CHECKPOINT)? {
            SHARD_END => Ok(Checkpoint::Ended),
            "TRIM_HORIZON" => Ok(Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon)),
            "LATEST" => Ok(Checkpoint::NotStarted(SentinelCheckpoint::Latest)),
            "AT_TIMESTAMP" => Ok(Checkpoint::NotStarted(SentinelCheckpoint::AtTimestamp)),
            digits => {
                let problem = "is neither a sequence number nor a sentinel of the KCL";
                let sequence = digits.parse().map_err(|_| self.error(CHECKPOINT, problem))?;
                let sub_sequence = self.number(SUB_SEQUENCE)?.unwrap_or_default();
                Ok(Checkpoint::After(RecordPosition { sequence, sub_sequence }))
            }
        }
    }

    fn owner_duration(&self) -> Result<Option<Duration>, RowError> {
        let owner = self.string(CHECKPOINT_OWNER)?.or(self.string(LEASE_OWNER)?);
        let taken_by = self.string(TAKEN_BY)?;
        let duration = self.number(LEASE_MILLIS)?.map(Duration::from_millis);
        Ok(duration.filter(|_| taken_by.is_some() && taken_by == owner))
    }

    fn required<T>(&self, value: Option<T>, name: &'static str) -> Result<T, RowError> {
        value.ok_or_else(|| self.error(name, "is missing"))
    }

    fn error(&self, attribute: &'static str, problem: &'static str) -> RowError {
        let key = self.item.get(LEASE_KEY).and_then(|value| value.as_s().ok());
        RowError { row: key.map_or("?", String::as_str).to_owned(), attribute, problem }
    }
}

#[cfg(test)]
#[path = "tests/any_row.rs"]
mod any_row_tests;
#[cfg(test)]
#[path = "tests/row.rs"]
mod tests;
