//! One run: a stream, some workers, a period with faults, then one without faults in which everything must be delivered.

use super::invariants::Checker;
use super::ports::{App, CheckedLeases};
use bindd::consumer::{ConsumerSettings, Keepers, Ports, Worker};
use bindd::domain::{InitialPosition, LeaseStore, Stop, WorkerId};
use bindd::resilience::Backoff;
use bindd::tasks::Supervisor;
use bindd::telemetry::Metrics;
use bindd::testing::{FaultyLeaseStore, MemoryLeaseStore, MemoryStream, StreamFaults};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const FAULT_PERIOD: Duration = Duration::from_secs(60);
/// How long delivery may take after the faults: lease expiry, two lease scans, a hanging app, and the backlog.
const RECOVERY_LIMIT: Duration = Duration::from_secs(90);
/// After this time every lease of a crashed worker has a new owner, and the workers have equal shares: lease expiry, the
/// minute in which a moved lease is not moved again, and some lease scans. Before that, a worker may stop while another
/// one hands a lease over to it.
const REBALANCE_TIME: Duration = Duration::from_secs(25);
const DRAIN: Duration = Duration::from_secs(12);

struct Running {
    name: WorkerId,
    stop: Stop,
    leases: Arc<FaultyLeaseStore>,
    /// Dropping it is a crash.
    task: Supervisor<Result<(), String>>,
}

struct Run {
    seed: u64,
    /// Without faults and crashes, so that no record may be delivered twice.
    is_clean: bool,
    has_recovered: bool,
    random: fastrand::Rng,
    checker: Checker,
    stream_faults: StreamFaults,
    app_is_faulty: Arc<AtomicBool>,
    running: Vec<Running>,
    free_names: Vec<WorkerId>,
    name_count: u32,
    keys: u64,
}

