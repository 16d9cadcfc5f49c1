//! Events and effects of the coordinator.

use super::error::ConsumerError;
use super::lease_scan::{Change, LeaseChange, ScanResult, StreamListing};
use super::shard_events::EndReason;
use crate::domain::{LeaseGrant, ShardId};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) enum Event {
    /// The time of `wake_at` was reached.
    Woke,
    Scanned(Result<ScanResult, ConsumerError>),
    Listed(StreamListing),
    /// One of the changes was made, or failed.
    Changed(Box<Change>),
    /// All changes of a round were made, or failed.
    ChangesDone,
    ConsumerEnded(ShardId, EndReason),
    /// The app was down for longer than `appDownRelease`.
    AppDown,
    /// The app answers again.
    AppUp,
    StopRequested,
}

/// What the driver has to do.
#[derive(Debug)]
pub(super) enum Effect {
    Scan,
    List {
        with_identity: bool,
    },
    Change(Vec<LeaseChange>),
    /// Start a consumer for a lease whose take began at this moment.
    Start(Box<LeaseGrant>, Instant),
    /// Stop the consumers. Scans and listings that are in flight continue, but their results are ignored.
    StopConsumers,
    /// Make the consumers release their leases without a drain.
    ReleaseLeases,
    End(Result<(), ConsumerError>),
}
