//! Metrics of inputs.

use super::component::Component;
use super::family::{Family, Registrar, of_component};
use super::labels::{ComponentLabel, FloatGauge, Histograms, ages, latency};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use std::time::Duration;

/// What an input does with a shard that it holds, in the order of [`InputTotals::shards`].
const SHARD_STATES: [&str; 6] = ["starting", "reading", "read_failing", "halted", "draining", "finishing"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    component: Component,
    state: &'static str,
}

of_component!(StateLabels);

/// Sums over the shards that an input holds, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InputTotals {
    /// Requests to the app.
    pub in_flight: usize,
    /// Keys that wait because a record failed.
    pub parked_keys: usize,
    /// Records that were fetched and are not accepted.
    pub buffered_records: usize,
    pub buffered_bytes: usize,
    /// How many shards are starting, being read, failing to be read, halted, draining and finishing.
    pub shards: [usize; 6],
}

#[derive(Debug, Clone)]
pub(super) struct InputFamilies {
    fetched: Family<ComponentLabel, Counter>,
    delivered: Family<ComponentLabel, Counter>,
    retried: Family<ComponentLabel, Counter>,
    not_decompressed: Family<ComponentLabel, Counter>,
    dead_lettered: Family<ComponentLabel, Counter>,
    dropped: Family<ComponentLabel, Counter>,
    checkpoints: Family<ComponentLabel, Counter>,
    leases_lost: Family<ComponentLabel, Counter>,
    retention_gaps: Family<ComponentLabel, Counter>,
    position_resets: Family<ComponentLabel, Counter>,
    lease_holes: Family<ComponentLabel, Counter>,
    leases_held: Family<ComponentLabel, Gauge>,
    lag: Family<ComponentLabel, FloatGauge>,
    checkpoint_age: Family<ComponentLabel, FloatGauge>,
    gauges: GaugeFamilies,
    calls: CallFamilies,
}

/// Set once a second.
#[derive(Debug, Clone)]
struct GaugeFamilies {
    in_flight: Family<ComponentLabel, Gauge>,
    parked_keys: Family<ComponentLabel, Gauge>,
    buffered_records: Family<ComponentLabel, Gauge>,
    buffered_bytes: Family<ComponentLabel, Gauge>,
    shards: Family<StateLabels, Gauge>,
}

/// Of calls to the app and to the lease table, and of their waits.
#[derive(Debug, Clone)]
struct CallFamilies {
    fetched_bytes: Family<ComponentLabel, Counter>,
    memory_waits: Family<ComponentLabel, Counter>,
    leases_taken: Family<ComponentLabel, Counter>,
    callback: Histograms,
    record_age: Histograms,
    lease_write: Histograms,
}

impl GaugeFamilies {
    fn registered(registry: &mut Registrar) -> Self {
        Self {
            in_flight: registry.family("input_in_flight", "Requests to the app in flight"),
            parked_keys: registry.family("input_parked_keys", "Partition keys that wait because a record failed"),
            buffered_records: registry.family(
                "input_buffered_records",
                "Records that were read and not accepted, and those accepted behind such a record",
            ),
            buffered_bytes: registry.family_in(
                Unit::Bytes,
                "input_buffered",
                "Memory of records that were read and are not accepted",
            ),
            shards: registry.family("input_shards", "Shards whose lease is held, by state"),
        }
    }
}

impl CallFamilies {
    fn registered(registry: &mut Registrar) -> Self {
        Self {
            fetched_bytes: registry.family_in(Unit::Bytes, "input_fetched", "Data of records read from the stream"),
            memory_waits: registry.family(
                "input_memory_waits",
                "Reads that waited for memory, because all of --max-buffered-bytes was in use",
            ),
            leases_taken: registry.family("input_leases_taken", "Leases taken"),
            callback: registry.histograms(
                latency,
                Some(Unit::Seconds),
                "input_callback",
                "Time of one request to the app, whatever its answer",
            ),
            record_age: registry.histograms(
                ages,
                Some(Unit::Seconds),
                "input_record_age",
                "Age of the oldest record of a request when the app accepted it",
            ),
            lease_write: registry.histograms(
                latency,
                Some(Unit::Seconds),
                "input_lease_write",
                "Time of one renewal or checkpoint that was stored",
            ),
        }
    }
}

