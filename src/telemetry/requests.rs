//! Metrics of the requests that the API answers.

use super::labels::{ComponentLabel, Histograms, latency};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    component: Arc<str>,
    operation: &'static str,
    status: u32,
}

#[derive(Debug, Clone)]
pub(super) struct RequestFamilies {
    requests: Family<RequestLabels, Counter>,
    latency: Histograms,
}

impl RequestFamilies {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let families = Self { requests: Family::default(), latency: Family::new_with_constructor(latency) };
        registry.register(
            "output_requests",
            "Requests to output bindings by HTTP status of the response",
            families.requests.clone(),
        );
        registry.register_with_unit(
            "output_latency",
            "Time from the head of a request to its response",
            Unit::Seconds,
            families.latency.clone(),
        );
        families
    }

    pub(super) fn handles(&self, component: &str) -> HttpMetrics {
        let label = ComponentLabel::new(component);
        let latency = self.latency.get_or_create_owned(&label);
        HttpMetrics { component: label.component, requests: self.requests.clone(), latency }
    }
}

/// Handles of one output component for requests over HTTP. Its histogram is looked up once, as this is counted for each
/// request.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    component: Arc<str>,
    requests: Family<RequestLabels, Counter>,
    latency: Histogram,
}

impl HttpMetrics {
    /// A request was answered, `took` after its head was read.
    pub fn answered(&self, operation: &'static str, status: u16, took: Duration) {
        let labels = RequestLabels { component: Arc::clone(&self.component), operation, status: status.into() };
        self.requests.get_or_create(&labels).inc();
        self.latency.observe(took.as_secs_f64());
    }
}
