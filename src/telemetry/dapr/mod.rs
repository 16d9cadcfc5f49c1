//! Metrics with the names, labels and units of Dapr, so that its dashboards and alerts work. All have the label `app_id`.

mod bindings;
mod components;
mod exact;
mod grpc;
mod handles;
mod http;
mod labels;
mod paths;
mod resiliency;

use super::component::Components;
use super::family::Registrar;
use prometheus_client::registry::Registry;
use std::borrow::Cow;

pub use bindings::{InputBindingMetrics, OutputBindingMetrics};
pub use components::InitFailure;
pub use grpc::{GrpcExchange, GrpcTraffic};
pub use http::{HttpExchange, HttpTraffic};
pub use labels::MetricsRules;
pub use resiliency::{BREAKER_STATES, PolicyMetrics, PolicyTarget, ResiliencyMetrics};

/// All metrics of Dapr. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DaprMetrics {
    names: Components,
    bindings: bindings::BindingFamilies,
    components: components::ComponentFamilies,
    http: HttpTraffic,
    grpc: GrpcTraffic,
    resiliency: ResiliencyMetrics,
    records_error_codes: bool,
}

impl DaprMetrics {
    pub(super) fn new(app_id: &str, namespace: &str, rules: &MetricsRules, names: &Components) -> (Self, Registrar) {
        let label = (Cow::Borrowed("app_id"), Cow::Owned(app_id.to_owned()));
        let mut registrar = Registrar::new(Registry::with_prefix_and_labels("dapr", [label].into_iter()));
        let metrics = Self {
            names: names.clone(),
            bindings: bindings::BindingFamilies::registered(&mut registrar, namespace, rules),
            components: components::ComponentFamilies::registered(&mut registrar),
            http: HttpTraffic::registered(&mut registrar, rules),
            grpc: GrpcTraffic::registered(&mut registrar, rules),
            resiliency: ResiliencyMetrics::registered(&mut registrar),
            records_error_codes: rules.record_error_codes,
        };
        (metrics, registrar)
    }

    /// The handles of an output, for the servers that call it.
    #[must_use]
    pub fn output_binding(&self, component: &str) -> OutputBindingMetrics {
        self.bindings.output(&self.names.get(component))
    }

    /// The handles of an input.
    #[must_use]
    pub fn input_binding(&self, component: &str) -> InputBindingMetrics {
        self.bindings.input(&self.names.get(component))
    }

    /// A component was loaded.
    pub fn component_loaded(&self) {
        self.components.loaded();
    }

    /// A side of a component was connected. `type_name` is its `spec.type`.
    pub fn component_initialized(&self, type_name: &str) {
        self.components.initialized(type_name);
    }

    /// A component could not be connected.
    pub fn component_failed(&self, type_name: &str, name: &str, failure: InitFailure) {
        self.components.failed(type_name, &self.names.get(name), failure);
    }

    /// An error was returned to a client, such as `ERR_INVOKE_OUTPUT_BINDING` of the category `bindings`. Counted only
    /// with [`MetricsRules::record_error_codes`].
    pub fn error_code(&self, code: &'static str, category: &'static str) {
        if self.records_error_codes {
            self.components.error_code(code, category);
        }
    }

    /// Both sides of HTTP.
    #[must_use]
    pub const fn http(&self) -> &HttpTraffic {
        &self.http
    }

    /// Both sides of gRPC.
    #[must_use]
    pub const fn grpc(&self) -> &GrpcTraffic {
        &self.grpc
    }

    #[must_use]
    pub const fn resiliency(&self) -> &ResiliencyMetrics {
        &self.resiliency
    }
}

#[cfg(test)]
#[path = "tests/names.rs"]
mod tests;
