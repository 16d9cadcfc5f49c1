//! All loaded policies, and which of them apply to a component. Pure.

use super::breaker::BreakerSpec;
use super::observer::Flow;
use super::retry::Retry;
use super::spec::{PolicyNames, ResiliencySpec, Targets};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The policies of all documents. Later documents override policies and targets of the same name.
#[derive(Debug, Default)]
pub struct PolicySet {
    /// The names of the documents, in their order, each once.
    pub names: Vec<String>,
    /// Name and namespace of the document that was loaded last.
    pub last: Arc<(String, String)>,
    timeouts: BTreeMap<String, Option<Duration>>,
    retries: BTreeMap<String, Arc<Retry>>,
    breakers: BTreeMap<String, Arc<BreakerSpec>>,
    components: HashMap<String, Targets>,
    defaults: Targets,
}

/// The policies that apply to one side of a component.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Applied {
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<Arc<Retry>>,
    /// With its name in the document.
    pub(super) breaker: Option<(String, Arc<BreakerSpec>)>,
}

impl Applied {
    pub(super) const fn is_empty(&self) -> bool {
        self.timeout.is_none() && self.retry.is_none() && self.breaker.is_none()
    }
}

impl PolicySet {
    /// The set, and one sentence for each name in a target that no policy has.
    #[must_use]
    pub fn new(specs: Vec<ResiliencySpec>) -> (Self, Vec<String>) {
        let mut set = Self::default();
        for spec in specs {
            if !set.names.contains(&spec.name) {
                set.names.push(spec.name.clone());
            }
            set.last = Arc::new((spec.name, spec.namespace));
            set.timeouts.extend(spec.timeouts);
            set.retries.extend(spec.retries);
            set.breakers.extend(spec.breakers.into_iter().map(|(name, breaker)| (name, Arc::new(breaker))));
            set.components.extend(spec.components);
        }
        set.defaults = Targets { inbound: set.default_names("Inbound"), outbound: set.default_names("Outbound") };
        let remarks = set.unknown_policies();
        (set, remarks)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Default policies apply only to a component that no target names.
    pub(super) fn applied(&self, component: &str, flow: Flow) -> Applied {
        let targets = self.components.get(component).unwrap_or(&self.defaults);
        let names = match flow {
            Flow::Inbound => &targets.inbound,
            Flow::Outbound => &targets.outbound,
        };
        let breaker = |name: &String| Some((name.clone(), self.breakers.get(name)?.clone()));
        Applied {
            timeout: names.timeout.as_ref().and_then(|name| self.timeouts.get(name).copied().flatten()),
            retry: names.retry.as_ref().and_then(|name| self.retries.get(name).cloned()),
            breaker: names.circuit_breaker.as_ref().and_then(breaker),
        }
    }

    /// The policies of the breakers of both sides.
    pub(super) fn breakers_of(&self, component: &str) -> impl Iterator<Item = &BreakerSpec> {
        let Targets { inbound, outbound } = self.components.get(component).unwrap_or(&self.defaults);
        let names = [&inbound.circuit_breaker, &outbound.circuit_breaker].into_iter().flatten();
        names.filter_map(|name| self.breakers.get(name).map(Arc::as_ref))
    }

    /// Each kind takes the first name that exists, the most specific first.
    fn default_names(&self, direction: &str) -> PolicyNames {
        let levels = [
            format!("BindingComponent{direction}"),
            format!("Component{direction}"),
            "Component".to_owned(),
            String::new(),
        ];
        let first = |kind: &str, exists: &dyn Fn(&str) -> bool| {
            levels.iter().map(|level| format!("Default{level}{kind}Policy")).find(|name| exists(name))
        };
        PolicyNames {
            timeout: first("Timeout", &|name| self.timeouts.contains_key(name)),
            retry: first("Retry", &|name| self.retries.contains_key(name)),
            circuit_breaker: first("CircuitBreaker", &|name| self.breakers.contains_key(name)),
        }
    }

    fn unknown_policies(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for (component, targets) in &self.components {
            for names in [&targets.inbound, &targets.outbound] {
                let kinds = [
                    ("timeout", &names.timeout, names.timeout.as_ref().is_some_and(|n| self.timeouts.contains_key(n))),
                    ("retry", &names.retry, names.retry.as_ref().is_some_and(|n| self.retries.contains_key(n))),
                    (
                        "circuit breaker",
                        &names.circuit_breaker,
                        names.circuit_breaker.as_ref().is_some_and(|n| self.breakers.contains_key(n)),
                    ),
                ];
                for (kind, name, is_known) in kinds {
                    if let Some(name) = name.as_ref().filter(|_| !is_known) {
                        remarks
                            .push(format!("component {component:?} names the {kind} {name:?}, which does not exist"));
                    }
                }
            }
        }
        remarks.sort();
        remarks
    }
}

#[cfg(test)]
#[path = "tests/set.rs"]
mod tests;
