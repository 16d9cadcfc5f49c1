use super::super::lease_taker::{LeaseTaker, Plan};
use super::{lease, shard};
use crate::domain::{Checkpoint, Lease, WorkerId};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

const LEASE: Duration = Duration::from_secs(10);

fn plan(taker: &LeaseTaker, leases: &[Lease], held: &[u32], now: Instant) -> Plan {
    let running: BTreeSet<_> = held.iter().map(|number| shard(*number)).collect();
    taker.plan(leases, &running, now, &mut fastrand::Rng::with_seed(1))
}

/// Of another worker of bindd.
fn theirs(number: u32, counter: u64) -> Lease {
    Lease { owner_duration: Some(LEASE), ..lease(number, Some("other"), counter) }
}

fn taker() -> LeaseTaker {
    LeaseTaker::new(WorkerId::new("me"), LEASE)
}

#[tokio::test(start_paused = true)]
async fn unowned_leases_are_taken_at_once_up_to_the_share() {
    let (mut taker, now) = (taker(), Instant::now());
    let leases = [lease(0, None, 0), lease(1, None, 0), lease(2, Some("other"), 4), lease(3, None, 0)];
    taker.observe(&leases, now);
    assert_eq!(plan(&taker, &leases, &[], now).take.len(), 2);
}

/// A worker of the KCL 2.x does not know of handoffs: it took the lease during one, and gave it up again. The old owner may
/// not have noticed yet.
#[tokio::test(start_paused = true)]
async fn an_unowned_lease_in_a_handoff_is_taken_only_when_it_has_expired() {
    let (mut taker, now) = (taker(), Instant::now());
    let leases = [Lease { handoff_from: Some(WorkerId::new("old")), ..lease(0, None, 4) }];
    taker.observe(&leases, now);
    assert_eq!(plan(&taker, &leases, &[], now + LEASE), Plan::default());
    assert_eq!(plan(&taker, &leases, &[], now + LEASE + Duration::from_millis(1)).take, leases);
}

#[tokio::test(start_paused = true)]
async fn a_lease_expires_only_when_its_counter_is_unchanged_for_the_duration() {
    let (mut taker, now) = (taker(), Instant::now());
    taker.observe(&[lease(0, Some("dead"), 4)], now);
    let moved = [lease(0, Some("dead"), 5)];
    taker.observe(&moved, now + LEASE);
    assert_eq!(plan(&taker, &moved, &[], now + LEASE * 2), Plan::default());
    taker.observe(&moved, now + LEASE * 2);
    let late = now + LEASE * 2 + Duration::from_millis(1);
    assert_eq!(plan(&taker, &moved, &[], late).take, moved);
}

