//! What the leases of an input cost in DynamoDB. Pure.

use super::settings::ConsumerSettings;
use crate::domain::ShardListing;
use std::time::Duration;

/// Writes of all workers together, in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ExpectedWrites {
    /// While no records flow: each lease is renewed each third of its duration.
    idle: f64,
    /// While records flow in all shards: a checkpoint is also a renewal.
    busy: f64,
}

impl ExpectedWrites {
    fn new(shards: usize, lease_duration: Duration, checkpoint_interval: Duration) -> Self {
        let shards = f64::from(u32::try_from(shards).unwrap_or(u32::MAX));
        let renewal = lease_duration / 3;
        let per_second = |interval: Duration| shards / interval.as_secs_f64().max(f64::MIN_POSITIVE);
        Self { idle: per_second(renewal), busy: per_second(renewal.min(checkpoint_interval)) }
    }
}

/// One line at the start of an input, so that the bill surprises no one.
pub(super) fn log_expected_writes(listing: &ShardListing, settings: &ConsumerSettings) {
    let open_shards = listing.shards.iter().filter(|shard| shard.is_open).count();
    let writes = ExpectedWrites::new(open_shards, settings.lease_duration, settings.checkpoint_interval);
    let rounded = |writes: f64| (writes * 10.0).round() / 10.0;
    tracing::info!(
        binding = %settings.binding,
        lease_table = %settings.lease_table,
        open_shards,
        idle_writes_per_second = rounded(writes.idle),
        busy_writes_per_second = rounded(writes.busy),
        "expected writes to the lease table, by all sidecars together"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_written_each_third_of_its_duration_and_while_records_flow_at_each_checkpoint() {
        let writes = |shards, lease, checkpoint| {
            ExpectedWrites::new(shards, Duration::from_secs(lease), Duration::from_millis(checkpoint))
        };
        assert_eq!(writes(0, 10, 1_000), ExpectedWrites { idle: 0.0, busy: 0.0 });
        assert_eq!(writes(6, 9, 1_000), ExpectedWrites { idle: 2.0, busy: 6.0 });
        assert_eq!(writes(6, 9, 500), ExpectedWrites { idle: 2.0, busy: 12.0 });
        assert_eq!(writes(6, 9, 60_000), ExpectedWrites { idle: 2.0, busy: 2.0 }, "a renewal stores progress too");
    }
}
