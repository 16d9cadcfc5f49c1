//! What happens to the records of an input before the app receives them.

use super::{BindingEvent, DecompressFailure, Record};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::Debug;

/// Chooses the records of an input that the app receives.
#[async_trait]
pub trait RecordFilter: Debug + Send + Sync {
    /// Sets [`Record::is_filtered`] of the records that the app does not receive. What it has to decompress for that stays
    /// with the records, up to `memory` bytes. Called once for each read; yields to other tasks.
    async fn mark(&self, records: &mut [Record], memory: usize);
}

/// Changes the records of an input on their way to the app.
#[async_trait]
pub trait RecordTransform: Debug + Send + Sync {
    /// What the app receives for an event. `decompressed` is [`Record::decompressed`]. Called again for each delivery of the
    /// event, so that nothing is held between two.
    ///
    /// Outputs hold their memory as long as they live. `None`: there is no memory now, and the caller may not wait for it. A
    /// caller that holds outputs must not wait, since all might wait for each other.
    async fn transform(
        &self,
        event: &BindingEvent,
        decompressed: Option<&Bytes>,
        may_wait: bool,
    ) -> Option<Transformed>;
}

/// The result of a [`RecordTransform`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transformed {
    /// There was nothing to do but to decompress the record, which may have failed.
    Unchanged(Bytes, Option<DecompressFailure>),
    /// The app receives these, in this order. None of them: the record counts as accepted.
    Outputs(Vec<Bytes>),
    /// The record as it is, because the transform failed and the component says that it is to be sent then. It may have
    /// failed because the record could not be decompressed.
    PassedThrough(Bytes, Option<DecompressFailure>, TransformError),
    /// The transform failed, and the component says that the record is to be dropped then.
    Dropped(TransformError),
    /// The transform failed. Another attempt would fail too, so the record is given up.
    Failed(TransformError),
    /// The transform ran out of time, perhaps because this process was stopped for a while. Another attempt may succeed.
    OutOfTime(TransformError),
}

/// Why a record could not be transformed: one line of bounded length, without a part of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the transform failed: {0}")]
pub struct TransformError(pub String);
