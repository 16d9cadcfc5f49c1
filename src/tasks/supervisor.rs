//! A named group of tasks that all yield the same type.

use std::collections::HashMap;
use std::fmt;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument;

/// Owns tasks until they are joined. Dropping it aborts them, so nothing outlives its owner.
pub struct Supervisor<T> {
    set: JoinSet<T>,
    names: HashMap<Id, String>,
}

/// A task that came to its end, and how.
#[derive(Debug)]
pub struct Ended<T> {
    /// The name it was spawned with.
    pub name: String,
    /// What it returned.
    pub result: Result<T, TaskFailure>,
}

/// A task did not return.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    /// It panicked; the text of the panic.
    #[error("panicked: {0}")]
    Panicked(String),
    /// It was aborted.
    #[error("was aborted")]
    Aborted,
}

impl<T: Send + 'static> Supervisor<T> {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self { set: JoinSet::new(), names: HashMap::new() }
    }

    /// Starts a task in the span of its owner. The name appears in logs and in [`Ended`].
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = T> + Send + 'static) {
        let handle = self.set.spawn(task.in_current_span());
        self.names.insert(handle.id(), name.into());
    }

    /// Waits for the next task to end; `None` when the group is empty. Cancel-safe.
    pub async fn next(&mut self) -> Option<Ended<T>> {
        let joined = self.set.join_next_with_id().await?;
        let (id, result) = match joined {
            Ok((id, value)) => (id, Ok(value)),
            Err(error) => (error.id(), Err(failure(error))),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        Some(Ended { name, result })
    }

    /// Aborts what still runs; it must still be joined with [`Supervisor::next`].
    pub fn abort_all(&mut self) {
        self.set.abort_all();
    }

    /// Aborts what still runs and joins it; gives the names of the tasks that were cut.
    pub async fn abort_and_join(&mut self) -> Vec<String> {
        self.abort_all();
        let mut cut = Vec::new();
        while let Some(ended) = self.next().await {
            if ended.result.is_err() {
                cut.push(ended.name);
            }
        }
        cut
    }

    /// The tasks that still run, by name.
    #[must_use]
    pub fn running(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.names.values().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// How many tasks are not joined yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether every task is joined.
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
            TaskFailure::Panicked(text.unwrap_or_else(|| "no text".to_owned()))
        }
        Err(_) => TaskFailure::Aborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_end_is_told_with_its_name() {
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
    async fn what_is_cut_is_joined_and_named() {
        let mut group = Supervisor::<()>::new();
        group.spawn("endless", std::future::pending());
        assert_eq!(group.running(), ["endless"]);
        assert_eq!(group.abort_and_join().await, ["endless"]);
        assert!(group.is_empty());
    }
}
