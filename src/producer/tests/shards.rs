//! What others see of the shards, and which series they have.

use super::super::settings::RateLimitMode;
use super::*;
use crate::domain::{HashKeyRange, OutputShard, RateLimitReport, Shard, ShardListing, Timestamp};
use crate::telemetry::Metrics;

fn id(number: u128) -> ShardId {
    ShardId::new(format!("shardId-{number}"))
}

fn range(number: u128) -> HashKeyRange {
    HashKeyRange { start: number << 64, end: (number << 64) + 99 }
}

fn listing(numbers: &[u128]) -> Listing {
    let shard =
        |number: &u128| Shard { id: id(*number), parents: Vec::new(), hash_range: Some(range(*number)), is_open: true };
    Ok(ShardListing { shards: numbers.iter().map(shard).collect(), listed_at: Timestamp::from_millis(0) })
}

fn shards(rate_limit: RateLimit, metrics: &Metrics, now: Instant) -> Shards {
    let settings = ProducerSettings { rate_limit, ..ProducerSettings::default() };
    Shards::new(&settings, metrics.output("orders"), true, now)
}

fn factors(shards: &[OutputShard]) -> Vec<(ShardId, f64)> {
    shards.iter().map(|shard| (shard.shard.clone(), (shard.limiter_factor * 100.0).round() / 100.0)).collect()
}

#[test]
fn the_view_has_the_listed_shards_and_how_far_they_have_recovered() {
    let (metrics, now) = (Metrics::new(), Instant::now());
    let after = |seconds| now + Duration::from_secs(seconds);
    let mut shards = shards(RateLimit::default(), &metrics, now);
    let view = shards.view();
    assert_eq!(view.shard_map(now), None, "nothing was listed");
    assert!(!shards.update(listing(&[]), now));
    assert_eq!(view.shard_map(now), None, "there was no shard in the list");
    assert!(shards.update(listing(&[2, 1]), now));
    shards.throttled(Some(&id(1)), after(10));
    let map = view.shard_map(after(12)).unwrap();
    assert_eq!((map.age, factors(&map.shards)), (Duration::from_secs(12), vec![(id(1), 0.8), (id(2), 1.0)]));
    assert_eq!(map.shards[0].range, range(1));
    shards.update(listing(&[2, 1]), after(20));
    assert_eq!(view.shard_map(after(21)).unwrap().age, Duration::from_secs(1));
    shards.update(listing(&[2, 3]), after(22));
    shards.update(listing(&[1, 2]), after(22));
    shards.throttled(Some(&id(1)), after(23));
    let expected = vec![(id(1), 0.7), (id(2), 1.0)];
    assert_eq!(factors(&view.shard_map(after(23)).unwrap().shards), expected, "a shard that is back begins again");
}

#[test]
fn the_view_has_the_limit_and_the_factor_of_records_without_a_known_shard() {
    let (metrics, now) = (Metrics::new(), Instant::now());
    let report = RateLimitReport {
        mode: "adaptive",
        records_per_second: Some(1_000),
        bytes_per_second: 1 << 20,
        stream_factor: None,
    };
    assert_eq!(shards(RateLimit::default(), &metrics, now).view().rate_limit(now), Some(report));
    let mut configured = shards(RateLimit { shards: Some(2), ..RateLimit::default() }, &metrics, now);
    assert_eq!(configured.view().rate_limit(now).unwrap().stream_factor, Some(1.0));
    configured.throttled(Some(&id(7)), now);
    assert_eq!(configured.view().rate_limit(now).unwrap().stream_factor, Some(0.7));
    let off = RateLimit { mode: RateLimitMode::Off, ..RateLimit::default() };
    assert_eq!(shards(off, &metrics, now).view().rate_limit(now), None);
}

#[test]
fn the_series_of_shards_end_with_the_producer() {
    let (metrics, now) = (Metrics::new(), Instant::now());
    for stream in 0..3 {
        let mut shards = shards(RateLimit::default(), &metrics, now);
        shards.update(listing(&[stream]), now);
        shards.throttled(Some(&id(stream)), now);
        assert_eq!(metrics.page().unwrap().matches("limiter_factor{").count(), 1);
    }
    assert!(!metrics.page().unwrap().contains("shardId-"));
}
