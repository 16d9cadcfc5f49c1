//! Counts and latencies of one measured window.

use crate::Failure;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Stats {
    /// Latency of successes in microseconds.
    latency: Histogram<u64>,
    /// Answers by status; 0 is no answer.
    statuses: BTreeMap<u16, u64>,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let bounds = Histogram::new_with_bounds(1, 120_000_000, 3);
        Self { latency: bounds.unwrap_or_else(|_| unreachable!("fixed bounds")), statuses: BTreeMap::new() }
    }

    pub(crate) fn record(&mut self, status: u16, elapsed: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        if is_success(status) {
            self.latency.saturating_record(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), Failure> {
        self.latency.add(&other.latency)?;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        Ok(())
    }

    pub(crate) fn successes(&self) -> u64 {
        self.statuses.iter().filter(|(status, _)| is_success(**status)).map(|(_, count)| count).sum()
    }

    pub(crate) fn total(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// A quantile in milliseconds.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        as_f64(self.latency.value_at_quantile(quantile)) / 1_000.0
    }

    /// Failures by status, for a table's last column.
    pub(crate) fn failures(&self) -> String {
        let failures = self.statuses.iter().filter(|(status, _)| !is_success(**status));
        let texts: Vec<String> = failures.map(|(status, count)| format!("{count}×{status}")).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(" ") }
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds of one run are far below 2^52")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}
