use super::*;
use crate::resilience::Backoff;
use crate::telemetry::Metrics;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

/// What the scripted service does with a call.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Takes all.
    Take,
    /// Takes the entries at even places and leaves the others.
    Half,
    /// Fails as a whole; nothing is stored.
    Fail(FailureKind),
    /// Takes all, but the reply is lost.
    Lose,
    /// Never replies; nothing is stored.
    Hang,
}

/// A table in memory that follows a script, then accepts everything. An entry is a key and a version; version 99 is
/// invalid.
#[derive(Debug, Default)]
struct Script {
    acts: Mutex<VecDeque<Act>>,
    table: Mutex<BTreeMap<u8, u32>>,
    calls: Mutex<Vec<Sent>>,
}

/// When a call came, and its entries.
type Sent = (Instant, Vec<(u8, u32)>);

const INVALID: u32 = 99;

impl Script {
    fn new(acts: &[Act]) -> Self {
        Self { acts: Mutex::new(acts.iter().copied().collect()), ..Self::default() }
    }

    fn store(&self, entry: (u8, u32)) {
        self.table.lock().unwrap().insert(entry.0, entry.1);
    }
}

#[async_trait]
impl BatchCall<(u8, u32), ()> for Script {
    fn operation(&self) -> &'static str {
        "BatchWriteItem"
    }

    fn access(&self) -> Access {
        Access::Write
    }

    async fn send(&self, entries: &[&(u8, u32)]) -> Result<Reply<()>, BindingError> {
        let sent: Vec<(u8, u32)> = entries.iter().map(|entry| **entry).collect();
        self.calls.lock().unwrap().push((Instant::now(), sent.clone()));
        let mut keys: Vec<u8> = sent.iter().map(|entry| entry.0).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() < sent.len() || sent.iter().any(|entry| entry.1 == INVALID) {
            return Err(BindingError::new(FailureKind::Caller, "ValidationException"));
        }
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::Take);
        tokio::time::sleep(Duration::from_millis(5)).await;
        match act {
            Act::Take => sent.iter().for_each(|entry| self.store(*entry)),
            Act::Half => sent.iter().step_by(2).for_each(|entry| self.store(*entry)),
            Act::Fail(kind) => return Err(BindingError::new(kind, "no")),
            Act::Lose => {
                sent.iter().for_each(|entry| self.store(*entry));
                return Err(BindingError::new(FailureKind::Transient, "reset").with_outcome(Outcome::Unknown));
            }
            Act::Hang => std::future::pending().await,
        }
        let is_half = matches!(act, Act::Half);
        let entries = (0..sent.len()).map(|place| (!is_half || place % 2 == 0).then_some(())).collect();
        Ok(Reply { entries, capacity: Some(1.0) })
    }
}

fn options() -> BulkOptions {
    BulkOptions {
        limits: CallLimits { entries: 25, bytes: 1_000_000, in_flight: 4 },
        deadline: Instant::now() + Duration::from_secs(10),
        started: Instant::now(),
        retry: RetryPolicy { max_retries: None, backoff: Backoff::millis(25, 2_000), max_elapsed: None },
        seed: 7,
        metrics: Metrics::new().output("rows"),
    }
}

fn known(entries: &[(u8, u32)]) -> EntryKeys {
    EntryKeys::Known(entries.iter().map(|entry| vec![entry.0]).collect())
}

async fn bulk(script: &Script, given: &[(u8, u32)], keys: &EntryKeys) -> BulkOutput<()> {
    let entries: Vec<_> = given.iter().map(|value| Entry { value: *value, size: 10 }).collect();
    run(script, &entries, keys, &options()).await
}

fn distinct(count: u8) -> Vec<(u8, u32)> {
    (0..count).map(|key| (key, 1)).collect()
}

