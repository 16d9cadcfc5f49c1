//! The span of a call of an output, with the name and the attributes of Dapr.

use super::trace::TraceContext;
use crate::telemetry::{Span, SpanContext, SpanKind, Tracer};
use http::StatusCode;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;

/// Ends when it is dropped.
#[derive(Debug)]
pub struct InvokeSpan(Span);

impl InvokeSpan {
    /// Starts the span of a request over HTTP. If there is a tracer, the binding and the client get this span instead of
    /// that of the client.
    pub(super) fn http(tracer: &Tracer, head: &Parts, binding: &str, trace: &mut TraceContext) -> Self {
        let mut span = Self::start(tracer, head, trace);
        if span.0.is_recorded() {
            let (method, path) = (&head.method, head.uri.path());
            span.describe(head, binding, format!("{method} {path}"), "http");
            span.0.set("http.request.method", method.as_str().to_owned());
            span.0.set("url.full", path.to_owned());
        }
        span
    }

    /// The same over gRPC.
    pub fn grpc(tracer: &Tracer, head: &Parts, binding: &str, trace: &mut TraceContext) -> Self {
        let mut span = Self::start(tracer, head, trace);
        if span.0.is_recorded() {
            span.describe(head, binding, head.uri.path().to_owned(), "grpc");
            span.0.set("rpc.service", "Dapr");
        }
        span
    }

    fn start(tracer: &Tracer, head: &Parts, trace: &mut TraceContext) -> Self {
        let span = tracer.start(SpanKind::Client, trace.parent(), || head.uri.path().to_owned().into());
        if let Some(context) = span.context() {
            trace.set_span(context);
        }
        Self(span)
    }

    fn describe(&mut self, head: &Parts, binding: &str, statement: String, protocol: &'static str) {
        let Self(span) = self;
        span.set("db.system", "bindings");
        span.set("db.connection_string", "bindings");
        span.set("db.name", binding.to_owned());
        span.set("db.statement", statement.clone());
        span.set("dapr.api", statement);
        span.set("dapr.protocol", protocol);
        if let Some(server) = server(head) {
            span.set("server.address", server.host().to_owned());
            if let Some(port) = server.port() {
                span.set("server.port", port.as_str().to_owned());
            }
        }
    }

    /// `None` if there is no tracer.
    #[must_use]
    pub const fn context(&self) -> Option<SpanContext> {
        self.0.context()
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

    /// Over gRPC: `error` is the text of a code that is not OK.
    pub fn ended(&mut self, code: i32, error: Option<&str>) {
        if self.0.is_recorded() {
            self.0.set("dapr.status_code", code.to_string());
        }
        if let Some(error) = error {
            self.0.fail(|| error.to_owned());
        }
    }
}

/// The name under which the client called the sidecar.
fn server(head: &Parts) -> Option<Authority> {
    let of_header = || head.headers.get(HOST)?.to_str().ok()?.parse().ok();
    head.uri.authority().cloned().or_else(of_header)
}
