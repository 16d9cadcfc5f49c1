//! Metrics of the requests that the API answers.

use super::component::Component;
use super::dapr::OutputBindingMetrics;
use super::family::{Family, Registrar, of_component};
use super::labels::{ComponentLabel, Histograms, latency};
use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    component: Component,
    operation: Cow<'static, str>,
    status: u32,
}

of_component!(RequestLabels);

#[derive(Debug, Clone)]
pub(super) struct RequestFamilies {
    requests: Family<RequestLabels, Counter>,
    latency: Histograms,
    /// Handles by the name of the component, which each request needs.
    known: Arc<ArcSwap<HashMap<Arc<str>, HttpMetrics>>>,
}

impl RequestFamilies {
    pub(super) fn registered(registry: &mut Registrar) -> Self {
        Self {
            requests: registry.family("output_requests", "Requests to output bindings by HTTP status of the response"),
            latency: registry.histograms(
                latency,
                Some(Unit::Seconds),
                "output_latency",
                "Time from the head of a request to its response",
            ),
            known: Arc::default(),
        }
    }

    /// The handles of a component, if they were made.
    pub(super) fn known(&self, component: &str) -> Option<HttpMetrics> {
        self.known.load().get(component).cloned()
    }

    /// Makes the handles of a component.
    pub(super) fn handles(&self, component: &Component, binding: OutputBindingMetrics) -> HttpMetrics {
        let latency = self.latency.get_or_detached(&ComponentLabel::new(component));
        let requests = self.requests.clone();
        let handles = HttpMetrics { component: component.clone(), requests, latency, binding };
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(Arc::clone(component.name()), handles.clone());
            known
        });
        handles
    }

    /// Lets the next request make new handles.
    pub(super) fn forget(&self, component: &str) {
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.remove(component);
            known
        });
    }
}

/// Handles of one output component for requests over HTTP. Its histogram is looked up once, as this is counted for each
/// request.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    component: Component,
    requests: Family<RequestLabels, Counter>,
    latency: Histogram,
    binding: OutputBindingMetrics,
}

impl HttpMetrics {
    /// Dapr's metrics of the component, which count the call without the transfer of the request.
    #[must_use]
    pub const fn binding(&self) -> &OutputBindingMetrics {
        &self.binding
    }

    /// A request was answered, `took` after its head was read.
    pub fn answered(&self, operation: impl Into<Cow<'static, str>>, status: u16, took: Duration) {
        let labels =
            RequestLabels { component: self.component.clone(), operation: operation.into(), status: status.into() };
        self.requests.get_or_detached(&labels).inc();
        self.latency.observe(took.as_secs_f64());
    }
}
