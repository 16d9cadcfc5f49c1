use super::super::super::{ConnectionSettings, StaticCredentials, connect};
use super::*;
use std::num::NonZeroUsize;

fn stored(number: &str) -> PutRecordsResultEntry {
    PutRecordsResultEntry::builder().sequence_number(number).shard_id("shardId-000000000007").build()
}

fn refused(code: &str, message: &str) -> PutRecordsResultEntry {
    PutRecordsResultEntry::builder().error_code(code).error_message(message).build()
}

fn results_of(
    entries: Vec<PutRecordsResultEntry>,
    sent: usize,
) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
    let output = PutRecordsOutput::builder().set_records(Some(entries)).encryption_type(EncryptionType::Kms);
    results(output.build().unwrap(), sent)
}

fn detail<'e>(error: &'e BindingError, key: &str) -> Option<&'e str> {
    error.details().iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
}

#[test]
fn each_entry_has_its_own_result() {
    let throttle = "Rate exceeded for shard shardId-000000000001 in stream orders under account 111122223333.";
    let entries = vec![
        stored("17"),
        refused("ProvisionedThroughputExceededException", throttle),
        refused("InternalFailure", "Internal service failure."),
        refused("KMSThrottlingException", "slow down"),
        refused("SomethingNew", "who knows"),
        PutRecordsResultEntry::builder().build(),
    ];
    let results = results_of(entries, 6).unwrap();
    let receipt = results[0].as_ref().unwrap();
    assert_eq!((receipt.sequence.as_str(), receipt.encryption.as_deref()), ("17", Some("KMS")));
    let failures: Vec<_> = results[1..].iter().map(|result| result.as_ref().unwrap_err()).collect();
    let kinds: Vec<_> = failures.iter().map(|error| (error.kind(), error.outcome())).collect();
    assert_eq!(kinds[0], (FailureKind::Throttled, Outcome::NotDone));
    assert_eq!(kinds[1], (FailureKind::Transient, Outcome::Unknown));
    assert_eq!(kinds[2], (FailureKind::Throttled, Outcome::NotDone));
    assert_eq!(kinds[3], (FailureKind::Permanent, Outcome::NotDone), "an unknown code");
    assert_eq!(kinds[4], (FailureKind::Transient, Outcome::Unknown), "neither number nor error");
    assert_eq!((detail(failures[0], "shardId"), detail(failures[2], "shardId")), (Some("shardId-000000000001"), None));
    assert_eq!(detail(failures[0], "code"), Some("ProvisionedThroughputExceededException"));
}

#[test]
fn a_response_with_another_number_of_results_leaves_all_outcomes_unknown() {
    let error = results_of(vec![stored("1")], 2).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Transient, Outcome::Unknown));
    let error = results_of(vec![stored("x")], 1).unwrap().remove(0).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "an invalid sequence number proves nothing");
}

#[test]
fn size_limits_are_recognised_by_their_texts() {
    let of = |code: &str, message: &str| entry_error(classify_entry("Kinesis: PutRecords", code, Some(message))).kind();
    assert_eq!(of("InvalidArgumentException", "Records size exceeds 10 MB limit"), FailureKind::TooLarge);
    let constraint = "1 validation error detected: Value at 'data' failed to satisfy constraint: Member must have length \
                      less than or equal to 1048576";
    assert_eq!(of("ValidationException", constraint), FailureKind::TooLarge);
    assert_eq!(of("ValidationException", "Value at 'partitionKey' failed"), FailureKind::Caller);
}

#[test]
fn a_denied_batch_is_distinguished_from_a_denied_key() {
    let denied = |code: &str, text: &str| batch_error(classify_entry("Kinesis: PutRecords", code, Some(text)));
    let by_policy = "User: arn:aws:iam::1:user/x is not authorized to perform: kinesis:PutRecords on resource: \
                     arn:aws:kinesis:eu-central-1:1:stream/orders with an explicit deny in a service control policy";
    let of_key = "User: arn:aws:iam::1:user/x is not authorized to perform: kms:GenerateDataKey on resource: arn";
    for (code, text, lacks) in [
        ("AccessDeniedException", by_policy, true),
        ("AccessDenied", "no", true),
        ("AccessDeniedException", of_key, false),
        ("KMSAccessDeniedException", "the key", false),
        ("UnrecognizedClientException", "The security token included in the request is invalid.", false),
        ("ExpiredTokenException", "expired", false),
    ] {
        let error = denied(code, text);
        assert_eq!((error.kind(), error.outcome()), (FailureKind::Denied, Outcome::NotDone), "{code}");
        assert_eq!(error.lacks_permission(), lacks, "{code}: {text}");
        assert_eq!(error.message().contains("allow `kinesis:PutRecords`"), lacks, "{error}");
    }
}

#[test]
fn the_payload_is_not_copied_into_the_call() {
    let data = bytes::Bytes::from_static(b"payload");
    let record = NewRecord { data: data.clone(), partition_key: None, explicit_hash_key: Some(5) };
    let entry = entry(&record).unwrap();
    assert_eq!(entry.data.as_ref().as_ptr(), data.as_ptr());
    assert_eq!((entry.partition_key.as_deref(), entry.explicit_hash_key.as_deref()), (None, Some("5")));
}

#[tokio::test(start_paused = true)]
async fn a_call_over_the_limit_is_not_sent() {
    let keys = StaticCredentials { access_key: "key".to_owned(), secret_key: "s".into(), session_token: None };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        credentials: Some(keys),
        max_connections: NonZeroUsize::new(1),
        ..ConnectionSettings::default()
    };
    let connection = connect(&settings).await.unwrap();
    let writer = Writer::new(&connection, StreamRef::Name("orders".to_owned()), Duration::from_secs(5));
    let _other = connection.permit().await;
    let record = NewRecord { data: bytes::Bytes::new(), partition_key: None, explicit_hash_key: Some(5) };
    for error in [writer.put(&record, None).await.unwrap_err(), writer.put_all(&[record]).await.unwrap_err()] {
        assert_eq!((error.kind(), error.outcome()), (FailureKind::Throttled, Outcome::NotDone), "{error}");
        assert!(error.message().contains("`maxConnections`"), "{error}");
    }
}
