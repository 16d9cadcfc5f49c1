//! Delivers events under the policies of their component.
//!
//! The consumer repeats deliveries of batches: the retry policy only gives it the pauses. An open breaker holds events
//! back; they come again when it is half-open, and no attempt counts. Messages are repeated here, as nothing else does.

use super::observer::{Flow, PolicyKind};
use super::registry::{Active, Policies};
use super::retry::Retry;
use crate::domain::{
    Accepted, ComponentName, DeliveryError, EventBatch, EventHandler, GoDuration, Message, Record, RedeliveryPolicy,
    Stop,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Wraps the handler of one component's events.
#[derive(Debug)]
pub struct PolicyHandler {
    component: ComponentName,
    inner: Arc<dyn EventHandler>,
    policies: Arc<Policies>,
    /// No message is repeated any more.
    stop: Stop,
    /// A delivery failed, and none succeeded since. One line is logged for each change, not for each event.
    is_failing: AtomicBool,
}

impl Policies {
    /// Wraps the handler of a component's events. It follows every reload. Once `stop` finishes, no message is repeated.
    #[must_use]
    pub fn handler(
        self: &Arc<Self>,
        component: ComponentName,
        inner: Arc<dyn EventHandler>,
        stop: Stop,
    ) -> Arc<dyn EventHandler> {
        let (policies, is_failing) = (Arc::clone(self), AtomicBool::new(false));
        Arc::new(PolicyHandler { component, inner, policies, stop, is_failing })
    }
}

impl PolicyHandler {
    /// One delivery under the circuit breaker and the timeout.
    async fn attempt<T>(
        &self,
        active: &Active<'_>,
        delivery: impl Future<Output = Result<T, DeliveryError>>,
    ) -> Result<T, DeliveryError> {
        let admitted = match active.breaker.as_ref().map(|breaker| breaker.admit()).transpose() {
            Ok(admitted) => admitted,
            Err(rejection) => {
                return Err(DeliveryError::Held { reason: rejection.to_string(), wait: rejection.wait() });
            }
        };
        let result = self.within_timeout(active, delivery).await;
        if let Some(state) = admitted.and_then(|admitted| admitted.report(result.is_ok())) {
            active.activated(PolicyKind::CircuitBreaker(state));
        }
        result
    }

    async fn within_timeout<T>(
        &self,
        active: &Active<'_>,
        delivery: impl Future<Output = Result<T, DeliveryError>>,
    ) -> Result<T, DeliveryError> {
        let Some(limit) = active.timeout else { return delivery.await };
        tokio::time::timeout(limit, delivery).await.unwrap_or_else(|_| {
            active.activated(PolicyKind::Timeout);
            let target = format!("an event of {}", self.component);
            Err(DeliveryError::TimedOut { target, limit, option: "the timeout of its Resiliency policy" })
        })
    }

    fn report_success(&self, attempt: u32) {
        if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed) {
            let component = &self.component;
            tracing::info!("Recovered processing operation component[{component}] input after {attempt} attempts");
        }
    }

    /// Counts and logs that an event is delivered again after a pause.
    fn report_retry(&self, active: &Active<'_>, retry: &Retry, attempt: u32) {
        if attempt == 1 {
            active.activated(PolicyKind::Retry);
        }
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let (component, wait) = (&self.component, GoDuration(retry.wait(attempt.saturating_sub(1), 0.5)));
            tracing::warn!("Error processing operation component[{component}] input. Retrying in {wait}…");
        }
    }
}

#[async_trait]
impl EventHandler for PolicyHandler {
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let Some(active) = self.policies.active(self.component.as_str(), Flow::Inbound) else {
            return self.inner.handle(batch).await;
        };
        let attempt = batch.events.first().map_or(1, |event| event.attempt);
        if attempt == 1 {
            active.executed();
        }
        let result = self.attempt(&active, self.inner.handle(batch)).await;
        match (&result, &active.retry) {
            (Ok(_), _) => self.report_success(attempt),
            (Err(DeliveryError::Held { .. }), _) | (Err(_), None) => {}
            (Err(_), Some(retry)) => self.report_retry(&active, retry, attempt),
        }
        result
    }

    async fn handle_message(&self, message: &Message) -> Result<Bytes, DeliveryError> {
        let mut attempt = 1_u32;
        loop {
            let Some(active) = self.policies.active(self.component.as_str(), Flow::Inbound) else {
                return self.inner.handle_message(message).await;
            };
            if attempt == 1 {
                active.executed();
            }
            let error = match self.attempt(&active, self.inner.handle_message(message)).await {
                Ok(reply) => {
                    self.report_success(attempt);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            let Some(retry) = active.retry.as_ref().filter(|retry| repeats(retry, attempt, &error)) else {
                return Err(error);
            };
            self.report_retry(&active, retry, attempt);
            let pause = tokio::time::sleep(RedeliveryPolicy::wait(&**retry, attempt - 1, fastrand::f64()));
            tokio::select! {
                () = pause => {}
                () = self.stop.finishing() => return Err(error),
            }
            attempt = attempt.saturating_add(1);
        }
    }

    async fn is_reachable(&self) -> bool {
        self.inner.is_reachable().await
    }

    fn body_size(&self, record: &Record) -> usize {
        self.inner.body_size(record)
    }

    fn redelivery(&self) -> Option<Arc<dyn RedeliveryPolicy>> {
        let retry = self.policies.inbound_retry(self.component.as_str())?;
        Some(retry)
    }
}

/// Whether a message that failed is delivered again.
fn repeats(retry: &Retry, attempt: u32, error: &DeliveryError) -> bool {
    retry.max_attempts().is_none_or(|max| attempt < max)
        && !matches!(error, DeliveryError::Held { .. })
        && error.status().is_none_or(|status| retry.is_retried(status))
}

#[cfg(test)]
#[path = "tests/inbound.rs"]
mod tests;
