//! Compresses records as they are sent, for `aggregation: lines | json-array`: the payload is what several callers wrote, so
//! none of them can compress it. Runs in the task of the call, not in that of the producer.

use super::payload::Compression;
use crate::domain::{BindingError, NewRecord, Receipt, RecordWriter, SequenceNumber};
use async_trait::async_trait;

/// Compresses each record, and passes it to another writer.
#[derive(Debug)]
pub(super) struct CompressedWriter<W> {
    pub(super) writer: W,
    pub(super) compression: Compression,
}

#[async_trait]
impl<W: RecordWriter> RecordWriter for CompressedWriter<W> {
    async fn put(&self, record: &NewRecord, after: Option<&SequenceNumber>) -> Result<Receipt, BindingError> {
        let record = self.compression.apply(record.clone()).await?;
        self.writer.put(&record, after).await
    }

    async fn put_all(&self, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
        let mut compressed = Vec::with_capacity(records.len());
        for record in records {
            compressed.push(self.compression.apply(record.clone()).await?);
        }
        self.writer.put_all(&compressed).await
    }
}
