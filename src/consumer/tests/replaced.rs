//! A stream that is deleted and created again while it is read, and a table that two streams share.

use super::super::{ConsumerError, StreamState};
use super::{Bench, shard};
use crate::domain::{InitialPosition, Lease, Timestamp};
use std::sync::Arc;
use std::time::Duration;

fn latest(stream_state: &Arc<StreamState>) -> super::ConsumerSettings {
    super::ConsumerSettings {
        initial_position: InitialPosition::Latest,
        stream_state: Arc::clone(stream_state),
        ..Bench::settings("a")
    }
}

/// The error of a worker that ended without a stop request.
macro_rules! error_of {
    ($worker:expr) => {
        $worker.next().await.unwrap().result.unwrap().unwrap_err()
    };
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_new_stream_is_delivered_until_the_old_rows_are_gone() {
    for shards in [1, 2, 3] {
        let bench = Bench::new(2);
        let stream_state = Arc::default();
        bench.put(4);
        let (_stop, mut worker) = bench.start(latest(&stream_state));
        bench.app.until_accepted(4).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        bench.stream.recreate(shards);
        bench.put_texts("new", 6);
        let error = error_of!(worker);
        assert!(matches!(error, ConsumerError::StreamReplaced { .. }), "{error}");
        assert_eq!(bench.accepted().len(), 4, "nothing of the new stream is delivered");
        assert_eq!(stream_state.refusal(), Some(error.to_string()));

        let (_stop, mut worker) = bench.start(latest(&stream_state));
        assert!(matches!(error_of!(worker), ConsumerError::StreamReplaced { .. }), "a restart alone changes nothing");
        assert_eq!(bench.accepted().len(), 4);

        bench.leases.leases().iter().for_each(|lease| bench.leases.delete(&lease.shard));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let (_stop, _worker) = bench.start(latest(&stream_state));
        bench.app.until_accepted(10).await;
        assert_eq!(stream_state.refusal(), None);
        assert_eq!(bench.accepted().iter().filter(|text| text.starts_with("new")).count(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_stream_belong_to_the_stream_that_was_read_before() {
    let bench = Bench::new(1);
    let stream_state = Arc::default();
    bench.leases.put(lease_without_stream());
    bench.put(2);
    let (stop, mut worker) = bench.start(latest(&stream_state));
    bench.app.until_accepted(2).await;
    stop.finish();
    worker.next().await.unwrap().result.unwrap().unwrap();
    let row = bench.leases.lease(&shard(0)).unwrap();
    let identity = bench.stream.identity();
    assert_eq!((row.stream, row.stream_created), (Some(identity.stream), identity.created), "written with the take");

    // As if an older version had written the row again.
    bench.leases.put(Lease { stream: None, stream_created: None, ..bench.leases.lease(&shard(0)).unwrap() });
    tokio::time::sleep(Duration::from_secs(5)).await;
    bench.stream.recreate(1);
    bench.put(3);
    let (_stop, mut worker) = bench.start(latest(&stream_state));
    assert!(matches!(error_of!(worker), ConsumerError::StreamReplaced { .. }));
    assert_eq!(bench.accepted().len(), 2);
}

fn lease_without_stream() -> Lease {
    super::lease(0, None, 0)
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_ends_the_worker_and_is_read_from_its_next_creation() {
    let bench = Bench::new(1);
    let stream_state = Arc::default();
    bench.put(1);
    let (_stop, mut worker) = bench.start(latest(&stream_state));
    bench.app.until_accepted(1).await;
    bench.stream.delete();
    let error = error_of!(worker);
    assert!(matches!(error, ConsumerError::Shards(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_created_after_the_first_start_is_read_from_its_creation() {
    let bench = Bench::new(1);
    let stream_state = Arc::default();
    bench.stream.delete();
    let (_stop, mut worker) = bench.start(latest(&stream_state));
    assert!(matches!(error_of!(worker), ConsumerError::Shards(_)));
    bench.stream.recreate(2);
    bench.put(3);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (_stop, _worker) = bench.start(latest(&stream_state));
    bench.app.until_accepted(3).await;
}

#[tokio::test(start_paused = true)]
async fn records_put_between_the_first_start_and_the_first_listing_are_delivered() {
    let bench = Bench::new(1);
    let stream_state = Arc::new(StreamState::default());
    tokio::time::sleep(Duration::from_secs(60)).await;
    stream_state.mark_started(tokio::time::Instant::now());
    bench.put(3);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let (_stop, _worker) = bench.start(latest(&stream_state));
    bench.app.until_accepted(3).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_stream_on_one_lease_table_is_refused() {
    let bench = Bench::new(1);
    bench.put(1);
    let identity = bench.stream.identity();
    // Created in the same second as the stream of this input, at an unknown time, or earlier.
    for stream_created in [identity.created, None, Some(Timestamp::from_millis(1))] {
        bench.leases.put(Lease { stream: Some("invoices".into()), stream_created, ..lease_without_stream() });
        let stream_state = Arc::default();
        let (_stop, mut worker) = bench.start(latest(&stream_state));
        let error = error_of!(worker);
        assert!(matches!(error, ConsumerError::OtherStream { .. }), "{error}");
        assert!(stream_state.refusal().is_some() && bench.app.calls().is_empty());
        let row = bench.leases.lease(&shard(0)).unwrap();
        assert_eq!((row.owner, row.stream.as_deref()), (None, Some("invoices")), "the row is left as it was");
    }
}
