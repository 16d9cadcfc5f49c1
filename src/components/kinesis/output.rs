//! Records out: one request, one `PutRecord`, one true answer.

use super::super::attempts::Attempts;
use super::payload::PayloadForm;
use crate::aws::kinesis::{Producer, PutReceipt, PutRequest, check_limits};
use crate::domain::{BindingError, InvokeRequest, InvokeResponse, OutputBinding};
use crate::resilience::{Backoff, Spent};
use async_trait::async_trait;

/// Waits between attempts of one request.
pub(super) const BACKOFF: Backoff = Backoff::millis(50, 2_000);

/// The output side of a Kinesis component.
#[derive(Debug)]
pub(super) struct Output {
    /// Makes single attempts.
    pub(super) producer: Producer,
    /// The component's `partitionKey`.
    pub(super) partition_key: Option<String>,
    /// The component's way from `data` to bytes.
    pub(super) form: PayloadForm,
    /// Repeats them.
    pub(super) attempts: Attempts,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &'static [&'static str] {
        &["create"]
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let put = self.put_request(request)?;
        check_limits(&put)?;
        let outcome = self.attempts.run(|| self.producer.put(put.clone())).await;
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
