use super::super::lineage::{self, LineagePlan, StreamFacts, holes};
use super::super::stream_state::LatestStart;
use super::{after, lease, shard};
use crate::domain::{
    Checkpoint, HashKeyRange, InitialPosition, Lease, SentinelCheckpoint, Shard, ShardId, ShardListing, StreamIdentity,
    Timestamp,
};

fn listing(shards: Vec<Shard>) -> ShardListing {
    let listed_at = Timestamp::from_millis(10_000);
    ShardListing { shards, listed_at }
}

fn facts(initial: InitialPosition) -> StreamFacts {
    let latest = LatestStart::Moment(Timestamp::from_millis(9_000));
    let stream = StreamIdentity { stream: "orders".into(), created: Some(Timestamp::from_millis(1)) };
    StreamFacts { initial, latest, stream, missing: Vec::new() }
}

fn plan(leases: &[Lease], listing: &ShardListing, initial: InitialPosition) -> LineagePlan {
    lineage::plan(leases, listing, &facts(initial))
}

fn listed(number: u32, parents: &[u32], is_open: bool) -> Shard {
    let hash_range = is_open.then_some(HashKeyRange { start: 0, end: u128::MAX });
    Shard { id: shard(number), parents: parents.iter().map(|parent| shard(*parent)).collect(), hash_range, is_open }
}

fn at(number: u32, checkpoint: Checkpoint, parents: &[u32]) -> Lease {
    Lease { checkpoint, parents: parents.iter().map(|parent| shard(*parent)).collect(), ..lease(number, None, 0) }
}

fn created(leases: &[Lease], listing: &ShardListing, initial: InitialPosition) -> Vec<ShardId> {
    plan(leases, listing, initial).create.into_iter().map(|new| new.shard).collect()
}

#[test]
fn latest_begins_with_open_shards_at_the_first_start() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true)]);
    let create = plan(&[], &listing, InitialPosition::Latest).create;
    assert_eq!(create.len(), 1);
    assert_eq!(
        (&create[0].shard, &create[0].checkpoint),
        (&shard(1), &Checkpoint::NotStarted(SentinelCheckpoint::Latest))
    );
    assert_eq!(create[0].start_at, Some(Timestamp::from_millis(9_000)));
    assert_eq!(
        (create[0].stream.as_deref(), create[0].stream_created),
        (Some("orders"), Some(Timestamp::from_millis(1)))
    );
}

#[test]
fn trim_horizon_begins_with_shards_whose_parents_are_gone() {
    let listing = listing(vec![listed(3, &[1], false), listed(4, &[3], true)]);
    assert_eq!(created(&[], &listing, InitialPosition::TrimHorizon), [shard(3)]);
}

fn part(number: u32, start: u128, end: u128) -> Shard {
    Shard { hash_range: Some(HashKeyRange { start, end }), ..listed(number, &[], true) }
}

#[test]
fn holes_are_found_wherever_they_are() {
    let max = u128::MAX;
    let hole = |start, end| HashKeyRange { start, end };
    for (shards, expected) in [
        (vec![part(0, 0, max)], vec![]),
        (vec![part(1, 50, max), part(0, 0, 49)], vec![]),
        (vec![part(0, 10, max)], vec![hole(0, 9)]),
        (vec![part(0, 0, 9), part(1, 20, max)], vec![hole(10, 19)]),
        (vec![part(0, 0, 9)], vec![hole(10, max)]),
        (vec![part(0, 5, 9), part(1, 20, 29)], vec![hole(0, 4), hole(10, 19), hole(30, max)]),
        (vec![part(0, 0, 90), part(1, 10, 20), part(2, 50, max)], vec![]),
        (vec![part(0, 0, 90), part(1, 10, 20), part(2, 92, max)], vec![hole(91, 91)]),
        (vec![], vec![hole(0, max)]),
        // Closed shards cover nothing that is written now.
        (vec![part(0, 0, 9), Shard { is_open: false, ..part(1, 10, max) }], vec![hole(10, max)]),
        // An open shard without a range may cover anything.
        (vec![part(0, 0, 9), Shard { hash_range: None, ..part(1, 0, 0) }], vec![]),
    ] {
        assert_eq!(holes(&listing(shards.clone())), expected, "{shards:?}");
    }
}

