//! Reads the fields of policies from the tree of a document.

use crate::manifest::parse_duration;
use serde_json::{Map, Value};
use std::time::Duration;

static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

/// A mapping below `parent`; an absent one is empty.
pub(super) fn mapping<'m>(parent: &'m Map<String, Value>, field: &str) -> Result<&'m Map<String, Value>, String> {
    match parent.get(field) {
        Some(Value::Object(map)) => Ok(map),
        None | Some(Value::Null) => Ok(&EMPTY),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(format!("`{field}` is not a mapping"))
        }
    }
}

/// A text, number or boolean as text; empty counts as absent.
pub(super) fn text(map: &Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match map.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
        Some(Value::Array(_) | Value::Object(_)) => Err(format!("`{field}` is not a text")),
    }
}

/// A duration of Go, or a bare number of milliseconds.
pub(super) fn duration_of(text: &str) -> Result<Duration, String> {
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    let parsed = if is_bare { parse_duration(&format!("{text}ms")) } else { parse_duration(text) };
    parsed.map_err(|error| format!("invalid duration {text:?}: {error}"))
}

pub(super) fn duration(map: &Map<String, Value>, field: &str, default: Duration) -> Result<Duration, String> {
    text(map, field)?.map_or(Ok(default), |text| duration_of(&text).map_err(|error| format!("`{field}`: {error}")))
}

/// A whole number of at least `min`.
pub(super) fn whole(map: &Map<String, Value>, field: &str, min: i64) -> Result<Option<i64>, String> {
    let Some(text) = text(map, field)? else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(number) if number >= min => Ok(Some(number)),
        Ok(_) | Err(_) => Err(format!("`{field}` is `{text}`, not a whole number from {min}")),
    }
}

/// A decimal number of at least `min`, at most `max`.
pub(super) fn decimal(
    map: &Map<String, Value>,
    field: &str,
    default: f64,
    (min, max): (f64, f64),
) -> Result<f64, String> {
    let Some(text) = text(map, field)? else { return Ok(default) };
    match text.parse::<f64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("`{field}` is `{text}`, not a number from {min} to {max}")),
    }
}
