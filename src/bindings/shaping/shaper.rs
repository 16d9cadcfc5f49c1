//! Filters and transforms the data of requests to an output.

use super::expression::ExpressionError;
use super::record::{Shaped, Shaping};
use super::run_place::RunPlace;
use crate::domain::{BindingError, BodyMemory, FailureKind, InvokeResponse, Metadata, ReservedMemory};
use crate::event_pattern::{Fields, Scalar};
use crate::telemetry::{LogLimit, ShapingMetrics};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::time::Instant;

/// `filter` and `transform` of an output.
#[derive(Debug)]
pub(in crate::bindings) struct Shaper {
    component: String,
    shaping: Arc<Shaping>,
    /// For what transforms make, until it is written: a small request may become large.
    memory: BodyMemory,
    metrics: ShapingMetrics,
    place: RunPlace,
    log: LogLimit,
}

/// Why a record is not written, although nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bindings) enum LeftOut {
    /// The filter does not match, or the transform has no output.
    Filtered,
    /// The transform failed, and such records are dropped and counted.
    Dropped,
}

impl LeftOut {
    pub(in crate::bindings) const ALL: [Self; 2] = [Self::Filtered, Self::Dropped];

    /// Whether a response says that its record was left out.
    pub(in crate::bindings) fn is_reported_in(response: &InvokeResponse) -> bool {
        let is_name = |key: &str| Self::ALL.iter().any(|why| why.as_str() == key);
        response.metadata.iter().any(|(key, value)| is_name(key) && value == "true")
    }

    /// The name in responses.
    pub(in crate::bindings) const fn as_str(self) -> &'static str {
        match self {
            Self::Filtered => "filtered",
            Self::Dropped => "dropped",
        }
    }
}

/// The response metadata of a bulk: how many of its items were done, failed, and were left out for each reason.
pub(in crate::bindings) fn counts(
    items: usize,
    failed: usize,
    left_out: [usize; 2],
) -> Vec<(Cow<'static, str>, String)> {
    let succeeded = items - failed - left_out.iter().sum::<usize>();
    let mut counts = vec![("succeeded".into(), succeeded.to_string()), ("failed".into(), failed.to_string())];
    let left_out = LeftOut::ALL.into_iter().zip(left_out).filter(|(_, count)| *count > 0);
    counts.extend(left_out.map(|(why, count)| (why.as_str().into(), count.to_string())));
    counts
}

/// The data to write.
#[derive(Debug)]
pub(in crate::bindings) enum ShapedData {
    /// That of the request.
    Unchanged,
    /// The output of a transform. Its memory must be held until it is written, also by what is made of it.
    One(Bytes, ReservedMemory),
    /// The outputs of a transform, two or more, and the memory of all.
    Several(Vec<Bytes>, ReservedMemory),
    LeftOut(LeftOut),
}

/// A transform failed.
#[derive(Debug)]
pub(in crate::bindings) struct TransformFailure {
    pub(in crate::bindings) error: BindingError,
    /// Whether the data goes to the dead letter binding.
    pub(in crate::bindings) is_dead_letter: bool,
}

struct Record<'r> {
    data: &'r [u8],
    partition_key: Option<&'r str>,
}

impl Fields for Record<'_> {
    fn data(&self) -> &[u8] {
        self.data
    }

    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        match name {
            "partitionKey" => self.partition_key.map(|key| Scalar::String(Cow::Borrowed(key))),
            _ => None,
        }
    }
}

/// Filters and transforms the data of one record. `partition_key` is the request's or the component's, where that does
/// not depend on the data.
pub(in crate::bindings) fn shape_request(
    shaping: &Shaping,
    data: &[u8],
    partition_key: Option<&str>,
    metadata: &Metadata,
) -> Shaped {
    shaping.apply(&Record { data, partition_key }, metadata.pairs())
}

impl Shaper {
    pub(in crate::bindings) fn new(
        component: &str,
        shaping: Arc<Shaping>,
        memory: BodyMemory,
        metrics: ShapingMetrics,
    ) -> Self {
        let (place, log) = (RunPlace::default(), LogLimit::default());
        Self { component: component.to_owned(), shaping, memory, metrics, place, log }
    }

    /// As [`shape_request`], and counts what happened. Large records and slow programs do not block the thread.
    ///
    /// # Errors
    /// When the transform fails and the component does not say to go on; `Unavailable` when what it made does not fit into
    /// the memory for bodies.
    pub(in crate::bindings) async fn shape(
        &self,
        data: &Bytes,
        partition_key: Option<&str>,
        metadata: &Metadata,
    ) -> Result<ShapedData, TransformFailure> {
        self.decide(self.run(data, partition_key, metadata).await)
    }

    /// The same for an item, which may become one other only: several outputs are a failure of the transform.
    ///
    /// # Errors
    /// As [`Self::shape`].
    pub(in crate::bindings) async fn shape_item(
        &self,
        data: &Bytes,
        metadata: &Metadata,
    ) -> Result<ShapedData, TransformFailure> {
        self.decide(self.shaping.one_item(self.run(data, None, metadata).await))
    }

    fn decide(&self, shaped: Shaped) -> Result<ShapedData, TransformFailure> {
        if let Some(result) = shaped.counted() {
            self.metrics.count(result);
        }
        match shaped {
            Shaped::Unchanged => Ok(ShapedData::Unchanged),
            Shaped::Filtered => Ok(ShapedData::LeftOut(LeftOut::Filtered)),
            Shaped::PassedThrough(error) => {
                self.log(&error, "the record is written as it is");
                Ok(ShapedData::Unchanged)
            }
            Shaped::Dropped(error) => {
                self.log(&error, "the record is dropped");
                Ok(ShapedData::LeftOut(LeftOut::Dropped))
            }
            Shaped::Records(outputs) => {
                let memory = self.reserved(&outputs)?;
                Ok(match <[Bytes; 1]>::try_from(outputs) {
                    Ok([output]) => ShapedData::One(output, memory),
                    Err(outputs) => ShapedData::Several(outputs, memory),
                })
            }
            Shaped::Failed(error) | Shaped::OutOfTime(error) => {
                Err(TransformFailure { error: error.of_field("transform"), is_dead_letter: false })
            }
            Shaped::DeadLetter(error) => {
                Err(TransformFailure { error: error.of_field("transform"), is_dead_letter: true })
            }
        }
    }

    /// A failure that the caller does not see as an error.
    fn log(&self, error: &ExpressionError, consequence: &'static str) {
        let Some(others) = self.log.next(Instant::now()) else { return };
        tracing::warn!(component = self.component, others, consequence, %error, "transform failed");
    }

    async fn run(&self, data: &Bytes, partition_key: Option<&str>, metadata: &Metadata) -> Shaped {
        if self.place.is_here(data.len()) {
            return self.place.here(|| shape_request(&self.shaping, data, partition_key, metadata));
        }
        let (shaping, data, metadata) = (Arc::clone(&self.shaping), data.clone(), metadata.clone());
        let key = partition_key.map(str::to_owned);
        self.place.elsewhere(move || shape_request(&shaping, &data, key.as_deref(), &metadata)).await
    }

    fn reserved(&self, outputs: &[Bytes]) -> Result<ReservedMemory, TransformFailure> {
        let mut reservation = self.memory.reservation();
        reservation.grow(outputs.iter().map(Bytes::len).sum()).map_err(|full| TransformFailure {
            error: BindingError::new(FailureKind::Unavailable, full.to_string()),
            is_dead_letter: false,
        })?;
        Ok(ReservedMemory::from(reservation))
    }
}

#[cfg(test)]
#[path = "tests/shaper.rs"]
mod tests;
