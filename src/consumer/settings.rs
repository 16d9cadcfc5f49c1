//! Settings and ports of a worker.

use super::stream_state::StreamState;
use crate::domain::{
    ComponentName, EventHandler, InitialPosition, LeaseStore, Retrieval, ShardId, StreamDirectory, WorkerId,
};
use crate::resilience::Backoff;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Ports {
    pub directory: Arc<dyn StreamDirectory>,
    pub retrieval: Arc<dyn Retrieval>,
    pub leases: Arc<dyn LeaseStore>,
    /// Delivers events to the app.
    pub handler: Arc<dyn EventHandler>,
}

#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Named in every event.
    pub binding: ComponentName,
    /// Unique among running workers.
    pub worker: WorkerId,
    /// Names the lease table in logs and errors.
    pub lease_table: Arc<str>,
    /// Shared by all workers that the input runs one after another.
    pub stream_state: Arc<StreamState>,
    /// Where to start while there are no leases.
    pub initial_position: InitialPosition,
    /// Another worker may take a lease that was not renewed for this time. Leases are renewed each third of it. All workers
    /// of a lease table must use the same value.
    pub lease_duration: Duration,
    /// The longest time that accepted records wait for their checkpoint while the lease is held.
    pub checkpoint_interval: Duration,
    /// How long a drain after a stop may take: three quarters for the record in flight, the rest for the lease.
    pub drain_limit: Duration,
    /// The same for a drain after another worker requested the lease.
    pub handoff_limit: Duration,
    /// Pauses between the deliveries of one record, and between attempts to read a shard.
    pub retry: Backoff,
    /// Seed of every random choice.
    pub seed: u64,
}

impl ConsumerSettings {
    /// The defaults: a lease table named like the binding, LATEST, 10 s leases, a checkpoint each second, 20 s drain, retries
    /// after 100 ms to 30 s, a seed from the worker's id.
    #[must_use]
    pub fn for_binding(binding: ComponentName, worker: WorkerId) -> Self {
        let seed = fnv1a(worker.as_str());
        Self {
            lease_table: binding.as_str().into(),
            binding,
            worker,
            stream_state: Arc::default(),
            initial_position: InitialPosition::Latest,
            lease_duration: Duration::from_secs(10),
            checkpoint_interval: Duration::from_secs(1),
            drain_limit: Duration::from_secs(20),
            handoff_limit: Duration::from_secs(20),
            retry: Backoff::millis(100, 30_000),
            seed,
        }
    }

    /// Differs from shard to shard, so that their random pauses differ too.
    pub(super) fn seed_for(&self, shard: &ShardId) -> u64 {
        self.seed ^ fnv1a(shard.as_str())
    }
}

/// Not cryptographic; it only has to give different seeds for different names.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
