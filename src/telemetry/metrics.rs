//! The registry of all metrics. Labels are bounded: names of components, operations, shards and statuses; never a key or
//! a sequence number.

use super::component::Components;
use super::credentials::{CredentialFamilies, CredentialMetrics};
use super::dapr::{DaprMetrics, MetricsRules};
use super::exposition::{self, MetricsFormat};
use super::family::{Registrar, SeriesGroup};
use super::input::{InputFamilies, InputMetrics};
use super::output::{OutputFamilies, OutputMetrics};
use super::process::ProcessCollector;
use super::reads::{ReadFamilies, ReadMetrics};
use super::requests::{HttpMetrics, RequestFamilies};
use super::shaping::{ShapedSide, ShapingFamilies, ShapingMetrics};
use super::traces::{SpanExport, TraceMetrics, TraceSettings, Tracer};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// What the labels of Dapr's metrics say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsSettings {
    /// `--app-id`, the label `app_id` of all of them.
    pub app_id: String,
    /// The environment variable `NAMESPACE`, the label `namespace` of many.
    pub namespace: String,
    pub rules: MetricsRules,
}

/// The series that only some components have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedSeries {
    /// Of an input.
    pub input: bool,
    /// Of an output to AWS.
    pub output: bool,
    /// Of AWS credentials.
    pub credentials: bool,
}

/// All metrics, and the registries that write them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    components: Components,
    registrars: Arc<[Registrar; 2]>,
    process: Arc<Registry>,
    dapr: DaprMetrics,
    requests: RequestFamilies,
    output: OutputFamilies,
    input: InputFamilies,
    reads: ReadFamilies,
    shaping: ShapingFamilies,
    credentials: CredentialFamilies,
    traces: TraceMetrics,
}

