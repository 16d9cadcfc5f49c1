//! The body of an invoke request, read by the rules of Go's `json.Decoder`, which Dapr's callers rely on: the first
//! JSON value counts and what follows it is ignored, field names know no case, unknown fields are ignored, of
//! duplicates the last wins and maps merge, `null` is the same as nothing, invalid UTF-8 becomes U+FFFD.
//!
//! One thing differs on purpose: `data` is not decoded and written anew but passed on as it was written.

use super::error::MalformedRequest;
use crate::domain::{DataForm, InvokeRequest, JsonText, Metadata, cut_out};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::fmt;

const NULL: Bytes = Bytes::from_static(b"null");
/// What Go calls the request in its errors.
const GO_TYPE: &str = "OutputBindingRequest";

/// Reads a body.
///
/// # Errors
/// With a text after Go's fashion.
pub(super) fn parse(body: &Bytes) -> Result<InvokeRequest, MalformedRequest> {
    match std::str::from_utf8(body) {
        Ok(text) => parse_text(text, body),
        Err(_) => {
            let repaired = Bytes::from(String::from_utf8_lossy(body).into_owned());
            let text = std::str::from_utf8(&repaired).map_err(|error| refused(error.to_string()))?;
            parse_text(text, &repaired)
        }
    }
}

/// `body` is the buffer that holds `text`.
fn parse_text(text: &str, body: &Bytes) -> Result<InvokeRequest, MalformedRequest> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = if text.trim_ascii_start().starts_with('{') {
        Fields::deserialize(&mut deserializer).map_err(|error| refused(syntax(text, &error)))?
    } else {
        let value = <&RawValue>::deserialize(&mut deserializer).map_err(|error| refused(syntax(text, &error)))?;
        match kind(value) {
            "null" => Fields::default(),
            other => {
                return Err(refused(format!("json: cannot unmarshal {other} into Go value of type http.{GO_TYPE}")));
            }
        }
    };
    Ok(InvokeRequest {
        operation: operation(&fields.operations)?,
        data: fields.data.map_or(NULL, |data| cut_out(body, data.get().as_bytes())),
        form: DataForm::Json,
        metadata: metadata(&fields.metadata)?,
    })
}

/// The raw fields in the order in which they came; types are judged after the syntax, as in Go.
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

fn operation(values: &[&RawValue]) -> Result<String, MalformedRequest> {
    let mut operation = String::new();
    for value in values {
        if let Some(text) = string(value, "operation")? {
            operation = text;
        }
    }
    Ok(operation)
}

fn metadata(values: &[&RawValue]) -> Result<Metadata, MalformedRequest> {
    let mut metadata = Metadata::default();
    for value in values {
        match kind(value) {
            "null" => metadata = Metadata::default(),
            "object" => {
                let members: Members<'_> =
                    serde_json::from_str(value.get()).map_err(|error| refused(syntax(value.get(), &error)))?;
                for (key, member) in members.0 {
                    metadata.insert(key.0, string(member, "metadata")?.unwrap_or_default());
                }
            }
            other => return Err(wrong_type(other, "metadata", "map[string]string")),
        }
    }
    Ok(metadata)
}

/// The members of an object in the order in which they came, duplicates too.
struct Members<'a>(Vec<(JsonText<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// The string, or nothing for `null`.
fn string(value: &RawValue, field: &str) -> Result<Option<String>, MalformedRequest> {
    match kind(value) {
        "null" => Ok(None),
        "string" => serde_json::from_str::<JsonText<'_>>(value.get())
            .map(|text| Some(text.0.into_owned()))
            .map_err(|error| refused(syntax(value.get(), &error))),
        other => Err(wrong_type(other, field, "string")),
    }
}

/// Go's word for the type of a JSON value.
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

fn wrong_type(found: &str, field: &str, wanted: &str) -> MalformedRequest {
    refused(format!("json: cannot unmarshal {found} into Go struct field {GO_TYPE}.{field} of type {wanted}"))
}

const fn refused(text: String) -> MalformedRequest {
    MalformedRequest::Body(text)
}

/// Go's words for a syntax error; the place is ours. Never quotes more than one character of the body.
fn syntax(text: &str, error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof if text.trim_ascii().is_empty() => "EOF".to_owned(),
        Category::Eof => "unexpected EOF".to_owned(),
        Category::Syntax | Category::Data | Category::Io => {
            let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
            let offender = line.get(error.column().saturating_sub(1)..).and_then(|rest| rest.chars().next());
            let offender = offender.map_or_else(String::new, |character| format!(" {character:?}"));
            format!("invalid character{offender} at line {} column {}", error.line(), error.column())
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
