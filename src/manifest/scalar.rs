//! Single values of a document.

use serde_json::Value;

/// A string, number or boolean as text; `None` for anything else.
pub(super) fn scalar(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Bool(flag)) => Some(flag.to_string()),
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => None,
    }
}
