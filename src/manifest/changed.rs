//! Finds scalars of a YAML document whose value is not the text in the file: `1.10` is the number 1.1.

use super::scalar::scalar;
use super::secret_text::is_secret_name;
use super::tree::{Budget, Node, key_text, read};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// A number (or an empty value such as `~`) whose value is not the text in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChangedScalar {
    /// The item's name, or the field's path.
    pub(super) field: String,
    /// What changed, and what to do.
    pub(super) text: String,
}

/// The changed scalars of a document that [`super::tree::from_yaml`] has accepted.
pub(super) fn changed_scalars(text: &str) -> Result<Vec<ChangedScalar>, String> {
    Budget::new().with_document(text, |left| find(text, &read(text, left)?, left))
}

/// Reads `text` again and compares each scalar with `tree`, which is the result of the first reading.
fn find(text: &str, tree: &Value, left: &Cell<usize>) -> Result<Vec<ChangedScalar>, String> {
    let found = RefCell::new(Vec::new());
    Comparison { used: tree, path: &[], left, found: &found }
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| error.to_string())?;
    let mut changed: Vec<ChangedScalar> = Vec::new();
    for (path, written) in found.into_inner() {
        // One notice per field, however many numbers it holds.
        changed.extend(describe(tree, &path, &written).filter(|new| changed.iter().all(|old| old.field != new.field)));
    }
    Ok(changed)
}

/// The message about a scalar at this path; `None` if bindd does not read this path.
fn describe(tree: &Value, path: &[String], written: &str) -> Option<ChangedScalar> {
    let steps: Vec<&str> = path.iter().map(String::as_str).collect();
    let used = steps.iter().try_fold(tree, |value, step| child(value, step))?;
    let (field, is_secret) = match *steps.as_slice() {
        ["spec", "metadata", number, ref rest @ ..] => item_field(tree, number, rest)?,
        ["metadata", "name" | "namespace"] | ["spec", "version"] | ["auth", "secretStore"] | ["scopes", _] => {
            (steps.join("."), false)
        }
        _ => return None,
    };
    let text = match used {
        Value::Number(_) if is_secret => "YAML reads this value as a number, which changes its text".to_owned(),
        Value::Number(number) => format!("YAML reads `{}` as the number `{number}`", shortened(written)),
        // Go programs write an empty value next to a reference.
        Value::Null if *steps.last()? == "value" && !refers(tree, &steps) => {
            format!("YAML reads `{}` as no value", shortened(written))
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(ChangedScalar { field, text: format!("{text}; put it in quotes to keep it as written") })
}

fn shortened(written: &str) -> String {
    written.chars().take(64).collect()
}

fn child<'v>(value: &'v Value, step: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => map.get(step),
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn item<'v>(tree: &'v Value, number: &str) -> Option<&'v Map<String, Value>> {
    ["spec", "metadata", number].iter().try_fold(tree, |value, step| child(value, step))?.as_object()
}

/// The field's name in messages, and whether its value is secret.
fn item_field(tree: &Value, number: &str, rest: &[&str]) -> Option<(String, bool)> {
    let name = scalar(item(tree, number)?.get("name"))?;
    match rest {
        ["name"] => Some((name, false)),
        ["value", ..] => {
            let is_secret = is_secret_name(&name);
            Some((name, is_secret))
        }
        ["envRef"] | ["secretKeyRef", "name" | "key"] => Some((format!("{name}.{}", rest.join(".")), false)),
        _ => None,
    }
}

/// Whether the item at this path refers to its value.
fn refers(tree: &Value, steps: &[&str]) -> bool {
    let item = steps.get(2).and_then(|number| item(tree, number));
    item.is_some_and(|item| ["envRef", "secretKeyRef"].iter().any(|name| item.get(*name).is_some_and(|v| !v.is_null())))
}

/// Visits a document together with its tree, and collects each number or empty value with another text.
#[derive(Clone, Copy)]
struct Comparison<'a> {
    used: &'a Value,
    path: &'a [String],
    left: &'a Cell<usize>,
    found: &'a RefCell<Vec<(Vec<String>, String)>>,
}

impl Comparison<'_> {
    fn below(&self, step: &str) -> Vec<String> {
        self.path.iter().cloned().chain([step.to_owned()]).collect()
    }
}

impl<'de> DeserializeSeed<'de> for Comparison<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.used {
            Value::Object(_) | Value::Array(_) => deserializer.deserialize_any(self),
            // Read as a string, a scalar comes as it is in the file.
            Value::Number(_) | Value::Null => deserializer.deserialize_str(self),
            Value::Bool(_) | Value::String(_) => deserializer.deserialize_any(IgnoredAny).map(|IgnoredAny| ()),
        }
    }
}

