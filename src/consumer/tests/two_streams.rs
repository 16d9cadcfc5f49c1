//! Two inputs of different streams that start on the same new lease table by mistake: one reads its stream, the other is
//! refused.

use super::super::StreamState;
use super::{Bench, ConsumerSettings, Ports, Renewers, shard};
use crate::domain::{
    LeaseStore, RetrievalError, ShardDirectory, ShardListing, StreamDirectory, StreamIdentity, WorkerId,
};
use crate::tasks::Supervisor;
use crate::testing::{FaultyLeaseStore, MemoryLeaseStore, Network, StreamFaults};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// So many calls that none of them fails, but each takes its time.
const NO_FAULTS: u32 = u32::MAX;

/// A stream of another name.
#[derive(Debug)]
struct Renamed {
    inner: Arc<dyn StreamDirectory>,
    stream: &'static str,
}

#[async_trait]
impl ShardDirectory for Renamed {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        self.inner.list().await
    }
}

#[async_trait]
impl StreamDirectory for Renamed {
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError> {
        Ok(StreamIdentity { stream: self.stream.into(), ..self.inner.identify().await? })
    }
}

/// Runs an input of the stream, and restarts it as often as it is refused. Dropping it is a crash.
fn run(
    bench: &Bench,
    stream: &'static str,
    (leases, state): (Arc<dyn LeaseStore>, Arc<StreamState>),
    seed: u64,
) -> Supervisor<()> {
    let (directory, retrieval) = bench.stream.ports(&StreamFaults::none());
    let directory = Arc::new(Renamed { inner: directory, stream });
    let renewers = Renewers::here(Arc::clone(&leases));
    let handler = Arc::new(bench.app.clone());
    let ports = Ports { directory, retrieval, leases, renewers, handler, dead_letters: None };
    let settings = ConsumerSettings { seed, stream_state: state, ..Bench::settings(stream) };
    let (metrics, mut group) = (bench.metrics.input(stream), Supervisor::new());
    group.spawn("input", async move {
        let mut random = fastrand::Rng::with_seed(seed);
        loop {
            let worker = super::Worker::new(settings.clone(), ports.clone(), metrics.clone());
            worker.run(crate::domain::Stop::new()).await.unwrap_err();
            sleep(Duration::from_millis(random.u64(250..500))).await;
        }
    });
    group
}

#[tokio::test(start_paused = true)]
async fn of_two_streams_that_start_on_one_table_one_is_read_and_the_other_is_refused() {
    for seed in 0..60 {
        let leases = MemoryLeaseStore::new();
        let (network, _network_task) = Network::new();
        let store = |seed| -> Arc<dyn LeaseStore> {
            let (inner, lease) = (Arc::new(leases.clone()), Duration::from_secs(10));
            Arc::new(FaultyLeaseStore::new(inner, network.clone(), lease, (NO_FAULTS, seed)))
        };
        let (orders, invoices) = (Bench::new(2), Bench::new(2));
        // The first shard of the other stream has another name.
        invoices.stream.split(&shard(0)).unwrap();
        invoices.stream.expire(&shard(0));
        orders.put_texts("order", 10);
        invoices.put_texts("invoice", 10);
        let (one, two) = (Arc::<StreamState>::default(), Arc::<StreamState>::default());
        let _first = run(&orders, "orders", (store(seed), Arc::clone(&one)), seed);
        sleep(Duration::from_millis(seed * 10)).await;
        let _second = run(&invoices, "invoices", (store(seed + 1_000), Arc::clone(&two)), seed + 1_000);
        sleep(Duration::from_secs(120)).await;

        let reads = [orders.accepted().len(), invoices.accepted().len()];
        assert!(reads == [10, 0] || reads == [0, 10], "seed {seed}: {reads:?} {:?}", leases.leases());
        let (winner, winner_state, loser_state) =
            if reads[0] > 0 { ("orders", &one, &two) } else { ("invoices", &two, &one) };
        assert!(leases.leases().iter().all(|row| row.stream.as_deref() == Some(winner)), "seed {seed}");
        assert!(leases.leases().iter().all(|row| row.owner == Some(WorkerId::new(winner))), "seed {seed}");
        let refusal = loser_state.refusal().unwrap();
        assert!(winner_state.refusal().is_none() && refusal.contains(winner), "seed {seed}: {refusal}");
    }
}