#[tokio::test(start_paused = true)]
async fn sixty_items_take_three_calls_side_by_side() {
    let (script, given) = (Script::default(), distinct(60));
    let begun = Instant::now();
    let output = bulk(&script, &given, &known(&given)).await;
    assert!(output.entries.iter().all(Result::is_ok));
    assert_eq!(output.capacity, Some(3.0));
    let sizes: Vec<_> = script.calls.lock().unwrap().iter().map(|call| call.1.len()).collect();
    assert_eq!((sizes, begun.elapsed()), (vec![25, 25, 10], Duration::from_millis(5)));
}

#[tokio::test(start_paused = true)]
async fn only_unprocessed_entries_are_sent_again_and_after_a_wait() {
    let (script, given) = (Script::new(&[Act::Half, Act::Half]), distinct(8));
    let output = bulk(&script, &given, &known(&given)).await;
    assert!(output.entries.iter().all(Result::is_ok));
    let calls = script.calls.lock().unwrap();
    let keys: Vec<Vec<u8>> = calls.iter().map(|call| call.1.iter().map(|entry| entry.0).collect()).collect();
    assert_eq!(keys, [(0..8).collect(), vec![1, 3, 5, 7], vec![3, 7]]);
    assert!(calls.windows(2).all(|pair| pair[1].0 > pair[0].0 + Duration::from_millis(5)));
}

#[tokio::test(start_paused = true)]
async fn a_throttle_that_lasts_fails_before_the_deadline_without_a_retry_storm() {
    let (script, given) = (Script::new(&[Act::Fail(FailureKind::Throttled); 10_000]), distinct(30));
    let begun = Instant::now();
    let output = bulk(&script, &given, &known(&given)).await;
    for result in &output.entries {
        let error = result.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::Throttled, Outcome::NotDone));
    }
    assert!(begun.elapsed() <= Duration::from_secs(10));
    let calls = script.calls.lock().unwrap().len();
    assert!(calls < 80, "{calls} calls within ten seconds");
}

#[tokio::test(start_paused = true)]
async fn the_invalid_entry_of_a_refused_call_is_found_and_is_the_only_one_that_fails() {
    for keys_are_known in [true, false] {
        let mut given = distinct(40);
        given[7].1 = INVALID;
        let script = Script::default();
        let keys = if keys_are_known { known(&given) } else { EntryKeys::Unknown };
        let output = bulk(&script, &given, &keys).await;
        let failed: Vec<_> = (0..40).filter(|entry| output.entries[*entry].is_err()).collect();
        assert_eq!(failed, [7]);
        assert_eq!(script.table.lock().unwrap().len(), 39);
    }
}

