use super::*;
use crate::domain::{HashKeyRange, Shard};
use proptest::prelude::*;

const SIZE: usize = 1 << 20;
const FAR: Duration = Duration::from_secs(1_000_000);

fn id(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number}"))
}

fn map(numbers: &[u32]) -> ShardMap {
    let shard = |number: &u32| {
        let range = HashKeyRange { start: u128::from(*number) << 32, end: (u128::from(*number) << 32) + 99 };
        Shard { id: id(*number), parents: Vec::new(), hash_range: Some(range), is_open: true }
    };
    ShardMap::from_listing(&numbers.iter().map(shard).collect::<Vec<_>>())
}

fn limit(records: u32, bytes: u32) -> RateLimit {
    RateLimit { records_per_second: records, bytes_per_second: bytes, ..RateLimit::default() }
}

fn limiter(limit: RateLimit, size: usize, now: Instant) -> Limiter {
    let mut limiter = Limiter::new(limit, size, now);
    assert_eq!(limiter.set_shards(&map(&[1, 2]), now), []);
    limiter
}

fn is_limited(limiter: &mut Limiter, shard: Option<&ShardId>, now: Instant) -> bool {
    let token = limiter.enqueue(shard, 1, now, now + FAR).unwrap();
    limiter.dequeue(shard, 1);
    token.is_some()
}

/// How many records of this size one shard accepts in this time, if a record is always waiting.
fn granted_within(limiter: &mut Limiter, bytes: usize, now: Instant, within: Duration) -> usize {
    std::iter::from_fn(|| limiter.reserve(Some(&id(1)), bytes, now, now + within).ok()).count()
}

#[test]
fn ten_seconds_allow_ten_seconds_of_records_and_one_burst() {
    let (now, within) = (Instant::now(), Duration::from_secs(10));
    assert_eq!(granted_within(&mut limiter(limit(1_000, 1 << 20), SIZE, now), 100, now, within), 10_899);
    // 11 MiB in records of 10 KiB; the last byte of a second would come too late for a whole one.
    let by_bytes = granted_within(&mut limiter(limit(1_000, 1 << 20), SIZE, now), 10 << 10, now, within);
    assert_eq!(by_bytes, (11 << 20) / (10 << 10));
    let mut large = limiter(limit(1_000, 1 << 20), 10 << 20, now);
    assert_eq!(
        granted_within(&mut large, 10 << 20, now, Duration::from_secs(10)),
        1,
        "the next fits after ten seconds"
    );
}

#[test]
fn a_slot_after_the_deadline_is_refused_and_costs_nothing() {
    let now = Instant::now();
    let mut limiter = limiter(limit(10, 1 << 20), SIZE, now);
    assert_eq!(granted_within(&mut limiter, 1, now, Duration::from_secs(1)), 18);
    for _ in 0..3 {
        let refused = limiter.reserve(Some(&id(1)), 1, now, now + Duration::from_millis(999));
        assert_eq!(refused, Err(Duration::from_secs(1)));
    }
    assert_eq!(limiter.reserve(Some(&id(2)), 1, now, now + FAR), Ok(now), "another shard has its own limit");
}

#[test]
fn without_a_limit_no_record_waits() {
    let now = Instant::now();
    let off = RateLimit { mode: RateLimitMode::Off, ..limit(1, 1) };
    let mut off = limiter(off, SIZE, now);
    let mut unknown = Limiter::new(limit(1, 1), SIZE, now);
    for _ in 0..100 {
        assert_eq!(off.reserve(Some(&id(1)), SIZE, now, now + FAR), Ok(now));
        assert_eq!(unknown.reserve(None, SIZE, now, now + FAR), Ok(now));
    }
    assert!(!is_limited(&mut off, Some(&id(1)), now) && !is_limited(&mut unknown, None, now));
}

