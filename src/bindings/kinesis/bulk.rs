//! Reads the requests of `bulkCreate`: many items. A wrong item does not fail the others.

use super::super::strict_json;
use crate::domain::{BindingError, FailureKind, slice_or_copy};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The largest `maxBulkItems`; further items are only counted.
const MAX_ITEMS: usize = 100_000;

#[derive(Debug, Default)]
struct Items<'a> {
    kept: Vec<&'a RawValue>,
    count: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    items: Items<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut items = Items::default();
        while items.count < MAX_ITEMS {
            let Some(item) = elements.next_element()? else { return Ok(items) };
            items.kept.push(item);
            items.count += 1;
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {
            items.count += 1;
        }
        Ok(items)
    }
}

/// The items of a request, each as the text that was sent.
///
/// # Errors
/// `Caller` when `data` is not `{"items": […]}` or has none; `TooLarge` when there are more than `max`.
pub(super) fn items(data: &[u8], max: usize) -> Result<Vec<&RawValue>, BindingError> {
    let body: Body<'_> = strict_json::read(data).map_err(|error| {
        let form = r#"{"items": [{"data": 1}]}"#;
        invalid(&format!("`data` must be an object with a list `items`, such as {form}: {}", error.message()))
    })?;
    let Items { kept, count } = body.items;
    if count == 0 {
        return Err(invalid("`items` is empty: send at least one item"));
    }
    if count > max {
        let text = format!("the request has {count} items, and `maxBulkItems` is {max}: send fewer at once");
        let error = BindingError::new(FailureKind::TooLarge, text);
        return Err(error.with_detail("size", count.to_string()).with_detail("limit", max.to_string()));
    }
    Ok(kept)
}

/// An item as it was read, before the component's defaults apply. Shares the memory of the request where it can.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// The exact text of its `data`.
    pub(super) data: Bytes,
    pub(super) partition_key: Option<Cow<'a, str>>,
    pub(super) explicit_hash_key: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partition_key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    explicit_hash_key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// Unlike the plain `Option`, takes `null` for a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one item, and its `id` even if the rest is wrong: the response repeats it as it was written. `body` is the buffer
/// that holds the item.
pub(super) fn read_item<'a>(
    text: &'a RawValue,
    body: &Bytes,
) -> (Option<&'a RawValue>, Result<Item<'a>, BindingError>) {
    match strict_json::read::<Fields<'a>>(text.get().as_bytes()) {
        Ok(Fields { id: Some(id), .. }) if !is_name(id) => {
            (None, Err(invalid("the item's `id` must be a string or a number")))
        }
        Ok(fields) => (fields.id, item(&fields, body)),
        Err(error) => (id_of(text), Err(invalid(&format!("the item: {}", error.message())))),
    }
}

/// The `id` of an item that cannot be read otherwise, so that the caller knows which one failed.
fn id_of(text: &RawValue) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct WithId<'a> {
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
    }
    // serde would also take an array, as the fields in their order.
    let item = text.get().starts_with('{').then(|| serde_json::from_str::<WithId<'_>>(text.get()).ok()).flatten();
    item?.id.filter(|id| is_name(id))
}

fn is_name(id: &RawValue) -> bool {
    id.get().starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

fn item<'a>(fields: &Fields<'a>, body: &Bytes) -> Result<Item<'a>, BindingError> {
    let data = fields.data.ok_or_else(|| invalid("the item has no `data`"))?;
    let partition_key = fields.partition_key.map(string).transpose();
    let explicit_hash_key = fields.explicit_hash_key.map(number).transpose();
    Ok(Item {
        data: slice_or_copy(body, data.get().as_bytes()),
        partition_key: partition_key?.filter(|key| !key.is_empty()),
        explicit_hash_key: explicit_hash_key?.filter(|key| !key.is_empty()),
    })
}

fn string(value: &RawValue) -> Result<Cow<'_, str>, BindingError> {
    if let Ok(plain) = serde_json::from_str::<&str>(value.get()) {
        return Ok(Cow::Borrowed(plain));
    }
    serde_json::from_str(value.get()).map(Cow::Owned).map_err(|_| invalid("the item's keys must be strings"))
}

/// A hash key may be a number too, of any length: its digits are taken as text.
fn number(value: &RawValue) -> Result<Cow<'_, str>, BindingError> {
    if value.get().starts_with('"') { string(value) } else { Ok(Cow::Borrowed(value.get())) }
}

