//! A load above the rate limit of the shards: the limit is used up, and admitted records are stored.

use bindd::domain::{BindingError, NewRecord, Outcome, PartitionKey};
use bindd::producer::{Ports, Producer, ProducerSettings, PutOptions, Written};
use bindd::tasks::Supervisor;
use bindd::telemetry::Metrics;
use bindd::testing::{ModelSink, SinkFaults, SinkSettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SHARDS: u32 = 4;
/// Records a second for each shard: a tenth of the limit in AWS, so that the test is fast.
const RATE: u32 = 100;
const TIMEOUT: Duration = Duration::from_secs(1);
/// Until the initial bursts of shards and limiter are used up.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(20);

type CallResult = (Instant, Result<Written, BindingError>);

/// The results of the calls in the measured time.
#[derive(Debug, Default)]
struct Totals {
    stored: u32,
    rejected: u32,
    failed: u32,
    ambiguous: u32,
}

async fn offer(times: u32) -> (Totals, f64) {
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
    let (mut callers, mut totals) = (Supervisor::<CallResult>::new(), Totals::default());
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
        callers.spawn("caller", async move { (due, producer.put(record(key), options(due)).await) });
        while let Some(Some(ended)) = futures_util::FutureExt::now_or_never(callers.next()) {
            totals.count(ended.result.unwrap(), from);
        }
    }
    while let Some(ended) = callers.next().await {
        totals.count(ended.result.unwrap(), from);
    }
    producer.close().await;
    let goodput = sink.stored().iter().filter(|stored| (from..until).contains(&stored.at)).count();
    (totals, goodput as f64 / (f64::from(SHARDS * RATE) * MEASURED.as_secs_f64()))
}

fn record(key: u64) -> NewRecord {
    let partition_key: PartitionKey = key.to_string().parse().unwrap();
    NewRecord { data: "x".into(), partition_key: Some(partition_key), explicit_hash_key: None }
}

fn options(now: Instant) -> PutOptions {
    PutOptions::until(now + TIMEOUT)
}

impl Totals {
    fn count(&mut self, (due, result): CallResult, from: Instant) {
        if due < from {
            return;
        }
        match result {
            Ok(_) => self.stored += 1,
            Err(error) if error.outcome() == Outcome::Unknown => self.ambiguous += 1,
            Err(error) if error.details().iter().any(|(key, _)| *key == "attempts") => self.failed += 1,
            Err(_) => self.rejected += 1,
        }
    }
}

fn assert_goodput(times: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (totals, goodput) = runtime.block_on(offer(times));
    assert!(goodput >= 0.95, "{:.1} % of the rate limit was stored: {totals:?}", goodput * 100.0);
    assert!(totals.ambiguous + totals.failed <= totals.stored / 100, "admitted records are stored: {totals:?}");
    assert!(totals.rejected >= totals.stored * (times - 1) / 2, "the other records are rejected: {totals:?}");
}

#[test]
fn at_twice_the_rate_limit_the_limit_is_used_up() {
    assert_goodput(2);
}

#[test]
fn at_ten_times_the_rate_limit_the_limit_is_used_up() {
    assert_goodput(10);
}
