//! Shards with low rate limits.

use super::assertions::{assert_consistent, statuses};
use super::callers::{Load, record, send_all};
use super::environment::{Components, recording_backend};
use bindd::testing::{Faults, ShardRate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_above_the_rate_of_a_shard_get_429_with_retry_after() {
    let backend = recording_backend(1).await;
    // So low that even a slow machine exceeds it: 64 concurrent callers, and 30 records within the request timeout.
    backend.set(Faults { shard_rate: Some(ShardRate { records: 10, bytes: 1 << 20 }), ..Faults::default() });
    let fields = [("requestTimeout", "2s"), ("maxRecordsPerShardPerSecond", "10")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let load = Load { callers: 64, records: 6 };
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_consistent(&results, load.callers * load.records, &backend.stored());
    let statuses = statuses(&results);
    assert!(statuses.get(&429).is_some_and(|throttled| *throttled > 0), "{statuses:?}");
    assert!(statuses.get(&204).is_some_and(|stored| *stored >= 10), "{statuses:?}");
    let without_retry_after =
        results.iter().find(|result| result.status.is_some_and(|status| status == 429) && result.retry_after.is_none());
    assert!(without_retry_after.is_none(), "{without_retry_after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_within_the_request_timeout_are_stored_at_the_rate_of_the_shards() {
    let backend = recording_backend(2).await;
    backend.set(Faults { shard_rate: Some(ShardRate { records: 500, bytes: 1 << 20 }), ..Faults::default() });
    let fields = [("maxRecordsPerShardPerSecond", "500")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let load = Load { callers: 64, records: 40 };
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 997)).await;
    sidecar.stop().await;
    assert_consistent(&results, load.callers * load.records, &backend.stored());
    let statuses = statuses(&results);
    assert_eq!(statuses.get(&204), Some(&(load.callers * load.records)), "{statuses:?}");
}
