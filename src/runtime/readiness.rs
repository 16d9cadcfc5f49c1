//! Whether the process is ready, and what it still waits for.

use std::sync::Arc;
use tokio::sync::watch;

/// Reported as pending once the process is stopping.
const STOPPING: &str = "shutting-down";

/// Ready when the last guard is dropped. Cheap to clone; the clones share one state.
///
/// A process has two: one for outputs (HTTP is served and outputs can be invoked), and one for everything.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<String>,
    stopping: bool,
}

/// Keeps a [`Readiness`] unready until it is dropped.
#[derive(Debug)]
#[must_use = "dropping the guard at once makes the process ready at once"]
pub struct ReadinessGuard {
    name: String,
    state: Arc<watch::Sender<State>>,
}

impl Readiness {
    /// Ready until the first guard is taken, so take the guards before others use it.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::default())) }
    }

    /// Keeps the process unready, under this name, until the guard is dropped.
    pub fn guard(&self, name: impl Into<String>) -> ReadinessGuard {
        let name = name.into();
        self.state.send_modify(|state| state.pending.push(name.clone()));
        ReadinessGuard { name, state: Arc::clone(&self.state) }
    }

    /// Whether nothing is pending and the process is not stopping.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.borrow().is_ready()
    }

    /// The names of the guards, in the order in which they were taken; `shutting-down` once stopped.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        let state = self.state.borrow();
        if state.stopping { vec![STOPPING.to_owned()] } else { state.pending.clone() }
    }

    /// Not ready from now on, for good.
    pub fn stop(&self) {
        self.state.send_modify(|state| state.stopping = true);
    }

    /// Resolves once ready. Never resolves after [`Readiness::stop`]. Cancel-safe.
    pub async fn ready(&self) {
        self.becomes(true).await;
    }

    /// Resolves once it is ready, or once it is not. Cancel-safe.
    pub async fn becomes(&self, is_ready: bool) {
        let mut changes = self.state.subscribe();
        if changes.wait_for(|state| state.is_ready() == is_ready).await.is_err() {
            // Unreachable while `self` holds the sender.
            std::future::pending::<()>().await;
        }
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    const fn is_ready(&self) -> bool {
        self.pending.is_empty() && !self.stopping
    }
}

impl Drop for ReadinessGuard {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            if let Some(index) = state.pending.iter().position(|name| *name == self.name) {
                state.pending.remove(index);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn the_process_is_ready_when_the_last_guard_is_dropped() {
        let readiness = Readiness::new();
        let (http, app) = (readiness.guard("http"), readiness.guard("app"));
        let second = readiness.guard("http");
        assert_eq!(readiness.pending(), ["http", "app", "http"]);
        drop(http);
        assert_eq!(readiness.pending(), ["app", "http"]);
        drop(app);
        assert!(!readiness.is_ready() && readiness.ready().now_or_never().is_none());
        drop(second);
        assert!(readiness.is_ready());
        readiness.ready().await;
        assert!(readiness.becomes(false).now_or_never().is_none());
        let _third = readiness.guard("app");
        readiness.becomes(false).await;
    }

    #[test]
    fn a_stopped_process_is_never_ready_again() {
        let readiness = Readiness::new();
        let guard = readiness.guard("app");
        readiness.stop();
        drop(guard);
        assert!(!readiness.is_ready());
        assert_eq!(readiness.pending(), [STOPPING]);
    }
}
