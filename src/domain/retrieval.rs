//! The ports for listing shards and reading their records.

use super::{BoxError, FailureKind, RecordBatch, Shard, ShardId, StartingPosition, StreamIdentity, Timestamp};
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The shards of a stream at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardListing {
    /// Every shard within the retention period, in no particular order.
    pub shards: Vec<Shard>,
    /// The service's time of the response; a first start at LATEST begins at this time.
    pub listed_at: Timestamp,
}

/// Lists the shards of a stream.
#[async_trait]
pub trait ShardDirectory: Debug + Send + Sync {
    /// The complete list, or an error; never a page of it.
    ///
    /// # Errors
    /// When the whole list could not be read.
    async fn list(&self) -> Result<ShardListing, RetrievalError>;
}

/// A directory that also identifies the stream.
#[async_trait]
pub trait StreamDirectory: ShardDirectory {
    /// The current identity of the stream. Where permissions deny describing it, the configured name or ARN without a
    /// creation time.
    ///
    /// # Errors
    /// When the call failed, or the stream does not exist.
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError>;

    /// How the stream assigns records to shards, as of the last [`StreamDirectory::identify`].
    fn distribution(&self) -> RecordDistribution {
        RecordDistribution::ByPartitionKey
    }

    /// How long the stream keeps its records, as of the last [`StreamDirectory::identify`]; at least this long where it is
    /// not allowed to describe it. `None` if that is not known.
    fn retention(&self) -> Option<Duration> {
        None
    }
}

/// How a stream assigns records to shards (`RecordDistributionStrategy` of `DescribeStreamSummary`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordDistribution {
    /// By the hash of the partition key; also where the stream does not say.
    #[default]
    ByPartitionKey,
    /// `AUTO`: Kinesis chooses the shard. Records may have no partition key, and records of one key may be in different
    /// shards, so that no order by key exists.
    Auto,
}

/// Opens shards for reading.
#[async_trait]
pub trait Retrieval: Debug + Send + Sync {
    /// Opens a shard at a position. May be lazy, so that an error only comes from the first `next`.
    ///
    /// # Errors
    /// When the shard could not be opened at the position.
    async fn open(&self, shard: &ShardId, position: &StartingPosition)
    -> Result<Box<dyn RecordSource>, RetrievalError>;
}

/// How much a read may return.
#[derive(Debug, Clone)]
pub struct ReadLimit {
    /// Memory in bytes, see [`Record::size`](super::Record::size).
    pub bytes: usize,
    records: Arc<AtomicUsize>,
}

impl ReadLimit {
    #[must_use]
    pub fn bytes(bytes: usize) -> Self {
        Self::new(bytes, Arc::new(AtomicUsize::new(usize::MAX)))
    }

    /// `records` may change while the source waits until it may read.
    #[must_use]
    pub const fn new(bytes: usize, records: Arc<AtomicUsize>) -> Self {
        Self { bytes, records }
    }

    /// How many records a read may return that is sent now: at least 1.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed).max(1)
    }
}

/// Reads one shard in order.
///
/// Invariant: after an expired iterator, a throttle, a closed connection or an ended subscription it continues after the
/// last record that it returned. A caller that does not call `next` applies back-pressure.
#[async_trait]
pub trait RecordSource: Debug + Send {
    /// The next records, or the end of the shard. Waits as long as the service's rate limits require; may return an empty
    /// batch. After a `ShardEnded` with children it must not be called again; after one without children it continues
    /// after the last record.
    ///
    /// The caller has reserved memory for `limit`. The source requests as many records as will probably fit; it may return
    /// more, since the service counts aggregates as one record and pushes events.
    ///
    /// Cancel-safe: no record is lost when the future is dropped.
    ///
    /// # Errors
    /// When it cannot continue; the shard may then be opened again.
    async fn next(&mut self, limit: ReadLimit) -> Result<Fetched, RetrievalError>;

    /// `next` will not be called for a while, because there is no memory for more records. A source may close what it keeps
    /// open.
    fn suspend(&mut self) {}
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    Batch(RecordBatch),
    /// The service reported the end of the shard.
    ShardEnded {
        /// Without children the report is only an absent field, and counts only if [`ShardDirectory::list`] shows the shard
        /// closed.
        children: Vec<ShardId>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    /// The stream has no such position: it was created again, or the sequence number belongs to another shard.
    #[error("shard {shard} has no such position to start from")]
    InvalidPosition {
        shard: ShardId,
        #[source]
        source: BoxError,
    },
    /// The shard or the stream does not exist (any more). [`ShardDirectory::list`] shows which of them.
    #[error("{what} does not exist")]
    NotFound {
        /// Shard or stream, by name.
        what: String,
        #[source]
        source: BoxError,
    },
    /// The registered stream consumer (enhanced fan-out) does not exist any more; shard and stream may.
    #[error("the stream consumer {consumer} does not exist")]
    ConsumerNotFound {
        /// Its ARN.
        consumer: String,
        #[source]
        source: BoxError,
    },
    /// Any other failure. With [`FailureKind::Conflict`] another subscription to the shard keeps replacing ours: the caller
    /// should check that it still holds the lease, and may then open the shard again.
    #[error("{doing}")]
    Unavailable {
        /// The operation and its resource.
        doing: String,
        kind: FailureKind,
        #[source]
        source: BoxError,
    },
}

impl RetrievalError {
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::InvalidPosition { .. } => FailureKind::Caller,
            Self::NotFound { .. } | Self::ConsumerNotFound { .. } => FailureKind::NotFound,
            Self::Unavailable { kind, .. } => *kind,
        }
    }
}
