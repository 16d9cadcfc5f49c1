use super::super::calls::OnRefusal;
use super::super::etag::ETAG_VALUE;
use super::super::options::Expired;
use super::*;

fn read(text: &str) -> Result<TransactWrite, BindingError> {
    let raw = RawValue::from_string(text.to_owned()).unwrap();
    read_write(&Spelling::default(), &raw)
}

fn transaction(texts: &[&str]) -> Transaction {
    let writes = texts.iter().map(|text| read(text).unwrap()).collect();
    Transaction { writes, token: "t".to_owned(), on_refusal: OnRefusal::Nothing }
}

#[test]
fn each_kind_of_write_is_read() {
    let put = read(r#"{"put":{"item":{"id":"1"},"condition":"attribute_not_exists(id)"}}"#).unwrap();
    assert!(matches!(put, TransactWrite::Put(put) if put.condition.is_some()));
    let update = read(r#"{"update":{"key":{"id":"1"},"set":{"n":1}}}"#).unwrap();
    assert!(matches!(update, TransactWrite::Update(update) if update.change.starts_with("SET ")));
    let delete = read(r#"{"delete":{"key":{"id":"1"}}}"#).unwrap();
    assert!(matches!(delete, TransactWrite::Delete(delete) if delete.condition.is_none()));
    let check = read(r#"{"check":{"key":{"id":"1"},"condition":"n > :n","values":{":n":1}}}"#).unwrap();
    assert!(matches!(check, TransactWrite::Check(check) if check.condition.placeholders.values.len() == 1));
}

#[test]
fn a_write_of_no_kind_or_two_is_refused() {
    for (text, said) in [
        ("{}", "exactly one"),
        (r#"{"put":{"item":{"id":"1"}},"delete":{"key":{"id":"2"}}}"#, "exactly one"),
        (r#"{"check":{"key":{"id":"1"}}}"#, "needs a `condition`"),
        (r#"{"replace":{}}"#, "unknown field `replace`"),
        (r#"{"put":{"item":{"id":"1"},"values":{":n":1}}}"#, "only with a condition"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
        assert!(error.message().contains(said), "{text}: {error}");
    }
}

#[test]
fn two_writes_of_one_item_are_named_by_their_places() {
    let texts =
        [r#"{"put":{"item":{"id":"1","n":1}}}"#, r#"{"put":{"item":{"id":"2"}}}"#, r#"{"delete":{"key":{"id":"1"}}}"#];
    let error = check_whole(&transaction(&texts), None).unwrap_err();
    assert!(error.message().contains("`items[0]` and `items[2]`"), "{error}");
    assert!(check_whole(&transaction(&texts[..2]), Some(&["id".to_owned()])).is_ok());
}

#[test]
fn what_is_too_much_is_told_with_the_limit() {
    for (error, limit) in [(check_count(101).unwrap_err(), "100"), {
        let text = "x".repeat(399 * 1024);
        let puts: Vec<String> =
            (0..11).map(|id| format!(r#"{{"put":{{"item":{{"id":"{id}","t":"{text}"}}}}}}"#)).collect();
        let puts: Vec<&str> = puts.iter().map(String::as_str).collect();
        (check_whole(&transaction(&puts), None).unwrap_err(), "4194304")
    }] {
        assert_eq!(error.kind(), FailureKind::TooLarge);
        assert!(error.details().contains(&("limit", limit.to_owned())), "{error:?}");
    }
}

#[test]
fn a_key_is_the_callers_or_a_new_one() {
    assert_eq!(idempotency_key(Some("a"), None).unwrap(), "a");
    assert_eq!(idempotency_key(None, Some("b")).unwrap(), "b");
    assert_eq!(idempotency_key(Some("a"), Some("a")).unwrap(), "a");
    assert_eq!(idempotency_key(Some("a"), Some("b")).unwrap_err().kind(), FailureKind::Caller);
    let (one, other) = (idempotency_key(None, None).unwrap(), idempotency_key(Some(""), None).unwrap());
    assert!(one != other && token(&one) == one, "{one} {other}");
}

#[test]
fn a_long_key_becomes_its_hash() {
    assert_eq!(token(&"k".repeat(36)), "k".repeat(36));
    let (one, other) = (token(&"k".repeat(37)), token(&"k".repeat(38)));
    assert!(one != other && one.len() == 32 && one == token(&"k".repeat(37)));
    assert_eq!(token("größe").len(), 32);
}

const WRITES: [&str; 3] = [
    r#"{"put":{"item":{"id":"1","v":"old"}}}"#,
    r#"{"update":{"key":{"id":"2"},"set":{"n":1}}}"#,
    r#"{"delete":{"key":{"id":"3"}}}"#,
];

fn versions(key: &str) -> Vec<Value> {
    let mut writes = transaction(&WRITES).writes;
    give_versions(&mut writes, "v", key).unwrap();
    let version = |write: &TransactWrite| match write {
        TransactWrite::Put(put) => put.item.get("v").cloned(),
        TransactWrite::Update(update) => update.placeholders.values.get(ETAG_VALUE).cloned(),
        TransactWrite::Delete(_) | TransactWrite::Check(_) => None,
    };
    writes.iter().filter_map(version).collect()
}

#[test]
fn written_items_get_new_versions_that_are_the_same_when_sent_again() {
    let (first, again, other) = (versions("a"), versions("a"), versions("b"));
    assert_eq!((first.len(), &first), (2, &again));
    assert!(first[0] != first[1] && first[0] != other[0] && first[0] != Value::S("old".to_owned()));
}

#[test]
fn a_life_that_counts_from_now_is_refused() {
    let life = |seconds| Life { attribute: "ends".to_owned(), seconds, expired: Expired::Hidden };
    let writes = transaction(&WRITES).writes;
    let error = check_lives(&writes, &life(Some(60))).unwrap_err();
    assert!(error.message().contains("`items[0]`") && error.message().contains("set `ends`"), "{error}");
    assert!(check_lives(&writes, &life(None)).is_ok());
    let own = transaction(&[r#"{"put":{"item":{"id":"1","ends":7}}}"#]).writes;
    assert!(check_lives(&own, &life(Some(60))).is_ok());
}
