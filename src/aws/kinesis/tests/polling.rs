use super::super::super::{ConnectionSettings, StaticCredentials, connect};
use super::super::retries::MAX_FAILURES;
use super::*;
use crate::domain::{Outcome, RecordGap, SequenceNumber};
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;

async fn polling() -> Polling {
    let keys = StaticCredentials { access_key: "k".into(), secret_key: "s".into(), session_token: None };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".into()),
        credentials: Some(keys),
        ..ConnectionSettings::default()
    };
    Polling::new(&connect(&settings).await.unwrap(), StreamRef::Name("orders".into()), ReadMetrics::default())
}

async fn source(position: StartingPosition) -> PollingSource {
    let mut source = polling().await.source(&ShardId::new("shardId-0"), &position);
    source.iterator = Some(("first".into(), Instant::now()));
    source
}

fn failed(code: &str, kind: FailureKind) -> CallError {
    CallError { code: Some(code.into()), ..CallError::new(kind, Outcome::NotDone, code.into()) }
}

fn answer(numbers: &[&str], next_iterator: Option<&str>) -> Page {
    let record = |number: &&str| WireRecord {
        sequence_number: (*number).into(),
        partition_key: "k".into(),
        data: "x".into(),
        arrival: None,
    };
    Page {
        records: numbers.iter().map(record).collect(),
        next_iterator: next_iterator.map(str::to_owned),
        ..Page::default()
    }
}

fn number(text: &str) -> SequenceNumber {
    text.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_renewed_at_the_last_record() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    let page = answer(&["5", "7"], Some("second"));
    let batch = source.accept(page, Instant::now()).unwrap().unwrap();
    assert_eq!(batch.records.len(), 2);
    source.read_failed(failed("ExpiredIteratorException", FailureKind::Caller)).unwrap();
    assert_eq!(source.fresh_iterator(), None);
    assert_eq!(source.position.resume(), StartingPosition::At(number("7")));
    let batch = source.accept(answer(&["7", "8"], Some("third")), Instant::now()).unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.gap), (1, None));
}

#[tokio::test(start_paused = true)]
async fn records_that_aged_out_while_nothing_was_read_are_reported_as_a_gap() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    source.accept(answer(&["5"], Some("second")), Instant::now()).unwrap();
    tokio::time::advance(Duration::from_secs(271)).await;
    assert_eq!(source.fresh_iterator(), None);
    assert_eq!(source.position.resume(), StartingPosition::At(number("5")));
    let batch = source.accept(answer(&["9"], Some("third")), Instant::now()).unwrap().unwrap();
    assert_eq!(batch.gap, Some(RecordGap { after: number("5"), found: number("9") }));
}

