//! What the groups of Dapr's metrics share.

use prometheus_client::metrics::histogram::Histogram;
use std::sync::Arc;
use std::time::Duration;

/// Upper bounds of Dapr's latency buckets, in milliseconds.
const LATENCY_BUCKETS: [f64; 34] = [
    1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 40.0, 50.0, 65.0, 80.0, 100.0, 130.0, 160.0,
    200.0, 250.0, 300.0, 400.0, 500.0, 650.0, 800.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0,
    100_000.0,
];

const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;
/// Upper bounds of Dapr's size buckets, in bytes.
const SIZE_BUCKETS: [f64; 13] = [
    KIB,
    2.0 * KIB,
    4.0 * KIB,
    16.0 * KIB,
    64.0 * KIB,
    256.0 * KIB,
    MIB,
    4.0 * MIB,
    16.0 * MIB,
    64.0 * MIB,
    256.0 * MIB,
    KIB * MIB,
    4.0 * KIB * MIB,
];

/// `http.*` of `spec.metrics` and the rest of it that bindd follows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricsRules {
    /// `recordErrorCodes`: count error codes in `dapr_error_code_total`.
    pub record_error_codes: bool,
    /// `http.increasedCardinality`: label HTTP metrics with the path of each request, for at most 1,000 of them.
    pub increased_cardinality: bool,
    /// `http.pathMatching`: paths to label HTTP metrics with, such as `/v1.0/bindings/{name}`.
    pub path_matching: Vec<String>,
    /// `http.excludeVerbs`: leave the label `method` empty.
    pub exclude_verbs: bool,
    /// `latencyDistributionBuckets`, in milliseconds; empty means Dapr's.
    pub latency_buckets: Vec<f64>,
}

/// Makes histograms of latencies.
pub(super) fn latencies(rules: &MetricsRules) -> impl Fn() -> Histogram + Clone + Send + Sync + 'static {
    let buckets: Arc<[f64]> =
        if rules.latency_buckets.is_empty() { LATENCY_BUCKETS.into() } else { sorted(&rules.latency_buckets) };
    move || Histogram::new(buckets.iter().copied())
}

/// A histogram needs its bounds in order, and each once.
fn sorted(buckets: &[f64]) -> Arc<[f64]> {
    let mut buckets: Vec<f64> = buckets.iter().copied().filter(|bound| bound.is_finite()).collect();
    buckets.sort_by(f64::total_cmp);
    buckets.dedup();
    buckets.into()
}

pub(super) fn sizes() -> Histogram {
    Histogram::new(SIZE_BUCKETS)
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Bytes of one message are far below 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "a size, and only for a histogram")]
pub(super) const fn bytes(size: u64) -> f64 {
    size as f64
}
