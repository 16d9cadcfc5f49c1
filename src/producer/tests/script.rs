//! A writer whose reaction to each call is scripted by the test.

use super::super::{Ports, Producer, ProducerSettings, PutOptions, Turn, Written};
use crate::domain::{
    BindingError, FailureKind, HashKeyRange, NewRecord, Outcome, Receipt, RecordWriter, RetrievalError, SequenceNumber,
    Shard, ShardDirectory, ShardId, ShardListing, Timestamp,
};
use crate::telemetry::Metrics;
use async_trait::async_trait;
use futures_util::future::join_all;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// What happens to a call.
#[derive(Debug, Clone)]
pub(in super::super) enum Reaction {
    Store,
    /// Entry i fails where there is a failure.
    Each(Vec<Option<BindingError>>),
    Refuse(BindingError),
    /// Stores all, but the reply is lost.
    StoreAndLose,
    Never,
    Panic,
}

/// A call that the writer received.
#[derive(Debug, Clone)]
pub(in super::super) struct Seen {
    pub(in super::super) is_put_record: bool,
    pub(in super::super) after: Option<SequenceNumber>,
    pub(in super::super) records: Vec<NewRecord>,
    pub(in super::super) at: Instant,
}

type React = Box<dyn FnMut(usize, &[NewRecord]) -> Reaction + Send>;

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    stored: Vec<NewRecord>,
    open: usize,
    max_open: usize,
    react: Option<React>,
}

/// The stream. Clones share its state.
#[derive(Clone)]
pub(in super::super) struct Script {
    state: Arc<Mutex<State>>,
    latency: Duration,
    /// The shard in which a record is stored.
    pub(in super::super) shard: fn(&NewRecord) -> &'static str,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

pub(in super::super) const LATENCY: Duration = Duration::from_millis(5);

impl Script {
    pub(in super::super) fn new(react: impl FnMut(usize, &[NewRecord]) -> Reaction + Send + 'static) -> Self {
        let state = State { react: Some(Box::new(react)), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), latency: LATENCY, shard: |_| "shardId-0" }
    }

    pub(in super::super) fn storing() -> Self {
        Self::new(|_, _| Reaction::Store)
    }

    /// Refuses the first call.
    pub(in super::super) fn refusing_first(failure: BindingError) -> Self {
        Self::new(move |call, _| if call == 0 { Reaction::Refuse(failure.clone()) } else { Reaction::Store })
    }

    pub(in super::super) fn with_latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    pub(in super::super) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(in super::super) fn stored(&self) -> Vec<NewRecord> {
        self.state.lock().unwrap().stored.clone()
    }

    pub(in super::super) fn max_open(&self) -> usize {
        self.state.lock().unwrap().max_open
    }

    fn begin(&self, is_put_record: bool, after: Option<&SequenceNumber>, records: &[NewRecord]) -> Reaction {
        let mut state = self.state.lock().unwrap();
        let number = state.seen.len();
        let seen = Seen { is_put_record, after: after.cloned(), records: records.to_vec(), at: Instant::now() };
        state.seen.push(seen);
        state.open += 1;
        state.max_open = state.max_open.max(state.open);
        let mut react = state.react.take().unwrap();
        let reaction = react(number, records);
        state.react = Some(react);
        reaction
    }

    async fn answer(&self, reaction: Reaction, records: &[NewRecord]) -> super::super::types::Reply {
        tokio::time::sleep(self.latency).await;
        if matches!(reaction, Reaction::Never) {
            std::future::pending::<()>().await;
        }
        let mut state = self.state.lock().unwrap();
        state.open -= 1;
        let mut store = |record: &NewRecord| {
            state.stored.push(record.clone());
            let sequence = state.stored.len().to_string().parse().unwrap();
            Receipt { sequence, shard: ShardId::new((self.shard)(record)), encryption: None }
        };
        match reaction {
            Reaction::Store => Ok(records.iter().map(|record| Ok(store(record))).collect()),
            Reaction::Each(failures) => {
                assert_eq!(failures.len(), records.len(), "the script must fit the call");
                let answers = records.iter().zip(failures);
                Ok(answers.map(|(record, failure)| failure.map_or_else(|| Ok(store(record)), Err)).collect())
            }
            Reaction::Refuse(error) => Err(error),
            Reaction::StoreAndLose => {
                records.iter().for_each(|record| drop(store(record)));
                Err(failure(FailureKind::Transient).with_outcome(Outcome::Unknown))
            }
            Reaction::Never => unreachable!("it never ends"),
            Reaction::Panic => {
                drop(state);
                panic!("injected fault")
            }
        }
    }
}