#[tokio::test(start_paused = true)]
async fn one_lease_is_requested_only_when_the_difference_is_two() {
    let (mut taker, now) = (taker(), Instant::now());
    taker.observe(&[lease(0, Some("other"), 1), lease(1, Some("other"), 1)], now);
    let two = [theirs(0, 2), theirs(1, 2)];
    taker.observe(&two, now);
    assert!(plan(&taker, &two, &[], now).request_handoff.is_some());
    let one = [lease(0, Some("other"), 3), lease(1, Some("me"), 1), lease(2, Some("other"), 1)];
    taker.observe(&one, now);
    assert_eq!(plan(&taker, &one, &[1], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_moved_is_not_requested_for_a_minute() {
    let (mut taker, now) = (taker(), Instant::now());
    taker.observe(&[lease(0, Some("third"), 1), lease(1, Some("third"), 1)], now);
    let moved = [theirs(0, 2), theirs(1, 2)];
    taker.observe(&moved, now);
    assert_eq!(plan(&taker, &moved, &[], now).request_handoff, None);
    let still = [theirs(0, 3), theirs(1, 3)];
    taker.observe(&still, now + LEASE * 6);
    assert!(plan(&taker, &still, &[], now + LEASE * 6).request_handoff.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_this_worker_owns_but_does_not_run_is_taken_at_once_except_during_its_handoff() {
    let (mut taker, now) = (taker(), Instant::now());
    let ours = [lease(0, Some("me"), 3)];
    taker.observe(&ours, now);
    assert_eq!(plan(&taker, &ours, &[], now).take, ours);
    assert_eq!(plan(&taker, &ours, &[0], now), Plan::default());
    let requested = [Lease { handoff_from: Some(WorkerId::new("other")), ..lease(0, Some("me"), 3) }];
    taker.observe(&requested, now);
    assert_eq!(plan(&taker, &requested, &[], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn ended_leases_and_children_of_running_parents_are_left() {
    let (mut taker, now) = (taker(), Instant::now());
    let ended = Lease { checkpoint: Checkpoint::Ended, ..lease(0, None, 3) };
    let child = Lease { parents: vec![shard(1)], ..lease(2, None, 0) };
    let leases = [ended, lease(1, Some("other"), 1), child];
    taker.observe(&leases, now);
    assert_eq!(plan(&taker, &leases, &[], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_requested_only_after_its_counter_was_seen_to_change() {
    let (mut taker, now) = (taker(), Instant::now());
    let leases = [lease(0, Some("other"), 1), lease(1, Some("other"), 1)];
    taker.observe(&leases, now);
    assert_eq!(plan(&taker, &leases, &[], now).request_handoff, None, "it may be dead");
    taker.observe(&leases, now + LEASE / 2);
    assert_eq!(plan(&taker, &leases, &[], now + LEASE / 2).request_handoff, None, "it may be dead");
    let renewed = [theirs(0, 2), theirs(1, 1)];
    taker.observe(&renewed, now + LEASE);
    assert_eq!(plan(&taker, &renewed, &[], now + LEASE).request_handoff.as_ref(), Some(&renewed[0]));
}

#[tokio::test(start_paused = true)]
async fn leases_that_a_dead_owner_was_to_hand_off_are_taken_at_once_with_its_other_leases() {
    let (mut taker, now) = (taker(), Instant::now());
    let requested = |number| Lease { handoff_from: Some(WorkerId::new("dead")), ..lease(number, Some("me"), 4) };
    let before: Vec<_> = (0..12).map(|number| lease(number, Some("dead"), 4)).collect();
    taker.observe(&before, now);
    let mut after = before;
    after[3] = requested(3);
    after[7] = requested(7);
    taker.observe(&after, now + LEASE / 2);
    let late = now + LEASE + Duration::from_millis(1);
    taker.observe(&after, late);
    assert_eq!(plan(&taker, &after, &[], late).take.len(), 12, "the request did not change the counter");
}

#[tokio::test(start_paused = true)]
async fn a_requested_lease_counts_as_load_while_its_owner_lives() {
    let (mut taker, now) = (taker(), Instant::now());
    let requested = |counter| Lease { handoff_from: Some(WorkerId::new("other")), ..lease(0, Some("me"), counter) };
    taker.observe(&[requested(1), lease(1, Some("other"), 1), lease(2, Some("other"), 1)], now);
    let leases = [requested(2), lease(1, Some("other"), 2), lease(2, Some("other"), 2)];
    taker.observe(&leases, now);
    assert_eq!(plan(&taker, &leases, &[], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn the_next_expiry_is_that_of_another_worker_s_oldest_counter() {
    let (mut taker, now) = (taker(), Instant::now());
    assert_eq!(taker.next_expiry(&BTreeSet::new(), now), None);
    taker.observe(&[lease(0, Some("other"), 1), lease(1, None, 1), lease(2, Some("me"), 1)], now);
    let later = now + Duration::from_secs(4);
    taker.observe(&[lease(0, Some("other"), 1), lease(1, None, 1), lease(2, Some("me"), 1)], later);
    let held = BTreeSet::from([shard(2)]);
    let expiry = taker.next_expiry(&held, later).unwrap();
    assert!(expiry > now + LEASE && expiry < now + LEASE + Duration::from_millis(10));
    assert_eq!(taker.next_expiry(&held, expiry), None, "a lease that has expired needs no further scan");
}

#[tokio::test(start_paused = true)]
async fn one_lease_of_a_foreign_owner_is_taken_in_a_scan_and_none_is_requested() {
    let (mut taker, now) = (taker(), Instant::now());
    let seen = |counter| (0..6).map(|number| lease(number, Some("kcl"), counter)).collect::<Vec<_>>();
    taker.observe(&seen(1), now);
    assert_eq!(plan(&taker, &seen(1), &[], now), Plan::default(), "the owner may be dead");
    taker.observe(&seen(2), now);
    let planned = plan(&taker, &seen(2), &[], now);
    assert_eq!((planned.take.len(), planned.request_handoff), (1, None));
    // With two of six against four, one more would only turn the difference round.
    let mut shared = seen(3);
    (shared[0], shared[1]) = (lease(0, Some("me"), 3), lease(1, Some("me"), 3));
    taker.observe(&shared, now);
    assert_eq!(plan(&taker, &shared, &[0, 1], now).take.len(), 1, "four is two more than two");
    shared[2] = lease(2, Some("me"), 3);
    taker.observe(&shared, now);
    assert_eq!(plan(&taker, &shared, &[0, 1, 2], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn a_lease_expires_after_the_larger_of_both_lease_durations() {
    for (theirs, expected) in [(LEASE * 3, LEASE * 3), (LEASE / 2, LEASE), (LEASE * 10_000, LEASE * 360)] {
        let (mut taker, now) = (taker(), Instant::now());
        let leases = [Lease { owner_duration: Some(theirs), ..lease(0, Some("dead"), 4) }];
        taker.observe(&leases, now);
        let is_taken = |at| !plan(&taker, &leases, &[], at).take.is_empty();
        assert!(!is_taken(now + expected), "{theirs:?}");
        assert!(is_taken(now + expected + Duration::from_millis(1)), "{theirs:?}");
        assert_eq!(taker.next_expiry(&BTreeSet::new(), now), Some(now + expected + Duration::from_millis(1)));
    }
}
