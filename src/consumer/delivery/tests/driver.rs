use super::*;
use crate::consumer::budget::MemoryBudget;
use crate::consumer::settings::{OnPoison, Partial};
use crate::domain::{BindingEvent, DeadLetter, GiveUpReason};
use crate::domain::{BoxError, FailureKind, RecordPosition, Timestamp};
use crate::telemetry::Metrics;
use async_trait::async_trait;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// How the app treats one request.
#[derive(Debug, Clone)]
enum Act {
    Accept,
    /// Accepts after this time.
    Slow(Duration),
    Refuse(u16, Option<Duration>),
    /// Accepts all records but those of this text.
    RefuseBatchesWith(&'static str),
    Partly(Vec<usize>),
    Down,
    /// An idle connection turned out to be closed.
    IdleClosed,
    /// The connection broke during the call.
    Broken,
    Hang,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    at: Duration,
    keys: String,
    texts: Vec<String>,
    attempts: Vec<u32>,
}

/// Follows a script, then does the same for ever.
#[derive(Debug)]
struct App {
    begun: Instant,
    acts: Mutex<VecDeque<Act>>,
    otherwise: Act,
    seen: Mutex<Vec<Seen>>,
    running: Mutex<BTreeMap<String, u32>>,
}

fn refused(status: u16, retry_after: Option<Duration>) -> DeliveryError {
    DeliveryError::Refused { status, target: "POST /orders".to_owned(), retry_after, location: None, excerpt: None }
}

#[async_trait]
impl EventHandler for App {
    async fn is_reachable(&self) -> bool {
        true
    }

    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let events = &batch.events;
        let text = |event: &BindingEvent| String::from_utf8(event.data.to_vec()).unwrap();
        let keys: Vec<String> = events.iter().map(|event| event.origin.partition_key.clone()).collect();
        let texts: Vec<String> = events.iter().map(text).collect();
        self.seen.lock().unwrap().push(Seen {
            at: self.begun.elapsed(),
            keys: keys.concat(),
            texts: texts.clone(),
            attempts: events.iter().map(|event| event.attempt).collect(),
        });
        let keys: std::collections::BTreeSet<String> = keys.into_iter().collect();
        for key in &keys {
            let mut running = self.running.lock().unwrap();
            let count = running.entry(key.clone()).or_insert(0);
            *count += 1;
            assert_eq!(*count, 1, "key {key} overlaps");
        }
        let act = self.acts.lock().unwrap().pop_front().unwrap_or_else(|| self.otherwise.clone());
        match act {
            Act::Slow(time) => tokio::time::sleep(time).await,
            Act::Hang => std::future::pending().await,
            _ => tokio::task::yield_now().await,
        }
        keys.iter().for_each(|key| *self.running.lock().unwrap().get_mut(key).unwrap() -= 1);
        let target = "POST /orders".to_owned();
        Err(match act {
            Act::Accept | Act::Slow(_) | Act::Hang => return Ok(Accepted::All),
            Act::Partly(failed) => return Ok(Accepted::Except(failed)),
            Act::RefuseBatchesWith(bad) if texts.iter().any(|text| text == bad) => refused(500, None),
            Act::RefuseBatchesWith(_) => return Ok(Accepted::All),
            Act::Refuse(status, retry_after) => refused(status, retry_after),
            Act::Down => {
                DeliveryError::Unreachable { address: "127.0.0.1:1".to_owned(), source: BoxError::from("gone") }
            }
            Act::IdleClosed => DeliveryError::Unanswered { target, was_idle: true, source: "gone".into() },
            Act::Broken => DeliveryError::Unanswered { target, was_idle: false, source: "gone".into() },
        })
    }
}

#[derive(Debug, Default)]
struct Letters {
    failures: Mutex<u32>,
    stored: Mutex<Vec<DeadLetter>>,
}

#[async_trait]
impl DeadLetterStore for Letters {
    async fn store(&self, letter: &DeadLetter) -> Result<(), BindingError> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(BindingError::new(FailureKind::Transient, "no space"));
        }
        self.stored.lock().unwrap().push(letter.clone());
        Ok(())
    }
}

struct Bench {
    app: Arc<App>,
    letters: Arc<Letters>,
    metrics: Metrics,
    fence: Fence,
    delivery: Delivery,
    pushed: u64,
}

impl Bench {
    fn new(settings: DeliverySettings, acts: impl IntoIterator<Item = Act>, otherwise: Act) -> Self {
        Self::with_letters(settings, acts, otherwise, true)
    }

