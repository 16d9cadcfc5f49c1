//! The operations of DynamoDB. The key of each table is the string attribute `id`.

use super::control::{Control, Reply, State};
use super::error_response::ErrorResponse;
use super::faults::CallOutcome;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Items in one call (API reference, `BatchWriteItem`).
const MAX_ITEMS: usize = 25;

/// The request of `BatchWriteItem`, with entries as raw JSON.
#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(rename = "RequestItems", borrow)]
    tables: BTreeMap<String, Vec<&'a RawValue>>,
}

/// `PutItem`, without conditions.
pub(super) fn put_item(control: &Control, body: &str) -> Reply {
    handle(
        control,
        |state| {
            state.journal.counts.put_item += 1;
            state.journal.counts.offered += 1;
            Ok(())
        },
        |state| {
            state.journal.counts.stored += 1;
            if control.records_everything() {
                let request: Value = serde_json::from_str(body).unwrap_or_default();
                store(state, table_name(&request), &request["Item"]);
            }
            "{}".to_owned()
        },
    )
}

/// `GetItem`; it finds items only with [`super::Recording::Everything`].
pub(super) fn get_item(control: &Control, body: &str) -> Reply {
    handle(
        control,
        |state| {
            state.journal.counts.get_item += 1;
            Ok(())
        },
        |state| {
            let request: Value = serde_json::from_str(body).unwrap_or_default();
            let key = (table_name(&request).to_owned(), request["Key"]["id"].to_string());
            let item = state.journal.items.get(&key);
            item.map_or_else(|| "{}".to_owned(), |item| format!(r#"{{"Item":{item}}}"#))
        },
    )
}

/// `BatchWriteItem`.
pub(super) fn batch_write_item(control: &Control, body: &str) -> Reply {
    let batch: Result<Batch<'_>, _> = serde_json::from_str(body);
    handle(
        control,
        |state| {
            let counts = &mut state.journal.counts;
            counts.batch_write += 1;
            let batch = batch.as_ref().map_err(|error| ErrorResponse::invalid(error.to_string()))?;
            let entries: usize = batch.tables.values().map(Vec::len).sum();
            counts.offered += u64::try_from(entries).unwrap_or(u64::MAX);
            if !(1..=MAX_ITEMS).contains(&entries) {
                return Err(ErrorResponse::invalid(format!("{entries} items, 1 to {MAX_ITEMS} are allowed")));
            }
            if control.records_everything() && has_duplicates(batch) {
                return Err(ErrorResponse::invalid("Provided list of item keys contains duplicates"));
            }
            Ok(())
        },
        |state| {
            let unprocessed = batch.as_ref().map(|batch| write_batch(control, state, batch)).unwrap_or_default();
            json!({ "UnprocessedItems": unprocessed }).to_string()
        },
    )
}

/// `DescribeTable`.
pub(super) fn describe_table(control: &Control, body: &str) -> Reply {
    control.lock().journal.counts.described += 1;
    let request: Value = serde_json::from_str(body).unwrap_or_default();
    let name = table_name(&request);
    Reply::Body(
        json!({ "Table": {
            "TableName": name,
            "TableStatus": "ACTIVE",
            "TableArn": format!("arn:aws:dynamodb:us-east-1:000000000000:table/{name}"),
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
            "BillingModeSummary": { "BillingMode": "PAY_PER_REQUEST" },
            "CreationDateTime": 1_700_000_000,
            "ItemCount": 0,
        }})
        .to_string(),
    )
}

/// Counts and checks a call, draws its outcome, and executes the call if the outcome is a success.
fn handle(
    control: &Control,
    check: impl FnOnce(&mut State) -> Result<(), ErrorResponse>,
    execute: impl FnOnce(&mut State) -> String,
) -> Reply {
    let mut state = control.lock();
    if let Err(error) = check(&mut state) {
        state.journal.counts.refused += 1;
        return Reply::Error(error);
    }
    let outcome = state.draw_outcome();
    if let Some(error) = ErrorResponse::from_outcome(outcome) {
        return Reply::Error(error);
    }
    match outcome {
        CallOutcome::CallLost => Reply::None,
        CallOutcome::ReplyLost => {
            drop(execute(&mut state));
            Reply::None
        }
        CallOutcome::Served | CallOutcome::Failed | CallOutcome::Unavailable | CallOutcome::Throttled => {
            Reply::Body(execute(&mut state))
        }
    }
}

fn write_batch(control: &Control, state: &mut State, batch: &Batch<'_>) -> BTreeMap<String, Vec<Value>> {
    let mut unprocessed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (table, entries) in &batch.tables {
        for entry in entries {
            if state.draw(state.faults.unprocessed) {
                state.journal.counts.unprocessed += 1;
                unprocessed.entry(table.clone()).or_default().push(value(entry));
                continue;
            }
            state.journal.counts.stored += 1;
            if control.records_everything() {
                let entry = value(entry);
                match entry.get("DeleteRequest") {
                    Some(delete) => drop(state.journal.items.remove(&item_key(table, &delete["Key"]))),
                    None => store(state, table, &entry["PutRequest"]["Item"]),
                }
            }
        }
    }
    unprocessed
}

fn has_duplicates(batch: &Batch<'_>) -> bool {
    let mut seen = BTreeSet::new();
    let entries = batch.tables.iter().flat_map(|(table, entries)| entries.iter().map(move |entry| (table, entry)));
    entries.into_iter().any(|(table, entry)| {
        let entry = value(entry);
        let key_source = entry.get("DeleteRequest").map_or(&entry["PutRequest"]["Item"], |delete| &delete["Key"]);
        !seen.insert(item_key(table, key_source))
    })
}

fn value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

fn item_key(table: &str, item: &Value) -> (String, String) {
    (table.to_owned(), item["id"].to_string())
}

fn store(state: &mut State, table: &str, item: &Value) {
    state.journal.items.insert(item_key(table, item), item.to_string());
}

/// The table's name, from name or ARN.
fn table_name(request: &Value) -> &str {
    request["TableName"].as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default()
}
