//! Records on their way into a stream, and the port that takes them there.

use super::{BindingError, SequenceNumber, ShardId};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::{self, Debug};
use std::str::FromStr;
use std::sync::Arc;

/// The most characters of a partition key.
const LONGEST: usize = 256;

/// A partition key: 1 to 256 Unicode characters (AWS, `PutRecord.PartitionKey`). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey(Arc<str>);

impl PartitionKey {
    /// The key as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot be a partition key. Does not show it: a key is the caller's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the partition key has {characters} characters: Kinesis takes 1 to {LONGEST}")]
pub struct InvalidPartitionKey {
    /// How many characters it has.
    pub characters: usize,
}

impl FromStr for PartitionKey {
    type Err = InvalidPartitionKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A text of few bytes has few characters.
        let characters = if (1..=LONGEST).contains(&text.len()) { text.len() } else { text.chars().count() };
        if (1..=LONGEST).contains(&characters) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidPartitionKey { characters })
        }
    }
}

impl Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionKey({} bytes)", self.0.len())
    }
}

/// A record to be written. Clones share payload and key.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The payload.
    pub data: Bytes,
    /// Decides about the shard, by its MD5. `None` only where the stream distributes records by itself
    /// (`UpdateStreamRecordDistributionStrategy`, `AUTO`).
    pub partition_key: Option<PartitionKey>,
    /// Decides about the shard instead of the partition key.
    pub explicit_hash_key: Option<u128>,
}

impl NewRecord {
    /// What counts towards every limit of AWS, in bytes: the payload before base64, and the partition key.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len().saturating_add(self.partition_key.as_ref().map_or(0, |key| key.as_str().len()))
    }
}

impl Debug for NewRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewRecord({} bytes)", self.size())
    }
}

/// Where a record was stored. Only the service makes one: it is the proof that the record is in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The number it was given.
    pub sequence: SequenceNumber,
    /// The shard it went to.
    pub shard: ShardId,
    /// `KMS` or `NONE`, where the service says so.
    pub encryption: Option<Arc<str>>,
}

/// Writes into one stream: single attempts, never repeated below this port.
#[async_trait]
pub trait RecordWriter: Debug + Send + Sync {
    /// One record by one call. `after` asks the service for a larger sequence number than that
    /// (`SequenceNumberForOrdering`). Dropping the future leaves open whether the record was stored.
    ///
    /// # Errors
    /// As the service answered; `Outcome::Unknown` when the record may have been stored.
    async fn put(&self, record: &NewRecord, after: Option<&SequenceNumber>) -> Result<Receipt, BindingError>;

    /// At most 500 records and 10 MiB by one call. Answers for each record, in the order given. Dropping the future
    /// leaves open which were stored.
    ///
    /// # Errors
    /// The outer error when the call failed as a whole: none was stored, or with `Outcome::Unknown` it is not known. With
    /// [`BindingError::lacks_permission`] only calls with several records are refused; [`RecordWriter::put`] may be
    /// allowed.
    async fn put_all(&self, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_measured_in_characters() {
        assert!("ü".repeat(256).parse::<PartitionKey>().is_ok());
        for (text, characters) in [(String::new(), 0), ("k".repeat(257), 257), ("ü".repeat(257), 257)] {
            assert_eq!(text.parse::<PartitionKey>(), Err(InvalidPartitionKey { characters }));
        }
    }

    #[test]
    fn debug_shows_sizes_and_no_data() {
        let key: PartitionKey = "customer".parse().unwrap();
        let record =
            NewRecord { data: Bytes::from_static(b"secret"), partition_key: Some(key), explicit_hash_key: None };
        assert_eq!(format!("{record:?}"), "NewRecord(14 bytes)");
    }
}
