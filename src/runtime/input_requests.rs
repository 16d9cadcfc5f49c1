//! What callers request of the owner of the inputs.

use super::input_task::Input;
use crate::domain::ComponentName;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the owner; a caller beyond this number waits too.
const MAX_REQUESTS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainOutcome {
    /// All records in flight were finished, progress was stored and the leases were released.
    Clean,
    /// Something was aborted. Its records will be redelivered.
    Aborted,
}

/// Adds, replaces and removes inputs while they run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InputsHandle {
    requests: mpsc::Sender<Request>,
}

/// An input that is being drained because it was removed or replaced. It is drained also if this is dropped.
#[derive(Debug)]
pub struct Draining(Option<oneshot::Receiver<DrainOutcome>>);

impl Draining {
    /// Returns once the input has ended and its leases are released. `None` if all inputs have been stopped for good.
    pub async fn outcome(self) -> Option<DrainOutcome> {
        self.0?.await.ok()
    }
}

pub(super) type Reply = oneshot::Sender<DrainOutcome>;

#[derive(Debug)]
pub(super) struct Request {
    pub(super) change: Change,
    /// Answered once the change is in force.
    pub(super) accepted: oneshot::Sender<()>,
    /// Answered once the old input has ended.
    pub(super) drained: Reply,
}

#[derive(Debug)]
pub(super) enum Change {
    Start(Input),
    Stop(ComponentName),
}

impl InputsHandle {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(MAX_REQUESTS);
        (Self { requests }, receiver)
    }

    /// Adds an input, which begins as soon as inputs are read. If there is one of the same name, that is stopped and
    /// drained first, and so is every input that had to leave before: it may hold a lease that the new one needs. Does not
    /// wait for any of them.
    pub async fn start(&self, input: Input) -> Draining {
        self.request(Change::Start(input)).await
    }

    /// Removes an input after it was drained: deliveries in flight are finished, progress is stored, leases are released.
    /// After its drain limit it is forced. `Clean` if there is no such input. Does not wait for that.
    pub async fn stop(&self, name: &ComponentName) -> Draining {
        self.request(Change::Stop(name.clone())).await
    }

    async fn request(&self, change: Change) -> Draining {
        let ((accepted, is_accepted), (drained, outcome)) = (oneshot::channel(), oneshot::channel());
        let is_sent = self.requests.send(Request { change, accepted, drained }).await.is_ok();
        Draining((is_sent && is_accepted.await.is_ok()).then_some(outcome))
    }
}
