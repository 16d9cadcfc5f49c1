//! A group of named tasks with one result type.

use std::collections::HashMap;
use std::fmt;
use tokio::runtime::Handle;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument;

/// Owns tasks until they are joined. Dropping it aborts them, so no task outlives its owner.
///
/// `JoinMap` of tokio-util is not used, because it aborts a task when another is spawned under the same name.
pub struct Supervisor<T> {
    tasks: JoinSet<T>,
    names: HashMap<Id, String>,
}

/// A task that has ended.
#[derive(Debug)]
pub struct Ended<T> {
    /// The name with which it was spawned.
    pub name: String,
    pub result: Result<T, TaskFailure>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    /// With the message of the panic.
    #[error("panicked: {0}")]
    Panicked(String),
    #[error("was aborted")]
    Aborted,
}

impl<T: Send + 'static> Supervisor<T> {
    #[must_use]
    pub fn new() -> Self {
        Self { tasks: JoinSet::new(), names: HashMap::new() }
    }

    /// Starts a task in the current span. The name appears in logs and in [`Ended`].
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = T> + Send + 'static) {
        #[cfg(feature = "testing")]
        let task = super::freezer::inherit(task);
        let handle = self.tasks.spawn(task.in_current_span());
        self.names.insert(handle.id(), name.into());
    }

    /// As `spawn`, on another runtime.
    pub fn spawn_on(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = T> + Send + 'static,
        runtime: &Handle,
    ) {
        #[cfg(feature = "testing")]
        let task = super::freezer::inherit(task);
        let handle = self.tasks.spawn_on(task.in_current_span(), runtime);
        self.names.insert(handle.id(), name.into());
    }

    /// Waits until a task ends; `None` when there is none. Cancel-safe.
    pub async fn next(&mut self) -> Option<Ended<T>> {
        let joined = self.tasks.join_next_with_id().await?;
        let (id, result) = match joined {
            Ok((id, value)) => (id, Ok(value)),
            Err(error) => (error.id(), Err(failure(error))),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        Some(Ended { name, result })
    }

    /// Aborts all tasks. They must still be joined with [`Supervisor::next`].
    pub fn abort_all(&mut self) {
        self.tasks.abort_all();
    }

    /// Aborts and joins all tasks, and returns the names of those that had not finished.
    pub async fn abort_and_join(&mut self) -> Vec<String> {
        self.abort_all();
        let mut aborted = Vec::new();
        while let Some(ended) = self.next().await {
            if ended.result.is_err() {
                aborted.push(ended.name);
            }
        }
        aborted
    }

    /// Whether a task of this name is not joined yet.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.names.values().any(|known| known == name)
    }

    /// How many tasks are not joined yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl<T: Send + 'static> Default for Supervisor<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Supervisor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("tasks", &self.names.values()).finish_non_exhaustive()
    }
}

fn failure(error: JoinError) -> TaskFailure {
    match error.try_into_panic() {
        Ok(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned());
            TaskFailure::Panicked(text.unwrap_or_else(|| "no message".to_owned()))
        }
        Err(_) => TaskFailure::Aborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_end_is_reported_with_its_name() {
        let mut group = Supervisor::new();
        group.spawn("good", async { 1 });
        group.spawn("bad", async { panic!("on purpose") });
        let mut ends = Vec::new();
        while let Some(ended) = group.next().await {
            ends.push((ended.name, ended.result));
        }
        ends.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(ends[0], ("bad".to_owned(), Err(TaskFailure::Panicked("on purpose".to_owned()))));
        assert_eq!(ends[1], ("good".to_owned(), Ok(1)));
        assert!(group.is_empty());
    }

    #[tokio::test]
    async fn an_aborted_task_is_joined_and_named() {
        let mut group = Supervisor::<()>::new();
        group.spawn("endless", std::future::pending());
        assert!(group.contains("endless"));
        assert_eq!(group.abort_and_join().await, ["endless"]);
        assert!(group.is_empty());
    }
}
