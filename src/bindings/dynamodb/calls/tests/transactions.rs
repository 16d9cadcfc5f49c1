use super::super::item_from_json;
use super::*;
use crate::domain::Outcome;

fn item(text: &str) -> Item {
    item_from_json(text.as_bytes()).unwrap()
}

fn put(text: &str) -> TransactWrite {
    TransactWrite::Put(Put { item: item(text), condition: None })
}

fn delete(text: &str) -> TransactWrite {
    TransactWrite::Delete(Delete { key: item(text), condition: None })
}

fn transaction(writes: Vec<TransactWrite>) -> Transaction {
    Transaction { writes, token: "t".to_owned(), on_refusal: OnRefusal::Nothing }
}

fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
    codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect()
}

fn cancelled(codes: &[&str]) -> BindingError {
    let failed = BindingError::new(FailureKind::Permanent, "cancelled").with_detail("requestId", "r-1");
    told(failed, &reasons(codes), &Spelling::default())
}

#[test]
fn an_item_that_is_written_twice_is_found() {
    let names = ["id".to_owned()];
    let puts = transaction(vec![put(r#"{"id":"a","n":1}"#), put(r#"{"id":"b"}"#), put(r#"{"id":"a","n":2}"#)]);
    assert_eq!(puts.doubles(Some(&names)), Some((0, 2)));
    assert_eq!(puts.doubles(None), None);
    let mixed = transaction(vec![put(r#"{"id":"a","n":1}"#), delete(r#"{"id":"b"}"#), delete(r#"{"id":"a"}"#)]);
    assert_eq!(mixed.doubles(None), Some((0, 2)), "the delete tells what the key is");
    let apart = transaction(vec![put(r#"{"id":"a"}"#), delete(r#"{"id":"b"}"#)]);
    assert_eq!(apart.doubles(None), None);
}

#[test]
fn only_throttles_and_conflicts_are_worth_repeating() {
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
fn each_culprit_is_told_with_its_place() {
    let stored = item(r#"{"id":"b","n":7}"#);
    let reason = CancellationReason::builder().code("ConditionalCheckFailed").message("no").set_item(Some(stored));
    let reasons = [CancellationReason::builder().code("None").build(), reason.build()];
    let failed = BindingError::new(FailureKind::Permanent, "cancelled").with_detail("requestId", "r-1");
    let error = told(failed, &reasons, &Spelling::default());
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
    let told = told(mismatch, &[], &Spelling::default());
    assert_eq!((told.reason(), told.outcome()), (Some(TOKEN_USED), Outcome::NotDone));
    for part in ["x; ", "within the last ten minutes", "nothing of this one was written", "new `idempotencyKey`"] {
        assert!(told.message().contains(part), "{told}");
    }
}
