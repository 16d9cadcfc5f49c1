//! The caller's end of a record: answered exactly once, whatever becomes of the engine.

use super::handle::Written;
use super::refusals;
use crate::domain::{BindingError, Outcome};
use tokio::sync::oneshot;

/// What a caller is told.
pub(super) type Answer = Result<Written, BindingError>;

/// Holds the answer's way back. Dropped without an answer it says that the producer is closed, so no caller hangs when
/// the owner is aborted or panics.
#[derive(Debug)]
pub(super) struct Waiter {
    sender: Option<oneshot::Sender<Answer>>,
    /// What to say about the record if nothing more can be said.
    outcome: Outcome,
}

impl Waiter {
    pub(super) const fn new(sender: oneshot::Sender<Answer>) -> Self {
        Self { sender: Some(sender), outcome: Outcome::NotDone }
    }

    /// Nobody waits any more: the caller went away or was answered.
    pub(super) fn is_gone(&self) -> bool {
        self.sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Whether the answer was given.
    pub(super) const fn is_answered(&self) -> bool {
        self.sender.is_none()
    }

    /// What is known about the record from now on.
    pub(super) const fn note(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Gives the answer; false when nobody is there to take it.
    pub(super) fn answer(&mut self, answer: Answer) -> bool {
        self.sender.take().is_some_and(|sender| sender.send(answer).is_ok())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.sender.is_some() {
            self.answer(Err(refusals::closed(self.outcome)));
        }
    }
}
