//! Drives the engine by events, without tasks or a clock.

use super::super::admission::Share;
use super::super::record::Responder;
use super::super::settings::OrderingOnFailure;
use super::super::tests::script::{Script, failure, record, shard};
use super::super::types::{Answer, PutOptions};
use super::*;
use crate::domain::{FailureKind, Receipt, ShardId, ShardListing};
use crate::telemetry::Metrics;
use std::time::Duration;
use tokio::sync::oneshot;

const MILLI: Duration = Duration::from_millis(1);

struct Fixture {
    engine: Engine,
    admission: Arc<Admission>,
    now: Instant,
}

impl Fixture {
    fn new(settings: ProducerSettings) -> Self {
        let metrics = Metrics::new().output("out");
        let ports = Ports { writer: Arc::new(Script::storing()), directory: None, metrics };
        let (admission, now) = (Admission::new(settings.queue), Instant::now());
        Self { engine: Engine::new(settings, &ports, Arc::clone(&admission), now), admission, now }
    }

    fn arrive(&mut self, key: &str, millis: u64) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let record = record(key, "x");
        let options = PutOptions::until(self.now + Duration::from_millis(millis));
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
fn a_fifth_call_waits_for_a_full_batch_or_for_the_linger() {
    let mut fixture = Fixture::new(ProducerSettings::default());
    let mut waiters = Vec::new();
    for call in 0..4 {
        waiters.push(fixture.arrive("k", 1_000));
        assert_eq!(fixture.decide(), [(call, 1)]);
    }
    waiters.push(fixture.arrive("k", 1_000));
    assert_eq!(fixture.decide(), []);
    assert_eq!(fixture.engine.wake_at(), Some(fixture.now + 5 * MILLI));
    waiters.extend((0..499).map(|_| fixture.arrive("k", 1_000)));
    assert_eq!(fixture.decide(), [(4, 500)], "a full batch does not wait");
    waiters.push(fixture.arrive("k", 1_000));
    fixture.now += 5 * MILLI;
    assert_eq!(fixture.decide(), [(5, 1)]);
}

#[test]
fn closing_sends_without_linger() {
    let mut fixture = Fixture::new(ProducerSettings::default());
    let mut waiters = Vec::new();
    for _ in 0..4 {
        waiters.push(fixture.arrive("k", 1_000));
        fixture.decide();
    }
    waiters.push(fixture.arrive("k", 1_000));
    fixture.engine.apply(Event::Closing, fixture.now);
    assert_eq!(fixture.decide(), [(4, 1)]);
    for id in 0..5 {
        fixture.reply(id, Ok(vec![Ok(receipt(id))]));
    }
    assert!(fixture.engine.is_idle());
    assert!(waiters.iter_mut().all(|waiter| waiter.try_recv().unwrap().is_ok()));
}

#[test]
fn a_reply_with_the_wrong_number_of_results_leaves_every_outcome_unknown() {
    let settings = ProducerSettings {
        retry: super::super::RetryPolicy { max_retries: Some(0), ..super::super::RetryPolicy::default() },
        ..ProducerSettings::default()
    };
    let mut fixture = Fixture::new(settings);
    let mut waiters = [fixture.arrive("a", 1_000), fixture.arrive("b", 1_000)];
    assert_eq!(fixture.decide(), [(0, 2)]);
    fixture.reply(0, Ok(vec![Ok(receipt(1))]));
    for waiter in &mut waiters {
        assert_eq!(waiter.try_recv().unwrap().unwrap_err().outcome(), Outcome::Unknown);
    }
}

#[test]
fn a_caller_is_answered_at_its_deadline_and_a_late_reply_changes_nothing() {
    let mut fixture = Fixture::new(ProducerSettings::default());
    let mut waiter = fixture.arrive("k", 10);
    assert_eq!(fixture.decide(), [(0, 1)]);
    assert_eq!(fixture.engine.wake_at(), Some(fixture.now + 10 * MILLI));
    fixture.now += 10 * MILLI;
    fixture.decide();
    let error = waiter.try_recv().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::Unknown));
    assert_eq!(fixture.admission.usage().0, 1, "the call still holds it");
    fixture.reply(0, Err(failure(FailureKind::Throttled)));
    assert_eq!((fixture.decide(), fixture.admission.usage().0), (Vec::new(), 0));
}

