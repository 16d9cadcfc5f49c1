//! Filters and transforms of inputs, over real sockets.

use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Event, RecordingApp};
use aws_sdk_kinesis::primitives::Blob;
use bindd::daemon::Shutdown;
use bindd::testing::until;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;

pub(crate) const ORDERS: &str = r#"{"data": {"type": ["order"]}}"#;

/// Writes an input with these fields. Quotes are escaped.
pub(crate) fn input(env: &Environment, mode: &str, more: &[(&str, &str)]) {
    let more: Vec<(&str, String)> = more.iter().map(|(name, value)| (*name, value.replace('"', "\\\""))).collect();
    let fields = [
        ("streamName", "orders"),
        ("consumerName", "orders-in"),
        ("mode", mode),
        ("initialPosition", "trim_horizon"),
        ("leaseDuration", "1m"),
        ("direction", "input"),
    ];
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    env.kinesis_component("orders-in", &[&fields[..], &more].concat());
}

pub(crate) async fn put(env: &Environment, key: &str, data: impl AsRef<[u8]>) -> String {
    let request = env.kinesis.put_record().stream_name("orders").data(Blob::new(data.as_ref())).partition_key(key);
    request.send().await.unwrap().sequence_number
}

pub(crate) fn text(kind: &str, number: usize) -> String {
    format!(r#"{{"type":"{kind}","number":{number}}}"#)
}

pub(crate) async fn start(env: &Environment, app: &RecordingApp) -> Sidecar {
    let mut settings = env.settings(Some(app));
    settings.metrics_address = Some(([127, 0, 0, 1], 0).into());
    Sidecar::start(&settings).await.unwrap()
}

/// The value of a line of the metrics page.
async fn counted(sidecar: &Sidecar, name: &str) -> u64 {
    let page = calls::get(sidecar.metrics_address().unwrap(), "/metrics").await.text().to_owned();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
    line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().unwrap()
}

pub(crate) async fn shaped(sidecar: &Sidecar, result: &str) -> u64 {
    let labels = format!(r#"component="orders-in",side="input",result="{result}""#);
    counted(sidecar, &format!("bindd_shaped_records_total{{{labels}}}")).await
}

pub(crate) async fn until_shaped(sidecar: &Sidecar, result: &str, count: u64) {
    let what = format!("{count} records to be {result}");
    until(&what, async || (shaped(sidecar, result).await >= count).then_some(())).await;
}

async fn shards(sidecar: &Sidecar) -> Vec<Value> {
    let page = calls::get(sidecar.address(), "/v1.0-alpha1/inputs").await;
    let page: Value = serde_json::from_slice(&page.body).unwrap();
    page["inputs"][0]["shards"].as_array().cloned().unwrap_or_default()
}

pub(crate) fn texts(app: &RecordingApp) -> Vec<String> {
    app.events().iter().map(Event::text).collect()
}

async fn filtered_records_are_passed_for_good(mode: &str) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    input(&env, mode, &[("filter", ORDERS)]);
    let app = RecordingApp::start().await;
    for number in 0..3 {
        put(&env, "a", text("noise", number)).await;
        put(&env, "b", text("order", number)).await;
        put(&env, "c", "no JSON").await;
    }
    let sidecar = start(&env, &app).await;
    let expected: Vec<String> = (0..3).map(|number| text("order", number)).collect();
    app.until_accepted(&expected).await;
    until_shaped(&sidecar, "filtered", 6).await;
    assert_eq!(texts(&app), expected);
    assert_eq!(sidecar.stop().await, Shutdown::Clean);

    // Only filtered records: the checkpoint moves without a call of the app.
    let mut last = String::new();
    for number in 0..5 {
        last = put(&env, "a", text("noise", number)).await;
    }
    let sidecar = start(&env, &app).await;
    until("the checkpoint", async || {
        shards(&sidecar).await.iter().any(|shard| shard["checkpoint"] == last.as_str()).then_some(())
    })
    .await;
    assert_eq!(shaped(&sidecar, "filtered").await, 5);
    assert_eq!(counted(&sidecar, r#"bindd_input_callback_seconds_count{component="orders-in"}"#).await, 0);
    assert_eq!(sidecar.stop().await, Shutdown::Clean);

    let sidecar = start(&env, &app).await;
    put(&env, "b", text("order", 9)).await;
    app.until_accepted(&[text("order", 9)]).await;
    assert_eq!((shaped(&sidecar, "filtered").await, app.events().len()), (0, 4), "nothing is read again");
    sidecar.stop().await;
}

#[tokio::test]
async fn filtered_records_are_passed_for_good_by_polling() {
    Box::pin(filtered_records_are_passed_for_good("shared")).await;
}

#[tokio::test]
async fn filtered_records_are_passed_for_good_by_fan_out() {
    Box::pin(filtered_records_are_passed_for_good("extended")).await;
}

#[tokio::test]
async fn a_program_sees_decompressed_data_after_the_filter_and_changes_what_the_app_gets() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let program = "{number, key: $metadata.partitionKey}";
    input(&env, "shared", &[("filter", ORDERS), ("transform", program), ("decompress", "auto")]);
    let app = RecordingApp::start().await;
    let gzip = |data: String| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    put(&env, "a", gzip(text("order", 1))).await;
    put(&env, "a", gzip(text("noise", 2))).await;
    put(&env, "b", text("order", 3)).await;
    let sidecar = start(&env, &app).await;
    app.until("both orders", |events| events.len() >= 2).await;
    let mut found = texts(&app);
    found.sort();
    assert_eq!(found, [r#"{"number":1,"key":"a"}"#, r#"{"number":3,"key":"b"}"#]);
    until_shaped(&sidecar, "filtered", 1).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn several_outputs_have_ids_of_their_own_and_a_record_comes_again_as_a_whole() {
    for (format, list) in [("lambda", "/Records"), ("cloudevents-batch", "")] {
        let env = Environment::start().await;
        env.stream("orders", 1).await;
        let fields = [("transform", ".items[]"), ("bodyFormat", format), ("partial", "exact")];
        input(&env, "shared", &fields);
        let app = RecordingApp::start().await;
        let one = put(&env, "a", r#"{"items": [1, 2]}"#).await;
        let other = put(&env, "b", r#"{"items": [3]}"#).await;
        put(&env, "c", r#"{"items": []}"#).await;
        let shard = "shardId-000000000000";
        app.reply_with(&json!({"batchItemFailures": [{"itemIdentifier": format!("{shard}:{one}#2")}]}).to_string());
        let sidecar = start(&env, &app).await;
        let ids = |event: &Event| -> Vec<String> {
            let body: Value = serde_json::from_slice(&event.body).unwrap();
            let name = if format == "lambda" { "eventID" } else { "id" };
            let list = body.pointer(list).unwrap().as_array().unwrap().clone();
            list.iter().map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
        };
        app.until("the record to be repeated", |events| {
            events.iter().any(|event| event.header("bindd-attempt").parse::<u32>().unwrap() >= 2)
        })
        .await;
        app.reply_with("{}");
        let both = vec![format!("{shard}:{one}"), format!("{shard}:{one}#2")];
        let events = app.events();
        let seen: Vec<String> = events.iter().flat_map(ids).collect();
        assert!(seen.contains(&format!("{shard}:{other}")), "{format}: {seen:?}");
        for event in events.iter().filter(|event| event.header("bindd-attempt") != "1") {
            assert_eq!(ids(event), both, "{format}: only the record that was reported, and all of it");
        }
        until_shaped(&sidecar, "filtered", 1).await;
        assert_eq!(sidecar.stop().await, Shutdown::Clean);
        let before = app.events().len();
        let sidecar = start(&env, &app).await;
        put(&env, "d", r#"{"items": [4]}"#).await;
        app.until("the next record", |events| events.len() > before).await;
        assert_eq!(app.events().len(), before + 1, "{format}: nothing comes twice");
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn outputs_of_a_record_are_single_requests_in_order_without_a_batch() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    input(&env, "shared", &[("transform", ".[]")]);
    let app = RecordingApp::start().await;
    put(&env, "a", "[1.50, {\"b\": 2}, \"c\"]").await;
    put(&env, "a", "[3]").await;
    let sidecar = start(&env, &app).await;
    app.until("all outputs", |events| events.len() >= 4).await;
    assert_eq!(texts(&app), ["1.50", r#"{"b":2}"#, r#""c""#, "3"]);
    let ids: Vec<String> = app.events().iter().map(|event| event.header("bindd-event-id").to_owned()).collect();
    assert!(ids[1] == format!("{}#2", ids[0]) && ids[2] == format!("{}#3", ids[0]), "{ids:?}");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_record_that_cannot_be_transformed_is_a_dead_letter_as_it_was() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    input(&env, "shared", &[("transform", ".total + 1"), ("deadLetterFolder", path)]);
    let app = RecordingApp::start().await;
    put(&env, "a", r#"{"total": "s3cr3t"}"#).await;
    put(&env, "a", r#"{"total": 1}"#).await;
    let sidecar = start(&env, &app).await;
    app.until_accepted(&["2".to_owned()]).await;
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let letter: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(
        (&letter["data"], &letter["error"]["reason"]),
        (&json!(r#"{"total": "s3cr3t"}"#), &json!("transform_failed"))
    );
    assert_eq!(letter["delivery"]["attempts"], 0);
    assert!(!letter["error"]["message"].to_string().contains("s3cr3t"), "{letter}");
    assert_eq!((texts(&app), shaped(&sidecar, "dead_letter").await), (vec!["2".to_owned()], 1));
    sidecar.stop().await;
}

#[tokio::test]
async fn without_a_dead_letter_its_key_waits_and_the_page_of_inputs_says_why() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    input(&env, "shared", &[("transform", ".total + 1")]);
    let app = RecordingApp::start().await;
    put(&env, "a", r#"{"total": "text"}"#).await;
    put(&env, "a", r#"{"total": 1}"#).await;
    put(&env, "b", r#"{"total": 2}"#).await;
    let sidecar = start(&env, &app).await;
    app.until_accepted(&["3".to_owned()]).await;
    until("the reason", async || {
        let shards = shards(&sidecar).await;
        let is_told = |shard: &Value| shard["lastError"].as_str().is_some_and(|text| text.contains("transform failed"));
        shards.iter().any(|shard| is_told(shard) && shard["parkedKeys"] == 1).then_some(())
    })
    .await;
    assert_eq!((texts(&app), shaped(&sidecar, "failed").await), (vec!["3".to_owned()], 1));
    sidecar.stop().await;
}

#[tokio::test]
async fn what_is_passed_through_or_dropped_is_counted() {
    for (on_error, result, expected) in
        [("passthrough", "passed_through", vec!["no JSON", "2"]), ("drop-counted", "dropped", vec!["2"])]
    {
        let env = Environment::start().await;
        env.stream("orders", 1).await;
        input(&env, "shared", &[("transform", ".total + 1"), ("transformOnError", on_error)]);
        let app = RecordingApp::start().await;
        put(&env, "a", "no JSON").await;
        put(&env, "a", r#"{"total": 1}"#).await;
        let sidecar = start(&env, &app).await;
        app.until_accepted(&["2".to_owned()]).await;
        assert_eq!(
            (texts(&app), shaped(&sidecar, result).await),
            (expected.into_iter().map(str::to_owned).collect(), 1)
        );
        assert_eq!(sidecar.stop().await, Shutdown::Clean);
    }
}
