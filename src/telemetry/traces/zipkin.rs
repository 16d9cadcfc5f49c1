//! Spans as JSON of Zipkin, version 2: <https://zipkin.io/zipkin-api/>.

use super::data::{SpanData, SpanKind};
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime};

/// The body of a request.
pub(super) fn spans(batch: &[SpanData], service: &str) -> String {
    Value::Array(batch.iter().map(|data| span(data, service)).collect()).to_string()
}

pub(super) fn span(data: &SpanData, service: &str) -> Value {
    let mut tags: Map<String, Value> =
        data.attributes.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.as_ref()))).collect();
    if let Some(error) = &data.error {
        tags.insert("error".to_owned(), Value::from(error.as_str()));
        tags.insert("otel.status_code".to_owned(), Value::from("ERROR"));
    }
    let start = data.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut span = json!({
        "traceId": format!("{:032x}", data.context.trace),
        "id": format!("{:016x}", data.context.span),
        "name": data.name,
        "timestamp": micros(start),
        // 0 is not known.
        "duration": micros(data.took).max(1),
        "localEndpoint": {"serviceName": service},
        "tags": tags,
    });
    if let Some(parent) = data.parent {
        span["parentId"] = format!("{parent:016x}").into();
    }
    match data.kind {
        SpanKind::Internal => {}
        SpanKind::Client => span["kind"] = "CLIENT".into(),
        SpanKind::Consumer => span["kind"] = "CONSUMER".into(),
    }
    span
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
