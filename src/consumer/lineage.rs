//! Which leases to create and which to remove, so that parents are read before their children. Pure.

use super::mutants::{Mutant, is_broken};
use super::stream_state::LatestStart;
use crate::domain::{
    Checkpoint, HashKeyRange, InitialPosition, Lease, NewLease, SentinelCheckpoint, Shard, ShardId, ShardListing,
    StreamIdentity, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LineagePlan {
    pub(super) create: Vec<NewLease>,
    pub(super) remove: Vec<Lease>,
    /// Shards among `create` whose rows were lost: they existed before, or should have been created with the others.
    pub(super) lost: Vec<ShardId>,
}

/// What is known of the stream in addition to leases and shards.
#[derive(Debug, Clone)]
pub(super) struct StreamFacts {
    pub(super) initial: InitialPosition,
    /// Where `latest` begins when there are no leases.
    pub(super) latest: LatestStart,
    pub(super) stream: StreamIdentity,
    /// Leases that this input saw before and whose rows are gone.
    pub(super) missing: Vec<Lease>,
}

/// Compares the leases with the shards.
pub(super) fn plan(leases: &[Lease], listing: &ShardListing, facts: &StreamFacts) -> LineagePlan {
    let restored = restored(leases, listing, facts);
    let lost_before: BTreeSet<&ShardId> = restored.iter().map(|lease| &lease.shard).collect();
    let all: Vec<Lease> = leases.iter().chain(&restored).cloned().collect();
    let graph = ShardGraph::new(&all, listing, &facts.stream);
    let first_start = FirstStart::new(&all, facts);
    let mut plan = LineagePlan::default();
    plan.create.extend(restored.iter().map(|lease| graph.restore(lease)));
    for shard in &listing.shards {
        if let Some((new, is_child)) = graph.start(shard, &first_start) {
            if !is_child && !all.is_empty() {
                plan.lost.push(shard.id.clone());
            }
            plan.create.push(new);
        }
    }
    plan.lost.extend(lost_before.into_iter().cloned());
    plan.remove = leases.iter().filter(|lease| graph.is_removable(lease)).cloned().collect();
    plan
}

/// The missing leases that are to be created again. A shard with leased descendants is not among them: another worker read
/// it to its end and removed the row.
fn restored(leases: &[Lease], listing: &ShardListing, facts: &StreamFacts) -> Vec<Lease> {
    let present = ShardGraph::new(leases, listing, &facts.stream);
    let is_lost = |lease: &&Lease| {
        present.listed.contains_key(&lease.shard)
            && !present.leased.contains_key(&lease.shard)
            && !present.has_leased_descendant(&lease.shard)
    };
    facts.missing.iter().filter(is_lost).cloned().collect()
}

/// The parts of the hash key space that no open shard covers. A listing may have such holes while the stream is resharded.
/// Where an open shard has no range, this cannot be known, and the listing is taken as complete.
pub(super) fn holes(listing: &ShardListing) -> Vec<HashKeyRange> {
    uncovered(listing.shards.iter().filter(|shard| shard.is_open).map(|shard| shard.hash_range))
}

/// The parts of the hash key space whose records no worker will read: no lease covers them that has not ended, or that has
/// ended while leases of its children are still to be created.
pub(super) fn lease_holes(leases: &[Lease], listing: &ShardListing) -> Vec<HashKeyRange> {
    let leased: BTreeSet<&ShardId> = leases.iter().map(|lease| &lease.shard).collect();
    let listed: BTreeMap<&ShardId, &Shard> = listing.shards.iter().map(|shard| (&shard.id, shard)).collect();
    let parents_of_missing: BTreeSet<&ShardId> =
        listing.shards.iter().filter(|shard| !leased.contains(&shard.id)).flat_map(|shard| &shard.parents).collect();
    let covers = |lease: &&Lease| {
        let children_missing = lease.children.iter().any(|child| !leased.contains(child));
        !lease.checkpoint.is_ended() || children_missing || parents_of_missing.contains(&lease.shard)
    };
    let range =
        |lease: &Lease| lease.hash_range.or_else(|| listed.get(&lease.shard).and_then(|shard| shard.hash_range));
    uncovered(leases.iter().filter(covers).map(range))
}

/// The parts of the hash key space in none of the ranges; none if a range is not known.
fn uncovered(ranges: impl Iterator<Item = Option<HashKeyRange>>) -> Vec<HashKeyRange> {
    let Some(mut ranges) = ranges.collect::<Option<Vec<HashKeyRange>>>() else { return Vec::new() };
    ranges.sort_unstable_by_key(|range| range.start);
    let mut holes = Vec::new();
    let mut next = Some(0_u128);
    for range in ranges {
        let Some(needed) = next else { return holes };
        if range.start > needed {
            holes.push(HashKeyRange { start: needed, end: range.start - 1 });
        }
        next = range.end.checked_add(1).map(|after| after.max(needed));
    }
    holes.extend(next.map(|start| HashKeyRange { start, end: u128::MAX }));
    holes
}

/// Where a shard begins that has neither a leased ancestor nor a leased descendant.
struct FirstStart {
    checkpoint: SentinelCheckpoint,
    start_at: Option<Timestamp>,
    only_open: bool,
}

impl FirstStart {
    fn new(leases: &[Lease], facts: &StreamFacts) -> Self {
        // A first start that was interrupted is completed from the same moment.
        let begun = leases.iter().filter_map(|lease| lease.start_at).min();
        let start_at = match (facts.initial, facts.latest) {
            (InitialPosition::Latest, LatestStart::Moment(moment)) if leases.is_empty() => Some(moment),
            (InitialPosition::Latest, _) => begun,
            (InitialPosition::AtTimestamp(moment), _) => Some(begun.unwrap_or(moment)),
            (InitialPosition::TrimHorizon, _) => None,
        };
        // Only the very first listing shows which shards were open at the beginning. A start that was interrupted may find
        // that a shard with new records is closed by now, so shards are selected by ancestry and read from the stored
        // moment.
        let only_open = facts.initial == InitialPosition::Latest && leases.is_empty() && start_at.is_some();
        // Without such a moment, the stream was created after the input was started, or the row was lost: the shard is read
        // from TRIM_HORIZON so that no record is skipped.
        let checkpoint = if start_at.is_some() { facts.initial.sentinel() } else { SentinelCheckpoint::TrimHorizon };
        Self { checkpoint, start_at, only_open }
    }
}

struct ShardGraph<'a> {
    leased: BTreeMap<&'a ShardId, &'a Lease>,
    listed: BTreeMap<&'a ShardId, &'a Shard>,
    children: BTreeMap<&'a ShardId, BTreeSet<&'a ShardId>>,
    stream: &'a StreamIdentity,
}

