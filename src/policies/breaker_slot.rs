//! A circuit breaker that many calls share, and the place of one call in it.

use super::breaker::{BreakerSpec, BreakerState, CircuitBreaker, Rejection, Ticket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The breaker of one component. Inbound and outbound calls share it, as in Dapr.
#[derive(Debug)]
pub(super) struct SharedBreaker {
    /// `<policy>-<component>`, Dapr's name in the log.
    name: String,
    // A lock and not an owner task: held for a few comparisons, never across a wait.
    breaker: Mutex<CircuitBreaker>,
}

/// An admitted call. If it is dropped without a report, it counts as nothing.
#[derive(Debug)]
pub(super) struct Admitted {
    breaker: Arc<SharedBreaker>,
    ticket: Option<Ticket>,
}

impl SharedBreaker {
    pub(super) fn new(policy: &str, component: &str, spec: BreakerSpec) -> Self {
        let breaker = CircuitBreaker::new(spec, Instant::now());
        Self { name: format!("{policy}-{component}"), breaker: Mutex::new(breaker) }
    }

    pub(super) fn has_spec(&self, spec: &BreakerSpec) -> bool {
        self.lock().spec() == spec
    }

    pub(super) fn state(&self) -> BreakerState {
        self.changing(|breaker| breaker.state_at(Instant::now()))
    }

    pub(super) fn admit(self: &Arc<Self>) -> Result<Admitted, Rejection> {
        let ticket = self.changing(|breaker| breaker.admit(Instant::now()))?;
        Ok(Admitted { breaker: Arc::clone(self), ticket: Some(ticket) })
    }

    fn lock(&self) -> MutexGuard<'_, CircuitBreaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs Dapr's line if `change` changes the state.
    fn changing<T>(&self, change: impl FnOnce(&mut CircuitBreaker) -> T) -> T {
        let mut breaker = self.lock();
        let before = breaker.last_state();
        let result = change(&mut breaker);
        let after = breaker.last_state();
        drop(breaker);
        if before != after {
            tracing::info!("Circuit breaker {:?} changed state from {before} to {after}", self.name);
        }
        result
    }
}

impl Admitted {
    /// Returns the new state if the result changed it.
    pub(super) fn report(mut self, is_success: bool) -> Option<BreakerState> {
        let ticket = self.ticket.take()?;
        self.breaker.changing(|breaker| {
            let before = breaker.last_state();
            breaker.report(ticket, is_success, Instant::now());
            Some(breaker.last_state()).filter(|after| *after != before)
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.lock().cancel(ticket);
        }
    }
}
