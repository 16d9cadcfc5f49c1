//! A stream that distributes its records itself has no order by partition key.

use super::super::{ConsumerError, ConsumerSettings, DeliverySettings, Order, StreamState};
use super::{Bench, shard};
use crate::domain::RecordDistribution;
use std::sync::Arc;
use std::time::Duration;

fn settings(order: Order, stream_state: &Arc<StreamState>) -> ConsumerSettings {
    let delivery = DeliverySettings { order, ..DeliverySettings::default() };
    ConsumerSettings { delivery, stream_state: Arc::clone(stream_state), ..Bench::settings("a") }
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_order_by_key_is_read_only_with_another_order() {
    for order in [Order::Key, Order::Shard, Order::None] {
        let bench = Bench::new(1);
        let stream_state = Arc::default();
        bench.put(2);
        bench.stream.set_distribution(RecordDistribution::Auto);
        let (_stop, mut worker) = bench.start(settings(order, &stream_state));
        if order != Order::Key {
            bench.app.until_accepted(2).await;
            assert_eq!(stream_state.refusal(), None);
            continue;
        }
        let error = worker.next().await.unwrap().result.unwrap().unwrap_err();
        assert!(matches!(error, ConsumerError::NoKeyOrder { .. }), "{error}");
        assert_eq!(stream_state.refusal(), Some(error.to_string()));
        assert!(bench.app.calls().is_empty() && bench.leases.lease(&shard(0)).is_none(), "nothing was begun");

        bench.stream.set_distribution(RecordDistribution::ByPartitionKey);
        let (_stop, _worker) = bench.start(settings(order, &stream_state));
        bench.app.until_accepted(2).await;
        assert_eq!(stream_state.refusal(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_changes_while_it_is_read_stops_the_input_and_releases_its_shards() {
    let bench = Bench::new(1);
    let stream_state = Arc::default();
    bench.put(1);
    let (_stop, mut worker) = bench.start(settings(Order::Key, &stream_state));
    bench.app.until_accepted(1).await;
    bench.stream.set_distribution(RecordDistribution::Auto);
    let ended = tokio::time::timeout(Duration::from_secs(700), worker.next()).await.unwrap();
    let error = ended.unwrap().result.unwrap().unwrap_err();
    assert!(matches!(error, ConsumerError::NoKeyOrder { .. }), "{error}");
    assert_eq!(bench.leases.lease(&shard(0)).unwrap().owner, None);
    assert!(stream_state.refusal().is_some());
}
