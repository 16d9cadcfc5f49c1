//! Reading over real sockets, against an endpoint whose replies a test decides.

use super::subscription::subscribe;
use super::{Directory, FanOut, FanOutTimeouts, Polling, RegistrationError, RegistrationSettings};
use crate::aws::{Connection, ConnectionSettings, StaticCredentials, StreamRef, connect};
use crate::domain::{
    FailureKind, Fetched, ReadLimit, RecordBatch, RecordDistribution, RecordSource, Retrieval, RetrievalError,
    ShardDirectory, ShardId, StartingPosition, StreamDirectory,
};
use crate::telemetry::{ReadMetrics, ResubscribeCause};
use crate::testing::{ScriptedKinesis, ScriptedReply, within};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const ARN: &str = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders";
const CONSUMER: &str = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders/consumer/app:1";

async fn connection(server: &ScriptedKinesis) -> Connection {
    let keys = StaticCredentials { access_key: "k".into(), secret_key: "s".into(), session_token: None };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".into()),
        endpoint: Some(server.url()),
        credentials: Some(keys),
        ..ConnectionSettings::default()
    };
    connect(&settings).await.unwrap()
}

fn stream(text: &str) -> StreamRef {
    text.parse().unwrap()
}

async fn polled(server: &ScriptedKinesis, stream_text: &str, metrics: ReadMetrics) -> Box<dyn RecordSource> {
    let polling = Polling::new(&connection(server).await, stream(stream_text), metrics);
    polling.open(&ShardId::new("shardId-0"), &StartingPosition::TrimHorizon).await.unwrap()
}

async fn fetch(source: &mut Box<dyn RecordSource>, max_bytes: usize) -> RecordBatch {
    match within("a batch", source.next(ReadLimit::bytes(max_bytes))).await.unwrap() {
        Fetched::Batch(batch) => batch,
        Fetched::ShardEnded { .. } => panic!("the shard has not ended"),
    }
}

fn numbers(batch: &RecordBatch) -> Vec<&str> {
    batch.records.iter().map(|record| record.position.sequence.as_str()).collect()
}

fn record(number: &str, data: &[u8]) -> Value {
    let data = base64_simd::STANDARD.encode_to_string(data);
    json!({ "SequenceNumber": number, "PartitionKey": "k", "Data": data, "ApproximateArrivalTimestamp": 1_700_000_000.0 })
}

fn page(records: &[Value]) -> ScriptedReply {
    ScriptedReply::ok(&json!({ "Records": records, "NextShardIterator": "next", "MillisBehindLatest": 0 }))
}

fn iterator() -> ScriptedReply {
    ScriptedReply::ok(&json!({ "ShardIterator": "first" }))
}

#[tokio::test]
async fn as_many_records_are_requested_as_fit_into_the_memory() {
    let mut polls = 0;
    let server = ScriptedKinesis::start(move |operation, _| {
        polls += usize::from(operation == "GetRecords");
        match (operation, polls) {
            ("GetShardIterator", _) => iterator(),
            (_, 1) => page(&[record("1", &[b'x'; 10_000]), record("2", &[b'x'; 10_000])]),
            _ => page(&[]),
        }
    })
    .await
    .unwrap();
    let mut source = polled(&server, ARN, ReadMetrics::default()).await;
    let guess: Vec<RecordBatch> = vec![fetch(&mut source, 10 << 20).await, fetch(&mut source, 1 << 20).await];
    assert_eq!(numbers(&guess[0]), ["1", "2"]);
    fetch(&mut source, 1).await;
    let limits: Vec<u64> = server.requests("GetRecords").iter().map(|call| call["Limit"].as_u64().unwrap()).collect();
    // 1 MiB is assumed at first; then a record takes 10,257 bytes.
    assert_eq!(limits, [8, 81, 1]);
    for operation in ["GetShardIterator", "GetRecords"] {
        assert!(server.requests(operation).iter().all(|call| call["StreamARN"] == ARN), "{operation}");
    }
    assert!(server.requests("GetShardIterator").iter().all(|call| call["StreamName"].is_null()));
}

