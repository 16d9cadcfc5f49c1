//! A program in jq that a field has.

use crate::domain::{BindingError, FailureKind};
use crate::jq::{Limit, Program, RunError};
use crate::manifest::Reader;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// The reason of the error of a record on which a program failed.
const EXPRESSION_FAILED: &str = "EXPRESSION_FAILED";

/// The message of a run that may have been stopped with its process.
const OUT_OF_TIME: &str = "the program was over its limit of time, perhaps because this process was stopped for a while; \
                           another attempt may succeed, else make the program or the record smaller";

/// About a field that had a template where jq has the short form of an object.
const UUID: &str = "`{uuid}` in it was filled in with a random id, which is the same for every record; write `{uuid: .uuid}` for \
                    the field of the record, and `$metadata.eventId` for an id of each record of an input";

/// The function with which a program makes its own message.
const ERROR: &str = "error";

/// A compiled program, whose runs have the limits of [`Limits::default`](crate::jq::Limits). Cheap to clone.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    program: Program,
}

/// Why a program gave no result for a record. Holds no part of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ExpressionError {
    text: String,
    is_passing: bool,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl Expression {
    /// Compiles a program.
    ///
    /// # Errors
    /// What is wrong with its line and column, and what to do.
    pub fn compile(text: &str) -> Result<Self, (String, String)> {
        let program = Program::compile(text).map_err(|error| {
            let remedy = format!("correct the jq program at line {}, column {}", error.line, error.column);
            (error.to_string(), remedy)
        })?;
        Ok(Self { text: text.into(), program })
    }

    /// The program of a field.
    pub(in crate::bindings) fn read(reader: &mut Reader<'_>, field: &'static str) -> Option<Self> {
        let had_uuid = reader.had_uuid(field);
        let program = reader.parsed(field, |text| {
            Self::compile(text).map_err(|(problem, remedy)| match had_uuid {
                true => (problem, format!("{remedy}; {UUID}")),
                false => (problem, remedy),
            })
        });
        if had_uuid && program.is_some() {
            reader.notice(field, UUID);
        }
        program
    }

    /// Every output for the JSON text `data`, each as compact JSON. `metadata` is the object `$metadata`.
    ///
    /// # Errors
    /// When the data are not JSON, the program fails, or it is over a limit.
    pub fn outputs<K: AsRef<str>, V: AsRef<str>>(
        &self,
        data: &[u8],
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vec<Bytes>, ExpressionError> {
        self.program.run(data, metadata).map_err(|error| self.error(&error))
    }

    /// The first output as the text of a key; `None` if it is null or there is none.
    ///
    /// # Errors
    /// As [`Self::outputs`], and when the output is an array or an object.
    pub fn key<K: AsRef<str>, V: AsRef<str>>(
        &self,
        data: &[u8],
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Option<String>, ExpressionError> {
        self.program.run_text(data, metadata).map_err(|error| self.error(&error))
    }

    /// Whether the first output is neither false nor null; false if there is none.
    ///
    /// # Errors
    /// As [`Self::outputs`].
    pub fn is_true<K: AsRef<str>, V: AsRef<str>>(
        &self,
        data: &[u8],
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Result<bool, ExpressionError> {
        self.program.run_condition(data, metadata).map_err(|error| self.error(&error))
    }

    /// The engine's own messages name no values. A message that the program made may: it is shown only if the program has
    /// it as it is.
    fn error(&self, error: &RunError) -> ExpressionError {
        let is_shown = |message: &str| !self.text.contains(ERROR) || self.text.contains(message);
        let text = match error {
            RunError::Failed(message) if !is_shown(message) => {
                "the program called `error` with a message that is not shown, because it may hold data".to_owned()
            }
            RunError::Limit(Limit::Time) => OUT_OF_TIME.to_owned(),
            other => other.to_string(),
        };
        // A process that is stopped or throttled meanwhile runs out of time with any record. All else is a matter of the
        // program and the record, a panic of the interpreter too.
        ExpressionError { text, is_passing: *error == RunError::Limit(Limit::Time) }
    }
}

#[cfg(test)]
impl Expression {
    /// With a program that is out of time when it first looks at the clock twice.
    pub(in crate::bindings) fn without_time(text: &str) -> Self {
        let mut expression = Self::compile(text).unwrap();
        let limits = crate::jq::Limits { time: std::time::Duration::ZERO, ..crate::jq::Limits::default() };
        expression.program = expression.program.with_limits(limits);
        expression
    }
}

impl ExpressionError {
    /// Whether another attempt may succeed: the time was over, perhaps because the process was stopped for a while.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        self.is_passing
    }

    /// A transform made so many items of one.
    pub(super) fn of_items(count: usize) -> Self {
        let text = format!(
            "it made {count} items of one: a DynamoDB component stores one item for each, so let it give one output"
        );
        Self { text, is_passing: false }
    }

    /// The failure of a record: `TimedOut` if another attempt may succeed, else `Caller`. `field` names the program.
    #[must_use]
    pub fn of_field(&self, field: &str) -> BindingError {
        let text = format!("`{field}` failed on the record: {self}");
        if self.is_passing {
            return BindingError::new(FailureKind::TimedOut, text);
        }
        BindingError::new(FailureKind::Caller, text).with_reason(EXPRESSION_FAILED)
    }
}
