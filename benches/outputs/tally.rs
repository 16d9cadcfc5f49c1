//! Latencies, counted.

use crate::Failure;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Answers of one window.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Latency of successes in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// How often each status was answered; 0 is no answer.
    pub(crate) statuses: BTreeMap<u16, u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let bounds = Histogram::new_with_bounds(1, 120_000_000, 3);
        Self { latency: bounds.unwrap_or_else(|_| unreachable!("fixed bounds")), statuses: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, status: u16, took: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        if (200..300).contains(&status) {
            self.latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), Failure> {
        self.latency.add(&other.latency)?;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        Ok(())
    }

    pub(crate) fn good(&self) -> u64 {
        self.statuses.iter().filter(|(status, _)| (200..300).contains(*status)).map(|(_, count)| count).sum()
    }

    pub(crate) fn all(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// A quantile in milliseconds.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        millis(self.latency.value_at_quantile(quantile))
    }

    /// Failures by status, for a table's last column.
    pub(crate) fn failures(&self) -> String {
        let failures = self.statuses.iter().filter(|(status, _)| !(200..300).contains(*status));
        let told: Vec<String> = failures.map(|(status, count)| format!("{count}×{status}")).collect();
        if told.is_empty() { "none".to_owned() } else { told.join(" ") }
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of minutes fit")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}
