//! Records that an input gives up, over real sockets: each is stored with its whole payload, and a destination that fails
//! holds up only the key of the record.

use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use bindd::testing::until;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;

/// As many as [`Environment::put`] uses in turn.
const KEYS: usize = 5;

/// Writes the input, which gives up what the app answers with 422.
async fn start(destination: &[(&str, &str)]) -> (Environment, RecordingApp) {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let fields = [
        ("streamName", "orders"),
        ("consumerName", "orders-in"),
        ("initialPosition", "trim_horizon"),
        ("leaseDuration", "1m"),
        ("direction", "input"),
        ("permanentStatus", "422"),
    ];
    env.kinesis_component("orders-in", &[&fields, destination].concat());
    (env, RecordingApp::start().await)
}

/// Puts two records of each key, of which the first is refused, and waits until its dead letter has failed. The records of
/// the other keys are accepted, and that of the same key waits.
async fn until_only_its_key_waits(env: &Environment, app: &RecordingApp, sidecar: &Sidecar) -> Vec<String> {
    app.refuse("order-0");
    let all = env.put("orders", "order-", 2 * KEYS).await;
    until("the dead letter to fail", async || {
        let page = calls::get(sidecar.address(), "/v1.0-alpha1/inputs").await;
        let page: Value = serde_json::from_slice(&page.body).ok()?;
        let shard = &page["inputs"][0]["shards"][0];
        shard["lastError"].as_str().filter(|error| error.starts_with("dead letter not stored")).map(drop)
    })
    .await;
    let others: Vec<String> =
        all.iter().enumerate().filter(|(number, _)| number % KEYS != 0).map(|(_, text)| text.clone()).collect();
    app.until_accepted(&others).await;
    // What is put now passes the key that waits, too.
    let more = env.put("orders", "more-", KEYS).await;
    app.until_accepted(&more[1..]).await;
    let seen: Vec<String> = app.events().iter().map(crate::fakes::Event::text).collect();
    assert!(!seen.contains(&all[KEYS]) && !seen.contains(&more[0]), "{seen:?}");
    assert_eq!(
        seen.iter().filter(|text| **text == all[0]).count(),
        1,
        "a record that was given up is not delivered again"
    );
    vec![all[KEYS].clone(), more[0].clone()]
}

/// The members that must be in each dead letter of `order-0`.
fn assert_complete(letter: &Value, of: &crate::fakes::Event) {
    let (shard, sequence) = (of.header("bindd-shard-id"), of.header("bindd-sequence-number"));
    let expected = [
        ("/id", format!("orders-in:{shard}:{sequence}")),
        ("/component", "orders-in".to_owned()),
        ("/data", "order-0".to_owned()),
        ("/dataEncoding", "utf-8".to_owned()),
        ("/partitionKey", "key-0".to_owned()),
        ("/error/reason", "permanent_status".to_owned()),
        ("/error/status", "422".to_owned()),
        ("/delivery/sequenceNumber", sequence.to_owned()),
        ("/delivery/attempts", "1".to_owned()),
    ];
    for (pointer, expected) in expected {
        let found = letter.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing: {letter}"));
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!(found, expected, "{pointer} of {letter}");
    }
}

/// All rows of a table, without the types of DynamoDB.
async fn items(env: &Environment, table: &str) -> Vec<Value> {
    use aws_sdk_dynamodb::types::AttributeValue as A;
    fn plain(value: &A) -> Value {
        match value {
            A::S(text) => Value::from(text.as_str()),
            A::N(digits) => serde_json::from_str(digits).unwrap(),
            A::M(members) => members.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
            other => Value::from(format!("{other:?}")),
        }
    }
    let items: Vec<HashMap<String, A>> = env.dynamodb.scan().table_name(table).send().await.unwrap().items.unwrap();
    items.into_iter().map(|item| plain(&A::M(item))).collect()
}

#[tokio::test]
async fn a_table_that_is_missing_at_first_holds_up_only_the_key() {
    let (env, app) = start(&[("deadLetterBinding", "letters")]).await;
    env.dynamodb_component("letters", &[("table", "letters")]);
    let sidecar = env.sidecar(Some(&app)).await;
    let waiting = until_only_its_key_waits(&env, &app, &sidecar).await;
    env.table("letters").await;
    app.until_accepted(&waiting).await;
    let letters = items(&env, "letters").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_complete(&letters[0], &app.events().iter().find(|event| event.text() == "order-0").unwrap().clone());
    sidecar.stop().await;

    // It counts as done: after a restart nothing comes again.
    let before = app.events().len();
    let sidecar = env.sidecar(Some(&app)).await;
    let after = env.put("orders", "after-", KEYS).await;
    app.until_accepted(&after).await;
    assert_eq!(app.events().len(), before + after.len());
    sidecar.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_missing_at_first_holds_up_only_the_key() {
    let (env, app) = start(&[("deadLetterBinding", "letters")]).await;
    env.kinesis_component("letters", &[("streamName", "letters"), ("direction", "output"), ("maxRetries", "0")]);
    let sidecar = env.sidecar(Some(&app)).await;
    let waiting = until_only_its_key_waits(&env, &app, &sidecar).await;
    env.stream("letters", 1).await;
    app.until_accepted(&waiting).await;
    let letters = env.records("letters").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].partition_key.as_deref(), Some("key-0"), "letters of a key stay in order");
    let letter = serde_json::from_slice(letters[0].data.as_ref()).unwrap();
    assert_complete(&letter, &app.events().iter().find(|event| event.text() == "order-0").unwrap().clone());
    sidecar.stop().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_at_first_holds_up_only_the_key() {
    let folder = tempfile::TempDir::new().unwrap();
    let letters = folder.path().join("letters");
    let (env, app) = start(&[("deadLetterFolder", letters.to_str().unwrap())]).await;
    let sidecar = env.sidecar(Some(&app)).await;
    until("the folder to be created", async || letters.is_dir().then_some(())).await;
    // A file in its place, since access rights do not hold up a privileged user.
    fs::remove_dir(&letters).unwrap();
    fs::write(&letters, "").unwrap();
    let waiting = until_only_its_key_waits(&env, &app, &sidecar).await;
    fs::remove_file(&letters).unwrap();
    fs::create_dir(&letters).unwrap();
    app.until_accepted(&waiting).await;
    let files: Vec<_> = fs::read_dir(&letters).unwrap().map(|entry| entry.unwrap()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let event = app.events().iter().find(|event| event.text() == "order-0").unwrap().clone();
    let name = file.file_name().into_string().unwrap();
    assert!(name.starts_with("orders-in_orders_") && name.contains(event.header("bindd-sequence-number")), "{name}");
    assert_complete(&serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap(), &event);
    sidecar.stop().await;
}
