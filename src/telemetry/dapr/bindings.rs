//! Calls of output bindings and events of input bindings.

use super::super::family::{Family, Registrar, of_component};
use super::exact::ExactCounter;
use super::handles::Handles;
use super::labels::{MetricsRules, latencies, milliseconds};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use std::sync::Arc;
use std::time::Duration;

/// More operations than any component has, with both results each.
const MAX_HANDLES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InputLabels {
    component: Arc<str>,
    namespace: Arc<str>,
    success: &'static str,
}

of_component!(InputLabels);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutputLabels {
    component: Arc<str>,
    namespace: Arc<str>,
    operation: &'static str,
    success: &'static str,
}

of_component!(OutputLabels);

#[derive(Debug, Clone)]
pub(super) struct BindingFamilies {
    namespace: Arc<str>,
    input_count: Family<InputLabels, ExactCounter>,
    input_latency: Family<InputLabels, Histogram>,
    output_count: Family<OutputLabels, ExactCounter>,
    output_latency: Family<OutputLabels, Histogram>,
}

impl BindingFamilies {
    pub(super) fn registered(registrar: &mut Registrar, namespace: &str, rules: &MetricsRules) -> Self {
        let families = Self {
            namespace: namespace.into(),
            input_count: Family::default(),
            input_latency: Family::new_with_constructor(latencies(rules)),
            output_count: Family::default(),
            output_latency: Family::new_with_constructor(latencies(rules)),
        };
        registrar.register(
            "component_input_binding_count",
            "Events that an input binding delivered",
            families.input_count.clone(),
        );
        registrar.register(
            "component_input_binding_latencies",
            "Time in which the app handled a request with events, in milliseconds",
            families.input_latency.clone(),
        );
        registrar.register(
            "component_output_binding_count",
            "Calls of an output binding",
            families.output_count.clone(),
        );
        registrar.register(
            "component_output_binding_latencies",
            "Time of a call of an output binding, in milliseconds",
            families.output_latency.clone(),
        );
        families
    }

    pub(super) fn output(&self, component: &str) -> OutputBindingMetrics {
        OutputBindingMetrics(Arc::new(Output {
            component: component.into(),
            families: self.clone(),
            handles: Handles::new(MAX_HANDLES),
        }))
    }

    pub(super) fn input(&self, component: &str) -> InputBindingMetrics {
        InputBindingMetrics(Arc::new(Input {
            component: component.into(),
            families: self.clone(),
            handles: Handles::new(MAX_HANDLES),
        }))
    }
}

/// Dapr's metrics of one output. A series starts with the first call that it counts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OutputBindingMetrics(Arc<Output>);

#[derive(Debug)]
struct Output {
    component: Arc<str>,
    families: BindingFamilies,
    handles: Handles<(&'static str, bool), (ExactCounter, Histogram)>,
}

impl OutputBindingMetrics {
    /// A call has ended, which took this long with its retries.
    pub fn invoked(&self, operation: &'static str, is_success: bool, took: Duration) {
        let Output { component, families, handles } = &*self.0;
        let create = |(operation, is_success): &(&'static str, bool)| {
            let labels = OutputLabels {
                component: Arc::clone(component),
                namespace: Arc::clone(&families.namespace),
                operation,
                success: success(*is_success),
            };
            (families.output_count.get_or_create(&labels), families.output_latency.get_or_create(&labels))
        };
        handles.with(&(operation, is_success), &("other", is_success), create, |(count, latency)| {
            count.inc();
            latency.observe(milliseconds(took));
        });
    }
}

/// Dapr's metrics of one input. A series starts with the first event that it counts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InputBindingMetrics(Arc<Input>);

#[derive(Debug)]
struct Input {
    component: Arc<str>,
    families: BindingFamilies,
    handles: Handles<bool, (ExactCounter, Histogram)>,
}

impl InputBindingMetrics {
    /// The app has accepted (`is_success`) or not accepted this many events of one request, which took this long with its
    /// retries. The latency is counted once for the request.
    pub fn handled(&self, events: usize, is_success: bool, took: Duration) {
        let Input { component, families, handles } = &*self.0;
        let create = |is_success: &bool| {
            let labels = InputLabels {
                component: Arc::clone(component),
                namespace: Arc::clone(&families.namespace),
                success: success(*is_success),
            };
            (families.input_count.get_or_create(&labels), families.input_latency.get_or_create(&labels))
        };
        handles.with(&is_success, &is_success, create, |(count, latency)| {
            count.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
            latency.observe(milliseconds(took));
        });
    }
}

const fn success(is_success: bool) -> &'static str {
    if is_success { "true" } else { "false" }
}
