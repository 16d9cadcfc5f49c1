//! One run: a model stream, a producer, many callers, and a stop, often in the midst of it all.

use super::caller::Caller;
use super::judge::{Judge, Tally};
use super::ledger::{End, Ledger};
use super::plan::Plan;
use bindd::domain::{FailureKind, Outcome, RecordWriter, ShardDirectory};
use bindd::producer::{Ports, Producer, PutOptions};
use bindd::tasks::Supervisor;
use bindd::telemetry::Metrics;
use bindd::testing::ModelSink;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// After a stop everybody is answered: the longest patience of a caller, and a little.
const LONGEST_STOP: Duration = Duration::from_secs(70);

pub(crate) async fn run(seed: u64) -> Result<Tally, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let plan = Arc::new(Plan::draw(&mut random));
    let (sink, ledger, metrics) = (ModelSink::new(plan.sink), Ledger::default(), Metrics::new());
    let writer: Arc<dyn RecordWriter> = Arc::new(sink.clone());
    let directory = plan.has_directory.then(|| -> Arc<dyn ShardDirectory> { Arc::new(sink.clone()) });
    let ports = Ports { writer, directory, metrics: metrics.output("orders") };
    let producer = Arc::new(Producer::start(plan.producer.clone(), ports));
    let mut tasks = Supervisor::new();
    for number in 0..plan.callers {
        let caller = Caller {
            number,
            plan: Arc::clone(&plan),
            producer: Arc::clone(&producer),
            ledger: ledger.clone(),
            random: random.fork(),
        };
        tasks.spawn(format!("caller {number}"), caller.run());
    }
    let mut trouble = Supervisor::new();
    if let Some(every) = plan.resharding {
        trouble.spawn("resharding", reshard(sink.clone(), every, random.fork()));
    }
    let mut closed_at = None;
    match plan.closes_after {
        Some(after) => {
            tokio::time::sleep(after).await;
            closed_at = Some(Instant::now());
            close(&producer).await?;
            join(&mut tasks).await?;
        }
        None => {
            join(&mut tasks).await?;
            close(&producer).await?;
        }
    }
    after_the_end(&producer, &ledger).await?;
    trouble.abort_and_join().await;
    let page = metrics.page().map_err(|error| error.to_string())?;
    Judge { plan, sink, ledger, page, closed_at }.judge()
}

async fn close(producer: &Producer) -> Result<(), String> {
    let limit = tokio::time::timeout(LONGEST_STOP, producer.close()).await;
    limit.map_err(|_| format!("the producer was not closed after {LONGEST_STOP:?}"))
}

async fn join(tasks: &mut Supervisor<()>) -> Result<(), String> {
    while let Some(ended) = tasks.next().await {
        ended.result.map_err(|failure| format!("{}: {failure}", ended.name))?;
    }
    Ok(())
}

async fn reshard(sink: ModelSink, every: Duration, mut random: fastrand::Rng) {
    loop {
        tokio::time::sleep(every.mul_f64(random.f64() + 0.1)).await;
        sink.reshard();
    }
}

/// Whoever comes after the stop is sent away.
async fn after_the_end(producer: &Producer, ledger: &Ledger) -> Result<(), String> {
    let Some(entry) = ledger.entries().into_iter().find(|entry| matches!(entry.end, End::Answered { .. })) else {
        return Ok(());
    };
    let deadline = Instant::now() + Duration::from_secs(1);
    let options = PutOptions { deadline, after: None, fail_if_throttled: false };
    let mut record = entry.record;
    record.data = b"record:18446744073709551615:".as_slice().into();
    match producer.put(record, options).await {
        Err(error) if error.kind() == FailureKind::Closed && error.outcome() == Outcome::NotDone => Ok(()),
        other => Err(format!("after the stop a record was answered with {other:?}")),
    }
}
