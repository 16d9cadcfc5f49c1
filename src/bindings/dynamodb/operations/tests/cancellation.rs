use super::super::super::codec::item_from_json;
use super::*;
use crate::domain::Outcome;
use aws_sdk_dynamodb::types::CancellationReason;

fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
    codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect()
}

fn failed() -> BindingError {
    BindingError::new(FailureKind::Permanent, "cancelled").with_detail("requestId", "r-1")
}

fn with_reasons(error: BindingError, cancellation_reasons: Vec<CancellationReason>) -> BindingError {
    with_cancellation_reasons(CallFailure { error, item: None, cancellation_reasons }, &ItemCodec::default())
}

fn cancelled(codes: &[&str]) -> BindingError {
    with_reasons(failed(), reasons(codes))
}

#[test]
fn only_throttles_and_conflicts_may_be_repeated() {
    for (codes, kind, reason) in [
        (&["None", "TransactionConflict"][..], FailureKind::Conflict, TRANSACTION_CONFLICT),
        (&["TransactionConflict", "ThrottlingError"], FailureKind::Throttled, "THROTTLED"),
        (&["ProvisionedThroughputExceeded", "None"], FailureKind::Throttled, "THROTTLED"),
        (&["TransactionConflict", "ConditionalCheckFailed"], FailureKind::Conflict, CONDITION_FAILED),
        (&["ThrottlingError", "ConditionalCheckFailed"], FailureKind::Conflict, CONDITION_FAILED),
        (&["ConditionalCheckFailed", "ValidationError"], FailureKind::Caller, "VALIDATION"),
        (&["ItemCollectionSizeLimitExceeded"], FailureKind::TooLarge, "TOO_LARGE"),
        (&["DuplicateItem"], FailureKind::Conflict, "DUPLICATE_ITEM"),
        (&["SomethingNew"], FailureKind::Permanent, "UPSTREAM"),
    ] {
        let error = cancelled(codes);
        assert_eq!((error.kind(), error.reason()), (kind, Some(reason)), "{codes:?}");
        let may_retry = reason == TRANSACTION_CONFLICT || kind == FailureKind::Throttled;
        assert_eq!((error.outcome(), error.may_retry()), (Outcome::NotDone, may_retry), "{codes:?}");
    }
}

#[test]
fn each_refused_item_is_reported_with_its_index() {
    let stored = item_from_json(br#"{"id":"b","n":7}"#).unwrap();
    let reason = CancellationReason::builder().code("ConditionalCheckFailed").message("no").set_item(Some(stored));
    let reasons = vec![CancellationReason::builder().code("None").build(), reason.build()];
    let error = with_reasons(failed(), reasons);
    let detail = |key: &str| error.details().iter().find(|(known, _)| *known == key).map(|(_, text)| text.as_str());
    let entry = r#"[{"index":1,"code":"ConditionalCheckFailed","message":"no","item":{"id":"b","n":7}}]"#;
    assert_eq!(detail("reasons"), Some(entry));
    assert_eq!(detail("requestId"), Some("r-1"));
    assert_eq!(error.message(), "cancelled; item 1: ConditionalCheckFailed");
}

#[test]
fn a_failure_without_reasons_stays_as_it_is() {
    let error = cancelled(&[]);
    assert_eq!((error.kind(), error.message(), error.reason()), (FailureKind::Permanent, "cancelled", None));
    let mismatch =
        BindingError::new(FailureKind::Conflict, "x").with_detail("code", "IdempotentParameterMismatchException");
    let error = with_reasons(mismatch, Vec::new());
    assert_eq!((error.reason(), error.outcome()), (Some(TOKEN_REUSED), Outcome::NotDone));
    for part in ["x; ", "within the last ten minutes", "nothing of this one was written", "new `idempotencyKey`"] {
        assert!(error.message().contains(part), "{error}");
    }
}
