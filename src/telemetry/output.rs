//! Metrics of outputs. The `shard` label exists only while the producer keeps a rate limit for that shard.

use super::component::Component;
use super::family::{Family, Registrar, of_component};
use super::labels::{ComponentLabel, FloatGauge, Histograms, latency};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    component: Component,
    state: &'static str,
}

of_component!(StateLabels);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    component: Component,
    operation: &'static str,
    outcome: &'static str,
}

of_component!(CallLabels);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabels {
    component: Component,
    shard: String,
}

of_component!(ShardLabels);

/// The final state of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// AWS confirmed it.
    Stored,
    /// It was sent, and its caller got an error.
    Failed,
    /// It was never sent, and its caller got an error.
    Refused,
    /// The dead letter binding accepted it; it is counted as failed too.
    DeadLettered,
    /// Its caller disconnected while it was in flight.
    Orphaned,
}

impl RecordState {
    const ALL: [Self; 5] = [Self::Stored, Self::Failed, Self::Refused, Self::DeadLettered, Self::Orphaned];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::DeadLettered => "dead_lettered",
            Self::Orphaned => "orphaned",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct OutputFamilies {
    retries: Family<ComponentLabel, Counter>,
    records: Family<StateLabels, Counter>,
    ambiguous: Family<ComponentLabel, Counter>,
    duplicates: Family<ComponentLabel, Counter>,
    attempts: Histograms,
    calls: Family<CallLabels, Counter>,
    call_time: Histograms,
    batch_records: Histograms,
    batch_bytes: Histograms,
    queue_wait: Histograms,
    limiter_wait: Histograms,
    queue_bytes: Family<ComponentLabel, Gauge>,
    queue_records: Family<ComponentLabel, Gauge>,
    throttles: Family<ShardLabels, Counter>,
    limiter_factor: Family<ShardLabels, FloatGauge>,
    flush_errors: Family<ComponentLabel, Counter>,
}

fn counts() -> Histogram {
    Histogram::new([1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0])
}

fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(256.0, 4.0, 9))
}

impl OutputFamilies {
    pub(super) fn registered(registry: &mut Registrar) -> Self {
        Self {
            retries: registry.family("output_retries", "Calls to AWS that retried a request, or at least one record of it"),
            records: registry.family("output_records", "Records and items by final state; dead_lettered counts failed ones that the dead letter binding accepted"),
            ambiguous: registry.family("output_ambiguous", "Responses after which it is unknown whether the request was carried out"),
            duplicates: registry.family("output_duplicates_possible", "Retries of records that an earlier attempt may have stored"),
            attempts: registry.histograms(counts, None, "output_attempts", "Attempts per record"),
            calls: registry.family("output_calls", "Calls to AWS by operation and outcome"),
            call_time: registry.histograms(latency, Some(Unit::Seconds), "output_call", "Time of one call to AWS"),
            batch_records: registry.histograms(counts, None, "output_batch_records", "Records per call to AWS"),
            batch_bytes: registry.histograms(sizes, Some(Unit::Bytes), "output_batch_size", "Bytes per call to AWS"),
            queue_wait: registry.histograms(latency, Some(Unit::Seconds), "output_queue_wait", "Time from the arrival of a record to its first call"),
            limiter_wait: registry.histograms(latency, Some(Unit::Seconds), "output_limiter_wait", "Time that a record waited for the rate limit of its shard"),
            queue_bytes: registry.family_in(Unit::Bytes, "output_queue", "Bytes that are queued or in flight"),
            queue_records: registry.family("output_queue_records", "Records that are queued or in flight"),
            throttles: registry.family("output_shard_throttles", "Responses that throttled a shard; `unknown` if AWS did not say which"),
            limiter_factor: registry.family("output_shard_limiter_factor", "Fraction of a shard's rate limit that is used; below 1 after throttling"),
            flush_errors: registry.family("output_flush_expression_errors", "Records on which `batchingFlushExpression` failed; they are sent, and end no batch"),
        }
    }

    pub(super) fn handles(&self, component: &Component) -> OutputMetrics {
        let label = ComponentLabel::new(component);
        let state = |state: RecordState| {
            let labels = StateLabels { component: label.component.clone(), state: state.as_str() };
            self.records.get_or_create(&labels)
        };
        OutputMetrics {
            component: label.component.clone(),
            states: RecordState::ALL.map(state),
            retries: self.retries.get_or_create(&label),
            ambiguous: self.ambiguous.get_or_create(&label),
            duplicates: self.duplicates.get_or_create(&label),
            attempts: self.attempts.get_or_create(&label),
            call_time: self.call_time.get_or_create(&label),
            batch_records: self.batch_records.get_or_create(&label),
            batch_bytes: self.batch_bytes.get_or_create(&label),
            queue_wait: self.queue_wait.get_or_create(&label),
            limiter_wait: self.limiter_wait.get_or_create(&label),
            queue_bytes: self.queue_bytes.get_or_create(&label),
            queue_records: self.queue_records.get_or_create(&label),
            families: self.clone(),
        }
    }
}

