//! Items out: the JSON object of a request becomes an item, one `PutItem`, one true answer.

use crate::aws::dynamodb::{Items, item_from_json};
use crate::domain::{BindingError, FailureKind, InvokeRequest, InvokeResponse, OutputBinding};
use crate::resilience::{Backoff, Retry};
use crate::telemetry::OutputMetrics;
use async_trait::async_trait;
use std::time::Duration;

/// Waits between attempts of one request.
const BACKOFF: Backoff = Backoff::millis(25, 2_000);

/// The output side of a DynamoDB component.
#[derive(Debug)]
pub(super) struct Output {
    /// Makes single attempts; retries are made here and nowhere else.
    pub(super) items: Items,
    /// Bounds one request, retries included.
    pub(super) request_timeout: Duration,
    /// Counts retries.
    pub(super) metrics: OutputMetrics,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &'static [&'static str] {
        &["create"]
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let item = item_from_json(&request.data)
            .map_err(|fault| BindingError::new(FailureKind::Caller, fault.to_string()).with_source(fault))?;
        let retry = Retry::within(self.request_timeout, BACKOFF, fastrand::u64(..));
        let mut attempts = 0_u64;
        let outcome = retry.run(|| {
            attempts += 1;
            self.items.put(item.clone())
        });
        let outcome = outcome.await;
        self.metrics.retried(attempts.saturating_sub(1));
        outcome.map(|_| InvokeResponse::default())
    }
}