#[test]
fn records_of_unknown_shards_share_the_limit_of_the_configured_shards() {
    let now = Instant::now();
    let mut limiter = limiter(RateLimit { shards: Some(3), ..limit(10, 1 << 20) }, SIZE, now);
    assert!(is_limited(&mut limiter, None, now));
    let shards = [None, Some(id(77))];
    let granted =
        (0..1_000).filter(|n| limiter.reserve(shards[n % 2].as_ref(), 1, now, now + Duration::from_nanos(1)).is_ok());
    assert_eq!(granted.count(), 27);
    assert_eq!(limiter.reserve(Some(&id(1)), 1, now, now + FAR), Ok(now));
}

#[test]
fn a_throttle_lowers_the_rate_of_its_shard_only_and_only_if_adaptive() {
    let now = Instant::now();
    let mut adaptive = limiter(limit(1_000, 1 << 20), SIZE, now);
    adaptive.throttled(Some(&id(1)), now);
    adaptive.throttled(Some(&id(1)), now + Duration::from_millis(50));
    assert!((adaptive.factor(Some(&id(1))).unwrap().at(now) - 0.7).abs() < 1e-9);
    assert!((adaptive.factor(Some(&id(2))).unwrap().at(now) - 1.0).abs() < 1e-9);
    // 700 a second, rising, and no burst.
    let granted = granted_within(&mut adaptive, 1, now, Duration::from_secs(1));
    assert!((700..750).contains(&granted), "{granted}");
    let mut fixed = limiter(RateLimit { mode: RateLimitMode::Fixed, ..limit(1_000, 1 << 20) }, SIZE, now);
    fixed.throttled(Some(&id(1)), now);
    assert_eq!(granted_within(&mut fixed, 1, now, Duration::from_secs(1)), 1_899);
}

#[test]
fn shards_that_stay_keep_their_state_and_removed_ones_are_returned() {
    let now = Instant::now();
    let mut limiter = limiter(limit(1, 1 << 20), SIZE, now);
    for shard in [1, 2] {
        assert_eq!(limiter.reserve(Some(&id(shard)), 1, now, now + FAR), Ok(now));
    }
    assert_eq!(limiter.set_shards(&map(&[2, 3]), now), [id(1)]);
    let second = now + Duration::from_secs(1);
    assert_eq!(limiter.reserve(Some(&id(2)), 1, now, now + FAR), Ok(second));
    assert_eq!(limiter.reserve(Some(&id(3)), 1, now, now + FAR), Ok(now));
    assert!(!is_limited(&mut limiter, Some(&id(1)), now));
}

#[test]
fn a_refunded_slot_is_free_for_another_record() {
    let now = Instant::now();
    let mut limiter = limiter(limit(10, 1 << 20), SIZE, now);
    let slots: Vec<Instant> = (0..13).map(|_| limiter.reserve(Some(&id(1)), 1, now, now + FAR).unwrap()).collect();
    assert_eq!(slots[12], now + Duration::from_millis(400));
    limiter.refund(Some(&id(1)), 1, slots[11]);
    assert_eq!(limiter.reserve(Some(&id(1)), 1, now, now + FAR), Ok(slots[12]));
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Reserve { bytes: usize, patience: u64 },
    Refund(prop::sample::Index),
    Throttle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_u64..900_000_000).prop_map(Step::Pass),
        6 => (0_usize..60, 0_u64..4_000_000_000).prop_map(|(bytes, patience)| Step::Reserve { bytes, patience }),
        2 => any::<prop::sample::Index>().prop_map(Step::Refund),
        1 => Just(Step::Throttle),
    ]
}

