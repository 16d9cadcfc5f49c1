//! The JSON body of an invoke request, parsed by the rules of Go's `json.Decoder`, on which clients of Dapr rely: text
//! after the first JSON value is ignored, field names are case-insensitive, unknown fields are ignored, the last of
//! duplicate fields wins, duplicate maps merge, and `null` is the same as a missing field.
//!
//! Two differences are on purpose: `data` is passed on as it was written, not decoded and encoded again; and what is not
//! Unicode (bytes that are not UTF-8, an unpaired surrogate) is refused, where Go replaces it by U+FFFD and so may turn
//! two keys into one. A UTF-8 byte order mark is skipped.

use super::error::MalformedRequest;
use super::json_path::path_after;
use super::{encoding, go_syntax};
use crate::domain::{DataForm, InvokeRequest, JsonMembers, JsonText, Metadata, slice_or_copy};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::fmt;

const NULL: Bytes = Bytes::from_static(b"null");
const UNPAIRED_SURROGATE: &str = "contains an unpaired surrogate (\\ud800 to \\udfff), which is not a character";
/// The name of the request in errors of Go.
const GO_TYPE: &str = "OutputBindingRequest";

/// # Errors
/// With a text like that of Go's decoder.
pub(super) fn parse(body: &Bytes) -> Result<InvokeRequest, MalformedRequest> {
    let whole = std::str::from_utf8(body).map_err(|error| invalid(encoding::not_utf8(body, error)))?;
    let text = whole.get(encoding::mark_length(body)..).unwrap_or_default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = if text.trim_ascii_start().starts_with('{') {
        Fields::deserialize(&mut deserializer).map_err(|error| syntax(text, &error))?
    } else {
        let value = <&RawValue>::deserialize(&mut deserializer).map_err(|error| syntax(text, &error))?;
        match kind(value) {
            "null" => Fields::default(),
            other => {
                return Err(invalid(format!("json: cannot unmarshal {other} into Go value of type http.{GO_TYPE}")));
            }
        }
    };
    Ok(InvokeRequest {
        operation: operation(whole, &fields.operations)?,
        data: fields.data.map_or(NULL, |data| slice_or_copy(body, data.get().as_bytes())),
        form: DataForm::Json,
        metadata: metadata(whole, &fields.metadata)?,
    })
}

/// The fields in the order of the body. Their types are checked after the syntax, as in Go.
#[derive(Default)]
struct Fields<'a> {
    operations: Vec<&'a RawValue>,
    data: Option<&'a RawValue>,
    metadata: Vec<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<JsonText<'de>>()? {
            if key.0.eq_ignore_ascii_case("data") {
                fields.data = Some(map.next_value()?);
            } else if key.0.eq_ignore_ascii_case("operation") {
                fields.operations.push(map.next_value()?);
            } else if key.0.eq_ignore_ascii_case("metadata") {
                fields.metadata.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(fields)
    }
}

fn operation(body: &str, values: &[&RawValue]) -> Result<String, MalformedRequest> {
    let mut operation = String::new();
    for value in values {
        if let Some(text) = string(body, value, "operation")? {
            operation = text;
        }
    }
    Ok(operation)
}

fn metadata(body: &str, values: &[&RawValue]) -> Result<Metadata, MalformedRequest> {
    let mut metadata = Metadata::default();
    for value in values {
        match kind(value) {
            "null" => metadata = Metadata::default(),
            "object" => {
                let members: JsonMembers<'_> =
                    serde_json::from_str(value.get()).map_err(|error| syntax(value.get(), &error))?;
                for (key, member) in members.0 {
                    metadata.insert(key.0, string(body, member, "metadata")?.unwrap_or_default());
                }
            }
            other => return Err(wrong_type(other, "metadata", "map[string]string")),
        }
    }
    Ok(metadata)
}

/// The string; `None` for `null`. `value` is a part of `body`.
fn string(body: &str, value: &RawValue, field: &str) -> Result<Option<String>, MalformedRequest> {
    match kind(value) {
        "null" => Ok(None),
        "string" => serde_json::from_str::<JsonText<'_>>(value.get())
            .map(|text| Some(text.0.into_owned()))
            .map_err(|_| invalid(unpaired_surrogate(body, value))),
        other => Err(wrong_type(other, field, "string")),
    }
}

/// Go's name for the type of a JSON value.
fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        Some(_) | None => "number",
    }
}

fn wrong_type(found: &str, field: &str, expected: &str) -> MalformedRequest {
    invalid(format!("json: cannot unmarshal {found} into Go struct field {GO_TYPE}.{field} of type {expected}"))
}

const fn invalid(text: String) -> MalformedRequest {
    MalformedRequest::Body(text)
}

/// The string was parsed as JSON already, so an unpaired surrogate is the only possible error.
fn unpaired_surrogate(body: &str, value: &RawValue) -> String {
    let offset = (value.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    let path = path_after(body.get(..offset).unwrap_or_default());
    format!("the string at offset {offset} in {path} {UNPAIRED_SURROGATE}")
}

/// A syntax error in Go's words, with a line and a column. Quotes at most one character of the body.
fn syntax(text: &str, error: &serde_json::Error) -> MalformedRequest {
    let problem = match error.classify() {
        Category::Eof if text.trim_ascii().is_empty() => "EOF".to_owned(),
        Category::Eof => "unexpected EOF".to_owned(),
        // The only error of `JsonText`, the type of names.
        Category::Data => {
            format!("a name that ends at line {} column {} {UNPAIRED_SURROGATE}", error.line(), error.column())
        }
        Category::Syntax | Category::Io => {
            let Some((problem, offset)) = go_syntax::error(text) else {
                // The scanner does not follow pairs of surrogates; all else that it accepts ends too early.
                let problem = if text.contains("\\u") { "invalid JSON" } else { "unexpected EOF" };
                return invalid(problem.to_owned());
            };
            let before = text.as_bytes().get(..offset).unwrap_or_default();
            let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            return MalformedRequest::Syntax { problem, line, column: offset - line_start + 1 };
        }
    };
    invalid(problem)
}

#[cfg(test)]
#[path = "tests/json_body.rs"]
mod tests;
