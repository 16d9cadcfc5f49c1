//! What was not loaded, and may nevertheless be meant as a component: a file that is being written, or has a typing error.

use super::Notice;

/// A file or document that was not loaded. A component that ran from the file may be meant to run on.
///
/// What is left out because it says so counts not: another namespace, `scopes` without this app, or a type that the
/// Configuration denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotLoaded {
    pub file: String,
    /// `metadata.name` of a document that was skipped for its `apiVersion`, `kind` or `type`. `None` if it can be any
    /// component of the file: nothing else of the file proves then that a component is gone.
    pub name: Option<String>,
    /// What is said about it; `None` if that is among the faults.
    pub notice: Option<Notice>,
}

impl NotLoaded {
    /// Without a name.
    pub(super) fn any(notice: Notice) -> Self {
        Self { file: notice.file.clone(), name: None, notice: Some(notice) }
    }

    pub(super) fn with_fault(file: &str) -> Self {
        Self { file: file.to_owned(), name: None, notice: None }
    }

    pub(super) fn named(name: Option<String>, notice: Notice) -> Self {
        Self { file: notice.file.clone(), name, notice: Some(notice) }
    }
}
