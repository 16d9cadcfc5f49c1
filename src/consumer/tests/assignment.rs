use super::super::assignment::{Plan, Watch};
use super::{lease, shard};
use crate::domain::{Checkpoint, Lease, WorkerId};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

const LEASE: Duration = Duration::from_secs(10);

fn plan(watch: &Watch, leases: &[Lease], held: &[u32], now: Instant) -> Plan {
    let running: BTreeSet<_> = held.iter().map(|number| shard(*number)).collect();
    watch.plan(leases, &running, now, &mut fastrand::Rng::with_seed(1))
}

fn watch() -> Watch {
    Watch::new(WorkerId::new("me"), LEASE)
}

#[tokio::test(start_paused = true)]
async fn unowned_leases_are_taken_on_sight_up_to_the_share() {
    let (mut watch, now) = (watch(), Instant::now());
    let leases = [lease(0, None, 0), lease(1, None, 0), lease(2, Some("other"), 4), lease(3, None, 0)];
    watch.note(&leases, now);
    assert_eq!(plan(&watch, &leases, &[], now).take.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_expires_only_when_its_counter_stood_still_for_the_duration() {
    let (mut watch, now) = (watch(), Instant::now());
    watch.note(&[lease(0, Some("dead"), 4)], now);
    let moved = [lease(0, Some("dead"), 5)];
    watch.note(&moved, now + LEASE);
    assert_eq!(plan(&watch, &moved, &[], now + LEASE * 2), Plan::default());
    watch.note(&moved, now + LEASE * 2);
    let late = now + LEASE * 2 + Duration::from_millis(1);
    assert_eq!(plan(&watch, &moved, &[], late).take, moved);
}

#[tokio::test(start_paused = true)]
async fn one_lease_is_asked_for_only_when_the_difference_is_two() {
    let (mut watch, now) = (watch(), Instant::now());
    watch.note(&[lease(0, Some("other"), 1), lease(1, Some("other"), 1)], now);
    let two = [lease(0, Some("other"), 2), lease(1, Some("other"), 2)];
    watch.note(&two, now);
    assert!(plan(&watch, &two, &[], now).ask.is_some());
    let one = [lease(0, Some("other"), 3), lease(1, Some("me"), 1), lease(2, Some("other"), 1)];
    watch.note(&one, now);
    assert_eq!(plan(&watch, &one, &[1], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_moved_is_left_alone_for_a_minute() {
    let (mut watch, now) = (watch(), Instant::now());
    watch.note(&[lease(0, Some("third"), 1), lease(1, Some("third"), 1)], now);
    let moved = [lease(0, Some("other"), 2), lease(1, Some("other"), 2)];
    watch.note(&moved, now);
    assert_eq!(plan(&watch, &moved, &[], now).ask, None);
    let still = [lease(0, Some("other"), 3), lease(1, Some("other"), 3)];
    watch.note(&still, now + LEASE * 6);
    assert!(plan(&watch, &still, &[], now + LEASE * 6).ask.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lease_in_our_name_is_taken_at_once_but_not_during_its_handoff() {
    let (mut watch, now) = (watch(), Instant::now());
    let ours = [lease(0, Some("me"), 3)];
    watch.note(&ours, now);
    assert_eq!(plan(&watch, &ours, &[], now).take, ours);
    assert_eq!(plan(&watch, &ours, &[0], now), Plan::default());
    let promised = [Lease { handoff_from: Some(WorkerId::new("other")), ..lease(0, Some("me"), 3) }];
    watch.note(&promised, now);
    assert_eq!(plan(&watch, &promised, &[], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn ended_leases_and_children_of_running_parents_are_left() {
    let (mut watch, now) = (watch(), Instant::now());
    let ended = Lease { checkpoint: Checkpoint::Ended, ..lease(0, None, 3) };
    let child = Lease { parents: vec![shard(1)], ..lease(2, None, 0) };
    let leases = [ended, lease(1, Some("other"), 1), child];
    watch.note(&leases, now);
    assert_eq!(plan(&watch, &leases, &[], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_asked_only_after_its_counter_was_seen_to_move() {
    let (mut watch, now) = (watch(), Instant::now());
    let leases = [lease(0, Some("other"), 1), lease(1, Some("other"), 1)];
    watch.note(&leases, now);
    assert_eq!(plan(&watch, &leases, &[], now).ask, None, "it may be dead");
    watch.note(&leases, now + LEASE / 2);
    assert_eq!(plan(&watch, &leases, &[], now + LEASE / 2).ask, None, "it may be dead");
    let renewed = [lease(0, Some("other"), 2), lease(1, Some("other"), 1)];
    watch.note(&renewed, now + LEASE);
    assert_eq!(plan(&watch, &renewed, &[], now + LEASE).ask.as_ref(), Some(&renewed[0]));
}

#[tokio::test(start_paused = true)]
async fn promises_of_a_dead_owner_are_taken_with_all_its_other_leases_at_once() {
    let (mut watch, now) = (watch(), Instant::now());
    let promised = |number| Lease { handoff_from: Some(WorkerId::new("dead")), ..lease(number, Some("me"), 4) };
    let before: Vec<_> = (0..12).map(|number| lease(number, Some("dead"), 4)).collect();
    watch.note(&before, now);
    let mut after = before;
    after[3] = promised(3);
    after[7] = promised(7);
    watch.note(&after, now + LEASE / 2);
    let late = now + LEASE + Duration::from_millis(1);
    watch.note(&after, late);
    assert_eq!(plan(&watch, &after, &[], late).take.len(), 12, "the request moved no counter");
}

#[tokio::test(start_paused = true)]
async fn a_promise_counts_as_load_while_its_owner_lives() {
    let (mut watch, now) = (watch(), Instant::now());
    let promised = |counter| Lease { handoff_from: Some(WorkerId::new("other")), ..lease(0, Some("me"), counter) };
    watch.note(&[promised(1), lease(1, Some("other"), 1), lease(2, Some("other"), 1)], now);
    let leases = [promised(2), lease(1, Some("other"), 2), lease(2, Some("other"), 2)];
    watch.note(&leases, now);
    assert_eq!(plan(&watch, &leases, &[], now), Plan::default());
}

#[tokio::test(start_paused = true)]
async fn the_next_expiry_is_that_of_another_worker_s_oldest_counter() {
    let (mut watch, now) = (watch(), Instant::now());
    assert_eq!(watch.next_expiry(&BTreeSet::new(), now), None);
    watch.note(&[lease(0, Some("other"), 1), lease(1, None, 1), lease(2, Some("me"), 1)], now);
    let later = now + Duration::from_secs(4);
    watch.note(&[lease(0, Some("other"), 1), lease(1, None, 1), lease(2, Some("me"), 1)], later);
    let held = BTreeSet::from([shard(2)]);
    let expiry = watch.next_expiry(&held, later).unwrap();
    assert!(expiry > now + LEASE && expiry < now + LEASE + Duration::from_millis(10));
    assert_eq!(watch.next_expiry(&held, expiry), None, "what expired is taken or left, and needs no further scan");
}
