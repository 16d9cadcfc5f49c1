//! Filters and transforms the data of requests to an output.

use super::record::{Shaped, Shaping};
use super::run_place::RunPlace;
use crate::domain::{BindingError, BodyMemory, FailureKind, InvokeResponse, Metadata, ReservedMemory};
use crate::event_pattern::{Fields, Scalar};
use crate::telemetry::ShapingMetrics;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// `filter` and `transform` of an output.
#[derive(Debug)]
pub(in crate::bindings) struct Shaper {
    shaping: Arc<Shaping>,
    /// For what transforms make, until it is written: a small request may become large.
    memory: BodyMemory,
    metrics: ShapingMetrics,
    place: RunPlace,
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
    /// The output of a transform.
    One(Bytes),
    /// The outputs of a transform, two or more.
    Several(Vec<Bytes>),
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
    pub(in crate::bindings) fn new(shaping: Arc<Shaping>, memory: BodyMemory, metrics: ShapingMetrics) -> Self {
        Self { shaping, memory, metrics, place: RunPlace::default() }
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
        let shaped = self.run(data, partition_key, metadata).await;
        if let Some(result) = shaped.counted() {
            self.metrics.count(result);
        }
        match shaped {
            Shaped::Unchanged | Shaped::PassedThrough(_) => Ok(ShapedData::Unchanged),
            Shaped::Filtered => Ok(ShapedData::LeftOut(LeftOut::Filtered)),
            Shaped::Dropped(_) => Ok(ShapedData::LeftOut(LeftOut::Dropped)),
            Shaped::Records(outputs) => {
                let outputs = self.held(outputs)?;
                Ok(match <[Bytes; 1]>::try_from(outputs) {
                    Ok([output]) => ShapedData::One(output),
                    Err(outputs) => ShapedData::Several(outputs),
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

    async fn run(&self, data: &Bytes, partition_key: Option<&str>, metadata: &Metadata) -> Shaped {
        if self.place.is_here(data.len()) {
            return self.place.here(|| shape_request(&self.shaping, data, partition_key, metadata));
        }
        let (shaping, data, metadata) = (Arc::clone(&self.shaping), data.clone(), metadata.clone());
        let key = partition_key.map(str::to_owned);
        self.place.elsewhere(move || shape_request(&shaping, &data, key.as_deref(), &metadata)).await
    }

    /// The outputs, with their memory reserved until the last of them is dropped.
    fn held(&self, outputs: Vec<Bytes>) -> Result<Vec<Bytes>, TransformFailure> {
        let mut reservation = self.memory.reservation();
        reservation.grow(outputs.iter().map(Bytes::len).sum()).map_err(|full| TransformFailure {
            error: BindingError::new(FailureKind::Unavailable, full.to_string()),
            is_dead_letter: false,
        })?;
        let reserved = ReservedMemory::from(reservation);
        Ok(outputs.into_iter().map(|output| reserved.clone().hold(output)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::expression::Expression;
    use super::super::record::{OnError, Transform};
    use super::super::run_place::MAX_INLINE;
    use super::*;
    use crate::telemetry::{Metrics, ShapedSide};
    use futures_util::FutureExt;

    fn shaper(program: &str, memory: BodyMemory) -> Shaper {
        let program = Expression::compile(program).unwrap();
        let transform = Some(Transform { program, on_error: OnError::DeadLetter });
        let metrics = Metrics::new().shaping("orders", ShapedSide::Output);
        Shaper::new(Arc::new(Shaping { filter: None, transform }), memory, metrics)
    }

    #[test]
    fn large_requests_and_slow_programs_run_on_a_thread_for_blocking_work() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let shaper = shaper("length", BodyMemory::new(None));
            let metadata = Metadata::default();
            for (text, is_slow, is_elsewhere) in [
                ("z".repeat(MAX_INLINE), false, true),
                ("small".to_owned(), true, true),
                ("small".to_owned(), false, false),
            ] {
                // The only such thread is busy.
                let (release, held) = std::sync::mpsc::channel::<()>();
                let other = tokio::task::spawn_blocking(move || held.recv().is_err());
                shaper.place.set_slow(is_slow);
                let data = Bytes::from(format!("\"{text}\""));
                let mut running = std::pin::pin!(shaper.shape(&data, None, &metadata));
                let first = running.as_mut().now_or_never();
                assert_eq!(first.is_none(), is_elsewhere, "this thread is free meanwhile");
                drop(release);
                assert!(other.await.unwrap());
                let shaped = match first {
                    Some(shaped) => shaped,
                    None => running.await,
                };
                let Ok(ShapedData::One(output)) = shaped else { panic!("not one: {shaped:?}") };
                assert_eq!(output, text.len().to_string());
            }
        });
    }

    #[tokio::test]
    async fn what_a_transform_makes_takes_memory_until_it_is_dropped() {
        let memory = BodyMemory::new(Some(10));
        let shaper = shaper("., .", memory.clone());
        let (metadata, long, short) = (Metadata::default(), Bytes::from_static(b"1234"), Bytes::from_static(b"12"));
        let Ok(ShapedData::Several(outputs)) = shaper.shape(&long, None, &metadata).await else { panic!("one") };
        let full = shaper.shape(&short, None, &metadata).await.unwrap_err();
        assert_eq!((full.error.kind(), full.is_dead_letter), (FailureKind::Unavailable, false));
        let last = outputs[1].slice(1..);
        drop(outputs);
        assert!(memory.reservation().grow(3).is_err(), "a slice holds all of it");
        drop(last);
        memory.reservation().grow(10).unwrap();
    }

    #[tokio::test]
    async fn a_transform_that_is_out_of_time_may_be_repeated_whatever_the_component_says() {
        for on_error in [OnError::Fail, OnError::Passthrough, OnError::DropCounted, OnError::DeadLetter] {
            let metrics = Metrics::new().shaping("orders", ShapedSide::Output);
            let shaper = Shaper::new(Arc::new(Shaping::out_of_time(on_error)), BodyMemory::new(None), metrics);
            let failed = shaper.shape(&Bytes::from_static(b"1"), None, &Metadata::default()).await.unwrap_err();
            assert_eq!((failed.error.kind(), failed.is_dead_letter), (FailureKind::TimedOut, false), "{on_error:?}");
            assert!(failed.error.kind().may_retry());
        }
    }

    #[test]
    fn a_record_was_left_out_only_if_the_response_says_so() {
        let is_reported = |key: &'static str, value: &str| {
            let metadata = vec![(key.into(), value.to_owned())];
            LeftOut::is_reported_in(&InvokeResponse { metadata, ..InvokeResponse::default() })
        };
        assert!(is_reported("filtered", "true") && is_reported("dropped", "true"));
        assert!(!is_reported("filtered", "2") && !is_reported("sequenceNumber", "true"));
    }

    #[test]
    fn the_counts_of_a_bulk_add_up() {
        let text = |counts: Vec<(Cow<'static, str>, String)>| {
            counts.iter().map(|(key, count)| format!("{key}={count} ")).collect::<String>()
        };
        assert_eq!(text(counts(3, 1, [0, 0])), "succeeded=2 failed=1 ");
        assert_eq!(text(counts(9, 1, [2, 3])), "succeeded=3 failed=1 filtered=2 dropped=3 ");
    }
}
