//! Whether two items, or two keys, are equal by value, and how large they are.
//!
//! DynamoDB returns numbers in its own notation and sets in any order, so an entry that it leaves unprocessed can be
//! matched with the request only by value.

use super::number::{canonical, stored_size as number_size};
use crate::aws::Item;
use aws_sdk_dynamodb::types::AttributeValue;

/// Bytes that are equal exactly where two items hold the same values under the same names.
pub(in super::super) fn item_identity(item: &Item) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_map(&mut bytes, item);
    bytes
}

/// The same for the attributes of these names alone; `None` when one is missing.
pub(in super::super) fn key_identity<'n>(item: &Item, names: impl IntoIterator<Item = &'n str>) -> Option<Vec<u8>> {
    let mut named: Vec<&str> = names.into_iter().collect();
    named.sort_unstable();
    let mut bytes = Vec::new();
    write_length(&mut bytes, named.len());
    for name in named {
        write_bytes(&mut bytes, name.as_bytes());
        write_value(&mut bytes, item.get(name)?);
    }
    Some(bytes)
}

fn write_map(bytes: &mut Vec<u8>, map: &Item) {
    let mut members: Vec<(&String, &AttributeValue)> = map.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    write_length(bytes, members.len());
    for (name, value) in members {
        write_bytes(bytes, name.as_bytes());
        write_value(bytes, value);
    }
}

fn write_value(bytes: &mut Vec<u8>, value: &AttributeValue) {
    match value {
        AttributeValue::S(text) => tagged(bytes, b'S', text.as_bytes()),
        AttributeValue::N(number) => tagged(bytes, b'N', number_identity(number).as_bytes()),
        AttributeValue::B(blob) => tagged(bytes, b'B', blob.as_ref()),
        AttributeValue::Bool(is_true) => tagged(bytes, b'?', &[u8::from(*is_true)]),
        AttributeValue::Null(_) => tagged(bytes, b'0', &[]),
        AttributeValue::M(map) => {
            bytes.push(b'M');
            write_map(bytes, map);
        }
        AttributeValue::L(list) => {
            bytes.push(b'L');
            write_length(bytes, list.len());
            list.iter().for_each(|value| write_value(bytes, value));
        }
        AttributeValue::Ss(texts) => write_set(bytes, b's', texts.iter().map(|text| text.as_bytes().to_vec())),
        AttributeValue::Ns(numbers) => {
            write_set(bytes, b'n', numbers.iter().map(|number| number_identity(number).into_bytes()));
        }
        AttributeValue::Bs(blobs) => write_set(bytes, b'b', blobs.iter().map(|blob| blob.as_ref().to_vec())),
        // The SDK's enum is open; a type that it does not know has no value to compare.
        _ => bytes.push(b'!'),
    }
}

fn write_set(bytes: &mut Vec<u8>, tag: u8, members: impl Iterator<Item = Vec<u8>>) {
    let mut members: Vec<Vec<u8>> = members.collect();
    members.sort_unstable();
    members.dedup();
    bytes.push(tag);
    write_length(bytes, members.len());
    members.iter().for_each(|member| write_bytes(bytes, member));
}

fn tagged(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    write_bytes(bytes, value);
}

fn write_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    write_length(bytes, value.len());
    bytes.extend_from_slice(value);
}

fn write_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
}

/// The canonical text of a number; any other text unchanged.
fn number_identity(text: &str) -> String {
    let is_digits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    if text.bytes().all(is_digits) { canonical(text) } else { text.to_owned() }
}

/// About how many bytes an item takes in DynamoDB, names and values together (AWS, "Item sizes and formats").
pub(in super::super) fn stored_size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + stored_value(value)).sum()
}

fn stored_value(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number_size(number),
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::M(map) => 3 + map.len() + stored_size(map),
        AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + stored_value(value)).sum::<usize>(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number_size(number)).sum(),
        AttributeValue::Bs(blobs) => blobs.iter().map(|blob| blob.as_ref().len()).sum(),
        // True, false, null, and what the SDK's open enum may add.
        _ => 1,
    }
}

