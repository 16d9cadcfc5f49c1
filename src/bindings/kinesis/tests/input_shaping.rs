//! Filters and transforms of an input, without a stream.

use super::super::super::shaping::{MAX_INLINE, OnError};
use super::*;
use crate::domain::{EventOrigin, ShardId};
use crate::telemetry::Metrics;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::FutureExt;
use std::io::Write;

fn gzip(data: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap().into()
}

fn of(shaping: Shaping, decompress: Decompress) -> InputShaping {
    InputShaping {
        shaping: Arc::new(shaping),
        decompress,
        memory: ShapingMemory::default(),
        copies: 1,
        component: "orders-in".to_owned(),
        stream: "orders".to_owned(),
        place: RunPlace::default(),
        metrics: Metrics::new().input("orders-in"),
        log: LogLimit::default(),
    }
}

fn filter(pattern: &str, decompress: Decompress) -> InputShaping {
    of(Shaping::of_input(Some(pattern), None, OnError::Fail), decompress)
}

fn transform(program: &str, on_error: OnError) -> InputShaping {
    of(Shaping::of_input(None, Some(program), on_error), Decompress::Auto)
}

fn position(sub_sequence: u64) -> RecordPosition {
    RecordPosition { sequence: "4959".parse().unwrap(), sub_sequence }
}

fn record(data: impl Into<Bytes>, sub_sequence: u64) -> Record {
    Record {
        position: position(sub_sequence),
        partition_key: "eu-7".to_owned(),
        data: data.into(),
        arrival: Some(Timestamp::from_millis(1_545_084_650_987)),
        is_damaged_aggregate: false,
        is_filtered: false,
        decompressed: None,
    }
}

fn event(data: impl Into<Bytes>) -> BindingEvent {
    let Record { position, partition_key, data, arrival, .. } = record(data, 2);
    let shard = ShardId::new("shardId-000000000003");
    let origin = EventOrigin { shard, position, partition_key, arrival, is_damaged_aggregate: false, part: 0 };
    BindingEvent { data, origin, attempt: 1, not_decompressed: None }
}

async fn chosen(shaping: &InputShaping, mut records: Vec<Record>, memory: usize) -> Vec<Record> {
    shaping.mark(&mut records, memory).await;
    assert_eq!(shaping.memory.free(), ShapingMemory::TOTAL, "nothing is held between two reads");
    records
}

