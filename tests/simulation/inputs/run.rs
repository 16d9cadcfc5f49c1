//! One run: a stream, some workers, a period with faults, then one without faults in which everything must be delivered.

use super::app::App;
use super::checker::Checker;
use super::filter;
use super::kcl::KclWorker;
use super::ledger::NewRecord;
use super::neighbours::Replacement;
use super::plan::Plan;
use super::story::Entry;
use super::worker::{RunContext, SimWorker};
use bindd::domain::{Checkpoint, InitialPosition, Lease, LeaseCounter, SentinelCheckpoint, ShardId, WorkerId};
use bindd::tasks::Supervisor;
use bindd::telemetry::Metrics;
use bindd::testing::{ModelFanOut, Network};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long delivery may take after the faults: lease expiry, lease scans, a listing after its longest pause, a restart of
/// the input after its longest pause, and the backlog.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);
/// Faulty calls are one in so many.
const ONE_IN: u32 = 40;
/// Lease scans of one worker within a minute at most, beside the regular ones.
const MORE_SCANS: usize = 40;
const LARGE: usize = 10 << 20;
/// The payloads: their sizes count, and no run holds a copy.
static PAYLOAD: [u8; LARGE] = [0; LARGE];

pub(crate) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) random: fastrand::Rng,
    pub(super) with: RunContext,
    pub(super) running: Vec<SimWorker>,
    pub(super) has_recovered: bool,
    /// Records aged out that an owner had not read, so a gap must be counted.
    pub(super) expects_gap: bool,
    /// The stream was deleted.
    pub(super) replacement: Option<Replacement>,
    pub(super) kcl: Vec<KclWorker>,
    pub(super) kcl_count: u32,
    pub(super) kcl_peers: Arc<Mutex<Vec<WorkerId>>>,
    metrics: Metrics,
    free_names: Vec<WorkerId>,
    name_count: u32,
    scans: Vec<(WorkerId, Instant, u64)>,
    _network: Supervisor<()>,
}

/// Runs a seed; the story of a violation is the error.
pub(crate) async fn run(seed: u64) -> Result<(), String> {
    Run::new(seed, false).finish().await
}

/// Runs a seed and returns everything that happened.
pub(crate) async fn story(seed: u64) -> Result<Vec<Entry>, String> {
    let mut run = Run::new(seed, true);
    run.finish().await?;
    Ok(run.with.checker.story())
}

impl Run {
    pub(super) fn new(seed: u64, keeps_story: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self::of(Plan::new(&mut random), random, keeps_story)
    }

    pub(crate) fn of(plan: Plan, mut random: fastrand::Rng, keeps_story: bool) -> Self {
        let plan = Arc::new(plan);
        let (network, task) = Network::new();
        let checker = Checker::new(Arc::clone(&plan), keeps_story);
        let app = App::new(checker.clone(), Arc::clone(&plan), network.clone(), random.fork());
        let metrics = Metrics::new();
        let fan_out = ModelFanOut::new(&checker.stream, plan.subscription_lifetime);
        let metrics_of_input = metrics.input("orders");
        let shaping = filter::shaping(&plan, &metrics);
        let with =
            RunContext { plan: Arc::clone(&plan), checker, network, app, fan_out, metrics: metrics_of_input, shaping };
        Self {
            has_recovered: plan.is_clean,
            plan,
            random,
            with,
            running: Vec::new(),
            expects_gap: false,
            replacement: None,
            kcl: Vec::new(),
            kcl_count: 0,
            kcl_peers: Arc::default(),
            metrics,
            free_names: Vec::new(),
            name_count: 0,
            scans: Vec::new(),
            _network: task,
        }
    }

    /// Runs without faults and with so many shards that a listing has several pages.
    pub(crate) async fn many_shards(&mut self) -> Result<(), String> {
        self.start();
        sleep(self.plan.takeover_limit()).await;
        for key in 0..self.plan.keys {
            self.put_key(key);
        }
        self.until_delivered().await?;
        self.stop_all().await?;
        self.with.checker.result()?;
        self.with.checker.final_violation().map_or(Ok(()), Err)?;
        self.check_counts()
    }

    async fn finish(&mut self) -> Result<(), String> {
        if self.plan.initial == InitialPosition::Latest && self.random.u32(0..6) == 0 {
            self.adopt_rows();
        }
        self.start();
        let over = Instant::now() + self.plan.faults;
        while Instant::now() < over {
            self.step().await?;
            self.continue_replacement(false).await?;
            self.check_scans();
            self.with.checker.result()?;
            sleep(Duration::from_millis(self.random.u64(50..1_500))).await;
        }
        self.recover().await?;
        self.until_delivered().await?;
        self.stop_kcl().await;
        sleep(self.plan.rebalance_time()).await;
        self.stop_all().await?;
        self.with.checker.result()?;
        if let Some(left) = self.with.checker.final_violation() {
            return Err(left);
        }
        self.check_counts()
    }

