//! The span of a request with events, with the name and the attributes of Dapr.

use super::trace_context;
use crate::domain::{ComponentName, DeliveryError, EventBatch};
use crate::telemetry::{Span, SpanContext, SpanKind, Tracer};

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct DeliverySpan(Span);

impl DeliverySpan {
    /// Of a delivery of records. All deliveries of a record have one trace, also those of other processes.
    pub(super) fn of_batch(tracer: &Tracer, batch: &EventBatch, call: impl FnOnce() -> String) -> Self {
        let name = || name(&batch.binding).into();
        let span = match batch.events.first() {
            Some(first) if tracer.is_on() => {
                tracer.start_trace(SpanKind::Client, trace_context::trace(&batch.stream, &first.origin), name)
            }
            Some(_) | None => Span::default(),
        };
        Self::described(span, &batch.binding, call)
    }

    /// Of a message that is no record.
    pub(super) fn of_message(tracer: &Tracer, binding: &ComponentName, call: impl FnOnce() -> String) -> Self {
        let span = tracer.start(SpanKind::Client, None, || name(binding).into());
        Self::described(span, binding, call)
    }

    fn described(mut span: Span, binding: &ComponentName, call: impl FnOnce() -> String) -> Self {
        if span.is_recorded() {
            span.set("db.name", binding.to_string());
            span.set("db.system", "bindings");
            span.set("db.connection_string", call());
            span.set("rpc.service", "Dapr");
        }
        Self(span)
    }

    /// `None` if there is no tracer.
    pub(super) const fn context(&self) -> Option<SpanContext> {
        self.0.context()
    }

    /// Ends the span with the result of the request.
    pub(super) fn end<T>(mut self, result: &Result<T, DeliveryError>) {
        if let Err(error) = result {
            self.0.fail(|| error.to_string());
        }
    }
}

fn name(binding: &ComponentName) -> String {
    format!("bindings/{binding}")
}
