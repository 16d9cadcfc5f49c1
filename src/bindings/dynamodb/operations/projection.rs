//! Which attributes a read returns. Pure.

use super::super::expression::Placeholders;
use super::super::failure::invalid_request;
use super::super::request_data::RESERVED_NAME_PREFIX;
use crate::aws::Item;
use crate::domain::BindingError;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// A projection: the attributes that the caller requests, and those that bindd needs in addition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Projection {
    /// The expression; the whole item without one.
    pub(super) text: Option<String>,
    /// Those of the caller and of bindd.
    pub(super) placeholders: Placeholders,
    /// Attributes that the caller did not request.
    extra: Vec<String>,
}

impl Projection {
    /// Parses a projection: an array of names of top-level attributes, or the text of an expression that uses
    /// `placeholders`. The attributes in `needed` are read too.
    pub(super) fn parse(
        stated: Option<&RawValue>,
        placeholders: Placeholders,
        needed: &[&str],
    ) -> Result<Self, BindingError> {
        let mut projection = Self { text: None, placeholders, extra: Vec::new() };
        let Some(stated) = stated else { return Ok(projection) };
        let mut parts = Vec::new();
        let requested: Vec<String> = if stated.get().starts_with('[') {
            let requested: Vec<String> = serde_json::from_str(stated.get()).map_err(|_| not_a_projection())?;
            for (index, name) in requested.iter().enumerate() {
                parts.push(projection.add_name(format!("{RESERVED_NAME_PREFIX}p{index}"), name));
            }
            requested
        } else {
            let text: String = serde_json::from_str(stated.get()).map_err(|_| not_a_projection())?;
            let requested = text.split(',').map(|part| top_level(part, &projection.placeholders)).collect();
            parts.push(text);
            requested
        };
        if requested.iter().any(String::is_empty) || requested.is_empty() {
            return Err(not_a_projection());
        }
        for (index, name) in needed.iter().enumerate() {
            // DynamoDB refuses an attribute that a projection names twice.
            if !requested.iter().chain(&projection.extra).any(|known| known == name) {
                parts.push(projection.add_name(format!("{RESERVED_NAME_PREFIX}n{index}"), name));
                projection.extra.push((*name).to_owned());
            }
        }
        projection.text = Some(parts.join(", "));
        Ok(projection)
    }

    /// The names as the SDK takes them; none are left.
    pub(super) fn take_names(&mut self) -> Option<HashMap<String, String>> {
        std::mem::take(&mut self.placeholders).into_parts().0
    }

    /// Removes what the caller did not request.
    pub(super) fn trim(&self, item: &mut Item) {
        for name in &self.extra {
            item.remove(name);
        }
    }

    fn add_name(&mut self, placeholder: String, name: &str) -> String {
        self.placeholders.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }
}

/// The attribute at the beginning of a path such as `#a.b[3]`.
fn top_level(path: &str, placeholders: &Placeholders) -> String {
    let first = path.trim().split(['.', '[']).next().unwrap_or_default();
    placeholders.names.get(first).cloned().unwrap_or_else(|| first.to_owned())
}

fn not_a_projection() -> BindingError {
    invalid_request("`projection` must be an array of attribute names, or the text of a projection expression")
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::item_from_json;
    use super::*;

    fn parse(text: &str, needed: &[&str]) -> Result<Projection, BindingError> {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        Projection::parse(Some(&raw), Placeholders::default().with_name("#e", "ends"), needed)
    }

    #[test]
    fn names_become_placeholders_and_extra_attributes_are_removed_again() {
        let projection = parse(r#"["a.b","size"]"#, &["ends", "ends"]).unwrap();
        assert_eq!(projection.text.as_deref(), Some("#bd_p0, #bd_p1, #bd_n0"));
        assert_eq!(projection.placeholders.names["#bd_p0"], "a.b");
        let mut item = item_from_json(br#"{"size":1,"ends":2}"#).unwrap();
        projection.trim(&mut item);
        assert_eq!(item, item_from_json(br#"{"size":1}"#).unwrap());
    }

    #[test]
    fn a_requested_attribute_is_not_added_again() {
        for text in [r##""#e, x.y""##, r#"["ends"]"#, r#""a, ends""#] {
            let projection = parse(text, &["ends"]).unwrap();
            assert!(projection.extra.is_empty() && !projection.text.unwrap().contains("#bd_n"), "{text}");
        }
        for bad in ["[]", "7", r#"[""]"#, r#""""#, "[1]"] {
            assert!(parse(bad, &[]).is_err(), "{bad}");
        }
    }
}
