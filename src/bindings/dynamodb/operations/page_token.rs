//! `nextToken`: where the next page of a query begins. Pure.
//!
//! A token is base64url of a version, a digest and the key at which DynamoDB stopped, in DynamoDB's JSON. The digest
//! covers the key and the query, so that a token of another query, or a damaged one, is refused instead of reading from
//! a wrong place. It is not a secret: anyone who can send a token may read the table anyway.

use super::super::codec::{ItemCodec, ItemFormat};
use super::super::failure::invalid_request;
use super::super::response::not_serializable;
use super::paging::{ReadKind, Selection};
use crate::aws::Item;
use crate::domain::BindingError;
use aws_sdk_dynamodb::types::AttributeValue;
use base64_simd::URL_SAFE_NO_PAD;
use md5::{Digest, Md5};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
/// Version and digest.
const HEADER: usize = 17;
/// A key has at most 3 KiB of values and, with an index, four attributes; its JSON is far below this. DynamoDB's own
/// token has at most 32,768 characters (API reference, `ExecuteStatement`), which become 43,715 here.
const MAX_LENGTH: usize = 64 * 1024;

/// Identifies a query in its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueryDigest([u8; 16]);

/// Lengths before texts: different parts never give the same text.
fn push_part(text: &mut String, part: Option<&str>) {
    match part {
        Some(part) => text.push_str(&format!("{}:{part};", part.len())),
        None => text.push_str("-;"),
    }
}

impl QueryDigest {
    /// Page size and consistency are not part of it: they may change from page to page.
    ///
    /// # Errors
    /// When a value cannot be written as JSON.
    pub(super) fn of_selection(table: &str, selection: &Selection) -> Result<Self, BindingError> {
        let mut text = String::new();
        let mut part = |part: Option<&str>| push_part(&mut text, part);
        part(Some(table));
        part(selection.index.as_deref());
        part(selection.filter.as_deref());
        part(selection.projection.as_deref());
        match &selection.kind {
            ReadKind::Query { key_condition, is_forward } => {
                part(Some(key_condition));
                part(Some(if *is_forward { "forward" } else { "backward" }));
            }
            ReadKind::Scan { segment } => {
                part(None);
                part(segment.map(|(segment, count)| format!("{segment}/{count}")).as_deref());
            }
        }
        let names: BTreeMap<_, _> = selection.placeholders.names.iter().collect();
        for (placeholder, name) in names {
            part(Some(placeholder));
            part(Some(name));
        }
        part(Some(&tagged_json(&selection.placeholders.values)?));
        Ok(Self(Md5::digest(text.as_bytes()).into()))
    }

    /// Of a statement with its parameters. The text counts too: a changed file may give a name another statement.
    ///
    /// # Errors
    /// When a value cannot be written as JSON.
    pub(super) fn of_statement(
        table: &str,
        name: &str,
        statement: &str,
        parameters: &[AttributeValue],
    ) -> Result<Self, BindingError> {
        let parameters = Item::from([("parameters".to_owned(), AttributeValue::L(parameters.to_vec()))]);
        let mut text = "statement;".to_owned();
        for part in [table, name, statement, &tagged_json(&parameters)?] {
            push_part(&mut text, Some(part));
        }
        Ok(Self(Md5::digest(text.as_bytes()).into()))
    }

    fn with_position(self, position: &[u8]) -> [u8; 16] {
        Md5::new().chain_update([VERSION]).chain_update(self.0).chain_update(position).finalize().into()
    }
}

/// The token for the page that begins after `key`.
///
/// # Errors
/// When the key cannot be written as JSON.
pub(super) fn encode_key(query: QueryDigest, key: &Item) -> Result<String, BindingError> {
    tagged_json(key).map(|key| encode(query, &key))
}

