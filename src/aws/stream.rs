//! How a component names its stream.

use std::fmt;
use std::str::FromStr;

/// A stream, by name or by ARN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StreamRef {
    /// A name in the caller's own account.
    Name(String),
    /// An ARN, such as `arn:aws:kinesis:eu-central-1:123456789012:stream/orders`.
    Arn {
        /// The whole ARN.
        arn: String,
        /// Its region.
        region: String,
        /// The stream's name.
        name: String,
    },
}

impl StreamRef {
    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Arn { name, .. } => name,
        }
    }

    /// The ARN, if the user gave one.
    #[must_use]
    pub fn arn(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn { arn, .. } => Some(arn),
        }
    }
}

/// A text that names no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a stream name nor a stream ARN")]
pub struct InvalidStreamRef(String);

impl FromStr for StreamRef {
    type Err = InvalidStreamRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidStreamRef(text.to_owned());
        if !text.starts_with("arn:") {
            return if text.is_empty() { Err(invalid()) } else { Ok(Self::Name(text.to_owned())) };
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [_, _, "kinesis", region, _, resource] = parts[..] else { return Err(invalid()) };
        let name = resource.strip_prefix("stream/").filter(|name| !name.is_empty()).ok_or_else(invalid)?;
        Ok(Self::Arn { arn: text.to_owned(), region: region.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.arn().unwrap_or(self.name()))
    }
}
