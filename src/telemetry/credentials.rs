//! Metrics of the AWS credentials of components.

use super::component::Component;
use super::family::{Family, Registrar, of_component};
use super::labels::{ComponentLabel, FloatGauge};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Unit;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoadLabels {
    component: Component,
    outcome: &'static str,
}

of_component!(LoadLabels);

#[derive(Debug, Clone)]
pub(super) struct CredentialFamilies {
    loads: Family<LoadLabels, Counter>,
    expiry: Family<ComponentLabel, FloatGauge>,
}

impl CredentialFamilies {
    pub(super) fn registered(registry: &mut Registrar) -> Self {
        Self {
            loads: registry.family("credentials_loads", "Loads of AWS credentials by outcome"),
            expiry: registry.family_in(
                Unit::Seconds,
                "credentials_expiry_timestamp",
                "Unix time at which the AWS credentials in use expire; absent if they do not expire",
            ),
        }
    }

    pub(super) fn handles(&self, component: &Component) -> CredentialMetrics {
        CredentialMetrics { component: component.clone(), families: self.clone() }
    }
}

/// Handles of one component. Its series start with the first load, so a component with keys in its file has none.
#[derive(Debug, Clone)]
pub struct CredentialMetrics {
    component: Component,
    families: CredentialFamilies,
}

impl CredentialMetrics {
    /// Credentials were loaded. `expiry` counts from 1970; `None` if they do not expire.
    pub fn loaded(&self, expiry: Option<Duration>) {
        self.count("ok");
        let label = ComponentLabel::new(&self.component);
        match expiry {
            Some(expiry) => {
                self.families.expiry.get_or_detached(&label).set(expiry.as_secs_f64());
            }
            None => {
                self.families.expiry.remove(&label);
            }
        }
    }

    /// No source had credentials. Credentials in use, if any, stay.
    pub fn failed(&self) {
        self.count("failed");
    }

    fn count(&self, outcome: &'static str) {
        let labels = LoadLabels { component: self.component.clone(), outcome };
        self.families.loads.get_or_detached(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn loads_and_expiry_are_on_the_page() {
        let metrics = Metrics::new();
        let credentials = metrics.credentials("orders");
        credentials.loaded(Some(Duration::from_secs(1_800_000_000)));
        credentials.failed();
        let page = metrics.page().unwrap();
        for line in [
            r#"bindd_credentials_loads_total{component="orders",outcome="ok"} 1"#,
            r#"bindd_credentials_loads_total{component="orders",outcome="failed"} 1"#,
            r#"bindd_credentials_expiry_timestamp_seconds{component="orders"} 1800000000.0"#,
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        credentials.loaded(None);
        assert!(!metrics.page().unwrap().contains("timestamp_seconds{"));
    }
}
