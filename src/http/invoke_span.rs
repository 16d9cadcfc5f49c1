//! The span of a call of an output, with the name and the attributes of Dapr.

use super::trace::TraceContext;
use crate::telemetry::{Span, SpanKind, Tracer};
use http::StatusCode;
use http::request::Parts;

/// Ends when it is dropped.
pub(super) struct InvokeSpan(Span);

impl InvokeSpan {
    /// Starts the span. If there is a tracer, the binding and the client get this span instead of that of the client.
    pub(super) fn start(tracer: &Tracer, head: &Parts, binding: &str, trace: &mut TraceContext) -> Self {
        let path = head.uri.path();
        let mut span = tracer.start(SpanKind::Client, trace.parent(), || path.to_owned().into());
        if let Some(context) = span.context() {
            trace.set_span(context);
        }
        if span.is_recorded() {
            let statement = format!("{} {path}", head.method);
            span.set("db.system", "bindings");
            span.set("db.connection_string", "bindings");
            span.set("db.name", binding.to_owned());
            span.set("db.statement", statement.clone());
            span.set("dapr.api", statement);
            span.set("dapr.protocol", "http");
            span.set("http.request.method", head.method.as_str().to_owned());
            span.set("url.full", path.to_owned());
        }
        Self(span)
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        if !self.0.is_recorded() {
            return;
        }
        self.0.set("dapr.status_code", status.as_u16().to_string());
        if status.is_client_error() || status.is_server_error() {
            let reason = status.canonical_reason().unwrap_or("Unknown");
            self.0.fail(|| format!("Code({}): {reason}", status.as_u16()));
        }
    }
}
