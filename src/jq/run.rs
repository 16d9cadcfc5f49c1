//! Running a program.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use bytes::Bytes;
use jaq_core::{Ctx, Exn, ValT, Vars};

use super::budget;
use super::limits::Limit;
use super::program::Program;
use super::read;
use super::used::Used;
use super::value::{Data, Members, Value};
use super::write;

/// Characters of a program's own message that are kept.
const MAX_MESSAGE: usize = 200;

/// Why a run gave no result. No variant holds a part of the input, except [`RunError::Failed`] if the program puts one
/// into its message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The input is not one value of JSON.
    #[error("the input is not JSON: {what} at byte {at}")]
    Input {
        /// What is wrong.
        what: &'static str,
        /// The byte, from 0.
        at: usize,
    },
    /// An operation of the program failed, or the program called `error`.
    #[error("the program failed: {0}")]
    Failed(String),
    /// The run needed more than it may use.
    #[error("the program is over its limit of {0}; make it or the record smaller")]
    Limit(Limit),
    /// A key or condition is an array or an object.
    #[error("the expression gives an {0}; a key must be a string, a number or a boolean")]
    NoText(&'static str),
    /// The interpreter failed.
    #[error("the interpreter of jq failed on this record; report the program to bindd")]
    Interpreter,
}

impl Program {
    /// Runs the program on one JSON text. Each output is compact JSON; numbers that the program did not calculate with
    /// are as they were, and so is the order of keys. Of equal keys in the input, the last one counts.
    ///
    /// The pairs become the object `$metadata`. They are read only if the program names it, and of the values only those
    /// that it names.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub fn run<K: AsRef<str>, V: AsRef<str>>(
        &self,
        input: &[u8],
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vec<Bytes>, RunError> {
        let (mut outputs, mut total) = (Vec::new(), 0);
        self.each(input, metadata, |value| {
            let mut output = Vec::with_capacity(value.size());
            write::write(value, &mut output);
            total += output.len();
            if total > self.limits.output_bytes {
                return Err(RunError::Limit(Limit::Bytes));
            }
            outputs.push(Bytes::from(output));
            Ok(true)
        })?;
        Ok(outputs)
    }

    /// The first output as the text of a key: a string as it is, a number or boolean as JSON. None if it is null or
    /// there is no output.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub fn run_text<K: AsRef<str>, V: AsRef<str>>(
        &self,
        input: &[u8],
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Option<String>, RunError> {
        let mut text = None;
        self.each(input, metadata, |value| {
            text = match value {
                Value::Null => None,
                Value::Text(own) => Some(own.to_string()),
                Value::Bool(_) | Value::Number(_) => Some(write::to_text(value)),
                Value::Array(_) | Value::Object(_) => return Err(RunError::NoText(value.type_name())),
            };
            Ok(false)
        })?;
        Ok(text)
    }

    /// Whether the first output is neither false nor null; false if there is none.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub fn run_condition<K: AsRef<str>, V: AsRef<str>>(
        &self,
        input: &[u8],
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Result<bool, RunError> {
        let mut is_true = false;
        self.each(input, metadata, |value| {
            is_true = value.as_bool();
            Ok(false)
        })?;
        Ok(is_true)
    }

    /// Gives each output to `take`, as long as that is true.
    fn each<K: AsRef<str>, V: AsRef<str>>(
        &self,
        input: &[u8],
        metadata: impl IntoIterator<Item = (K, V)>,
        mut take: impl FnMut(&Value) -> Result<bool, RunError>,
    ) -> Result<(), RunError> {
        budget::begin(&self.limits);
        // jaq's own functions have panicked on odd arguments before; one record must not end the process.
        let run = AssertUnwindSafe(|| {
            let input = match read::members(input, &self.input) {
                Ok(input) => input,
                Err(fault) => return Err(over_limit().unwrap_or(RunError::Input { what: fault.what, at: fault.at })),
            };
            let metadata = if self.uses_metadata() { object(metadata, &self.metadata) } else { Value::Null };
            over_limit().map_or(Ok(()), Err)?;
            self.outputs(input, metadata, &mut take)
        });
        catch_unwind(run).unwrap_or(Err(RunError::Interpreter))
    }

    fn outputs(
        &self,
        input: Value,
        metadata: Value,
        take: &mut dyn FnMut(&Value) -> Result<bool, RunError>,
    ) -> Result<(), RunError> {
        let context = Ctx::<Data>::new(&self.filter.lut, Vars::new([metadata]));
        for (count, output) in self.filter.id.run((context, input)).enumerate() {
            over_limit().map_or(Ok(()), Err)?;
            if count >= self.limits.outputs {
                return Err(RunError::Limit(Limit::Outputs));
            }
            if !take(&output.map_err(failed)?)? {
                break;
            }
        }
        over_limit().map_or(Ok(()), Err)
    }
}

fn over_limit() -> Option<RunError> {
    budget::exceeded().map(RunError::Limit)
}

fn object<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>, used: &Used) -> Value {
    let is_used = |(key, _): &(K, V)| used.has(key.as_ref());
    let member = |(key, value): (K, V)| (Rc::from(key.as_ref()), Value::text(value.as_ref()));
    Value::object(pairs.into_iter().filter(is_used).map(member).collect::<Members>())
}

/// What a program says of its own failure: an error with a text, or with another value as JSON.
fn failed(exception: Exn<'_, Value>) -> RunError {
    let Ok(error) = exception.get_err() else {
        return RunError::Failed("a break without its label".to_owned());
    };
    let text = match error.into_val() {
        Value::Text(text) => text.to_string(),
        other => write::to_text(&other),
    };
    RunError::Failed(text.chars().take(MAX_MESSAGE).collect())
}
