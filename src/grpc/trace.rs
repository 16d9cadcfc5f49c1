//! The trace that a call belongs to. Clients send it as `traceparent`, or in the binary form of OpenCensus, which the SDKs
//! of Dapr use.

use crate::http::{MalformedRequest, TraceContext};
use crate::telemetry::SpanContext;
use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const BINARY: HeaderName = HeaderName::from_static("grpc-trace-bin");

/// The trace headers of a call. As in daprd, the binary form outranks `traceparent`.
///
/// # Errors
/// When `baggage` is invalid.
pub(super) fn read(headers: &HeaderMap, is_zero: bool) -> Result<TraceContext, MalformedRequest> {
    let mut trace = TraceContext::read(headers, is_zero)?;
    if let Some(span) = headers.get(&BINARY).and_then(binary) {
        trace.set_span(span);
    }
    Ok(trace)
}

fn binary(value: &HeaderValue) -> Option<SpanContext> {
    SpanContext::from_binary(&base64_simd::forgiving_decode_to_vec(value.as_bytes()).ok()?)
}

/// Tells the client the span of its call, in both forms.
pub(super) fn add_to(headers: &mut HeaderMap, span: SpanContext) {
    let binary = base64_simd::STANDARD_NO_PAD.encode_to_string(span.to_binary());
    for (name, value) in [(TRACEPARENT, span.to_string()), (BINARY, binary)] {
        // Digits and Base64 are valid in a header.
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Metadata;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn both_forms_are_written_and_the_binary_one_outranks_the_text() {
        let mut headers = HeaderMap::new();
        add_to(&mut headers, SpanContext::parse(TEXT).unwrap());
        assert_eq!(headers[&TRACEPARENT], TEXT);
        headers
            .insert(TRACEPARENT, HeaderValue::from_static("00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let mut metadata = Metadata::default();
        read(&headers, false).unwrap().add_to(&mut metadata);
        assert_eq!(metadata.get("traceparent"), Some(TEXT));
        headers.insert(BINARY, HeaderValue::from_static("AP8"));
        let parent = read(&headers, false).unwrap().parent().unwrap().context.to_string();
        assert!(parent.starts_with("00-1af7"), "{parent}");
    }
}