impl Metrics {
    /// New metrics, all registered, with empty labels for the app and the namespace.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&MetricsSettings::default())
    }

    /// New metrics, all registered.
    #[must_use]
    pub fn with(settings: &MetricsSettings) -> Self {
        let mut registrar = Registrar::new(Registry::with_prefix("bindd"));
        let requests = RequestFamilies::registered(&mut registrar);
        registrar.group = SeriesGroup::Output;
        let output = OutputFamilies::registered(&mut registrar);
        registrar.group = SeriesGroup::Input;
        let input = InputFamilies::registered(&mut registrar);
        let reads = ReadFamilies::registered(&mut registrar);
        registrar.group = SeriesGroup::Any;
        let shaping = ShapingFamilies::registered(&mut registrar);
        registrar.group = SeriesGroup::Credentials;
        let credentials = CredentialFamilies::registered(&mut registrar);
        registrar.group = SeriesGroup::Any;
        let traces = TraceMetrics::registered(&mut registrar);
        let components = Components::default();
        let (dapr, of_dapr) = DaprMetrics::new(&settings.app_id, &settings.namespace, &settings.rules, &components);
        let mut process = Registry::default();
        process.register_collector(Box::new(ProcessCollector));
        let (registrars, process) = (Arc::new([registrar, of_dapr]), Arc::new(process));
        Self { components, registrars, process, dapr, requests, output, input, reads, shaping, credentials, traces }
    }

    /// Metrics with the names of Dapr.
    #[must_use]
    pub const fn dapr(&self) -> &DaprMetrics {
        &self.dapr
    }

    /// A tracer whose spans are counted here, and what exports them, if they go anywhere: it must be run.
    ///
    /// # Errors
    /// When an endpoint or a header cannot be used; the text says which.
    pub fn tracer(&self, settings: &TraceSettings) -> Result<(Tracer, Option<SpanExport>), String> {
        Tracer::new(settings, &self.traces)
    }

    /// Removes all series of a component that was removed. Handles of it count on, but no page shows them. Do not call it
    /// for a component that was replaced by one of the same name, which shares the series.
    pub fn forget(&self, component: &str) {
        self.components.remove(component);
        self.registrars.iter().for_each(|registrar| registrar.forget(component, |_| true));
        // Afterwards, so that no handle of a series that was removed stays.
        self.requests.forget(component);
    }

    /// Removes the series that a component does not have any more, after it was replaced by one with another side or without
    /// AWS, and the old one has ended. A gauge would stay at its last value for ever.
    pub fn retain(&self, component: &str, used: UsedSeries) {
        let is_unused = |group| match group {
            SeriesGroup::Any => false,
            SeriesGroup::Input => !used.input,
            SeriesGroup::Output => !used.output,
            SeriesGroup::Credentials => !used.credentials,
        };
        self.registrars.iter().for_each(|registrar| registrar.forget(component, is_unused));
    }

    /// The handles of one component for its credentials.
    #[must_use]
    pub fn credentials(&self, component: &str) -> CredentialMetrics {
        self.credentials.handles(&self.components.get(component))
    }

    /// The handles of one output component for its requests. Made once, so pass no names that clients choose.
    #[must_use]
    pub fn requests(&self, component: &str) -> HttpMetrics {
        let made = || self.requests.handles(&self.components.get(component), self.dapr.output_binding(component));
        self.requests.known(component).unwrap_or_else(made)
    }

    /// The handles of one output component.
    #[must_use]
    pub fn output(&self, component: &str) -> OutputMetrics {
        self.output.handles(&self.components.get(component))
    }

    /// The handles of one input component.
    #[must_use]
    pub fn input(&self, component: &str) -> InputMetrics {
        self.input.handles(&self.components.get(component))
    }

    /// The handles of one input component for its calls to Kinesis.
    #[must_use]
    pub fn reads(&self, component: &str) -> ReadMetrics {
        self.reads.handles(&self.components.get(component))
    }

    /// The handles of one side of a component that filters or transforms its records.
    #[must_use]
    pub fn shaping(&self, component: &str, side: ShapedSide) -> ShapingMetrics {
        self.shaping.handles(&self.components.get(component), side)
    }

    /// The page in either format.
    ///
    /// # Errors
    /// When formatting fails, which is a bug in the declaration of a metric.
    pub fn page_in(&self, format: MetricsFormat) -> Result<String, std::fmt::Error> {
        let page = self.page()?;
        Ok(match format {
            MetricsFormat::OpenMetrics => page,
            MetricsFormat::Text => exposition::text(&page),
        })
    }

    /// The page in OpenMetrics.
    ///
    /// # Errors
    /// When formatting fails, which is a bug in the declaration of a metric.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        for registrar in self.registrars.iter() {
            encode_registry(&mut text, &registrar.registry)?;
        }
        encode_registry(&mut text, &self.process)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::dapr::InitFailure;
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_page_shows_what_was_counted() {
        let metrics = Metrics::new();
        metrics.requests("orders").answered("create", 204, Duration::from_millis(3));
        let input = metrics.input("orders-in");
        input.fetched(2, 20);
        input.set_lag(Duration::from_secs(4));
        input.delivered();
        let page = metrics.page().unwrap();
        for line in [
            r#"bindd_output_requests_total{component="orders",operation="create",status="204"} 1"#,
            r#"bindd_input_records_fetched_total{component="orders-in"} 2"#,
            r#"bindd_input_records_delivered_total{component="orders-in"} 1"#,
            r#"bindd_input_lag_seconds{component="orders-in"} 4.0"#,
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn a_component_that_was_removed_and_added_again_counts_again() {
        let metrics = Metrics::new();
        for round in 1..3_u64 {
            for _ in 0..round {
                let handles = metrics.requests("orders");
                handles.answered("create", 204, Duration::ZERO);
                handles.binding().invoked("create", true, Duration::ZERO);
            }
            let page = metrics.page().unwrap();
            for line in [
                format!(r#"requests_total{{component="orders",operation="create",status="204"}} {round}"#),
                format!(r#"latency_seconds_count{{component="orders"}} {round}"#),
                format!(r#"component="orders",namespace="",operation="create",success="true"}} {round}"#),
            ] {
                assert!(page.contains(&line), "{line} is not in\n{page}");
            }
            metrics.forget("orders");
            assert!(!metrics.page().unwrap().contains("orders"));
        }
    }

    #[test]
    fn a_component_that_was_replaced_keeps_the_series_that_the_new_one_has_too() {
        let metrics = Metrics::new();
        metrics.input("orders").set_lag(Duration::from_secs(4));
        metrics.reads("orders").throttled();
        metrics.output("orders").set_limiter_factor("shardId-1", 0.5);
        metrics.credentials("orders").loaded(Some(Duration::from_secs(1)));
        metrics.requests("orders").answered("create", 204, Duration::ZERO);
        metrics.output("other").retried(1);
        let series = [
            "bindd_input_lag",
            "bindd_output_shard_limiter_factor{",
            "bindd_credentials_expiry",
            "bindd_output_requests_total{",
        ];
        let shown = |used: UsedSeries| {
            metrics.retain("orders", used);
            let page = metrics.page().unwrap();
            let lines: Vec<&str> = page.lines().filter(|line| line.contains("component=\"orders\"")).collect();
            assert!(page.contains("bindd_output_retries_total{component=\"other\"} 1"), "{page}");
            series.map(|name| lines.iter().any(|line| line.starts_with(name)))
        };
        assert_eq!(shown(UsedSeries { input: true, output: true, credentials: true }), [true, true, true, true]);
        assert_eq!(shown(UsedSeries { input: false, output: true, credentials: false }), [false, true, false, true]);
        assert_eq!(shown(UsedSeries { input: false, output: false, credentials: false }), [false, false, false, true]);
        metrics.input("orders").delivered();
        assert!(
            metrics.page().unwrap().contains("records_delivered_total{component=\"orders\"} 1"),
            "it may come back"
        );
    }

    #[test]
    fn ten_thousand_components_that_were_removed_leave_nothing() {
        let metrics = Metrics::new();
        // The values of the process change meanwhile.
        let series = || metrics.page().unwrap().lines().count();
        let before = series();
        for number in 0..10_000 {
            let name = format!("orders-{number}");
            let (requests, output) = (metrics.requests(&name), metrics.output(&name));
            requests.answered("create", 204, Duration::ZERO);
            output.throttled("shardId-1");
            metrics.input(&name).delivered();
            metrics.credentials(&name).failed();
            metrics.dapr().component_failed("bindings.aws.kinesis", &name, InitFailure::Init);
            metrics.forget(&name);
            output.called("PutRecord", "ok", Duration::ZERO);
        }
        assert_eq!(series(), before);
        assert_eq!(metrics.components.len(), 0);
    }

    #[test]
    fn a_call_that_ends_after_its_component_was_removed_brings_no_series_back() {
        let metrics = Metrics::new();
        let (requests, output, credentials) =
            (metrics.requests("orders"), metrics.output("orders"), metrics.credentials("orders"));
        let events = metrics.dapr().input_binding("orders");
        let policy = metrics.dapr().resiliency().policy(super::super::PolicyTarget {
            resource: "shop",
            namespace: "",
            policy: "retry",
            flow_direction: "outbound",
            target: "Binding_orders",
        });
        policy.executed("");
        metrics.forget("orders");
        requests.answered("create", 204, Duration::ZERO);
        requests.binding().invoked("create", true, Duration::ZERO);
        output.called("PutRecord", "ok", Duration::ZERO);
        output.throttled("shardId-1");
        output.set_limiter_factor("shardId-1", 0.5);
        credentials.loaded(Some(Duration::from_secs(1)));
        credentials.failed();
        events.handled(1, true, Duration::ZERO);
        let page = metrics.page().unwrap();
        assert!(!page.contains("orders"), "{page}");
        metrics.output("orders").called("PutRecord", "ok", Duration::ZERO);
        assert!(metrics.page().unwrap().contains(r#"bindd_output_calls_total{component="orders""#));
    }
}
