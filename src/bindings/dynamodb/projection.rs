//! Which attributes a read gives. Pure.

use super::calls::{Item, Placeholders};
use super::shapes::{OWN_NAME, refused};
use crate::domain::BindingError;
use serde_json::value::RawValue;

/// A projection with what we need beside what the caller wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Projection {
    /// The expression; everything without one.
    pub(super) text: Option<String>,
    /// Names that it uses and the caller did not give.
    pub(super) placeholders: Placeholders,
    /// Attributes that are read for us alone.
    unasked: Vec<String>,
}

impl Projection {
    /// Reads a projection: an array of names of top-level attributes, or the text of an expression whose placeholders
    /// are `names`. What is in `needed` is read too.
    ///
    /// # Errors
    /// When it is neither.
    pub(super) fn read(stated: Option<&RawValue>, names: &Placeholders, needed: &[&str]) -> Result<Self, BindingError> {
        let Some(stated) = stated else { return Ok(Self::default()) };
        let mut projection = Self::default();
        let mut parts = Vec::new();
        let wanted: Vec<String> = if stated.get().starts_with('[') {
            let wanted: Vec<String> = serde_json::from_str(stated.get()).map_err(|_| not_a_projection())?;
            for (index, name) in wanted.iter().enumerate() {
                parts.push(projection.named(&format!("{OWN_NAME}p{index}"), name));
            }
            wanted
        } else {
            let text: String = serde_json::from_str(stated.get()).map_err(|_| not_a_projection())?;
            let wanted = text.split(',').map(|part| top_level(part, names)).collect();
            parts.push(text);
            wanted
        };
        if wanted.iter().any(String::is_empty) || wanted.is_empty() {
            return Err(not_a_projection());
        }
        for (index, name) in needed.iter().enumerate() {
            let is_double = projection.unasked.iter().any(|known| known == name);
            if !is_double && !wanted.iter().any(|wanted| wanted == name) {
                parts.push(projection.named(&format!("{OWN_NAME}n{index}"), name));
                projection.unasked.push((*name).to_owned());
            }
        }
        projection.text = Some(parts.join(", "));
        Ok(projection)
    }

    /// Takes away what the caller did not ask for.
    pub(super) fn trim(&self, item: &mut Item) {
        for name in &self.unasked {
            item.remove(name);
        }
    }

    fn named(&mut self, placeholder: &str, name: &str) -> String {
        self.placeholders.names.insert(placeholder.to_owned(), name.to_owned());
        placeholder.to_owned()
    }
}

/// The attribute at the beginning of a path such as `#a.b[3]`.
fn top_level(path: &str, names: &Placeholders) -> String {
    let first = path.trim().split(['.', '[']).next().unwrap_or_default();
    names.names.get(first).cloned().unwrap_or_else(|| first.to_owned())
}

fn not_a_projection() -> BindingError {
    refused("`projection` must be an array of attribute names, or the text of a projection expression")
}

#[cfg(test)]
mod tests {
    use super::super::calls::item_from_json;
    use super::*;

    fn read(text: &str, needed: &[&str]) -> Result<Projection, BindingError> {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        Projection::read(Some(&raw), &Placeholders::default().name("#e", "ends"), needed)
    }

    #[test]
    fn names_become_placeholders_and_what_we_need_is_taken_away_again() {
        let projection = read(r#"["a.b","size"]"#, &["ends", "ends"]).unwrap();
        assert_eq!(projection.text.as_deref(), Some("#bd_p0, #bd_p1, #bd_n0"));
        assert_eq!(projection.placeholders.names["#bd_p0"], "a.b");
        let mut item = item_from_json(br#"{"size":1,"ends":2}"#).unwrap();
        projection.trim(&mut item);
        assert_eq!(item, item_from_json(br#"{"size":1}"#).unwrap());
    }

    #[test]
    fn what_the_caller_wants_is_not_read_twice() {
        for text in [r##""#e, x.y""##, r#"["ends"]"#, r#""a, ends""#] {
            let projection = read(text, &["ends"]).unwrap();
            assert!(projection.unasked.is_empty() && !projection.text.unwrap().contains("#bd_n"), "{text}");
        }
        for bad in ["[]", "7", r#"[""]"#, r#""""#, "[1]"] {
            assert!(read(bad, &[]).is_err(), "{bad}");
        }
    }
}