#[async_trait]
impl RecordWriter for Script {
    async fn put(&self, record: &NewRecord, after: Option<&SequenceNumber>) -> Result<Receipt, BindingError> {
        let records = std::slice::from_ref(record);
        let reaction = self.begin(true, after, records);
        self.answer(reaction, records).await?.remove(0)
    }

    async fn put_all(&self, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
        let reaction = self.begin(false, None, records);
        self.answer(reaction, records).await
    }
}

/// Lists these shards; without any, listing fails.
#[derive(Debug)]
pub(in super::super) struct Listing(pub(in super::super) Mutex<Vec<Shard>>);

#[async_trait]
impl ShardDirectory for Listing {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        let shards = self.0.lock().unwrap().clone();
        if shards.is_empty() {
            let (doing, source) = ("listing shards".to_owned(), "not allowed".into());
            return Err(RetrievalError::Unavailable { doing, kind: FailureKind::Denied, source });
        }
        Ok(ShardListing { shards, listed_at: Timestamp::from_millis(0) })
    }
}

pub(in super::super) fn shard(id: &str, start: u128, end: u128) -> Shard {
    Shard { id: ShardId::new(id), parents: Vec::new(), hash_range: Some(HashKeyRange { start, end }), is_open: true }
}

/// A producer with its metrics.
pub(in super::super) struct Rig {
    pub(in super::super) producer: Arc<Producer>,
    pub(in super::super) metrics: Metrics,
}

impl Rig {
    pub(in super::super) fn new(settings: ProducerSettings, script: &Script) -> Self {
        Self::listed(settings, script, None)
    }

    pub(in super::super) fn listed(settings: ProducerSettings, script: &Script, shards: Option<Arc<Listing>>) -> Self {
        let metrics = Metrics::new();
        let ports = Ports {
            writer: Arc::new(script.clone()),
            directory: shards.map(|shards| shards as Arc<dyn ShardDirectory>),
            metrics: metrics.output("out"),
        };
        Self { producer: Arc::new(Producer::start(settings, ports)), metrics }
    }

    pub(in super::super) fn after(settings: ProducerSettings, script: &Script, turn: Turn) -> Self {
        let metrics = Metrics::new();
        let ports = Ports { writer: Arc::new(script.clone()), directory: None, metrics: metrics.output("out") };
        Self { producer: Arc::new(Producer::start_after(settings, ports, turn)), metrics }
    }

    pub(in super::super) async fn put(&self, key: &str, data: &str) -> Result<Written, BindingError> {
        self.producer.put(record(key, data), within(10_000)).await
    }

    /// The results of three records of a key, and of a fourth one that comes while they wait.
    pub(in super::super) async fn put_three_and_one(
        &self,
    ) -> (Vec<Result<Written, BindingError>>, Result<Written, BindingError>) {
        let later = async {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.put("a", "4").await
        };
        tokio::join!(join_all(["1", "2", "3"].map(|text| self.put("a", text))), later)
    }

    /// Asserts that the page of metrics has this value.
    pub(in super::super) fn counts(&self, metric: &str, labels: &str, value: u32) {
        let line = format!("bindd_output_{metric}{{component=\"out\"{labels}}} {value}");
        let page = self.metrics.page().unwrap();
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
}

pub(in super::super) fn record(key: &str, data: &str) -> NewRecord {
    let data = data.to_owned().into();
    NewRecord { data, partition_key: Some(key.parse().unwrap()), explicit_hash_key: None }
}

pub(in super::super) fn within(millis: u64) -> PutOptions {
    PutOptions::until(Instant::now() + Duration::from_millis(millis))
}

pub(in super::super) fn failure(kind: FailureKind) -> BindingError {
    BindingError::new(kind, "injected fault")
}

pub(in super::super) fn texts(records: &[NewRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()).collect()
}
