use super::*;
use aws_sdk_kinesis::operation::put_record::PutRecordError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

fn response(status: u16) -> HttpResponse {
    let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
    response.headers_mut().insert("x-amzn-requestid", "id-1");
    response
}

fn refused(code: &str, status: u16) -> CallError {
    let meta = ErrorMetadata::builder().code(code).message("why").build();
    classify("Kinesis: PutRecord", SdkError::service_error(PutRecordError::generic(meta), response(status)))
}

fn without_response(error: ConnectorError) -> CallError {
    classify::<PutRecordError, HttpResponse>("Kinesis: PutRecord", SdkError::dispatch_failure(error))
}

#[test]
fn each_code_has_its_meaning() {
    use FailureKind::*;
    for (code, status, kind, outcome) in [
        ("ProvisionedThroughputExceededException", 400, Throttled, Outcome::NotDone),
        ("KMSThrottlingException", 400, Throttled, Outcome::NotDone),
        ("SlowDown", 503, Throttled, Outcome::NotDone),
        ("TransactionInProgressException", 400, Throttled, Outcome::Unknown),
        ("LimitExceededException", 400, Throttled, Outcome::NotDone),
        ("AccessDeniedException", 400, Denied, Outcome::NotDone),
        ("ExpiredTokenException", 400, Denied, Outcome::NotDone),
        ("UnrecognizedClientException", 400, Denied, Outcome::NotDone),
        ("KMSAccessDeniedException", 400, Denied, Outcome::NotDone),
        ("ResourceNotFoundException", 400, NotFound, Outcome::NotDone),
        ("ResourceNotFoundException", 500, NotFound, Outcome::NotDone),
        ("ConditionalCheckFailedException", 400, Conflict, Outcome::NotDone),
        ("ResourceInUseException", 400, Conflict, Outcome::NotDone),
        ("ValidationException", 400, Caller, Outcome::NotDone),
        ("InvalidArgumentException", 400, Caller, Outcome::NotDone),
        ("KMSDisabledException", 400, Permanent, Outcome::NotDone),
        ("InternalFailure", 500, Transient, Outcome::Unknown),
        ("SomethingNew", 503, Transient, Outcome::Unknown),
        ("SomethingNew", 413, TooLarge, Outcome::NotDone),
        ("SomethingNew", 429, Throttled, Outcome::NotDone),
        ("SomethingNew", 403, Denied, Outcome::NotDone),
        ("SomethingNew", 418, Caller, Outcome::NotDone),
        ("UnknownOperationException", 400, Unsupported, Outcome::NotDone),
        ("UnknownOperationException", 404, Unsupported, Outcome::NotDone),
        ("InvalidAction", 400, Unsupported, Outcome::NotDone),
        ("NotImplemented", 501, Unsupported, Outcome::NotDone),
        ("InternalFailure", 501, Unsupported, Outcome::NotDone),
        ("SomethingNew", 501, Unsupported, Outcome::NotDone),
        ("SomethingNew", 405, Unsupported, Outcome::NotDone),
        ("SomethingNew", 404, NotFound, Outcome::NotDone),
        ("SomethingNew", 500, Transient, Outcome::Unknown),
    ] {
        let failed = refused(code, status);
        assert_eq!((failed.kind, failed.outcome), (kind, outcome), "{code} {status}");
    }
}

#[test]
fn the_text_names_operation_status_request_and_code() {
    let failed = refused("ResourceNotFoundException", 400);
    assert_eq!(
        failed.text,
        "operation error Kinesis: PutRecord, https response error StatusCode: 400, RequestID: id-1, \
         ResourceNotFoundException: why"
    );
    assert!(failed.is("ResourceNotFoundException"));
}

#[test]
fn a_refused_connection_means_that_nothing_was_done() {
    let failed = without_response(ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionRefused).into()));
    assert_eq!((failed.kind, failed.outcome), (FailureKind::Transient, Outcome::NotDone));
}

#[test]
fn a_broken_connection_leaves_the_effect_unknown() {
    let failed = without_response(ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into()));
    assert_eq!((failed.kind, failed.outcome), (FailureKind::Transient, Outcome::Unknown));
    let failed = without_response(ConnectorError::timeout("HTTP read timeout occurred after 5s".into()));
    assert_eq!((failed.kind, failed.outcome), (FailureKind::TimedOut, Outcome::Unknown));
}

#[test]
fn a_late_response_leaves_the_effect_unknown() {
    let error = SdkError::<PutRecordError, HttpResponse>::timeout_error("late");
    let failed = classify("Kinesis: PutRecord", error);
    assert_eq!((failed.kind, failed.outcome), (FailureKind::TimedOut, Outcome::Unknown));
}

#[test]
fn an_unreadable_response_leaves_the_effect_unknown() {
    let error = SdkError::<PutRecordError, HttpResponse>::response_error("not json", response(200));
    let failed = classify("Kinesis: PutRecord", error);
    assert_eq!((failed.kind, failed.outcome), (FailureKind::Transient, Outcome::Unknown));
}

#[tokio::test]
async fn missing_credentials_are_transient_and_name_each_source() {
    let missing = NoCredentials {
        tried: vec![("environment".to_owned(), "not set".to_owned())],
        retry_at: tokio::time::Instant::now() + std::time::Duration::from_secs(4),
    };
    let failed = without_response(ConnectorError::other(CredentialsError::provider_error(missing).into(), None));
    assert_eq!((failed.kind, failed.outcome), (FailureKind::Unavailable, Outcome::NotDone));
    assert!(failed.text.contains("environment: not set"), "{}", failed.text);
    let wait = BindingError::from(failed).retry_after().unwrap();
    assert!(wait.as_secs() >= 3, "{wait:?}");
}

#[test]
fn a_lease_error_keeps_the_kind() {
    assert_eq!(refused("SlowDown", 400).into_lease_error("scanning").kind(), FailureKind::Throttled);
}

#[test]
fn an_unsupported_operation_is_not_retried_and_has_a_remedy() {
    let failed = refused("UnknownOperationException", 400);
    assert!(!failed.kind.may_retry() && failed.text.contains("does not implement this operation"), "{}", failed.text);
    let error = BindingError::from(failed);
    assert_eq!((error.kind().status(), error.kind().reason()), (501, "NOT_IMPLEMENTED"));
    let meta = ErrorMetadata::builder().code("UnknownOperationException").build();
    let error = SdkError::service_error(PutRecordError::generic(meta), response(400));
    let failed = classify("Kinesis: SubscribeToShard", error);
    assert!(failed.text.contains("write `mode: shared`"), "{}", failed.text);
}

#[test]
fn an_unreachable_endpoint_has_a_cause_and_a_remedy() {
    let failed = without_response(ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionRefused).into()));
    let text = "the endpoint could not be reached: connection refused; nothing listens there";
    assert!(failed.text.contains(text), "{}", failed.text);
}
