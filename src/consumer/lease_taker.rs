//! Which leases to take, and which one to request from another worker. Pure. The rules are those of the KCL's 2.x
//! lease taker, except that a lease of another worker of bindd is requested from it (a handoff) and not stolen. Owners of
//! other libraries do not know requests: their leases are taken, at most one per scan, as the KCL does it.

use super::mutants::{Mutant, is_broken};
use crate::domain::{Lease, LeaseCounter, ShardId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// In lease durations: how long a lease stays with a new owner before it is requested again (a minute at the default).
const HANDOFF_COOLDOWN: u32 = 6;
/// In lease durations: a lease that stays expired for this long is taken even by a worker that has its share.
const VERY_OLD: u32 = 3;

/// A row with a longer lease duration is wrong. It must not keep its shard unread for ever.
const MAX_OWNER_DURATION: Duration = Duration::from_secs(3_600);

/// What this worker has observed of the leases. Times are by this worker's clock only, as the clocks of workers differ.
#[derive(Debug)]
pub(super) struct LeaseTaker {
    worker: WorkerId,
    duration: Duration,
    observed: BTreeMap<ShardId, Observation>,
}

#[derive(Debug, Clone)]
struct Observation {
    counter: LeaseCounter,
    owner: Option<WorkerId>,
    unchanged_since: Instant,
    /// When this worker last saw the counter change. `None` after the first observation, which proves nothing about the
    /// owner.
    renewed_at: Option<Instant>,
    owner_changed_at: Option<Instant>,
    owner_duration: Option<Duration>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) take: Vec<Lease>,
    pub(super) request_handoff: Option<Lease>,
}

impl LeaseTaker {
    pub(super) const fn new(worker: WorkerId, duration: Duration) -> Self {
        Self { worker, duration, observed: BTreeMap::new() }
    }

    /// Records what a scan returned.
    pub(super) fn observe(&mut self, leases: &[Lease], now: Instant) {
        let mut observed = BTreeMap::new();
        for lease in leases {
            let before = self.observed.get(&lease.shard);
            let same = before.filter(|before| before.counter == lease.counter);
            let is_renewed = before.is_some() && same.is_none();
            let renewed_at = if is_renewed { Some(now) } else { same.and_then(|before| before.renewed_at) };
            let has_new_owner = before
                .is_some_and(|before| before.owner.is_some() && lease.owner.is_some() && before.owner != lease.owner);
            let owner_changed_at =
                if has_new_owner { Some(now) } else { before.and_then(|before| before.owner_changed_at) };
            let observation = Observation {
                counter: lease.counter,
                owner: lease.owner.clone(),
                unchanged_since: same.map_or(now, |before| before.unchanged_since),
                renewed_at,
                owner_changed_at,
                owner_duration: lease.owner_duration,
            };
            observed.insert(lease.shard.clone(), observation);
        }
        self.observed = observed;
    }

    fn unchanged_for(&self, lease: &Lease, now: Instant) -> Duration {
        let observation = self.observed.get(&lease.shard);
        observation.map_or(Duration::ZERO, |observation| now.saturating_duration_since(observation.unchanged_since))
    }

    /// Only the counter counts: a request for a handoff changes the owner's name, and proves nothing about the owner.
    fn is_expired(&self, lease: &Lease, now: Instant) -> bool {
        self.unchanged_for(lease, now) > self.expiry_of(lease.owner_duration)
    }

    /// The owner may be configured with a longer lease duration than this worker; its fence follows from that.
    fn expiry_of(&self, owner_duration: Option<Duration>) -> Duration {
        owner_duration.map_or(self.duration, |duration| duration.min(MAX_OWNER_DURATION).max(self.duration))
    }

    /// Whether this worker saw a renewal recently. An owner renews each third of the duration, so nearly every scan sees
    /// one.
    fn is_renewed(&self, lease: &Lease, now: Instant) -> bool {
        let renewed_at = self.observed.get(&lease.shard).and_then(|observation| observation.renewed_at);
        renewed_at.is_some_and(|at| now.saturating_duration_since(at) < self.duration / 2)
    }

    /// When the next lease of another worker expires if it is not renewed. A scan at that moment takes it over without
    /// waiting for the next regular scan.
    pub(super) fn next_expiry(&self, running: &BTreeSet<ShardId>, now: Instant) -> Option<Instant> {
        let others = self.observed.iter().filter(|(shard, lease)| lease.owner.is_some() && !running.contains(*shard));
        // One millisecond more, because a lease expires only after the whole duration has passed.
        let expiries = others
            .map(|(_, lease)| lease.unchanged_since + self.expiry_of(lease.owner_duration) + Duration::from_millis(1));
        expiries.filter(|expiry| *expiry > now).min()
    }

