use crate::domain::{BindingError, FailureKind, Outcome, Stop};
use crate::manifest::{Place, ResiliencyDocument};
use crate::policies::{Policies, PolicyEvent, PolicyObserver};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Events as `what policy status`.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    fn record(&self, what: &str, event: PolicyEvent<'_>) {
        let (policy, status) = (event.kind.as_str(), event.kind.status());
        self.0.lock().unwrap().push(format!("{what} {policy} {status}").trim().to_owned());
    }
}

impl PolicyObserver for Recorder {
    fn executed(&self, event: PolicyEvent<'_>) {
        self.record("executed", event);
    }

    fn activated(&self, event: PolicyEvent<'_>) {
        self.record("activated", event);
    }
}

fn document(spec: &Value) -> ResiliencyDocument {
    let place = Place { file: "resiliency.yaml".to_owned(), document: 1 };
    let spec = spec.as_object().unwrap().clone();
    ResiliencyDocument { name: "shop".to_owned(), namespace: String::new(), place, spec }
}

/// Policies of the output `orders`, under the names that default policies have.
fn policies(policies: &Value, stop: &Stop) -> (Policies, Arc<Recorder>) {
    let recorder = Arc::<Recorder>::default();
    let all = Policies::new(stop.clone(), Arc::<Recorder>::clone(&recorder) as Arc<dyn PolicyObserver>);
    all.reload(&[document(&json!({ "policies": policies }))]);
    (all, recorder)
}

fn failing(kind: FailureKind) -> BindingError {
    BindingError::new(kind, "no")
}

/// Runs one call; returns its result, its attempts and how long it took.
async fn run(
    policies: &Policies,
    mut attempt: impl FnMut(u32) -> Result<(), BindingError>,
) -> (Result<(), BindingError>, u32, Duration) {
    let (begun, mut made) = (Instant::now(), 0);
    let policy = policies.outbound("orders").unwrap();
    let result = policy
        .run(|| {
            made += 1;
            let result = attempt(made);
            async move { result }
        })
        .await;
    (result, made, begun.elapsed())
}

fn constant(retries: i32) -> Value {
    json!({"DefaultRetryPolicy": {"duration": "2s", "maxRetries": retries}})
}