#[test]
fn hash_keys_that_no_lease_covers_are_found_except_while_children_are_to_be_created() {
    let (max, hole) = (u128::MAX, |start, end| HashKeyRange { start, end });
    let [left, right] =
        [(1, 0, 9), (2, 10, max)].map(|(n, start, end)| Shard { parents: vec![shard(0)], ..part(n, start, end) });
    let listing = listing(vec![Shard { is_open: false, ..part(0, 0, max) }, left, right]);
    let [running, done] = [at(0, after(3), &[]), at(0, Checkpoint::Ended, &[])];
    let [left, right] = [at(1, after(3), &[0]), at(2, after(3), &[0])];
    for (leases, expected) in [
        (vec![running], vec![]),
        (vec![done.clone()], vec![]),
        (vec![done.clone(), left.clone()], vec![]),
        (vec![done, left.clone(), right], vec![]),
        (vec![left], vec![hole(10, max)]),
    ] {
        assert_eq!(lineage::lease_holes(&leases, &listing), expected, "{leases:?}");
    }
}

#[test]
fn a_stream_created_after_the_input_was_started_is_read_from_its_creation() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true)]);
    let facts = StreamFacts { latest: LatestStart::Creation, ..facts(InitialPosition::Latest) };
    let create = lineage::plan(&[], &listing, &facts).create;
    // It may have been resharded since, so the closed shard comes first.
    assert_eq!((&create[0].shard, create.len()), (&shard(0), 1));
    assert_eq!(
        (&create[0].checkpoint, create[0].start_at),
        (&Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon), None)
    );
}

#[test]
fn a_lost_row_is_created_as_it_was_last_seen() {
    let listing = listing(vec![listed(0, &[], true), listed(1, &[], true)]);
    for initial in
        [InitialPosition::Latest, InitialPosition::TrimHorizon, InitialPosition::AtTimestamp(Timestamp::from_millis(3))]
    {
        for rows in [vec![at(1, after(9), &[])], vec![]] {
            let missing = vec![at(0, after(5), &[])];
            let plan = lineage::plan(&rows, &listing, &StreamFacts { missing, ..facts(initial) });
            let lost = plan.create.iter().find(|new| new.shard == shard(0)).unwrap();
            assert_eq!(lost.checkpoint, after(5));
            assert!(plan.lost.contains(&shard(0)));
        }
    }
}

#[test]
fn a_lost_row_that_was_never_read_is_restored_with_its_starting_time() {
    let listing = listing(vec![listed(0, &[], true)]);
    let latest = Checkpoint::NotStarted(SentinelCheckpoint::Latest);
    let seen = Lease { start_at: Some(Timestamp::from_millis(77)), ..at(0, latest.clone(), &[]) };
    let create =
        lineage::plan(&[], &listing, &StreamFacts { missing: vec![seen], ..facts(InitialPosition::Latest) }).create;
    assert_eq!((&create[0].checkpoint, create[0].start_at), (&latest, Some(Timestamp::from_millis(77))));
}

#[test]
fn the_children_of_a_closed_shard_whose_row_was_lost_wait_for_it() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true), listed(2, &[0], true)]);
    let missing = vec![at(0, after(5), &[])];
    let create = lineage::plan(&[], &listing, &StreamFacts { missing, ..facts(InitialPosition::Latest) }).create;
    assert_eq!((&create[0].shard, &create[0].checkpoint, create.len()), (&shard(0), &after(5), 1));
}

