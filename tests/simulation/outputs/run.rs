//! One run: a model stream, a producer and many callers. The producer is often closed while the callers are sending.

use super::caller::Caller;
use super::invariants::{Checker, Coverage};
use super::ledger::{Ledger, RecordState};
use super::plan::Plan;
use bindd::domain::{FailureKind, Outcome, RecordWriter, ShardDirectory};
use bindd::producer::{Ports, Producer, PutOptions};
use bindd::tasks::Supervisor;
use bindd::telemetry::Metrics;
use bindd::testing::ModelSink;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long closing may take: the longest timeout of a caller, and a margin.
const MAX_CLOSE_TIME: Duration = Duration::from_secs(70);

pub(crate) async fn run(seed: u64) -> Result<Coverage, String> {
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
    let mut resharding = Supervisor::new();
    if let Some(every) = plan.resharding {
        resharding.spawn("resharding", reshard(sink.clone(), every, random.fork()));
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
    put_after_close(&producer, &ledger).await?;
    resharding.abort_and_join().await;
    let page = metrics.page().map_err(|error| error.to_string())?;
    Checker { plan, sink, ledger, page, closed_at }.check()
}

async fn close(producer: &Producer) -> Result<(), String> {
    let limit = tokio::time::timeout(MAX_CLOSE_TIME, producer.close()).await;
    limit.map_err(|_| format!("the producer was not closed after {MAX_CLOSE_TIME:?}"))
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

/// A record after the close is rejected.
async fn put_after_close(producer: &Producer, ledger: &Ledger) -> Result<(), String> {
    let Some(entry) = ledger.entries().into_iter().find(|entry| matches!(entry.state, RecordState::Completed { .. }))
    else {
        return Ok(());
    };
    let options = PutOptions::until(Instant::now() + Duration::from_secs(1));
    let mut record = entry.record;
    record.data = b"record:18446744073709551615:".as_slice().into();
    match producer.put(record, options).await {
        Err(error) if error.kind() == FailureKind::Closed && error.outcome() == Outcome::NotDone => Ok(()),
        other => Err(format!("after the close a record got {other:?}")),
    }
}
