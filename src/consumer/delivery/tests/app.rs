//! An app with a script, a dead letter store, and a delivery to them.

use super::super::*;
use crate::consumer::budget::MemoryBudget;
use crate::domain::{
    Accepted, BindingEvent, BoxError, DeadLetter, DeliveryError, EventBatch, FailureKind, Message, RecordPosition,
    Timestamp,
};
use crate::telemetry::Metrics;
use async_trait::async_trait;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the app treats one request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Accept,
    /// Accepts after this time.
    Slow(Duration),
    Refuse(u16, Option<Duration>),
    /// With a response of this text.
    RefuseSaying(u16, String),
    /// Accepts all records but those of this text.
    RefuseBatchesWith(&'static str),
    Partly(Vec<usize>),
    Down,
    /// An idle connection turned out to be closed.
    IdleClosed,
    /// The connection broke during the call.
    Broken,
    /// The circuit breaker of the component is open.
    Held,
    Hang,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) at: Duration,
    pub(super) keys: String,
    pub(super) texts: Vec<String>,
    pub(super) attempts: Vec<u32>,
}

/// Follows a script, then does the same for ever.
#[derive(Debug)]
pub(super) struct App {
    pub(super) begun: Instant,
    pub(super) acts: Mutex<VecDeque<Act>>,
    pub(super) otherwise: Act,
    pub(super) seen: Mutex<Vec<Seen>>,
    pub(super) running: Mutex<BTreeMap<String, u32>>,
    /// What each record takes in a request.
    pub(super) body_size: AtomicUsize,
}

fn refused(status: u16, retry_after: Option<Duration>) -> DeliveryError {
    DeliveryError::Refused { status, target: "POST /orders".to_owned(), retry_after, location: None, excerpt: None }
}

#[async_trait]
impl EventHandler for App {
    async fn is_reachable(&self) -> bool {
        true
    }

    fn body_size(&self, _record: &Record) -> usize {
        self.body_size.load(Ordering::Relaxed)
    }

    async fn handle_message(&self, _: &Message) -> Result<bytes::Bytes, DeliveryError> {
        unreachable!("a shard has no messages")
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
            Act::RefuseSaying(status, text) => {
                DeliveryError::Refused { status, target, retry_after: None, location: None, excerpt: Some(text) }
            }
            Act::Down => {
                DeliveryError::Unreachable { address: "127.0.0.1:1".to_owned(), source: BoxError::from("gone") }
            }
            Act::IdleClosed => DeliveryError::Unanswered { target, was_idle: true, source: "gone".into() },
            Act::Broken => DeliveryError::Unanswered { target, was_idle: false, source: "gone".into() },
            Act::Held => DeliveryError::Held { reason: "it is open".to_owned(), wait: Duration::from_secs(1) },
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) failures: Mutex<u32>,
    pub(super) stored: Mutex<Vec<DeadLetter>>,
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

pub(super) struct Bench {
    pub(super) app: Arc<App>,
    pub(super) letters: Arc<Letters>,
    pub(super) metrics: Metrics,
    pub(super) fence: Fence,
    pub(super) delivery: Delivery,
    pub(super) pushed: u64,
}

impl Bench {
    pub(super) fn new(settings: DeliverySettings, acts: impl IntoIterator<Item = Act>, otherwise: Act) -> Self {
        Self::with_letters(settings, acts, otherwise, true)
    }

    pub(super) fn with_letters(
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
            body_size: AtomicUsize::new(0),
        });
        let (letters, metrics) = (Arc::new(Letters::default()), Metrics::new());
        let fence = Fence::new(begun, begun + Duration::from_secs(1_000_000));
        let to = Destination {
            handler: app.clone(),
            shaping: RecordShaping::default(),
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
            admission: Arc::new(AppAdmission::new(1_000, 7)),
            input_slots: Arc::new(Semaphore::new(settings.concurrency)),
            settings: Arc::new(settings),
            fence: fence.clone(),
            seed: 7,
        };
        let delivery = Delivery::new(to, bounds, metrics.input("orders"));
        Self { app, letters, metrics, fence, delivery, pushed: 0 }
    }

    /// One record for each letter, which is its key; the texts are `key` and the index.
    pub(super) fn push(&mut self, keys: &str) {
        let record = |(index, key): (u64, char)| Record {
            position: RecordPosition::plain(index.to_string().parse().unwrap()),
            partition_key: key.to_string(),
            data: format!("{key}{index}").into(),
            arrival: Some(Timestamp::from_millis(1_000_000)),
            is_damaged_aggregate: false,
            is_filtered: false,
            decompressed: None,
        };
        let records: Vec<Record> = (self.pushed..).zip(keys.chars()).map(record).collect();
        let first = self.pushed;
        self.pushed += records.len() as u64;
        self.delivery.push(first, records, None, None);
    }

    pub(super) async fn done(&mut self, count: usize) -> Vec<u64> {
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
    pub(super) async fn done_at_most(&mut self) -> Vec<u64> {
        let mut all = Vec::new();
        let until = Instant::now() + Duration::from_secs(10_000);
        while let Ok(Delivered::Done(done)) = tokio::time::timeout_at(until, self.delivery.next()).await {
            all.extend(done);
        }
        all
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.app.seen.lock().unwrap().clone()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.keys).collect()
    }

    pub(super) fn pauses(&self) -> Vec<Duration> {
        self.seen().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        let page = self.metrics.page().unwrap();
        let line = page.lines().find(|line| line.starts_with(&format!("bindd_input_{name}_total{{"))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}
