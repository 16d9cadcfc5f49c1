//! Events that belong to no stream, such as the firing of a schedule.

use super::ComponentName;
use bytes::Bytes;

/// An event for the app without a position. Nothing stores it, so it is delivered once and not repeated after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub binding: ComponentName,
    /// The body of the request, as it is.
    pub data: Bytes,
    /// Names and values; each becomes a header with its name in lower case, as in Dapr.
    pub metadata: Vec<(String, String)>,
    /// How many bytes of the app's response are returned, where a longer one is a failure. `None` if it is not read.
    pub max_reply: Option<usize>,
}