#[tokio::test]
async fn a_filter_sees_the_fields_of_lambda() {
    for (pattern, is_chosen) in [
        (r#"{"data": {"type": ["order"]}}"#, true),
        (r#"{"data": {"type": ["noise"]}}"#, false),
        (r#"{"partitionKey": [{"prefix": "eu-"}]}"#, true),
        (r#"{"partitionKey": ["eu-8"]}"#, false),
        (r#"{"sequenceNumber": ["4959:2"]}"#, true),
        (r#"{"sequenceNumber": ["4959"]}"#, false),
        (r#"{"approximateArrivalTimestamp": [{"numeric": ["=", 1545084650.987]}]}"#, true),
        (r#"{"approximateArrivalTimestamp": [{"numeric": [">", 1545084651]}]}"#, false),
    ] {
        let shaping = filter(pattern, Decompress::Off);
        let records = chosen(&shaping, vec![record(r#"{"type": "order"}"#, 2)], 0).await;
        assert_eq!(!records[0].is_filtered, is_chosen, "{pattern}");
    }
    // As in Lambda, what is not JSON matches no pattern of an object.
    for data in ["no JSON", "", "{\"type\": \"order\"", "\"order\""] {
        let shaping = filter(r#"{"data": {"type": ["order"]}}"#, Decompress::Off);
        assert!(chosen(&shaping, vec![record(data, 0)], 0).await[0].is_filtered, "{data}");
    }
}

#[tokio::test]
async fn a_filter_sees_decompressed_data_and_keeps_as_much_as_there_is_memory_for() {
    let shaping = filter(r#"{"data": {"type": ["order"]}}"#, Decompress::Auto);
    let (order, noise) = (br#"{"type": "order"}"#, br#"{"type": "noise"}"#);
    let records = [gzip(order), gzip(noise), Bytes::from_static(order), gzip(order), gzip(order)];
    let records = chosen(&shaping, records.into_iter().map(|data| record(data, 0)).collect(), 40).await;
    let found: Vec<_> = records.iter().map(|record| (record.is_filtered, record.decompressed.as_deref())).collect();
    let kept = Some(&order[..]);
    assert_eq!(found, [(false, kept), (true, None), (false, None), (false, kept), (false, None)]);
    assert!(records[0].size() > record(gzip(order), 0).size(), "what is kept is counted");
    let broken = chosen(&shaping, vec![record(&b"\x1f\x8bbroken"[..], 0)], 40).await;
    assert!(broken[0].is_filtered);
}

#[tokio::test]
async fn a_record_that_is_filtered_because_it_cannot_be_decompressed_is_counted() {
    let metrics = Metrics::new();
    let by_data = filter(r#"{"data": {"type": ["order"]}}"#, Decompress::Auto);
    let by_data = InputShaping { metrics: metrics.input("orders-in"), ..by_data };
    let broken = || record(&b"\x1f\x8bbroken"[..], 0);
    let noise = record(gzip(br#"{"type": "noise"}"#), 0);
    let records = chosen(&by_data, vec![broken(), noise, record("plain", 0)], 40).await;
    assert!(records.iter().all(|record| record.is_filtered));
    let counted = |metrics: &Metrics| {
        let name = "bindd_input_records_not_decompressed_total{component=\"orders-in\"} ";
        let page = metrics.page().unwrap();
        page.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(counted(&metrics), 1);
    let by_key = filter(r#"{"partitionKey": ["eu-7"]}"#, Decompress::Auto);
    let by_key = InputShaping { metrics: metrics.input("orders-in"), ..by_key };
    assert!(!chosen(&by_key, vec![broken()], 40).await[0].is_filtered);
    assert_eq!(counted(&metrics), 1, "what passes is counted when it is delivered");
}

#[tokio::test]
async fn decompressed_data_are_sent_and_take_memory_while_they_are() {
    let shaping = filter(r#"{"data": [{"exists": true}]}"#, Decompress::Gzip);
    let content = vec![b'x'; 100 << 10];
    let packed = event(gzip(&content));
    let Some(Transformed::Unchanged(data, None)) = shaping.transform(&packed, None, true).await else {
        panic!("not unpacked")
    };
    assert_eq!((&data[..], ShapingMemory::TOTAL - shaping.memory.free()), (&content[..], content.len()));
    drop(data);
    assert_eq!(shaping.memory.free(), ShapingMemory::TOTAL);
    let kept = Bytes::from_static(b"kept");
    assert_eq!(shaping.transform(&packed, Some(&kept), true).await, Some(Transformed::Unchanged(kept, None)));
    let plain = event("plain");
    let expected = Some(Transformed::Unchanged(plain.data.clone(), Some(DecompressFailure::Corrupt)));
    assert_eq!(shaping.transform(&plain, None, true).await, expected);
}

#[tokio::test]
async fn a_program_has_the_metadata_of_the_record() {
    let shaping = transform("$metadata", OnError::Fail);
    let Some(Transformed::Outputs(outputs)) = shaping.transform(&event("1"), None, true).await else {
        panic!("no outputs")
    };
    let found: serde_json::Value = serde_json::from_slice(&outputs[0]).unwrap();
    let expected = serde_json::json!({
        "component": "orders-in", "stream": "orders", "shardId": "shardId-000000000003",
        "eventId": "shardId-000000000003:4959:2", "sequenceNumber": "4959:2", "partitionKey": "eu-7",
        "approximateArrivalTimestamp": "1545084650.987",
    });
    assert_eq!(found, expected);
}

#[tokio::test]
async fn outputs_take_memory_and_the_program_sees_decompressed_data() {
    let shaping = transform(".[]", OnError::Fail);
    let text = "y".repeat(3 << 10);
    let packed = event(gzip(format!("[1, \"{text}\"]").as_bytes()));
    let Some(Transformed::Outputs(outputs)) = shaping.transform(&packed, None, true).await else {
        panic!("no outputs")
    };
    assert_eq!(outputs, [Bytes::from_static(b"1"), format!("\"{text}\"").into()]);
    assert_eq!(ShapingMemory::TOTAL - shaping.memory.free(), 4 << 10);
    drop(outputs);
    assert_eq!(shaping.memory.free(), ShapingMemory::TOTAL);
    assert_eq!(shaping.transform(&event("[]"), None, true).await, Some(Transformed::Outputs(Vec::new())));
}

#[tokio::test]
async fn a_failure_is_what_the_field_says_and_quotes_nothing() {
    let data = event(gzip(br#"{"secret": "s3cr3t"}"#));
    for on_error in [OnError::Fail, OnError::Passthrough, OnError::DropCounted, OnError::DeadLetter] {
        let shaping = transform(".secret.x", on_error);
        let transformed = shaping.transform(&data, None, true).await.unwrap();
        let error = match (on_error, &transformed) {
            (OnError::Fail | OnError::DeadLetter, Transformed::Failed(error)) => error,
            (OnError::DropCounted, Transformed::Dropped(error)) => error,
            (OnError::Passthrough, Transformed::PassedThrough(sent, None, error)) => {
                assert_eq!(&sent[..], br#"{"secret": "s3cr3t"}"#, "decompressed");
                error
            }
            _ => panic!("{on_error:?}: {transformed:?}"),
        };
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
    let shaping = transform(".", OnError::Fail);
    assert!(matches!(shaping.transform(&event("no JSON"), None, true).await, Some(Transformed::Failed(_))));
}

#[tokio::test]
async fn a_transform_that_is_out_of_time_is_no_fault_of_the_record() {
    for on_error in [OnError::Fail, OnError::Passthrough, OnError::DropCounted, OnError::DeadLetter] {
        let shaping = of(Shaping::out_of_time(on_error), Decompress::Off);
        let transformed = shaping.transform(&event("1"), None, true).await;
        assert!(matches!(transformed, Some(Transformed::OutOfTime(_))), "{on_error:?}: {transformed:?}");
        assert_eq!(shaping.memory.free(), ShapingMemory::TOTAL);
    }
}

#[tokio::test]
async fn the_app_can_see_that_a_record_which_passed_through_is_still_compressed() {
    let shaping = transform(".", OnError::Passthrough);
    let broken = event(&b"\x1f\x8bbroken"[..]);
    let sent = shaping.transform(&broken, None, true).await;
    let Some(Transformed::PassedThrough(data, why, _)) = &sent else { panic!("{sent:?}") };
    assert_eq!((data, *why), (&broken.data, Some(DecompressFailure::Corrupt)));
}

#[test]
fn large_records_and_slow_programs_run_on_a_thread_for_blocking_work() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let shaping = transform("length", OnError::Fail);
        for (text, is_slow) in [("z".repeat(MAX_INLINE), false), ("small".to_owned(), true)] {
            // The only such thread is busy.
            let (release, held) = std::sync::mpsc::channel::<()>();
            let other = tokio::task::spawn_blocking(move || held.recv().is_err());
            shaping.place.set_slow(is_slow);
            let data = event(format!("\"{text}\""));
            let mut running = std::pin::pin!(shaping.transform(&data, None, true));
            assert!(running.as_mut().now_or_never().is_none(), "this thread is free meanwhile");
            drop(release);
            assert!(other.await.unwrap());
            assert_eq!(running.await, Some(Transformed::Outputs(vec![text.len().to_string().into()])));
        }
    });
}

#[tokio::test]
async fn without_memory_a_transform_waits() {
    let shaping = transform(".", OnError::Fail);
    let all = shaping.memory.reserve(ShapingMemory::TOTAL, true).await;
    let data = event("1");
    let mut waiting = std::pin::pin!(shaping.transform(&data, None, true));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(shaping.transform(&data, None, false).await, None);
    drop(all);
    assert_eq!(waiting.await, Some(Transformed::Outputs(vec![Bytes::from_static(b"1")])));
}

#[test]
fn a_run_keeps_its_memory_although_its_caller_is_gone() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let shaping = transform("length", OnError::Fail);
        // The only such thread is busy.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let other = tokio::task::spawn_blocking(move || held.recv().is_err());
        let data = event(format!("\"{}\"", "z".repeat(MAX_INLINE)));
        let mut running = Box::pin(shaping.transform(&data, None, true));
        assert!(running.as_mut().now_or_never().is_none());
        drop(running);
        assert!(shaping.memory.free() < ShapingMemory::TOTAL, "the run is still to come");
        drop(release);
        assert!(other.await.unwrap());
        // The run is before this one on that thread.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(shaping.memory.free(), ShapingMemory::TOTAL);
    });
}
