//! Records for a stream, and the port that writes them.

use super::{BindingError, SequenceNumber, ShardId};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::{self, Debug};
use std::str::FromStr;
use std::sync::Arc;

/// Characters.
const MAX_PARTITION_KEY: usize = 256;

/// A partition key: 1 to 256 Unicode characters (AWS, `PutRecord.PartitionKey`). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey(Arc<str>);

impl PartitionKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot be a partition key. The message does not contain it: a key is the caller's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the partition key has {characters} characters: Kinesis takes 1 to {MAX_PARTITION_KEY}")]
pub struct InvalidPartitionKey {
    pub characters: usize,
}

impl FromStr for PartitionKey {
    type Err = InvalidPartitionKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A text never has more characters than bytes, so most keys need no counting.
        let characters = if (1..=MAX_PARTITION_KEY).contains(&text.len()) { text.len() } else { text.chars().count() };
        if (1..=MAX_PARTITION_KEY).contains(&characters) {
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

/// A record to write. Clones share payload and key.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRecord {
    pub data: Bytes,
    /// Selects the shard by its MD5. `None` only where the stream distributes records itself
    /// (`UpdateStreamRecordDistributionStrategy`, `AUTO`).
    pub partition_key: Option<PartitionKey>,
    /// Selects the shard instead of the partition key.
    pub explicit_hash_key: Option<u128>,
}

impl NewRecord {
    /// Bytes that count towards every limit of AWS: the payload before base64, and the partition key.
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

/// The service's confirmation that a record is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub sequence: SequenceNumber,
    pub shard: ShardId,
    /// `KMS` or `NONE`, where the service returns it.
    pub encryption: Option<Arc<str>>,
}

/// Writes into one stream: each call is one attempt, without retries below this port.
#[async_trait]
pub trait RecordWriter: Debug + Send + Sync {
    /// `PutRecord`. `after` is its `SequenceNumberForOrdering`. When the future is dropped, the record may or may not be
    /// stored.
    ///
    /// # Errors
    /// When the service did not confirm it; `Outcome::Unknown` where the record may be stored.
    async fn put(&self, record: &NewRecord, after: Option<&SequenceNumber>) -> Result<Receipt, BindingError>;

    /// `PutRecords`: at most 500 records and 10 MiB. Returns a result for each record, in the same order. When the future is
    /// dropped, each record may or may not be stored.
    ///
    /// # Errors
    /// The outer error when the whole call failed: no record is stored, or with `Outcome::Unknown` any may be. With
    /// [`BindingError::lacks_permission`] only `PutRecords` is denied; [`RecordWriter::put`] may be allowed.
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
