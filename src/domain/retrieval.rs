//! The ports through which records and shards come in.

use super::{BoxError, FailureKind, RecordBatch, Shard, ShardId, StartingPosition, StreamIdentity, Timestamp};
use async_trait::async_trait;
use std::fmt::Debug;

/// The shards of a stream at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardListing {
    /// Every shard that the stream still holds, in no special order.
    pub shards: Vec<Shard>,
    /// The service's time when it answered; pins a first start at LATEST.
    pub listed_at: Timestamp,
}

/// Names the shards of a stream and their parents.
#[async_trait]
pub trait ShardDirectory: Debug + Send + Sync {
    /// The complete list, or an error; never a page of it.
    ///
    /// # Errors
    /// When the service did not give the whole list.
    async fn list(&self) -> Result<ShardListing, RetrievalError>;
}

/// A directory that also knows which stream its shards belong to.
#[async_trait]
pub trait StreamDirectory: ShardDirectory {
    /// The identity of the stream at the time of the call. Where describing the stream is denied, the identity is what
    /// the configuration says, without a creation time.
    ///
    /// # Errors
    /// When the service did not answer, or there is no such stream.
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError>;
}

/// Opens shards for reading.
#[async_trait]
pub trait Retrieval: Debug + Send + Sync {
    /// Opens a shard at a position. May be lazy: the first fault can also come from the first `next`.
    ///
    /// # Errors
    /// As [`RetrievalError`] says.
    async fn open(&self, shard: &ShardId, position: &StartingPosition)
    -> Result<Box<dyn RecordSource>, RetrievalError>;
}

/// Reads one shard in order.
///
/// Law: it heals expired iterators, throttles, cut connections and ended subscriptions by itself, going on after the
/// last record it yielded. Not asking for more is the back-pressure.
#[async_trait]
pub trait RecordSource: Debug + Send {
    /// The next records, or the end of the shard. Waits as the service's rates demand; may give an empty batch so
    /// that the caller sees time passing. After a `ShardEnded` with children it must not be called again; after one
    /// without children it goes on after the last record.
    ///
    /// Cancel-safe: nothing yielded is lost when the future is dropped.
    ///
    /// # Errors
    /// Only those that it could not heal; the shard may then be opened anew.
    async fn next(&mut self) -> Result<Fetched, RetrievalError>;
}

/// What a read gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Records, perhaps none.
    Batch(RecordBatch),
    /// The service signalled the end of the shard.
    ShardEnded {
        /// Its children. Without any, the signal is a field that is absent, and proves nothing unless
        /// [`ShardDirectory::list`] shows the shard closed.
        children: Vec<ShardId>,
    },
}

/// Reading failed.
#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    /// The stream does not know the position: it was re-created, or the number belongs to another shard.
    #[error("shard {shard} does not know the position it was asked to start from")]
    InvalidPosition {
        /// The shard.
        shard: ShardId,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The shard or the stream does not exist (any more).
    #[error("{what} does not exist")]
    NotFound {
        /// Shard or stream, by name.
        what: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// Any other failure.
    #[error("{doing}")]
    Unavailable {
        /// What was being done, to which thing.
        doing: String,
        /// What it means.
        kind: FailureKind,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

impl RetrievalError {
    /// What the failure means for a retry.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::InvalidPosition { .. } => FailureKind::Caller,
            Self::NotFound { .. } => FailureKind::NotFound,
            Self::Unavailable { kind, .. } => *kind,
        }
    }
}
