//! Filter and transform of a run. Both go by the size of a record, so that a record that is read again has the same fate.

use super::plan::Plan;
use async_trait::async_trait;
use bindd::consumer::RecordShaping;
use bindd::domain::{BindingEvent, Record, RecordFilter, RecordTransform, Transformed};
use bindd::telemetry::{Metrics, ShapedSide};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
struct BySize(Arc<Plan>);

#[async_trait]
impl RecordFilter for BySize {
    async fn mark(&self, records: &mut [Record], _: usize) {
        for record in records {
            record.is_filtered = self.0.is_filtered(record.data.len());
            // As the filter of the daemon does between two chunks.
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl RecordTransform for BySize {
    async fn transform(&self, event: &BindingEvent, _: Option<&Bytes>, may_wait: bool) -> Option<Transformed> {
        let size = event.data.len();
        if size % 11 == 3 && !may_wait {
            return None;
        }
        if size.is_multiple_of(3) {
            tokio::time::sleep(Duration::from_millis(size as u64 % 40)).await;
        }
        Some(Transformed::Outputs(vec![event.data.clone()]))
    }
}

pub(crate) fn shaping(plan: &Arc<Plan>, metrics: &Metrics) -> RecordShaping {
    let by_size = Arc::new(BySize(Arc::clone(plan)));
    RecordShaping {
        filter: plan.filter.map(|_| -> Arc<dyn RecordFilter> { Arc::<BySize>::clone(&by_size) }),
        transform: plan.has_transform.then_some(by_size),
        metrics: Some(Arc::new(metrics.shaping("orders", ShapedSide::Input))),
    }
}
