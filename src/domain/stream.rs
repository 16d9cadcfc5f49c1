//! The identity of a stream. The name is not enough: a stream can be deleted and created again with the same name.

use super::Timestamp;
use std::sync::Arc;

/// Stored in lease rows, so that no worker reads a stream with the progress of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamIdentity {
    /// The stream's ARN, or its name if the ARN is not known.
    pub stream: Arc<str>,
    /// When the stream was created; `None` if `DescribeStreamSummary` is denied. Distinguishes a stream from an earlier one
    /// of the same name.
    pub created: Option<Timestamp>,
}

impl StreamIdentity {
    /// Whether two ARNs or names may be of the same stream. Two ARNs must be equal. A name has no region and account, so it
    /// is compared with the name in the ARN.
    #[must_use]
    pub fn may_be_same(one: &str, other: &str) -> bool {
        if Self::is_arn(one) && Self::is_arn(other) { one == other } else { name(one) == name(other) }
    }

    #[must_use]
    pub fn is_arn(stream: &str) -> bool {
        stream.starts_with("arn:")
    }
}

/// The name in an ARN (`…:stream/NAME`), or the name itself.
fn name(stream: &str) -> &str {
    if StreamIdentity::is_arn(stream) { stream.rsplit('/').next().unwrap_or(stream) } else { stream }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_the_same_by_arn_or_else_by_name() {
        let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders";
        for (one, other, is_same) in [
            ("orders", "orders", true),
            ("orders", "invoices", false),
            (arn, arn, true),
            (arn, "orders", true),
            ("orders", arn, true),
            (arn, "invoices", false),
            (arn, "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", false),
            (arn, "arn:aws:kinesis:eu-central-1:210987654321:stream/orders", false),
            (arn, "arn:aws-cn:kinesis:eu-central-1:123456789012:stream/orders", false),
        ] {
            assert_eq!(StreamIdentity::may_be_same(one, other), is_same, "{one} {other}");
        }
    }
}
