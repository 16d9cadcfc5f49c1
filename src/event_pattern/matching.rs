//! Whether a record matches.

use super::Fields;
use super::alternatives::{Alternative, Field};
use super::one_pass;
use super::scalar::Scalar;
use super::values::{MAX_DEPTH, scalar_matches, value_matches};
use serde_json::value::RawValue;
use std::borrow::Cow;

pub(super) fn matches(alternative: &Alternative, record: &impl Fields) -> bool {
    alternative.fields.iter().all(|field| {
        if field.name == "data" {
            return data_matches(field, record.data());
        }
        match record.field(&field.name) {
            Some(value) => scalar_matches(field, &value),
            None => field.allows_absence(),
        }
    })
}

fn data_matches(field: &Field, data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    if let Some(is_match) = object_matches(field, text) {
        return is_match;
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => value_matches(field, raw, MAX_DEPTH),
        // Text that is not JSON is compared as a string, and has no fields.
        Err(_) if field.children.is_none() => scalar_matches(field, &Scalar::String(Cow::Borrowed(text))),
        Err(_) => false,
    }
}

/// The same for the usual record and pattern, an object and its fields, with one look at the text. `None` for all others.
fn object_matches(field: &Field, text: &str) -> Option<bool> {
    let node = field.children.as_ref().filter(|_| field.leaves.is_empty() && text.starts_with('{'))?;
    one_pass::matches(node, text)
}