    fn check_counts(&self) -> Result<(), String> {
        let required = self.with.checker.with(|state| state.ledger.required());
        let early = self.with.fan_out.early_subscriptions();
        if early > 0 {
            let text = format!("{early} subscriptions came within five seconds after one of the same worker");
            return Err(self.with.checker.failure(text, None));
        }
        let passed = self.with.checker.with(|state| state.ledger.passed_count());
        if required + passed == 0 {
            return Err("the run put no records".to_owned());
        }
        let dropped = self.with.checker.with(|state| state.ledger.dropped());
        if self.counted("records_dropped") < u64::try_from(dropped).unwrap_or(u64::MAX) {
            return Err(self.with.checker.failure(format!("{dropped} records were dropped, fewer were counted"), None));
        }
        if self.counted_filtered() < u64::try_from(passed).unwrap_or(u64::MAX) {
            return Err(self.with.checker.failure(format!("{passed} records were filtered, fewer were counted"), None));
        }
        if self.expects_gap && self.counted("retention_gaps") == 0 {
            return Err(self.with.checker.failure("records aged out unread, and no gap was counted".to_owned(), None));
        }
        Ok(())
    }

    fn counted(&self, metric: &str) -> u64 {
        self.counted_as(&format!("bindd_input_{metric}_total{{component=\"orders\"}} "))
    }

