use super::super::super::etag::ETAG_VALUE;
use super::*;
use crate::domain::FailureKind;

fn parsed(text: &str) -> Result<Write, BindingError> {
    let raw = RawValue::from_string(text.to_owned()).unwrap();
    parse_write(&ItemCodec::default(), &raw)
}

fn writes(texts: &[&str]) -> Vec<Write> {
    texts.iter().map(|text| parsed(text).unwrap()).collect()
}

fn id() -> Option<Vec<String>> {
    Some(vec!["id".to_owned()])
}

#[test]
fn each_kind_of_write_is_parsed() {
    let put = parsed(r#"{"put":{"item":{"id":"1"},"condition":"attribute_not_exists(id)"}}"#).unwrap();
    assert!(matches!(put, Write::Put(_, Some(_))));
    let update = parsed(r#"{"update":{"key":{"id":"1"},"set":{"n":1}}}"#).unwrap();
    assert!(matches!(update, Write::Update(update) if update.expression.starts_with("SET ")));
    let delete = parsed(r#"{"delete":{"key":{"id":"1"}}}"#).unwrap();
    assert!(matches!(delete, Write::Delete(_, None)));
    let check = parsed(r#"{"check":{"key":{"id":"1"},"condition":"n > :n","values":{":n":1}}}"#).unwrap();
    assert!(matches!(check, Write::Check(_, condition) if condition.placeholders.values.len() == 1));
}

#[test]
fn a_write_without_a_kind_or_with_two_is_refused() {
    for (text, said) in [
        ("{}", "exactly one"),
        (r#"{"put":{"item":{"id":"1"}},"delete":{"key":{"id":"2"}}}"#, "exactly one"),
        (r#"{"check":{"key":{"id":"1"}}}"#, "needs a `condition`"),
        (r#"{"replace":{}}"#, "unknown field `replace`"),
        (r#"{"put":{"item":{"id":"1"},"values":{":n":1}}}"#, "only with a condition"),
    ] {
        let error = parsed(text).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
        assert!(error.message().contains(said), "{text}: {error}");
    }
}

#[test]
fn two_writes_of_one_item_are_reported_by_index() {
    let texts =
        [r#"{"put":{"item":{"id":"1","n":1}}}"#, r#"{"put":{"item":{"id":"2"}}}"#, r#"{"delete":{"key":{"id":"1"}}}"#];
    let error = check_duplicates_and_size(&writes(&texts), None).unwrap_err();
    assert!(error.message().contains("`items[0]` and `items[2]`"), "{error}");
    assert!(check_duplicates_and_size(&writes(&texts[..2]), id()).is_ok());
}

#[test]
fn an_item_that_is_written_twice_is_found() {
    let puts = writes(&[
        r#"{"put":{"item":{"id":"a","n":1}}}"#,
        r#"{"put":{"item":{"id":"b"}}}"#,
        r#"{"put":{"item":{"id":"a","n":2}}}"#,
    ]);
    assert_eq!(duplicates(&puts, id()), Some((0, 2)));
    assert_eq!(duplicates(&puts, None), None);
    let mixed = writes(&[
        r#"{"put":{"item":{"id":"a","n":1}}}"#,
        r#"{"delete":{"key":{"id":"b"}}}"#,
        r#"{"delete":{"key":{"id":"a"}}}"#,
    ]);
    assert_eq!(duplicates(&mixed, None), Some((0, 2)), "the delete shows what the key is");
    let different = writes(&[r#"{"put":{"item":{"id":"a"}}}"#, r#"{"delete":{"key":{"id":"b"}}}"#]);
    assert_eq!(duplicates(&different, None), None);
}

#[test]
fn too_many_or_too_large_items_are_refused_with_the_limit() {
    for (error, limit) in [(check_count(101).unwrap_err(), "100"), {
        let text = "x".repeat(399 * 1024);
        let puts: Vec<String> =
            (0..11).map(|id| format!(r#"{{"put":{{"item":{{"id":"{id}","t":"{text}"}}}}}}"#)).collect();
        let puts: Vec<&str> = puts.iter().map(String::as_str).collect();
        (check_duplicates_and_size(&writes(&puts), None).unwrap_err(), "4194304")
    }] {
        assert_eq!(error.kind(), FailureKind::TooLarge);
        assert!(error.details().contains(&("limit", limit.to_owned())), "{error:?}");
    }
}

#[test]
fn an_idempotency_key_comes_from_the_caller_or_is_generated() {
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

fn versions(key: &str) -> Vec<AttributeValue> {
    let mut writes = writes(&WRITES);
    set_versions(&mut writes, "v", key).unwrap();
    let version = |write: &Write| match write {
        Write::Put(item, _) => item.get("v").cloned(),
        Write::Update(update) => update.placeholders.values.get(ETAG_VALUE).cloned(),
        Write::Delete(..) | Write::Check(..) => None,
    };
    writes.iter().filter_map(version).collect()
}

#[test]
fn written_items_get_new_versions_that_are_the_same_when_sent_again() {
    let (first, again, other) = (versions("a"), versions("a"), versions("b"));
    assert_eq!((first.len(), &first), (2, &again));
    assert!(first[0] != first[1] && first[0] != other[0] && first[0] != AttributeValue::S("old".to_owned()));
}

#[test]
fn an_expiry_that_depends_on_the_time_is_refused() {
    let ttl = |default_seconds| Ttl { attribute: "ends".to_owned(), default_seconds, hide_expired: true };
    let given = writes(&WRITES);
    let error = check_expiry(&given, &ttl(Some(60))).unwrap_err();
    assert!(error.message().contains("`items[0]`") && error.message().contains("set `ends`"), "{error}");
    assert!(check_expiry(&given, &ttl(None)).is_ok());
    let own = writes(&[r#"{"put":{"item":{"id":"1","ends":7}}}"#]);
    assert!(check_expiry(&own, &ttl(Some(60))).is_ok());
}
