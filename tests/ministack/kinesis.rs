use crate::callers::{Crowd, number, record, send_all};
use crate::emulator::Ministack;
use crate::judge::{assert_true, statuses};
use crate::world::{Components, create_stream, read_back};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_puts_the_exact_text_under_its_key() {
    let aws = Ministack::start().await;
    create_stream(&aws.kinesis, "orders", 1).await;
    let sidecar = Components::kinesis(&aws.url, &[]).sidecar().await;
    let data = r#"{"n": 0,  "z": 1.50, "a": 12345678901234567890}"#;
    let told = send_all(sidecar.address, "orders", Crowd { callers: 1, records: 1 }, move |_| {
        format!(r#"{{"operation":"create","data":{data},"metadata":{{"partitionKey":"me"}}}}"#)
    })
    .await;
    sidecar.stop().await;
    let stored = read_back(&aws.kinesis, "orders").await;
    assert_true(&told, 1, &stored);
    assert_eq!(statuses(&told), [(204, 1)].into(), "{told:?}");
    assert_eq!((stored[0].data.as_ref(), stored[0].partition_key.as_str()), (data.as_bytes(), "me"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_are_each_told_their_own_place() {
    let aws = Ministack::start().await;
    create_stream(&aws.kinesis, "orders", 3).await;
    let sidecar = Components::kinesis(&aws.url, &[]).sidecar().await;
    let crowd = Crowd { callers: 32, records: 20 };
    let sent = crowd.callers * crowd.records;
    let told = send_all(sidecar.address, "orders", crowd, |number| record(number, 97)).await;
    sidecar.stop().await;
    let stored = read_back(&aws.kinesis, "orders").await;
    assert_true(&told, sent, &stored);
    assert_eq!((statuses(&told), stored.len()), ([(204, sent)].into(), sent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_there_is_404() {
    let aws = Ministack::start().await;
    let sidecar = Components::kinesis(&aws.url, &[]).sidecar().await;
    let told = send_all(sidecar.address, "orders", Crowd { callers: 8, records: 1 }, |number| record(number, 97)).await;
    sidecar.stop().await;
    assert_eq!(statuses(&told), [(404, 8)].into(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_items_of_a_bulk_are_stored_in_the_order_of_their_key() {
    let aws = Ministack::start().await;
    create_stream(&aws.kinesis, "orders", 2).await;
    let sidecar = Components::kinesis(&aws.url, &[("ordering", "key")]).sidecar().await;
    let told = send_all(sidecar.address, "orders", Crowd { callers: 1, records: 1 }, |_| {
        let items: Vec<String> = (0..30).map(|n| format!(r#"{{"data":{{"n":{n}}},"partitionKey":"same"}}"#)).collect();
        format!(r#"{{"operation":"bulkCreate","data":{{"items":[{}]}}}}"#, items.join(","))
    })
    .await;
    sidecar.stop().await;
    assert_eq!(statuses(&told), [(200, 1)].into(), "{told:?}");
    let stored = read_back(&aws.kinesis, "orders").await;
    let numbers: Vec<usize> = stored.iter().map(|record| number(&record.data)).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
}