impl InputFamilies {
    pub(super) fn registered(registry: &mut Registrar) -> Self {
        Self {
            fetched: registry.family("input_records_fetched", "Records read from the stream"),
            delivered: registry.family("input_records_delivered", "Records that the app accepted"),
            retried: registry.family("input_records_retried", "Deliveries of records that failed"),
            not_decompressed: registry.family(
                "input_records_not_decompressed",
                "Records that could not be decompressed, or were too large for it, and were answered by the app or filtered",
            ),
            dead_lettered: registry
                .family("input_records_dead_lettered", "Records that were given up and stored as dead letters"),
            dropped: registry.family(
                "input_records_dropped",
                "Records that were given up and dropped, because onPoison or transformOnError is drop-counted",
            ),
            checkpoints: registry.family("input_checkpoints", "Checkpoints written to the lease table"),
            leases_lost: registry.family("input_leases_lost", "Leases taken over by another worker"),
            retention_gaps: registry
                .family("input_retention_gaps", "Times that records may have expired before they were read"),
            position_resets: registry.family(
                "input_position_resets",
                "Times that the stream did not know a checkpoint and reading restarted elsewhere",
            ),
            lease_holes: registry
                .family("input_lease_holes", "Times that two checks in a row found hash keys that no lease covers"),
            leases_held: registry.family("input_leases_held", "Leases held"),
            lag: registry.family_in(
                Unit::Seconds,
                "input_lag",
                "How far the delivery is behind the newest record, for the shard that is furthest behind",
            ),
            checkpoint_age: registry.family_in(
                Unit::Seconds,
                "input_checkpoint_age",
                "Age of the oldest delivered record that is not checkpointed",
            ),
            gauges: GaugeFamilies::registered(registry),
            calls: CallFamilies::registered(registry),
        }
    }

    pub(super) fn handles(&self, component: &Component) -> InputMetrics {
        let label = &ComponentLabel::new(component);
        let state = |state| {
            let labels = StateLabels { component: component.clone(), state };
            self.gauges.shards.get_or_create(&labels)
        };
        InputMetrics {
            fetched: self.fetched.get_or_create(label),
            delivered: self.delivered.get_or_create(label),
            retried: self.retried.get_or_create(label),
            not_decompressed: self.not_decompressed.get_or_create(label),
            dead_lettered: self.dead_lettered.get_or_create(label),
            dropped: self.dropped.get_or_create(label),
            checkpoints: self.checkpoints.get_or_create(label),
            leases_lost: self.leases_lost.get_or_create(label),
            retention_gaps: self.retention_gaps.get_or_create(label),
            position_resets: self.position_resets.get_or_create(label),
            lease_holes: self.lease_holes.get_or_create(label),
            leases_held: self.leases_held.get_or_create(label),
            lag: self.lag.get_or_create(label),
            checkpoint_age: self.checkpoint_age.get_or_create(label),
            in_flight: self.gauges.in_flight.get_or_create(label),
            parked_keys: self.gauges.parked_keys.get_or_create(label),
            buffered_records: self.gauges.buffered_records.get_or_create(label),
            buffered_bytes: self.gauges.buffered_bytes.get_or_create(label),
            shards: SHARD_STATES.map(state),
            fetched_bytes: self.calls.fetched_bytes.get_or_create(label),
            memory_waits: self.calls.memory_waits.get_or_create(label),
            leases_taken: self.calls.leases_taken.get_or_create(label),
            callback: self.calls.callback.get_or_create(label),
            record_age: self.calls.record_age.get_or_create(label),
            lease_write: self.calls.lease_write.get_or_create(label),
        }
    }
}

