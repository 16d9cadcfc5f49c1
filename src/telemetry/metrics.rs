//! Every metric of the process: name, help, labels, typed handle. Labels are bounded: names of components, operations,
//! and statuses; never a key or a sequence number.

use super::credentials::{CredentialFamilies, CredentialMetrics};
use super::exposition::{self, MetricsFormat};
use super::output::{OutputFamilies, OutputMetrics};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Bounds of latency histograms, in seconds.
const LATENCY_BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ComponentLabel {
    pub(super) component: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    component: String,
    operation: &'static str,
    status: u32,
}

pub(super) type Seconds = Gauge<f64, AtomicU64>;

pub(super) fn latency() -> Histogram {
    Histogram::new(LATENCY_BOUNDS)
}

/// All metrics, and the registry that prints them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_latency: Family<ComponentLabel, Histogram, fn() -> Histogram>,
    output: OutputFamilies,
    input: InputFamilies,
    credentials: CredentialFamilies,
}

#[derive(Debug, Clone, Default)]
struct InputFamilies {
    fetched: Family<ComponentLabel, Counter>,
    delivered: Family<ComponentLabel, Counter>,
    retried: Family<ComponentLabel, Counter>,
    checkpoints: Family<ComponentLabel, Counter>,
    leases_lost: Family<ComponentLabel, Counter>,
    retention_gaps: Family<ComponentLabel, Counter>,
    position_resets: Family<ComponentLabel, Counter>,
    leases_held: Family<ComponentLabel, Gauge>,
    lag: Family<ComponentLabel, Seconds>,
    checkpoint_age: Family<ComponentLabel, Seconds>,
}

impl Metrics {
    /// Fresh metrics, all registered.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("bindd");
        let requests = Family::<RequestLabels, Counter>::default();
        let request_latency: Family<ComponentLabel, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(latency);
        registry.register(
            "output_requests",
            "Requests to output bindings, by HTTP status of the answer",
            requests.clone(),
        );
        registry.register_with_unit(
            "output_latency",
            "Time from the request being read to its answer",
            Unit::Seconds,
            request_latency.clone(),
        );
        let output = OutputFamilies::registered(&mut registry);
        let input = InputFamilies::default();
        input.register(&mut registry);
        let credentials = CredentialFamilies::registered(&mut registry);
        Self { registry: Arc::new(registry), requests, request_latency, output, input, credentials }
    }

    /// Counts one answered request to an output binding.
    pub fn answered(&self, component: &str, operation: &'static str, status: u16, took: Duration) {
        let labels = RequestLabels { component: component.to_owned(), operation, status: status.into() };
        self.requests.get_or_create(&labels).inc();
        let label = ComponentLabel { component: labels.component };
        self.request_latency.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// The handles of one component for its credentials.
    #[must_use]
    pub fn credentials(&self, component: &str) -> CredentialMetrics {
        self.credentials.handles(component)
    }

    /// The handles of one output component.
    #[must_use]
    pub fn output(&self, component: &str) -> OutputMetrics {
        self.output.handles(component)
    }

    /// The handles of one input component.
    #[must_use]
    pub fn input(&self, component: &str) -> InputMetrics {
        self.input.handles(&ComponentLabel { component: component.to_owned() })
    }

    /// The page in either format.
    ///
    /// # Errors
    /// When formatting fails, which means a defect in a metric's declaration.
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
    /// When formatting fails, which means a defect in a metric's declaration.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl InputFamilies {
    fn register(&self, registry: &mut Registry) {
        registry.register("input_records_fetched", "Records read from the stream", self.fetched.clone());
        registry.register("input_records_delivered", "Records that the app accepted", self.delivered.clone());
        registry.register("input_records_retried", "Deliveries that failed and are repeated", self.retried.clone());
        registry.register("input_checkpoints", "Checkpoints stored", self.checkpoints.clone());
        registry.register("input_leases_lost", "Leases lost to another worker", self.leases_lost.clone());
        registry.register(
            "input_retention_gaps",
            "Times that records may have aged out unread",
            self.retention_gaps.clone(),
        );
        registry.register(
            "input_position_resets",
            "Times that a stored position was unknown to the stream and reading began at the horizon",
            self.position_resets.clone(),
        );
        registry.register("input_leases_held", "Leases held now", self.leases_held.clone());
        registry.register_with_unit(
            "input_lag",
            "How far the shard that is furthest behind was from its newest record at the last read",
            Unit::Seconds,
            self.lag.clone(),
        );
        registry.register_with_unit(
            "input_checkpoint_age",
            "Age of the oldest accepted record that is not checkpointed",
            Unit::Seconds,
            self.checkpoint_age.clone(),
        );
    }

    fn handles(&self, label: &ComponentLabel) -> InputMetrics {
        InputMetrics {
            fetched: self.fetched.get_or_create_owned(label),
            delivered: self.delivered.get_or_create_owned(label),
            retried: self.retried.get_or_create_owned(label),
            checkpoints: self.checkpoints.get_or_create_owned(label),
            leases_lost: self.leases_lost.get_or_create_owned(label),
            retention_gaps: self.retention_gaps.get_or_create_owned(label),
            position_resets: self.position_resets.get_or_create_owned(label),
            leases_held: self.leases_held.get_or_create_owned(label),
            lag: self.lag.get_or_create_owned(label),
            checkpoint_age: self.checkpoint_age.get_or_create_owned(label),
        }
    }
}

/// Handles of one input component; taken once when it is connected.
#[derive(Debug, Clone)]
pub struct InputMetrics {
    fetched: Counter,
    delivered: Counter,
    retried: Counter,
    checkpoints: Counter,
    leases_lost: Counter,
    retention_gaps: Counter,
    position_resets: Counter,
    leases_held: Gauge,
    lag: Seconds,
    checkpoint_age: Seconds,
}

impl InputMetrics {
    /// Records came in.
    pub fn fetched(&self, records: u64) {
        self.fetched.inc_by(records);
    }

    /// How far the last read of the shard that is furthest behind was from the newest record.
    pub fn set_lag(&self, behind: Duration) {
        self.lag.set(behind.as_secs_f64());
    }

    /// The app accepted a record.
    pub fn delivered(&self) {
        self.delivered.inc();
    }

    /// A delivery failed and is repeated.
    pub fn retried(&self) {
        self.retried.inc();
    }

    /// Progress was stored.
    pub fn checkpointed(&self) {
        self.checkpoints.inc();
    }

    /// A lease went to another worker.
    pub fn lease_lost(&self) {
        self.leases_lost.inc();
    }

    /// Records may have aged out before they were read.
    pub fn retention_gap(&self) {
        self.retention_gaps.inc();
    }

    /// A stored position was unknown to the stream.
    pub fn position_reset(&self) {
        self.position_resets.inc();
    }

    /// How many leases are held now.
    pub fn set_leases_held(&self, leases: usize) {
        self.leases_held.set(i64::try_from(leases).unwrap_or(i64::MAX));
    }

    /// How long accepted records have waited for their checkpoint.
    pub fn set_checkpoint_age(&self, age: Duration) {
        self.checkpoint_age.set(age.as_secs_f64());
    }

    /// How far behind the last read was.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::try_from_secs_f64(self.lag.get()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_was_counted() {
        let metrics = Metrics::new();
        metrics.answered("orders", "create", 204, Duration::from_millis(3));
        let input = metrics.input("orders-in");
        input.fetched(2);
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
}
