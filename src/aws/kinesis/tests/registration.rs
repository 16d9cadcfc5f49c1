use super::*;
use crate::domain::Outcome;

fn failed(code: &str, kind: FailureKind) -> CallError {
    CallError { code: Some(code.into()), ..CallError::new(kind, Outcome::NotDone, code.into()) }
}

fn limit() -> CallError {
    failed("LimitExceededException", FailureKind::Throttled)
}

#[test]
fn pauses_after_a_refused_registration_grow_to_a_minute() {
    let stream = "orders".parse().unwrap();
    let mut pauses = Pauses::new(&stream, "app");
    for bound in [2, 4, 8, 16, 32, 60, 60, 60] {
        let wait = pauses.failed(Call::Register, &limit());
        assert!(wait <= Duration::from_secs(bound), "{wait:?}");
    }
    let long: Duration = (0..40).map(|_| pauses.failed(Call::Register, &limit())).sum();
    assert!(long / 40 > Duration::from_secs(15), "{long:?}");
}

#[test]
fn each_kind_of_call_has_its_own_pauses() {
    let stream = "orders".parse().unwrap();
    let mut pauses = Pauses::new(&stream, "app");
    for _ in 0..9 {
        pauses.failed(Call::Register, &limit());
    }
    assert_eq!(pauses.describe_consumer.taken(), 0);
    pauses.failed(Call::DescribeConsumer, &limit());
    assert_eq!((pauses.describe_consumer.taken(), pauses.register.taken()), (1, 9));
    // A registration that is answered proves that describing works.
    pauses.failed(Call::Register, &limit());
    assert_eq!((pauses.describe_consumer.taken(), pauses.register.taken()), (0, 10));
    pauses.not_active("CREATING", Instant::now());
    assert_eq!(pauses.register.taken(), 0);
}

#[test]
fn only_a_registration_waits_for_a_resource_in_use() {
    let conflict = failed("ResourceInUseException", FailureKind::Conflict);
    assert!(is_temporary(Call::Register, &conflict));
    assert!(!is_temporary(Call::DescribeConsumer, &conflict));
    for call in [Call::DescribeStream, Call::DescribeConsumer, Call::Register] {
        assert!(is_temporary(call, &limit()));
        assert!(!is_temporary(call, &failed("AccessDeniedException", FailureKind::Denied)));
    }
}

#[test]
fn with_a_fallback_a_limit_that_lasts_is_a_refusal() {
    let settings = |wait_at_limit| RegistrationSettings { create: true, wait_at_limit };
    let refusals = |wait_at_limit| -> Vec<bool> {
        (0..5).map(|taken| is_refusal(Call::Register, &limit(), taken, settings(wait_at_limit))).collect()
    };
    assert_eq!(refusals(false), [false, false, false, true, true]);
    assert_eq!(refusals(true), [false; 5]);
    assert!(!is_refusal(Call::DescribeConsumer, &limit(), 9, settings(false)));
    for call in [Call::DescribeStream, Call::DescribeConsumer, Call::Register] {
        assert!(is_refusal(call, &failed("AccessDeniedException", FailureKind::Denied), 0, settings(true)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_stays_inactive_is_polled_more_and_more_rarely_and_logged_each_half_minute() {
    let stream = "orders".parse().unwrap();
    let mut pauses = Pauses::new(&stream, "app");
    let (begun, mut polls, mut warned) = (Instant::now(), 0, Vec::new());
    while begun.elapsed() < Duration::from_secs(300) {
        polls += 1;
        tokio::time::advance(pauses.not_active("DELETING", Instant::now())).await;
        if pauses.warned_at != warned.last().copied() {
            warned.extend(pauses.warned_at);
        }
    }
    assert!(polls < 150, "{polls}");
    assert!(warned[0] - begun < WARN_INTERVAL + Duration::from_secs(10), "{warned:?}");
    assert!(warned.len() > 4 && warned.windows(2).all(|pair| pair[1] - pair[0] >= WARN_INTERVAL), "{warned:?}");
}