    fn counted_filtered(&self) -> u64 {
        self.counted_as(r#"bindd_shaped_records_total{component="orders",side="input",result="filtered"} "#)
    }

    fn counted_as(&self, name: &str) -> u64 {
        let page = self.metrics.page().unwrap();
        page.lines().find_map(|line| line.strip_prefix(name)).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// The lease rows of a KCL application that was stopped before it had read a record.
    fn adopt_rows(&self) {
        for shard in self.with.checker.stream.listing().shards {
            self.with.checker.leases.put(Lease {
                shard: shard.id,
                owner: Some(WorkerId::new("kcl-worker")),
                handoff_from: None,
                counter: LeaseCounter::new(7),
                checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::Latest),
                parents: shard.parents,
                children: Vec::new(),
                hash_range: shard.hash_range,
                start_at: None,
                caught_up: None,
                owner_duration: None,
                stream: None,
                stream_created: None,
            });
        }
    }

    /// Starts a worker with a new name, or with that of a stopped one.
    pub(super) fn start(&mut self) {
        let reused = if self.random.bool() { self.free_names.pop() } else { None };
        let name = reused.unwrap_or_else(|| {
            self.name_count += 1;
            WorkerId::new(format!("worker-{}", self.name_count))
        });
        let one_in = if self.has_recovered { 0 } else { ONE_IN };
        let worker = SimWorker::start(&self.with, name, one_in, &mut self.random);
        self.running.push(worker);
    }

    pub(super) fn put(&mut self) {
        for _ in 0..self.random.u32(1..8) {
            let key = self.random.u64(0..self.plan.keys);
            self.put_key(key);
        }
    }

    fn put_key(&mut self, key: u64) {
        let first = format!("key-{key}");
        let mut keys = vec![first.clone()];
        if self.plan.has_aggregates && self.random.bool() {
            let shard = self.with.checker.stream.shard_of(&first);
            let others = (0..self.random.u64(1..5)).map(|_| format!("key-{}", self.random.u64(0..self.plan.keys)));
            let others: Vec<_> = others.collect();
            keys.extend(others.into_iter().filter(|key| self.with.checker.stream.shard_of(key) == shard));
        }
        let is_required = self.is_required();
        let records = keys.into_iter().map(|key| {
            let is_large = self.plan.has_large_records && self.random.u32(0..40) == 0;
            let size = if is_large { LARGE } else { self.random.usize(0..200) };
            let is_poison = self.plan.has_poison && self.random.u32(0..30) == 0;
            let is_filtered = self.plan.is_filtered(size);
            (NewRecord { key, size, is_required, is_poison, is_filtered }, Bytes::from_static(&PAYLOAD[..size]))
        });
        self.with.checker.put(records.collect());
    }

    /// Whether a record that is put now must be delivered, by the position at which the input begins.
    fn is_required(&self) -> bool {
        match self.plan.initial {
            InitialPosition::TrimHorizon => true,
            InitialPosition::AtTimestamp(moment) => self.with.checker.stream.listing().listed_at >= moment,
            InitialPosition::Latest if self.replacement.is_some() => false,
            InitialPosition::Latest => {
                let leases = self.with.checker.leases.leases();
                !leases.is_empty() && !leases.iter().any(Lease::lacks_start)
            }
        }
    }

    /// A worker whose scans fail or find something to do must not scan all the time.
    fn check_scans(&mut self) {
        let now = Instant::now();
        self.scans.retain(|(_, at, _)| now - *at <= Duration::from_secs(60));
        for worker in &self.running {
            let count = worker.leases.scans();
            let before =
                self.scans.iter().filter(|(name, _, _)| *name == worker.name).map(|(_, _, count)| *count).min();
            let more = usize::try_from(count.saturating_sub(before.unwrap_or(count))).unwrap_or(usize::MAX);
            if more > self.plan.scans_per_minute() + MORE_SCANS {
                self.with.checker.report(format!("{} scanned {more} times within a minute", worker.name));
            }
            self.scans.push((worker.name.clone(), now, count));
        }
    }

    pub(super) async fn stop_one(&mut self, index: usize, is_strict: bool) -> Result<(), String> {
        let worker = self.running.swap_remove(index);
        let name = worker.name.clone();
        self.scans.retain(|(scanned, _, _)| *scanned != name);
        let checker = self.with.checker.clone();
        checker.note(Some(&name), None, "stop requested".to_owned());
        worker.freezer.thaw();
        let result = worker.stop(self.plan.drain + Duration::from_secs(1)).await;
        checker.note(Some(&name), None, format!("stopped: {result:?}"));
        match result {
            Err(error) if is_strict => return Err(checker.failure(format!("{name} failed to stop: {error}"), None)),
            Err(error) if error.contains("did not stop") => return Err(checker.failure(error, None)),
            // It was stopped while it had lost its leases, or could not release them.
            Ok(()) | Err(_) => {}
        }
        self.free_names.push(name);
        Ok(())
    }

    pub(super) async fn stop_all(&mut self) -> Result<(), String> {
        while !self.running.is_empty() {
            self.stop_one(self.running.len() - 1, true).await?;
        }
        Ok(())
    }

    /// Ends all faults. What the settings halt goes on only after a restart.
    async fn recover(&mut self) -> Result<(), String> {
        self.with.checker.note(None, None, "all faults end".to_owned());
        self.has_recovered = true;
        self.with.app.stop_faults();
        self.with.fan_out.end_take_overs();
        for worker in &self.running {
            worker.disable_faults();
            worker.freezer.thaw();
        }
        self.continue_replacement(true).await?;
        if self.random.bool() {
            self.stop_kcl().await;
        }
        if !self.plan.passes_poison() {
            self.with.app.heal_poison();
        }
        if self.plan.halts() {
            // A worker that was frozen may not have noticed yet that it lost its leases.
            sleep(Duration::from_secs(1)).await;
            while !self.running.is_empty() {
                self.stop_one(0, false).await?;
            }
        }
        if self.running.is_empty() {
            self.start();
        }
        Ok(())
    }

    async fn until_delivered(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let (mut has_put, mut has_checked) = (false, false);
        loop {
            if !has_put && self.is_required() {
                let key = self.random.u64(0..self.plan.keys);
                self.put_key(key);
                has_put = true;
            }
            self.with.checker.result()?;
            if !has_checked && begun.elapsed() > self.plan.takeover_limit() {
                has_checked = true;
                // A worker of the KCL looks for leases more seldom, and bindd leaves it its share.
                if self.kcl.is_empty() {
                    self.check_owned()?;
                }
            }
            let outstanding = self.with.checker.with(|state| state.outstanding());
            if has_put && has_checked && outstanding.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > RECOVERY_LIMIT {
                let shard = outstanding.keys().next().cloned();
                let leases = self.with.checker.leases.leases();
                let text = format!("not delivered: {outstanding:?}; leases {leases:#?}");
                return Err(self.with.checker.failure(text, shard));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Every shard that can be read has a living owner. A row at LATEST without a starting time waits for a listing, whose
    /// pauses may be longer.
    fn check_owned(&self) -> Result<(), String> {
        let leases = self.with.checker.leases.leases();
        let is_unfinished =
            |shard: &ShardId| leases.iter().any(|lease| lease.shard == *shard && !lease.checkpoint.is_ended());
        for lease in leases.iter().filter(|lease| !lease.checkpoint.is_ended() && !lease.lacks_start()) {
            let is_running = |name: &WorkerId| {
                self.running.iter().any(|worker| worker.name == *name)
                    || self.kcl.iter().any(|worker| worker.name == *name)
            };
            let holder = lease.handoff_from.as_ref().or(lease.owner.as_ref());
            if !holder.is_some_and(is_running) && !lease.parents.iter().any(is_unfinished) {
                let text = format!("without an owner {:?} after the faults: {lease:?}", self.plan.takeover_limit());
                return Err(self.with.checker.failure(text, Some(lease.shard.clone())));
            }
        }
        Ok(())
    }
}
