//! The current policies of the process.

use super::breaker_slot::SharedBreaker;
use super::observer::{Flow, NoObserver, PolicyEvent, PolicyKind, PolicyObserver};
use super::retry::Retry;
use super::set::PolicySet;
use super::spec::ResiliencySpec;
use crate::domain::Stop;
use crate::manifest::ResiliencyDocument;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the loaded `Resiliency` documents say, and the circuit breakers of the components.
///
/// A reload replaces the policies for calls that begin later. A breaker keeps its state while its policy stays the same.
#[derive(Debug)]
pub struct Policies {
    current: ArcSwap<PolicySet>,
    // A lock and not an owner task: held for a lookup, never across a wait.
    breakers: Mutex<HashMap<String, Arc<SharedBreaker>>>,
    observer: Arc<dyn PolicyObserver>,
    /// No retry begins any more; calls that wait for one get their last error.
    pub(super) stop: Stop,
}

impl Default for Policies {
    fn default() -> Self {
        Self::new(Stop::new(), Arc::new(NoObserver))
    }
}

impl Policies {
    /// None yet. Once `stop` finishes, outputs are not retried any more.
    #[must_use]
    pub fn new(stop: Stop, observer: Arc<dyn PolicyObserver>) -> Self {
        Self { current: ArcSwap::default(), breakers: Mutex::default(), observer, stop }
    }

    /// Replaces all policies by those of these documents. A document that is wrong is logged and skipped, as in Dapr.
    pub fn reload(&self, documents: &[ResiliencyDocument]) {
        let specs: Vec<ResiliencySpec> = documents.iter().filter_map(|document| self.read(document)).collect();
        let (set, remarks) = PolicySet::new(specs);
        for remark in remarks {
            tracing::warn!("Resiliency: {remark}");
        }
        self.current.store(Arc::new(set));
    }

    fn read(&self, document: &ResiliencyDocument) -> Option<ResiliencySpec> {
        tracing::info!("Loading Resiliency configuration: {}", document.name);
        match ResiliencySpec::read(document) {
            Ok(spec) => {
                for remark in &spec.remarks {
                    tracing::warn!("Resiliency {}: {remark}", spec.name);
                }
                if spec.has_other_targets {
                    tracing::debug!(
                        "Resiliency {}: targets.apps and targets.actors have no effect on bindings",
                        spec.name
                    );
                }
                self.observer.loaded(&spec.name, &spec.namespace);
                Some(spec)
            }
            Err(problem) => {
                tracing::error!(
                    file = document.place.file,
                    document = document.place.document,
                    "Could not read resiliency policy {}: {problem}",
                    document.name
                );
                None
            }
        }
    }

    /// The names of the loaded documents, for `GET /v1.0/metadata`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.current.load().names.clone()
    }

    /// The retry policy for the events of a component.
    pub(super) fn inbound_retry(&self, component: &str) -> Option<Arc<Retry>> {
        let set = self.current.load();
        if set.is_empty() { None } else { set.applied(component, Flow::Inbound).retry }
    }

    /// The policies that apply to one side of a component now; `None` if none does.
    pub(super) fn active<'c>(&'c self, component: &'c str, flow: Flow) -> Option<Active<'c>> {
        let set = self.current.load();
        if set.is_empty() {
            return None;
        }
        let applied = set.applied(component, flow);
        if applied.is_empty() {
            return None;
        }
        let breaker = applied.breaker.map(|(policy, spec)| {
            let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
            match breakers.get(component) {
                // The other side of the component may have created it from another policy; as in Dapr, the first counts.
                Some(known) if set.breakers_of(component).any(|spec| known.has_spec(spec)) => Arc::clone(known),
                Some(_) | None => {
                    let created = Arc::new(SharedBreaker::new(&policy, component, (*spec).clone()));
                    breakers.insert(component.to_owned(), Arc::clone(&created));
                    created
                }
            }
        });
        let (timeout, retry, observer) = (applied.timeout, applied.retry, self.observer.as_ref());
        Some(Active { component, flow, timeout, retry, breaker, last: Arc::clone(&set.last), observer })
    }
}

/// The policies of one operation.
#[derive(Debug)]
pub(super) struct Active<'c> {
    pub(super) component: &'c str,
    pub(super) flow: Flow,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<Arc<Retry>>,
    pub(super) breaker: Option<Arc<SharedBreaker>>,
    last: Arc<(String, String)>,
    observer: &'c dyn PolicyObserver,
}

impl Active<'_> {
    fn event(&self, kind: PolicyKind) -> PolicyEvent<'_> {
        let (resiliency, namespace) = (self.last.0.as_str(), self.last.1.as_str());
        PolicyEvent { resiliency, namespace, kind, flow: self.flow, component: self.component }
    }

    /// To be called once for each operation.
    pub(super) fn executed(&self) {
        let breaker = self.breaker.as_ref().map(|breaker| PolicyKind::CircuitBreaker(breaker.state()));
        let kinds =
            [self.timeout.map(|_| PolicyKind::Timeout), self.retry.as_ref().map(|_| PolicyKind::Retry), breaker];
        kinds.into_iter().flatten().for_each(|kind| self.observer.executed(self.event(kind)));
    }

    pub(super) fn activated(&self, kind: PolicyKind) {
        self.observer.activated(self.event(kind));
    }
}
