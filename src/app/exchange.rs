//! What a request and its result look like, whatever the version of HTTP.

use super::connection::{IncompleteBody, InvalidResponse};
use crate::domain::BoxError;
use std::time::Duration;

/// How a request is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// From the moment a connection may be used to the head of the response; with `max_reply`, to the end of the body of a
    /// success.
    pub(super) limit: Duration,
    /// How much of the body of a success is read; `None` if its status alone decides.
    pub(super) max_reply: Option<usize>,
    /// Whether it waits for a slot of the limit of requests in flight. A health check does not.
    pub(super) takes_slot: bool,
}

/// Why a request has no response.
#[derive(Debug)]
pub(super) enum SendError {
    /// The time limit passed after the connection was established.
    TimedOut,
    Unreachable(BoxError),
    /// The connection ended. `was_idle`: it was an idle one, and ended without a byte of a response.
    Ended {
        source: BoxError,
        was_idle: bool,
    },
    /// The peer did not send a valid response of the version of HTTP that it was called with.
    Invalid {
        response: InvalidResponse,
        source: BoxError,
    },
    /// The response is a success, but its body, which was to be read, is not complete.
    Body(IncompleteBody),
}