impl<'de> Visitor<'de> for Comparison<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same document as before")
    }

    fn visit_str<E: Error>(self, written: &str) -> Result<(), E> {
        let used = if let Value::Number(number) = self.used { number.to_string() } else { String::new() };
        if used != written {
            self.found.borrow_mut().push((self.path.to_vec(), written.to_owned()));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let list = self.used.as_array().map(Vec::as_slice).unwrap_or_default();
        for (number, used) in list.iter().enumerate() {
            let path = self.below(&number.to_string());
            items.next_element_seed(Comparison { used, path: &path, ..self })?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key_seed(Node { budget: self.left })? {
            let key = key_text::<A::Error>(key)?;
            let used = child(self.used, &key).ok_or_else(|| A::Error::custom("the document changed"))?;
            let path = self.below(&key);
            entries.next_value_seed(Comparison { used, path: &path, ..self })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::changed_scalars;

    /// The changed scalars of one item with this value.
    fn changed(name: &str, value: &str) -> Vec<(String, String)> {
        let text = format!("spec:\n  metadata:\n  - name: {name}\n    value: {value}\n");
        changed_scalars(&text).unwrap().into_iter().map(|changed| (changed.field, changed.text)).collect()
    }

    #[test]
    fn numbers_whose_text_changes_are_found() {
        for (written, used) in [
            ("1.10", "1.1"),
            ("0x10", "16"),
            ("0o17", "15"),
            ("0b11", "3"),
            ("1e3", "1000"),
            (".5", "0.5"),
            ("5.0", "5"),
            ("+5", "5"),
            ("12e5", "1200000"),
            ("0.30000000000000000001", "0.3"),
        ] {
            let expected =
                format!("YAML reads `{written}` as the number `{used}`; put it in quotes to keep it as written");
            assert_eq!(changed("streamName", written), [("streamName".to_owned(), expected)]);
        }
        // More digits than any integer has become a number with an exponent or with zeros.
        assert_eq!(changed("streamName", &"9".repeat(60)).len(), 1);
    }

    #[test]
    fn texts_and_plain_numbers_are_kept() {
        for kept in [
            "5",
            "-5",
            "1.5",
            "'1.10'",
            "\"0x10\"",
            "0777",
            "1_000",
            "yes",
            "on",
            "true",
            "True",
            "2026-01-31",
            "1.2.3",
            "",
            "340282366920938463463374607431768211455",
            "[a, 1.5]",
            "{a: {b: 2}}",
            "12:30",
        ] {
            assert_eq!(changed("streamName", kept), [], "{kept}");
        }
    }

    #[test]
    fn empty_values_are_found_unless_a_reference_gives_the_value() {
        for written in ["~", "null", "Null"] {
            let [(field, text)] = changed("streamName", written).try_into().unwrap();
            assert_eq!(field, "streamName");
            assert!(text.contains(&format!("`{written}` as no value")), "{text}");
        }
        let beside =
            "spec: {metadata: [{name: a, value: null, envRef: X}, {name: b, value: ~, secretKeyRef: {name: s}}]}";
        assert_eq!(changed_scalars(beside), Ok(vec![]));
    }

    #[test]
    fn values_that_may_be_secret_are_not_shown() {
        for name in ["secretKey", "sessionToken", "dbPassword", "assumeRoleExternalId"] {
            let found = changed(name, "12e5");
            assert_eq!(found.len(), 1, "{name}");
            assert!(!found[0].1.contains("12"), "{}", found[0].1);
        }
    }

    #[test]
    fn every_place_that_is_used_is_compared_and_no_other() {
        let text = "metadata: {name: 1.10, generation: 1.10, labels: {a: 0x1}}\nscopes: [x, 1e3]\nspec:\n  version: 1.0\n  \
                    other: 1.10\n  metadata:\n  - {name: 1.0, value: &v [x, {y: 1.10}]}\n  - {name: b, envRef: 1.20}\n  \
                    - {name: c, value: *v, secretKeyRef: {name: 0x2}}\nauth: {secretStore: 1.0}\n";
        let fields: Vec<_> = changed_scalars(text).unwrap().into_iter().map(|changed| changed.field).collect();
        let expected = [
            "metadata.name",
            "scopes.1",
            "spec.version",
            "1",
            "b.envRef",
            "c",
            "c.secretKeyRef.name",
            "auth.secretStore",
        ];
        assert_eq!(fields, expected);
        assert_eq!(changed_scalars("a: {<<: {b: 1.10}}\n"), Ok(vec![]));
        assert!(changed_scalars("a: [").is_err());
    }
}
