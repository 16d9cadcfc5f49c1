//! The changes made over the API that the files do not have. Pure.

use crate::manifest::{Overridden, Overrides, RawDocument};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A document counts as deleted once it has been missing in its file for this long: a tool may be about to write it again.
const SETTLE: Duration = Duration::from_secs(2);

/// Documents by the name of their component, each in force until the file that has a document of this name is edited.
#[derive(Debug, Clone, Default)]
pub(super) struct Overlay(BTreeMap<String, Entry>);

#[derive(Debug, Clone)]
struct Entry {
    /// `None` for a component that was deleted.
    document: Option<Arc<RawDocument>>,
    /// What the files said when the change was made; `None` if they did not have the component.
    base: Option<Overridden>,
    /// Since when the files do not have the document of `base`.
    missing_since: Option<Instant>,
}

/// A change that ends because its file was edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superseded {
    pub(super) name: String,
    pub(super) file: String,
}

impl Overlay {
    /// What is read in place of the files.
    pub(super) fn overrides(&self) -> Overrides {
        self.0.iter().map(|(name, entry)| (name.clone(), entry.document.clone())).collect()
    }

    /// Puts a document in force; `None` deletes the component. `base` is what the files say now. A change that says the same
    /// as they do is none.
    pub(super) fn set(&mut self, name: &str, document: Option<Arc<RawDocument>>, base: Option<Overridden>) {
        if document.as_ref() == base.as_ref().map(|base| &base.document) {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), Entry { document, base, missing_since: None });
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The document of the files that a change was made on; `None` without a change, or if they had none.
    pub(super) fn base(&self, name: &str) -> Option<&Overridden> {
        self.0.get(name)?.base.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Ends the changes whose file was edited since, and returns them; and when to look again, if a file may be about to be
    /// written. `found` are the documents of the files whose place a change has. `is_hidden` is whether a file cannot be read
    /// now.
    pub(super) fn supersede(
        &mut self,
        found: &[Overridden],
        is_hidden: impl Fn(&str) -> bool,
        now: Instant,
    ) -> (Vec<Superseded>, Option<Instant>) {
        let (mut superseded, mut next) = (Vec::new(), None::<Instant>);
        self.0.retain(|name, entry| {
            let found = found.iter().find(|found| found.document.name().as_deref() == Some(name));
            let file = match (found, &entry.base) {
                (Some(found), Some(base)) if found.document == base.document => {
                    // It may be in another file now.
                    (entry.missing_since, entry.base) = (None, Some(found.clone()));
                    return true;
                }
                (Some(found), _) => found.place.file.clone(),
                (None, None) => return true,
                (None, Some(base)) if is_hidden(&base.place.file) => return true,
                (None, Some(base)) => {
                    let due = *entry.missing_since.get_or_insert(now) + SETTLE;
                    if due > now {
                        next = Some(next.map_or(due, |next| next.min(due)));
                        return true;
                    }
                    base.place.file.clone()
                }
            };
            superseded.push(Superseded { name: name.clone(), file });
            false
        });
        (superseded, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{DocumentFormat, Place};

    fn document(text: &str) -> Arc<RawDocument> {
        let text = format!(r#"{{"metadata":{{"name":"a"}},"spec":{{"type":"{text}"}}}}"#);
        Arc::new(RawDocument::parse(&text, DocumentFormat::Json).unwrap())
    }

    fn in_file(text: &str) -> Overridden {
        Overridden { place: Place { file: "a.yaml".to_owned(), document: 1 }, document: document(text) }
    }

    fn overlay(change: Option<&str>, base: Option<&str>) -> Overlay {
        let mut overlay = Overlay::default();
        overlay.set("a", change.map(document), base.map(in_file));
        overlay
    }

    #[test]
    fn a_change_ends_when_its_file_is_edited() {
        let (now, edited) = (Instant::now(), vec![Superseded { name: "a".to_owned(), file: "a.yaml".to_owned() }]);
        for (change, base, found, expected) in [
            (Some("new"), Some("old"), Some("old"), &[][..]),
            (Some("new"), Some("old"), Some("edited"), &edited),
            (Some("new"), None, Some("edited"), &edited),
            (Some("new"), None, None, &[]),
            (None, Some("old"), Some("old"), &[]),
            (None, Some("old"), Some("edited"), &edited),
        ] {
            let found: Vec<_> = found.map(in_file).into_iter().collect();
            let mut overlay = overlay(change, base);
            let (superseded, next) = overlay.supersede(&found, |_| false, now);
            assert_eq!((superseded.as_slice(), next), (expected, None), "{change:?} on {base:?}");
            assert_eq!(overlay.contains("a"), expected.is_empty());
        }
    }

    #[test]
    fn a_file_that_is_deleted_ends_its_changes_once_it_stays_away() {
        let (now, mut overlay) = (Instant::now(), overlay(Some("new"), Some("old")));
        assert_eq!(overlay.supersede(&[], |_| true, now), (vec![], None), "the file cannot be read");
        assert_eq!(overlay.supersede(&[], |_| false, now), (vec![], Some(now + SETTLE)));
        assert_eq!(overlay.supersede(&[in_file("old")], |_| false, now + SETTLE), (vec![], None), "it is back");
        assert_eq!(overlay.supersede(&[], |_| false, now + SETTLE), (vec![], Some(now + 2 * SETTLE)));
        assert_eq!(overlay.supersede(&[], |_| false, now + 2 * SETTLE).0.len(), 1);
        assert!(!overlay.contains("a"));
    }

    #[test]
    fn a_change_that_says_what_the_file_says_is_none() {
        assert_eq!(overlay(Some("old"), Some("old")).len(), 0);
        assert_eq!(overlay(None, None).len(), 0);
        let changed = overlay(None, Some("old"));
        assert_eq!((changed.overrides().get("a"), changed.base("a")), (Some(&None), Some(&in_file("old"))));
    }
}
