//! The null backend, called by the AWS SDK.

use super::environment::{dynamodb_client, kinesis_client, recording_backend};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use bindd::testing::{BackendSettings, Faults, NullBackend, ShardRate};
use std::collections::HashMap;

fn entries(count: usize) -> Vec<PutRecordsRequestEntry> {
    let entry = |number: usize| PutRecordsRequestEntry::builder().data(Blob::new(format!("{number}")));
    (0..count).map(|number| entry(number).partition_key(format!("key \"{number}\"")).build().unwrap()).collect()
}

#[tokio::test]
async fn records_are_stored_in_the_shards_of_their_keys() {
    let backend = recording_backend(4).await;
    let client = kinesis_client(&backend.url());
    let shards = client.list_shards().stream_name("orders").send().await.unwrap().shards.unwrap();
    assert_eq!(shards.len(), 4);
    for shard in &shards {
        let range = shard.hash_key_range().unwrap();
        for hash_key in [range.starting_hash_key(), range.ending_hash_key()] {
            let call = client.put_record().stream_name("orders").data(Blob::new("x")).partition_key("any");
            let response = call.explicit_hash_key(hash_key).send().await.unwrap();
            assert_eq!(response.shard_id(), shard.shard_id());
        }
    }
    let response = client.put_records().stream_name("orders").set_records(Some(entries(500))).send().await.unwrap();
    assert_eq!((response.failed_record_count(), response.records().len()), (Some(0), 500));
    let stored = backend.stored();
    assert_eq!(stored.len(), 508);
    for (number, (result, stored)) in response.records().iter().zip(&stored[8..]).enumerate() {
        assert_eq!(result.sequence_number(), Some(stored.sequence.as_str()));
        assert_eq!(result.shard_id(), Some(stored.shard.as_str()));
        assert_eq!(stored.partition_key, format!("key \"{number}\""));
        assert_eq!(stored.data, format!("{number}"));
    }
    assert!(stored.is_sorted_by(|a, b| a.sequence < b.sequence), "sequence numbers increase");
    let counts = backend.counts();
    assert_eq!((counts.put_record, counts.put_records, counts.stored, counts.offered), (8, 1, 508, 508));
}

#[tokio::test]
async fn the_stream_is_described() {
    let backend = recording_backend(3).await;
    let client = kinesis_client(&backend.url());
    let response = client.describe_stream_summary().stream_name("orders").send().await.unwrap();
    let summary = response.stream_description_summary.unwrap();
    assert_eq!((summary.stream_name(), summary.open_shard_count()), ("orders", 3));
    assert_eq!(summary.max_record_size_in_kib(), Some(1024));
}

#[tokio::test]
async fn the_limits_of_a_call_are_enforced() {
    let backend = recording_backend(1).await;
    let client = kinesis_client(&backend.url());
    let large = |bytes: usize| {
        let entry = PutRecordsRequestEntry::builder().data(Blob::new(vec![0; bytes])).partition_key("k");
        entry.build().unwrap()
    };
    for (records, is_accepted) in [
        (entries(500), true),
        (entries(501), false),
        (vec![large((1 << 20) - 1)], true),
        (vec![large(1 << 20)], false),
        (vec![large((1 << 20) - 1); 10], true),
        (vec![large((1 << 20) - 1); 11], false),
    ] {
        let response = client.put_records().stream_name("orders").set_records(Some(records)).send().await;
        assert_eq!(response.is_ok(), is_accepted, "{response:?}");
    }
    assert_eq!((backend.counts().refused, backend.counts().stored), (3, 511));
}

#[tokio::test]
async fn a_shard_above_its_rate_throttles_record_by_record() {
    let backend = recording_backend(1).await;
    let rate = ShardRate { records: 100, bytes: 1 << 20 };
    backend.set(Faults { shard_rate: Some(rate), ..Faults::default() });
    let client = kinesis_client(&backend.url());
    let response = client.put_records().stream_name("orders").set_records(Some(entries(300))).send().await.unwrap();
    assert_eq!(response.failed_record_count(), Some(200));
    let failed = response.records().iter().find(|record| record.error_code().is_some()).unwrap();
    assert_eq!(failed.error_code(), Some("ProvisionedThroughputExceededException"));
    assert!(failed.error_message().unwrap().contains("shardId-000000000000 in stream orders"));
    // A record larger than one second of the limit is always throttled, even on a slow machine.
    backend.set(Faults { shard_rate: Some(ShardRate { records: 100, bytes: 10 }), ..Faults::default() });
    let large = Blob::new(vec![0; 10]);
    let error = client.put_record().stream_name("orders").data(large).partition_key("k").send().await;
    let error = error.unwrap_err().into_service_error();
    assert!(error.is_provisioned_throughput_exceeded_exception(), "{error}");
}

