//! Enhanced fan-out over TLS and HTTP/2, where all calls of one HTTP client share a connection and its window. Emulators
//! on plain HTTP/1.1 can't show what is proven here.

#![expect(clippy::disallowed_methods, reason = "a test's server and steps, which end with the test")]

mod server;

use bindd::aws::kinesis::{Directory, FanOut, FanOutTimeouts};
use bindd::aws::{Connection, ConnectionSettings, StaticCredentials, connect};
use bindd::domain::{Fetched, ReadLimit, RecordSource, Retrieval, ShardDirectory, ShardId, StartingPosition};
use bindd::testing::within;
use serde_json::json;
use server::{Server, Step};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Far longer than any step takes, on a busy machine too; shorter than a test waits.
const SILENCE: Duration = Duration::from_secs(200);

async fn connection(server: &Server) -> Connection {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    std::fs::write(&bundle, &server.ca_pem).unwrap();
    let keys = StaticCredentials { access_key: "k".into(), secret_key: "s".into(), session_token: None };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".into()),
        endpoint: Some(server.url.clone()),
        credentials: Some(keys),
        ca_bundle: Some(bundle),
        ..ConnectionSettings::default()
    };
    connect(&settings).await.unwrap()
}

async fn fan_out(server: &Server) -> FanOut {
    over(&connection(server).await)
}

fn over(connection: &Connection) -> FanOut {
    let arn = "arn:aws:kinesis:eu-central-1:000000000000:stream/orders/consumer/app:1".to_owned();
    let times = FanOutTimeouts {
        silence: SILENCE,
        response: SILENCE,
        unread: SILENCE,
        min_interval: Duration::from_millis(100),
    };
    FanOut::with_consumer(connection, "orders".parse().unwrap(), arn).with_timeouts(times)
}

async fn open(fan_out: &FanOut, shard: &str) -> Box<dyn RecordSource> {
    fan_out.open(&ShardId::new(shard), &StartingPosition::TrimHorizon).await.unwrap()
}

async fn next(source: &mut Box<dyn RecordSource>) -> Fetched {
    within("the next batch", source.next(ReadLimit::bytes(usize::MAX))).await.unwrap()
}

/// The sequence numbers of the next batch.
async fn numbers(source: &mut Box<dyn RecordSource>) -> Vec<String> {
    match next(source).await {
        Fetched::Batch(batch) => batch.records.iter().map(|record| record.position.sequence.to_string()).collect(),
        Fetched::ShardEnded { .. } => panic!("the shard has not ended"),
    }
}

fn event(number: &str, continuation: &str, data: &str) -> String {
    let record = json!({
        "SequenceNumber": number, "PartitionKey": "k", "Data": data, "ApproximateArrivalTimestamp": 1_700_000_000.0
    });
    json!({ "Records": [record], "ContinuationSequenceNumber": continuation, "MillisBehindLatest": 0 }).to_string()
}

