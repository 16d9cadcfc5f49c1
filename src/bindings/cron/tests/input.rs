use super::*;
use crate::telemetry::Metrics;
use crate::testing::{RecordingHandler, Reply};
use std::collections::HashMap;
use std::sync::LazyLock;
use tokio::time::{Instant, advance};

static START: LazyLock<Mutex<HashMap<std::thread::ThreadId, Instant>>> = LazyLock::new(Mutex::default);

/// Tokio's paused time since the first look of this test.
fn paused_clock() -> Duration {
    let mut starts = START.lock().unwrap();
    let start = *starts.entry(std::thread::current().id()).or_insert_with(Instant::now);
    Duration::from_secs(1_795_000_000) + start.elapsed()
}

fn input(schedule: &str) -> Input {
    Input {
        component: "tick".parse().unwrap(),
        schedule: Schedule::parse(schedule, &HashMap::from([("TZ", "UTC")])).unwrap(),
        metrics: Metrics::new().input("tick"),
        drain_limits: DrainLimits { urgent: Duration::from_secs(5), retire: Duration::from_secs(60) },
        clock: paused_clock,
        stopped_at: Mutex::default(),
        failed: Mutex::default(),
    }
}

/// Reads for a while, then stops.
async fn read_for(input: &Input, app: &RecordingHandler, time: Duration) {
    let stop = Stop::new();
    let reading = input.read(Arc::new(app.clone()), stop.clone());
    let stopping = async {
        sleep(time).await;
        stop.finish();
    };
    let (result, ()) = tokio::join!(reading, stopping);
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_firing_calls_the_app_with_an_empty_body_and_the_metadata_of_dapr() {
    let (input, app) = (input("@every 10s"), RecordingHandler::new());
    read_for(&input, &app, Duration::from_secs(35)).await;
    let messages = app.messages();
    assert_eq!(messages.len(), 3);
    assert!(messages[0].data.is_empty());
    let names: Vec<&str> = messages[0].metadata.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["timeZone", "readTimeUTC"]);
    assert_eq!(messages[0].metadata[0].1, "Local");
}

#[tokio::test(start_paused = true)]
async fn firings_overlap_and_a_failure_is_not_repeated() {
    let (input, app) = (input("@every 10s"), RecordingHandler::new());
    app.plan([Reply::Accept(Duration::from_secs(25)), Reply::Refuse(500, None)]);
    read_for(&input, &app, Duration::from_secs(35)).await;
    assert_eq!(app.messages().len(), 3, "the second did not wait for the first, and was sent once");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_does_not_answer_gets_a_limited_number_of_firings() {
    let (input, app) = (input("@every 1s"), RecordingHandler::new());
    app.always(Reply::Stall);
    read_for(&input, &app, Duration::from_secs(200)).await;
    assert_eq!(app.messages().len(), MAX_IN_FLIGHT);
}

#[tokio::test(start_paused = true)]
async fn firings_between_two_reads_are_not_made_up_for() {
    let (input, app) = (input("* * * * *"), RecordingHandler::new());
    read_for(&input, &app, Duration::from_secs(61)).await;
    let before = app.messages().len();
    advance(Duration::from_secs(600)).await;
    read_for(&input, &app, Duration::from_secs(61)).await;
    let after = app.messages().len() - before;
    assert!((1..=2).contains(&before) && (1..=2).contains(&after), "{before}, {after}");
}

#[test]
fn times_are_printed_as_go_prints_them() {
    for (nanos, text) in [
        (0, "2026-11-27 13:17:09 +0000 UTC"),
        (500_000_000, "2026-11-27 13:17:09.5 +0000 UTC"),
        (1, "2026-11-27 13:17:09.000000001 +0000 UTC"),
    ] {
        assert_eq!(go_time(Duration::new(1_795_785_429, nanos)), text);
    }
}
