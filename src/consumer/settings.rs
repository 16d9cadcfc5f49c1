//! What a worker is told, and the ports it works on.

use super::history::StreamHistory;
use crate::domain::{
    ComponentName, EventHandler, InitialPosition, LeaseStore, Retrieval, ShardId, StreamDirectory, WorkerId,
};
use crate::resilience::Backoff;
use std::sync::Arc;
use std::time::Duration;

/// The world as a worker sees it.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Names the stream and its shards.
    pub directory: Arc<dyn StreamDirectory>,
    /// Opens shards for reading.
    pub retrieval: Arc<dyn Retrieval>,
    /// Keeps the leases.
    pub leases: Arc<dyn LeaseStore>,
    /// Takes events to the app.
    pub handler: Arc<dyn EventHandler>,
}

/// How one input binding is consumed.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// The binding, named in every event.
    pub binding: ComponentName,
    /// This worker; unique among running workers.
    pub worker: WorkerId,
    /// Names the lease table in logs and errors.
    pub lease_table: Arc<str>,
    /// Kept over restarts of the input; see [`StreamHistory`].
    pub history: Arc<StreamHistory>,
    /// Where a consumer without any lease begins.
    pub initial_position: InitialPosition,
    /// How long others wait on a silent lease before they take it. Leases are renewed each third of it. All workers
    /// of one lease table must use the same.
    pub lease_duration: Duration,
    /// The longest that accepted records wait for their checkpoint while the shard is held.
    pub commit_interval: Duration,
    /// How long a drain may take; three quarters of it are left to the record in hand, the rest to the lease.
    pub drain_limit: Duration,
    /// The same where another worker asked for a lease and nobody is in a hurry.
    pub handoff_limit: Duration,
    /// Waits between deliveries of one record, and between tries to read a shard.
    pub retry: Backoff,
    /// Drives every random choice.
    pub seed: u64,
}

impl ConsumerSettings {
    /// The defaults: a lease table called as the binding, no history, LATEST, 10 s leases, 1 s commits, 20 s drain, retries
    /// from 100 ms to 30 s, a seed from the worker's id.
    #[must_use]
    pub fn for_binding(binding: ComponentName, worker: WorkerId) -> Self {
        let seed = fold(worker.as_str());
        Self {
            lease_table: binding.as_str().into(),
            binding,
            worker,
            history: Arc::default(),
            initial_position: InitialPosition::Latest,
            lease_duration: Duration::from_secs(10),
            commit_interval: Duration::from_secs(1),
            drain_limit: Duration::from_secs(20),
            handoff_limit: Duration::from_secs(20),
            retry: Backoff::millis(100, 30_000),
            seed,
        }
    }

    /// A seed of its own for each shard, so that their waits do not run in step.
    pub(super) fn seed_for(&self, shard: &ShardId) -> u64 {
        self.seed ^ fold(shard.as_str())
    }
}

/// FNV-1a; spreads names over seeds, no more is asked of it.
fn fold(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
