//! Keeps records that an input gave up in another output component.

use super::super::context::Registry;
use super::content;
use super::copy_memory::CopyMemory;
use super::target::{SendError, send};
use crate::domain::{BindingError, ComponentName, DeadLetter, DeadLetterStore, FailureKind, Outcome};
use async_trait::async_trait;
use std::time::Duration;

/// Time limit of one attempt to store a dead letter. The caller repeats it.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(in crate::bindings) struct BindingStore {
    target: ComponentName,
    registry: Registry,
    memory: CopyMemory,
}

#[async_trait]
impl DeadLetterStore for BindingStore {
    async fn store(&self, letter: &DeadLetter) -> Result<(), BindingError> {
        let _memory = self.memory.reserve(letter).await;
        let sent = tokio::time::timeout(STORE_TIMEOUT, self.send(letter)).await;
        let Ok(sent) = sent else {
            let text = format!("the dead letter binding {} did not answer within {STORE_TIMEOUT:?}", self.target);
            return Err(BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown));
        };
        match sent {
            // The target has its own dead letter binding, which has the record now.
            Err(SendError::Failed(error)) if error.is_dead_lettered() => Ok(()),
            sent => sent.map_err(|error| self.binding_error(&error)),
        }
    }
}

impl BindingStore {
    pub(in crate::bindings) fn new(target: ComponentName, registry: Registry) -> Self {
        Self { target, registry, memory: CopyMemory::default() }
    }

    async fn send(&self, letter: &DeadLetter) -> Result<(), SendError> {
        let data = content::of_input(letter)?;
        let key = letter.event.origin.partition_key.as_str();
        send(&self.registry, &self.target, Some(key).filter(|key| !key.is_empty()), data).await
    }

    fn binding_error(&self, error: &SendError) -> BindingError {
        let text = format!("the dead letter binding {} did not store the record: {error}", self.target);
        let (kind, outcome) = match error {
            SendError::Failed(error) => (error.kind(), error.outcome()),
            SendError::NoSuchOutput | SendError::LeftOut | SendError::Serialise(_) => {
                (FailureKind::Unavailable, Outcome::NotDone)
            }
        };
        BindingError::new(kind, text).with_outcome(outcome)
    }
}

#[cfg(test)]
#[path = "tests/binding_store.rs"]
mod tests;
