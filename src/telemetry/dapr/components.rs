//! How components were loaded, and error codes.

use super::super::component::Component;
use super::super::family::{Family, Registrar, of_component};
use super::exact::ExactCounter;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabels {
    /// `spec.type`.
    component: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FailureLabels {
    /// `spec.type`, which Dapr calls the component.
    type_name: String,
    component: Component,
    reason: &'static str,
}

of_component!(FailureLabels);

impl EncodeLabelSet for FailureLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let name: &str = self.component.name();
        let texts = [("component", self.type_name.as_str()), ("componentName", name), ("reason", self.reason)];
        texts.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    error_code: &'static str,
    category: &'static str,
}

/// Where the start of a component failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitFailure {
    /// Its file is not usable.
    Creation,
    /// It could not connect.
    Init,
}

impl InitFailure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Init => "init",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct ComponentFamilies {
    loaded: ExactCounter,
    init: Family<TypeLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    codes: Family<CodeLabels, Counter>,
}

impl ComponentFamilies {
    pub(super) fn registered(registrar: &mut Registrar) -> Self {
        Self {
            loaded: registrar.global(
                "runtime_component_loaded",
                "Components that were loaded",
                ExactCounter::default(),
            ),
            init: registrar.global(
                "runtime_component_init",
                "Sides of components that were connected",
                Family::default(),
            ),
            failures: registrar.family("runtime_component_init_fail", "Components that could not be connected"),
            codes: registrar.global("error_code", "Errors that were returned to clients", Family::default()),
        }
    }

    pub(super) fn loaded(&self) {
        self.loaded.inc();
    }

    pub(super) fn initialized(&self, type_name: &str) {
        self.init.get_or_create(&TypeLabels { component: type_name.to_owned() }).inc();
    }

    pub(super) fn failed(&self, type_name: &str, component: &Component, failure: InitFailure) {
        let (type_name, component) = (type_name.to_owned(), component.clone());
        let labels = FailureLabels { type_name, component, reason: failure.as_str() };
        self.failures.get_or_create(&labels).inc();
    }

    pub(super) fn error_code(&self, error_code: &'static str, category: &'static str) {
        self.codes.get_or_create(&CodeLabels { error_code, category }).inc();
    }
}
