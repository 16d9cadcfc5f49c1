//! `nextToken`: where the next page begins, for this query and no other. Pure.
//!
//! A token is base64url of a version, a digest and the key at which DynamoDB stopped, in DynamoDB's JSON. The digest
//! covers the key and the query, so that neither a token of another query nor a spoilt one reads from a wrong place. It
//! is no secret: who can make a token may read the table anyway.

use super::calls::{Direction, Item, ItemFormat, Selection, Spelling, Statement, Value, Walk};
use super::shapes::refused;
use crate::domain::BindingError;
use base64_simd::URL_SAFE_NO_PAD;
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const VERSION: u8 = 1;
/// Version and digest.
const HEAD: usize = 17;
/// A key has at most 3 KiB of values and, with an index, four attributes; its JSON is far below this. DynamoDB's own
/// token has at most 32,768 characters (API reference, `ExecuteStatement`), which become 43,715 here.
const LONGEST: usize = 64 * 1024;

/// What makes a query this query: its digest goes into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueryMark([u8; 16]);

impl QueryMark {
    /// The mark of what is read from a table. How many items a page may have is no part of it, nor how fresh they are.
    ///
    /// # Errors
    /// When a value cannot be written as JSON.
    pub(super) fn of(table: &str, selection: &Selection) -> Result<Self, BindingError> {
        let mut text = String::new();
        let mut part = |part: Option<&str>| {
            // Lengths before texts: no two queries run into the same text.
            let written = match part {
                Some(part) => write!(text, "{}:{part};", part.len()),
                None => write!(text, "-;"),
            };
            debug_assert!(written.is_ok(), "writing to a String does not fail");
        };
        part(Some(table));
        part(selection.index.as_deref());
        part(selection.filter.as_deref());
        part(selection.projection.as_deref());
        match &selection.walk {
            Walk::Query { key_condition, direction } => {
                part(Some(key_condition));
                part(Some(match direction {
                    Direction::Forward => "forward",
                    Direction::Backward => "backward",
                }));
            }
            Walk::Scan { segment } => {
                part(None);
                part(segment.map(|(segment, count)| format!("{segment}/{count}")).as_deref());
            }
        }
        let names: BTreeMap<_, _> = selection.placeholders.names.iter().collect();
        for (placeholder, name) in names {
            part(Some(placeholder));
            part(Some(name));
        }
        part(Some(&tagged(&selection.placeholders.values)?));
        Ok(Self(Md5::digest(text.as_bytes()).into()))
    }

    /// The mark of a statement with its parameters. The text counts too: a file may give a name another one.
    ///
    /// # Errors
    /// When a value cannot be written as JSON.
    pub(super) fn of_statement(table: &str, name: &str, statement: &Statement) -> Result<Self, BindingError> {
        let parameters = Item::from([("parameters".to_owned(), Value::L(statement.parameters.clone()))]);
        let parts = [table, name, &statement.text, &tagged(&parameters)?];
        let text: String = parts.iter().map(|part| format!("{}:{part};", part.len())).collect();
        Ok(Self(Md5::new().chain_update(b"statement;").chain_update(text.as_bytes()).finalize().into()))
    }

    fn digest(self, key: &[u8]) -> [u8; 16] {
        Md5::new().chain_update([VERSION]).chain_update(self.0).chain_update(key).finalize().into()
    }
}

/// The token for a page that begins after `key`.
///
/// # Errors
/// When the key cannot be written as JSON.
pub(super) fn write_token(mark: QueryMark, key: &Item) -> Result<String, BindingError> {
    tagged(key).map(|key| wrap_token(mark, &key))
}

