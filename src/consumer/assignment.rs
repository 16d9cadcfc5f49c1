//! Pure: which leases to take, which one to ask for, which to leave. The rules of the KCL's 2.x workers, with asking
//! in place of taking by force.

use crate::domain::{Lease, LeaseCounter, ShardId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// A moved lease is left where it is for this many lease durations (a minute at the default).
const HOLD: u32 = 6;
/// A lease that nobody took for this many durations is taken even by a worker that has its share.
const OVERDUE: u32 = 3;

/// What this worker has seen of the leases, by its own clock alone.
#[derive(Debug)]
pub(super) struct Watch {
    worker: WorkerId,
    duration: Duration,
    seen: BTreeMap<ShardId, Sight>,
}

#[derive(Debug, Clone)]
struct Sight {
    counter: LeaseCounter,
    owner: Option<WorkerId>,
    unmoved_since: Instant,
    /// When this worker last saw the counter change. A first sight proves nothing about the owner.
    renewed_at: Option<Instant>,
    moved_at: Option<Instant>,
}

/// What to do with the leases now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) take: Vec<Lease>,
    pub(super) ask: Option<Lease>,
}

impl Watch {
    /// For a worker that has seen nothing yet.
    pub(super) const fn new(worker: WorkerId, duration: Duration) -> Self {
        Self { worker, duration, seen: BTreeMap::new() }
    }

    /// Notes what a scan found that began at `now`.
    pub(super) fn note(&mut self, leases: &[Lease], now: Instant) {
        let mut seen = BTreeMap::new();
        for lease in leases {
            let before = self.seen.get(&lease.shard);
            let same = before.filter(|sight| sight.counter == lease.counter);
            let is_renewed = before.is_some() && same.is_none();
            let renewed_at = if is_renewed { Some(now) } else { same.and_then(|sight| sight.renewed_at) };
            let moved = before
                .is_some_and(|sight| sight.owner.is_some() && lease.owner.is_some() && sight.owner != lease.owner);
            let moved_at = if moved { Some(now) } else { before.and_then(|sight| sight.moved_at) };
            let sight = Sight {
                counter: lease.counter,
                owner: lease.owner.clone(),
                unmoved_since: same.map_or(now, |sight| sight.unmoved_since),
                renewed_at,
                moved_at,
            };
            seen.insert(lease.shard.clone(), sight);
        }
        self.seen = seen;
    }

    fn unmoved(&self, lease: &Lease, now: Instant) -> Duration {
        self.seen.get(&lease.shard).map_or(Duration::ZERO, |sight| now.saturating_duration_since(sight.unmoved_since))
    }

    /// Expiry goes by the counter alone: a request for a handoff changes the owner's name, and says nothing about the
    /// owner.
    fn is_expired(&self, lease: &Lease, now: Instant) -> bool {
        self.unmoved(lease, now) > self.duration
    }

    /// Whether this worker saw a renewal not long ago. An owner that renews each third of the duration is seen to do so
    /// at nearly every scan.
    fn is_renewed(&self, lease: &Lease, now: Instant) -> bool {
        let renewed_at = self.seen.get(&lease.shard).and_then(|sight| sight.renewed_at);
        renewed_at.is_some_and(|at| now.saturating_duration_since(at) < self.duration / 2)
    }

    /// When the next lease of another worker expires, if its counter does not change until then. A scan at that moment
    /// takes it over without waiting for the end of the scan period.
    pub(super) fn next_expiry(&self, running: &BTreeSet<ShardId>, now: Instant) -> Option<Instant> {
        let others = self.seen.iter().filter(|(shard, sight)| sight.owner.is_some() && !running.contains(*shard));
        // A lease counts as expired when it stood still for longer than the duration.
        let expiries = others.map(|(_, sight)| sight.unmoved_since + self.duration + Duration::from_millis(1));
        expiries.filter(|expiry| *expiry > now).min()
    }

