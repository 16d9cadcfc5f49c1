use super::*;
use proptest::prelude::*;
use std::time::Duration;

const LIMITS: CallLimits = CallLimits { entries: 25, bytes: 1_000, in_flight: 4 };

fn known(keys: &[u8]) -> EntryKeys {
    EntryKeys::Known(keys.iter().map(|key| vec![*key]).collect())
}

#[tokio::test(start_paused = true)]
async fn calls_hold_what_fits_and_no_key_twice() {
    let mut schedule = Schedule::new(LIMITS, vec![400; 5], &known(&[1, 2, 1, 3, 4]));
    let now = Instant::now();
    assert_eq!(schedule.next_call(now), Some(vec![0, 1]));
    assert_eq!(schedule.next_call(now), Some(vec![3, 4]));
    assert_eq!(schedule.next_call(now), None, "the second of key 1 waits for the first");
    schedule.call_ended(CallResult::Complete);
    schedule.complete(0);
    schedule.complete(1);
    assert_eq!(schedule.next_call(now), Some(vec![2]));
}

#[tokio::test(start_paused = true)]
async fn an_entry_above_the_limit_gets_a_separate_call() {
    let mut schedule = Schedule::new(LIMITS, vec![10, 5_000, 10], &known(&[1, 2, 3]));
    let now = Instant::now();
    assert_eq!(schedule.next_call(now), Some(vec![0]));
    assert_eq!(schedule.next_call(now), Some(vec![1]));
    assert_eq!(schedule.next_call(now), Some(vec![2]));
}

#[tokio::test(start_paused = true)]
async fn without_keys_one_call_is_in_flight_and_delays_hold_back_the_others() {
    let limits = CallLimits { entries: 2, ..LIMITS };
    let mut schedule = Schedule::new(limits, vec![1; 4], &EntryKeys::Unknown);
    let now = Instant::now();
    assert_eq!(schedule.next_call(now), Some(vec![0, 1]));
    assert_eq!(schedule.next_call(now), None);
    schedule.call_ended(CallResult::Throttled);
    schedule.complete(0);
    let wake = now + Duration::from_millis(50);
    schedule.delay(vec![1], wake);
    assert_eq!((schedule.next_call(now), schedule.next_wake()), (None, Some(wake)));
    assert_eq!(schedule.next_call(wake), Some(vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn isolated_entries_go_first_in_order_and_in_separate_calls() {
    let mut schedule = Schedule::new(LIMITS, vec![1; 30], &EntryKeys::Unknown);
    let now = Instant::now();
    let call = schedule.next_call(now).unwrap();
    schedule.call_ended(CallResult::Failed);
    schedule.isolate(&call);
    for expected in 0..25 {
        assert_eq!(schedule.next_call(now), Some(vec![expected]));
        schedule.call_ended(CallResult::Complete);
        schedule.complete(expected);
    }
    assert_eq!(schedule.next_call(now), Some((25..30).collect()));
}

#[tokio::test(start_paused = true)]
async fn throttled_calls_shrink_the_window_and_complete_calls_grow_it() {
    let limits = CallLimits { entries: 1, ..LIMITS };
    let mut schedule = Schedule::new(limits, vec![1; 20], &known(&(0..20).collect::<Vec<_>>()));
    let now = Instant::now();
    let count = |schedule: &mut Schedule| std::iter::from_fn(|| schedule.next_call(now)).count();
    assert_eq!(count(&mut schedule), 4);
    for how in [CallResult::Throttled, CallResult::Throttled, CallResult::Throttled, CallResult::Failed] {
        schedule.call_ended(how);
    }
    assert_eq!(count(&mut schedule), 1);
    schedule.call_ended(CallResult::Complete);
    assert_eq!(count(&mut schedule), 2);
}

/// What a step of the schedule below does with the oldest call in flight, entry by entry.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Taken,
    Left,
    Refused,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    prop::collection::vec(prop_oneof![4 => Just(Fate::Taken), 2 => Just(Fate::Left), 1 => Just(Fate::Refused)], 1..60)
}

/// Runs a schedule to its end and checks every call. Returns the order in which entries were completed.
fn play(sizes: &[usize], keys: &EntryKeys, limits: CallLimits, fates: &[Fate]) -> Result<Vec<usize>, TestCaseError> {
    let mut schedule = Schedule::new(limits, sizes.to_vec(), keys);
    let mut fates = fates.iter().copied().chain(std::iter::repeat(Fate::Taken));
    let (mut now, mut open, mut completed) = (Instant::now(), VecDeque::new(), Vec::new());
    loop {
        while let Some(call) = schedule.next_call(now) {
            let bytes: usize = call.iter().map(|entry| sizes[*entry]).sum();
            prop_assert!(call.len() <= limits.entries && (bytes <= limits.bytes || call.len() == 1));
            open.push_back(call);
            let max_in_flight = if matches!(keys, EntryKeys::Known(_)) { limits.in_flight } else { 1 };
            prop_assert!(open.len() <= max_in_flight);
            if let EntryKeys::Known(keys) = keys {
                let mut in_flight: Vec<_> = open.iter().flatten().map(|entry| &keys[*entry]).collect();
                let count = in_flight.len();
                in_flight.sort();
                in_flight.dedup();
                prop_assert_eq!(in_flight.len(), count, "two entries of one key are in flight");
            }
        }
        let Some(call) = open.pop_front() else {
            match schedule.next_wake() {
                Some(wake) => now = wake,
                None => break,
            }
            continue;
        };
        let mut left = Vec::new();
        if call.len() > 1 && fates.clone().next().is_some_and(|fate| matches!(fate, Fate::Refused)) {
            fates.next();
            schedule.call_ended(CallResult::Failed);
            schedule.isolate(&call);
            continue;
        }
        for entry in call {
            match fates.next() {
                Some(Fate::Left) => left.push(entry),
                Some(Fate::Taken | Fate::Refused) | None => {
                    completed.push(entry);
                    schedule.complete(entry);
                }
            }
        }
        schedule.call_ended(if left.is_empty() { CallResult::Complete } else { CallResult::Throttled });
        schedule.delay(left, now + Duration::from_millis(7));
    }
    prop_assert!(schedule.is_idle());
    Ok(completed)
}

proptest! {
    #[test]
    fn every_entry_completes_once_and_keys_keep_their_order(
        entries in prop::collection::vec((1_usize..600, 0_u8..12), 0..120),
        max_entries in 1_usize..30,
        in_flight in 1_usize..6,
        fates in fates(),
    ) {
        let (sizes, keys): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let limits = CallLimits { entries: max_entries, in_flight, ..LIMITS };
        let completed = play(&sizes, &known(&keys), limits, &fates)?;
        let mut all = completed.clone();
        all.sort_unstable();
        prop_assert_eq!(all, (0..sizes.len()).collect::<Vec<_>>());
        for key in 0..12 {
            let of_key: Vec<_> = completed.iter().filter(|entry| keys[**entry] == key).collect();
            prop_assert!(of_key.is_sorted(), "key {} out of order: {:?}", key, of_key);
        }
    }

    #[test]
    fn without_keys_one_call_is_in_flight_and_every_entry_completes_once(
        sizes in prop::collection::vec(1_usize..600, 0..80),
        max_entries in 1_usize..30,
        fates in fates(),
    ) {
        let limits = CallLimits { entries: max_entries, in_flight: 6, ..LIMITS };
        let mut all = play(&sizes, &EntryKeys::Unknown, limits, &fates)?;
        all.sort_unstable();
        prop_assert_eq!(all, (0..sizes.len()).collect::<Vec<_>>());
    }
}
