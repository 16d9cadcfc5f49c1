//! Delivers events under the policies of their component.
//!
//! The consumer repeats deliveries: the retry policy only gives it the pauses. An open breaker holds events back; they
//! come again when it is half-open, and no attempt counts.

use super::observer::{Flow, PolicyKind};
use super::registry::{Active, Policies};
use super::retry::Retry;
use crate::domain::{
    Accepted, ComponentName, DeliveryError, EventBatch, EventHandler, GoDuration, Message, Record, RedeliveryPolicy,
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
    /// A delivery failed, and none succeeded since. One line is logged for each change, not for each event.
    is_failing: AtomicBool,
}

impl Policies {
    /// Wraps the handler of a component's events. It follows every reload.
    #[must_use]
    pub fn handler(self: &Arc<Self>, component: ComponentName, inner: Arc<dyn EventHandler>) -> Arc<dyn EventHandler> {
        Arc::new(PolicyHandler::new(component, inner, Arc::clone(self)))
    }
}

impl PolicyHandler {
    pub(super) fn new(component: ComponentName, inner: Arc<dyn EventHandler>, policies: Arc<Policies>) -> Self {
        Self { component, inner, policies, is_failing: AtomicBool::new(false) }
    }

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

    fn log(&self, active: &Active<'_>, attempt: u32, is_success: bool) {
        let component = &self.component;
        if is_success {
            if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed) {
                tracing::info!("Recovered processing operation component[{component}] input after {attempt} attempts");
            }
        } else if let Some(retry) = &active.retry
            && !self.is_failing.swap(true, Ordering::Relaxed)
        {
            active.activated(PolicyKind::Retry);
            let wait = GoDuration(retry.wait(attempt.saturating_sub(1), 0.5));
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
        let result = self.attempt(&active, self.inner.handle(batch)).await;
        self.log(&active, batch.events.first().map_or(1, |event| event.attempt), result.is_ok());
        result
    }

    /// No consumer repeats a message, so the retry policy is carried out here.
    async fn handle_message(&self, message: &Message) -> Result<Bytes, DeliveryError> {
        let mut attempt = 0_u32;
        loop {
            attempt = attempt.saturating_add(1);
            let Some(active) = self.policies.active(self.component.as_str(), Flow::Inbound) else {
                return self.inner.handle_message(message).await;
            };
            let result = self.attempt(&active, self.inner.handle_message(message)).await;
            self.log(&active, attempt, result.is_ok());
            let error = match result {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let is_repeated = |retry: &Arc<Retry>| {
                retry.max_attempts().is_none_or(|max| attempt < max)
                    && !matches!(error, DeliveryError::Held { .. })
                    && error.status().is_none_or(|status| retry.is_retried(status))
            };
            let Some(retry) = active.retry.clone().filter(is_repeated) else { return Err(error) };
            tokio::time::sleep(RedeliveryPolicy::wait(&*retry, attempt - 1, fastrand::f64())).await;
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

#[cfg(test)]
#[path = "tests/inbound.rs"]
mod tests;
