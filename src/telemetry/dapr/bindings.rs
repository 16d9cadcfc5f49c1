//! Calls of output bindings and events of input bindings.

use super::super::component::Component;
use super::super::family::{Family, Registrar, of_component};
use super::exact::ExactCounter;
use super::handles::Handles;
use super::labels::{MetricsRules, latencies, milliseconds};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// More operations than any component has, with both results each.
const MAX_HANDLES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InputLabels {
    component: Component,
    namespace: Arc<str>,
    success: &'static str,
}

of_component!(InputLabels);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutputLabels {
    component: Component,
    namespace: Arc<str>,
    operation: Cow<'static, str>,
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
        Self {
            namespace: namespace.into(),
            input_count: registrar.family("component_input_binding_count", "Events that an input binding delivered"),
            input_latency: registrar.histograms(
                latencies(rules),
                None,
                "component_input_binding_latencies",
                "Time in which the app handled a request with events, in milliseconds",
            ),
            output_count: registrar.family("component_output_binding_count", "Calls of an output binding"),
            output_latency: registrar.histograms(
                latencies(rules),
                None,
                "component_output_binding_latencies",
                "Time of a call of an output binding, in milliseconds",
            ),
        }
    }

    pub(super) fn output(&self, component: &Component) -> OutputBindingMetrics {
        OutputBindingMetrics(Arc::new(Output {
            component: component.clone(),
            families: self.clone(),
            handles: Handles::new(MAX_HANDLES),
        }))
    }

    pub(super) fn input(&self, component: &Component) -> InputBindingMetrics {
        InputBindingMetrics(Arc::new(Input {
            component: component.clone(),
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
    component: Component,
    families: BindingFamilies,
    handles: Handles<(Cow<'static, str>, bool), (ExactCounter, Histogram)>,
}

impl OutputBindingMetrics {
    /// A call has ended, which took this long with its retries.
    pub fn invoked(&self, operation: impl Into<Cow<'static, str>>, is_success: bool, took: Duration) {
        let Output { component, families, handles } = &*self.0;
        let create = |(operation, is_success): &(Cow<'static, str>, bool)| {
            let labels = OutputLabels {
                component: component.clone(),
                namespace: Arc::clone(&families.namespace),
                operation: operation.clone(),
                success: success(*is_success),
            };
            (families.output_count.get_or_detached(&labels), families.output_latency.get_or_detached(&labels))
        };
        handles.with(&(operation.into(), is_success), &("other".into(), is_success), create, |(count, latency)| {
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
    component: Component,
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
                component: component.clone(),
                namespace: Arc::clone(&families.namespace),
                success: success(*is_success),
            };
            (families.input_count.get_or_detached(&labels), families.input_latency.get_or_detached(&labels))
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
