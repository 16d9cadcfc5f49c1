//! Why a worker cannot go on.

use crate::domain::{FailureKind, LeaseError, RetrievalError, ShardId};

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
        "the stream was re-created: its leases are of the stream created at {leased} (ms), it was created at {found}; \
         delete the lease table or choose another consumer name to read the new stream"
    )]
    StreamReplaced {
        /// Creation time that the leases name, in milliseconds since the epoch.
        leased: i64,
        /// Creation time of the stream as it is now.
        found: i64,
    },
}

impl ConsumerError {
    /// What the failure means for a restart.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Leases(error) => error.kind(),
            Self::Shards(error) => error.kind(),
            Self::Unreadable { .. } => FailureKind::NotFound,
            Self::Cut => FailureKind::TimedOut,
            Self::StreamReplaced { .. } => FailureKind::Permanent,
        }
    }
}
