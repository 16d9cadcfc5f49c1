//! Keys with the interpolation of Redpanda Connect: constant text with `${! json("doc.id") }`, `${! content() }`,
//! `${! uuid_v4() }` and `${! meta("name") }` in it. The rest of that language is refused.

use super::pointer::{Pointer, PointerError};
use crate::domain::{BindingError, FailureKind, Metadata};
use bytes::Bytes;
use std::fmt;

/// What begins an interpolation.
const START: &str = "${!";
/// What stands for that text itself in Redpanda Connect.
const ESCAPED: &str = "${{!";

/// A text with interpolations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpolation {
    written: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `json("doc.id")`
    Json(Pointer),
    /// `content()`
    Content,
    /// `uuid_v4()`
    Uuid,
    /// `meta("name")`
    Meta(String),
}

/// What is wrong with a text, in words for a fault.
type Problem = String;

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Interpolation {
    /// Whether a text has interpolations, right or wrong.
    pub(super) fn is_in(text: &str) -> bool {
        text.contains(START) || text.contains(ESCAPED)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// The problem, when an interpolation is none of the four forms.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains(ESCAPED) {
            return Err(format!("`{ESCAPED}` is not supported"));
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once(START) {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let column = text.len() - after.len() - START.len();
            let column = text.get(..column).unwrap_or(text).chars().count() + 1;
            let (part, after) = part(after).map_err(|problem| format!("column {column}: {problem}"))?;
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { written: text.to_owned(), parts })
    }

    /// The text for one record. `data` is its JSON text, `content` gives its bytes.
    ///
    /// # Errors
    /// `Caller`, with the part that has no value.
    pub(super) fn text(
        &self,
        data: &[u8],
        metadata: &Metadata,
        content: impl Fn() -> Result<Bytes, BindingError>,
    ) -> Result<String, BindingError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(constant) => text.push_str(constant),
                Part::Json(pointer) => text.push_str(&pointer.text(data).map_err(|error| no_value(pointer, error))?),
                Part::Content => {
                    let content = content()?;
                    let content = std::str::from_utf8(&content).map_err(|_| missing("`content()` is not UTF-8"))?;
                    text.push_str(content);
                }
                Part::Uuid => {
                    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
                    text.push_str(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
                }
                Part::Meta(name) => {
                    let value = metadata.get(name);
                    text.push_str(value.ok_or_else(|| missing(&format!("the request has no metadata `{name}`")))?);
                }
            }
        }
        Ok(text)
    }
}

fn no_value(pointer: &Pointer, error: PointerError) -> BindingError {
    missing(&format!("`{pointer}` in the data: {error}; it must be a string, a number or a boolean"))
}

fn missing(message: &str) -> BindingError {
    BindingError::new(FailureKind::Caller, message)
}

/// The part after `${!`, and what follows its `}`.
fn part(text: &str) -> Result<(Part, &str), Problem> {
    let known = || "this interpolation is not supported".to_owned();
    let (function, rest) = text.split_once('(').ok_or_else(known)?;
    let (argument, rest) = argument(rest.trim_start()).ok_or_else(known)?;
    let rest = rest.trim_start().strip_prefix(')').ok_or_else(known)?;
    let rest = rest.trim_start().strip_prefix('}').ok_or_else(known)?;
    let part = match (function.trim(), argument) {
        ("json", Some(path)) => Part::Json(pointer(&path)?),
        ("meta", Some(name)) if !name.is_empty() => Part::Meta(name),
        ("content", None) => Part::Content,
        ("uuid_v4", None) => Part::Uuid,
        ("json" | "meta", None) => return Err(format!("`{}` needs a name in quotes", function.trim())),
        _ => return Err(known()),
    };
    Ok((part, rest))
}

/// A string in quotes, if there is one, and what follows.
fn argument(text: &str) -> Option<(Option<String>, &str)> {
    if !text.starts_with('"') {
        return Some((None, text));
    }
    let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let string = strings.next()?.ok()?;
    Some((Some(string), text.get(strings.byte_offset()..)?))
}

/// A path with dots, in which `~1` is a dot and `~0` is `~`.
fn pointer(path: &str) -> Result<Pointer, Problem> {
    if path.is_empty() || path.split('.').any(|name| matches!(name, "" | "*" | "-")) {
        return Err("the path of `json` must name one value, such as `doc.id`".to_owned());
    }
    let token = |name: &str| name.replace("~1", ".").replace('/', "~1");
    let written: String = path.split('.').map(|name| format!("/{}", token(name))).collect();
    written.parse().map_err(|_| "in the path of `json`, `~` stands only in `~0` and `~1`".to_owned())
}

#[cfg(test)]
#[path = "tests/interpolation.rs"]
mod tests;
