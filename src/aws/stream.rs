//! How a component names a stream.

use super::Arn;
use std::fmt;
use std::str::FromStr;

/// A stream, by its name or by its ARN.
///
/// Source of the rules: the Kinesis API reference, `CreateStream.StreamName` (1–128 of `[a-zA-Z0-9_.-]`) and
/// `StreamARN` (`arn:aws.*:kinesis:REGION:12 digits:stream/NAME`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StreamRef {
    /// Account and region are those of the credentials and the connection.
    Name(String),
    Arn {
        /// The whole ARN as written.
        arn: String,
        region: String,
        name: String,
    },
}

impl StreamRef {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Arn { name, .. } => name,
        }
    }

    /// `None` if only the name was written.
    #[must_use]
    pub fn arn(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn { arn, .. } => Some(arn),
        }
    }

    /// The region of the ARN.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn { region, .. } => Some(region),
        }
    }
}

/// Why a text is not a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStream {
    #[error("a stream name has 1 to 128 letters, digits, `_`, `.` or `-`")]
    Name,
    #[error("a stream ARN looks like `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`, with an account of 12 digits")]
    Arn,
    #[error("this is the ARN of a stream consumer; give the part before `/consumer/`")]
    Consumer,
    #[error("the ARN must name one region, such as `eu-central-1`")]
    Region,
}

impl FromStr for StreamRef {
    type Err = InvalidStream;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("arn:") {
            return if is_name(text) { Ok(Self::Name(text.to_owned())) } else { Err(InvalidStream::Name) };
        }
        let arn = Arn::parse(text).filter(|arn| arn.service == "kinesis").ok_or(InvalidStream::Arn)?;
        let name = arn.resource.strip_prefix("stream/").ok_or(InvalidStream::Arn)?;
        if name.contains("/consumer/") {
            return Err(InvalidStream::Consumer);
        }
        if !arn.has_account() || !is_name(name) {
            return Err(InvalidStream::Arn);
        }
        if !arn.has_region() {
            return Err(InvalidStream::Region);
        }
        Ok(Self::Arn { arn: text.to_owned(), region: arn.region.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.arn().unwrap_or_else(|| self.name()))
    }
}

fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_are_distinguished() {
        let named: StreamRef = "orders".parse().unwrap();
        assert_eq!((named.name(), named.arn(), named.region()), ("orders", None, None));
        let text = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders.v1";
        let stream: StreamRef = text.parse().unwrap();
        assert_eq!((stream.name(), stream.arn(), stream.region()), ("orders.v1", Some(text), Some("cn-north-1")));
        assert_eq!(stream.to_string(), text);
    }

    #[test]
    fn a_text_that_is_not_a_stream_is_refused_with_its_reason() {
        let long = "x".repeat(129);
        for (text, reason) in [
            ("", InvalidStream::Name),
            ("a b", InvalidStream::Name),
            ("häuser", InvalidStream::Name),
            (long.as_str(), InvalidStream::Name),
            ("arn:", InvalidStream::Arn),
            ("arn:aws:dynamodb:eu-central-1:123456789012:table/x", InvalidStream::Arn),
            ("arn:aws:kinesis:eu-central-1:1234:stream/x", InvalidStream::Arn),
            ("arn:aws:kinesis:eu-central-1:123456789012:stream/", InvalidStream::Arn),
            ("arn:aws:kinesis:*:123456789012:stream/x", InvalidStream::Region),
            ("arn:aws:kinesis::123456789012:stream/x", InvalidStream::Region),
            ("arn:aws:kinesis:eu-central-1:123456789012:stream/x/consumer/y:1", InvalidStream::Consumer),
        ] {
            assert_eq!(text.parse::<StreamRef>(), Err(reason), "{text}");
        }
    }
}
