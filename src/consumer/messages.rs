//! Requests with events that belong to no stream.

use super::limits::SharedLimits;
use crate::domain::{Accepted, DeliveryError, EventBatch, EventHandler, Message, Record, RedeliveryPolicy};
use crate::telemetry::InputMetrics;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug)]
struct InTurn {
    app: Arc<dyn EventHandler>,
    limits: SharedLimits,
    metrics: InputMetrics,
}

impl SharedLimits {
    /// The app, whose requests with a message wait for their turn (`--app-max-concurrency`) and are timed. A policy that
    /// repeats messages must be around this handler, so that its pauses take no place. Batches have their place already.
    #[must_use]
    pub fn in_turn(&self, app: Arc<dyn EventHandler>, metrics: InputMetrics) -> Arc<dyn EventHandler> {
        Arc::new(InTurn { app, limits: self.clone(), metrics })
    }
}

/// Counts a request also if it is abandoned.
struct Timed<'m> {
    metrics: &'m InputMetrics,
    begun: Instant,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.metrics.called_back(self.begun.elapsed());
    }
}

#[async_trait]
impl EventHandler for InTurn {
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        self.app.handle(batch).await
    }

    async fn handle_message(&self, message: &Message) -> Result<Bytes, DeliveryError> {
        let _slot = self.limits.admission.slot().await;
        let _timed = Timed { metrics: &self.metrics, begun: Instant::now() };
        self.app.handle_message(message).await
    }

    async fn is_reachable(&self) -> bool {
        self.app.is_reachable().await
    }

    fn body_size(&self, record: &Record) -> usize {
        self.app.body_size(record)
    }

    fn redelivery(&self) -> Option<Arc<dyn RedeliveryPolicy>> {
        self.app.redelivery()
    }
}
