//! The name of a component, which of its sides (input, output) its file enables, and the id of the app.

use std::str::FromStr;
use std::sync::Arc;

/// The name of a component, as written in `metadata.name`.
///
/// A valid Kubernetes path segment: not empty, not `.` or `..`, without `/` and `%`
/// (Dapr applies the same rule when it reads component files).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentName(Arc<str>);

string_newtype!(ComponentName);

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

/// `--app-id`, or the one that stands for none in names of lease tables and in paths.
#[must_use]
pub const fn app_id_or_default(app_id: &str) -> &str {
    if app_id.is_empty() { "bindd" } else { app_id }
}

/// `direction`: which sides of a component its file enables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// No `direction`: both sides exist, and the input starts only if the app accepts an OPTIONS request on its route.
    #[default]
    Unstated,
    /// Input only, without an OPTIONS request.
    Input,
    Output,
    /// Both sides, without an OPTIONS request.
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

    /// Whether the app must accept an OPTIONS request before the input is started.
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
