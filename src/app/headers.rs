//! The headers of a request that say where its events come from. Dapr's Kinesis input sends none of them; apps may ignore
//! them.

use super::decompress::NotDecompressed;
use super::identifier::{EventId, RecordId};
use super::route::Escaped;
use super::trace_context::TraceParent;
use crate::domain::{BindingEvent, EventBatch};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::{self, Write};

const SHARD_ID: HeaderName = HeaderName::from_static("bindd-shard-id");
/// The highest of the batch.
const ATTEMPT: HeaderName = HeaderName::from_static("bindd-attempt");
const LEASE_EPOCH: HeaderName = HeaderName::from_static("bindd-lease-epoch");
/// In milliseconds; absent while it is not known.
const LAG: HeaderName = HeaderName::from_static("bindd-lag");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How many records of the request begin like an aggregate of the KPL but are damaged. Absent if none.
const DAMAGED_AGGREGATES: HeaderName = HeaderName::from_static("bindd-damaged-aggregates");
const NOT_DECOMPRESSED: HeaderName = HeaderName::from_static("bindd-not-decompressed");

// Of a single event.
const EVENT_ID: HeaderName = HeaderName::from_static("bindd-event-id");
const SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("bindd-sequence-number");
const SUB_SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("bindd-sub-sequence-number");
/// Percent-encoded, because a key may have any character. Absent if the record has no key.
const PARTITION_KEY: HeaderName = HeaderName::from_static("bindd-partition-key");
/// Milliseconds since the Unix epoch.
const ARRIVAL: HeaderName = HeaderName::from_static("bindd-arrival");

// Of a batch.
const EVENT_COUNT: HeaderName = HeaderName::from_static("bindd-event-count");
const FIRST_SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("bindd-first-sequence-number");
const LAST_SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("bindd-last-sequence-number");

const NO_TRACE: &str = "00-00000000000000000000000000000000-0000000000000000-00";
/// Headers in all, with those of the channel.
const CAPACITY: usize = 20;
/// About what all values take.
const VALUE_BYTES: usize = 512;

/// The headers of a request with one event (not `is_batch`) or several. `span` tells the deliveries of an event apart.
pub(super) fn headers(batch: &EventBatch, is_batch: bool, untouched: NotDecompressed, span: u64) -> HeaderMap {
    let mut values =
        Values { headers: HeaderMap::with_capacity(CAPACITY), buffer: BytesMut::with_capacity(VALUE_BYTES) };
    let (Some(first), Some(last)) = (batch.events.first(), batch.events.last()) else { return values.headers };
    let attempt = batch.events.iter().map(|event| event.attempt).max().unwrap_or_default();
    values.add(SHARD_ID, Escaped(first.origin.shard.as_str()));
    values.add(ATTEMPT, attempt);
    values.add(LEASE_EPOCH, batch.epoch.value());
    values.add(TRACEPARENT, TraceParent::new(&batch.stream, &first.origin, span));
    if let Some(lag) = batch.lag {
        values.add(LAG, lag.as_millis());
    }
    if is_batch {
        values.add(EVENT_COUNT, batch.events.len());
        values.add(FIRST_SEQUENCE_NUMBER, RecordId(&first.origin.position));
        values.add(LAST_SEQUENCE_NUMBER, RecordId(&last.origin.position));
    } else {
        values.add_event(first);
    }
    let damaged =
        batch.events.iter().filter(|event| event.origin.is_damaged_aggregate && event.origin.part == 0).count();
    if damaged > 0 {
        values.add(DAMAGED_AGGREGATES, damaged);
    }
    let reasons = match (untouched.corrupt > 0, untouched.too_large > 0) {
        (false, false) => return values.headers,
        (true, false) => "corrupt",
        (false, true) => "too-large",
        (true, true) => "corrupt, too-large",
    };
    values.add(NOT_DECOMPRESSED, reasons);
    values.headers
}

/// What daprd sends of a record: a `traceparent` of zeros, as no trace is recorded.
pub(super) fn dapr_headers() -> HeaderMap {
    HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(NO_TRACE))])
}

/// Values share one allocation.
struct Values {
    headers: HeaderMap,
    buffer: BytesMut,
}

impl Values {
    fn add_event(&mut self, event: &BindingEvent) {
        let origin = &event.origin;
        self.add(EVENT_ID, EventId(origin));
        self.add(SEQUENCE_NUMBER, &origin.position.sequence);
        self.add(SUB_SEQUENCE_NUMBER, origin.position.sub_sequence);
        if let Some(arrival) = origin.arrival {
            self.add(ARRIVAL, arrival.as_millis());
        }
        if !origin.partition_key.is_empty() {
            self.add(PARTITION_KEY, Escaped(&origin.partition_key));
        }
    }

    fn add(&mut self, name: HeaderName, value: impl fmt::Display) {
        let written = write!(self.buffer, "{value}");
        let bytes: Bytes = self.buffer.split().freeze();
        // All values are digits, escaped texts and names of ids, so they are valid in a header.
        if let (Ok(()), Ok(value)) = (written, HeaderValue::from_maybe_shared(bytes)) {
            self.headers.insert(name, value);
        }
    }
}
