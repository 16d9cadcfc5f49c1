use crate::assertions::{assert_consistent, statuses};
use crate::callers::{Load, number, record, send_all};
use crate::emulator::Ministack;
use crate::environment::{Components, create_stream, read_back};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_puts_the_unchanged_data_under_its_key() {
    let aws = Ministack::start().await;
    create_stream(&aws.kinesis, "orders", 1).await;
    let sidecar = Components::kinesis(&aws.url, &[]).sidecar().await;
    let data = r#"{"n": 0,  "z": 1.50, "a": 12345678901234567890}"#;
    let results = send_all(sidecar.address, "orders", Load { callers: 1, records: 1 }, move |_| {
        format!(r#"{{"operation":"create","data":{data},"metadata":{{"partitionKey":"me"}}}}"#)
    })
    .await;
    sidecar.stop().await;
    let stored = read_back(&aws.kinesis, "orders").await;
    assert_consistent(&results, 1, &stored);
    assert_eq!(statuses(&results), [(204, 1)].into(), "{results:?}");
    assert_eq!((stored[0].data.as_ref(), stored[0].partition_key.as_str()), (data.as_bytes(), "me"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_each_get_the_sequence_number_of_their_record() {
    let aws = Ministack::start().await;
    create_stream(&aws.kinesis, "orders", 3).await;
    let sidecar = Components::kinesis(&aws.url, &[]).sidecar().await;
    let load = Load { callers: 32, records: 20 };
    let sent = load.callers * load.records;
    let results = send_all(sidecar.address, "orders", load, |number| record(number, 97)).await;
    sidecar.stop().await;
    let stored = read_back(&aws.kinesis, "orders").await;
    assert_consistent(&results, sent, &stored);
    assert_eq!((statuses(&results), stored.len()), ([(204, sent)].into(), sent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_there_is_404() {
    let aws = Ministack::start().await;
    let sidecar = Components::kinesis(&aws.url, &[]).sidecar().await;
    let results =
        send_all(sidecar.address, "orders", Load { callers: 8, records: 1 }, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_eq!(statuses(&results), [(404, 8)].into(), "{results:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_items_of_a_bulk_are_stored_in_the_order_of_their_key() {
    let aws = Ministack::start().await;
    create_stream(&aws.kinesis, "orders", 2).await;
    let sidecar = Components::kinesis(&aws.url, &[("ordering", "key")]).sidecar().await;
    let results = send_all(sidecar.address, "orders", Load { callers: 1, records: 1 }, |_| {
        let items: Vec<String> = (0..30).map(|n| format!(r#"{{"data":{{"n":{n}}},"partitionKey":"same"}}"#)).collect();
        format!(r#"{{"operation":"bulkCreate","data":{{"items":[{}]}}}}"#, items.join(","))
    })
    .await;
    sidecar.stop().await;
    assert_eq!(statuses(&results), [(200, 1)].into(), "{results:?}");
    let stored = read_back(&aws.kinesis, "orders").await;
    let numbers: Vec<usize> = stored.iter().map(|record| number(&record.data)).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
}
