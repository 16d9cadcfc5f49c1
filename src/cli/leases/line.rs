//! A lease as JSON, for `list --json`, `export` and `import`.

use crate::domain::{
    Checkpoint, HashKeyRange, Lease, NewLease, RecordPosition, SentinelCheckpoint, ShardId, Timestamp, WorkerId,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Times are in milliseconds since 1970, hash keys decimal, and a checkpoint is a sequence number or a word of the KCL
/// (`TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP`, `SHARD_END`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LeaseLine {
    pub(super) shard: String,
    /// Ignored by `import`, as are `owner`, `handoffFrom` and `counter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) handoff_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) counter: Option<u64>,
    pub(super) checkpoint: String,
    #[serde(default)]
    pub(super) sub_sequence: u64,
    #[serde(default)]
    pub(super) parents: Vec<String>,
    #[serde(default)]
    pub(super) children: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) starting_hash_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ending_hash_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) start_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stream_created: Option<i64>,
}

/// `held`, `handoff`, `ended` or `free`.
pub(super) fn state(lease: &Lease) -> &'static str {
    match lease {
        _ if lease.checkpoint.is_ended() => "ended",
        Lease { handoff_from: Some(_), .. } => "handoff",
        Lease { owner: Some(_), .. } => "held",
        Lease { owner: None, .. } => "free",
    }
}

/// A checkpoint as one word: `SEQUENCE/SUB`, or a word of the KCL.
pub(super) fn checkpoint_text(checkpoint: &Checkpoint) -> String {
    match checkpoint {
        Checkpoint::After(position) => position.to_string(),
        Checkpoint::NotStarted(_) | Checkpoint::Ended => word(checkpoint).to_owned(),
    }
}

const fn word(checkpoint: &Checkpoint) -> &'static str {
    match checkpoint {
        Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon) => "TRIM_HORIZON",
        Checkpoint::NotStarted(SentinelCheckpoint::Latest) => "LATEST",
        Checkpoint::NotStarted(SentinelCheckpoint::AtTimestamp) => "AT_TIMESTAMP",
        Checkpoint::Ended => "SHARD_END",
        Checkpoint::After(_) => "",
    }
}

fn texts(shards: &[ShardId]) -> Vec<String> {
    shards.iter().map(ToString::to_string).collect()
}

impl From<&Lease> for LeaseLine {
    fn from(lease: &Lease) -> Self {
        let (checkpoint, sub_sequence) = match &lease.checkpoint {
            Checkpoint::After(position) => (position.sequence.to_string(), position.sub_sequence),
            other @ (Checkpoint::NotStarted(_) | Checkpoint::Ended) => (word(other).to_owned(), 0),
        };
        Self {
            shard: lease.shard.to_string(),
            state: Some(state(lease).to_owned()),
            owner: lease.owner.as_ref().map(WorkerId::to_string),
            handoff_from: lease.handoff_from.as_ref().map(WorkerId::to_string),
            counter: Some(lease.counter.value()),
            checkpoint,
            sub_sequence,
            parents: texts(&lease.parents),
            children: texts(&lease.children),
            starting_hash_key: lease.hash_range.map(|range| range.start.to_string()),
            ending_hash_key: lease.hash_range.map(|range| range.end.to_string()),
            start_at: lease.start_at.map(Timestamp::as_millis),
            stream: lease.stream.as_deref().map(str::to_owned),
            stream_created: lease.stream_created.map(Timestamp::as_millis),
        }
    }
}

impl LeaseLine {
    pub(super) fn to_json(&self) -> String {
        // Only maps with keys that are no strings could fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The lease that it describes, and its children.
    ///
    /// # Errors
    /// With what is wrong.
    pub(super) fn lease(&self) -> Result<(NewLease, Vec<ShardId>), String> {
        let shards = |names: &[String]| names.iter().map(|name| ShardId::new(name.as_str())).collect();
        let lease = NewLease {
            shard: ShardId::new(self.shard.as_str()),
            checkpoint: self.checkpoint()?,
            start_at: self.start_at.map(Timestamp::from_millis),
            parents: shards(&self.parents),
            hash_range: self.hash_range()?,
            stream: self.stream.as_deref().map(Into::into),
            stream_created: self.stream_created.map(Timestamp::from_millis),
        };
        if self.shard.is_empty() {
            return Err("`shard` is empty".to_owned());
        }
        Ok((lease, shards(&self.children)))
    }

    fn checkpoint(&self) -> Result<Checkpoint, String> {
        Ok(match self.checkpoint.as_str() {
            "TRIM_HORIZON" => Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon),
            "LATEST" => Checkpoint::NotStarted(SentinelCheckpoint::Latest),
            "AT_TIMESTAMP" => Checkpoint::NotStarted(SentinelCheckpoint::AtTimestamp),
            "SHARD_END" => Checkpoint::Ended,
            digits => {
                let sequence = digits.parse().map_err(|error| format!("`checkpoint`: {error}"))?;
                Checkpoint::After(RecordPosition { sequence, sub_sequence: self.sub_sequence })
            }
        })
    }

    fn hash_range(&self) -> Result<Option<HashKeyRange>, String> {
        let key = |text: &str| text.parse::<u128>().map_err(|_| format!("`{text}` is not a decimal hash key"));
        match (&self.starting_hash_key, &self.ending_hash_key) {
            (Some(start), Some(end)) => Ok(Some(HashKeyRange { start: key(start)?, end: key(end)? })),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => {
                Err("`startingHashKey` and `endingHashKey` need each other".to_owned())
            }
        }
    }
}

/// A lease of a file, with its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImportedLease {
    pub(super) lease: NewLease,
    pub(super) children: Vec<ShardId>,
}

/// Reads a file of `export`.
///
/// # Errors
/// With the first line that cannot be used.
pub(super) fn read(path: &Path) -> Result<Vec<ImportedLease>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("{} could not be read: {error}; name a file of `bindd leases export`", path.display())
    })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let leases = lines.map(|(index, line)| {
        let place = || format!("{}, line {}", path.display(), index + 1);
        let line: LeaseLine = serde_json::from_str(line)
            .map_err(|error| format!("{}: {error}; each line must be one of `bindd leases export`", place()))?;
        let (lease, children) = line.lease().map_err(|problem| format!("{}: {problem}; correct the line", place()))?;
        Ok(ImportedLease { lease, children })
    });
    leases.collect()
}

#[cfg(test)]
#[path = "tests/line.rs"]
mod tests;
