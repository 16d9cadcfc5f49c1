//! Metrics of filters and transforms.

use super::component::Component;
use super::family::{Family, Registrar, of_component};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShapingLabels {
    component: Component,
    side: &'static str,
    result: &'static str,
}

of_component!(ShapingLabels);

/// The side of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapedSide {
    Input,
    Output,
}

/// What a filter or a transform did to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapingResult {
    /// The filter does not match, or the transform has no output.
    Filtered,
    /// The transform made one or more records of it.
    Transformed,
    /// The transform failed, and so did the record.
    Failed,
    /// The transform failed, and the record went on as it was.
    PassedThrough,
    /// The transform failed, and the record was left out.
    Dropped,
    /// The transform failed, and the record was sent to the dead letter target.
    DeadLetter,
}

impl ShapingResult {
    const ALL: [Self; 6] =
        [Self::Filtered, Self::Transformed, Self::Failed, Self::PassedThrough, Self::Dropped, Self::DeadLetter];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Filtered => "filtered",
            Self::Transformed => "transformed",
            Self::Failed => "failed",
            Self::PassedThrough => "passed_through",
            Self::Dropped => "dropped",
            Self::DeadLetter => "dead_letter",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct ShapingFamilies {
    records: Family<ShapingLabels, Counter>,
}

impl ShapingFamilies {
    pub(super) fn registered(registry: &mut Registrar) -> Self {
        let help =
            "Records by what a filter or a transform did to them; records that only pass a filter are not counted";
        Self { records: registry.family("shaped_records", help) }
    }

    pub(super) fn handles(&self, component: &Component, side: ShapedSide) -> ShapingMetrics {
        let side = match side {
            ShapedSide::Input => "input",
            ShapedSide::Output => "output",
        };
        let counter = |result: ShapingResult| {
            let labels = ShapingLabels { component: component.clone(), side, result: result.as_str() };
            self.records.get_or_create(&labels)
        };
        ShapingMetrics { results: ShapingResult::ALL.map(counter) }
    }
}

/// Handles of one side of a component that filters or transforms records.
#[derive(Debug, Clone)]
pub struct ShapingMetrics {
    results: [Counter; 6],
}

impl ShapingMetrics {
    /// Something happened to a record.
    pub fn count(&self, result: ShapingResult) {
        let place = ShapingResult::ALL.iter().position(|known| *known == result);
        if let Some(counter) = place.and_then(|place| self.results.get(place)) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn each_result_of_each_side_has_its_series() {
        let metrics = Metrics::new();
        metrics.shaping("orders", ShapedSide::Output).count(ShapingResult::Filtered);
        metrics.shaping("orders", ShapedSide::Input).count(ShapingResult::Dropped);
        let page = metrics.page().unwrap();
        for line in [
            r#"bindd_shaped_records_total{component="orders",side="output",result="filtered"} 1"#,
            r#"bindd_shaped_records_total{component="orders",side="output",result="dropped"} 0"#,
            r#"bindd_shaped_records_total{component="orders",side="input",result="dropped"} 1"#,
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        metrics.forget("orders");
        assert!(!metrics.page().unwrap().contains(r#"shaped_records_total{component="orders""#));
    }
}
