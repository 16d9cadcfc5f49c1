use super::*;
use crate::domain::{Checkpoint, LeaseCounter, SentinelCheckpoint, ShardDirectory, ShardId, ShardListing};
use async_trait::async_trait;
use std::sync::Mutex as Lock;

const ARN: &str = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders";

fn stream(stream: &str, created: Option<i64>) -> StreamIdentity {
    StreamIdentity { stream: stream.into(), created: created.map(Timestamp::from_millis) }
}

fn lease(stream: Option<&str>, created: Option<i64>) -> Lease {
    Lease {
        shard: ShardId::new("a"),
        owner: None,
        handoff_from: None,
        counter: LeaseCounter::new(0),
        checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::Latest),
        parents: Vec::new(),
        children: Vec::new(),
        hash_range: None,
        start_at: None,
        stream: stream.map(Into::into),
        stream_created: created.map(Timestamp::from_millis),
        caught_up: None,
        owner_duration: None,
    }
}

#[test]
fn rows_of_the_same_stream_and_rows_without_a_stream_are_accepted() {
    for (row, found) in [
        (lease(Some("orders"), Some(1)), stream("orders", Some(1))),
        (lease(Some("orders"), Some(1)), stream(ARN, Some(1))),
        (lease(Some(ARN), Some(1)), stream("orders", None)),
        (lease(None, None), stream(ARN, Some(1))),
        (lease(None, Some(1)), stream(ARN, None)),
    ] {
        check(std::slice::from_ref(&row), &found, None, "leases").unwrap();
        // Two rows of the stream, and an empty table.
        check(&[row.clone(), row], &found, Some(&found), "leases").unwrap();
        check(&[], &found, Some(&stream("orders", Some(9))), "leases").unwrap();
    }
}

#[test]
fn one_row_of_another_stream_is_refused_and_the_error_names_the_remedy() {
    let rows = [lease(None, None), lease(Some("invoices"), Some(1))];
    let error = check(&rows, &stream(ARN, Some(1)), None, "readers").unwrap_err();
    assert!(matches!(error, ConsumerError::OtherStream { .. }));
    for part in ["`readers`", "invoices", ARN, "`consumerName`", "`leaseTable`"] {
        assert!(error.to_string().contains(part), "{part} is not in {error}");
    }
    let far = ARN.replace("eu-central-1", "eu-west-1");
    assert!(check(&[lease(Some(&far), None)], &stream(ARN, None), None, "readers").is_err());
}

#[test]
fn a_row_of_an_older_stream_of_the_same_name_is_refused() {
    let error = check(&[lease(Some(ARN), Some(1))], &stream(ARN, Some(2)), None, "readers").unwrap_err();
    assert!(error.to_string().starts_with("the stream was deleted and created again"), "{error}");
    for part in ["`readers`", "delete", "`consumerName`"] {
        assert!(error.to_string().contains(part), "{part} is not in {error}");
    }
    // A row without a creation time belongs to the stream that this input read before.
    let known = stream(ARN, Some(1));
    assert!(check(&[lease(None, None)], &stream(ARN, Some(2)), Some(&known), "readers").is_err());
    assert!(check(&[lease(None, None)], &stream(ARN, Some(1)), Some(&known), "readers").is_ok());
}

/// Returns its results in turn, and counts the calls.
#[derive(Debug)]
struct Answers(Lock<(Vec<Result<StreamIdentity, FailureKind>>, usize)>);

#[async_trait]
impl ShardDirectory for Answers {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        Ok(ShardListing { shards: Vec::new(), listed_at: Timestamp::from_millis(0) })
    }
}

#[async_trait]
impl StreamDirectory for Answers {
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut answers = self.0.lock().unwrap();
        answers.1 += 1;
        let answer = if answers.0.len() > 1 { answers.0.remove(0) } else { answers.0[0].clone() };
        answer.map_err(|kind| RetrievalError::Unavailable { doing: "no".to_owned(), kind, source: "fault".into() })
    }
}

fn identity_check(answers: Vec<Result<StreamIdentity, FailureKind>>) -> (Arc<Answers>, Arc<IdentityCheck>) {
    let answers = Arc::new(Answers(Lock::new((answers, 0))));
    let directory: Arc<dyn StreamDirectory> = Arc::<Answers>::clone(&answers);
    (answers, Arc::new(IdentityCheck::new(directory, Arc::default(), 1)))
}

#[tokio::test(start_paused = true)]
async fn many_shards_share_one_call() {
    let (answers, check) = identity_check(vec![Ok(stream(ARN, Some(1)))]);
    for _ in 0..3 {
        let now = Instant::now();
        let checks = (0..100).map(|_| check.replacement(Some(Timestamp::from_millis(1)), now));
        for replacement in futures_util::future::join_all(checks).await {
            assert_eq!(replacement.unwrap(), None);
        }
    }
    assert_eq!(answers.0.lock().unwrap().1, 3);
}

#[tokio::test(start_paused = true)]
async fn calls_keep_a_minimum_interval_and_pause_after_failures() {
    let begun = Instant::now();
    let (answers, check) = identity_check(vec![Ok(stream(ARN, Some(1)))]);
    while begun.elapsed() < Duration::from_secs(60) {
        check.identity_since(Instant::now()).await.unwrap();
    }
    assert!(answers.0.lock().unwrap().1 <= 62);
    let (answers, check) = identity_check(vec![Err(FailureKind::Throttled)]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        check.identity_since(Instant::now()).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(answers.0.lock().unwrap().1 < 30, "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_stream_is_recognised_by_its_creation_time() {
    let (_, check) = identity_check(vec![Ok(stream(ARN, Some(1))), Ok(stream(ARN, Some(2)))]);
    let (leased, found) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
    let replacement = async || {
        tokio::time::advance(Duration::from_secs(1)).await;
        check.replacement(Some(leased), Instant::now()).await.unwrap()
    };
    assert_eq!(replacement().await, None);
    assert_eq!(replacement().await, Some(Replacement { leased, found }));
}
