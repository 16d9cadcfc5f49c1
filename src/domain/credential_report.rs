//! What a component reports about its AWS credentials.

use super::Timestamp;

/// The credentials of a component at one moment. None of their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialReport {
    /// The first load is running.
    Loading,
    Available {
        /// Where they come from, and the roles that were assumed with them.
        source: String,
        /// `None` if they do not expire.
        expires_at: Option<Timestamp>,
        /// A service has refused them, and they are being loaded again.
        is_refused: bool,
    },
    Missing {
        /// The sources that were tried, and why each failed.
        reason: String,
    },
}