    fn is_held_still(&self, lease: &Lease, now: Instant) -> bool {
        let moved_at = self.seen.get(&lease.shard).and_then(|sight| sight.moved_at);
        moved_at.is_some_and(|at| now.saturating_duration_since(at) < self.duration * HOLD)
    }

    /// Decides, for the leases last noted. `running`: shards that this worker consumes now.
    pub(super) fn plan(
        &self,
        leases: &[Lease],
        running: &BTreeSet<ShardId>,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Plan {
        let going: BTreeSet<&ShardId> =
            leases.iter().filter(|lease| !lease.checkpoint.is_ended()).map(|lease| &lease.shard).collect();
        // Two workers that start on an empty table in the middle of a reshard may create leases for a parent and its
        // child; the child waits.
        let is_active =
            |lease: &&Lease| going.contains(&lease.shard) && !lease.parents.iter().any(|parent| going.contains(parent));
        let active: Vec<&Lease> = leases.iter().filter(is_active).collect();
        let ours = |lease: &Lease| lease.owner.as_ref() == Some(&self.worker);
        let is_free = |lease: &Lease| lease.owner.is_none() || self.is_expired(lease, now);
        // Also those of an earlier run under the same id, or given up at our own fence.
        let (handed, others): (Vec<&Lease>, Vec<&Lease>) = active
            .iter()
            .filter(|lease| !running.contains(&lease.shard))
            .partition(|lease| ours(lease) && lease.handoff_from.is_none());
        let mut free: Vec<&Lease> = others.into_iter().filter(|lease| is_free(lease)).collect();
        random.shuffle(&mut free);

        let loads = self.loads(&active, running, now);
        let target = active.len().div_ceil(loads.len().max(1));
        let load = loads.get(&self.worker).copied().unwrap_or(0);
        let room = target.saturating_sub(load);
        let overdue = |lease: &Lease| self.unmoved(lease, now) > self.duration * OVERDUE;
        let mut take: Vec<Lease> = handed.into_iter().cloned().collect();
        let taken = free.iter().enumerate().filter(|(index, lease)| *index < room || overdue(lease));
        take.extend(taken.map(|(_, lease)| (*lease).clone()));

        let ask = if free.is_empty() && load < target { self.ask(&active, &loads, now, random) } else { None };
        Plan { take, ask }
    }

    /// Live workers and how many leases each has or has been promised. A promise of an owner that died counts for no one:
    /// the lease is free.
    fn loads(&self, active: &[&Lease], running: &BTreeSet<ShardId>, now: Instant) -> BTreeMap<WorkerId, usize> {
        let mut loads = BTreeMap::from([(self.worker.clone(), 0)]);
        for lease in active {
            let is_live = !self.is_expired(lease, now);
            let is_ours = |owner: &WorkerId| {
                *owner == self.worker && (running.contains(&lease.shard) || lease.handoff_from.is_none())
            };
            if let Some(owner) = lease.owner.as_ref().filter(|owner| is_live || is_ours(owner)) {
                *loads.entry(owner.clone()).or_insert(0) += 1;
            }
            if let Some(old) = lease.handoff_from.as_ref().filter(|_| is_live) {
                loads.entry(old.clone()).or_insert(0);
            }
        }
        loads
    }

    fn ask(
        &self,
        active: &[&Lease],
        loads: &BTreeMap<WorkerId, usize>,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Option<Lease> {
        let load = loads.get(&self.worker).copied().unwrap_or(0);
        let (busiest, most) = loads.iter().max_by_key(|(_, load)| **load)?;
        if *most < load + 2 {
            return None;
        }
        let movable: Vec<&&Lease> = active
            .iter()
            .filter(|lease| lease.owner.as_ref() == Some(busiest) && lease.handoff_from.is_none())
            .filter(|lease| self.is_renewed(lease, now) && !self.is_held_still(lease, now))
            .collect();
        random.choice(&movable).map(|lease| (**lease).clone())
    }
}