/// Handles of one output component, resolved once when it is connected.
#[derive(Debug, Clone)]
pub struct OutputMetrics {
    component: Component,
    states: [Counter; 5],
    retries: Counter,
    ambiguous: Counter,
    duplicates: Counter,
    attempts: Histogram,
    call_time: Histogram,
    batch_records: Histogram,
    batch_bytes: Histogram,
    queue_wait: Histogram,
    limiter_wait: Histogram,
    queue_bytes: Gauge,
    queue_records: Gauge,
    families: OutputFamilies,
}

impl OutputMetrics {
    #[must_use]
    pub fn component(&self) -> &str {
        self.component.name()
    }

    /// Calls retried an earlier one, or at least one of its records.
    pub fn retried(&self, times: u64) {
        self.retries.inc_by(times);
    }

    /// A record reached its final state after `attempts`, which is 0 for a refused one.
    pub fn ended(&self, state: RecordState, attempts: u32) {
        let place = RecordState::ALL.iter().position(|known| *known == state);
        if let Some(counter) = place.and_then(|place| self.states.get(place)) {
            counter.inc();
        }
        if attempts > 0 {
            self.attempts.observe(f64::from(attempts));
        }
    }

    /// After a response it is unknown whether the request was carried out.
    pub fn ambiguous(&self) {
        self.ambiguous.inc();
    }

    /// A record is retried that an earlier attempt may have stored.
    pub fn duplicate_possible(&self) {
        self.duplicates.inc();
    }

    /// A call to AWS ended. `outcome` is `ok`, `partial` or the name of a `FailureKind`.
    pub fn called(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = CallLabels { component: self.component.clone(), operation, outcome };
        self.families.calls.get_or_detached(&labels).inc();
        self.call_time.observe(took.as_secs_f64());
    }

    /// `batchingFlushExpression` failed on a record.
    pub fn flush_expression_failed(&self) {
        let label = ComponentLabel { component: self.component.clone() };
        self.families.flush_errors.get_or_detached(&label).inc();
    }

    /// A call was sent.
    pub fn batched(&self, records: usize, bytes: usize) {
        self.batch_records.observe(to_float(records));
        self.batch_bytes.observe(to_float(bytes));
    }

    /// A record was first sent this long after its arrival.
    pub fn queue_waited(&self, wait: Duration) {
        self.queue_wait.observe(wait.as_secs_f64());
    }

    /// A record waited this long for the rate limit of its shard.
    pub fn limiter_waited(&self, wait: Duration) {
        self.limiter_wait.observe(wait.as_secs_f64());
    }

    /// What is queued or in flight.
    pub fn set_queue(&self, records: usize, bytes: usize) {
        self.queue_records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.queue_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A response throttled records of a shard.
    pub fn throttled(&self, shard: &str) {
        self.families.throttles.get_or_detached(&self.shard(shard)).inc();
    }

    /// The fraction of a shard's rate limit that is used.
    pub fn set_limiter_factor(&self, shard: &str, factor: f64) {
        self.families.limiter_factor.get_or_detached(&self.shard(shard)).set(factor);
    }

    /// A shard is closed; its series are removed.
    pub fn forget_shard(&self, shard: &str) {
        self.families.throttles.remove(&self.shard(shard));
        self.families.limiter_factor.remove(&self.shard(shard));
    }

    fn shard(&self, shard: &str) -> ShardLabels {
        ShardLabels { component: self.component.clone(), shard: shard.to_owned() }
    }
}

/// Counts and sizes in one call are far below 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "at most 10 MiB")]
const fn to_float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn what_happens_to_a_record_is_on_the_page() {
        let metrics = Metrics::new();
        let output = metrics.output("orders-out");
        output.ended(RecordState::Stored, 2);
        output.called("PutRecords", "partial", Duration::from_millis(7));
        output.batched(2, 600);
        output.throttled("shardId-1");
        output.set_limiter_factor("shardId-1", 0.7);
        output.set_queue(3, 900);
        let page = metrics.page().unwrap();
        for line in [
            r#"bindd_output_records_total{component="orders-out",state="stored"} 1"#,
            r#"bindd_output_records_total{component="orders-out",state="orphaned"} 0"#,
            r#"bindd_output_calls_total{component="orders-out",operation="PutRecords",outcome="partial"} 1"#,
            r#"bindd_output_batch_size_bytes_sum{component="orders-out"} 600.0"#,
            r#"bindd_output_shard_throttles_total{component="orders-out",shard="shardId-1"} 1"#,
            r#"bindd_output_shard_limiter_factor{component="orders-out",shard="shardId-1"} 0.7"#,
            r#"bindd_output_queue_bytes{component="orders-out"} 900"#,
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        output.forget_shard("shardId-1");
        assert!(!metrics.page().unwrap().contains("shardId-1"));
    }
}
