//! Records that a filter leaves out: they count as accepted, and take no place.

use super::{Bench, ConsumerSettings, shard};
use crate::consumer::{DeliverySettings, RecordShaping};
use crate::domain::{Checkpoint, Record, RecordFilter};
use crate::testing::{Put, Reply};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

#[derive(Debug)]
struct WithoutNoise;

#[async_trait]
impl RecordFilter for WithoutNoise {
    async fn mark(&self, records: &mut [Record], _: usize) {
        for record in records {
            record.is_filtered = record.data.starts_with(b"noise");
        }
    }
}

fn settings(name: &str) -> ConsumerSettings {
    let shaping = RecordShaping { filter: Some(Arc::new(WithoutNoise)), ..RecordShaping::default() };
    ConsumerSettings { shaping, ..Bench::settings(name) }
}

fn noise(bench: &Bench, count: usize) -> Put {
    let puts: Vec<Put> = (0..count).map(|number| bench.stream.put("key", format!("noise-{number}")).unwrap()).collect();
    puts.into_iter().next_back().unwrap()
}

async fn until_stored(bench: &Bench, put: &Put) {
    let expected = Checkpoint::After(put.position.clone());
    while bench.leases.lease(&put.shard).is_none_or(|lease| lease.checkpoint != expected) {
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_of_only_filtered_records_moves_its_checkpoint_and_calls_no_app() {
    let bench = Bench::new(1);
    let last = noise(&bench, 30);
    let (stop, mut worker) = bench.start(settings("a"));
    until_stored(&bench, &last).await;
    stop.finish();
    worker.next().await.unwrap().result.unwrap().unwrap();
    assert!(bench.app.calls().is_empty());
    // Without the filter they would be delivered now, if they were read again.
    bench.put(1);
    bench.accept_and_stop("b", 1).await;
    assert_eq!(bench.accepted(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn filtered_records_behind_one_that_fails_take_no_place_and_are_passed_with_it() {
    let bench = Bench::new(1);
    bench.app.always(Reply::Refuse(500, None));
    bench.put(1);
    noise(&bench, 200);
    bench.put_texts("late", 1);
    let last = noise(&bench, 200);
    let delivery = DeliverySettings { max_in_flight_records: 2, ..DeliverySettings::default() };
    let (_stop, _worker) = bench.start(ConsumerSettings { delivery, ..settings("a") });
    // It is behind more records than may be in flight.
    while !bench.app.calls().iter().any(|call| &call.data[..] == b"late-0") {
        sleep(Duration::from_millis(100)).await;
    }
    bench.app.always(Reply::Accept(Duration::ZERO));
    until_stored(&bench, &last).await;
    assert_eq!(bench.app.accepted().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shard_of_only_filtered_records_ends_and_its_children_are_read() {
    let bench = Bench::new(1);
    noise(&bench, 20);
    let children = bench.stream.split(&shard(0)).unwrap();
    bench.put_texts("child", 20);
    let (_stop, _worker) = bench.start(settings("a"));
    bench.app.until_accepted(20).await;
    assert!(bench.leases.lease(&shard(0)).is_none_or(|lease| lease.checkpoint == Checkpoint::Ended));
    assert!(children.iter().all(|child| bench.leases.lease(child).is_some()));
    assert_eq!(bench.app.calls().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_filtered_records_are_read_again_and_filtered_again() {
    let bench = Bench::new(1);
    let last = noise(&bench, 50);
    let (_stop, crashed) = bench.start(settings("a"));
    sleep(Duration::from_millis(500)).await;
    drop(crashed);
    let (_stop, _worker) = bench.start(settings("b"));
    until_stored(&bench, &last).await;
    assert!(bench.app.calls().is_empty());
}
