//! Event patterns: the language of Amazon EventBridge and of the filters of Lambda's event source mappings.
//!
//! A pattern is a JSON object with the structure of the records that it matches. A leaf is an array of the values and
//! comparisons of which one must hold; all fields must hold. Fields that the pattern does not name are ignored. A
//! record's data is in the field `data`:
//!
//! ```json
//! {"data": {"type": ["order"], "total": [{"numeric": [">", 100]}]}, "partitionKey": [{"prefix": "eu-"}]}
//! ```
//!
//! Sources: the pages "Comparison operators for use in event patterns" and "Creating event patterns" of EventBridge, "Using
//! event filtering with a Kinesis event source" of Lambda, and the README of `aws/event-ruler`.
//!
//! # Invariants
//! - Pure, and bounded by the length of the record: nothing is copied but strings with escapes.
//! - A pattern with `data` matches no record whose data is not JSON or, for a list of values, not text, as in Lambda.

mod alternatives;
mod comparison;
mod comparisons;
mod compile;
mod error;
mod json;
mod matching;
mod one_pass;
mod scalar;
mod values;
mod wildcard;

pub use error::PatternError;
pub use scalar::Scalar;

use alternatives::Alternative;

/// The longest text of all patterns of a filter, in bytes. Lambda allows 4,096 characters for one.
pub const MAX_LENGTH: usize = 64 << 10;

/// One or more patterns, of which one must match.
#[derive(Debug, Clone)]
pub struct Filter {
    alternatives: Vec<Alternative>,
}

/// What a pattern sees of a record.
pub trait Fields {
    /// The data, as its bytes.
    fn data(&self) -> &[u8];

    /// Another field, such as `partitionKey`; `None` if the record has none.
    fn field(&self, name: &str) -> Option<Scalar<'_>>;
}

impl Filter {
    /// Compiles one pattern, a JSON array of patterns, or the `FilterCriteria` of Lambda (`{"Filters": [{"Pattern": "…"}]}`,
    /// also with this name around it).
    /// `fields` are the fields beside `data` that a record may have.
    ///
    /// # Errors
    /// With the place of the first problem, and what to write.
    pub fn compile(text: &str, fields: &[&str]) -> Result<Self, PatternError> {
        compile::filter(text, fields).map(|alternatives| Self { alternatives })
    }

    /// Whether a pattern names this field beside `data`.
    #[must_use]
    pub fn names(&self, field: &str) -> bool {
        self.alternatives.iter().flat_map(|pattern| &pattern.fields).any(|known| known.name == field)
    }

    /// Whether one of the patterns matches.
    #[must_use]
    pub fn matches(&self, record: &impl Fields) -> bool {
        self.alternatives.iter().any(|alternative| matching::matches(alternative, record))
    }
}

#[cfg(test)]
#[path = "tests/operators.rs"]
mod operator_tests;

#[cfg(test)]
#[path = "tests/properties.rs"]
mod property_tests;

#[cfg(test)]
#[path = "tests/faults.rs"]
mod fault_tests;