/// The token that holds a text of DynamoDB's own.
pub(super) fn wrap_token(mark: QueryMark, place: &str) -> String {
    let bytes = [&[VERSION][..], &mark.digest(place.as_bytes()), place.as_bytes()].concat();
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// The key in a token.
///
/// # Errors
/// When the token was not made for this query, or is not whole.
pub(super) fn read_token(mark: QueryMark, token: &str) -> Result<Item, BindingError> {
    tagged_spelling().item(&unwrapped(mark, token)?).map_err(|_| wrong())
}

/// The text in a token that [`wrap_token`] made.
///
/// # Errors
/// As [`read_token`].
pub(super) fn unwrap_token(mark: QueryMark, token: &str) -> Result<String, BindingError> {
    String::from_utf8(unwrapped(mark, token)?).map_err(|_| wrong())
}

fn wrong() -> BindingError {
    refused("`nextToken` does not belong to this query: send it with the very query that gave it, and unchanged")
}

fn unwrapped(mark: QueryMark, token: &str) -> Result<Vec<u8>, BindingError> {
    if token.len() > LONGEST {
        return Err(wrong());
    }
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(token.as_bytes()).map_err(|_| wrong())?;
    // The last character has bits that decoding drops.
    let is_whole = bytes.len() > HEAD && URL_SAFE_NO_PAD.encode_to_string(&bytes) == token;
    if !is_whole || bytes[0] != VERSION {
        return Err(wrong());
    }
    let (head, key) = bytes.split_at(HEAD);
    if head[1..] != mark.digest(key) {
        return Err(wrong());
    }
    Ok(key.to_vec())
}

fn tagged(item: &Item) -> Result<String, BindingError> {
    tagged_spelling().write(item).map(|text| text.get().to_owned()).map_err(super::request::unwritable)
}

fn tagged_spelling() -> Spelling {
    Spelling { format: ItemFormat::Tagged, ..Spelling::default() }
}

#[cfg(test)]
mod tests {
    use super::super::calls::{Consistency, OnRefusal, Placeholders, item_from_json};
    use super::*;
    use proptest::prelude::*;

    fn selection(key_condition: &str, value: &str) -> Selection {
        let placeholders =
            Placeholders { values: item_from_json(value.as_bytes()).unwrap(), ..Placeholders::default() };
        let walk = Walk::Query { key_condition: key_condition.to_owned(), direction: Direction::Forward };
        let (index, filter, projection) = (None, None, None);
        Selection { index, filter, projection, placeholders, consistency: Consistency::Eventual, walk }
    }

    fn mark(key_condition: &str, value: &str) -> QueryMark {
        QueryMark::of("rows", &selection(key_condition, value)).unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_query_alone() {
        let key = item_from_json(br#"{"id":"a","n":12345678901234567890.5}"#).unwrap();
        let ours = mark("#id = :id", r#"{":id":"a"}"#);
        let token = write_token(ours, &key).unwrap();
        assert_eq!(read_token(ours, &token).unwrap(), key);
        let all = Selection { walk: Walk::Scan { segment: Some((0, 2)) }, ..selection("", "{}") };
        let other = Selection { walk: Walk::Scan { segment: Some((1, 2)) }, ..selection("", "{}") };
        let backward = Walk::Query { key_condition: "#id = :id".to_owned(), direction: Direction::Backward };
        let backward = Selection { walk: backward, ..selection("", r#"{":id":"a"}"#) };
        for other in [
            mark("#id = :id", r#"{":id":"b"}"#),
            mark("#id = :ie", r#"{":id":"a"}"#),
            QueryMark::of("rowt", &selection("#id = :id", r#"{":id":"a"}"#)).unwrap(),
            QueryMark::of("rows", &all).unwrap(),
            QueryMark::of("rows", &other).unwrap(),
            QueryMark::of("rows", &backward).unwrap(),
        ] {
            assert!(read_token(other, &token).is_err());
        }
        for spoilt in ["", "AQ", &token[1..], &format!("{token}A"), &"A".repeat(LONGEST + 1), "ä"] {
            assert!(read_token(ours, spoilt).is_err(), "{spoilt:.20}");
        }
    }

    #[test]
    fn a_statements_token_is_good_for_its_parameters_alone() {
        let mark = |name, text: &str, parameter: &str| {
            let statement = Statement {
                text: text.to_owned(),
                parameters: vec![Value::S(parameter.to_owned())],
                limit: None,
                next_token: None,
                consistency: Consistency::Eventual,
                on_refusal: OnRefusal::Nothing,
            };
            QueryMark::of_statement("rows", name, &statement).unwrap()
        };
        let ours = mark("by-id", "SELECT 1", "a");
        let token = wrap_token(ours, "their own/token==");
        assert_eq!(unwrap_token(ours, &token).unwrap(), "their own/token==");
        for other in [mark("by-id", "SELECT 1", "b"), mark("by-it", "SELECT 1", "a"), mark("by-id", "SELECT 2", "a")] {
            assert!(unwrap_token(other, &token).is_err());
        }
        assert!(unwrap_token(ours, "their own/token==").is_err());
    }

    proptest! {
        #[test]
        fn every_key_comes_back(text: String, digits in "-?[1-9][0-9]{0,37}", name in "[a-z#.]{1,20}") {
            let json = serde_json::json!({ "id": text, name: serde_json::from_str::<serde_json::Value>(&digits).unwrap() });
            let key = item_from_json(json.to_string().as_bytes()).unwrap();
            let mark = mark("x", "{}");
            prop_assert_eq!(read_token(mark, &write_token(mark, &key).unwrap()).unwrap(), key);
        }

        #[test]
        fn one_changed_character_is_noticed(at: prop::sample::Index, other in "[A-Za-z0-9_-]", text in ".{0,20}") {
            let key = item_from_json(serde_json::json!({ "id": text }).to_string().as_bytes()).unwrap();
            let mark = mark("x", "{}");
            let token = write_token(mark, &key).unwrap();
            let at = at.index(token.len());
            prop_assume!(token[at..=at] != other);
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            prop_assert!(read_token(mark, &changed).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let mark = mark("x", "{}");
            let is_refused = read_token(mark, &text).is_err();
            prop_assert!(is_refused);
        }
    }
}