fn invalid(message: &str) -> BindingError {
    BindingError::new(FailureKind::Caller, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<(String, Option<String>, Option<String>), String> {
        let whole = Bytes::copy_from_slice(text.as_bytes());
        let raw: &RawValue = serde_json::from_slice(&whole).unwrap();
        let record = read_item(raw, &whole).1.map_err(|error| error.message().to_owned())?;
        let data = String::from_utf8(record.data.to_vec()).unwrap();
        Ok((data, record.partition_key.map(Cow::into_owned), record.explicit_hash_key.map(Cow::into_owned)))
    }

    #[test]
    fn the_text_of_an_item_is_kept() {
        let text = r#"{"data": {"n": 1.50,  "n": 2}, "partitionKey": "a\u00fc", "explicitHashKey": 5}"#;
        let (data, key, hash) = read(text).unwrap();
        assert_eq!(
            (data.as_str(), key.as_deref(), hash.as_deref()),
            (r#"{"n": 1.50,  "n": 2}"#, Some("aü"), Some("5"))
        );
        assert_eq!(
            read(r#"{"data": null, "partitionKey": null, "explicitHashKey": ""}"#),
            Ok(("null".into(), None, None))
        );
    }

    #[test]
    fn the_error_of_a_wrong_item_says_what_is_wrong() {
        for (text, part) in [
            ("{}", "no `data`"),
            ("[1]", "not a JSON object"),
            ("17", "not a JSON object"),
            (r#"{"data": 1, "data": 2}"#, "duplicate field `data`"),
            (r#"{"data": 1, "partitionkey": "a"}"#, "unknown field `partitionkey`, did you mean `partitionKey`?"),
            (r#"{"data": 1, "partitionKey": 5}"#, "keys must be strings"),
            (r#"{"data": 1, "id": {}}"#, "`id` must be"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn an_item_that_cannot_be_read_keeps_its_id() {
        for (text, id) in [
            (r#"{"id": "a", "data": 1, "dta": 2}"#, Some(r#""a""#)),
            (r#"{"id": 7, "data": 1, "data": 2}"#, Some("7")),
            (r#"{"id": {}, "dta": 2}"#, None),
            (r#"["a"]"#, None),
        ] {
            let whole = Bytes::copy_from_slice(text.as_bytes());
            let raw: &RawValue = serde_json::from_slice(&whole).unwrap();
            let (read_id, item) = read_item(raw, &whole);
            assert!(item.is_err() && read_id.map(RawValue::get) == id, "{text}: {read_id:?}");
        }
    }

    #[test]
    fn the_list_is_bounded_and_never_empty() {
        let count = |text: &str| items(text.as_bytes(), 2).map(|items| items.len());
        assert_eq!(count(r#"{"items": [1, {}]}"#).unwrap(), 2);
        for (text, kind) in [
            (r#"{"items": [1, 2, 3]}"#, FailureKind::TooLarge),
            (r#"{"items": []}"#, FailureKind::Caller),
            (r#"{"items": {}}"#, FailureKind::Caller),
            (r#"{"items": [1], "key": 2}"#, FailureKind::Caller),
            ("[1]", FailureKind::Caller),
            ("null", FailureKind::Caller),
        ] {
            assert_eq!(count(text).unwrap_err().kind(), kind, "{text}");
        }
        let many = format!("{{\"items\":[{}]}}", vec!["1"; MAX_ITEMS + 5].join(","));
        let error = items(many.as_bytes(), MAX_ITEMS).unwrap_err();
        assert!(error.message().starts_with("the request has 100005 items"), "{error}");
    }

    proptest! {
        #[test]
        fn each_item_is_read_as_written(texts in proptest::collection::vec("[a-z]{0,9}", 1..20)) {
            let list: Vec<_> = texts.iter().map(|text| serde_json::json!({"data": text, "id": text})).collect();
            let whole = Bytes::from(serde_json::json!({ "items": list }).to_string());
            for (raw, text) in items(&whole, 100).unwrap().into_iter().zip(&texts) {
                let (id, item) = read_item(raw, &whole);
                let data = item.unwrap().data;
                prop_assert_eq!(&data, &format!("\"{text}\""));
                prop_assert_eq!(id.unwrap().get(), format!("\"{text}\""));
            }
        }
    }
}