/// Checks every window that begins and ends with a slot; no other can hold more.
fn fullest(mut sent: Vec<(Instant, usize)>, per_second: usize, depth: usize) -> Result<(), TestCaseError> {
    sent.sort_by_key(|(at, _)| *at);
    for (first, (from, _)) in sent.iter().enumerate() {
        let mut sum = 0_u128;
        for (to, cost) in &sent[first..] {
            sum += *cost as u128;
            // Slots are rounded up to whole nanoseconds, so one may seem to come less than 1 ns too early.
            let window = to.duration_since(*from).as_nanos() + 1;
            let most = per_second as u128 * window + depth as u128 * 1_000_000_000;
            prop_assert!(sum * 1_000_000_000 <= most, "{sum} within {window} ns");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_window_holds_more_than_the_rate_and_one_burst(
        (records, bytes, size) in (1_u32..20, 1_u32..200, 1_usize..300), steps in prop::collection::vec(step(), 1..150)
    ) {
        let begun = Instant::now();
        let (mut now, mut sent) = (begun, Vec::new());
        let mut limiter = limiter(limit(records, bytes), size, now);
        for step in steps {
            match step {
                Step::Pass(nanos) => now += Duration::from_nanos(nanos),
                Step::Reserve { bytes, patience } => {
                    let (bytes, deadline) = (bytes.min(size), now + Duration::from_nanos(patience));
                    match limiter.reserve(Some(&id(1)), bytes, now, deadline) {
                        Ok(at) => {
                            prop_assert!(now == at || (now < at && at < deadline));
                            sent.push((at, bytes));
                        }
                        Err(wait) => prop_assert!(now + wait >= deadline),
                    }
                }
                Step::Refund(index) if !sent.is_empty() => {
                    let (at, bytes) = sent.swap_remove(index.index(sent.len()));
                    limiter.refund(Some(&id(1)), bytes, at);
                }
                Step::Throttle => limiter.throttled(Some(&id(1)), now),
                Step::Refund(_) => {}
            }
        }
        let (records, bytes) = (records as usize, bytes as usize);
        fullest(sent.iter().map(|(at, _)| (*at, 1)).collect(), records, records - records / 10)?;
        fullest(sent, bytes, size.max(bytes - bytes / 10))?;
    }
}

proptest! {
    #[test]
    fn a_record_that_waits_for_its_token_has_a_slot_then(
        // Either records or bytes limit, never both in turns: a full bucket would lose tokens that the estimate includes.
        (records, bytes) in prop_oneof![(1_u32..20, Just(u32::MAX)), (Just(u32::MAX), 1_u32..200)],
        sizes in prop::collection::vec(0_usize..60, 1..100),
    ) {
        let now = Instant::now();
        let mut limiter = limiter(limit(records, bytes), 300, now);
        let mut tokens = Vec::new();
        for size in &sizes {
            let token = limiter.enqueue(Some(&id(1)), *size, now, now + FAR).unwrap().unwrap();
            prop_assert!(tokens.last().is_none_or(|last| *last <= token), "tokens come in order");
            tokens.push(token);
        }
        for (token, size) in tokens.iter().zip(sizes) {
            limiter.dequeue(Some(&id(1)), size);
            // The cost of each record is rounded up to whole nanoseconds, their sum only once.
            let slot = limiter.reserve(Some(&id(1)), size, *token, now + FAR).unwrap();
            prop_assert!(slot <= *token + Duration::from_nanos(200), "{:?} late", slot - *token);
        }
    }
}

#[test]
fn a_record_that_would_wait_too_long_is_refused_and_a_removed_record_shortens_the_wait() {
    let now = Instant::now();
    let mut limiter = limiter(limit(10, 1 << 20), SIZE, now);
    let second = now + Duration::from_secs(1);
    assert_eq!((0..100).filter(|_| limiter.enqueue(Some(&id(1)), 1, now, second).is_ok()).count(), 18);
    assert_eq!(limiter.enqueue(Some(&id(1)), 1, now, second), Err(Duration::from_secs(1)));
    limiter.dequeue(Some(&id(1)), 1);
    assert_eq!(limiter.enqueue(Some(&id(1)), 1, now, second), Ok(Some(now + Duration::from_millis(900))));
    limiter.clear_queued();
    assert_eq!(limiter.enqueue(Some(&id(1)), 1, now, second), Ok(Some(now)));
}

#[test]
fn records_sent_without_a_slot_delay_later_slots() {
    let now = Instant::now();
    let mut limiter = limiter(limit(10, 1 << 20), SIZE, now);
    (0..12).for_each(|_| limiter.charge(Some(&id(1)), 1, now));
    assert_eq!(limiter.reserve(Some(&id(1)), 1, now, now + FAR), Ok(now + Duration::from_millis(400)));
}