/// An upper bound of the bytes that an item takes in a request's JSON, with type tags and escapes.
pub(in super::super) fn wire_size(item: &Item) -> usize {
    2 + item.iter().map(|(name, value)| text_size(name) + 2 + value_size(value)).sum::<usize>()
}

fn value_size(value: &AttributeValue) -> usize {
    /// `{"NULL":` and `}`, the longest tag.
    const MAX_TAG: usize = 9;
    let base64 = |length: usize| length.div_ceil(3) * 4 + 3;
    MAX_TAG
        + match value {
            AttributeValue::S(text) | AttributeValue::N(text) => text_size(text),
            AttributeValue::B(blob) => base64(blob.as_ref().len()),
            AttributeValue::Bool(_) | AttributeValue::Null(_) => 5,
            AttributeValue::M(map) => wire_size(map),
            AttributeValue::L(list) => 2 + list.iter().map(|value| value_size(value) + 1).sum::<usize>(),
            AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
                2 + texts.iter().map(|text| text_size(text) + 1).sum::<usize>()
            }
            AttributeValue::Bs(blobs) => 2 + blobs.iter().map(|blob| base64(blob.as_ref().len())).sum::<usize>(),
            _ => 0,
        }
}

/// A JSON string with its quotes; a control character becomes at most six bytes.
fn text_size(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..=31 => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::super::item_from_json;
    use super::*;
    use proptest::prelude::*;

    fn item(text: &str) -> Item {
        item_from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_notation_of_a_number_does_not_matter() {
        for (one, other) in [("1.50", "1.5"), ("100", "1E+2"), ("0.00", "0"), ("-7e-3", "-0.007"), ("10", "1e1")] {
            assert_eq!(number_identity(one), number_identity(other), "{one} {other}");
        }
        for (one, other) in [("1", "-1"), ("1", "10"), ("0.1", "0.01"), ("9007199254740993", "9007199254740992")] {
            assert_ne!(number_identity(one), number_identity(other), "{one} {other}");
        }
    }

    #[test]
    fn keys_differ_by_type_and_attribute() {
        let names = ["id", "at"];
        let identity = |text: &str| key_identity(&item(text), names);
        assert_eq!(identity(r#"{"id":"a","at":1.0,"x":1}"#), identity(r#"{"x":2,"at":1,"id":"a"}"#));
        assert_ne!(identity(r#"{"id":"1","at":1}"#), identity(r#"{"id":1,"at":"1"}"#));
        assert_ne!(identity(r#"{"id":"ab","at":"c"}"#), identity(r#"{"id":"a","at":"bc"}"#));
        assert_eq!(identity(r#"{"id":"a"}"#), None);
    }

    #[test]
    fn sets_have_no_order() {
        let set = |members: &[&str]| {
            let numbers = members.iter().map(|&member| member.to_owned()).collect();
            item_identity(&Item::from([("s".to_owned(), AttributeValue::Ns(numbers))]))
        };
        assert_eq!(set(&["1", "2.0"]), set(&["2", "1"]));
        assert_ne!(set(&["1", "2"]), set(&["1"]));
    }

    proptest! {
        #[test]
        fn the_wire_size_is_never_too_small(text in "\\PC{0,30}|[\\x00-\\x1f\"\\\\]{0,10}", list in prop::collection::vec(any::<i64>(), 0..9)) {
            let data = serde_json::json!({"text": text, "list": list, "deep": {"null": null, "yes": true}});
            let numbers: Vec<_> = list.iter().map(|number| serde_json::json!({"N": number.to_string()})).collect();
            let sent = serde_json::json!({
                "text": {"S": text}, "list": {"L": numbers}, "deep": {"M": {"null": {"NULL": true}, "yes": {"BOOL": true}}},
            });
            let size = wire_size(&item(&data.to_string()));
            prop_assert!(size >= sent.to_string().len(), "{} < {}", size, sent.to_string().len());
        }
    }
}