#[tokio::test(start_paused = true)]
async fn later_items_of_a_key_win_whether_keys_are_known_or_not() {
    let given: Vec<_> = (0..60).map(|number| ((number % 7) as u8, number)).collect();
    for acts in [&[][..], &[Act::Half, Act::Lose, Act::Fail(FailureKind::Throttled), Act::Half]] {
        for keys in [known(&given), EntryKeys::Unknown] {
            let script = Script::new(acts);
            let output = bulk(&script, &given, &keys).await;
            assert!(output.entries.iter().all(Result::is_ok), "{output:?}");
            let expected: BTreeMap<u8, u32> = given.iter().copied().collect();
            assert_eq!(*script.table.lock().unwrap(), expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_repeated_and_an_open_call_at_the_deadline_is_unknown() {
    let (script, given) = (Script::new(&[Act::Lose, Act::Hang]), distinct(2));
    let begun = Instant::now();
    let output = bulk(&script, &given, &known(&given)).await;
    for result in &output.entries {
        assert_eq!(result.as_ref().unwrap_err().outcome(), Outcome::Unknown);
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert_eq!(script.calls.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_lost_reply_keeps_a_later_refusal_ambiguous() {
    let script = Script::new(&[Act::Lose, Act::Fail(FailureKind::Permanent)]);
    let output = bulk(&script, &[(1, 1)], &EntryKeys::Unknown).await;
    let error = output.entries[0].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Permanent, Outcome::Unknown));
}

#[tokio::test(start_paused = true)]
async fn repetitions_of_an_entry_are_bounded() {
    let (script, given) = (Script::new(&[Act::Half; 100]), distinct(4));
    let entries: Vec<_> = given.iter().map(|value| Entry { value: *value, size: 10 }).collect();
    let retry = RetryPolicy { max_retries: Some(1), ..options().retry };
    let options = BulkOptions { retry, ..options() };
    let output = run(&script, &entries, &known(&given), &options).await;
    let failed: Vec<_> = (0..4).filter(|entry| output.entries[*entry].is_err()).collect();
    assert_eq!((failed, script.calls.lock().unwrap().len()), (vec![3], 2));
}

#[tokio::test(start_paused = true)]
async fn a_missing_table_costs_a_few_calls_only() {
    let (script, given) = (Script::new(&[Act::Fail(FailureKind::NotFound); 400]), distinct(250));
    let output = bulk(&script, &given, &known(&given)).await;
    let is_not_found = |result: &Result<(), BindingError>| {
        result.as_ref().is_err_and(|error| error.kind() == FailureKind::NotFound && error.outcome() == Outcome::NotDone)
    };
    assert!(output.entries.iter().all(is_not_found));
    assert_eq!(script.calls.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_bulk_counts_what_was_in_flight_and_what_was_not() {
    let metrics = Metrics::new();
    let options = BulkOptions { metrics: metrics.output("rows"), ..options() };
    let (script, given) = (Script::new(&[Act::Hang; 4]), distinct(250));
    let entries: Vec<_> = given.iter().map(|value| Entry { value: *value, size: 10 }).collect();
    let keys = known(&given);
    {
        let mut running = Box::pin(run(&script, &entries, &keys, &options));
        assert!(futures_util::poll!(&mut running).is_pending());
    }
    let page = metrics.page().unwrap();
    for (state, count) in [("orphaned", 100), ("refused", 150)] {
        let line = format!(r#"bindd_output_records_total{{component="rows",state="{state}"}} {count}"#);
        assert!(page.contains(&line), "{line} is not in {page}");
    }
}

/// Seeded: whatever the service does, each entry gets one result, and an `Ok` is in the table.
#[tokio::test(start_paused = true)]
async fn results_agree_with_the_table_under_any_script() {
    let all = [
        Act::Take,
        Act::Half,
        Act::Lose,
        Act::Fail(FailureKind::Throttled),
        Act::Fail(FailureKind::Transient),
        Act::Fail(FailureKind::Permanent),
        Act::Fail(FailureKind::Caller),
        Act::Hang,
    ];
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        // Few of the scripts hang, since that takes the rest of their time.
        let count = if seed % 10 == 0 { all.len() } else { all.len() - 1 };
        let acts: Vec<Act> = (0..40).map(|_| all[random.usize(..count)]).collect();
        let script = Script::new(&acts);
        let given: Vec<_> = (0..80).map(|number| (random.u8(..50), number + 100)).collect();
        let keys = if random.bool() { known(&given) } else { EntryKeys::Unknown };
        let output = bulk(&script, &given, &keys).await;
        assert_eq!(output.entries.len(), given.len());
        let table = script.table.lock().unwrap();
        for key in 0..50 {
            let of_key: Vec<_> = (0..given.len()).filter(|entry| given[*entry].0 == key).collect();
            let Some(last) = of_key.last() else { continue };
            if output.entries[*last].is_ok() {
                assert_eq!(table[&key], given[*last].1, "seed {seed}, key {key}");
            }
            let stored = table.get(&key);
            let owner = of_key.iter().find(|entry| Some(&given[**entry].1) == stored);
            if let Some(owner) = owner {
                let is_reported = match &output.entries[*owner] {
                    Ok(()) => true,
                    Err(error) => error.outcome() == Outcome::Unknown,
                };
                assert!(is_reported, "seed {seed}: entry {owner} is stored but was reported as not done");
            }
        }
    }
}
