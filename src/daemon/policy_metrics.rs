//! Dapr's metrics of policies.

use crate::policies::{Flow, PolicyEvent, PolicyKind, PolicyObserver};
use crate::telemetry::{PolicyMetrics, PolicyTarget, ResiliencyMetrics};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;

/// Counts what policies do.
#[derive(Debug)]
pub(super) struct PolicyCounts {
    metrics: ResiliencyMetrics,
    /// Handles by component, which each call needs. A loaded document clears them, as it changes their labels.
    known: ArcSwap<HashMap<String, Vec<Handle>>>,
}

/// Few for each component, so they are searched.
#[derive(Debug, Clone)]
struct Handle {
    policy: &'static str,
    flow: Flow,
    /// Name and namespace of the document, which a call that began before a reload may still have.
    document: (String, String),
    metrics: PolicyMetrics,
}

impl PolicyCounts {
    pub(super) fn new(metrics: ResiliencyMetrics) -> Self {
        Self { metrics, known: ArcSwap::default() }
    }

    fn with(&self, event: PolicyEvent<'_>, count: impl FnOnce(&PolicyMetrics)) {
        let policy = event.kind.as_str();
        let is_of = |handle: &&Handle| {
            let (name, namespace) = &handle.document;
            handle.policy == policy
                && handle.flow == event.flow
                && name == event.resiliency
                && namespace == event.namespace
        };
        let known = self.known.load();
        if let Some(handle) = known.get(event.component).and_then(|handles| handles.iter().find(is_of)) {
            return count(&handle.metrics);
        }
        let metrics = self.metrics.policy(PolicyTarget {
            resource: event.resiliency,
            namespace: event.namespace,
            policy,
            flow_direction: event.flow.as_str(),
            target: &format!("Binding_{}", event.component),
        });
        count(&metrics);
        let document = (event.resiliency.to_owned(), event.namespace.to_owned());
        let handle = Handle { policy, flow: event.flow, document, metrics };
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            let handles = known.entry(event.component.to_owned()).or_default();
            if !handles.iter().any(|known| is_of(&known)) {
                handles.push(handle.clone());
            }
            known
        });
    }
}

impl PolicyObserver for PolicyCounts {
    fn loaded(&self, resiliency: &str, namespace: &str) {
        self.metrics.loaded(resiliency, namespace);
        self.known.store(Arc::default());
    }

    fn executed(&self, event: PolicyEvent<'_>) {
        self.with(event, |metrics| metrics.executed(event.kind.status()));
    }

    fn activated(&self, event: PolicyEvent<'_>) {
        self.with(event, |metrics| {
            metrics.activated(event.kind.status());
            if let PolicyKind::CircuitBreaker(state) = event.kind {
                metrics.set_breaker_state(state.as_str());
            }
        });
    }
}