    fn with_letters(
        settings: DeliverySettings,
        acts: impl IntoIterator<Item = Act>,
        otherwise: Act,
        has_letters: bool,
    ) -> Self {
        let begun = Instant::now();
        let app = Arc::new(App {
            begun,
            acts: Mutex::new(acts.into_iter().collect()),
            otherwise,
            seen: Mutex::default(),
            running: Mutex::default(),
        });
        let (letters, metrics) = (Arc::new(Letters::default()), Metrics::new());
        let fence = Fence::new(begun, begun + Duration::from_secs(1_000_000));
        let to = Destination {
            handler: app.clone(),
            dead_letters: has_letters.then(|| -> Arc<dyn DeadLetterStore> { letters.clone() }),
            binding: "orders".parse().unwrap(),
            stream: "orders".into(),
            shard: ShardId::new("shardId-000000000000"),
            epoch: LeaseCounter::new(1),
        };
        let bounds = Bounds {
            budget: ShardBudget::new(Arc::new(MemoryBudget::new(1 << 20)), 1 << 20),
            clock: WallClock::new(move || {
                Timestamp::from_millis(i64::try_from(begun.elapsed().as_millis()).unwrap() + 1_000_000)
            }),
            gate: Arc::new(AppGate::new(1_000, 7)),
            input_slots: Arc::new(Semaphore::new(settings.concurrency)),
            settings: Arc::new(settings),
            fence: fence.clone(),
            seed: 7,
        };
        let delivery = Delivery::new(to, bounds, metrics.input("orders"));
        Self { app, letters, metrics, fence, delivery, pushed: 0 }
    }

    /// One record for each letter, which is its key; the texts are `key` and the index.
    fn push(&mut self, keys: &str) {
        let record = |(index, key): (u64, char)| Record {
            position: RecordPosition::plain(index.to_string().parse().unwrap()),
            partition_key: key.to_string(),
            data: format!("{key}{index}").into(),
            arrival: Some(Timestamp::from_millis(1_000_000)),
        };
        let records: Vec<Record> = (self.pushed..).zip(keys.chars()).map(record).collect();
        let bytes = records.iter().map(Record::size).sum();
        self.delivery.budget().keep(None, bytes);
        let first = self.pushed;
        self.pushed += records.len() as u64;
        self.delivery.push(first, records, None);
    }