impl<'a> ShardGraph<'a> {
    fn new(leases: &'a [Lease], listing: &'a ShardListing, stream: &'a StreamIdentity) -> Self {
        let mut children: BTreeMap<&ShardId, BTreeSet<&ShardId>> = BTreeMap::new();
        let of_shards = listing.shards.iter().map(|shard| (&shard.id, &shard.parents));
        let of_leases = leases.iter().map(|lease| (&lease.shard, &lease.parents));
        for (child, parents) in of_shards.chain(of_leases) {
            for parent in parents {
                children.entry(parent).or_default().insert(child);
            }
        }
        for lease in leases {
            children.entry(&lease.shard).or_default().extend(&lease.children);
        }
        Self {
            leased: leases.iter().map(|lease| (&lease.shard, lease)).collect(),
            listed: listing.shards.iter().map(|shard| (&shard.id, shard)).collect(),
            children,
            stream,
        }
    }

    /// The lease to create for a shard, if it may be created now, and whether the shard has leased ancestors.
    fn start(&self, shard: &Shard, first_start: &FirstStart) -> Option<(NewLease, bool)> {
        // A shard with leased descendants was read before, or is older than the starting position.
        if self.leased.contains_key(&shard.id) || self.has_leased_descendant(&shard.id) {
            return None;
        }
        let is_child = self.has_leased_ancestor(&shard.id);
        let (start, start_at) = if is_child {
            let awaited = if is_broken(Mutant::SecondParentIgnored) { 1 } else { usize::MAX };
            let is_ready = shard.parents.iter().take(awaited).all(|parent| self.is_read(parent))
                || is_broken(Mutant::ParentsIgnored);
            let latest = is_broken(Mutant::ChildrenAtLatest);
            let start = if latest { SentinelCheckpoint::Latest } else { SentinelCheckpoint::TrimHorizon };
            is_ready.then_some((start, None))?
        } else {
            let is_behind = |parent| !self.listed.contains_key(parent) || self.has_leased_descendant(parent);
            let is_root = shard.parents.iter().all(is_behind);
            let begins = if first_start.only_open { shard.is_open } else { is_root };
            begins.then_some((first_start.checkpoint, first_start.start_at))?
        };
        let new = NewLease {
            shard: shard.id.clone(),
            checkpoint: Checkpoint::NotStarted(start),
            start_at,
            parents: shard.parents.clone(),
            hash_range: shard.hash_range,
            stream: Some(Arc::clone(&self.stream.stream)),
            stream_created: self.stream.created,
        };
        Some((new, is_child))
    }

