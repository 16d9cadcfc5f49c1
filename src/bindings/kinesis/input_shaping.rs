//! Filters and transforms the records of an input.
//!
//! The filter decides when records are read, so that what the app does not receive takes no memory and no place. The
//! transform runs for each delivery, so that outputs take memory only while they are sent. Both see decompressed data.

use super::super::shaping::{ExpressionError, RunPlace, Shaped, Shaping};
use super::super::shaping_memory::{ReservedShaping, ShapingMemory};
use crate::consumer::RecordShaping;
use crate::domain::{
    BindingEvent, Decompress, DecompressFailure, EventOrigin, Record, RecordFilter, RecordPosition, RecordTransform,
    Timestamp, TransformError, Transformed,
};
use crate::event_pattern::{Fields, Scalar};
use crate::gzip::{self, MAX_RECORD};
use crate::telemetry::{InputMetrics, LogLimit, ShapingMetrics};
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;
use tokio::time::Instant;

/// Bytes of data to match between two yields to other tasks; well below a millisecond of work.
const CHUNK: usize = 64 << 10;
/// What a record takes of that beside its data.
const RECORD_OVERHEAD: usize = 256;
/// What the values of a program take, as a multiple of the record.
const VALUES: usize = 16;
/// All outputs of a run together, a limit of the program.
const MAX_OUTPUT: usize = 10 << 20;
/// What data that are sent take where the body of the request is a copy: themselves, and at most twice as much in the body.
pub(super) const ENCODED: usize = 3;
/// The most that is reserved for a run before its result is known.
const MAX_RUN_MEMORY: usize = ShapingMemory::TOTAL / 4;
// Otherwise a record of the largest size would wait for ever.
const _: () = assert!(MAX_RECORD * ENCODED <= ShapingMemory::TOTAL && MAX_OUTPUT * ENCODED <= MAX_RUN_MEMORY);

/// What the filter and the transform of one input need.
#[derive(Debug)]
pub(super) struct InputShaping {
    pub(super) shaping: Arc<Shaping>,
    pub(super) decompress: Decompress,
    pub(super) memory: ShapingMemory,
    /// What data that are sent take in memory, as a multiple of their size: 1, or [`ENCODED`].
    pub(super) copies: usize,
    /// Names for `$metadata`.
    pub(super) component: String,
    pub(super) stream: String,
    pub(super) place: RunPlace,
    pub(super) metrics: InputMetrics,
    pub(super) log: LogLimit,
}

/// A record as filters see it.
pub(super) struct View<'r> {
    /// Decompressed, where the file says so.
    pub(super) data: &'r [u8],
    pub(super) record: &'r Record,
}

impl Fields for View<'_> {
    fn data(&self) -> &[u8] {
        self.data
    }

    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        match name {
            "partitionKey" => Some(Scalar::String(Cow::Borrowed(&self.record.partition_key))),
            "sequenceNumber" => Some(Scalar::String(Cow::Owned(record_id(&self.record.position)))),
            "approximateArrivalTimestamp" => {
                self.record.arrival.map(|arrival| Scalar::Number(Cow::Owned(seconds(arrival))))
            }
            _ => None,
        }
    }
}

/// As in `lambda`: the sequence number, and the position within an aggregate after its first record.
fn record_id(position: &RecordPosition) -> String {
    match position.sub_sequence {
        0 => position.sequence.to_string(),
        sub_sequence => format!("{}:{sub_sequence}", position.sequence),
    }
}

/// Seconds since 1970 with milliseconds, as Lambda writes them.
fn seconds(time: Timestamp) -> String {
    let millis = time.as_millis();
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    format!("{sign}{}.{:03}", millis / 1_000, millis % 1_000)
}

