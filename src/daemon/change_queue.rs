//! The queue of what the API requests of the owner task.

use super::audit::Audit;
use super::change::{Answer, Change};
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the owner; a caller beyond this number waits too.
const MAX_REQUESTS: usize = 64;

/// A request of the API. The owner carries it out also if the caller has gone.
#[derive(Debug)]
pub(super) struct ChangeRequest {
    pub(super) change: Change,
    /// Its line is written however the request ends, also if the owner never takes it.
    pub(super) audit: Audit,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// The sides of the queue.
pub(super) fn queue() -> (mpsc::Sender<ChangeRequest>, mpsc::Receiver<ChangeRequest>) {
    mpsc::channel(MAX_REQUESTS)
}
