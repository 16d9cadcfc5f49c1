//! Metrics of calls that read a stream.

use super::component::Component;
use super::family::{Family, Registrar, of_component};
use super::labels::{ComponentLabel, Histograms, latency};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    component: Component,
    cause: &'static str,
}

of_component!(CauseLabels);

/// Why a subscription to a shard was replaced by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResubscribeCause {
    /// Kinesis ended it, as it does after five minutes.
    Ended,
    /// The connection or the stream of events failed.
    Failed,
    /// No event arrived for too long.
    Silent,
    /// It was closed because there was no memory for more records.
    Unread,
    /// Another subscription replaced it, or Kinesis still counted an earlier one (`ResourceInUseException`).
    InUse,
    /// Kinesis throttled the subscription.
    Throttled,
}

impl ResubscribeCause {
    const ALL: [Self; 6] = [Self::Ended, Self::Failed, Self::Silent, Self::Unread, Self::InUse, Self::Throttled];

    /// A stable value for the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Silent => "silent",
            Self::Unread => "unread",
            Self::InUse => "in_use",
            Self::Throttled => "throttled",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct ReadFamilies {
    call_time: Histograms,
    throttles: Family<ComponentLabel, Counter>,
    damaged_aggregates: Family<ComponentLabel, Counter>,
    resubscriptions: Family<CauseLabels, Counter>,
}

impl ReadFamilies {
    pub(super) fn registered(registry: &mut Registrar) -> Self {
        Self {
            call_time: registry.histograms(
                latency,
                Some(Unit::Seconds),
                "input_read",
                "Time of a successful GetRecords call",
            ),
            throttles: registry.family("input_read_throttles", "Calls that read a shard and that Kinesis throttled"),
            damaged_aggregates: registry.family(
                "input_damaged_aggregates",
                "Records that look like a KPL aggregate but are damaged; each was delivered as one record",
            ),
            resubscriptions: registry
                .family("input_resubscriptions", "Subscriptions of enhanced fan-out that were replaced, by cause"),
        }
    }

    pub(super) fn handles(&self, component: &Component) -> ReadMetrics {
        let label = &ComponentLabel::new(component);
        let cause = |cause: ResubscribeCause| {
            let labels = CauseLabels { component: component.clone(), cause: cause.as_str() };
            self.resubscriptions.get_or_create(&labels)
        };
        ReadMetrics {
            call_time: self.call_time.get_or_create(label),
            throttles: self.throttles.get_or_create(label),
            damaged_aggregates: self.damaged_aggregates.get_or_create(label),
            resubscriptions: ResubscribeCause::ALL.map(cause),
        }
    }
}

/// Handles of one input component, resolved once when it is connected.
#[derive(Debug, Clone)]
pub struct ReadMetrics {
    call_time: Histogram,
    throttles: Counter,
    damaged_aggregates: Counter,
    /// In the order of [`ResubscribeCause::ALL`].
    resubscriptions: [Counter; 6],
}

impl Default for ReadMetrics {
    /// Handles that no page shows.
    fn default() -> Self {
        Self {
            call_time: latency(),
            throttles: Counter::default(),
            damaged_aggregates: Counter::default(),
            resubscriptions: Default::default(),
        }
    }
}

impl ReadMetrics {
    /// A GetRecords call succeeded.
    pub fn read(&self, took: Duration) {
        self.call_time.observe(took.as_secs_f64());
    }

    pub fn throttled(&self) {
        self.throttles.inc();
    }

    pub fn damaged_aggregate(&self) {
        self.damaged_aggregates.inc();
    }

    pub fn resubscribed(&self, cause: ResubscribeCause) {
        if let Some(counter) = self.resubscriptions.get(cause as usize) {
            counter.inc();
        }
    }

    /// How often subscriptions were replaced for this cause.
    #[must_use]
    pub fn resubscriptions(&self, cause: ResubscribeCause) -> u64 {
        self.resubscriptions.get(cause as usize).map_or(0, Counter::get)
    }

    /// How many calls were throttled.
    #[must_use]
    pub fn throttles(&self) -> u64 {
        self.throttles.get()
    }
}
