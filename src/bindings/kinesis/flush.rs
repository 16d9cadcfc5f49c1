//! `batchingFlushExpression`: whether a record ends its batch.

use crate::domain::Metadata;
use crate::jq::{Program, RunError};
use crate::telemetry::{LogLimit, OutputMetrics};
use tokio::time::Instant;

/// Runs the expression of one output. A record on which it fails ends no batch, as with the condition `batching.check` of
/// Redpanda Connect: it says when a batch is sent, and a record must not be lost for that.
#[derive(Debug)]
pub(super) struct FlushCondition {
    program: Program,
    metrics: OutputMetrics,
    log: LogLimit,
}

impl FlushCondition {
    pub(super) fn new(program: Program, metrics: OutputMetrics) -> Self {
        Self { program, metrics, log: LogLimit::default() }
    }

    /// `data` is the JSON text of the record, `metadata` that of its request.
    pub(super) fn ends_batch(&self, data: &[u8], metadata: &Metadata) -> bool {
        self.program.run_condition(data, metadata.pairs()).unwrap_or_else(|error| {
            self.failed(&error, Instant::now());
            false
        })
    }

    fn failed(&self, error: &RunError, now: Instant) {
        self.metrics.flush_expression_failed();
        let Some(others) = self.log.next(now) else { return };
        let component = self.metrics.component();
        tracing::warn!(
            component,
            others,
            error = reason(error),
            "batchingFlushExpression failed; the record does not end its batch"
        );
    }
}

/// The error without a message of the program itself, which may hold a part of the record.
fn reason(error: &RunError) -> String {
    match error {
        RunError::Failed(_) => "the program failed on the record".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn only_a_true_value_ends_the_batch_and_failures_are_counted() {
        let metrics = Metrics::new();
        let program = Program::compile(".last or $metadata.end == \"yes\"").unwrap();
        let condition = FlushCondition::new(program, metrics.output("out"));
        let ends = |data: &str, end: &str| {
            let metadata: Metadata = [("end".to_owned(), end.to_owned())].into_iter().collect();
            condition.ends_batch(data.as_bytes(), &metadata)
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

    #[test]
    fn the_log_has_no_part_of_a_record() {
        assert!(!reason(&RunError::Failed("secret".to_owned())).contains("secret"));
        assert!(reason(&RunError::Input { what: "nothing", at: 3 }).contains("byte 3"));
    }
}
