//! Spans of requests and deliveries, and their export by OTLP, Zipkin or to standard output.
//!
//! Without a configured exporter there is no task and no memory for spans. A span is recorded only if it is sampled; one
//! that is not costs two random numbers. Ended spans wait in a bounded queue for one task, which sends them in batches:
//! what does not fit, or cannot be sent within its time limit, is dropped and counted. Nothing that is traced ever waits.

mod context;
mod current;
mod data;
mod export;
mod http_client;
mod metrics;
mod otlp;
mod settings;
mod span;
mod zipkin;

pub use context::SpanContext;
pub use current::{current_span, in_span};
pub use data::SpanKind;
pub use export::SpanExport;
pub(super) use metrics::TraceMetrics;
pub use settings::{OtlpProtocol, OtlpSettings, TraceSettings};
pub use span::{Span, SpanParent, Tracer};

#[cfg(test)]
#[path = "tests/traces.rs"]
mod tests;
