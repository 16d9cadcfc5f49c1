//! Why a worker cannot go on.

use crate::domain::{FailureKind, LeaseError, RetrievalError, ShardId, Timestamp};

/// The worker ended by itself; whoever runs it may start a new one after a while.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The lease store cannot be used.
    #[error("the leases of the input cannot be used")]
    Leases(#[from] LeaseError),
    /// The shards of the stream could not be listed.
    #[error("the shards of the stream could not be listed")]
    Shards(#[from] RetrievalError),
    /// A shard is there but cannot be read, as when its stream consumer was deregistered.
    #[error("shard {shard} is listed but cannot be read, the input is set up anew")]
    Unreadable {
        /// The shard.
        shard: ShardId,
    },
    /// The time for a stop was over before all was finished; what was cut comes again.
    #[error("the input was cut before it was finished, records in hand will come again")]
    Cut,
    /// The leases belong to an older stream of the same name.
    #[error(
        "the stream was deleted and created again: lease table `{table}` belongs to the stream created at \
         {leased}, the stream that is there now was created at {found}. Nothing of the new stream is read under the old leases. To read \
         the new stream, delete lease table `{table}` or all its rows, or choose another `consumerName`"
    )]
    StreamReplaced {
        /// Creation time that the leases name.
        leased: Timestamp,
        /// Creation time of the stream as it is now.
        found: Timestamp,
        /// The lease table.
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
        /// The lease table.
        table: String,
    },
}

impl ConsumerError {
    pub(super) fn replaced(leased: Timestamp, found: Timestamp, table: &str) -> Self {
        Self::StreamReplaced { leased, found, table: table.to_owned() }
    }

    /// What the failure means for a restart.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Leases(error) => error.kind(),
            Self::Shards(error) => error.kind(),
            Self::Unreadable { .. } => FailureKind::NotFound,
            Self::Cut => FailureKind::TimedOut,
            Self::StreamReplaced { .. } | Self::OtherStream { .. } => FailureKind::Permanent,
        }
    }
}
