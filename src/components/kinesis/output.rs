//! Records out: one request, one `PutRecord`, one true answer.

use super::payload::PayloadForm;
use crate::aws::kinesis::{Producer, PutReceipt, PutRequest, check_limits};
use crate::domain::{BindingError, InvokeRequest, InvokeResponse, OutputBinding};
use crate::resilience::{Backoff, Retry, Spent};
use crate::telemetry::OutputMetrics;
use async_trait::async_trait;
use std::time::Duration;

/// Waits between attempts of one request.
const BACKOFF: Backoff = Backoff::millis(50, 2_000);

/// The output side of a Kinesis component.
#[derive(Debug)]
pub(super) struct Output {
    /// Makes single attempts; retries are made here and nowhere else.
    pub(super) producer: Producer,
    /// The component's `partitionKey`.
    pub(super) partition_key: Option<String>,
    /// The component's way from `data` to bytes.
    pub(super) form: PayloadForm,
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
        let put = self.put_request(request)?;
        check_limits(&put)?;
        let retry = Retry::within(self.request_timeout, BACKOFF, fastrand::u64(..));
        let mut attempts = 0_u64;
        let outcome = retry.run(|| {
            attempts += 1;
            self.producer.put(put.clone())
        });
        let outcome = outcome.await;
        self.metrics.retried(attempts.saturating_sub(1));
        outcome.map(answer)
    }
}

impl Output {
    fn put_request(&self, request: InvokeRequest) -> Result<PutRequest, BindingError> {
        let metadata = &request.metadata;
        let partition_key = metadata.get("partitionKey").or(self.partition_key.as_deref());
        Ok(PutRequest {
            partition_key: partition_key.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned),
            explicit_hash_key: metadata.get("explicitHashKey").map(str::to_owned),
            data: self.form.for_request(metadata).bytes(request.data)?,
        })
    }
}

fn answer(spent: Spent<PutReceipt>) -> InvokeResponse {
    let receipt = spent.value;
    let mut metadata = vec![("sequenceNumber", receipt.sequence_number), ("shardId", receipt.shard_id)];
    metadata.extend(receipt.encryption.map(|kind| ("encryptionType", kind)));
    if spent.attempts > 1 {
        metadata.push(("attempts", spent.attempts.to_string()));
    }
    InvokeResponse { data: None, metadata }
}
