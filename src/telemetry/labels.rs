//! The label and the value types that several groups of metrics share.

use super::component::Component;
use super::family::{Family, of_component};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use std::sync::atomic::AtomicU64;

/// Upper bounds of latency buckets, in seconds.
const LATENCY_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ComponentLabel {
    pub(super) component: Component,
}

impl ComponentLabel {
    pub(super) fn new(component: &Component) -> Self {
        Self { component: component.clone() }
    }
}

of_component!(ComponentLabel);

/// A gauge that is not a whole number.
pub(super) type FloatGauge = Gauge<f64, AtomicU64>;

/// One histogram for each component.
pub(super) type Histograms = Family<ComponentLabel, Histogram>;

/// Upper bounds of buckets of ages, in seconds: from a record that is delivered at once to one at the end of its retention.
const AGE_BUCKETS: [f64; 13] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 14_400.0, 86_400.0];

pub(super) fn ages() -> Histogram {
    Histogram::new(AGE_BUCKETS)
}

pub(super) fn latency() -> Histogram {
    Histogram::new(LATENCY_BUCKETS)
}
