use super::super::lineage::changes;
use super::{after, lease, shard};
use crate::domain::{
    Checkpoint, HashKeyRange, InitialPosition, Lease, Shard, ShardId, ShardListing, StartWord, Timestamp,
};
use crate::testing::MemoryStream;

fn listing(shards: Vec<Shard>) -> ShardListing {
    let listed_at = Timestamp::from_millis(10_000);
    ShardListing { shards, listed_at, stream_created: Some(Timestamp::from_millis(1)) }
}

fn listed(number: u32, parents: &[u32], is_open: bool) -> Shard {
    let hash_range = is_open.then_some(HashKeyRange { start: 0, end: u128::MAX });
    Shard { id: shard(number), parents: parents.iter().map(|parent| shard(*parent)).collect(), hash_range, is_open }
}

fn at(number: u32, checkpoint: Checkpoint, parents: &[u32]) -> Lease {
    Lease { checkpoint, parents: parents.iter().map(|parent| shard(*parent)).collect(), ..lease(number, None, 0) }
}

fn created(leases: &[Lease], listing: &ShardListing, initial: InitialPosition) -> Vec<ShardId> {
    changes(leases, listing, initial).unwrap().create.into_iter().map(|new| new.shard).collect()
}

#[test]
fn latest_begins_with_open_shards_pinned_before_the_listing() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true)]);
    let create = changes(&[], &listing, InitialPosition::Latest).unwrap().create;
    assert_eq!(create.len(), 1);
    assert_eq!((&create[0].shard, create[0].start), (&shard(1), StartWord::Latest));
    assert_eq!(create[0].start_at, Some(Timestamp::from_millis(9_000)));
}

#[test]
fn horizon_begins_with_shards_whose_parents_are_gone() {
    let listing = listing(vec![listed(3, &[1], false), listed(4, &[3], true)]);
    assert_eq!(created(&[], &listing, InitialPosition::TrimHorizon), [shard(3)]);
}

#[test]
fn a_listing_with_a_hole_creates_nothing() {
    let half = Shard { hash_range: Some(HashKeyRange { start: 1, end: u128::MAX }), ..listed(0, &[], true) };
    let changes = changes(&[], &listing(vec![half]), InitialPosition::Latest).unwrap();
    assert!(changes.is_incomplete && changes.create.is_empty());
}

#[test]
fn the_child_of_a_merge_waits_for_both_parents() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[], false), listed(2, &[0, 1], true)]);
    let half = [at(0, Checkpoint::Ended, &[]), at(1, after(5), &[])];
    assert!(created(&half, &listing, InitialPosition::Latest).is_empty());
    let both = [at(0, Checkpoint::Ended, &[]), at(1, Checkpoint::Ended, &[])];
    assert_eq!(created(&both, &listing, InitialPosition::Latest), [shard(2)]);
}

#[test]
fn a_removed_parent_is_not_created_again() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], false), listed(2, &[1], true)]);
    assert!(created(&[at(2, after(5), &[1])], &listing, InitialPosition::TrimHorizon).is_empty());
}

#[test]
fn a_forgotten_child_is_healed() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true), listed(2, &[0], true)]);
    let leases = [at(0, Checkpoint::Ended, &[]), at(1, after(5), &[0])];
    assert_eq!(created(&leases, &listing, InitialPosition::Latest), [shard(2)]);
}

#[test]
fn a_first_start_cut_short_is_completed_from_the_same_moment() {
    let listing = listing(vec![listed(0, &[], true), listed(1, &[], true)]);
    let first = Lease {
        checkpoint: Checkpoint::NotStarted(StartWord::Latest),
        start_at: Some(Timestamp::from_millis(77)),
        ..lease(0, None, 0)
    };
    let create = changes(&[first], &listing, InitialPosition::Latest).unwrap().create;
    assert_eq!((create[0].start, create[0].start_at), (StartWord::Latest, Some(Timestamp::from_millis(77))));
}

#[test]
fn a_parent_goes_only_when_all_children_moved_on() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true), listed(2, &[0], true)]);
    let untouched = at(2, Checkpoint::NotStarted(StartWord::TrimHorizon), &[0]);
    let leases = [at(0, Checkpoint::Ended, &[]), at(1, after(5), &[0]), untouched];
    assert!(changes(&leases, &listing, InitialPosition::Latest).unwrap().remove.is_empty());
    let leases = [at(0, Checkpoint::Ended, &[]), at(1, after(5), &[0]), at(2, after(6), &[0])];
    assert_eq!(changes(&leases, &listing, InitialPosition::Latest).unwrap().remove, [leases[0].clone()]);
}

#[tokio::test]
async fn a_stream_of_the_same_name_that_is_another_is_refused() {
    let stream = MemoryStream::new(1);
    let mut old = lease(0, None, 0);
    old.stream_created = Some(Timestamp::from_millis(7));
    let error = changes(&[old], &stream.listing(), InitialPosition::Latest).unwrap_err();
    assert!(error.to_string().starts_with("the stream was re-created"), "{error}");
}

#[test]
fn a_sibling_forgotten_by_a_first_start_begins_at_the_same_moment() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true), listed(2, &[0], true)]);
    let first = Lease { start_at: Some(Timestamp::from_millis(77)), ..at(1, after(5), &[0]) };
    let create = changes(&[first], &listing, InitialPosition::Latest).unwrap().create;
    assert_eq!((&create[0].shard, create[0].start_at, create.len()), (&shard(2), Some(Timestamp::from_millis(77)), 1));
}