#[test]
fn a_retry_that_could_not_begin_before_the_deadline_fails_at_once() {
    let mut fixture = Fixture::new(ProducerSettings::default());
    let mut waiter = fixture.arrive("k", 10);
    fixture.decide();
    fixture.reply(0, Err(failure(FailureKind::Throttled).with_retry_after(10 * MILLI)));
    let error = waiter.try_recv().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Throttled, Outcome::NotDone));
    assert!(error.retry_after().is_some());
}

#[test]
fn after_a_new_listing_waiting_records_belong_to_their_new_shard() {
    let mut fixture = Fixture::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() });
    let _waiters = [fixture.arrive("a", 1_000), fixture.arrive("b", 1_000)];
    let listing = |id: &str| {
        let shards = vec![shard(id, 0, u128::MAX)];
        Ok(ShardListing { shards, listed_at: crate::domain::Timestamp::from_millis(0) })
    };
    for id in ["old", "new"] {
        fixture.engine.apply(Event::Listed(listing(id)), fixture.now);
        assert_eq!(fixture.engine.queue.iter().count(), 2);
        for record in fixture.engine.queue.iter() {
            assert_eq!(record.shard, Some(ShardId::new(id)));
        }
    }
}

#[test]
fn after_a_failed_record_whose_caller_left_the_next_of_its_key_is_refused() {
    let stop = OrderingOnFailure::Stop(Duration::from_secs(30));
    let ordering = Ordering::Key;
    let settings = ProducerSettings { ordering, ordering_on_failure: stop, ..ProducerSettings::default() };
    let mut fixture = Fixture::new(settings);
    let (_b, a) = (fixture.arrive("b", 1_000), fixture.arrive("a", 1_000));
    let mut behind = fixture.arrive("a", 1_000);
    assert_eq!(fixture.decide(), [(0, 2)]);
    fixture.reply(0, Err(failure(FailureKind::Throttled).with_retry_after(100 * MILLI)));
    drop(a);
    fixture.now += 100 * MILLI;
    assert_eq!(fixture.decide(), [(1, 1)]);
    assert_eq!(behind.try_recv().unwrap().unwrap_err().reason(), Some("ORDERING_STOPPED"));
}

#[test]
fn the_error_of_a_refused_aggregate_is_not_returned_for_its_records() {
    let settings = ProducerSettings { aggregation: super::super::Aggregation::Key, ..ProducerSettings::default() };
    let mut fixture = Fixture::new(settings);
    let mut waiters = [fixture.arrive("a", 100), fixture.arrive("a", 100)];
    assert_eq!(fixture.decide(), [(0, 1)]);
    fixture.reply(0, Err(failure(FailureKind::TooLarge)));
    fixture.now += 100 * MILLI;
    assert_eq!(fixture.decide(), []);
    for waiter in &mut waiters {
        let error = waiter.try_recv().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::NotDone));
    }
}

#[test]
fn only_a_call_that_was_too_large_makes_later_ones_smaller() {
    for (kind, most) in [(FailureKind::Caller, 10 << 20), (FailureKind::TooLarge, 5 << 20)] {
        let mut fixture = Fixture::new(ProducerSettings::default());
        let _waiters = [fixture.arrive("a", 1_000), fixture.arrive("b", 1_000)];
        fixture.decide();
        fixture.engine.in_flight.get_mut(&0).unwrap().bytes = 6 << 20;
        fixture.reply(0, Err(failure(kind)));
        assert_eq!(fixture.engine.refused_calls.limits(fixture.now).bytes, most, "{kind}");
    }
}

#[test]
fn an_engine_that_is_dropped_answers_every_caller_with_the_right_outcome() {
    let mut fixture = Fixture::new(ProducerSettings { max_in_flight: 1, ..ProducerSettings::default() });
    let mut in_flight = fixture.arrive("a", 1_000);
    fixture.decide();
    let mut waiting = fixture.arrive("b", 1_000);
    drop(fixture);
    assert_eq!(in_flight.try_recv().unwrap().unwrap_err().outcome(), Outcome::Unknown);
    let error = waiting.try_recv().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Closed, Outcome::NotDone));
}
