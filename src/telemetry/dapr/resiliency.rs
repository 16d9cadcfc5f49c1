//! Resiliency policies.

use super::super::family::{Family, OfComponent, Registrar};
use super::exact::ExactCounter;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;

/// The states of a circuit breaker, in Dapr's words.
pub const BREAKER_STATES: [&str; 4] = ["closed", "half-open", "open", "unknown"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoadedLabels {
    name: String,
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    name: Arc<str>,
    policy: &'static str,
    namespace: Arc<str>,
    flow_direction: &'static str,
    target: Arc<str>,
    status: &'static str,
}

impl OfComponent for PolicyLabels {
    fn component(&self) -> &str {
        self.target.strip_prefix("Binding_").unwrap_or_default()
    }

    fn is_removed(&self) -> bool {
        false
    }
}

/// Which policy acts on what.
#[derive(Debug, Clone, Copy)]
pub struct PolicyTarget<'a> {
    /// `metadata.name` of the `Resiliency` resource.
    pub resource: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// `timeout`, `retry` or `circuitbreaker`.
    pub policy: &'static str,
    /// `inbound` or `outbound`.
    pub flow_direction: &'static str,
    /// `Binding_<component>`.
    pub target: &'a str,
}

/// The metrics of all policies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ResiliencyMetrics {
    loaded: Family<LoadedLabels, ExactCounter>,
    executed: Family<PolicyLabels, ExactCounter>,
    activated: Family<PolicyLabels, Counter>,
    breaker_state: Family<PolicyLabels, Gauge>,
}

impl ResiliencyMetrics {
    pub(super) fn registered(registrar: &mut Registrar) -> Self {
        Self {
            loaded: registrar.global("resiliency_loaded", "Resiliency resources loaded", Family::default()),
            executed: registrar.family("resiliency_count", "Uses of a resiliency policy"),
            activated: registrar.family(
                "resiliency_activations",
                "Times that a policy acted, because of a failure or a change of its state",
            ),
            breaker_state: registrar.family("resiliency_cb_state", "1 for the state in which a circuit breaker is"),
        }
    }

    /// A `Resiliency` resource was loaded.
    pub fn loaded(&self, resource: &str, namespace: &str) {
        let labels = LoadedLabels { name: resource.to_owned(), namespace: namespace.to_owned() };
        self.loaded.get_or_create(&labels).inc();
    }

    /// The metrics of one policy, resolved when it is attached to its target.
    #[must_use]
    pub fn policy(&self, target: PolicyTarget<'_>) -> PolicyMetrics {
        let labels = PolicyLabels {
            name: target.resource.into(),
            policy: target.policy,
            namespace: target.namespace.into(),
            flow_direction: target.flow_direction,
            target: target.target.into(),
            status: "",
        };
        PolicyMetrics { labels, metrics: self.clone() }
    }
}

/// The metrics of one policy.
#[derive(Debug, Clone)]
pub struct PolicyMetrics {
    labels: PolicyLabels,
    metrics: ResiliencyMetrics,
}

impl PolicyMetrics {
    fn labels(&self, status: &'static str) -> PolicyLabels {
        PolicyLabels { status, ..self.labels.clone() }
    }

    /// The policy was used for a call. `status` is the state of a circuit breaker, else empty.
    pub fn executed(&self, status: &'static str) {
        self.metrics.executed.get_or_create(&self.labels(status)).inc();
        if self.labels.policy == "circuitbreaker" {
            self.set_breaker_state(status);
        }
    }

    /// The policy acted: a call timed out or is retried, or a circuit breaker changed to this state.
    pub fn activated(&self, status: &'static str) {
        self.metrics.activated.get_or_create(&self.labels(status)).inc();
    }

    /// One of [`BREAKER_STATES`].
    pub fn set_breaker_state(&self, state: &'static str) {
        for known in BREAKER_STATES {
            self.metrics.breaker_state.get_or_create(&self.labels(known)).set(i64::from(known == state));
        }
    }
}
