//! `batchingFlushExpression`: whether a record ends its batch.

use super::super::shaping::ExpressionError;
use crate::telemetry::{LogLimit, OutputMetrics};
use tokio::time::Instant;

/// Decides what the result of the expression means. A record on which it fails ends no batch, as with the condition
/// `batching.check` of Redpanda Connect: it says when a batch is sent, and a record must not be lost for that.
#[derive(Debug)]
pub(super) struct FlushCondition {
    metrics: OutputMetrics,
    log: LogLimit,
}

impl FlushCondition {
    pub(super) fn new(metrics: OutputMetrics) -> Self {
        Self { metrics, log: LogLimit::default() }
    }

    /// Whether the record with this result ends its batch.
    pub(super) fn ends_batch(&self, result: Result<bool, ExpressionError>) -> bool {
        result.unwrap_or_else(|error| {
            self.failed(&error, Instant::now());
            false
        })
    }

    fn failed(&self, error: &ExpressionError, now: Instant) {
        self.metrics.flush_expression_failed();
        let Some(others) = self.log.next(now) else { return };
        let component = self.metrics.component();
        tracing::warn!(
            component,
            others,
            %error,
            "batchingFlushExpression failed; the record does not end its batch"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::shaping::Expression;
    use super::*;
    use crate::domain::Metadata;
    use crate::telemetry::Metrics;

    #[test]
    fn only_a_true_value_ends_the_batch_and_failures_are_counted() {
        let metrics = Metrics::new();
        let expression = Expression::compile(".last or $metadata.end == \"yes\"").unwrap();
        let condition = FlushCondition::new(metrics.output("out"));
        let ends = |data: &str, end: &str| {
            let metadata: Metadata = [("end".to_owned(), end.to_owned())].into_iter().collect();
            condition.ends_batch(expression.is_true(data.as_bytes(), metadata.pairs()))
        };
        for (data, end, expected) in [
            (r#"{"last": true}"#, "", true),
            (r#"{"last": 0}"#, "", true),
            (r#"{"last": false}"#, "", false),
            (r#"{"last": null}"#, "", false),
            ("{}", "", false),
            ("{}", "yes", true),
            ("[1]", "yes", false),
            ("not JSON", "yes", false),
        ] {
            assert_eq!(ends(data, end), expected, "{data} {end}");
        }
        let page = metrics.page().unwrap();
        assert!(page.contains("bindd_output_flush_expression_errors_total{component=\"out\"} 2"), "{page}");
    }
}
