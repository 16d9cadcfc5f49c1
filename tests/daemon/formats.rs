//! Each format of requests over real sockets, from the stream to the app.

use crate::environment::{Environment, Sidecar};
use crate::fakes::{Event, RecordingApp};
use aws_sdk_kinesis::primitives::Blob;
use serde_json::{Value, json};
use std::fs;

const ROUTES: [&str; 5] = ["raw", "lambda", "cloudevents", "cloudevents-batch", "ndjson"];
/// The ARN that the embedded Kinesis gives its streams.
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";

fn input(env: &Environment, name: &str, more: &[(&str, &str)]) {
    let fields = [
        ("streamName", "orders"),
        ("consumerName", name),
        ("initialPosition", "trim_horizon"),
        ("leaseDuration", "1m"),
        ("direction", "input"),
    ];
    env.kinesis_component(name, &[&fields, more].concat());
}

async fn put(env: &Environment, data: &[u8]) -> (String, String) {
    let request = env.kinesis.put_record().stream_name("orders").data(Blob::new(data)).partition_key("kunde ü");
    let response = request.send().await.unwrap();
    (response.shard_id, response.sequence_number)
}

fn of<'e>(events: &'e [Event], route: &'e str) -> impl Iterator<Item = &'e Event> {
    events.iter().filter(move |event| event.route == route)
}

/// The elements of the JSON bodies of a route.
fn elements(events: &[Event], route: &str, pointer: &str) -> Vec<Value> {
    let body = |event: &Event| serde_json::from_slice::<Value>(&event.body).unwrap();
    of(events, route).flat_map(|event| body(event).pointer(pointer).unwrap().as_array().unwrap().clone()).collect()
}

fn lines(events: &[Event]) -> Vec<String> {
    of(events, "ndjson").flat_map(|event| event.text().lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn records_arrive_in_each_format() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    for format in ROUTES {
        input(&env, format, &[("bodyFormat", format)]);
    }
    let (shard, first) = put(&env, br#"{"total": 1.50}"#).await;
    let (_, second) = put(&env, b"\xff\x00").await;
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until("both records in each format", |events| {
        let counts = [
            of(events, "raw").count(),
            elements(events, "lambda", "/Records").len(),
            of(events, "cloudevents").count(),
            elements(events, "cloudevents-batch", "").len(),
            lines(events).len(),
        ];
        counts == [2; 5]
    })
    .await;
    let events = app.events();

    let raw: Vec<&Event> = of(&events, "raw").collect();
    assert_eq!((raw[0].text().as_str(), raw[1].body.as_ref()), (r#"{"total": 1.50}"#, &b"\xff\x00"[..]));
    assert!(raw.iter().all(|event| event.header("content-type") == "application/json"));
    assert_eq!(raw[0].header("bindd-event-id"), format!("{shard}:{first}"));
    let arrival: i64 = raw[0].header("bindd-arrival").parse().unwrap();

    let record = elements(&events, "lambda", "/Records").remove(0);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact")]
    let seconds = arrival as f64 / 1_000.0;
    let expected = json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": "kunde ü", "sequenceNumber": first,
            "data": "eyJ0b3RhbCI6IDEuNTB9", "approximateArrivalTimestamp": seconds,
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": format!("{shard}:{first}"),
        "eventName": "aws:kinesis:record", "invokeIdentityArn": "", "awsRegion": "us-east-1", "eventSourceARN": ARN,
    });
    assert_eq!(record, expected);
    assert_eq!(of(&events, "lambda").next().unwrap().header("content-type"), "application/json");

    let single: Vec<Value> =
        of(&events, "cloudevents").map(|event| serde_json::from_slice(&event.body).unwrap()).collect();
    assert_eq!(single, elements(&events, "cloudevents-batch", ""));
    assert_eq!(single[0]["id"], format!("{shard}:{first}"));
    assert_eq!(
        (single[0]["data"]["total"].to_string(), &single[1]["data_base64"]),
        ("1.50".to_owned(), &json!("/wA="))
    );
    assert_eq!((&single[0]["source"], &single[1]["sequence"]), (&json!(ARN), &json!(second)));
    assert_eq!(lines(&events), [r#"{"total": 1.50}"#, r#"{"data_base64":"/wA="}"#]);
    for (route, content_type) in [
        ("cloudevents", "application/cloudevents+json"),
        ("cloudevents-batch", "application/cloudevents-batch+json"),
        ("ndjson", "application/x-ndjson"),
    ] {
        assert_eq!(of(&events, route).next().unwrap().header("content-type"), content_type);
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_record_that_the_reply_names_is_delivered_again() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    input(&env, "lambda", &[("bodyFormat", "lambda")]);
    let (_, sequence) = put(&env, b"one").await;
    let app = RecordingApp::start().await;
    app.reply_with(&format!(r#"{{"batchItemFailures": [{{"itemIdentifier": "{sequence}"}}]}}"#));
    let sidecar = env.sidecar(Some(&app)).await;
    app.until("the record to be repeated", |events| {
        events.iter().any(|event| event.header("bindd-attempt").parse::<u32>().unwrap() >= 3)
    })
    .await;
    app.reply_with("{}");
    put(&env, b"two").await;
    app.until("the next record", |events| events.iter().any(|event| event.text().contains("dHdv"))).await;
    let trace = |event: &Event| event.header("traceparent").split('-').nth(1).unwrap().to_owned();
    let events = app.events();
    assert_eq!(trace(&events[0]), trace(&events[1]), "the trace is that of the record");
    assert_ne!(events[0].header("traceparent"), events[1].header("traceparent"));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_dead_letter_folder_that_cannot_be_used_stops_the_start() {
    let env = Environment::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    input(&env, "orders-in", &[("deadLetterFolder", file), ("maxAttempts", "3")]);
    let error = Sidecar::start(&env.settings(None)).await.unwrap_err().to_string();
    assert!(error.contains("orders-in") && error.contains("`deadLetterFolder`: files cannot be written in"), "{error}");
}
