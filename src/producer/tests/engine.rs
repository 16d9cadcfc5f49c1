//! The engine by invented events, without tasks or a clock.

use super::super::gate::Share;
use super::super::tests::script::{Script, failure, record, shard};
use super::super::types::Answer;
use super::*;
use crate::domain::{FailureKind, ShardId};
use crate::telemetry::Metrics;
use std::time::Duration;
use tokio::sync::oneshot;

const MILLI: Duration = Duration::from_millis(1);

struct Bench {
    engine: Engine,
    admission: Arc<Admission>,
    now: Instant,
}

impl Bench {
    fn new(settings: ProducerSettings) -> Self {
        let metrics = Metrics::new().output("out");
        let ports = Ports { writer: Arc::new(Script::storing()), directory: None, metrics };
        let (admission, now) = (Admission::new(settings.queue), Instant::now());
        Self { engine: Engine::new(settings, &ports, Arc::clone(&admission), now), admission, now }
    }

    fn arrive(&mut self, key: &str, millis: u64) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let record = record(key, "x");
        let options =
            PutOptions { deadline: self.now + Duration::from_millis(millis), after: None, fail_if_throttled: false };
        let hash = super::super::shard_map::hash_key(&record);
        let permit = self.admission.try_acquire(record.size(), Share::Single).unwrap();
        let record = PendingRecord::new(record, hash, options, (Responder::new(sender), permit));
        self.engine.apply(Event::Arrived(record), self.now);
        receiver
    }

    /// The calls to start now: their numbers, and how many records each takes.
    fn decide(&mut self) -> Vec<(u64, usize)> {
        let mut effects = Vec::new();
        self.engine.decide(self.now, &mut effects);
        let size = |effect: &Effect| match effect {
            Effect::Start(id, Call::PutRecord(..)) => Some((*id, 1)),
            Effect::Start(id, Call::PutRecords(records)) => Some((*id, records.len())),
            Effect::List => None,
        };
        effects.iter().filter_map(size).collect()
    }

    fn reply(&mut self, id: u64, reply: Reply) {
        self.engine.apply(Event::Returned { id, reply }, self.now);
    }
}

fn receipt(number: u64) -> Receipt {
    Receipt { sequence: number.to_string().parse().unwrap(), shard: ShardId::new("s"), encryption: None }
}

#[test]
fn a_fifth_call_waits_for_company_or_for_its_time() {
    let mut bench = Bench::new(ProducerSettings::default());
    let mut waiters = Vec::new();
    for call in 0..4 {
        waiters.push(bench.arrive("k", 1_000));
        assert_eq!(bench.decide(), [(call, 1)]);
    }
    waiters.push(bench.arrive("k", 1_000));
    assert_eq!(bench.decide(), []);
    assert_eq!(bench.engine.wake_at(), Some(bench.now + 5 * MILLI));
    waiters.extend((0..499).map(|_| bench.arrive("k", 1_000)));
    assert_eq!(bench.decide(), [(4, 500)], "a full batch does not wait");
    waiters.push(bench.arrive("k", 1_000));
    bench.now += 5 * MILLI;
    assert_eq!(bench.decide(), [(5, 1)]);
}

#[test]
fn closing_sends_without_waiting_for_company() {
    let mut bench = Bench::new(ProducerSettings::default());
    let mut waiters = Vec::new();
    for _ in 0..4 {
        waiters.push(bench.arrive("k", 1_000));
        bench.decide();
    }
    waiters.push(bench.arrive("k", 1_000));
    bench.engine.apply(Event::Closing, bench.now);
    assert_eq!(bench.decide(), [(4, 1)]);
    for id in 0..5 {
        bench.reply(id, Ok(vec![Ok(receipt(id))]));
    }
    assert!(bench.engine.is_idle());
    assert!(waiters.iter_mut().all(|waiter| waiter.try_recv().unwrap().is_ok()));
}

#[test]
fn a_reply_for_another_number_of_records_proves_nothing() {
    let settings = ProducerSettings {
        retry: super::super::RetryPolicy { max_retries: Some(0), ..super::super::RetryPolicy::default() },
        ..ProducerSettings::default()
    };
    let mut bench = Bench::new(settings);
    let mut waiters = [bench.arrive("a", 1_000), bench.arrive("b", 1_000)];
    assert_eq!(bench.decide(), [(0, 2)]);
    bench.reply(0, Ok(vec![Ok(receipt(1))]));
    for waiter in &mut waiters {
        assert_eq!(waiter.try_recv().unwrap().unwrap_err().outcome(), Outcome::Unknown);
    }
}

