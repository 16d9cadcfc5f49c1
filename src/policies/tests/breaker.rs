use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn breaker(max_requests: u32, interval: Option<Duration>, trip: &str, now: Instant) -> CircuitBreaker {
    let trip = Trip::parse(trip).unwrap();
    CircuitBreaker::new(BreakerSpec { max_requests, interval, timeout: 10 * SECOND, trip }, now)
}

/// One call with this result.
fn call(breaker: &mut CircuitBreaker, is_success: bool, now: Instant) {
    let ticket = breaker.admit(now).unwrap();
    breaker.report(ticket, is_success, now);
}

#[test]
fn the_default_opens_with_the_sixth_failure_in_a_row_for_a_minute() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::new(BreakerSpec::default(), now);
    (0..5).for_each(|_| call(&mut breaker, false, now));
    call(&mut breaker, true, now);
    (0..5).for_each(|_| call(&mut breaker, false, now));
    assert_eq!(breaker.state_at(now), BreakerState::Closed, "a success in between starts again");
    call(&mut breaker, false, now);
    assert_eq!(breaker.admit(now + 20 * SECOND), Err(Rejection::Open { remaining: 40 * SECOND }));
    assert_eq!(breaker.state_at(now + 60 * SECOND), BreakerState::HalfOpen);
}

#[test]
fn a_half_open_breaker_admits_max_requests_and_closes_after_so_many_successes() {
    let now = Instant::now();
    let mut breaker = breaker(2, None, "requests > 0", now);
    call(&mut breaker, false, now);
    let later = now + 10 * SECOND;
    let (first, second) = (breaker.admit(later).unwrap(), breaker.admit(later).unwrap());
    assert_eq!(breaker.admit(later), Err(Rejection::TooManyRequests));
    breaker.report(first, true, later);
    assert_eq!(breaker.state_at(later), BreakerState::HalfOpen);
    breaker.report(second, true, later);
    assert_eq!(breaker.state_at(later), BreakerState::Closed);
}

#[test]
fn one_failure_of_a_half_open_breaker_opens_it_again() {
    let now = Instant::now();
    let mut breaker = breaker(3, None, "consecutiveFailures >= 1", now);
    call(&mut breaker, false, now);
    let later = now + 10 * SECOND;
    call(&mut breaker, true, later);
    call(&mut breaker, false, later);
    assert_eq!(breaker.admit(later), Err(Rejection::Open { remaining: 10 * SECOND }));
}

#[test]
fn a_cancelled_call_frees_its_place_and_counts_as_nothing() {
    let now = Instant::now();
    let mut breaker = breaker(1, None, "totalFailures > 0", now);
    call(&mut breaker, false, now);
    let later = now + 10 * SECOND;
    let probe = breaker.admit(later).unwrap();
    assert!(breaker.admit(later).is_err());
    breaker.cancel(probe);
    assert!(breaker.admit(later).is_ok(), "else nothing would ever close it");
}

#[test]
fn the_counts_of_a_closed_breaker_are_cleared_at_each_interval() {
    let now = Instant::now();
    let mut breaker = breaker(1, Some(5 * SECOND), "totalFailures >= 2", now);
    call(&mut breaker, false, now);
    call(&mut breaker, false, now + 5 * SECOND);
    assert_eq!(breaker.state_at(now + 5 * SECOND), BreakerState::Closed);
    call(&mut breaker, false, now + 6 * SECOND);
    assert_eq!(breaker.state_at(now + 6 * SECOND), BreakerState::Open);
}

#[test]
fn a_call_that_ends_after_the_counts_were_cleared_changes_nothing() {
    let now = Instant::now();
    let mut breaker = breaker(1, None, "totalFailures > 0", now);
    let slow = breaker.admit(now).unwrap();
    call(&mut breaker, false, now);
    breaker.report(slow, true, now + 10 * SECOND);
    assert_eq!(breaker.state_at(now + 10 * SECOND), BreakerState::HalfOpen);
}

proptest! {
    /// Against the rules, for any calls: never more than `maxRequests` calls while half-open, none while open, and an
    /// open breaker admits a call again after its timeout.
    #[test]
    fn the_rules_hold_for_any_calls(
        max_requests in 1_u32..4, limit in 0_u32..5,
        steps in prop::collection::vec((0_u64..15, 0_u8..4), 1..200),
    ) {
        let mut now = Instant::now();
        let mut breaker = breaker(max_requests, None, &format!("consecutiveFailures > {limit}"), now);
        let mut open: Vec<Ticket> = Vec::new();
        for (wait, action) in steps {
            now += Duration::from_secs(wait);
            let state = breaker.state_at(now);
            match (action, open.pop()) {
                (0, Some(ticket)) => breaker.report(ticket, true, now),
                (1, Some(ticket)) => breaker.report(ticket, false, now),
                (2, Some(ticket)) => breaker.cancel(ticket),
                (_, ticket) => {
                    open.extend(ticket);
                    match breaker.admit(now) {
                        Ok(ticket) => {
                            prop_assert!(state != BreakerState::Open);
                            open.push(ticket);
                        }
                        Err(Rejection::Open { remaining }) => {
                            prop_assert!(remaining > Duration::ZERO && remaining <= 10 * SECOND);
                            prop_assert_eq!(breaker.state_at(now + remaining), BreakerState::HalfOpen);
                            prop_assert!(breaker.admit(now + remaining).is_ok());
                            now += remaining;
                        }
                        Err(Rejection::TooManyRequests) => prop_assert_eq!(state, BreakerState::HalfOpen),
                    }
                }
            }
            prop_assert!(breaker.state != BreakerState::HalfOpen || breaker.counts.requests <= max_requests);
        }
    }
}
