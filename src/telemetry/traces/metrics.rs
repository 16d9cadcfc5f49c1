//! How many spans were exported, and how many were lost.

use super::super::family::Registrar;
use prometheus_client::metrics::counter::Counter;

#[derive(Debug, Clone, Default)]
pub(in super::super) struct TraceMetrics {
    pub(super) exported: Counter,
    pub(super) dropped: Counter,
}

impl TraceMetrics {
    pub(in super::super) fn registered(registrar: &mut Registrar) -> Self {
        Self {
            exported: registrar.global("trace_spans_exported", "Spans that an exporter accepted", Counter::default()),
            dropped: registrar.global(
                "trace_spans_dropped",
                "Spans that were lost because the queue was full or an exporter failed",
                Counter::default(),
            ),
        }
    }
}
