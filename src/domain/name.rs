//! Names that appear in component files and on the HTTP face.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a component, as written in `metadata.name`.
///
/// A valid Kubernetes path segment: not empty, not `.` or `..`, without `/` and `%`
/// (Dapr applies the same rule when it reads component files).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentName(Arc<str>);

impl ComponentName {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot be the name of a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid component name: it must not be empty, `.` or `..`, nor contain `/` or `%`")]
pub struct InvalidName(String);

impl FromStr for ComponentName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '%']);
        if valid { Ok(Self(text.into())) } else { Err(InvalidName(text.to_owned())) }
    }
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which sides of a component its file asks for (`direction`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Nothing was written: both sides exist, and the app is asked by OPTIONS whether it wants the input.
    #[default]
    Unstated,
    /// Only the input side; no probe.
    Input,
    /// Only the output side.
    Output,
    /// Both sides; no probe.
    Both,
}

impl Direction {
    /// Whether the input side is wanted.
    #[must_use]
    pub const fn has_input(self) -> bool {
        matches!(self, Self::Unstated | Self::Input | Self::Both)
    }

    /// Whether the output side is wanted.
    #[must_use]
    pub const fn has_output(self) -> bool {
        matches!(self, Self::Unstated | Self::Output | Self::Both)
    }

    /// Whether the app must be asked by OPTIONS before the input is started.
    #[must_use]
    pub const fn needs_probe(self) -> bool {
        matches!(self, Self::Unstated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_a_path_segment_are_refused() {
        for bad in ["", ".", "..", "a/b", "a%2fb"] {
            assert!(bad.parse::<ComponentName>().is_err(), "{bad}");
        }
        assert_eq!("orders-out".parse::<ComponentName>().unwrap().as_str(), "orders-out");
    }
}
