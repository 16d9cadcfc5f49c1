//! Errors of requests that were never sent. Without these types such a failure looks like a connection that broke, so
//! that the outcome of a write would count as unknown.

use aws_smithy_runtime_api::box_error::BoxError;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The request could not be built, addressed or signed.
#[derive(Debug, thiserror::Error)]
#[error("the request was never sent")]
pub(super) struct NeverSent {
    /// Whether the time for the attempt was over.
    pub(super) is_late: bool,
    pub(super) source: BoxError,
}

/// No source has credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoCredentials {
    /// Each source with the reason why it failed, in the order in which they were tried.
    pub(super) tried: Vec<(String, String)>,
    /// When the sources are tried again.
    pub(super) retry_at: Instant,
}

impl NoCredentials {
    pub(super) fn retry_in(&self) -> Duration {
        self.retry_at.saturating_duration_since(Instant::now())
    }
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no AWS credentials found: ")?;
        for (source, reason) in &self.tried {
            write!(f, "{source}: {reason}; ")?;
        }
        f.write_str("set up one of these sources, or set `accessKey` and `secretKey` in the component's metadata")
    }
}

impl std::error::Error for NoCredentials {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_each_source_and_its_reason() {
        let tried = vec![("environment".to_owned(), "not set".to_owned()), ("instance".to_owned(), "no".to_owned())];
        let text = NoCredentials { tried, retry_at: Instant::now() }.to_string();
        assert!(text.contains("environment: not set; instance: no; set up one"), "{text}");
    }
}
