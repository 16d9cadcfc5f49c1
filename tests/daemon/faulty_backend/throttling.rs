//! Shards with little room.

use super::callers::{Crowd, record, send_all};
use super::judge::{assert_true, statuses};
use super::world::{Components, keeping};
use bindd::testing::{Faults, ShardRate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_for_a_shard_is_answered_429_with_a_time() {
    let backend = keeping(1).await;
    // So little that even a slow machine asks for more: 64 callers at once, room for 30 within the time of a request.
    backend.set(Faults { shard_rate: Some(ShardRate { records: 10, bytes: 1 << 20 }), ..Faults::default() });
    let fields = [("requestTimeout", "2s"), ("maxRecordsPerShardPerSecond", "10")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let crowd = Crowd { callers: 64, records: 6 };
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_true(&told, crowd.callers * crowd.records, &backend.stored());
    let statuses = statuses(&told);
    assert!(statuses.get(&429).is_some_and(|throttled| *throttled > 0), "{statuses:?}");
    assert!(statuses.get(&204).is_some_and(|stored| *stored >= 10), "{statuses:?}");
    let untold = told.iter().find(|one| one.status.is_some_and(|status| status == 429) && one.retry_after.is_none());
    assert!(untold.is_none(), "{untold:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_within_the_time_is_stored_at_the_rate_of_the_shards() {
    let backend = keeping(2).await;
    backend.set(Faults { shard_rate: Some(ShardRate { records: 500, bytes: 1 << 20 }), ..Faults::default() });
    let fields = [("maxRecordsPerShardPerSecond", "500")];
    let sidecar = Components::kinesis(&backend.url(), &fields).sidecar().await;
    let crowd = Crowd { callers: 64, records: 40 };
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 997)).await;
    sidecar.stop().await;
    assert_true(&told, crowd.callers * crowd.records, &backend.stored());
    let statuses = statuses(&told);
    assert_eq!(statuses.get(&204), Some(&(crowd.callers * crowd.records)), "{statuses:?}");
}
