//! When a worker takes its first leases.

use super::{Bench, ConsumerSettings};
use crate::domain::WorkerId;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long after its start a worker has a lease. `is_new`: the table is empty, else it has a lease without an owner.
async fn delay(seed: u64, lease_duration: Duration, is_new: bool) -> Duration {
    let bench = Bench::new(1);
    let settings = |name: &str, seed| ConsumerSettings { seed, lease_duration, ..Bench::settings(name) };
    if !is_new {
        bench.put(1);
        let (stop, mut first) = bench.start(settings("first", 1));
        bench.app.until_accepted(1).await;
        stop.finish();
        first.next().await.unwrap().result.unwrap().unwrap();
    }
    let begun = Instant::now();
    let (_stop, _worker) = bench.start(settings("second", seed));
    let second = Some(WorkerId::new("second"));
    while bench.leases.leases().first().is_none_or(|lease| lease.owner != second) {
        sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

async fn delays(lease_duration: Duration, is_new: bool) -> (Duration, Duration) {
    let mut delays = Vec::new();
    for seed in 0..40 {
        delays.push(delay(seed, lease_duration, is_new).await);
    }
    (*delays.iter().min().unwrap(), *delays.iter().max().unwrap())
}

#[tokio::test(start_paused = true)]
async fn workers_that_start_together_take_leases_within_two_seconds_at_different_moments() {
    let (first, last) = delays(Duration::from_secs(10), false).await;
    assert!(first < Duration::from_millis(500) && last > Duration::from_millis(1_500), "{first:?} {last:?}");
    assert!(last < Duration::from_millis(2_100), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_at_most_a_fifth_of_a_short_lease() {
    let (_, last) = delays(Duration::from_secs(2), false).await;
    assert!(last > Duration::from_millis(200) && last < Duration::from_millis(500), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_worker_of_a_new_table_does_not_wait() {
    let (_, last) = delays(Duration::from_secs(10), true).await;
    assert!(last < Duration::from_millis(100), "{last:?}");
}
