use super::*;
use crate::domain::Outcome;

fn failed(code: &str, kind: FailureKind) -> Failed {
    let source = "on purpose".into();
    Failed { kind, outcome: Outcome::NotDone, text: code.into(), code: Some(code.into()), request_id: None, source }
}

fn limit() -> Failed {
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
    assert!(may_pass(Call::Register, &conflict));
    assert!(!may_pass(Call::DescribeConsumer, &conflict));
    for call in [Call::DescribeStream, Call::DescribeConsumer, Call::Register] {
        assert!(may_pass(call, &limit()));
        assert!(!may_pass(call, &failed("AccessDeniedException", FailureKind::Denied)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_stays_inactive_is_looked_at_ever_more_rarely_and_named_each_half_minute() {
    let stream = "orders".parse().unwrap();
    let mut pauses = Pauses::new(&stream, "app");
    let (begun, mut looks, mut warned) = (Instant::now(), 0, Vec::new());
    while begun.elapsed() < Duration::from_secs(300) {
        looks += 1;
        tokio::time::advance(pauses.not_active("DELETING", Instant::now())).await;
        if pauses.warned_at != warned.last().copied() {
            warned.extend(pauses.warned_at);
        }
    }
    assert!(looks < 150, "{looks}");
    assert!(warned[0] - begun < SLOW + Duration::from_secs(10), "{warned:?}");
    assert!(warned.len() > 4 && warned.windows(2).all(|pair| pair[1] - pair[0] >= SLOW), "{warned:?}");
}