#[tokio::test]
async fn a_refused_signature_is_left_to_the_sdk_for_a_while() {
    let mut polls = 0;
    let server = ScriptedKinesis::start(move |operation, _| {
        polls += usize::from(operation == "GetRecords");
        match (operation, polls) {
            ("GetShardIterator", _) => iterator(),
            (_, 2) => ScriptedReply::error("ExpiredTokenException"),
            (_, poll) => page(&[record(&poll.to_string(), b"x")]),
        }
    })
    .await
    .unwrap();
    let mut source = polled(&server, "orders", ReadMetrics::default()).await;
    for (expected, calls) in [("1", 1), ("3", 3), ("4", 4)] {
        assert_eq!(numbers(&fetch(&mut source, 1 << 20).await), [expected]);
        assert_eq!(server.requests("GetRecords").len(), calls);
    }
}

#[tokio::test]
async fn an_expired_iterator_and_throttles_lose_and_repeat_nothing() {
    let mut polls = 0;
    let server = ScriptedKinesis::start(move |operation, _| {
        polls += usize::from(operation == "GetRecords");
        match (operation, polls) {
            ("GetShardIterator", _) => iterator(),
            (_, 1) => page(&[record("5", b"x")]),
            (_, 2) => ScriptedReply::error("ProvisionedThroughputExceededException"),
            (_, 3) => ScriptedReply::error("ExpiredIteratorException"),
            _ => page(&[record("5", b"x"), record("6", b"x")]),
        }
    })
    .await
    .unwrap();
    let metrics = ReadMetrics::default();
    let mut source = polled(&server, "orders", metrics.clone()).await;
    assert_eq!(numbers(&fetch(&mut source, 1 << 20).await), ["5"]);
    let batch = fetch(&mut source, 1 << 20).await;
    assert_eq!((numbers(&batch), &batch.gap), (vec!["6"], &None));
    assert_eq!(metrics.throttles(), 1);
    let positions = server.requests("GetShardIterator");
    assert_eq!(positions[0]["StreamName"], "orders");
    assert_eq!(positions[1]["ShardIteratorType"], "AT_SEQUENCE_NUMBER");
    assert_eq!(positions[1]["StartingSequenceNumber"], "5");
}

