//! One run: a stream, some workers, a while of trouble, then peace in which everything must be delivered.

use super::judge::Judge;
use super::ports::{App, WatchedLeases};
use bindd::consumer::{ConsumerSettings, Ports, Worker};
use bindd::domain::{InitialPosition, LeaseStore, Stop, WorkerId};
use bindd::resilience::Backoff;
use bindd::tasks::Supervisor;
use bindd::telemetry::Metrics;
use bindd::testing::{FaultyLeaseStore, MemoryLeaseStore, MemoryStream, StreamFaults};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const TROUBLE: Duration = Duration::from_secs(60);
/// In peace: expiry, two scans, a hang of the app, and the backlog.
const PEACE: Duration = Duration::from_secs(90);
/// After it every lease that the dead left behind has found an owner, and the workers share evenly: expiry, the minute for
/// which a lease stays that moved, and some scans. Before that, a worker that stops may have been promised a lease, which
/// its old owner hands over to it all the same.
const SETTLING: Duration = Duration::from_secs(110);
const DRAIN: Duration = Duration::from_secs(12);

struct Running {
    name: WorkerId,
    stop: Stop,
    leases: Arc<FaultyLeaseStore>,
    /// Dropping it is a crash.
    task: Supervisor<Result<(), String>>,
}

struct World {
    seed: u64,
    /// Neither faults nor crashes: nothing may be delivered twice.
    is_clean: bool,
    is_healed: bool,
    random: fastrand::Rng,
    judge: Judge,
    stream_faults: StreamFaults,
    app_is_bad: Arc<AtomicBool>,
    running: Vec<Running>,
    free_names: Vec<WorkerId>,
    named: u32,
    keys: u64,
}

pub(crate) async fn run(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    world.start();
    let over = Instant::now() + TROUBLE;
    while Instant::now() < over {
        world.step().await?;
        world.judge.verdict()?;
        tokio::time::sleep(Duration::from_millis(world.random.u64(50..1_500))).await;
    }
    world.heal();
    world.until_delivered().await?;
    tokio::time::sleep(SETTLING).await;
    world.stop_all().await?;
    world.judge.verdict()?;
    if let Some(left) = world.judge.left_behind() {
        return Err(left);
    }
    if world.is_clean && world.judge.duplicates() > 0 {
        return Err(format!("{} records were delivered twice without a fault", world.judge.duplicates()));
    }
    if world.judge.required() == 0 {
        return Err("the run put no records".to_owned());
    }
    Ok(())
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_clean = random.u32(0..5) == 0;
        let judge = Judge::new(MemoryStream::new(random.u32(1..=4)), MemoryLeaseStore::new());
        let stream_faults = StreamFaults::new(if is_clean { 0 } else { 25 }, random.u64(..));
        Self {
            seed,
            is_clean,
            judge,
            stream_faults,
            is_healed: is_clean,
            app_is_bad: Arc::new(AtomicBool::new(!is_clean)),
            running: Vec::new(),
            free_names: Vec::new(),
            named: 0,
            keys: random.u64(1..12),
            random,
        }
    }

    /// Starts a worker, under a new name or that of one that is gone.
    fn start(&mut self) {
        let again = if self.random.bool() { self.free_names.pop() } else { None };
        let name = again.unwrap_or_else(|| {
            self.named += 1;
            WorkerId::new(format!("worker-{}", self.named))
        });
        let app = App {
            judge: self.judge.clone(),
            worker: name.clone(),
            is_bad: Arc::clone(&self.app_is_bad),
            random: Arc::new(std::sync::Mutex::new(self.random.fork())),
        };
        let (directory, retrieval) = self.judge.stream.ports(&self.stream_faults);
        let watched = Arc::new(WatchedLeases(self.judge.clone()));
        let leases = Arc::new(FaultyLeaseStore::new(watched, 15, self.random.u64(..)));
        if self.is_healed {
            leases.disable();
        }
        let store: Arc<dyn LeaseStore> = Arc::<FaultyLeaseStore>::clone(&leases);
        let ports = Ports { directory, retrieval, leases: store, handler: Arc::new(app) };
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
        let told = stop.clone();
        task.spawn(name.as_str(), async move { worker.run(told).await.map_err(|error| error.to_string()) });
        self.running.push(Running { name, stop, leases, task });
    }

    async fn step(&mut self) -> Result<(), String> {
        match self.random.u32(0..100) {
            0..=59 => self.put(),
            60..=67 => self.reshard(),
            68..=75 if self.running.len() < 3 => self.start(),
            76..=83 if !self.is_clean => self.crash(),
            84..=89 => self.stop_one().await?,
            90..=95 if !self.is_clean => self.cut(),
            _ => {}
        }
        Ok(())
    }

    fn put(&mut self) {
        // A consumer from LATEST owes only what was put after it had begun.
        let owed = !self.seed.is_multiple_of(2) || !self.judge.leases.leases().is_empty();
        for _ in 0..self.random.u32(1..12) {
            let key = format!("key-{}", self.random.u64(0..self.keys));
            self.judge.put(&key, owed);
        }
    }

    fn reshard(&mut self) {
        let open = self.judge.stream.open_shards();
        let (Some(one), Some(other)) = (self.random.choice(&open).cloned(), self.random.choice(&open).cloned()) else {
            return;
        };
        let is_merged = self.judge.stream.merge(&one, &other).is_some();
        if !is_merged && open.len() < 6 {
            self.judge.stream.split(&one);
        }
    }

    fn crash(&mut self) {
        if !self.running.is_empty() {
            let index = self.random.usize(0..self.running.len());
            let dead = self.running.swap_remove(index);
            self.free_names.push(dead.name);
        }
    }

    /// Takes the lease store away from one worker, often for longer than a lease lasts.
    fn cut(&mut self) {
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
        let begun = Instant::now();
        running.stop.finish();
        let Some(ended) = running.task.next().await else { return Err("a worker vanished".to_owned()) };
        let limit = DRAIN + Duration::from_secs(1);
        if begun.elapsed() > limit {
            return Err(format!("{} took {:?} to stop", running.name, begun.elapsed()));
        }
        self.free_names.push(running.name);
        ended.result.map_err(|failure| failure.to_string())?
    }

    fn heal(&mut self) {
        self.stream_faults.disable();
        self.is_healed = true;
        self.running.iter().for_each(|running| running.leases.disable());
        self.app_is_bad.store(false, Ordering::Relaxed);
        if self.running.is_empty() {
            self.start();
        }
        // Without any lease nothing was owed yet; now something is.
        self.judge.put("last", !self.seed.is_multiple_of(2) || !self.judge.leases.leases().is_empty());
    }

    async fn until_delivered(&mut self) -> Result<(), String> {
        let limit = Instant::now() + PEACE;
        let mut has_put = false;
        loop {
            if !has_put && !self.judge.leases.leases().is_empty() {
                self.judge.put("last", true);
                has_put = true;
            }
            self.judge.verdict()?;
            if has_put && self.judge.outstanding() == 0 {
                return Ok(());
            }
            if Instant::now() > limit {
                let leases = self.judge.leases.leases();
                return Err(format!("{} records are not delivered; leases {leases:#?}", self.judge.outstanding()));
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
