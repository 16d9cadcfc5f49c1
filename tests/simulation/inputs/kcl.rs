//! A worker of the KCL beside those of bindd, by the rules of the KCL: its own clock, leases that expire when their counter
//! stands still, one stolen lease at a time (2.x), or a leader that assigns and hands over (3.x). Its app accepts
//! everything.

use super::checker::Checker;
use super::clock::WorkerClock;
use super::kcl_table::{KclTable, KclVersion};
use bindd::domain::{
    Checkpoint, Fetched, Lease, LeaseCounter, Record, RecordPosition, ShardId, StartingPosition, WorkerId,
};
use bindd::tasks::Supervisor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two rounds of a worker.
const TICK: Duration = Duration::from_millis(250);
const EPSILON: Duration = Duration::from_millis(25);
/// In lease durations: an older lease is taken even beyond the share of a worker.
const VERY_OLD: u32 = 3;
/// In lease durations: how long the leader of the KCL 3.x waits for a handoff.
const HANDOFF_LIMIT: u32 = 3;

/// A lease that the worker believes to hold.
#[derive(Debug)]
struct Held {
    counter: LeaseCounter,
    renewed_at: Instant,
    /// Where to read next.
    next: StartingPosition,
    done: Option<RecordPosition>,
    batch: Vec<Record>,
    /// When the app has processed the batch.
    ready_at: Instant,
    is_handed_over: bool,
}

#[derive(Debug)]
struct Kcl {
    table: KclTable,
    failover: Duration,
    random: fastrand::Rng,
    /// When the counter of a row was first seen as it is, and a handoff.
    seen: BTreeMap<ShardId, (LeaseCounter, Instant)>,
    handoffs: BTreeMap<ShardId, Instant>,
    held: BTreeMap<ShardId, Held>,
    renew_at: Instant,
    take_at: Instant,
    /// All workers of the KCL that run. The first one leads.
    peers: Arc<std::sync::Mutex<Vec<WorkerId>>>,
    pauses: bool,
}

#[derive(Debug)]
pub(crate) struct KclWorker {
    pub(crate) name: WorkerId,
    stop: Arc<AtomicBool>,
    peers: Arc<std::sync::Mutex<Vec<WorkerId>>>,
    /// Dropping it is a crash.
    task: Supervisor<()>,
}

impl KclWorker {
    pub(crate) fn start(
        checker: &Checker,
        (name, version): (WorkerId, KclVersion),
        peers: &Arc<std::sync::Mutex<Vec<WorkerId>>>,
        random: &mut fastrand::Rng,
    ) -> Self {
        let clock = WorkerClock::new(&checker.stream, random);
        let (lease, is_clean) = checker.with(|state| (state.plan.lease, state.plan.is_clean));
        let now = Instant::now();
        let kcl = Kcl {
            table: KclTable { checker: checker.clone(), worker: name.clone(), version },
            failover: clock.lasts(lease),
            random: random.fork(),
            seen: BTreeMap::new(),
            handoffs: BTreeMap::new(),
            held: BTreeMap::new(),
            renew_at: now,
            take_at: now,
            peers: Arc::clone(peers),
            pauses: !is_clean,
        };
        peers.lock().unwrap().push(name.clone());
        let (stop, mut task) = (Arc::new(AtomicBool::new(false)), Supervisor::new());
        task.spawn(name.as_str(), kcl.run(Arc::clone(&stop)));
        checker.note(Some(&name), None, format!("started, {version:?}, {clock}"));
        Self { name, stop, peers: Arc::clone(peers), task }
    }

    /// Waits until it has stored its progress and given its leases up.
    pub(crate) async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.task.next().await.is_some() {}
    }
}

impl Drop for KclWorker {
    fn drop(&mut self) {
        self.peers.lock().unwrap().retain(|name| *name != self.name);
    }
}