    /// The lease of a lost row, as it was last seen.
    fn restore(&self, lease: &Lease) -> NewLease {
        NewLease {
            shard: lease.shard.clone(),
            checkpoint: lease.checkpoint.clone(),
            start_at: lease.start_at,
            parents: lease.parents.clone(),
            hash_range: lease.hash_range,
            stream: Some(Arc::clone(&self.stream.stream)),
            stream_created: self.stream.created,
        }
    }

    /// Whether all records of the shard were accepted, or the shard is gone.
    fn is_read(&self, shard: &ShardId) -> bool {
        self.leased.get(shard).map_or_else(|| !self.listed.contains_key(shard), |lease| lease.checkpoint.is_ended())
    }

    /// Whether the lease of an ended shard is no longer needed.
    fn is_removable(&self, lease: &Lease) -> bool {
        let parents_removed = lease.parents.iter().all(|parent| !self.leased.contains_key(parent));
        if !lease.checkpoint.is_ended() || !parents_removed {
            return false;
        }
        let children = self.children_of(&lease.shard);
        let children_started = children.iter().all(|child| match self.leased.get(child) {
            Some(child) => !matches!(child.checkpoint, Checkpoint::NotStarted(_)),
            None => self.has_leased_descendant(child),
        });
        // A listed shard without children keeps its row, or it would be read again.
        children_started && (!children.is_empty() || !self.listed.contains_key(&lease.shard))
    }

    fn children_of(&self, shard: &ShardId) -> Vec<&'a ShardId> {
        self.children.get(shard).into_iter().flatten().copied().collect()
    }

    fn has_leased_descendant(&self, shard: &ShardId) -> bool {
        self.reaches_lease(self.children_of(shard), |id| self.children_of(id))
    }

    fn has_leased_ancestor(&self, shard: &ShardId) -> bool {
        self.reaches_lease(self.parents_of(shard), |id| self.parents_of(id))
    }

    fn parents_of(&self, shard: &ShardId) -> Vec<&'a ShardId> {
        self.listed.get(shard).map(|listed| listed.parents.iter().collect()).unwrap_or_default()
    }

    fn reaches_lease(&self, from: Vec<&'a ShardId>, next: impl Fn(&ShardId) -> Vec<&'a ShardId>) -> bool {
        let mut seen = BTreeSet::new();
        let mut queue = from;
        while let Some(id) = queue.pop() {
            if self.leased.contains_key(id) {
                return true;
            }
            if seen.insert(id) {
                queue.extend(next(id));
            }
        }
        false
    }
}