#[test]
fn the_deadline_answers_in_time_and_a_late_reply_changes_nothing() {
    let mut bench = Bench::new(ProducerSettings::default());
    let mut waiter = bench.arrive("k", 10);
    assert_eq!(bench.decide(), [(0, 1)]);
    assert_eq!(bench.engine.wake_at(), Some(bench.now + 10 * MILLI));
    bench.now += 10 * MILLI;
    bench.decide();
    let error = waiter.try_recv().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::Unknown));
    assert_eq!(bench.admission.usage().0, 1, "its memory is still in use");
    bench.reply(0, Err(failure(FailureKind::Throttled)));
    assert_eq!((bench.decide(), bench.admission.usage().0), (Vec::new(), 0));
}

#[test]
fn a_repetition_that_could_not_begin_in_time_is_answered_at_once() {
    let mut bench = Bench::new(ProducerSettings::default());
    let mut waiter = bench.arrive("k", 10);
    bench.decide();
    bench.reply(0, Err(failure(FailureKind::Throttled).with_retry_after(10 * MILLI)));
    let error = waiter.try_recv().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Throttled, Outcome::NotDone));
    assert!(error.retry_after().is_some());
}

#[test]
fn a_new_map_moves_what_waits_to_its_new_shard() {
    let mut bench = Bench::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() });
    let _waiters = [bench.arrive("a", 1_000), bench.arrive("b", 1_000)];
    let listing = |id: &str| {
        let shards = vec![shard(id, 0, u128::MAX)];
        Ok(ShardListing { shards, listed_at: crate::domain::Timestamp::from_millis(0) })
    };
    for id in ["old", "new"] {
        bench.engine.apply(Event::Listed(listing(id)), bench.now);
        assert_eq!(bench.engine.queue.iter().count(), 2);
        for record in bench.engine.queue.iter() {
            assert_eq!(record.shard, Some(ShardId::new(id)));
        }
    }
}

#[test]
fn the_next_of_a_key_does_not_take_the_place_of_one_that_failed_and_is_not_awaited() {
    let stop = OrderingOnFailure::Stop(Duration::from_secs(30));
    let ordering = super::super::Ordering::Key;
    let settings = ProducerSettings { ordering, ordering_on_failure: stop, ..ProducerSettings::default() };
    let mut bench = Bench::new(settings);
    let (_b, a) = (bench.arrive("b", 1_000), bench.arrive("a", 1_000));
    let mut behind = bench.arrive("a", 1_000);
    assert_eq!(bench.decide(), [(0, 2)]);
    bench.reply(0, Err(failure(FailureKind::Throttled).with_retry_after(100 * MILLI)));
    drop(a);
    bench.now += 100 * MILLI;
    assert_eq!(bench.decide(), [(1, 1)]);
    assert_eq!(behind.try_recv().unwrap().unwrap_err().reason(), Some("ORDERING_STOPPED"));
}

#[test]
fn the_fault_of_an_aggregate_is_no_answer_to_its_users() {
    let settings = ProducerSettings { aggregation: super::super::Aggregation::Key, ..ProducerSettings::default() };
    let mut bench = Bench::new(settings);
    let mut waiters = [bench.arrive("a", 100), bench.arrive("a", 100)];
    assert_eq!(bench.decide(), [(0, 1)]);
    bench.reply(0, Err(failure(FailureKind::TooLarge)));
    bench.now += 100 * MILLI;
    assert_eq!(bench.decide(), []);
    for waiter in &mut waiters {
        let error = waiter.try_recv().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::NotDone));
    }
}

#[test]
fn only_a_call_that_was_too_large_makes_later_ones_smaller() {
    for (kind, most) in [(FailureKind::Caller, 10 << 20), (FailureKind::TooLarge, 5 << 20)] {
        let mut bench = Bench::new(ProducerSettings::default());
        let _waiters = [bench.arrive("a", 1_000), bench.arrive("b", 1_000)];
        bench.decide();
        bench.engine.in_flight.get_mut(&0).unwrap().bytes = 6 << 20;
        bench.reply(0, Err(failure(kind)));
        assert_eq!(bench.engine.refused_calls.limits(bench.now).bytes, most, "{kind}");
    }
}

#[test]
fn an_engine_that_is_dropped_answers_truly() {
    let mut bench = Bench::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() });
    let mut flying = bench.arrive("a", 1_000);
    bench.decide();
    let mut waiting = bench.arrive("b", 1_000);
    drop(bench);
    assert_eq!(flying.try_recv().unwrap().unwrap_err().outcome(), Outcome::Unknown);
    let error = waiting.try_recv().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Closed, Outcome::NotDone));
}
