//! The consumer on in-memory ports.

mod backoff;
mod conflict;
mod distribution;
mod filtered;
mod gaps;
mod health;
mod lease_taker;
mod lineage;
mod positions;
mod replaced;
mod restored;
mod shard_end;
mod shutdown;
mod start_jitter;
mod takeover;
mod two_streams;

use super::{ConsumerSettings, Ports, Renewers, Worker};
use crate::domain::{Checkpoint, RecordPosition};
use crate::domain::{InitialPosition, Lease, LeaseCounter, LeaseStore, SentinelCheckpoint, ShardId, Stop, WorkerId};
use crate::tasks::Supervisor;
use crate::telemetry::Metrics;
use crate::testing::{MemoryLeaseStore, MemoryStream, RecordingHandler, StreamFaults};
use std::sync::Arc;

pub(super) fn shard(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number:012}"))
}

pub(super) fn after(number: u128) -> Checkpoint {
    Checkpoint::After(RecordPosition::plain(number.to_string().parse().unwrap()))
}

pub(super) fn lease(number: u32, owner: Option<&str>, counter: u64) -> Lease {
    Lease {
        shard: shard(number),
        owner: owner.map(WorkerId::new),
        handoff_from: None,
        counter: LeaseCounter::new(counter),
        checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon),
        parents: Vec::new(),
        children: Vec::new(),
        hash_range: None,
        start_at: None,
        stream: None,
        stream_created: None,
        caught_up: None,
        owner_duration: None,
    }
}

/// A worker's task; dropping it is a crash.
type Running = Supervisor<Result<(), super::ConsumerError>>;

/// One worker on a stream, with its app and its metrics.
struct Bench {
    stream: MemoryStream,
    leases: MemoryLeaseStore,
    app: RecordingHandler,
    metrics: Metrics,
}

impl Bench {
    fn new(shards: u32) -> Self {
        Self {
            stream: MemoryStream::new(shards),
            leases: MemoryLeaseStore::new(),
            app: RecordingHandler::new(),
            metrics: Metrics::new(),
        }
    }

    fn settings(name: &str) -> ConsumerSettings {
        let initial_position = InitialPosition::TrimHorizon;
        ConsumerSettings {
            initial_position,
            ..ConsumerSettings::for_binding("orders".parse().unwrap(), WorkerId::new(name))
        }
    }

    fn start(&self, settings: ConsumerSettings) -> (Stop, Running) {
        let (directory, retrieval) = self.stream.ports(&StreamFaults::none());
        let leases: Arc<dyn LeaseStore> = Arc::new(self.leases.clone());
        self.start_on(
            settings,
            Ports {
                directory,
                retrieval,
                renewers: Renewers::here(Arc::clone(&leases)),
                leases,
                handler: Arc::new(self.app.clone()),
                dead_letters: None,
            },
        )
    }

    fn start_on(&self, settings: ConsumerSettings, ports: Ports) -> (Stop, Running) {
        let worker = Worker::new(settings, ports, self.metrics.input("orders"));
        let (stop, mut group) = (Stop::new(), Supervisor::new());
        let worker_stop = stop.clone();
        group.spawn("worker", async move { worker.run(worker_stop).await });
        (stop, group)
    }

    /// A worker runs until `accepted` records were accepted in all, and is stopped.
    async fn accept_and_stop(&self, name: &str, accepted: usize) {
        let (stop, mut worker) = self.start(Self::settings(name));
        self.app.until_accepted(accepted).await;
        stop.finish();
        worker.next().await.unwrap().result.unwrap().unwrap();
    }

    fn put(&self, count: usize) {
        (0..count).for_each(|number| assert!(self.stream.put("key", number.to_string()).is_some()));
    }

    /// Puts texts that begin with `prefix` under keys of all shards.
    fn put_texts(&self, prefix: &str, count: usize) {
        (0..count).for_each(|number| {
            assert!(self.stream.put(&format!("key-{number}"), format!("{prefix}-{number}")).is_some());
        });
    }

    fn accepted(&self) -> Vec<String> {
        self.app.accepted().iter().map(|call| String::from_utf8_lossy(&call.data).into_owned()).collect()
    }

    fn counted(&self, metric: &str) -> bool {
        self.metrics.page().unwrap().contains(&format!("bindd_input_{metric}_total{{component=\"orders\"}} 1"))
    }
}
