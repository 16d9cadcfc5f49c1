//! Writes the body of a request.

use super::cloud_event::CloudEvent;
use super::decompress::Payloads;
use super::{base64, lambda, media_type, ndjson};
use crate::domain::{BindingEvent, BodyFormat, EventBatch, EventContentType, EventFormat, StreamIdentity};
use bytes::Bytes;
use http::HeaderValue;

/// Bytes of data to encode between two yields to other tasks; well below a millisecond of work.
const CHUNK: usize = 256 << 10;
/// What the members of an event take beside its data, its key and the names of its stream, with the separator.
const EVENT_OVERHEAD: usize = 512;
/// What a line of `ndjson` takes beside its data.
const LINE_OVERHEAD: usize = 32;

#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) content_type: HeaderValue,
}

/// The most that a record takes in the body of a request, in bytes; 0 for a raw record, which is not copied.
pub(super) fn max_size(format: &EventFormat, stream_arn: &str, partition_key: &str, data: &[u8]) -> usize {
    let source = &format.source;
    let members = || EVENT_OVERHEAD + ndjson::escaped_len(partition_key.as_bytes()) + stream_arn.len();
    match format.body {
        BodyFormat::Raw => 0,
        BodyFormat::Lambda => base64::encoded_len(data) + members() + source.identity_arn.len() + source.region.len(),
        // Encoded data are longer than data that are JSON.
        BodyFormat::CloudEvent | BodyFormat::CloudEventBatch => base64::encoded_len(data) + members(),
        BodyFormat::NdJson => ndjson::max_len(data) + LINE_OVERHEAD,
    }
}

/// The body for the events of a batch. A raw record is not copied.
///
/// # Errors
/// When an event cannot be serialized, which does not happen for any bytes.
pub(super) async fn body(
    batch: &EventBatch,
    payloads: &Payloads<'_>,
    format: &EventFormat,
) -> serde_json::Result<Body> {
    let source = &format.source;
    let is_arn = StreamIdentity::is_arn(&batch.stream);
    let arn: &str = if is_arn { &batch.stream } else { &source.stream_arn };
    let size = |event: &BindingEvent, data: &Bytes| max_size(format, arn, &event.origin.partition_key, data);
    let size: usize = payloads.iter().map(|(event, data)| size(event, data)).sum();
    let cloud_event =
        |body: &mut Vec<u8>, event: &_, data: &_| serde_json::to_writer(body, &CloudEvent::new(event, data, arn));
    match format.body {
        BodyFormat::Raw => Ok(raw(payloads, &format.content_type)),
        BodyFormat::Lambda => {
            let record = |body: &mut Vec<u8>, event: &_, data: &_| {
                serde_json::to_writer(body, &lambda::Record::new(event, data, arn, source))
            };
            let bytes = joined(payloads, size, ("{\"Records\":[", ",", "]}"), record).await?;
            Ok(Body { bytes, content_type: media_type::JSON })
        }
        BodyFormat::CloudEvent => {
            let bytes = joined(payloads, size, ("", "", ""), cloud_event).await?;
            Ok(Body { bytes, content_type: HeaderValue::from_static("application/cloudevents+json") })
        }
        BodyFormat::CloudEventBatch => {
            let bytes = joined(payloads, size, ("[", ",", "]"), cloud_event).await?;
            Ok(Body { bytes, content_type: HeaderValue::from_static("application/cloudevents-batch+json") })
        }
        BodyFormat::NdJson => {
            let line = |body: &mut Vec<u8>, _: &_, data: &_| ndjson::append(body, data);
            let bytes = joined(payloads, size, ("", "", ""), line).await?;
            Ok(Body { bytes, content_type: HeaderValue::from_static("application/x-ndjson") })
        }
    }
}

fn raw(payloads: &Payloads<'_>, content_type: &EventContentType) -> Body {
    let bytes = payloads.iter().next().map(|(_, data)| data.clone()).unwrap_or_default();
    let content_type = match content_type {
        EventContentType::Json => media_type::JSON,
        EventContentType::Auto => media_type::of_record(&bytes),
        // The file's check allows only what a header can contain.
        EventContentType::Fixed(text) => HeaderValue::from_str(text).unwrap_or(media_type::JSON),
    };
    Body { bytes, content_type }
}

/// The events between brackets, with separators, in at most `size` bytes.
async fn joined(
    payloads: &Payloads<'_>,
    size: usize,
    (open, separator, close): (&str, &str, &str),
    append: impl Fn(&mut Vec<u8>, &BindingEvent, &[u8]) -> serde_json::Result<()>,
) -> serde_json::Result<Bytes> {
    // It never grows, so it takes what the consumer has counted.
    let mut body = Vec::with_capacity(open.len() + size + close.len());
    body.extend_from_slice(open.as_bytes());
    let mut fresh = 0;
    for (index, (event, data)) in payloads.iter().enumerate() {
        if index > 0 {
            body.extend_from_slice(separator.as_bytes());
        }
        append(&mut body, event, data)?;
        fresh += data.len() + EVENT_OVERHEAD;
        if fresh >= CHUNK {
            fresh = 0;
            tokio::task::yield_now().await;
        }
    }
    body.extend_from_slice(close.as_bytes());
    Ok(body.into())
}
