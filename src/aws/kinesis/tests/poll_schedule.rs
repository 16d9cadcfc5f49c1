use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1 << 20;

fn schedule() -> (PollSchedule, Instant) {
    let now = Instant::now();
    (PollSchedule::new(DEFAULT_INTERVAL, now), now)
}

fn wait(schedule: PollSchedule, since: Instant) -> Duration {
    schedule.next_at() - since
}

#[test]
fn a_shard_that_is_behind_is_polled_five_times_a_second() {
    let (mut schedule, now) = schedule();
    assert_eq!(wait(schedule, now), Duration::ZERO);
    schedule.read_completed(now, 10, Found::Behind, 0.0);
    assert_eq!(wait(schedule, now), Duration::from_millis(200));
}

#[test]
fn records_flow_for_five_seconds_after_the_last_one() {
    let (mut schedule, mut now) = schedule();
    schedule.read_completed(now, 10, Found::Records, 0.0);
    let begun = now;
    while now - begun < Duration::from_secs(5) {
        assert_eq!(wait(schedule, now), Duration::from_millis(250));
        now = schedule.next_at();
        schedule.read_completed(now, 0, Found::Nothing, 0.0);
    }
    assert_eq!(wait(schedule, now), SECOND);
    schedule.read_completed(now, 10, Found::Records, 0.0);
    assert_eq!(wait(schedule, now), Duration::from_millis(250));
}

#[test]
fn a_short_poll_interval_holds_while_records_flow_too() {
    let now = Instant::now();
    let mut schedule = PollSchedule::new(Duration::from_millis(200), now);
    schedule.read_completed(now, 10, Found::Records, 0.0);
    assert_eq!(wait(schedule, now), Duration::from_millis(200));
}

#[test]
fn an_idle_shard_is_polled_within_the_interval_and_spread_at_first() {
    for (random, first, later) in [(0.0, 1_000, 1_000), (0.5, 500, 950), (1.0, 200, 900)] {
        let (mut schedule, now) = schedule();
        for _ in 0..FIRST_WAITS {
            schedule.read_completed(now, 0, Found::Nothing, random);
            assert_eq!(wait(schedule, now), Duration::from_millis(first));
        }
        schedule.read_completed(now, 0, Found::Nothing, random);
        assert_eq!(wait(schedule, now), Duration::from_millis(later));
    }
}

#[test]
fn shards_that_were_opened_together_are_polled_evenly() {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut calls, now) = ([0_u32; 10], Instant::now());
    for _ in 0..1_000 {
        let mut schedule = PollSchedule::new(DEFAULT_INTERVAL, now);
        // From the twentieth second on.
        while schedule.next_at() < now + 30 * SECOND {
            let due = schedule.next_at();
            if due >= now + 20 * SECOND {
                calls[usize::try_from((due - now).as_millis() % 1_000 / 100).unwrap()] += 1;
            }
            schedule.read_completed(due, 0, Found::Nothing, random.f64());
        }
    }
    // 1.05 calls a second for each shard, in ten parts of a second.
    assert!(calls.iter().all(|count| (900..1_200).contains(count)), "{calls:?}");
}

#[test]
fn a_full_response_costs_five_seconds() {
    let (mut schedule, now) = schedule();
    schedule.read_completed(now, 10 * MIB, Found::Behind, 0.0);
    assert_eq!(wait(schedule, now), 5 * SECOND);
}

#[test]
fn the_penalty_doubles_up_to_two_seconds_and_fades() {
    let (mut schedule, now) = schedule();
    let waits: Vec<u128> = (0..5)
        .map(|_| {
            schedule.throttled(now, 1.0);
            wait(schedule, now).as_millis()
        })
        .collect();
    assert_eq!(waits, [400, 800, 1600, 2000, 2000]);
    schedule.read_completed(now, 0, Found::Behind, 0.0);
    assert_eq!(wait(schedule, now), Duration::from_millis(1800));
    for _ in 0..30 {
        schedule.read_completed(now, 0, Found::Behind, 0.0);
    }
    assert_eq!(wait(schedule, now), Duration::from_millis(200));
}

#[test]
fn a_throttle_does_not_shorten_a_longer_wait() {
    let (mut schedule, now) = schedule();
    schedule.read_completed(now, 10 * MIB, Found::Behind, 0.0);
    schedule.throttled(now, 0.0);
    assert_eq!(wait(schedule, now), 5 * SECOND);
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![Just(Found::Behind), Just(Found::Records), Just(Found::Nothing)]
}

proptest! {
    /// The rates of Kinesis hold in every second, whatever the responses are.
    #[test]
    fn never_more_than_five_calls_and_two_mebibytes_a_second(
        responses in prop::collection::vec((0..10 * MIB, found(), 0.0..=1.0), 1..40),
    ) {
        let (mut schedule, begun) = schedule();
        let (mut calls, mut bytes) = (Vec::new(), 0);
        for (size, found, random) in responses {
            let now = schedule.next_at();
            let in_second = calls.iter().filter(|call: &&Instant| now - **call < SECOND).count();
            prop_assert!(in_second < 5);
            // What was read is paid for before the next call.
            prop_assert!(bytes as f64 <= (now - begun).as_secs_f64() * 2_097_152.0 + 1.0);
            schedule.read_started(now);
            schedule.read_completed(now, size, found, random);
            calls.push(now);
            bytes += size;
            prop_assert!(schedule.next_at() - now <= SECOND.max(Duration::from_secs_f64(size as f64 / 2_097_152.0)));
        }
    }
}
