//! How soon the shards of a killed worker are read again: within 20 s where another worker runs, and within a lease
//! duration where one is started afterwards.

use super::{Bench, ConsumerSettings, Running};
use crate::domain::{LeaseStore, WorkerId};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LIMIT: Duration = Duration::from_secs(20);

fn seeded(name: &str, seed: u64) -> ConsumerSettings {
    ConsumerSettings { seed, ..Bench::settings(name) }
}

/// Puts a record into each shard and waits until the app has accepted all of them.
async fn until_all_deliver(bench: &Bench, shards: u32, label: &str) {
    let mut reached = BTreeSet::new();
    let mut texts = Vec::new();
    for number in 0.. {
        if reached.len() == shards as usize {
            break;
        }
        let text = format!("{label}-{number}");
        let put = bench.stream.put(&text, text.clone()).unwrap();
        if reached.insert(put.shard) {
            texts.push(text);
        }
    }
    while !texts.iter().all(|text| bench.accepted().contains(text)) {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Kills one of two workers after `after`, and puts records 20 s later. Returns how long the slowest shard takes to deliver
/// its record. An earlier check would miss a shard that its old owner is about to hand over to the dead worker.
async fn killed(shards: u32, seed: u64, after: Duration, is_newcomer: bool) -> Duration {
    let bench = Bench::new(shards);
    let (_stop, first) = bench.start(seeded("first", seed));
    until_all_deliver(&bench, shards, "begun").await;
    let (_stop, second) = bench.start(seeded("second", seed + 1));
    sleep(after).await;
    let (dead, alive): (Running, Running) = if is_newcomer { (second, first) } else { (first, second) };
    drop(dead);
    sleep(LIMIT).await;
    let begun = Instant::now();
    until_all_deliver(&bench, shards, "killed").await;
    drop(alive);
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn shards_of_a_killed_worker_flow_again_within_twenty_seconds() {
    let mut random = fastrand::Rng::with_seed(7);
    for shards in [2, 3, 12] {
        for seed in 0..15 {
            // From the middle of the second worker's first scans to a balanced fleet.
            let after = Duration::from_millis(random.u64(0..90_000));
            for is_newcomer in [false, true] {
                let waited = killed(shards, seed, after, is_newcomer).await;
                assert!(
                    waited < Duration::from_secs(1),
                    "{shards} shards, seed {seed}, killed after {after:?}, newcomer {is_newcomer}: {waited:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_started_after_a_kill_has_all_shards_once_a_lease_lasts() {
    for shards in [2, 3, 12] {
        for seconds in 0..=20 {
            let bench = Bench::new(shards);
            let (_stop, first) = bench.start(seeded("first", seconds));
            until_all_deliver(&bench, shards, "begun").await;
            drop(first);
            sleep(Duration::from_secs(seconds)).await;
            let begun = Instant::now();
            let (_stop, _second) = bench.start(seeded("second", seconds + 1));
            until_all_deliver(&bench, shards, "killed").await;
            assert!(begun.elapsed() <= Duration::from_secs(11), "{shards}, {seconds}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn shards_of_a_kcl_worker_that_leaves_are_taken_over_within_twenty_seconds() {
    for seed in 0..40 {
        let bench = Bench::new(3);
        let (stop, mut creator) = bench.start(seeded("creator", seed));
        until_all_deliver(&bench, 3, "begun").await;
        stop.finish();
        creator.next().await.unwrap().result.unwrap().unwrap();
        // The KCL 2.x only checks the counter when it renews, so it does not notice a request for a handoff.
        let kcl = WorkerId::new("kcl");
        let mut grants = Vec::new();
        for lease in bench.leases.leases() {
            grants.push(bench.leases.take(&lease, &kcl).await.unwrap());
        }
        let (_stop, _bindd) = bench.start(seeded("bindd", seed));
        for _ in 0..10 {
            sleep(Duration::from_millis(3_308)).await;
            for grant in &mut grants {
                bench.leases.renew(grant).await.unwrap();
            }
        }
        let begun = Instant::now();
        until_all_deliver(&bench, 3, "left").await;
        assert!(begun.elapsed() <= LIMIT, "seed {seed}: {:?}", begun.elapsed());
    }
}
