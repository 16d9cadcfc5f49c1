//! Each format of requests over real sockets, from the stream to the app.

use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, Event, RecordingApp};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use bindd::testing::until;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

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

/// The dead letters, from a folder of files and from a table.
async fn dead_letters(env: &Environment, folder: &Path) -> Option<Vec<Value>> {
    let file = fs::read_dir(folder)
        .ok()?
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))?;
    let row = env.dynamodb.scan().table_name("letters").send().await.unwrap().items.unwrap_or_default().pop()?;
    let text = |value: &AttributeValue| value.as_s().unwrap().clone();
    let error = row["error"].as_m().unwrap();
    let row = json!({
        "id": text(&row["id"]), "data": text(&row["data"]),
        "error": { "status": error["status"].as_n().unwrap().parse::<u16>().unwrap(), "response": text(&error["response"]) },
    });
    Some(vec![serde_json::from_slice(&fs::read(file).unwrap()).unwrap(), row])
}

#[tokio::test]
async fn a_record_that_is_given_up_is_stored_with_what_the_app_said_which_no_page_shows_in_full() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.table("letters").await;
    env.dynamodb_component("letters", &[("table", "letters")]);
    let folder = tempfile::tempdir().unwrap();
    let limit = ("permanentStatus", "422");
    input(&env, "to-folder", &[("deadLetterFolder", folder.path().to_str().unwrap()), limit]);
    input(&env, "to-table", &[("deadLetterBinding", "letters"), limit]);
    let (shard, sequence) = put(&env, b"{\"total\": -1}").await;
    let app = RecordingApp::start().await;
    let reason = format!("the amount is negative;{}", " see the manual".repeat(40));
    app.reply_with(&reason);
    app.behave(Behaviour::Respond(422));
    let sidecar = env.sidecar(Some(&app)).await;
    let dead_letters = until("both dead letters", async || dead_letters(&env, folder.path()).await).await;
    for (dead_letter, component) in dead_letters.iter().zip(["to-folder", "to-table"]) {
        assert_eq!(dead_letter["id"], format!("{component}:{shard}:{sequence}"));
        assert_eq!((&dead_letter["data"], &dead_letter["error"]["status"]), (&json!("{\"total\": -1}"), &json!(422)));
        assert_eq!(dead_letter["error"]["response"], reason.as_str());
    }
    for path in ["/v1.0-alpha1/inputs", "/v1.0/metadata"] {
        assert!(!calls::get(sidecar.address(), path).await.text().contains(&reason), "{path}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_damaged_aggregate_is_delivered_as_it_is_and_named() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    for format in ["raw", "cloudevents", "lambda"] {
        input(&env, format, &[("bodyFormat", format)]);
    }
    let damaged = b"\xF3\x89\x9A\xC2 no aggregate at all, but long enough";
    put(&env, damaged).await;
    put(&env, b"plain").await;
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until("all records", |events| {
        let lambda = elements(events, "lambda", "/Records").len();
        [of(events, "raw").count(), of(events, "cloudevents").count(), lambda] == [2; 3]
    })
    .await;
    let events = app.events();
    let named = |route: &str| -> Vec<String> {
        let header = |event: &Event| event.header("bindd-damaged-aggregates").to_owned();
        of(&events, route).map(header).filter(|header| !header.is_empty()).collect()
    };
    assert_eq!([named("raw"), named("cloudevents"), named("lambda")], [["1"], ["1"], ["1"]]);
    let raw = of(&events, "raw").find(|event| event.header("bindd-damaged-aggregates") == "1").unwrap();
    assert_eq!(raw.body.as_ref(), damaged);
    let marked: Vec<Value> = of(&events, "cloudevents")
        .map(|event| serde_json::from_slice::<Value>(&event.body).unwrap()["damagedaggregate"].clone())
        .collect();
    assert!(marked.contains(&json!(true)) && marked.contains(&Value::Null), "{marked:?}");
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
