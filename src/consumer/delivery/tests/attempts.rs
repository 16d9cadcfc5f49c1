use super::*;
use crate::domain::BoxError;

const fn rules(settings: &DeliverySettings) -> Rules<'_> {
    Rules { settings, policy: None, keeps_dead_letters: false }
}

fn refused(status: u16, retry_after: Option<u64>) -> DeliveryError {
    let retry_after = retry_after.map(Duration::from_secs);
    DeliveryError::Refused { status, target: "POST /orders".to_owned(), retry_after, location: None, excerpt: None }
}

fn down() -> DeliveryError {
    DeliveryError::Unreachable { address: "127.0.0.1:1".to_owned(), source: BoxError::from("refused") }
}

fn broken(was_idle: bool) -> DeliveryError {
    DeliveryError::Unanswered { target: "POST /orders".to_owned(), was_idle, source: BoxError::from("reset") }
}

fn timed_out() -> DeliveryError {
    DeliveryError::TimedOut { target: String::new(), limit: Duration::from_secs(1), option: "--app-timeout" }
}

#[test]
fn failures_are_classified_by_what_they_say_about_the_records() {
    let settings =
        DeliverySettings { permanent_statuses: vec![422], bisect_on_error: true, ..DeliverySettings::default() };
    let fresh = History::default();
    let resent = History { was_resent: true, ..History::default() };
    for (error, records, history, expected) in [
        (refused(500, None), 1, &fresh, Failure::Counted),
        (refused(500, None), 2, &fresh, Failure::Split),
        (refused(422, None), 1, &fresh, Failure::Permanent),
        (refused(422, None), 2, &fresh, Failure::Split),
        (refused(503, None), 1, &fresh, Failure::Counted),
        (refused(503, Some(1)), 1, &fresh, Failure::Overload),
        (refused(429, Some(1)), 9, &fresh, Failure::Overload),
        (refused(500, Some(1)), 1, &fresh, Failure::Counted),
        (down(), 9, &fresh, Failure::AppDown),
        (timed_out(), 1, &fresh, Failure::Counted),
        (broken(false), 1, &fresh, Failure::Counted),
        (broken(true), 9, &fresh, Failure::IdleConnectionClosed),
        (broken(true), 1, &resent, Failure::Counted),
    ] {
        assert_eq!(
            classify(&error, error.is_app_down(), records, history, rules(&settings)),
            expected,
            "{error} of {records}"
        );
    }
    let without_bisect = DeliverySettings::default();
    assert_eq!(classify(&refused(500, None), false, 9, &fresh, rules(&without_bisect)), Failure::Counted);
}

#[test]
fn a_permanent_refusal_of_a_batch_is_split_even_without_bisect() {
    let settings = DeliverySettings { permanent_statuses: vec![410], ..DeliverySettings::default() };
    assert_eq!(classify(&refused(410, None), false, 8, &History::default(), rules(&settings)), Failure::Split);
}

#[test]
fn retry_after_only_lengthens_the_pause() {
    let settings = DeliverySettings::default();
    assert_eq!(pause(0, &refused(503, Some(7)), 0.5, rules(&settings)), Duration::from_secs(7));
    for (failures, random, millis) in [(0, 1.0, 100), (3, 0.5, 400), (30, 1.0, 30_000), (30, 0.0, 1)] {
        assert_eq!(pause(failures, &refused(503, Some(0)), random, rules(&settings)), Duration::from_millis(millis));
    }
}

#[test]
fn counted_attempts_end_at_the_limit_and_others_never_do() {
    let settings = DeliverySettings { max_attempts: Some(3), ..DeliverySettings::default() };
    let mut history = History::default();
    for _ in 0..100 {
        record_failure(&mut history, Failure::AppDown, &down(), (1, 0.5), rules(&settings));
        record_failure(&mut history, Failure::Overload, &refused(503, Some(1)), (1, 0.5), rules(&settings));
        record_failure(&mut history, Failure::Split, &refused(500, None), (4, 0.5), rules(&settings));
    }
    assert_eq!((history.attempts, history.max_batch), (0, Some(2)));
    let mut step = || record_failure(&mut history, Failure::Counted, &refused(500, None), (1, 0.5), rules(&settings));
    assert!(matches!((step(), step()), (NextStep::Retry(_), NextStep::Retry(_))));
    assert_eq!(step(), NextStep::GiveUp(GiveUpReason::Attempts));
}

#[test]
fn at_the_limit_of_attempts_a_batch_is_halved_and_only_the_record_that_fails_is_given_up() {
    let settings = DeliverySettings { max_attempts: Some(2), ..DeliverySettings::default() };
    let mut history = History::default();
    let mut fail =
        |records| record_failure(&mut history, Failure::Counted, &refused(500, None), (records, 0.5), rules(&settings));
    for records in [20, 20, 10, 5, 2] {
        assert!(matches!(fail(records), NextStep::Retry(_)), "{records}");
    }
    assert_eq!(fail(1), NextStep::GiveUp(GiveUpReason::Attempts));
    assert_eq!((history.attempts, history.max_batch), (2, Some(1)));
}

#[test]
fn halving_ends_at_single_records() {
    let (settings, mut history, mut records) = (DeliverySettings::default(), History::default(), 100);
    for _ in 0..10 {
        record_failure(&mut history, Failure::Split, &refused(500, None), (records, 0.5), rules(&settings));
        records = history.max_batch.unwrap();
    }
    assert_eq!(records, 1);
}

/// Waits a minute, gives up after two deliveries, and retries 503 alone.
#[derive(Debug)]
struct Policy;

impl RedeliveryPolicy for Policy {
    fn wait(&self, _: u32, _: f64) -> Duration {
        Duration::from_secs(60)
    }

    fn max_attempts(&self) -> Option<u32> {
        Some(2)
    }

    fn is_retried(&self, status: u16) -> bool {
        status == 503
    }
}

#[test]
fn a_policy_gives_the_pauses_and_gives_up_only_what_can_be_kept() {
    let settings = DeliverySettings::default();
    let retried = NextStep::Retry(Duration::from_secs(60));
    for (keeps_dead_letters, last) in [(false, retried), (true, NextStep::GiveUp(GiveUpReason::Attempts))] {
        let rules = Rules { settings: &settings, policy: Some(&Policy), keeps_dead_letters };
        let failure = classify(&refused(500, None), false, 1, &History::default(), rules);
        assert_eq!(failure == Failure::Permanent, keeps_dead_letters);
        let mut history = History::default();
        let mut step = || record_failure(&mut history, Failure::Counted, &refused(503, None), (1, 0.5), rules);
        assert_eq!((step(), step()), (retried, last));
    }
}

#[test]
fn an_event_that_was_held_back_costs_no_attempt() {
    let settings = DeliverySettings { max_attempts: Some(1), ..DeliverySettings::default() };
    let wait = Duration::from_secs(9);
    let held = DeliveryError::Held { reason: "circuit breaker is open".to_owned(), wait };
    let mut history = History::default();
    let failure = classify(&held, false, 1, &history, rules(&settings));
    let step = record_failure(&mut history, failure, &held, (1, 0.5), rules(&settings));
    assert_eq!((step, history.attempts, history.failures), (NextStep::Retry(wait), 0, 0));
}
