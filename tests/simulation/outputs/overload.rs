//! More than the shards take, for a while: what they take is used, and who is let in is served.

use bindd::domain::{BindingError, NewRecord, Outcome, PartitionKey};
use bindd::producer::{Ports, Producer, ProducerSettings, PutOptions, Written};
use bindd::tasks::Supervisor;
use bindd::telemetry::Metrics;
use bindd::testing::{ModelSink, SinkFaults, SinkSettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SHARDS: u32 = 4;
/// What a shard takes in a second: a tenth of what AWS gives, so that the test is quick.
const RATE: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(1);
/// Until the bursts are used up that shard and limiter begin with.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(20);

type Answer = (Instant, Result<Written, BindingError>);

/// What the callers of the measured time were told.
#[derive(Debug, Default)]
struct Told {
    stored: u32,
    refused: u32,
    failed: u32,
    ambiguous: u32,
}

async fn offer(times: u32) -> (Told, f64) {
    let sink = ModelSink::new(SinkSettings {
        shards: SHARDS,
        records_per_second: RATE,
        bytes_per_second: 1 << 20,
        max_record_size: 1 << 20,
        max_call_size: 10 << 20,
        may_list: true,
        may_batch: true,
        faults: SinkFaults { max_latency: Duration::from_millis(30), ..SinkFaults::default() },
        seed: 7,
    });
    let mut settings = ProducerSettings::default();
    settings.rate_limit.records_per_second = RATE;
    let ports = Ports {
        writer: Arc::new(sink.clone()),
        directory: Some(Arc::new(sink.clone())),
        metrics: Metrics::new().output("orders"),
    };
    let producer = Arc::new(Producer::start(settings, ports));
    let (mut callers, mut told) = (Supervisor::<Answer>::new(), Told::default());
    let began = Instant::now();
    let (from, until) = (began + WARM_UP, began + WARM_UP + MEASURED);
    let pause = Duration::from_secs(1) / (SHARDS * RATE * times);
    let mut random = fastrand::Rng::with_seed(11);
    for turn in 0.. {
        let due = began + pause * turn;
        if due >= until {
            break;
        }
        tokio::time::sleep_until(due).await;
        let (producer, key) = (Arc::clone(&producer), random.u64(..));
        callers.spawn("caller", async move { (due, producer.put(record(key), patient(due)).await) });
        while let Some(Some(ended)) = futures_util::FutureExt::now_or_never(callers.next()) {
            told.count(ended.result.unwrap(), from);
        }
    }
    while let Some(ended) = callers.next().await {
        told.count(ended.result.unwrap(), from);
    }
    producer.close().await;
    let goodput = sink.stored().iter().filter(|stored| (from..until).contains(&stored.at)).count();
    (told, goodput as f64 / (f64::from(SHARDS * RATE) * MEASURED.as_secs_f64()))
}

fn record(key: u64) -> NewRecord {
    let partition_key: PartitionKey = key.to_string().parse().unwrap();
    NewRecord { data: "x".into(), partition_key: Some(partition_key), explicit_hash_key: None }
}

fn patient(now: Instant) -> PutOptions {
    PutOptions { deadline: now + PATIENCE, after: None, fail_if_throttled: false }
}

impl Told {
    fn count(&mut self, (due, answer): Answer, from: Instant) {
        if due < from {
            return;
        }
        match answer {
            Ok(_) => self.stored += 1,
            Err(error) if error.outcome() == Outcome::Unknown => self.ambiguous += 1,
            Err(error) if error.details().iter().any(|(key, _)| *key == "attempts") => self.failed += 1,
            Err(_) => self.refused += 1,
        }
    }
}

fn runs(times: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (told, goodput) = runtime.block_on(offer(times));
    assert!(goodput >= 0.95, "{:.1} % of what the shards take was stored: {told:?}", goodput * 100.0);
    assert!(told.ambiguous + told.failed <= told.stored / 100, "who is let in is served: {told:?}");
    assert!(told.refused >= told.stored * (times - 1) / 2, "the others are turned away: {told:?}");
}

#[test]
fn at_twice_what_the_shards_take_they_are_used() {
    runs(2);
}

#[test]
fn at_ten_times_what_the_shards_take_they_are_used() {
    runs(10);
}