/// The token for a position: a key as JSON, or DynamoDB's own token.
pub(super) fn encode(query: QueryDigest, position: &str) -> String {
    let bytes = [&[VERSION][..], &query.with_position(position.as_bytes()), position.as_bytes()].concat();
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// The key in a token.
///
/// # Errors
/// When the token was made for another query, or is damaged.
pub(super) fn decode_key(query: QueryDigest, token: &str) -> Result<Item, BindingError> {
    tagged_codec().item(decode(query, token)?.as_bytes()).map_err(|_| wrong_token())
}

/// The position in a token.
pub(super) fn decode(query: QueryDigest, token: &str) -> Result<String, BindingError> {
    if token.len() > MAX_LENGTH {
        return Err(wrong_token());
    }
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(token.as_bytes()).map_err(|_| wrong_token())?;
    // The last character has bits that decoding drops.
    let is_exact = bytes.len() > HEADER && URL_SAFE_NO_PAD.encode_to_string(&bytes) == token;
    if !is_exact || bytes[0] != VERSION {
        return Err(wrong_token());
    }
    let (header, position) = bytes.split_at(HEADER);
    if header[1..] != query.with_position(position) {
        return Err(wrong_token());
    }
    String::from_utf8(position.to_vec()).map_err(|_| wrong_token())
}

fn wrong_token() -> BindingError {
    invalid_request(
        "`nextToken` does not belong to this query: send it unchanged, with the same query that returned it",
    )
}

fn tagged_json(item: &Item) -> Result<String, BindingError> {
    tagged_codec().write(item).map(|text| text.get().to_owned()).map_err(not_serializable)
}

fn tagged_codec() -> ItemCodec {
    ItemCodec { format: ItemFormat::Tagged, ..ItemCodec::default() }
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::item_from_json;
    use super::super::super::expression::Placeholders;
    use super::*;
    use proptest::prelude::*;

    fn selection(kind: ReadKind, values: &str) -> Selection {
        let values = item_from_json(values.as_bytes()).unwrap();
        let placeholders = Placeholders { values, ..Placeholders::default() };
        Selection { index: None, filter: None, projection: None, placeholders, consistent_read: false, kind }
    }

    fn by_key(key_condition: &str, is_forward: bool) -> ReadKind {
        ReadKind::Query { key_condition: key_condition.to_owned(), is_forward }
    }

    fn digest(key_condition: &str, values: &str) -> QueryDigest {
        QueryDigest::of_selection("rows", &selection(by_key(key_condition, true), values)).unwrap()
    }

    #[test]
    fn a_token_is_valid_only_for_its_query() {
        let key = item_from_json(br#"{"id":"a","n":12345678901234567890.5}"#).unwrap();
        let own = digest("#id = :id", r#"{":id":"a"}"#);
        let token = encode_key(own, &key).unwrap();
        assert_eq!(decode_key(own, &token).unwrap(), key);
        let of = |table, kind, values| QueryDigest::of_selection(table, &selection(kind, values)).unwrap();
        for other in [
            digest("#id = :id", r#"{":id":"b"}"#),
            digest("#id = :ie", r#"{":id":"a"}"#),
            of("rowt", by_key("#id = :id", true), r#"{":id":"a"}"#),
            of("rows", ReadKind::Scan { segment: Some((0, 2)) }, "{}"),
            of("rows", ReadKind::Scan { segment: Some((1, 2)) }, "{}"),
            of("rows", by_key("#id = :id", false), r#"{":id":"a"}"#),
        ] {
            assert!(decode_key(other, &token).is_err());
        }
        for damaged in ["", "AQ", &token[1..], &format!("{token}A"), &"A".repeat(MAX_LENGTH + 1), "ä"] {
            assert!(decode_key(own, damaged).is_err(), "{damaged:.20}");
        }
    }

    #[test]
    fn a_statements_token_is_valid_only_for_its_parameters() {
        let digest = |name, text: &str, parameter: &str| {
            QueryDigest::of_statement("rows", name, text, &[AttributeValue::S(parameter.to_owned())]).unwrap()
        };
        let own = digest("by-id", "SELECT 1", "a");
        let token = encode(own, "aws/token==");
        assert_eq!(decode(own, &token).unwrap(), "aws/token==");
        for other in
            [digest("by-id", "SELECT 1", "b"), digest("by-it", "SELECT 1", "a"), digest("by-id", "SELECT 2", "a")]
        {
            assert!(decode(other, &token).is_err());
        }
        assert!(decode(own, "aws/token==").is_err());
    }

    proptest! {
        #[test]
        fn every_key_comes_back(text: String, digits in "-?[1-9][0-9]{0,37}", name in "[a-z#.]{1,20}") {
            let json = serde_json::json!({ "id": text, name: serde_json::from_str::<serde_json::Value>(&digits).unwrap() });
            let key = item_from_json(json.to_string().as_bytes()).unwrap();
            let query = digest("x", "{}");
            prop_assert_eq!(decode_key(query, &encode_key(query, &key).unwrap()).unwrap(), key);
        }

        #[test]
        fn one_changed_character_is_noticed(at: prop::sample::Index, other in "[A-Za-z0-9_-]", text in ".{0,20}") {
            let key = item_from_json(serde_json::json!({ "id": text }).to_string().as_bytes()).unwrap();
            let query = digest("x", "{}");
            let token = encode_key(query, &key).unwrap();
            let at = at.index(token.len());
            prop_assume!(token[at..=at] != other);
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            prop_assert!(decode_key(query, &changed).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let query = digest("x", "{}");
            let is_refused = decode_key(query, &text).is_err();
            prop_assert!(is_refused);
        }
    }
}