#[tokio::test(start_paused = true)]
async fn a_call_is_repeated_until_it_succeeds_or_its_retries_are_used_up() {
    let (all, recorder) = policies(&json!({"retries": constant(3)}), &Stop::new());
    let (result, made, took) =
        run(&all, |made| if made < 3 { Err(failing(FailureKind::Denied)) } else { Ok(()) }).await;
    assert_eq!((result.is_ok(), made, took), (true, 3, 4 * SECOND));
    assert_eq!(*recorder.0.lock().unwrap(), ["executed retry", "activated retry"]);
    let (result, made, _) = run(&all, |_| Err(failing(FailureKind::Throttled))).await;
    assert_eq!((result.unwrap_err().kind(), made), (FailureKind::Throttled, 4));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_repeated_as_in_dapr_and_stays_unknown() {
    let (all, _) = policies(&json!({"retries": constant(1)}), &Stop::new());
    let lost = |made| {
        let outcome = if made == 1 { Outcome::Unknown } else { Outcome::NotDone };
        Err(failing(FailureKind::Transient).with_outcome(outcome))
    };
    let (result, made, _) = run(&all, lost).await;
    assert_eq!((result.unwrap_err().outcome(), made), (Outcome::Unknown, 2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_itself_at_fault_is_not_repeated_and_does_not_open_the_breaker() {
    let breakers = json!({"DefaultCircuitBreakerPolicy": {"trip": "totalFailures > 0"}});
    let (all, _) = policies(&json!({"retries": constant(-1), "circuitBreakers": breakers}), &Stop::new());
    for kind in [FailureKind::Caller, FailureKind::TooLarge, FailureKind::Conflict, FailureKind::Unsupported] {
        let (result, made, _) = run(&all, |_| Err(failing(kind))).await;
        assert_eq!((result.unwrap_err().kind(), made), (kind, 1));
    }
    let (result, made, _) =
        run(&all, |made| if made == 1 { Err(failing(FailureKind::Conflict).temporary()) } else { Ok(()) }).await;
    assert_eq!(result.unwrap_err().to_string(), "circuit breaker is open");
    assert_eq!(made, 1, "a temporary conflict counts, and opened the breaker");
}

#[tokio::test(start_paused = true)]
async fn the_wish_of_the_service_is_respected() {
    let (all, _) = policies(&json!({"retries": constant(1)}), &Stop::new());
    let (_, made, took) = run(&all, |_| Err(failing(FailureKind::Throttled).with_retry_after(30 * SECOND))).await;
    assert_eq!((made, took), (2, 30 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_limits_each_attempt() {
    let (all, recorder) =
        policies(&json!({"timeouts": {"DefaultTimeoutPolicy": "3s"}, "retries": constant(2)}), &Stop::new());
    let (policy, begun) = (all.outbound("orders").unwrap(), Instant::now());
    let error = policy.run(std::future::pending::<Result<(), BindingError>>).await.unwrap_err();
    assert_eq!(error.to_string(), "context deadline exceeded");
    assert_eq!((error.kind(), error.outcome()), (FailureKind::TimedOut, Outcome::Unknown));
    assert_eq!(begun.elapsed(), (3 * 3 + 2 * 2) * SECOND);
    let events = recorder.0.lock().unwrap().clone();
    assert_eq!(events, ["executed timeout", "executed retry", "activated timeout", "activated retry"]);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_ends_the_retries_and_admits_one_call_after_its_timeout() {
    let breakers = json!({"DefaultCircuitBreakerPolicy": {"trip": "consecutiveFailures > 1", "timeout": "10s"}});
    let (all, recorder) = policies(&json!({"retries": constant(-1), "circuitBreakers": breakers}), &Stop::new());
    let failed = |_| Err(failing(FailureKind::Transient));
    let (result, made, _) = run(&all, failed).await;
    let error = result.unwrap_err();
    assert_eq!((error.to_string().as_str(), made), ("circuit breaker is open", 2));
    assert_eq!((error.kind(), error.retry_after()), (FailureKind::Unavailable, Some(8 * SECOND)));
    assert_eq!(run(&all, failed).await.1, 0, "nothing is sent");
    tokio::time::advance(10 * SECOND).await;

    let policy = all.outbound("orders").unwrap();
    let probe = policy.run(std::future::pending::<Result<(), BindingError>>);
    let second = async { all.outbound("orders").unwrap().run(|| async { Ok(()) }).await };
    let (first, second) = tokio::join!(tokio::time::timeout(SECOND, probe), second);
    assert!(first.is_err(), "the probe was dropped");
    assert_eq!(second.unwrap_err().to_string(), "too many requests");
    assert_eq!(run(&all, |_| Ok(())).await.1, 1, "a dropped probe gives its place back");
    let events = recorder.0.lock().unwrap().clone();
    assert!(events.contains(&"activated circuitbreaker open".to_owned()), "{events:?}");
    assert!(events.contains(&"activated circuitbreaker closed".to_owned()), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_retries_with_the_last_error() {
    let stop = Stop::new();
    let (all, _) = policies(&json!({"retries": constant(-1)}), &stop);
    let failed = |_| Err(failing(FailureKind::Transient));
    let ((result, made, took), ()) = tokio::join!(run(&all, failed), async {
        tokio::time::sleep(3 * SECOND).await;
        stop.finish();
    });
    assert_eq!((result.unwrap_err().kind(), made, took), (FailureKind::Transient, 2, 3 * SECOND));
    assert_eq!(run(&all, failed).await.1, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_replaces_the_policies_and_keeps_a_breaker_whose_policy_stays() {
    let breaker = |timeout: &str| {
        json!({"policies": {"circuitBreakers": {"DefaultCircuitBreakerPolicy":
            {"trip": "totalFailures > 0", "timeout": timeout}}}})
    };
    let all = Policies::default();
    all.reload(&[document(&breaker("60s"))]);
    assert_eq!(run(&all, |_| Err(failing(FailureKind::Transient))).await.1, 1);
    all.reload(&[document(&breaker("60s"))]);
    assert_eq!(run(&all, |_| Ok(())).await.1, 0, "still open");
    all.reload(&[document(&breaker("61s"))]);
    assert_eq!(run(&all, |_| Ok(())).await.1, 1, "another policy, another breaker");
    all.reload(&[document(&json!({"policies": {"retries": {"r": {"policy": "linear"}}}}))]);
    assert!(all.outbound("orders").is_none() && all.names().is_empty(), "a wrong document is skipped");
}