type MakeText = fn(&MetadataSource<'_>) -> String;

const ARRIVAL: &str = "approximateArrivalTimestamp";

/// The members of `$metadata`.
const MEMBERS: [(&str, MakeText); 7] = [
    ("component", |source| source.component.to_owned()),
    ("stream", |source| source.stream.to_owned()),
    ("shardId", |source| source.origin.shard.to_string()),
    ("eventId", |source| format!("{}:{}", source.origin.shard, record_id(&source.origin.position))),
    ("sequenceNumber", |source| record_id(&source.origin.position)),
    ("partitionKey", |source| source.origin.partition_key.clone()),
    (ARRIVAL, |source| source.origin.arrival.map(seconds).unwrap_or_default()),
];

/// What the members of `$metadata` are made of.
#[derive(Clone, Copy)]
struct MetadataSource<'r> {
    component: &'r str,
    stream: &'r str,
    origin: &'r EventOrigin,
}

/// The text of a member, made when it is read.
pub(super) struct MetadataText<'r> {
    source: MetadataSource<'r>,
    make: MakeText,
    text: OnceCell<String>,
}

impl MetadataText<'_> {
    fn into_text(self) -> String {
        (self.make)(&self.source)
    }
}

impl AsRef<str> for MetadataText<'_> {
    fn as_ref(&self) -> &str {
        self.text.get_or_init(|| (self.make)(&self.source))
    }
}

/// The members of `$metadata`. A text is made only if the program reads it.
pub(super) fn metadata<'r>(
    component: &'r str,
    stream: &'r str,
    origin: &'r EventOrigin,
) -> impl Iterator<Item = (&'static str, MetadataText<'r>)> {
    let source = MetadataSource { component, stream, origin };
    let members = MEMBERS.into_iter().filter(move |(name, _)| *name != ARRIVAL || origin.arrival.is_some());
    members.map(move |(name, make)| (name, MetadataText { source, make, text: OnceCell::new() }))
}

impl InputShaping {
    /// What the consumer does with the records. Nothing is done without a filter, a transform, or what one of them needs.
    pub(super) fn for_consumer(self, metrics: ShapingMetrics) -> RecordShaping {
        let changes = self.shaping.has_transform() || self.decompress != Decompress::Off;
        let shared = Arc::new(self);
        RecordShaping {
            filter: shared.shaping.has_filter().then(|| -> Arc<dyn RecordFilter> { Arc::<Self>::clone(&shared) }),
            transform: changes.then_some(shared),
            metrics: Some(Arc::new(metrics)),
        }
    }

    /// Runs the program. The memory is that of the run, which goes on elsewhere if the caller is dropped.
    async fn run(&self, event: &BindingEvent, data: &Bytes, memory: ReservedShaping) -> (Shaped, ReservedShaping) {
        if self.place.is_here(data.len()) {
            return (self.place.here(|| self.shaping.transform(data, self.metadata(event))), memory);
        }
        let metadata: Vec<(&str, String)> =
            self.metadata(event).map(|(name, value)| (name, value.into_text())).collect();
        let (shaping, data) = (Arc::clone(&self.shaping), data.clone());
        self.place.elsewhere(move || (shaping.transform(&data, metadata), memory)).await
    }

    /// The data as the app receives it without a transform, with the memory that it takes beside the record.
    async fn readable(
        &self,
        event: &BindingEvent,
        decompressed: Option<&Bytes>,
        may_wait: bool,
    ) -> Option<(Bytes, ReservedShaping, Option<DecompressFailure>)> {
        if let Some(content) = decompressed {
            return Some((content.clone(), ReservedShaping::default(), None));
        }
        if !gzip::is_wanted(self.decompress, &event.data) {
            return Some((event.data.clone(), ReservedShaping::default(), None));
        }
        let memory = self.memory.reserve(MAX_RECORD * self.copies, may_wait).await?;
        Some(match gzip::decompressed(&event.data, MAX_RECORD).await {
            Ok(content) => {
                let memory = memory.shrunk_to(content.len() * self.copies);
                (content, memory, None)
            }
            Err(why) => (event.data.clone(), ReservedShaping::default(), Some(why)),
        })
    }

