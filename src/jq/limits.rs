//! The limits of a run.

use std::fmt;
use std::time::Duration;

/// What one run of a program may use. A run that needs more fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps. About one for each value that a generator such as `.[]` gives, each call of a function and each turn of a
    /// loop, for each 256 bytes of a new text, and for each 8 elements of a new array.
    pub steps: u64,
    /// Bytes of all outputs together, and of each value on the way, as JSON.
    pub output_bytes: usize,
    /// Outputs.
    pub outputs: usize,
    /// Levels of arrays and objects inside each other, in the input and in each value.
    pub nesting: usize,
    /// Time, from the first 512 steps on: a run of fewer steps does not read the clock.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 100_000,
            output_bytes: 10 << 20,
            outputs: 10_000,
            nesting: 128,
            // Far more than the steps need, so that a process that is paused for a moment fails no record.
            time: Duration::from_secs(2),
        }
    }
}

/// The limit that a run exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::steps`].
    Steps,
    /// [`Limits::output_bytes`].
    Bytes,
    /// [`Limits::outputs`].
    Outputs,
    /// [`Limits::nesting`].
    Nesting,
    /// [`Limits::time`].
    Time,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steps => "steps",
            Self::Bytes => "bytes of a value or of the output",
            Self::Outputs => "outputs",
            Self::Nesting => "levels of nesting",
            Self::Time => "time",
        })
    }
}
