//! CloudEvents 1.0 in structured JSON mode, with the extensions `partitionkey`, `sequence` and, where it is true,
//! `damagedaggregate`:
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.

use super::base64::Base64;
use super::identifier::EventId;
use super::media_type;
use crate::domain::{BindingEvent, EventOrigin, RecordPosition, Rfc3339};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

#[derive(Serialize)]
pub(super) struct CloudEvent<'e> {
    specversion: &'static str,
    id: EventId<'e>,
    /// The stream's ARN.
    source: &'e str,
    r#type: &'static str,
    /// The shard.
    subject: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Rfc3339>,
    #[serde(skip_serializing_if = "str::is_empty")]
    partitionkey: &'e str,
    sequence: Sequence<'e>,
    #[serde(skip_serializing_if = "is_false")]
    damagedaggregate: bool,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<Base64<'e>>,
}

impl<'e> CloudEvent<'e> {
    pub(super) fn new(event: &'e BindingEvent, data: &'e [u8], stream_arn: &'e str) -> Self {
        let (origin, json) = (&event.origin, media_type::json(data));
        Self {
            specversion: "1.0",
            id: EventId(origin),
            source: stream_arn,
            r#type: "com.amazonaws.kinesis.record",
            subject: origin.shard.as_str(),
            time: origin.arrival.and_then(Rfc3339::new),
            partitionkey: &origin.partition_key,
            sequence: Sequence(origin),
            damagedaggregate: origin.is_damaged_aggregate,
            datacontenttype: if json.is_some() { "application/json" } else { media_type::of_text_or_bytes(data) },
            data: json,
            data_base64: json.is_none().then_some(Base64(data)),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Ordered as text, as the extension requires: sequence numbers of a stream have the same length.
struct Sequence<'e>(&'e EventOrigin);

impl Serialize for Sequence<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RecordPosition { sequence, sub_sequence } = &self.0.position;
        match (sub_sequence, self.0.part) {
            (0, 0) => serializer.serialize_str(sequence.as_str()),
            (sub_sequence, 0) => serializer.collect_str(&format_args!("{sequence}:{sub_sequence:010}")),
            (sub_sequence, part) => serializer.collect_str(&format_args!("{sequence}:{sub_sequence:010}:{part:010}")),
        }
    }
}
