//! What can happen in one step of a run.

use super::ledger::Fate;
use super::run::Run;
use bindd::domain::ShardId;
use bindd::testing::{Partition, ReadFault};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// More open shards are not split.
const MAX_OPEN: usize = 6;

impl Run {
    pub(super) async fn step(&mut self) -> Result<(), String> {
        let is_clean = self.plan.is_clean;
        match self.random.u32(0..100) {
            0..=49 => self.put(),
            50..=56 => self.reshard(),
            57..=62 if self.running.len() < self.plan.max_workers => self.start(),
            63..=66 => self.stop_any().await?,
            67..=71 if !is_clean => self.crash(),
            72..=76 if !is_clean => self.partition_leases(),
            77..=80 if !is_clean => self.freeze(),
            81..=85 if !is_clean => self.fail_reads(),
            86..=87 if !is_clean => self.restart_app(),
            88..=89 if !is_clean => self.partition_app(),
            90 if !is_clean => self.outage().await?,
            91 if !is_clean => self.set_clock(),
            94..=95 if self.plan.is_replaced => self.delete_stream(),
            94..=97 => self.change_kcl().await,
            92..=93 if !is_clean && self.plan.fan_out => self.take_over(),
            _ => {}
        }
        Ok(())
    }

    fn reshard(&mut self) {
        let stream = self.with.checker.stream.clone();
        let open = stream.open_shards();
        let (Some(one), Some(other)) = (self.random.choice(&open).cloned(), self.random.choice(&open).cloned()) else {
            return;
        };
        if let Some(child) = stream.merge(&one, &other) {
            self.with.checker.note(None, Some(&child), format!("merged from {one} and {other}"));
        } else if open.len() < MAX_OPEN {
            self.split(&one);
        }
    }

    /// Splits a shard, and sometimes a child of it at once.
    fn split(&mut self, shard: &ShardId) {
        let mut shard = shard.clone();
        while let Some(children) = self.with.checker.stream.split(&shard) {
            self.with.checker.note(None, Some(&shard), format!("split into {children:?}"));
            shard = children[self.random.usize(0..2)].clone();
            if self.random.u32(0..4) > 0 {
                return;
            }
        }
    }

    fn crash(&mut self) {
        if !self.running.is_empty() {
            let index = self.random.usize(0..self.running.len());
            let crashed = self.running.swap_remove(index);
            self.with.checker.note(Some(&crashed.name), None, "crashed".to_owned());
        }
    }

    async fn stop_any(&mut self) -> Result<(), String> {
        if self.running.is_empty() {
            return Ok(());
        }
        let index = self.random.usize(0..self.running.len());
        self.stop_one(index, false).await
    }

    /// Often for longer than a lease lasts.
    fn partition_leases(&mut self) {
        let kinds = [Partition::LateThenRequests, Partition::RepliesThenRequests, self.partition()];
        let (partition, duration) = (*self.random.choice(&kinds).unwrap(), self.duration());
        if let Some(worker) = self.random.choice(&self.running) {
            worker.leases.partition(partition, duration);
            let note = format!("lease table partitioned for {duration:?}: {partition:?} are lost");
            self.with.checker.note(Some(&worker.name), None, note);
        }
    }

    fn partition_app(&mut self) {
        let (partition, duration) = (self.partition(), self.duration());
        if let Some(worker) = self.random.choice(&self.running) {
            *worker.app.partition.lock().unwrap() = Some((partition, Instant::now() + duration));
            let note = format!("app partitioned for {duration:?}: {partition:?} are lost");
            self.with.checker.note(Some(&worker.name), None, note);
        }
    }

    fn partition(&mut self) -> Partition {
        *self
            .random
            .choice(&[Partition::Requests, Partition::Replies, Partition::Flapping, Partition::Flapping])
            .unwrap()
    }

    /// From half a second to two and a half lease durations.
    fn duration(&mut self) -> Duration {
        Duration::from_millis(500) + self.plan.lease.mul_f64(2.5 * self.random.f64())
    }

