//! The event that Lambda's event source mapping sends for Kinesis (Lambda developer guide, "Using Lambda with Kinesis").

use super::base64::Base64;
use super::identifier::{EventId, RecordId};
use crate::domain::{BindingEvent, EventSource};
use serde::Serialize;

/// One entry of `Records`. `sequenceNumber` is unique in a request: later records of an aggregate, which Lambda would not
/// have deaggregated, have a suffix.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record<'e> {
    kinesis: Kinesis<'e>,
    event_source: &'static str,
    event_version: &'static str,
    #[serde(rename = "eventID")]
    event_id: EventId<'e>,
    event_name: &'static str,
    invoke_identity_arn: &'e str,
    #[serde(rename = "awsRegion")]
    region: &'e str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'e str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis<'e> {
    kinesis_schema_version: &'static str,
    partition_key: &'e str,
    sequence_number: RecordId<'e>,
    data: Base64<'e>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_arrival_timestamp: Option<f64>,
}

impl<'e> Record<'e> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact for 285,000 years")]
    pub(super) fn new(event: &'e BindingEvent, data: &'e [u8], stream_arn: &'e str, source: &'e EventSource) -> Self {
        let origin = &event.origin;
        Self {
            kinesis: Kinesis {
                kinesis_schema_version: "1.0",
                partition_key: &origin.partition_key,
                sequence_number: RecordId(&origin.position),
                data: Base64(data),
                approximate_arrival_timestamp: origin.arrival.map(|arrival| arrival.as_millis() as f64 / 1_000.0),
            },
            event_source: "aws:kinesis",
            event_version: "1.0",
            event_id: EventId(origin),
            event_name: "aws:kinesis:record",
            invoke_identity_arn: &source.identity_arn,
            region: &source.region,
            event_source_arn: stream_arn,
        }
    }
}