    async fn done(&mut self, count: usize) -> Vec<u64> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.delivery.next().await {
                Delivered::Done(done) => all.extend(done),
                Delivered::Drained => panic!("drained after {all:?}"),
            }
        }
        all
    }

    /// What is done within a long time, in which nothing else may be done.
    async fn done_at_most(&mut self) -> Vec<u64> {
        let mut all = Vec::new();
        let until = Instant::now() + Duration::from_secs(10_000);
        while let Ok(Delivered::Done(done)) = tokio::time::timeout_at(until, self.delivery.next()).await {
            all.extend(done);
        }
        all
    }

    fn seen(&self) -> Vec<Seen> {
        self.app.seen.lock().unwrap().clone()
    }

    fn keys(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.keys).collect()
    }

    fn pauses(&self) -> Vec<Duration> {
        self.seen().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    }

    fn counter(&self, name: &str) -> u64 {
        let page = self.metrics.page().unwrap();
        let line = page.lines().find(|line| line.starts_with(&format!("bindd_input_{name}_total{{"))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn settings() -> DeliverySettings {
    DeliverySettings::default()
}

/// Delivers one record. Returns the attempts and the pauses between them.
async fn delivered(acts: impl IntoIterator<Item = Act>) -> (Vec<u32>, Vec<Duration>) {
    let mut bench = Bench::new(settings(), acts, Act::Accept);
    bench.push("a");
    assert_eq!(bench.done(1).await, [0]);
    (bench.seen().iter().map(|seen| seen.attempts[0]).collect(), bench.pauses())
}

#[tokio::test(start_paused = true)]
async fn a_record_that_failed_on_a_closed_idle_connection_is_sent_again_at_once_but_once_in_a_row() {
    let (attempts, pauses) = delivered(vec![Act::IdleClosed; 4]).await;
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
    let at_once: Vec<bool> = pauses.iter().map(Duration::is_zero).collect();
    assert_eq!(at_once, [true, false, true, false]);
    let (_, pauses) = delivered([Act::Broken, Act::IdleClosed]).await;
    assert!(!pauses[0].is_zero() && pauses[1].is_zero(), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_makes_pauses_longer_but_never_shorter() {
    let (_, without) = delivered(vec![Act::Refuse(503, None); 12]).await;
    let (_, with) = delivered(vec![Act::Refuse(503, Some(Duration::ZERO)); 12]).await;
    assert_eq!(with, without);
    assert!(without.iter().any(|pause| *pause > Duration::from_secs(10)), "pauses grow: {without:?}");
    let requested = Duration::from_secs(42);
    let (_, with) = delivered(vec![Act::Refuse(503, Some(requested)); 3]).await;
    assert!(with.iter().all(|pause| *pause >= requested), "{with:?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_down_is_called_often_by_one_request_and_costs_no_attempts() {
    let settings = DeliverySettings { max_attempts: Some(2), ..settings() };
    let mut bench = Bench::new(settings, vec![Act::Down; 30], Act::Accept);
    bench.push("abcdefgh");
    assert_eq!(bench.done(8).await.len(), 8);
    assert!(bench.letters.stored.lock().unwrap().is_empty());
    let pauses = bench.pauses();
    let probes: Vec<Duration> = pauses.into_iter().filter(|pause| !pause.is_zero()).collect();
    assert!(probes.len() >= 20 && probes.iter().all(|pause| *pause <= Duration::from_secs(2)), "{probes:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_delivered_in_parallel_up_to_the_limit() {
    let settings = DeliverySettings { concurrency_per_shard: 3, ..settings() };
    let mut bench = Bench::new(settings, [], Act::Slow(Duration::from_secs(1)));
    bench.push("abcdaaaa");
    assert_eq!(bench.done(8).await.len(), 8);
    let at: Vec<u64> = bench.seen().iter().map(|seen| seen.at.as_secs()).collect();
    assert_eq!((bench.keys().concat().as_str(), at), ("abcdaaaa", vec![0, 0, 0, 1, 1, 2, 3, 4]));
    assert_eq!(bench.delivery.budget().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_waits_with_its_followers_and_the_others_go_on() {
    let mut bench = Bench::new(settings(), [], Act::RefuseBatchesWith("a0"));
    bench.push("abaab");
    assert_eq!(bench.done(2).await, [1, 4]);
    assert_eq!(bench.delivery.parked(), 1);
    assert!(bench.done_at_most().await.is_empty());
    assert!(bench.seen().iter().all(|seen| seen.texts != ["a2"]));
    assert!(bench.counter("records_retried") > 300, "retried every half a minute");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_given_up_after_its_attempts_and_its_followers_go_on_after_the_dead_letter() {
    let settings = DeliverySettings { max_attempts: Some(3), ..settings() };
    let mut bench = Bench::new(settings, [], Act::RefuseBatchesWith("a0"));
    *bench.letters.failures.lock().unwrap() = 5;
    bench.push("aab");
    assert_eq!(bench.done(3).await, [2, 0, 1]);
    assert_eq!(bench.keys().concat(), "abaaa");
    let letters = bench.letters.stored.lock().unwrap();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.reason, letter.event.attempt, letter.status), (GiveUpReason::Attempts, 3, Some(500)));
    assert_eq!(&letter.event.data[..], b"a0");
    assert!(letter.first_attempt < letter.last_attempt);
    assert!(letter.error.as_ref().unwrap().contains("500"));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_refusal_and_a_record_that_is_too_old_are_given_up_at_once() {
    let settings =
        DeliverySettings { permanent_statuses: vec![422], max_record_age: Some(Duration::from_secs(60)), ..settings() };
    let mut bench = Bench::new(settings, [Act::Refuse(422, None)], Act::Refuse(500, None));
    bench.push("ab");
    assert_eq!(bench.done(2).await, [0, 1]);
    let letters = bench.letters.stored.lock().unwrap();
    let reasons: Vec<GiveUpReason> = letters.iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, [GiveUpReason::PermanentStatus, GiveUpReason::Age]);
}

#[tokio::test(start_paused = true)]
async fn without_a_destination_the_key_the_shard_or_nothing_halts() {
    for (on_poison, expected) in
        [(OnPoison::HaltKey, vec![1, 3, 4]), (OnPoison::HaltShard, vec![1, 3]), (OnPoison::Drop, vec![1, 0, 2, 3, 4])]
    {
        let settings = DeliverySettings { max_attempts: Some(1), on_poison, concurrency_per_shard: 2, ..settings() };
        let mut bench = Bench::with_letters(settings, [], Act::RefuseBatchesWith("a0"), false);
        bench.push("abab");
        let mut done = bench.done(1).await;
        bench.push("b");
        done.extend(bench.done_at_most().await);
        done.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(done, expected, "{on_poison:?}");
        assert_eq!(bench.counter("records_dropped"), u64::from(on_poison == OnPoison::Drop));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_halved_until_the_record_that_fails_is_alone() {
    let settings = DeliverySettings { batch_size: 8, bisect_on_error: true, max_attempts: Some(1), ..settings() };
    let mut bench = Bench::new(settings, [], Act::RefuseBatchesWith("f5"));
    bench.push("abcdefgh");
    let mut done = bench.done(8).await;
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3, 4, 5, 6, 7]);
    let sizes: Vec<usize> = bench.seen().iter().map(|seen| seen.texts.len()).collect();
    assert_eq!(sizes.iter().filter(|size| **size == 8).count(), 1, "{sizes:?}");
    assert_eq!(bench.letters.stored.lock().unwrap().len(), 1, "halving costs no attempts");
}

#[tokio::test(start_paused = true)]
async fn a_partly_accepted_batch_repeats_from_the_lowest_or_exactly_what_failed() {
    for (partial, done_first, repeated) in
        [(Partial::Lowest, vec![0], vec!["b1", "c2", "b3", "d4"]), (Partial::Exact, vec![0, 2, 4], vec!["b1", "b3"])]
    {
        let settings = DeliverySettings { batch_size: 5, partial, concurrency_per_shard: 1, ..settings() };
        let mut bench = Bench::new(settings, [Act::Partly(vec![3, 1])], Act::Accept);
        bench.push("abcbd");
        assert_eq!(bench.done(1).await, done_first);
        bench.done(5 - done_first.len()).await;
        let mut texts: Vec<String> = bench.seen().into_iter().skip(1).flat_map(|seen| seen.texts).collect();
        let of_b: Vec<String> = texts.iter().filter(|text| text.starts_with('b')).cloned().collect();
        assert_eq!(of_b, ["b1", "b3"], "{partial:?}");
        texts.sort_by_key(|text| text[1..].to_owned());
        assert_eq!(texts, repeated, "{partial:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_what_is_in_flight_fills_the_holes_and_begins_nothing_else() {
    let slow = Act::Slow(Duration::from_secs(3));
    let mut bench = Bench::new(settings(), [slow.clone(), slow], Act::Accept);
    bench.push("aabcb");
    assert_eq!(bench.done(1).await, [3]);
    bench.push("de");
    bench.delivery.drain(Instant::now() + Duration::from_secs(10));
    let mut done = bench.done(3).await;
    done.sort_unstable();
    // The second record of `a` is before one of `c` that was accepted; the second of `b` and `d` and `e` are behind it.
    assert_eq!((done, bench.keys().concat().as_str()), (vec![0, 1, 2], "abca"));
    assert_eq!(bench.delivery.next().await, Delivered::Drained);
    assert_eq!(bench.delivery.budget().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_record_that_failed() {
    let mut bench = Bench::new(settings(), [], Act::RefuseBatchesWith("a0"));
    bench.push("aba");
    bench.done(1).await;
    bench.delivery.drain(Instant::now() + Duration::from_secs(10));
    assert_eq!(bench.delivery.next().await, Delivered::Drained);
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_at_the_fence_and_a_fence_that_moves_is_followed() {
    let mut bench = Bench::new(settings(), [Act::Slow(Duration::from_secs(5))], Act::Accept);
    bench.fence.set(Instant::now() + Duration::from_secs(2));
    bench.push("aa");
    bench.done(1).await;
    assert!(bench.done_at_most().await.is_empty());
    bench.fence.set(Instant::now() + Duration::from_secs(2));
    assert_eq!(bench.done(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_delivery_drops_its_calls() {
    let mut bench = Bench::new(settings(), [], Act::Hang);
    bench.push("ab");
    assert!(tokio::time::timeout(Duration::from_secs(1), bench.delivery.next()).await.is_err());
    assert_eq!(bench.delivery.in_flight(), 2);
    bench.delivery.abort();
    assert_eq!(bench.delivery.in_flight(), 0);
    assert!(bench.done_at_most().await.is_empty());
}
