//! Records out: one request, one record, one true answer.

use super::payload::PayloadForm;
use crate::domain::{
    BindingError, FailureKind, InvokeRequest, InvokeResponse, Metadata, NewRecord, OutputBinding, PartitionKey,
};
use crate::producer::{Producer, PutOptions, Written};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::Instant;

/// The output side of a Kinesis component.
#[derive(Debug)]
pub(super) struct Output {
    /// Writes records.
    pub(super) producer: Producer,
    /// The component's `partitionKey`.
    pub(super) partition_key: Option<String>,
    /// The component's way from `data` to bytes.
    pub(super) form: PayloadForm,
    /// Bounds one request, retries included.
    pub(super) request_timeout: Duration,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &'static [&'static str] {
        &["create"]
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let deadline = Instant::now() + self.request_timeout;
        let record = self.record(request)?;
        let options = PutOptions { deadline, after: None, fail_if_throttled: false };
        self.producer.put(record, options).await.map(answer)
    }
}

impl Output {
    fn record(&self, request: InvokeRequest) -> Result<NewRecord, BindingError> {
        let metadata = &request.metadata;
        Ok(NewRecord {
            partition_key: Some(self.partition_key(metadata)?),
            explicit_hash_key: metadata.get("explicitHashKey").map(hash_key).transpose()?,
            data: self.form.for_request(metadata).bytes(request.data)?,
        })
    }

    fn partition_key(&self, metadata: &Metadata) -> Result<PartitionKey, BindingError> {
        let stated = metadata.get("partitionKey").or(self.partition_key.as_deref());
        let key = stated.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        key.parse().map_err(|error| BindingError::new(FailureKind::Caller, format!("{error}")))
    }
}

fn hash_key(text: &str) -> Result<u128, BindingError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let refused = "the explicit hash key must be a decimal number from 0 to 2^128 - 1";
    digits.ok_or_else(|| BindingError::new(FailureKind::Caller, refused))
}

fn answer(written: Written) -> InvokeResponse {
    let receipt = written.receipt;
    let mut metadata =
        vec![("sequenceNumber", receipt.sequence.to_string()), ("shardId", receipt.shard.as_str().to_owned())];
    metadata.extend(receipt.encryption.map(|kind| ("encryptionType", kind.to_string())));
    if written.attempts > 1 {
        metadata.push(("attempts", written.attempts.to_string()));
    }
    InvokeResponse { metadata, ..InvokeResponse::default() }
}
