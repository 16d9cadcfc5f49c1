use super::super::super::{ConnectionSettings, StaticCredentials, connect};
use super::super::retries::MAX_FAILURES;
use super::*;
use crate::domain::Outcome;
use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, Record};
use aws_smithy_types::Blob;

async fn source(position: StartingPosition) -> PollingSource {
    let keys = StaticCredentials { access_key: "k".into(), secret_key: "s".into(), session_token: None };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".into()),
        credentials: Some(keys),
        ..ConnectionSettings::default()
    };
    let connection = connect(&settings).await.unwrap();
    PollingSource {
        client: connection.kinesis_reader(),
        connection,
        stream: StreamRef::Name("orders".into()),
        shard: ShardId::new("shardId-0"),
        resume: position,
        iterator: Some(("first".into(), Instant::now())),
        schedule: PollSchedule::new(Instant::now()),
        retries: ReadRetries::new(BACKOFF),
        throttles: 0,
        ended: None,
    }
}

fn failed(code: &str, kind: FailureKind) -> CallError {
    CallError { code: Some(code.into()), ..CallError::new(kind, Outcome::NotDone, code.into()) }
}

fn answer(numbers: &[&str]) -> aws_sdk_kinesis::operation::get_records::builders::GetRecordsOutputBuilder {
    let record = |number: &&str| {
        let record = Record::builder().sequence_number(*number).partition_key("k").data(Blob::new("x"));
        record.build().unwrap()
    };
    GetRecordsOutput::builder().set_records(Some(numbers.iter().map(record).collect()))
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_renewed_after_the_last_record() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    let output = answer(&["5", "7"]).next_shard_iterator("second").build().unwrap();
    let batch = source.accept(output, Instant::now()).unwrap().unwrap();
    assert_eq!(batch.records.len(), 2);
    source.read_failed(failed("ExpiredIteratorException", FailureKind::Caller)).unwrap();
    assert_eq!(source.fresh_iterator(), None);
    assert_eq!(source.resume, StartingPosition::After("7".parse().unwrap()));
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
    assert!(source.schedule.next_at() >= Instant::now() + Duration::from_secs(1));
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
    let range = HashKeyRange::builder().starting_hash_key("0").ending_hash_key("9").build().unwrap();
    let child = ChildShard::builder().shard_id("shardId-1").parent_shards("shardId-0").hash_key_range(range);
    let output = answer(&["5"]).child_shards(child.build().unwrap()).build().unwrap();
    assert_eq!(source.accept(output, Instant::now()).unwrap().unwrap().records.len(), 1);
    let end = Fetched::ShardEnded { children: vec![ShardId::new("shardId-1")] };
    assert_eq!(source.next(usize::MAX).await.unwrap(), end);
}

#[tokio::test(start_paused = true)]
async fn after_a_response_without_iterator_and_children_reading_continues_after_the_last_record() {
    let missing = answer(&["5"]);
    let empty = answer(&["5"]).next_shard_iterator("");
    for output in [missing, empty] {
        let mut source = source(StartingPosition::TrimHorizon).await;
        assert_eq!(source.accept(output.build().unwrap(), Instant::now()).unwrap().unwrap().records.len(), 1);
        assert_eq!(source.next(usize::MAX).await.unwrap(), Fetched::ShardEnded { children: Vec::new() });
        assert_eq!(source.fresh_iterator(), None);
        assert_eq!(source.resume, StartingPosition::After("5".parse().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn children_beside_an_iterator_are_not_the_end() {
    let mut source = source(StartingPosition::TrimHorizon).await;
    let range = HashKeyRange::builder().starting_hash_key("0").ending_hash_key("9").build().unwrap();
    let child = ChildShard::builder().shard_id("shardId-1").parent_shards("shardId-0").hash_key_range(range);
    let output = answer(&[]).child_shards(child.build().unwrap()).next_shard_iterator("second").build().unwrap();
    assert!(source.accept(output, Instant::now()).unwrap().unwrap().records.is_empty());
    assert_eq!((source.fresh_iterator().as_deref(), &source.ended), (Some("second"), &None));
}