#[test]
fn a_row_that_another_worker_removed_is_not_lost() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true)]);
    let missing = vec![at(0, after(5), &[])];
    let facts = StreamFacts { missing, ..facts(InitialPosition::TrimHorizon) };
    let plan = lineage::plan(&[at(1, after(9), &[0])], &listing, &facts);
    assert_eq!(plan, LineagePlan::default());
}

#[test]
fn a_row_lost_while_no_worker_ran_begins_at_the_starting_time_of_the_others_or_at_trim_horizon() {
    let listing = listing(vec![listed(0, &[], true), listed(1, &[], true)]);
    let others =
        |start_at: Option<i64>| Lease { start_at: start_at.map(Timestamp::from_millis), ..at(1, after(9), &[]) };
    let not_started = Checkpoint::NotStarted;
    for (initial, start_at, expected) in [
        (InitialPosition::Latest, Some(77), (not_started(SentinelCheckpoint::Latest), Some(77))),
        (InitialPosition::Latest, None, (not_started(SentinelCheckpoint::TrimHorizon), None)),
        (InitialPosition::TrimHorizon, None, (not_started(SentinelCheckpoint::TrimHorizon), None)),
        (
            InitialPosition::AtTimestamp(Timestamp::from_millis(3)),
            Some(3),
            (not_started(SentinelCheckpoint::AtTimestamp), Some(3)),
        ),
        (
            InitialPosition::AtTimestamp(Timestamp::from_millis(3)),
            None,
            (not_started(SentinelCheckpoint::AtTimestamp), Some(3)),
        ),
    ] {
        let plan = plan(&[others(start_at)], &listing, initial);
        let new = &plan.create[0];
        let start = (new.checkpoint.clone(), new.start_at.map(Timestamp::as_millis));
        assert_eq!((&new.shard, start), (&shard(0), expected), "{initial:?}");
        assert_eq!(plan.lost, [shard(0)]);
    }
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
fn a_missing_child_is_created() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true), listed(2, &[0], true)]);
    let leases = [at(0, Checkpoint::Ended, &[]), at(1, after(5), &[0])];
    assert_eq!(created(&leases, &listing, InitialPosition::Latest), [shard(2)]);
}

#[test]
fn an_interrupted_first_start_is_completed_from_the_same_starting_time() {
    let listing = listing(vec![listed(0, &[], true), listed(1, &[], true)]);
    let first = Lease {
        checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::Latest),
        start_at: Some(Timestamp::from_millis(77)),
        ..lease(0, None, 0)
    };
    let create = plan(&[first], &listing, InitialPosition::Latest).create;
    assert_eq!(create[0].checkpoint, Checkpoint::NotStarted(SentinelCheckpoint::Latest));
    assert_eq!(create[0].start_at, Some(Timestamp::from_millis(77)));
}

#[test]
fn a_parent_is_removed_only_after_all_children_have_progress() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true), listed(2, &[0], true)]);
    let untouched = at(2, Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon), &[0]);
    let leases = [at(0, Checkpoint::Ended, &[]), at(1, after(5), &[0]), untouched];
    assert!(plan(&leases, &listing, InitialPosition::Latest).remove.is_empty());
    let leases = [at(0, Checkpoint::Ended, &[]), at(1, after(5), &[0]), at(2, after(6), &[0])];
    assert_eq!(plan(&leases, &listing, InitialPosition::Latest).remove, [leases[0].clone()]);
}

#[test]
fn a_sibling_missed_by_a_first_start_begins_at_the_same_starting_time() {
    let listing = listing(vec![listed(0, &[], false), listed(1, &[0], true), listed(2, &[0], true)]);
    let first = Lease { start_at: Some(Timestamp::from_millis(77)), ..at(1, after(5), &[0]) };
    let create = plan(&[first], &listing, InitialPosition::Latest).create;
    assert_eq!((&create[0].shard, create[0].start_at, create.len()), (&shard(2), Some(Timestamp::from_millis(77)), 1));
}
