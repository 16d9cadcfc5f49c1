//! Names that appear in component files and in the HTTP API.

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

/// Which sides of a component its file requests (`direction`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// The file does not say: both sides exist, and an OPTIONS request finds out whether the app accepts input.
    #[default]
    Unstated,
    /// Only the input side; no OPTIONS request.
    Input,
    Output,
    /// Both sides; no OPTIONS request.
    Both,
}

impl Direction {
    #[must_use]
    pub const fn has_input(self) -> bool {
        matches!(self, Self::Unstated | Self::Input | Self::Both)
    }

    #[must_use]
    pub const fn has_output(self) -> bool {
        matches!(self, Self::Unstated | Self::Output | Self::Both)
    }

    /// Whether an OPTIONS request must find out if the app accepts input, before the input starts.
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
