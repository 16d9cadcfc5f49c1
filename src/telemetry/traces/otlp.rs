//! Spans as protobuf of OpenTelemetry: `ExportTraceServiceRequest`, with the fields that are used
//! (<https://opentelemetry.io/docs/specs/otlp/>).

use super::data::{SpanData, SpanKind};
use prost::Message;
use std::time::{Duration, SystemTime};

const STATUS_ERROR: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    /// One of a `oneof`, whose other members are not used.
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

fn key_value(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { text: Some(value.to_owned()) }) }
}

/// What all spans of a process share.
#[derive(Debug)]
pub(super) struct ResourceAttributes(Vec<(String, String)>);

impl ResourceAttributes {
    pub(super) fn new(service: &str, more: &[(String, String)]) -> Self {
        let service = [("service.name".to_owned(), service.to_owned())];
        let others = more.iter().filter(|(key, _)| key != "service.name").cloned();
        Self(service.into_iter().chain(others).collect())
    }

    pub(super) fn service_name(&self) -> &str {
        self.0.first().map_or("", |(_, name)| name)
    }
}

/// The body of a request.
pub(super) fn request(batch: &[SpanData], resource: &ResourceAttributes) -> Vec<u8> {
    let attributes = resource.0.iter().map(|(key, value)| key_value(key, value)).collect();
    let scope = Scope { name: "bindd".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: batch.iter().map(span).collect() }];
    let resource_spans = vec![ResourceSpans { resource: Some(Resource { attributes }), scope_spans }];
    ExportRequest { resource_spans }.encode_to_vec()
}

fn span(data: &SpanData) -> SpanMessage {
    let start = data.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SpanMessage {
        trace_id: data.context.trace.to_be_bytes().to_vec(),
        span_id: data.context.span.to_be_bytes().to_vec(),
        trace_state: data.state.clone(),
        parent_span_id: data.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        name: data.name.clone().into_owned(),
        kind: match data.kind {
            SpanKind::Internal => 1,
            SpanKind::Client => 3,
            SpanKind::Consumer => 5,
        },
        start_time_unix_nano: nanos(start),
        end_time_unix_nano: nanos(start + data.took),
        attributes: data.attributes.iter().map(|(key, value)| key_value(key, value)).collect(),
        status: data.error.as_ref().map(|error| Status { message: error.clone(), code: STATUS_ERROR }),
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
