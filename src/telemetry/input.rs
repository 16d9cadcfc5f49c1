//! Metrics of inputs.

use super::labels::{ComponentLabel, FloatGauge};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

#[derive(Debug, Clone, Default)]
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
}

impl InputFamilies {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let families = Self::default();
        registry.register("input_records_fetched", "Records read from the stream", families.fetched.clone());
        registry.register("input_records_delivered", "Records that the app accepted", families.delivered.clone());
        registry.register("input_records_retried", "Deliveries that failed and are retried", families.retried.clone());
        registry.register(
            "input_records_not_decompressed",
            "Deliveries of records that could not be decompressed, or were too large for it, and were answered",
            families.not_decompressed.clone(),
        );
        registry.register(
            "input_records_dead_lettered",
            "Records that were given up and stored as dead letters",
            families.dead_lettered.clone(),
        );
        registry.register(
            "input_records_dropped",
            "Records that were given up and dropped, because onPoison is drop-counted",
            families.dropped.clone(),
        );
        registry.register("input_checkpoints", "Checkpoints written to the lease table", families.checkpoints.clone());
        registry.register("input_leases_lost", "Leases taken over by another worker", families.leases_lost.clone());
        registry.register(
            "input_retention_gaps",
            "Times that records may have expired before they were read",
            families.retention_gaps.clone(),
        );
        registry.register(
            "input_position_resets",
            "Times that the stream did not know a checkpoint and reading restarted at TRIM_HORIZON",
            families.position_resets.clone(),
        );
        registry.register(
            "input_lease_holes",
            "Times that two checks in a row found hash keys that no lease covers",
            families.lease_holes.clone(),
        );
        registry.register("input_leases_held", "Leases held", families.leases_held.clone());
        registry.register_with_unit(
            "input_lag",
            "Largest MillisBehindLatest of all shards at their last read",
            Unit::Seconds,
            families.lag.clone(),
        );
        registry.register_with_unit(
            "input_checkpoint_age",
            "Age of the oldest delivered record that is not checkpointed",
            Unit::Seconds,
            families.checkpoint_age.clone(),
        );
        families
    }

    pub(super) fn handles(&self, component: &str) -> InputMetrics {
        let label = &ComponentLabel::new(component);
        InputMetrics {
            fetched: self.fetched.get_or_create_owned(label),
            delivered: self.delivered.get_or_create_owned(label),
            retried: self.retried.get_or_create_owned(label),
            not_decompressed: self.not_decompressed.get_or_create_owned(label),
            dead_lettered: self.dead_lettered.get_or_create_owned(label),
            dropped: self.dropped.get_or_create_owned(label),
            checkpoints: self.checkpoints.get_or_create_owned(label),
            leases_lost: self.leases_lost.get_or_create_owned(label),
            retention_gaps: self.retention_gaps.get_or_create_owned(label),
            position_resets: self.position_resets.get_or_create_owned(label),
            lease_holes: self.lease_holes.get_or_create_owned(label),
            leases_held: self.leases_held.get_or_create_owned(label),
            lag: self.lag.get_or_create_owned(label),
            checkpoint_age: self.checkpoint_age.get_or_create_owned(label),
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
}

impl InputMetrics {
    pub fn fetched(&self, records: u64) {
        self.fetched.inc_by(records);
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

    /// Records were delivered as they are, although they were to be decompressed.
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