    /// The filter left out a record whose data it could not read: perhaps one that the app should have received.
    fn filtered_compressed(&self, record: &Record, why: DecompressFailure) {
        self.metrics.not_decompressed(1);
        let Some(others) = self.log.next(Instant::now()) else { return };
        let reason = match why {
            DecompressFailure::Corrupt => "it is not valid gzip",
            DecompressFailure::TooLarge => "it is larger than the limit after decompression",
        };
        let (component, position) = (&self.component, &record.position);
        tracing::warn!(component, %position, reason, others, "record filtered by its compressed data");
    }

    fn metadata<'e>(&'e self, event: &'e BindingEvent) -> impl Iterator<Item = (&'static str, MetadataText<'e>)> {
        metadata(&self.component, &self.stream, &event.origin)
    }
}

#[async_trait]
impl RecordFilter for InputShaping {
    async fn mark(&self, records: &mut [Record], memory: usize) {
        let (mut kept, mut fresh) = (0, 0);
        for record in records {
            let is_compressed = gzip::is_wanted(self.decompress, &record.data);
            let reserved = if is_compressed { self.memory.reserve(MAX_RECORD, true).await } else { None };
            let result = if is_compressed { Some(gzip::decompressed(&record.data, MAX_RECORD).await) } else { None };
            let (content, why) = result.map_or((None, None), |result| (result.as_ref().ok().cloned(), result.err()));
            let data = content.as_ref().unwrap_or(&record.data);
            fresh += data.len() + RECORD_OVERHEAD;
            let size = kept + data.len();
            record.is_filtered = !self.shaping.matches(&View { data, record: &*record });
            drop(reserved);
            // One that passes is counted when it is delivered.
            if let Some(why) = why.filter(|_| record.is_filtered) {
                self.filtered_compressed(record, why);
            }
            // From here on it is counted with the record. What is not kept is decompressed again when it is sent.
            if !record.is_filtered && size <= memory && content.is_some() {
                (record.decompressed, kept) = (content, size);
            }
            if fresh >= CHUNK {
                fresh = 0;
                tokio::task::yield_now().await;
            }
        }
    }
}

#[async_trait]
impl RecordTransform for InputShaping {
    async fn transform(
        &self,
        event: &BindingEvent,
        decompressed: Option<&Bytes>,
        may_wait: bool,
    ) -> Option<Transformed> {
        let (data, memory, why) = self.readable(event, decompressed, may_wait).await?;
        if !self.shaping.has_transform() {
            return Some(Transformed::Unchanged(memory.hold(data), why));
        }
        let is_decompressed = memory.is_reserved();
        // It comes back first, so that no run waits for memory while it holds some.
        drop(memory);
        let needed = data.len().saturating_mul(VALUES).clamp(MAX_OUTPUT * self.copies, MAX_RUN_MEMORY);
        let memory = self.memory.reserve(needed, may_wait).await?;
        let failed = |error: ExpressionError| TransformError(error.to_string());
        let (shaped, memory) = self.run(event, &data, memory).await;
        Some(match shaped {
            Shaped::Unchanged => Transformed::Unchanged(data, why),
            Shaped::Filtered => Transformed::Outputs(Vec::new()),
            Shaped::Records(outputs) => {
                let bytes: usize = outputs.iter().map(Bytes::len).sum();
                let memory = memory.shrunk_to(bytes * self.copies);
                Transformed::Outputs(outputs.into_iter().map(|output| memory.hold(output)).collect())
            }
            Shaped::PassedThrough(error) if is_decompressed => {
                let data = memory.shrunk_to(data.len() * self.copies).hold(data);
                Transformed::PassedThrough(data, why, failed(error))
            }
            Shaped::PassedThrough(error) => Transformed::PassedThrough(data, why, failed(error)),
            Shaped::Dropped(error) => Transformed::Dropped(failed(error)),
            Shaped::Failed(error) | Shaped::DeadLetter(error) => Transformed::Failed(failed(error)),
            Shaped::OutOfTime(error) => Transformed::OutOfTime(failed(error)),
        })
    }
}

#[cfg(test)]
#[path = "tests/input_shaping.rs"]
mod tests;
