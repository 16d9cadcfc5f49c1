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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FailureKind, NewRecord};
    use std::sync::Mutex;

    /// Keeps the sizes of the records.
    #[derive(Debug, Default)]
    struct Sizes(Mutex<Vec<usize>>);

    #[async_trait]
    impl RecordWriter for Sizes {
        async fn put(&self, record: &NewRecord, _: Option<&SequenceNumber>) -> Result<Receipt, BindingError> {
            self.0.lock().unwrap().push(record.size());
            Err(BindingError::new(FailureKind::Transient, "not stored"))
        }

        async fn put_all(&self, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
            self.0.lock().unwrap().extend(records.iter().map(NewRecord::size));
            Err(BindingError::new(FailureKind::Transient, "not stored"))
        }
    }

    #[tokio::test]
    async fn no_record_is_larger_than_the_producer_counts() {
        let writer = CompressedWriter { writer: Sizes::default(), compression: Compression::Gzip };
        let mut random = fastrand::Rng::with_seed(3);
        let record = |random: &mut fastrand::Rng| {
            let mut data = vec![0; random.usize(0..200_000)];
            random.fill(&mut data);
            NewRecord { data: data.into(), partition_key: "key".parse().ok(), explicit_hash_key: None }
        };
        let records: Vec<NewRecord> = (0..40).map(|_| record(&mut random)).collect();
        assert!(writer.put_all(&records).await.is_err());
        for record in &records {
            assert!(writer.put(record, None).await.is_err());
        }
        let growth = Compression::Gzip.growth();
        let sizes = writer.writer.0.into_inner().unwrap();
        assert_eq!(sizes.len(), 80);
        for (size, record) in sizes.iter().zip(records.iter().chain(&records)) {
            assert!((record.size()..=growth.grown(record.size())).contains(size), "{} became {size}", record.size());
        }
    }
}