fn after(number: &str) -> serde_json::Value {
    json!({ "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number })
}

#[tokio::test]
async fn subscriptions_that_are_not_read_stall_neither_the_others_nor_other_calls() {
    let large = "A".repeat(64 * 1024);
    let server = Server::start(move |_, _| vec![Step::Flood(event("5", "5", &large))]).await;
    let connection = connection(&server).await;
    let (fan_out, directory) = (over(&connection), Directory::new(&connection, "orders".parse().unwrap()));
    let mut unread = Vec::new();
    for shard in ["one", "two", "three"] {
        let mut source = open(&fan_out, shard).await;
        assert_eq!(numbers(&mut source).await, ["5"]);
        unread.push(source);
    }
    let (mut first, mut second) = (open(&fan_out, "four").await, open(&fan_out, "five").await);
    // Far more than any window holds.
    for round in 0..300 {
        assert_eq!(numbers(&mut first).await, ["5"]);
        assert_eq!(numbers(&mut second).await, ["5"]);
        if round % 100 == 99 {
            let listing = within("the shards to be listed", directory.list()).await.unwrap();
            assert_eq!(listing.shards.len(), 1);
            // A new subscription, beside those that are not read.
            let mut late = open(&fan_out, &format!("late-{round}")).await;
            assert_eq!(numbers(&mut late).await, ["5"]);
        }
    }
    // Those that were not read go on where they were.
    for source in &mut unread {
        assert_eq!(numbers(source).await, ["5"]);
    }
    for shard in ["one", "two", "three", "four", "five"] {
        assert_eq!(server.positions(shard).len(), 1, "{shard}: one subscription");
    }
}

#[tokio::test]
async fn a_silent_subscription_is_renewed_from_its_continuation_number() {
    let server = Server::start(|_, earlier| match earlier {
        0 => vec![Step::Event(event("5", "8", "aGk=")), Step::Silence],
        _ => vec![Step::Event(event("9", "9", "aGk=")), Step::Silence],
    })
    .await;
    let fan_out = fan_out(&server).await;
    let mut source = open(&fan_out, "silent").await;
    assert_eq!(numbers(&mut source).await, ["5"]);
    // The first poll waits for an event from now on; then the clock jumps past the silence.
    let mut later = Box::pin(numbers(&mut source));
    assert!(futures_util::poll!(&mut later).is_pending());
    tokio::time::pause();
    tokio::time::advance(SILENCE + Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(later.await, ["9"]);
    assert_eq!(server.positions("silent"), [json!({ "Type": "TRIM_HORIZON" }), after("8")]);
}

#[tokio::test]
async fn a_cut_stream_resumes_after_the_last_record() {
    let cut = Arc::new(Notify::new());
    let when = cut.clone();
    let server = Server::start(move |_, earlier| match earlier {
        0 => vec![Step::Event(event("5", "5", "aGk=")), Step::Cut(when.clone())],
        _ => vec![Step::Event(event("6", "6", "aGk=")), Step::Silence],
    })
    .await;
    let fan_out = fan_out(&server).await;
    let mut source = open(&fan_out, "cut").await;
    assert_eq!(numbers(&mut source).await, ["5"]);
    cut.notify_one();
    assert_eq!(numbers(&mut source).await, ["6"]);
    assert_eq!(server.positions("cut")[1], after("5"));
}

#[tokio::test]
async fn the_end_of_a_shard_is_told_with_its_children() {
    let range = json!({ "StartingHashKey": "0", "EndingHashKey": "9" });
    let child = json!({ "ShardId": "shardId-1", "ParentShards": ["ending"], "HashKeyRange": range });
    let last = json!({ "Records": [], "MillisBehindLatest": 0, "ChildShards": [child] }).to_string();
    let server = Server::start(move |_, _| vec![Step::Event(event("5", "5", "aGk=")), Step::Event(last.clone())]).await;
    let fan_out = fan_out(&server).await;
    let mut source = open(&fan_out, "ending").await;
    assert_eq!(numbers(&mut source).await, ["5"]);
    let end = Fetched::ShardEnded { children: vec![ShardId::new("shardId-1")] };
    assert_eq!(next(&mut source).await, end);
}

#[tokio::test]
async fn a_dropped_next_loses_nothing() {
    let server = Server::start(|_, _| vec![Step::Event(event("5", "5", "aGk=")), Step::Silence]).await;
    let fan_out = fan_out(&server).await;
    let mut source = open(&fan_out, "dropped").await;
    // The first poll begins the subscription; the future is dropped before it can be answered.
    assert!(futures_util::poll!(source.next(ReadLimit::bytes(usize::MAX))).is_pending());
    assert_eq!(numbers(&mut source).await, ["5"]);
    assert_eq!(server.positions("dropped").len(), 1);
}

/// An event without records that names no child and nothing to go on from.
fn empty_event(continuation: Option<serde_json::Value>) -> String {
    let mut event = json!({ "Records": [], "MillisBehindLatest": 0 });
    if let Some(continuation) = continuation {
        event["ContinuationSequenceNumber"] = continuation;
    }
    event.to_string()
}

#[tokio::test]
async fn an_end_without_children_is_unconfirmed_and_the_next_subscription_goes_on_after_the_last_record() {
    for continuation in [None, Some(json!(null)), Some(json!(""))] {
        let last = empty_event(continuation);
        let server = Server::start(move |_, earlier| match earlier {
            0 => vec![Step::Event(event("5", "5", "aGk=")), Step::Event(last.clone()), Step::Silence],
            _ => vec![Step::Event(event("6", "6", "aGk=")), Step::Silence],
        })
        .await;
        let fan_out = fan_out(&server).await;
        let mut source = open(&fan_out, "open").await;
        assert_eq!(numbers(&mut source).await, ["5"]);
        assert_eq!(next(&mut source).await, Fetched::ShardEnded { children: Vec::new() });
        assert_eq!(numbers(&mut source).await, ["6"]);
        assert_eq!(server.positions("open"), [json!({ "Type": "TRIM_HORIZON" }), after("5")]);
    }
}

#[tokio::test]
async fn children_named_beside_records_and_a_continuation_are_not_yet_the_end() {
    let range = json!({ "StartingHashKey": "0", "EndingHashKey": "9" });
    let child = json!({ "ShardId": "shardId-1", "ParentShards": ["closed"], "HashKeyRange": range });
    let with_child = move |event: String| {
        let mut event: serde_json::Value = serde_json::from_str(&event).unwrap();
        event["ChildShards"] = json!([child]);
        Step::Event(event.to_string())
    };
    let server = Server::start(move |_, _| {
        vec![
            with_child(event("5", "5", "aGk=")),
            with_child(event("6", "6", "aGk=")),
            with_child(empty_event(Some(json!("6")))),
        ]
    })
    .await;
    let fan_out = fan_out(&server).await;
    let mut source = open(&fan_out, "closed").await;
    assert_eq!(numbers(&mut source).await, ["5"]);
    assert_eq!(numbers(&mut source).await, ["6"]);
    assert_eq!(next(&mut source).await, Fetched::ShardEnded { children: vec![ShardId::new("shardId-1")] });
    assert_eq!(server.positions("closed").len(), 1);
}

#[tokio::test]
async fn subscriptions_recover_from_a_clock_that_is_minutes_off() {
    for offset in [432, -432] {
        let cut = Arc::new(Notify::new());
        let when = cut.clone();
        let server = Server::start(move |_, earlier| match earlier {
            0 => vec![Step::Event(event("5", "5", "aGk=")), Step::Cut(when.clone())],
            _ => vec![Step::Event(event("6", "6", "aGk=")), Step::Silence],
        })
        .await;
        server.clock_is(offset);
        let fan_out = fan_out(&server).await;
        let mut source = open(&fan_out, "late").await;
        assert_eq!(numbers(&mut source).await, ["5"]);
        // Also while it runs, and back again.
        server.clock_is(-offset);
        cut.notify_one();
        assert_eq!(numbers(&mut source).await, ["6"]);
    }
}