#[tokio::test]
async fn whole_calls_fail_as_configured() {
    let backend = recording_backend(1).await;
    let client = kinesis_client(&backend.url());
    let put = || client.put_record().stream_name("orders").data(Blob::new("a poison b")).partition_key("k").send();
    let faults = Faults::default;
    for (faults, status, code) in [
        (Faults { call_failed: 1.0, ..faults() }, 500, "InternalFailure"),
        (Faults { call_unavailable: 1.0, ..faults() }, 503, "ServiceUnavailable"),
        (Faults { call_throttled: 1.0, ..faults() }, 400, "LimitExceededException"),
        (Faults { poison: Some("poison".to_owned()), ..faults() }, 400, "ValidationException"),
    ] {
        backend.set(faults);
        let error = put().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), status);
        assert_eq!(error.as_service_error().unwrap().code(), Some(code));
    }
    assert_eq!(backend.counts().stored, 0);
    backend.set(Faults { call_lost: 1.0, ..faults() });
    assert!(put().await.unwrap_err().raw_response().is_none(), "no response");
    assert_eq!(backend.counts().stored, 0, "a lost call is not executed");
    backend.set(Faults { reply_lost: 1.0, ..faults() });
    assert!(put().await.unwrap_err().raw_response().is_none(), "no response");
    assert_eq!(backend.stored().len(), 1, "a call with a lost reply is executed");
    backend.set(faults());
    assert!(put().await.is_ok());
}

#[tokio::test]
async fn a_seed_determines_the_failures() {
    let mut runs = Vec::new();
    for seed in [3, 3, 4] {
        let faults = Faults { entry_failed: 0.2, entry_throttled: 0.2, ..Faults::default() };
        let backend = NullBackend::start(BackendSettings { seed, faults, ..BackendSettings::default() }).await.unwrap();
        let client = kinesis_client(&backend.url());
        let response = client.put_records().stream_name("orders").set_records(Some(entries(500))).send().await.unwrap();
        runs.push(response.records().iter().map(|record| record.error_code().map(str::to_owned)).collect::<Vec<_>>());
        let (counts, failed) = (backend.counts(), response.failed_record_count().unwrap());
        assert!((150..250).contains(&failed), "{failed} of 500 failed");
        assert_eq!(counts.throttled + counts.failed, u64::try_from(failed).unwrap());
        assert!(backend.stored().is_empty(), "no records are stored by default");
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

fn item(id: usize) -> HashMap<String, AttributeValue> {
    HashMap::from([("id".to_owned(), AttributeValue::S(format!("row {id}")))])
}

#[tokio::test]
async fn items_are_put_and_found() {
    let backend = recording_backend(1).await;
    let client = dynamodb_client(&backend.url());
    let table = client.describe_table().table_name("rows").send().await.unwrap().table.unwrap();
    assert_eq!(table.key_schema()[0].attribute_name(), "id");
    client.put_item().table_name("rows").set_item(Some(item(1))).send().await.unwrap();
    let get = |id| client.get_item().table_name("rows").set_key(Some(item(id))).send();
    assert_eq!(get(1).await.unwrap().item, Some(item(1)));
    assert_eq!(get(2).await.unwrap().item, None);
}

#[tokio::test]
async fn unprocessed_items_come_back_as_they_were() {
    let backend = recording_backend(1).await;
    let client = dynamodb_client(&backend.url());
    let request = |id| {
        let put = PutRequest::builder().set_item(Some(item(id))).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let batch = |ids: Vec<usize>| {
        let requests: Vec<_> = ids.into_iter().map(request).collect();
        client.batch_write_item().request_items("rows", requests).send()
    };
    backend.set(Faults { unprocessed: 0.5, ..Faults::default() });
    let unprocessed = batch((0..25).collect()).await.unwrap().unprocessed_items.unwrap().remove("rows").unwrap();
    assert!((5..20).contains(&unprocessed.len()), "{}", unprocessed.len());
    assert_eq!(backend.items("rows").len(), 25 - unprocessed.len());
    backend.set(Faults::default());
    let rest = client.batch_write_item().request_items("rows", unprocessed).send().await.unwrap();
    assert!(rest.unprocessed_items.is_none_or(|left| left.is_empty()));
    assert_eq!(backend.items("rows").len(), 25);
    assert!(batch((0..26).collect()).await.is_err(), "26 items");
    assert!(batch(vec![1, 1]).await.is_err(), "one key twice");
}
