use super::*;
use crate::domain::{BoxError, RecordPosition};
use crate::resilience::Backoff;
use crate::telemetry::Metrics;
use async_trait::async_trait;
use std::sync::Mutex;

const BACKOFF: Backoff = Backoff::millis(100, 30_000);
const SEED: u64 = 7;

/// How the app treats one delivery.
#[derive(Debug, Clone, Copy)]
enum Act {
    Accept,
    Refuse(Option<Duration>),
    Down,
    /// An idle connection turned out to be closed.
    IdleClosed,
    /// The connection broke during the call.
    Broken,
}

/// Follows a script, then accepts. Records attempt and time of each delivery.
#[derive(Debug)]
struct App {
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<(u32, Instant)>>,
}

#[async_trait]
impl EventHandler for App {
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        self.seen.lock().unwrap().push((batch.events[0].attempt, Instant::now()));
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::Accept);
        let target = "POST /orders".to_owned();
        let source = || BoxError::from("gone");
        Err(match act {
            Act::Accept => return Ok(Accepted::All),
            Act::Refuse(retry_after) => {
                DeliveryError::Refused { status: 503, target, retry_after, location: None, excerpt: None }
            }
            Act::Down => DeliveryError::Unreachable { address: "127.0.0.1:1".to_owned(), source: source() },
            Act::IdleClosed => DeliveryError::Unanswered { target, was_idle: true, source: source() },
            Act::Broken => DeliveryError::Unanswered { target, was_idle: false, source: source() },
        })
    }
}

/// Delivers one record. Returns the attempts, the pauses between them, and the value of the retry counter.
async fn delivered(acts: impl IntoIterator<Item = Act>) -> (Vec<u32>, Vec<Duration>, u64) {
    let app = Arc::new(App { acts: Mutex::new(acts.into_iter().collect()), seen: Mutex::default() });
    let metrics = Metrics::new();
    let to = Destination {
        handler: app.clone(),
        binding: "orders".parse().unwrap(),
        stream: "orders".into(),
        shard: ShardId::new("shardId-000000000000"),
        epoch: LeaseCounter::new(1),
    };
    let fence = Instant::now() + Duration::from_secs(1_000_000);
    let mut delivery = Delivery::new(to, InputLag::new(metrics.input("orders")), BACKOFF.waits(SEED), fence);
    let position = RecordPosition::plain("1".parse().unwrap());
    let record = Record { position: position.clone(), partition_key: String::new(), data: "a".into(), arrival: None };
    delivery.push(vec![record]);
    assert!(matches!(delivery.next().await, Event::Accepted(accepted) if accepted == position));
    let seen = app.seen.lock().unwrap();
    let pauses = seen.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    (seen.iter().map(|(attempt, _)| *attempt).collect(), pauses, retried(&metrics))
}

fn retried(metrics: &Metrics) -> u64 {
    let page = metrics.page().unwrap();
    let line = page.lines().find(|line| line.starts_with("bindd_input_records_retried_total{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_record_that_failed_on_a_closed_idle_connection_is_sent_again_at_once_and_counted() {
    let (attempts, pauses, retried) = delivered([Act::IdleClosed]).await;
    assert_eq!((attempts, pauses, retried), (vec![1, 2], vec![Duration::ZERO], 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_sent_again_at_once_only_once_in_a_row() {
    let (attempts, pauses, retried) = delivered([Act::IdleClosed; 4]).await;
    assert_eq!((attempts, retried), (vec![1, 2, 3, 4, 5], 4));
    let at_once: Vec<bool> = pauses.iter().map(Duration::is_zero).collect();
    assert_eq!(at_once, [true, false, true, false]);
    let (_, pauses, _) = delivered([Act::Broken, Act::IdleClosed]).await;
    assert!(!pauses[0].is_zero() && pauses[1].is_zero(), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_makes_pauses_longer_but_never_shorter() {
    let (_, without, _) = delivered([Act::Refuse(None); 12]).await;
    for tiny in [Duration::ZERO, Duration::from_nanos(1)] {
        let (_, with, _) = delivered([Act::Refuse(Some(tiny)); 12]).await;
        assert_eq!(with, without);
    }
    assert!(without.iter().any(|pause| *pause > Duration::from_secs(10)), "pauses grow: {without:?}");
    let requested = Duration::from_secs(42);
    let (_, with, _) = delivered([Act::Refuse(Some(requested)); 3]).await;
    assert!(with.iter().all(|pause| *pause >= requested), "{with:?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_down_is_called_often_and_one_that_breaks_connections_is_not() {
    let (_, pauses, _) = delivered([Act::Down; 20]).await;
    assert!(pauses.iter().all(|pause| *pause <= MAX_PAUSE_WHILE_DOWN), "{pauses:?}");
    let (attempts, pauses, retried) = delivered([Act::Broken; 20]).await;
    assert!(pauses.iter().any(|pause| *pause > MAX_PAUSE_WHILE_DOWN), "{pauses:?}");
    assert_eq!((attempts.last(), retried), (Some(&21), 20));
}