impl Kcl {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            sleep(TICK).await;
            if self.pauses && self.random.u32(0..120) == 0 {
                // Often for longer than a lease lasts.
                sleep(self.failover.mul_f64(2.5 * self.random.f64())).await;
            }
            let now = Instant::now();
            if now >= self.renew_at {
                self.renew_at = now + self.failover / 3 - EPSILON;
                self.renew(now);
                if self.table.version == KclVersion::V3 {
                    self.find_assigned(now);
                }
            }
            if now >= self.take_at {
                self.take_at = now + (self.failover + EPSILON) * 2;
                self.observe(now);
                match self.table.version {
                    KclVersion::V2 => self.take(now),
                    KclVersion::V3 => self.lead(now),
                }
            }
            let shards: Vec<ShardId> = self.held.keys().cloned().collect();
            for shard in shards {
                self.process(&shard, now);
            }
        }
        for (shard, held) in std::mem::take(&mut self.held) {
            self.store(&shard, &held);
            self.table.evict(&shard);
        }
    }

    fn note(&self, shard: &ShardId, note: String) {
        self.table.checker.note(Some(&self.table.worker), Some(shard), note);
    }

    fn renew(&mut self, now: Instant) {
        let (table, failover) = (self.table.clone(), self.failover);
        let mut lost = Vec::new();
        for (shard, held) in &mut self.held {
            let is_late = now > held.renewed_at + failover;
            match table.renew(shard, held.counter, held.is_handed_over).or_else(|| reread(&table, shard, held)) {
                Some(row) if !is_late => (held.counter, held.renewed_at) = (row.counter, now),
                _ => lost.push(shard.clone()),
            }
        }
        for shard in lost {
            self.note(&shard, "lost its lease".to_owned());
            self.held.remove(&shard);
        }
    }

    fn observe(&mut self, now: Instant) {
        let (mut seen, mut handoffs) = (BTreeMap::new(), BTreeMap::new());
        for row in self.table.rows() {
            let same = self.seen.get(&row.shard).filter(|(counter, _)| *counter == row.counter);
            seen.insert(row.shard.clone(), same.copied().unwrap_or((row.counter, now)));
            if row.handoff_from.is_some() {
                let since = self.handoffs.get(&row.shard).copied().unwrap_or(now);
                handoffs.insert(row.shard, since);
            }
        }
        (self.seen, self.handoffs) = (seen, handoffs);
    }

    fn unchanged_for(&self, row: &Lease, now: Instant) -> Duration {
        self.seen.get(&row.shard).map_or(Duration::ZERO, |(_, since)| now - *since)
    }

    /// Rows of shards that have not ended, and how many leases each live worker has.
    fn loads(&self, now: Instant) -> (Vec<Lease>, BTreeMap<WorkerId, usize>) {
        let rows: Vec<Lease> = self.table.rows().into_iter().filter(|row| !row.checkpoint.is_ended()).collect();
        let mut loads = BTreeMap::from([(self.table.worker.clone(), 0)]);
        for row in &rows {
            if let Some(owner) = row.owner.as_ref().filter(|_| self.unchanged_for(row, now) <= self.failover) {
                *loads.entry(owner.clone()).or_insert(0) += 1;
            }
        }
        (rows, loads)
    }

    /// As the lease taker of the KCL 2.x.
    fn take(&mut self, now: Instant) {
        let (rows, loads) = self.loads(now);
        let target = rows.len().div_ceil(loads.len());
        let mine = loads[&self.table.worker];
        let is_free = |row: &&Lease| row.owner.is_none() || self.unchanged_for(row, now) > self.failover;
        let mut free: Vec<&Lease> = rows.iter().filter(is_free).collect();
        self.random.shuffle(&mut free);
        let need = target.saturating_sub(mine);
        let is_very_old = |row: &Lease| self.unchanged_for(row, now) > self.failover * VERY_OLD;
        let chosen = free.iter().enumerate().filter(|(index, row)| *index < need || is_very_old(row));
        let mut take: Vec<Lease> = chosen.map(|(_, row)| (*row).clone()).collect();
        let busiest = loads.iter().max_by_key(|(_, load)| **load);
        if let Some((busiest, load)) = busiest.filter(|_| free.is_empty() && need > 0)
            && (*load > target || (*load == target && need > 1))
            && *busiest != self.table.worker
        {
            let stealable: Vec<&Lease> = rows.iter().filter(|row| row.owner.as_ref() == Some(busiest)).collect();
            take.extend(self.random.choice(&stealable).map(|row| (*row).clone()));
        }
        for row in take {
            if let Some(taken) = self.table.take(&row) {
                self.hold(&taken, now);
            }
        }
    }

    /// As the lease assignment of the KCL 3.x, in its leader.
    fn lead(&mut self, now: Instant) {
        let peers = self.peers.lock().unwrap().clone();
        if peers.first() != Some(&self.table.worker) {
            return;
        }
        let (rows, mut loads) = self.loads(now);
        for peer in &peers {
            loads.entry(peer.clone()).or_insert(0);
        }
        for row in &rows {
            let Some(idlest) = peers.iter().min_by_key(|peer| loads[*peer]).cloned() else { return };
            let is_expired = row.owner.is_none() || self.unchanged_for(row, now) > self.failover;
            let is_overdue =
                self.handoffs.get(&row.shard).is_some_and(|since| now - *since > self.failover * HANDOFF_LIMIT);
            let to = if is_overdue { row.owner.clone() } else { Some(idlest) };
            if let Some(to) = to.filter(|to| (is_expired || is_overdue) && peers.contains(to))
                && self.table.assign(row, &to).is_some()
            {
                *loads.entry(to).or_insert(0) += 1;
            }
        }
        let (busiest, idlest) =
            (loads.iter().max_by_key(|(_, load)| **load), peers.iter().min_by_key(|peer| loads[*peer]));
        let Some(((busiest, most), idlest)) = busiest.zip(idlest) else { return };
        if *most >= loads[idlest] + 2
            && let Some(row) = rows.iter().find(|row| row.owner.as_ref() == Some(busiest) && row.handoff_from.is_none())
        {
            self.table.hand_over(row, idlest);
        }
    }

    /// A worker of the KCL 3.x looks for the leases that name it.
    fn find_assigned(&mut self, now: Instant) {
        for row in self.table.rows() {
            let is_mine = row.owner.as_ref() == Some(&self.table.worker) && row.handoff_from.is_none();
            if is_mine && !row.checkpoint.is_ended() && !self.held.contains_key(&row.shard) {
                self.hold(&row, now);
            }
        }
    }

    fn hold(&mut self, row: &Lease, now: Instant) {
        let held = Held {
            counter: row.counter,
            renewed_at: now,
            next: row.opening(),
            done: row.checkpoint.position().cloned(),
            batch: Vec::new(),
            ready_at: now,
            is_handed_over: false,
        };
        self.held.insert(row.shard.clone(), held);
    }

    /// Stores what the app has processed; false if the lease is lost.
    fn store(&self, shard: &ShardId, held: &Held) -> Option<LeaseCounter> {
        let row = self.table.row(shard)?;
        match held.done.clone().map(Checkpoint::After) {
            Some(done) if done.is_beyond(&row.checkpoint) => {
                self.table.checkpoint(shard, held.counter, done).map(|row| row.counter)
            }
            _ => Some(held.counter),
        }
    }

    fn process(&mut self, shard: &ShardId, now: Instant) {
        let Some(mut held) = self.held.remove(shard) else { return };
        if self.process_held(shard, &mut held, now) {
            self.held.insert(shard.clone(), held);
        }
    }

    /// False if the lease is not held any more.
    fn process_held(&mut self, shard: &ShardId, held: &mut Held, now: Instant) -> bool {
        if now > held.renewed_at + self.failover {
            self.note(shard, "could not renew its lease in time".to_owned());
            return false;
        }
        if now < held.ready_at {
            return true;
        }
        for record in held.batch.drain(..) {
            self.table.checker.accepted(shard, &record.position);
            held.done = Some(record.position);
        }
        match self.store(shard, held) {
            Some(counter) => held.counter = counter,
            None => {
                self.note(shard, "lost its lease with a checkpoint".to_owned());
                return false;
            }
        }
        if held.is_handed_over {
            self.table.evict(shard);
            return false;
        }
        let waits = self.table.row(shard).is_some_and(|row| {
            row.parents.iter().any(|parent| self.table.row(parent).is_some_and(|parent| !parent.checkpoint.is_ended()))
        });
        if waits {
            return true;
        }
        match self.table.checker.stream.read_at(shard, &held.next) {
            Ok(Fetched::Batch(batch)) => {
                if let Some(last) = batch.records.last() {
                    held.next = StartingPosition::After(last.position.sequence.clone());
                }
                held.batch = batch.records;
                held.batch.retain(|record| held.done.as_ref().is_none_or(|done| record.position > *done));
                held.ready_at = now + Duration::from_millis(self.random.u64(20..400));
                true
            }
            Ok(Fetched::ShardEnded { children }) => !self.ended(shard, held, &children),
            Err(error) => {
                self.note(shard, format!("cannot read: {error}"));
                true
            }
        }
    }

    /// Creates the leases of the children, then stores them and the end. False if that must be repeated.
    fn ended(&self, shard: &ShardId, held: &Held, children: &[ShardId]) -> bool {
        let listing = self.table.checker.stream.listing();
        for child in listing.shards.iter().filter(|listed| children.contains(&listed.id)) {
            let leased = child.parents.iter().filter(|parent| self.table.row(parent).is_some()).count();
            if leased > 0 && leased < child.parents.len() && self.table.row(&child.id).is_none() {
                return false;
            }
            self.table.create_child(child);
        }
        self.table.store_children(shard, children);
        self.table.checkpoint(shard, held.counter, Checkpoint::Ended);
        true
    }
}

/// After a failed renewal. A row that is one ahead and ours counts as a renewal whose reply was lost; a handoff is noticed.
fn reread(table: &KclTable, shard: &ShardId, held: &mut Held) -> Option<Lease> {
    let row = table.row(shard)?;
    if table.version == KclVersion::V3 && row.handoff_from.as_ref() == Some(&table.worker) {
        held.is_handed_over = true;
        return table.renew(shard, held.counter, true);
    }
    (row.owner.as_ref() == Some(&table.worker) && row.counter == held.counter.next()).then_some(row)
}
