//! Why a worker cannot go on.

use crate::domain::{FailureKind, LeaseError, RetrievalError, ShardId, Timestamp};

/// The worker ended without a stop request. The caller may start a new one after a pause.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The lease store cannot be used.
    #[error("the leases of the input cannot be used")]
    Leases(#[from] LeaseError),
    /// The shards of the stream could not be listed.
    #[error("the shards of the stream could not be listed")]
    Shards(#[from] RetrievalError),
    /// The shard exists but cannot be read, for example because its stream consumer was deregistered.
    #[error("shard {shard} is listed but cannot be read; the input is restarted")]
    Unreadable { shard: ShardId },
    /// The drain limit was exceeded.
    #[error("the input was aborted before it had drained; records in flight will be redelivered")]
    Aborted,
    /// The leases belong to an older stream of the same name.
    #[error(
        "the stream was deleted and created again: lease table `{table}` belongs to the stream created at {leased}, the \
         present stream was created at {found} and is not read. To read it, delete lease table `{table}` or all its rows, \
         or choose another `consumerName`"
    )]
    StreamReplaced {
        /// When the stream of the leases was created.
        leased: Timestamp,
        /// When the present stream was created.
        found: Timestamp,
        table: String,
    },
    /// The leases belong to a stream of another name, account or region.
    #[error(
        "lease table `{table}` belongs to stream {leased}, this input reads stream {own}: give this input another \
         `consumerName` or `leaseTable`"
    )]
    OtherStream {
        /// ARN or name of the stream that the leases belong to.
        leased: String,
        /// ARN or name of the stream of this input.
        own: String,
        table: String,
    },
    /// Records of one partition key may be in any shard of the stream, so the order that the input promises does not exist.
    #[error(
        "stream {stream} distributes its records itself (`RecordDistributionStrategy` is AUTO), so `order: key`, the \
         default, cannot be kept: set `order: shard` or `order: none`, or change the strategy of the stream to \
         USER_PARTITION_KEY"
    )]
    NoKeyOrder {
        /// ARN or name of the stream.
        stream: String,
    },
}

impl ConsumerError {
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Leases(error) => error.kind(),
            Self::Shards(error) => error.kind(),
            Self::Unreadable { .. } => FailureKind::NotFound,
            Self::Aborted => FailureKind::TimedOut,
            Self::StreamReplaced { .. } | Self::OtherStream { .. } | Self::NoKeyOrder { .. } => FailureKind::Permanent,
        }
    }
}
