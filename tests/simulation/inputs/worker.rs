//! One simulated worker: the engine, its connections, and what can happen to it.

use super::app::{App, AppLink};
use super::checker::Checker;
use super::clock::WorkerClock;
use super::plan::Plan;
use super::reads::ReadLink;
use super::rows::CheckedLeases;
use bindd::consumer::{ConsumerSettings, Ports, RecordShaping, Renewers, Worker};
use bindd::domain::{DeadLetterStore, LeaseStore, Stop, WorkerId};
use bindd::resilience::Backoff;
use bindd::tasks::{Freezer, Supervisor};
use bindd::telemetry::InputMetrics;
use bindd::testing::{FaultyLeaseStore, ModelFanOut, Network, StreamFaults};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

pub(crate) struct SimWorker {
    pub(crate) name: WorkerId,
    stop: Stop,
    pub(crate) leases: Arc<FaultyLeaseStore>,
    pub(crate) reads: StreamFaults,
    pub(crate) app: AppLink,
    pub(crate) clock: WorkerClock,
    pub(crate) freezer: Freezer,
    /// Dropping it is a crash.
    task: Supervisor<Result<(), String>>,
}

/// What all workers of a run share.
#[derive(Clone)]
pub(crate) struct RunContext {
    pub(crate) plan: Arc<Plan>,
    pub(crate) checker: Checker,
    pub(crate) network: Network,
    pub(crate) app: App,
    pub(crate) fan_out: ModelFanOut,
    pub(crate) metrics: InputMetrics,
    pub(crate) shaping: RecordShaping,
}

impl SimWorker {
    /// `one_in`: how seldom calls fail; never with 0.
    pub(crate) fn start(with: &RunContext, name: WorkerId, one_in: u32, random: &mut fastrand::Rng) -> Self {
        let RunContext { plan, checker, network, app, fan_out, metrics, shaping } = with;
        let reads = StreamFaults::new(one_in * 2, random.u64(..)).with_iterator_lifetime(plan.iterator_lifetime);
        let (directory, polling) = checker.stream.ports(&reads);
        let retrieval = if plan.fan_out { fan_out.port(&reads, random.u64(..)) } else { polling };
        let link = Arc::new(ReadLink::new(checker.clone(), name.clone(), (directory, retrieval)));
        let clock = WorkerClock::new(&checker.stream, random);
        let rows: Arc<dyn LeaseStore> = Arc::new(CheckedLeases { checker: checker.clone(), clock: clock.clone() });
        let leases = Arc::new(FaultyLeaseStore::new(rows, network.clone(), plan.lease, (one_in, random.u64(..))));
        let app = AppLink { app: app.clone(), worker: name.clone(), clock: clock.clone(), partition: Arc::default() };
        let letters: Arc<dyn DeadLetterStore> = Arc::new(app.clone());
        let store: Arc<dyn LeaseStore> = Arc::<FaultyLeaseStore>::clone(&leases);
        let ports = Ports {
            renewers: Renewers::here(Arc::clone(&store)),
            directory: Arc::<ReadLink>::clone(&link),
            retrieval: link,
            leases: store,
            handler: Arc::new(app.clone()),
            dead_letters: plan.has_dead_letters.then_some(letters),
        };
        let (stop, freezer, mut task) = (Stop::new(), Freezer::new(), Supervisor::new());
        let settings = plan.settings(name.clone(), &clock, random.u64(..));
        let settings = ConsumerSettings { shaping: shaping.clone(), ..settings };
        let input = run_input(settings, ports, metrics.clone(), (stop.clone(), checker.clone()));
        task.spawn(name.as_str(), freezer.wrap(input));
        checker.with(|state| state.clocks.push(clock.clone()));
        checker.note(Some(&name), None, format!("started, {clock}"));
        Self { name, stop, leases, reads, app, clock, freezer, task }
    }

    /// Waits for a clean stop.
    pub(crate) async fn stop(mut self, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        self.stop.finish();
        let Ok(Some(ended)) = timeout(limit, self.task.next()).await else {
            return Err(format!("{} did not stop within {:?}", self.name, begun.elapsed()));
        };
        ended.result.map_err(|failure| failure.to_string())?
    }

    pub(crate) fn disable_faults(&self) {
        self.leases.disable();
        self.reads.disable();
        *self.app.partition.lock().unwrap() = None;
    }
}

/// Restarts the worker after failures, as the daemon does.
async fn run_input(
    settings: ConsumerSettings,
    ports: Ports,
    metrics: InputMetrics,
    (stop, checker): (Stop, Checker),
) -> Result<(), String> {
    let mut waits = Backoff::millis(1_000, 10_000).waits(settings.seed);
    loop {
        let worker = Worker::new(settings.clone(), ports.clone(), metrics.clone());
        let Err(error) = worker.run(stop.child()).await else { return Ok(()) };
        checker.note(Some(&settings.worker), None, format!("input failed: {error}"));
        if stop.is_finishing() {
            return Err(error.to_string());
        }
        let wait = waits.next_growing_wait();
        tokio::select! {
            biased;
            () = stop.finishing() => return Ok(()),
            () = sleep(wait) => {}
        }
    }
}