/// Handles of one input component, resolved once when it is connected.
#[derive(Debug, Clone)]
pub struct InputMetrics {
    fetched: Counter,
    delivered: Counter,
    retried: Counter,
    not_decompressed: Counter,
    dead_lettered: Counter,
    dropped: Counter,
    checkpoints: Counter,
    leases_lost: Counter,
    retention_gaps: Counter,
    position_resets: Counter,
    lease_holes: Counter,
    leases_held: Gauge,
    lag: FloatGauge,
    checkpoint_age: FloatGauge,
    in_flight: Gauge,
    parked_keys: Gauge,
    buffered_records: Gauge,
    buffered_bytes: Gauge,
    /// In the order of [`SHARD_STATES`].
    shards: [Gauge; 6],
    fetched_bytes: Counter,
    memory_waits: Counter,
    leases_taken: Counter,
    callback: Histogram,
    record_age: Histogram,
    lease_write: Histogram,
}

impl InputMetrics {
    /// `bytes`: of data, without keys.
    pub fn fetched(&self, records: u64, bytes: u64) {
        self.fetched.inc_by(records);
        self.fetched_bytes.inc_by(bytes);
    }

    /// A read waits for memory.
    pub fn memory_wait(&self) {
        self.memory_waits.inc();
    }

    pub fn lease_taken(&self) {
        self.leases_taken.inc();
    }

    /// A request to the app has ended.
    pub fn called_back(&self, took: Duration) {
        self.callback.observe(took.as_secs_f64());
    }

    /// A request was accepted; `age`: of its oldest record.
    pub fn accepted(&self, age: Duration) {
        self.record_age.observe(age.as_secs_f64());
    }

    /// A renewal or checkpoint was stored.
    pub fn lease_written(&self, took: Duration) {
        self.lease_write.observe(took.as_secs_f64());
    }

    pub fn set_totals(&self, totals: &InputTotals) {
        let set = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.in_flight, totals.in_flight);
        set(&self.parked_keys, totals.parked_keys);
        set(&self.buffered_records, totals.buffered_records);
        set(&self.buffered_bytes, totals.buffered_bytes);
        self.shards.iter().zip(totals.shards).for_each(|(gauge, value)| set(gauge, value));
    }

    /// The lag of the shard that is furthest behind.
    pub fn set_lag(&self, behind: Duration) {
        self.lag.set(behind.as_secs_f64());
    }

    /// The app accepted a record.
    pub fn delivered(&self) {
        self.delivered.inc();
    }

    /// A delivery failed and is retried.
    pub fn retried(&self) {
        self.retried.inc();
    }

    /// Records were delivered or filtered as they are, although they were to be decompressed.
    pub fn not_decompressed(&self, records: u64) {
        self.not_decompressed.inc_by(records);
    }

    /// A record was given up and stored as a dead letter.
    pub fn dead_lettered(&self) {
        self.dead_lettered.inc();
    }

    /// A record was given up and dropped.
    pub fn dropped(&self) {
        self.dropped.inc();
    }

    pub fn checkpointed(&self) {
        self.checkpoints.inc();
    }

    pub fn lease_lost(&self) {
        self.leases_lost.inc();
    }

    /// Records may have expired before they were read.
    pub fn retention_gap(&self) {
        self.retention_gaps.inc();
    }

    /// The stream did not know a checkpoint.
    pub fn position_reset(&self) {
        self.position_resets.inc();
    }

    /// Two checks in a row found hash keys that no lease covers.
    pub fn lease_hole(&self) {
        self.lease_holes.inc();
    }

    pub fn set_leases_held(&self, leases: usize) {
        self.leases_held.set(i64::try_from(leases).unwrap_or(i64::MAX));
    }

    /// The age of the oldest delivered record that is not checkpointed.
    pub fn set_checkpoint_age(&self, age: Duration) {
        self.checkpoint_age.set(age.as_secs_f64());
    }

    /// The lag that was set last.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::try_from_secs_f64(self.lag.get()).unwrap_or_default()
    }
}