#[tokio::test]
async fn a_shard_that_kinesis_does_not_know_is_reported_as_such() {
    let server = ScriptedKinesis::start(|_, _| ScriptedReply::error("ResourceNotFoundException")).await.unwrap();
    let mut source = polled(&server, "orders", ReadMetrics::default()).await;
    let error = within("the error", source.next(ReadLimit::bytes(1 << 20))).await.unwrap_err();
    assert!(matches!(error, RetrievalError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn all_pages_of_a_listing_are_read_also_if_a_token_expires() {
    for expired in [0, 1, 4] {
        let mut calls = 0;
        let server = ScriptedKinesis::start(move |_, request| {
            let first = request["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
            calls += usize::from(first > 0);
            if first > 0 && calls <= expired {
                return ScriptedReply::error("ExpiredNextTokenException");
            }
            let shards: Vec<Value> = (first..(first + 1_000).min(2_500))
                .map(|number| {
                    json!({
                        "ShardId": format!("shardId-{number:012}"),
                        "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "9" },
                        "SequenceNumberRange": { "StartingSequenceNumber": "1" },
                    })
                })
                .collect();
            let next = (first + 1_000 < 2_500).then(|| (first + 1_000).to_string());
            ScriptedReply::ok(&json!({ "Shards": shards, "NextToken": next }))
        })
        .await
        .unwrap();
        let directory = Directory::new(&connection(&server).await, stream(ARN));
        let listing = directory.list().await;
        for call in server.requests("ListShards") {
            assert_ne!(call["NextToken"].is_string(), call["StreamARN"].is_string(), "{call}");
            assert!(call["StreamName"].is_null(), "{call}");
        }
        if expired > 3 {
            assert!(listing.is_err());
            continue;
        }
        let shards = listing.unwrap().shards;
        assert_eq!((shards.len(), shards[2_499].id.as_str()), (2_500, "shardId-000000002499"));
    }
}

#[tokio::test]
async fn a_listing_whose_token_repeats_fails_and_does_not_run_for_ever() {
    let server =
        ScriptedKinesis::start(|_, _| ScriptedReply::ok(&json!({ "Shards": [], "NextToken": "again" }))).await.unwrap();
    let directory = Directory::new(&connection(&server).await, stream("orders"));
    let error = within("a listing", directory.list()).await.unwrap_err();
    assert!(error.kind().may_retry() && error.to_string().contains("NextToken"), "{error}");
    assert_eq!(server.requests("ListShards").len(), 2);
}

#[tokio::test]
async fn a_stream_that_distributes_records_itself_is_recognised() {
    for (strategy, expected) in
        [("AUTO", RecordDistribution::Auto), ("USER_PARTITION_KEY", RecordDistribution::ByPartitionKey)]
    {
        let server = ScriptedKinesis::start(move |_, _| {
            ScriptedReply::ok(&json!({ "StreamDescriptionSummary": {
                "StreamName": "orders", "StreamARN": ARN, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
                "StreamCreationTimestamp": 1_700_000_000, "EnhancedMonitoring": [], "OpenShardCount": 1,
                "RecordDistributionStrategy": strategy,
            }}))
        })
        .await
        .unwrap();
        let directory = Directory::new(&connection(&server).await, stream("orders"));
        assert_eq!(directory.distribution(), RecordDistribution::ByPartitionKey);
        directory.identify().await.unwrap();
        assert_eq!(directory.distribution(), expected);
        assert_eq!(directory.retention(), Some(Duration::from_secs(24 * 3_600)));
    }
}

#[tokio::test]
async fn a_stream_that_may_not_be_described_keeps_its_records_for_the_shortest_period() {
    let server = ScriptedKinesis::start(|_, _| ScriptedReply::error("AccessDeniedException")).await.unwrap();
    let directory = Directory::new(&connection(&server).await, stream("orders"));
    assert_eq!(directory.retention(), None);
    directory.identify().await.unwrap();
    assert_eq!(directory.retention(), Some(Duration::from_secs(24 * 3_600)));
}

async fn subscribed(server: &ScriptedKinesis, metrics: ReadMetrics) -> Box<dyn RecordSource> {
    let times = FanOutTimeouts { min_interval: Duration::from_millis(10), ..FanOutTimeouts::default() };
    let fan_out = FanOut::with_consumer(&connection(server).await, stream("orders"), CONSUMER.into());
    let fan_out = fan_out.with_timeouts(times).with_metrics(metrics);
    fan_out.open(&ShardId::new("shardId-0"), &StartingPosition::TrimHorizon).await.unwrap()
}

#[tokio::test]
async fn a_missing_consumer_and_a_missing_shard_are_distinct_errors() {
    for is_registered in [true, false] {
        let server = ScriptedKinesis::start(move |operation, _| match operation {
            "DescribeStreamConsumer" if is_registered => ScriptedReply::ok(&json!({ "ConsumerDescription": {
                "ConsumerName": "app", "ConsumerARN": CONSUMER, "ConsumerStatus": "ACTIVE",
                "ConsumerCreationTimestamp": 1_700_000_000, "StreamARN": ARN,
            }})),
            _ => ScriptedReply::error("ResourceNotFoundException"),
        })
        .await
        .unwrap();
        let mut source = subscribed(&server, ReadMetrics::default()).await;
        let error = within("the error", source.next(ReadLimit::bytes(1 << 20))).await.unwrap_err();
        match error {
            RetrievalError::NotFound { .. } => assert!(is_registered),
            RetrievalError::ConsumerNotFound { consumer, .. } => assert!(!is_registered && consumer == CONSUMER),
            other => panic!("{other}"),
        }
        assert_eq!(server.requests("DescribeStreamConsumer")[0]["ConsumerARN"], CONSUMER);
    }
}

#[tokio::test]
async fn subscriptions_that_are_refused_for_longer_than_the_minimum_interval_are_reported_as_a_conflict() {
    let server = ScriptedKinesis::start(|_, _| ScriptedReply::error("ResourceInUseException")).await.unwrap();
    let metrics = ReadMetrics::default();
    let mut source = subscribed(&server, metrics.clone()).await;
    let mut refused = 0;
    for least in [2, 1] {
        let error = within("the error", source.next(ReadLimit::bytes(1 << 20))).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Conflict);
        let before = std::mem::replace(&mut refused, server.requests("SubscribeToShard").len());
        assert!(refused >= before + least, "{before} {refused}");
    }
    assert_eq!(metrics.resubscriptions(ResubscribeCause::InUse), u64::try_from(refused).unwrap());
}

#[tokio::test]
async fn a_consumer_that_cannot_be_registered_is_a_refusal() {
    for (create, denied) in [(false, ""), (true, "RegisterStreamConsumer"), (true, "DescribeStreamConsumer")] {
        let server = ScriptedKinesis::start(move |operation, _| match operation {
            operation if operation == denied => ScriptedReply::error("AccessDeniedException"),
            _ => ScriptedReply::error("ResourceNotFoundException"),
        })
        .await
        .unwrap();
        let settings = RegistrationSettings { create, wait_at_limit: false };
        let registered = FanOut::register_with(&connection(&server).await, stream(ARN), "app", settings).await;
        match registered.unwrap_err() {
            RegistrationError::Refused(error) if create => assert_eq!(error.kind(), FailureKind::Denied),
            RegistrationError::Refused(error) => assert!(error.message().contains("createConsumer"), "{error}"),
            RegistrationError::Failed(error) => panic!("{error}"),
        }
        assert_eq!(server.requests("RegisterStreamConsumer").is_empty(), denied != "RegisterStreamConsumer");
    }
}

fn frame(kind: &str, json: &Value) -> Vec<u8> {
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = Message::new(json.to_string())
        .add_header(Header::new(":message-type", text("event")))
        .add_header(Header::new(":event-type", text(kind)))
        .add_header(Header::new(":content-type", text("application/json")));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

fn event(number: &str) -> Vec<u8> {
    let event = json!({
        "Records": [record(number, b"x")], "ContinuationSequenceNumber": number, "MillisBehindLatest": 0
    });
    frame("SubscribeToShardEvent", &event)
}

fn initial() -> Vec<u8> {
    frame("initial-response", &json!({}))
}

fn positions(server: &ScriptedKinesis) -> Vec<Value> {
    server.requests("SubscribeToShard").iter().map(|call| call["StartingPosition"].clone()).collect()
}

#[tokio::test]
async fn a_subscription_that_ends_or_is_suspended_is_continued() {
    let mut calls = 0;
    let server = ScriptedKinesis::start(move |_, _| {
        calls += 1;
        ScriptedReply::events([initial(), event(&calls.to_string())].concat())
    })
    .await
    .unwrap();
    let metrics = ReadMetrics::default();
    let mut source = subscribed(&server, metrics.clone()).await;
    assert_eq!(numbers(&fetch(&mut source, 1).await), ["1"]);
    assert_eq!(numbers(&fetch(&mut source, 1).await), ["2"]);
    assert_eq!(metrics.resubscriptions(ResubscribeCause::Ended), 1);
    source.suspend();
    source.suspend();
    assert_eq!(numbers(&fetch(&mut source, 1).await), ["3"]);
    assert_eq!(metrics.resubscriptions(ResubscribeCause::Unread), 1);
    let after = |number: &str| json!({ "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number });
    assert_eq!(positions(&server), [json!({ "Type": "TRIM_HORIZON" }), after("1"), after("2")]);
}

/// Foreign bytes end a subscription; they never panic or hang, and what came before them was received.
#[tokio::test]
async fn damaged_event_frames_end_a_subscription() {
    let mut random = fastrand::Rng::with_seed(29);
    let mut bodies = Vec::new();
    for number in 0..200 {
        let mut damaged = event("2");
        match number % 4 {
            0 => damaged.truncate(random.usize(0..damaged.len())),
            1 => {
                let at = random.usize(0..damaged.len());
                damaged[at] ^= 1 << random.u8(0..8);
            }
            2 => damaged = (0..random.usize(0..200)).map(|_| random.u8(..)).collect(),
            _ => {
                damaged = frame("SubscribeToShardEvent", &json!({ "Records": random.u8(..), "MillisBehindLatest": [] }))
            }
        }
        bodies.push([initial(), event("1"), damaged].concat());
    }
    let count = bodies.len();
    let server = ScriptedKinesis::start(move |_, _| ScriptedReply::events(bodies.pop().unwrap())).await.unwrap();
    let connection = connection(&server).await;
    let client = connection.kinesis();
    for _ in 0..count {
        let deadline = Instant::now() + Duration::from_secs(60);
        let (shard, start) = (ShardId::new("shardId-0"), StartingPosition::TrimHorizon);
        let (mut subscription, _) = subscribe(client.clone(), CONSUMER, &shard, &start, deadline).await.unwrap();
        let mut received = 0;
        while let Ok(Some(_)) = within("an event", subscription.receive()).await {
            received += 1;
        }
        assert!((1..=2).contains(&received), "{received}");
    }
}
