//! Counts deliveries with all that other handlers do around them, such as the retries of a policy.

use crate::domain::{Accepted, DeliveryError, EventBatch, EventHandler, Message, Record, RedeliveryPolicy};
use crate::telemetry::InputBindingMetrics;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug)]
struct Counted {
    handler: Arc<dyn EventHandler>,
    metrics: InputBindingMetrics,
}

/// The handler, with Dapr's metrics of its events.
#[must_use]
pub fn counted(handler: Arc<dyn EventHandler>, metrics: InputBindingMetrics) -> Arc<dyn EventHandler> {
    Arc::new(Counted { handler, metrics })
}

#[async_trait]
impl EventHandler for Counted {
    async fn handle(&self, batch: &EventBatch) -> Result<Accepted, DeliveryError> {
        let begun = Instant::now();
        let result = self.handler.handle(batch).await;
        let failed = match &result {
            Ok(Accepted::All) => 0,
            Ok(Accepted::Except(failed)) => failed.len(),
            Err(_) => batch.events.len(),
        };
        let took = begun.elapsed();
        for (events, is_success) in [(batch.events.len().saturating_sub(failed), true), (failed, false)] {
            if events > 0 {
                self.metrics.handled(events, is_success, took);
            }
        }
        result
    }

    async fn handle_message(&self, message: &Message) -> Result<Bytes, DeliveryError> {
        let begun = Instant::now();
        let result = self.handler.handle_message(message).await;
        self.metrics.handled(1, result.is_ok(), begun.elapsed());
        result
    }

    fn redelivery(&self) -> Option<Arc<dyn RedeliveryPolicy>> {
        self.handler.redelivery()
    }

    async fn is_reachable(&self) -> bool {
        self.handler.is_reachable().await
    }

    fn body_size(&self, record: &Record) -> usize {
        self.handler.body_size(record)
    }
}
