//! Writes a document as YAML that every reader takes for the same values.

use serde_json::Value;

/// Texts that some version of YAML reads as another type if they have no quotes.
const WORDS: [&str; 10] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes", "nan"];

/// A mapping or list in block style, ending in a line break. Texts are plain only where no reader can take them for anything
/// else.
pub(super) fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// Writes the members of a mapping or list, each on its own line.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            for (number, (name, value)) in map.iter().enumerate() {
                // The first member of a list item is on the line of its dash.
                if number > 0 || !text.ends_with("- ") {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str(&scalar_text(name));
                text.push(':');
                nested(value, false, indent, text);
            }
        }
        Value::Array(list) => {
            for value in list {
                text.push_str(&" ".repeat(indent));
                text.push('-');
                nested(value, true, indent, text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
}

/// The value after the colon of a member or the dash of an item. Members of an item begin on the line of its dash.
fn nested(value: &Value, is_item: bool, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push(if is_item { ' ' } else { '\n' });
            block(value, indent + 2, text);
        }
        Value::Array(list) if !list.is_empty() => {
            text.push('\n');
            block(value, indent + 2, text);
        }
        _ => {
            text.push(' ');
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => scalar_text(text),
        Value::Number(number) => {
            let text = number.to_string();
            // YAML reads `1.10` as 1.1. Components take the text of a number, which quotes keep.
            let is_kept =
                super::tree::from_yaml(&text, 0, &super::tree::Budget::new()).is_ok_and(|read| read == *value);
            if is_kept { text } else { format!("\"{text}\"") }
        }
        // Empty ones only; JSON is YAML.
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn scalar_text(text: &str) -> String {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(is_letter)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // What a scanner may take for a line break, a mark or the end of the text.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Value {
        tree::from_yaml(text, 0, &tree::Budget::new()).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn a_document_is_written_as_people_write_it() {
        let text = "apiVersion: dapr.io/v1alpha1\nmetadata:\n  name: orders\nscopes: []\nspec:\n  version: v1\n  metadata:\n    - \
                    name: streamName\n      value: orders\n    - name: a\n      value: \"yes\"\n      secretKeyRef:\n        \
                    name: s\n";
        assert_eq!(to_yaml(&read(text)), text);
    }

    #[test]
    fn a_number_keeps_its_text() {
        let document = tree::from_json(r#"{"a":1.10,"b":2,"c":-7,"d":1.0}"#).unwrap();
        assert_eq!(to_yaml(&document), "a: \"1.10\"\nb: 2\nc: -7\nd: \"1.0\"\n");
    }

    #[test]
    fn a_member_that_looks_like_a_merge_key_is_none() {
        let document = tree::from_json(r#"{"a":{"<<":{"b":1},"c":"'<<': x"},"d":{"<<":"e"}}"#).unwrap();
        let text = to_yaml(&document);
        assert!(text.contains("\"<<\":"), "{text}");
        assert_eq!(read(&text), document);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| serde_json::json!(number)),
            any::<String>().prop_map(Value::String),
            "[ -~\n\t]{0,12}".prop_map(Value::String),
            "[<'\": a]{0,12}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                proptest::collection::vec((prop_oneof![any::<String>(), Just("<<".to_owned())], inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(value in values()) {
            let document = serde_json::json!({ "a": value });
            prop_assert_eq!(read(&to_yaml(&document)), document);
        }
    }
}