#[tokio::test(start_paused = true)]
async fn the_pace_of_a_shard_outlives_its_source() {
    let polling = polling().await;
    let (shard, start) = (ShardId::new("shardId-0"), StartingPosition::TrimHorizon);
    let mut first = polling.source(&shard, &start);
    let large = WireRecord {
        sequence_number: "5".into(),
        partition_key: "k".into(),
        data: vec![0; 10 << 20].into(),
        arrival: None,
    };
    let page = Page { records: vec![large], next_iterator: Some("second".into()), ..Page::default() };
    first.accept(page, Instant::now()).unwrap();
    drop(first);
    let second = polling.source(&shard, &start);
    assert!(second.state.lock().schedule.next_at() >= Instant::now() + Duration::from_millis(4_900));
    assert_eq!(second.state.lock().record_size.limit(26 << 20), 2);
    let other = polling.source(&ShardId::new("shardId-1"), &start);
    assert!(other.state.lock().schedule.next_at() <= Instant::now());
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_reported_and_the_next_source_waits() {
    let polling = polling().await;
    let (shard, start) = (ShardId::new("shardId-0"), StartingPosition::TrimHorizon);
    for _ in 0..6 {
        let mut source = polling.source(&shard, &start);
        let error = source.failed(failed("AccessDeniedException", FailureKind::Denied)).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Denied);
    }
    let next = polling.source(&shard, &start);
    assert!(next.state.lock().schedule.next_at() >= Instant::now() + Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn without_a_sequence_number_a_refused_iterator_is_reported_so_that_the_stream_is_checked() {
    for code in ["ExpiredIteratorException", "InvalidArgumentException"] {
        let mut source = source(StartingPosition::TrimHorizon).await;
        let error = source.read_failed(failed(code, FailureKind::Caller)).unwrap_err();
        assert!(matches!(error, RetrievalError::Unavailable { kind: FailureKind::Transient, .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_iterator_is_not_used() {
    let source = source(StartingPosition::TrimHorizon).await;
    assert!(source.fresh_iterator().is_some());
    tokio::time::advance(Duration::from_secs(271)).await;
    assert_eq!(source.fresh_iterator(), None);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_keeps_the_iterator_and_waits() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    for _ in 0..100 {
        source.read_failed(failed("ProvisionedThroughputExceededException", FailureKind::Throttled)).unwrap();
    }
    assert!(source.fresh_iterator().is_some());
    assert!(source.state.lock().schedule.next_at() >= Instant::now() + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_a_few_times_only() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    for _ in 0..MAX_FAILURES {
        source.failed(failed("InternalFailure", FailureKind::Transient)).unwrap();
    }
    let error = source.failed(failed("InternalFailure", FailureKind::Transient)).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Transient);
}

#[tokio::test(start_paused = true)]
async fn a_refused_position_and_a_missing_stream_are_distinct_errors() {
    let mut source = source(StartingPosition::After("9".parse().unwrap())).await;
    let error = source.failed(failed("InvalidArgumentException", FailureKind::Caller)).unwrap_err();
    assert!(matches!(error, RetrievalError::InvalidPosition { .. }), "{error}");
    let error = source.failed(failed("ResourceNotFoundException", FailureKind::NotFound)).unwrap_err();
    assert!(matches!(error, RetrievalError::NotFound { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_after_the_last_records() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    let page = Page { children: vec![ShardId::new("shardId-1")], ..answer(&["5"], None) };
    assert_eq!(source.accept(page, Instant::now()).unwrap().unwrap().records.len(), 1);
    let end = Fetched::ShardEnded { children: vec![ShardId::new("shardId-1")] };
    assert_eq!(source.next(ReadLimit::bytes(usize::MAX)).await.unwrap(), end);
}

#[tokio::test(start_paused = true)]
async fn after_a_response_without_iterator_and_children_reading_continues_at_the_last_record() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    assert_eq!(source.accept(answer(&["5"], None), Instant::now()).unwrap().unwrap().records.len(), 1);
    assert_eq!(source.next(ReadLimit::bytes(usize::MAX)).await.unwrap(), Fetched::ShardEnded { children: Vec::new() });
    assert_eq!(source.fresh_iterator(), None);
    assert_eq!(source.position.resume(), StartingPosition::At(number("5")));
    // The same record again, and the same signal.
    assert_eq!(source.accept(answer(&["5"], None), Instant::now()).unwrap(), None);
    assert_eq!(source.ended, Some(Vec::new()));
}

#[test]
fn an_empty_iterator_is_none() {
    let output = GetRecordsOutput::builder().set_records(Some(Vec::new())).next_shard_iterator("").build().unwrap();
    assert_eq!(Page::from(output).next_iterator, None);
}

#[tokio::test(start_paused = true)]
async fn children_beside_an_iterator_are_not_the_end() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    let page = Page { children: vec![ShardId::new("shardId-1")], ..answer(&[], Some("second")) };
    assert!(source.accept(page, Instant::now()).unwrap().unwrap().records.is_empty());
    assert_eq!((source.fresh_iterator().as_deref(), &source.ended), (Some("second"), &None));
}
