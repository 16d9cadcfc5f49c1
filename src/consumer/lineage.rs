//! Pure: which leases to create and which to delete, parents before children.

use super::history::LatestStart;
use crate::domain::{
    Checkpoint, HashKeyRange, InitialPosition, Lease, NewLease, Shard, ShardId, ShardListing, StartWord,
    StreamIdentity, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the lease table lacks, and what it holds in vain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) create: Vec<NewLease>,
    pub(super) remove: Vec<Lease>,
    /// Shards among `create` whose rows were lost: they were there, or should have been there as long as others.
    pub(super) lost: Vec<ShardId>,
}

/// What is known beside leases and shards.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) initial: InitialPosition,
    /// Where `latest` begins when there are no leases.
    pub(super) latest: LatestStart,
    pub(super) stream: StreamIdentity,
    /// Leases that this input saw before and that have no row any more.
    pub(super) missing: Vec<Lease>,
}

/// Compares the leases with the shards.
pub(super) fn changes(leases: &[Lease], listing: &ShardListing, origin: &Origin) -> Changes {
    let restored = restored(leases, listing, origin);
    let lost_before: BTreeSet<&ShardId> = restored.iter().map(|lease| &lease.shard).collect();
    let all: Vec<Lease> = leases.iter().chain(&restored).cloned().collect();
    let family = Family::new(&all, listing, &origin.stream);
    let pin = Pin::of(&all, origin);
    let mut changes = Changes::default();
    changes.create.extend(restored.iter().map(|lease| family.restore(lease)));
    for shard in &listing.shards {
        if let Some((new, is_child)) = family.start(shard, &pin) {
            if !is_child && !all.is_empty() {
                changes.lost.push(shard.id.clone());
            }
            changes.create.push(new);
        }
    }
    changes.lost.extend(lost_before.into_iter().cloned());
    changes.remove = leases.iter().filter(|lease| family.is_spent(lease)).cloned().collect();
    changes
}

/// The missing leases that are to be created again. One whose shard has leased descendants was ended, and its row removed,
/// by another worker.
fn restored(leases: &[Lease], listing: &ShardListing, origin: &Origin) -> Vec<Lease> {
    let present = Family::new(leases, listing, &origin.stream);
    let is_lost = |lease: &&Lease| {
        present.listed.contains_key(&lease.shard)
            && !present.leased.contains_key(&lease.shard)
            && !present.has_leased_descendant(&lease.shard)
    };
    origin.missing.iter().filter(is_lost).cloned().collect()
}

/// The parts of the hash key space that no open shard covers. While a stream is resharded a listing may have such holes for
/// a moment. Open shards without ranges say nothing, and are taken as they are.
pub(super) fn holes(listing: &ShardListing) -> Vec<HashKeyRange> {
    let open: Vec<&Shard> = listing.shards.iter().filter(|shard| shard.is_open).collect();
    let mut ranges: Vec<HashKeyRange> = open.iter().filter_map(|shard| shard.hash_range).collect();
    if ranges.len() < open.len() {
        return Vec::new();
    }
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

/// Where shards without any leased relative begin.
struct Pin {
    word: StartWord,
    start_at: Option<Timestamp>,
    only_open: bool,
}

impl Pin {
    fn of(leases: &[Lease], origin: &Origin) -> Self {
        // A first start that was cut short is completed from the same moment.
        let begun = leases.iter().filter_map(|lease| lease.start_at).min();
        let start_at = match (origin.initial, origin.latest) {
            (InitialPosition::Latest, LatestStart::Moment(moment)) if leases.is_empty() => Some(moment),
            (InitialPosition::Latest, _) => begun,
            (InitialPosition::AtTimestamp(moment), _) => Some(begun.unwrap_or(moment)),
            (InitialPosition::TrimHorizon, _) => None,
        };
        // Only the very first listing tells what was open at the beginning. A start that was cut short may find a shard
        // closed that took records since, so it goes by ancestry and reads from the moment kept.
        let only_open = origin.initial == InitialPosition::Latest && leases.is_empty() && start_at.is_some();
        // Without a moment to begin at, a shard is read from the horizon rather than skipped: its stream is younger than the
        // input, or its row was lost.
        let word = if start_at.is_some() { origin.initial.word() } else { StartWord::TrimHorizon };
        Self { word, start_at, only_open }
    }
}

struct Family<'a> {
    leased: BTreeMap<&'a ShardId, &'a Lease>,
    listed: BTreeMap<&'a ShardId, &'a Shard>,
    children: BTreeMap<&'a ShardId, BTreeSet<&'a ShardId>>,
    stream: &'a StreamIdentity,
}

impl<'a> Family<'a> {
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

    /// The lease to create for a shard, if it is time, and whether it continues leased parents.
    fn start(&self, shard: &Shard, pin: &Pin) -> Option<(NewLease, bool)> {
        // A shard with leased descendants was consumed before, or lies before the beginning.
        if self.leased.contains_key(&shard.id) || self.has_leased_descendant(&shard.id) {
            return None;
        }
        let is_child = self.has_leased_ancestor(&shard.id);
        let (start, start_at) = if is_child {
            let is_ready = shard.parents.iter().all(|parent| self.is_over(parent));
            is_ready.then_some((StartWord::TrimHorizon, None))?
        } else {
            let is_behind = |parent| !self.listed.contains_key(parent) || self.has_leased_descendant(parent);
            let is_root = shard.parents.iter().all(is_behind);
            let begins = if pin.only_open { shard.is_open } else { is_root };
            begins.then_some((pin.word, pin.start_at))?
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

    /// A lease as it was last seen, for a row that was lost.
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

    /// Everything in the shard was accepted, or nothing of it is left to read.
    fn is_over(&self, shard: &ShardId) -> bool {
        self.leased.get(shard).map_or_else(|| !self.listed.contains_key(shard), |lease| lease.checkpoint.is_ended())
    }

    /// Whether nobody needs the lease of an ended shard any more.
    fn is_spent(&self, lease: &Lease) -> bool {
        let parents_gone = lease.parents.iter().all(|parent| !self.leased.contains_key(parent));
        if !lease.checkpoint.is_ended() || !parents_gone {
            return false;
        }
        let children = self.children_of(&lease.shard);
        let children_go_on = children.iter().all(|child| match self.leased.get(child) {
            Some(child) => !matches!(child.checkpoint, Checkpoint::NotStarted(_)),
            None => self.has_leased_descendant(child),
        });
        // Without children the row is what keeps a listed shard from being read again.
        children_go_on && (!children.is_empty() || !self.listed.contains_key(&lease.shard))
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
        let mut ahead = from;
        while let Some(id) = ahead.pop() {
            if self.leased.contains_key(id) {
                return true;
            }
            if seen.insert(id) {
                ahead.extend(next(id));
            }
        }
        false
    }
}