    fn is_cooling_down(&self, lease: &Lease, now: Instant) -> bool {
        let changed_at = self.observed.get(&lease.shard).and_then(|observation| observation.owner_changed_at);
        changed_at.is_some_and(|at| now.saturating_duration_since(at) < self.duration * HANDOFF_COOLDOWN)
    }

    /// Plans for the leases that were observed last. `running`: the shards that this worker consumes now.
    pub(super) fn plan(
        &self,
        leases: &[Lease],
        running: &BTreeSet<ShardId>,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Plan {
        let unfinished: BTreeSet<&ShardId> =
            leases.iter().filter(|lease| !lease.checkpoint.is_ended()).map(|lease| &lease.shard).collect();
        // Two workers that start on an empty table in the middle of a reshard may create leases for a parent and its
        // child; the child waits for its parent.
        let is_active = |lease: &&Lease| {
            let awaited = if is_broken(Mutant::SecondParentIgnored) { 1 } else { usize::MAX };
            let waits = lease.parents.iter().take(awaited).any(|parent| unfinished.contains(parent));
            unfinished.contains(&lease.shard) && (!waits || is_broken(Mutant::ParentsIgnored))
        };
        let active: Vec<&Lease> = leases.iter().filter(is_active).collect();
        let ours = |lease: &Lease| lease.owner.as_ref() == Some(&self.worker);
        // During a handoff the old owner may still deliver, even if the row names no next owner.
        let is_unowned = |lease: &Lease| lease.owner.is_none() && lease.handoff_from.is_none();
        let is_free = |lease: &Lease| is_unowned(lease) || self.is_expired(lease, now);
        // A lease that this worker owns but does not consume was handed over to it, is from an earlier run under the same
        // worker id, or was given up at its fence.
        let (assigned, others): (Vec<&Lease>, Vec<&Lease>) = active
            .iter()
            .filter(|lease| !running.contains(&lease.shard))
            .partition(|lease| ours(lease) && (lease.handoff_from.is_none() || is_broken(Mutant::HandoffNotAwaited)));
        let mut free: Vec<&Lease> = others.into_iter().filter(|lease| is_free(lease)).collect();
        random.shuffle(&mut free);

        let loads = self.loads(&active, running, now);
        let target = active.len().div_ceil(loads.len().max(1));
        let load = loads.get(&self.worker).copied().unwrap_or(0);
        let capacity = target.saturating_sub(load);
        let is_very_old = |lease: &Lease| self.unchanged_for(lease, now) > self.duration * VERY_OLD;
        let mut take: Vec<Lease> = assigned.into_iter().cloned().collect();
        let taken = free.iter().enumerate().filter(|(index, lease)| *index < capacity || is_very_old(lease));
        take.extend(taken.map(|(_, lease)| (*lease).clone()));

        let wants_more = free.is_empty() && load < target;
        let moved = if wants_more { self.choose_move(&active, &loads, now, random) } else { None };
        // Only workers of bindd store their lease duration, and only they see a request.
        let (request_handoff, stolen) = match moved {
            Some(lease) if lease.owner_duration.is_some() => (Some(lease), None),
            foreign => (None, foreign),
        };
        take.extend(stolen);
        Plan { take, request_handoff }
    }

    /// The live workers, and how many leases each owns or has requested from a live owner. A lease that was requested from a
    /// dead owner counts for no worker: it is free.
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

    /// A lease of the busiest worker, if that worker has at least two more than this one.
    fn choose_move(
        &self,
        active: &[&Lease],
        loads: &BTreeMap<WorkerId, usize>,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Option<Lease> {
        let load = loads.get(&self.worker).copied().unwrap_or(0);
        let (busiest, max_load) = loads.iter().max_by_key(|(_, load)| **load)?;
        if *max_load < load + 2 {
            return None;
        }
        let movable: Vec<&&Lease> = active
            .iter()
            .filter(|lease| lease.owner.as_ref() == Some(busiest) && lease.handoff_from.is_none())
            .filter(|lease| self.is_renewed(lease, now) && !self.is_cooling_down(lease, now))
            .collect();
        random.choice(&movable).map(|lease| (**lease).clone())
    }
}
