//! The registry of all metrics. Labels are bounded: names of components, operations, shards and statuses; never a key or
//! a sequence number.

use super::credentials::{CredentialFamilies, CredentialMetrics};
use super::exposition::{self, MetricsFormat};
use super::input::{InputFamilies, InputMetrics};
use super::output::{OutputFamilies, OutputMetrics};
use super::reads::{ReadFamilies, ReadMetrics};
use super::requests::{HttpMetrics, RequestFamilies};
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// All metrics, and the registry that writes them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: RequestFamilies,
    output: OutputFamilies,
    input: InputFamilies,
    reads: ReadFamilies,
    credentials: CredentialFamilies,
}

impl Metrics {
    /// New metrics, all registered.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("bindd");
        let requests = RequestFamilies::registered(&mut registry);
        let output = OutputFamilies::registered(&mut registry);
        let input = InputFamilies::registered(&mut registry);
        let reads = ReadFamilies::registered(&mut registry);
        let credentials = CredentialFamilies::registered(&mut registry);
        Self { registry: Arc::new(registry), requests, output, input, reads, credentials }
    }

    /// The handles of one component for its credentials.
    #[must_use]
    pub fn credentials(&self, component: &str) -> CredentialMetrics {
        self.credentials.handles(component)
    }

    /// The handles of one output component for its requests over HTTP.
    #[must_use]
    pub fn requests(&self, component: &str) -> HttpMetrics {
        self.requests.handles(component)
    }

    /// The handles of one output component.
    #[must_use]
    pub fn output(&self, component: &str) -> OutputMetrics {
        self.output.handles(component)
    }

    /// The handles of one input component.
    #[must_use]
    pub fn input(&self, component: &str) -> InputMetrics {
        self.input.handles(component)
    }

    /// The handles of one input component for its calls to Kinesis.
    #[must_use]
    pub fn reads(&self, component: &str) -> ReadMetrics {
        self.reads.handles(component)
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
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
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
}
