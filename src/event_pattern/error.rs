//! Why a text is no event pattern.

use std::fmt;

/// A problem of a pattern, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// Such as `data.order.total`; empty for the pattern itself.
    place: String,
    problem: String,
    remedy: String,
}

impl std::error::Error for PatternError {}

impl PatternError {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: String::new(), problem: problem.into(), remedy: remedy.into() }
    }

    /// The same problem below a field.
    pub(super) fn below(mut self, field: &str) -> Self {
        let separator = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{field}{separator}{}", self.place);
        self
    }

    /// What is wrong and where, as one sentence without a full stop.
    #[must_use]
    pub fn problem(&self) -> String {
        if self.place.is_empty() { self.problem.clone() } else { format!("`{}`: {}", self.place, self.problem) }
    }

    /// What to write instead.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem(), self.remedy)
    }
}