    /// As a virtual machine that is suspended, or a process that gets SIGSTOP.
    fn freeze(&mut self) {
        let duration = self.duration();
        let Some(worker) = self.random.choice(&self.running) else { return };
        if worker.freezer.is_frozen() {
            return;
        }
        worker.freezer.freeze();
        let (name, freezer, checker) = (worker.name.clone(), worker.freezer.clone(), self.with.checker.clone());
        checker.note(Some(&name), None, format!("frozen for {duration:?}"));
        checker.with(|state| state.frozen.insert(name.clone(), None));
        self.with.network.send(async move {
            sleep(duration).await;
            checker.with(|state| state.frozen.insert(name.clone(), Some(Instant::now())));
            checker.note(Some(&name), None, "goes on".to_owned());
            freezer.thaw();
        });
    }

    /// A foreign process subscribes to a shard, once or for a while.
    fn take_over(&mut self) {
        let duration = if self.random.bool() { Duration::ZERO } else { Duration::from_secs(self.random.u64(5..40)) };
        let open = self.with.checker.stream.open_shards();
        if let Some(shard) = self.random.choice(&open) {
            self.with.fan_out.take_over(shard, duration);
            self.with.checker.note(None, Some(shard), format!("subscription taken over for {duration:?}"));
        }
    }

    /// The time of day of a worker changes, by up to half a minute.
    fn set_clock(&mut self) {
        let ahead = self.random.i64(-30_000..30_000);
        if let Some(worker) = self.random.choice(&self.running) {
            worker.clock.jump(ahead);
            self.with.checker.note(Some(&worker.name), None, format!("its clock is {ahead} ms ahead now"));
        }
    }

    /// For one worker or for all. Without permission it may take a minute.
    fn fail_reads(&mut self) {
        let faults = [ReadFault::Throttled, ReadFault::ServerError, ReadFault::Partition, ReadFault::Denied];
        let fault = *self.random.choice(&faults).unwrap();
        let seconds = if fault == ReadFault::Denied { 5..60 } else { 1..20 };
        let duration = Duration::from_secs(self.random.u64(seconds));
        let all = self.random.u32(0..3) == 0;
        let one = self.random.usize(0..self.running.len().max(1));
        for (index, worker) in self.running.iter().enumerate() {
            if all || index == one {
                worker.reads.fail_for(fault, duration);
                self.with.checker.note(Some(&worker.name), None, format!("reads fail for {duration:?}: {fault:?}"));
            }
        }
    }

    fn restart_app(&mut self) {
        let down = Duration::from_millis(self.random.u64(100..8_000));
        self.with.app.restart(down);
        self.with.checker.note(None, None, format!("app restarts, down for {down:?}"));
    }

    /// All workers are down, while the stream is written and resharded; records may age out.
    async fn outage(&mut self) -> Result<(), String> {
        self.with.checker.note(None, None, "outage of all workers".to_owned());
        while !self.running.is_empty() {
            if self.random.bool() { self.crash() } else { self.stop_any().await? }
        }
        for _ in 0..self.random.u32(1..6) {
            self.put();
            self.reshard();
            sleep(Duration::from_millis(self.random.u64(100..3_000))).await;
        }
        if self.plan.is_trimmed && self.replacement.is_none() {
            self.trim();
        }
        self.put();
        self.start();
        Ok(())
    }

    /// Of each shard only the last record is left, or none of a closed one.
    fn trim(&mut self) {
        let checker = self.with.checker.clone();
        for lease in checker.leases.leases() {
            let is_closed = !checker.stream.open_shards().contains(&lease.shard);
            let count = checker.stream.record_count(&lease.shard);
            let kept = usize::from(!is_closed || self.random.bool());
            let trimmed = checker.stream.trim(&lease.shard, count.saturating_sub(kept));
            let is_seen = is_closed || checker.stream.record_count(&lease.shard) > 0;
            checker.note(None, Some(&lease.shard), format!("{} records aged out", trimmed.len()));
            let unread = trimmed.last().zip(lease.checkpoint.position()).is_some_and(|(last, done)| last > done);
            self.expects_gap |= unread && is_seen;
            checker.with(|state| {
                for position in trimmed {
                    state.ledger.settle(&lease.shard, &position, Fate::AgedOut);
                }
            });
        }
    }
}
