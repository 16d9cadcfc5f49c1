//! Pure: which leases to create and which to delete, parents before children.

use super::error::ConsumerError;
use crate::domain::{
    Checkpoint, HashKeyRange, InitialPosition, Lease, NewLease, Shard, ShardId, ShardListing, StartWord, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// A first start at LATEST begins this much before the service's time, so that no clock of the service can make a
/// record fall between.
const PIN_MARGIN_MILLIS: i64 = 1_000;

/// What the lease table lacks, and what it holds in vain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) create: Vec<NewLease>,
    pub(super) remove: Vec<Lease>,
    /// The listing did not cover all hash keys: the stream is in the middle of a reshard, look again soon.
    pub(super) is_incomplete: bool,
}

/// Compares the leases with the shards.
///
/// # Errors
/// `StreamReplaced` when the leases belong to an older stream of the same name.
pub(super) fn changes(
    leases: &[Lease],
    listing: &ShardListing,
    initial: InitialPosition,
) -> Result<Changes, ConsumerError> {
    same_stream(leases, listing)?;
    let open = listing.shards.iter().filter(|shard| shard.is_open);
    if leases.is_empty() && !covers_all(open.filter_map(|shard| shard.hash_range).collect()) {
        return Ok(Changes { is_incomplete: true, ..Changes::default() });
    }
    let family = Family::new(leases, listing);
    let pin = Pin::of(leases, listing, initial);
    let create = listing.shards.iter().filter_map(|shard| family.start(shard, &pin)).collect();
    let remove = leases.iter().filter(|lease| family.is_spent(lease)).cloned().collect();
    Ok(Changes { create, remove, is_incomplete: false })
}

fn same_stream(leases: &[Lease], listing: &ShardListing) -> Result<(), ConsumerError> {
    let Some(found) = listing.stream_created else { return Ok(()) };
    let foreign = leases.iter().filter_map(|lease| lease.stream_created).find(|leased| *leased != found);
    foreign.map_or(Ok(()), |leased| {
        Err(ConsumerError::StreamReplaced { leased: leased.as_millis(), found: found.as_millis() })
    })
}

/// Whether the ranges cover all of 0..=2¹²⁸−1. Shards without ranges say nothing, and are taken as they are.
fn covers_all(mut ranges: Vec<HashKeyRange>) -> bool {
    if ranges.is_empty() {
        return true;
    }
    ranges.sort_unstable_by_key(|range| range.start);
    let mut next = Some(0_u128);
    for range in ranges {
        let Some(needed) = next else { return true };
        if range.start > needed {
            return false;
        }
        next = range.end.checked_add(1).map(|after| after.max(needed));
    }
    next.is_none()
}

/// Where shards without any leased relative begin.
struct Pin {
    word: StartWord,
    start_at: Option<Timestamp>,
    only_open: bool,
}

impl Pin {
    fn of(leases: &[Lease], listing: &ShardListing, initial: InitialPosition) -> Self {
        // A first start that was cut short is completed from the same moment.
        let begun = leases.iter().filter_map(|lease| lease.start_at).min();
        let start_at = match initial {
            InitialPosition::Latest if leases.is_empty() => {
                Some(Timestamp::from_millis(listing.listed_at.as_millis() - PIN_MARGIN_MILLIS))
            }
            InitialPosition::Latest => begun,
            InitialPosition::AtTimestamp(moment) => Some(begun.unwrap_or(moment)),
            InitialPosition::TrimHorizon => None,
        };
        // Only the very first listing tells what was open at the beginning. A start that was cut short may find a shard
        // closed that took records since, so it goes by ancestry and reads from the moment kept.
        let only_open = initial == InitialPosition::Latest && leases.is_empty();
        // Without a moment to begin at, a forgotten shard is read from the horizon rather than skipped.
        let word = if start_at.is_some() { initial.word() } else { StartWord::TrimHorizon };
        Self { word, start_at, only_open }
    }
}

struct Family<'a> {
    leased: BTreeMap<&'a ShardId, &'a Lease>,
    listed: BTreeMap<&'a ShardId, &'a Shard>,
    children: BTreeMap<&'a ShardId, BTreeSet<&'a ShardId>>,
    stream_created: Option<Timestamp>,
}

impl<'a> Family<'a> {
    fn new(leases: &'a [Lease], listing: &'a ShardListing) -> Self {
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
            stream_created: listing.stream_created,
        }
    }

    /// The lease to create for a shard, if it is time.
    fn start(&self, shard: &Shard, pin: &Pin) -> Option<NewLease> {
        // A shard with leased descendants was consumed before, or lies before the beginning.
        if self.leased.contains_key(&shard.id) || self.has_leased_descendant(&shard.id) {
            return None;
        }
        let (start, start_at) = if self.has_leased_ancestor(&shard.id) {
            let is_ready = shard.parents.iter().all(|parent| self.is_over(parent));
            is_ready.then_some((StartWord::TrimHorizon, None))?
        } else {
            let is_behind = |parent| !self.listed.contains_key(parent) || self.has_leased_descendant(parent);
            let is_root = shard.parents.iter().all(is_behind);
            let begins = if pin.only_open { shard.is_open } else { is_root };
            begins.then_some((pin.word, pin.start_at))?
        };
        Some(NewLease {
            shard: shard.id.clone(),
            start,
            start_at,
            parents: shard.parents.clone(),
            hash_range: shard.hash_range,
            stream_created: self.stream_created,
        })
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