pub(crate) async fn run(seed: u64) -> Result<(), String> {
    let mut run = Run::new(seed);
    run.start();
    let over = Instant::now() + FAULT_PERIOD;
    while Instant::now() < over {
        run.step().await?;
        run.checker.result()?;
        tokio::time::sleep(Duration::from_millis(run.random.u64(50..1_500))).await;
    }
    run.stop_faults();
    run.until_delivered().await?;
    tokio::time::sleep(REBALANCE_TIME).await;
    run.stop_all().await?;
    run.checker.result()?;
    if let Some(left) = run.checker.final_violation() {
        return Err(left);
    }
    if run.is_clean && run.checker.duplicates() > 0 {
        return Err(format!("{} records were delivered twice without a fault", run.checker.duplicates()));
    }
    if run.checker.required() == 0 {
        return Err("the run put no records".to_owned());
    }
    Ok(())
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_clean = random.u32(0..5) == 0;
        let checker = Checker::new(MemoryStream::new(random.u32(1..=4)), MemoryLeaseStore::new());
        let stream_faults = StreamFaults::new(if is_clean { 0 } else { 25 }, random.u64(..));
        Self {
            seed,
            is_clean,
            checker,
            stream_faults,
            has_recovered: is_clean,
            app_is_faulty: Arc::new(AtomicBool::new(!is_clean)),
            running: Vec::new(),
            free_names: Vec::new(),
            name_count: 0,
            keys: random.u64(1..12),
            random,
        }
    }

    /// Starts a worker with a new name, or with that of a stopped one.
    fn start(&mut self) {
        let reused = if self.random.bool() { self.free_names.pop() } else { None };
        let name = reused.unwrap_or_else(|| {
            self.name_count += 1;
            WorkerId::new(format!("worker-{}", self.name_count))
        });
        let app = App {
            checker: self.checker.clone(),
            worker: name.clone(),
            is_faulty: Arc::clone(&self.app_is_faulty),
            random: Arc::new(std::sync::Mutex::new(self.random.fork())),
        };
        let (directory, retrieval) = self.checker.stream.ports(&self.stream_faults);
        let checked = Arc::new(CheckedLeases(self.checker.clone()));
        let leases = Arc::new(FaultyLeaseStore::new(checked, 15, self.random.u64(..)));
        if self.has_recovered {
            leases.disable();
        }
        let store: Arc<dyn LeaseStore> = Arc::<FaultyLeaseStore>::clone(&leases);
        let ports = Ports {
            directory,
            retrieval,
            keepers: Keepers::here(Arc::clone(&store)),
            leases: store,
            handler: Arc::new(app),
            dead_letters: None,
        };
        let latest = self.seed.is_multiple_of(2);
        let settings = ConsumerSettings {
            initial_position: if latest { InitialPosition::Latest } else { InitialPosition::TrimHorizon },
            drain_limit: DRAIN,
            retry: Backoff::millis(100, 2_000),
            seed: self.random.u64(..),
            ..ConsumerSettings::for_binding("orders".parse().unwrap(), name.clone())
        };
        let (stop, mut task) = (Stop::new(), Supervisor::new());
        let worker = Worker::new(settings, ports, Metrics::new().input("orders"));
        let stopped = stop.clone();
        task.spawn(name.as_str(), async move { worker.run(stopped).await.map_err(|error| error.to_string()) });
        self.running.push(Running { name, stop, leases, task });
    }

    async fn step(&mut self) -> Result<(), String> {
        match self.random.u32(0..100) {
            0..=59 => self.put(),
            60..=67 => self.reshard(),
            68..=75 if self.running.len() < 3 => self.start(),
            76..=83 if !self.is_clean => self.crash(),
            84..=89 => self.stop_one().await?,
            90..=95 if !self.is_clean => self.block_leases(),
            _ => {}
        }
        Ok(())
    }

    fn put(&mut self) {
        // A consumer that starts at LATEST need not deliver records that were put before it started.
        let must_arrive = !self.seed.is_multiple_of(2) || !self.checker.leases.leases().is_empty();
        for _ in 0..self.random.u32(1..12) {
            let key = format!("key-{}", self.random.u64(0..self.keys));
            self.checker.put(&key, must_arrive);
        }
    }

    fn reshard(&mut self) {
        let open = self.checker.stream.open_shards();
        let (Some(one), Some(other)) = (self.random.choice(&open).cloned(), self.random.choice(&open).cloned()) else {
            return;
        };
        let is_merged = self.checker.stream.merge(&one, &other).is_some();
        if !is_merged && open.len() < 6 {
            self.checker.stream.split(&one);
        }
    }

    fn crash(&mut self) {
        if !self.running.is_empty() {
            let index = self.random.usize(0..self.running.len());
            let crashed = self.running.swap_remove(index);
            self.free_names.push(crashed.name);
        }
    }

    /// Makes the lease store unavailable to one worker, often for longer than a lease lasts.
    fn block_leases(&mut self) {
        let duration = Duration::from_secs(self.random.u64(2..25));
        if let Some(running) = self.random.choice(&self.running) {
            running.leases.partition(duration);
        }
    }

    async fn stop_one(&mut self) -> Result<(), String> {
        if self.running.is_empty() {
            return Ok(());
        }
        let index = self.random.usize(0..self.running.len());
        let running = self.running.swap_remove(index);
        self.stop(running).await
    }

    async fn stop(&mut self, mut running: Running) -> Result<(), String> {
        let started = Instant::now();
        running.stop.finish();
        let Some(ended) = running.task.next().await else { return Err("a worker vanished".to_owned()) };
        let limit = DRAIN + Duration::from_secs(1);
        if started.elapsed() > limit {
            return Err(format!("{} took {:?} to stop", running.name, started.elapsed()));
        }
        self.free_names.push(running.name);
        match ended.result.map_err(|failure| failure.to_string())? {
            // An app that hangs longer than the drain may take.
            Err(error) if error.contains("aborted") && self.app_is_faulty.load(Ordering::Relaxed) => Ok(()),
            result => result,
        }
    }

    fn stop_faults(&mut self) {
        self.stream_faults.disable();
        self.has_recovered = true;
        self.running.iter().for_each(|running| running.leases.disable());
        self.app_is_faulty.store(false, Ordering::Relaxed);
        if self.running.is_empty() {
            self.start();
        }
        // If no lease existed so far, no record had to be delivered. From now on this one has to.
        self.checker.put("last", !self.seed.is_multiple_of(2) || !self.checker.leases.leases().is_empty());
    }

    async fn until_delivered(&mut self) -> Result<(), String> {
        let limit = Instant::now() + RECOVERY_LIMIT;
        let mut has_put = false;
        loop {
            if !has_put && !self.checker.leases.leases().is_empty() {
                self.checker.put("last", true);
                has_put = true;
            }
            self.checker.result()?;
            if has_put && self.checker.outstanding() == 0 {
                return Ok(());
            }
            if Instant::now() > limit {
                let leases = self.checker.leases.leases();
                return Err(format!("{} records are not delivered; leases {leases:#?}", self.checker.outstanding()));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn stop_all(&mut self) -> Result<(), String> {
        while let Some(running) = self.running.pop() {
            self.stop(running).await?;
        }
        Ok(())
    }
}
