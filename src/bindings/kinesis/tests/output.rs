//! Which failures are final, and how long the memory of outputs is held.

use super::*;
use crate::bindings::{Spec, check};
use crate::domain::{BodyMemory, Receipt, RecordWriter, SequenceNumber};
use crate::manifest::{Environment, LoadRequest, load};
use crate::producer::{Ports, Turn};
use crate::telemetry::{Metrics, ShapedSide};
use futures_util::FutureExt;
use std::sync::Arc;
use tokio::sync::Semaphore;

#[test]
fn only_a_record_that_was_attempted_becomes_a_dead_letter() {
    let failing = |kind| BindingError::new(kind, "no");
    for kind in [FailureKind::Throttled, FailureKind::Conflict, FailureKind::TimedOut, FailureKind::TooLarge] {
        assert!(!is_final(&failing(kind)), "{kind} without an attempt");
        assert!(is_final(&failing(kind).with_detail("attempts", "3")), "{kind} after attempts");
    }
    assert!(!is_final(&failing(FailureKind::Closed).with_detail("attempts", "1")));
}

struct Empty;

impl Environment for Empty {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// Answers a call for each permit.
#[derive(Debug)]
struct Waiting(Semaphore);

#[async_trait]
impl RecordWriter for Waiting {
    async fn put(&self, _: &NewRecord, _: Option<&SequenceNumber>) -> Result<Receipt, BindingError> {
        self.0.acquire().await.unwrap().forget();
        Err(BindingError::new(FailureKind::Denied, "not stored"))
    }

    async fn put_all(&self, records: &[NewRecord]) -> Result<Vec<Result<Receipt, BindingError>>, BindingError> {
        self.put(&records[0], None).await.map(|_| Vec::new())
    }
}

fn output(fields: &[(&str, &str)], memory: &BodyMemory, writer: Arc<Waiting>) -> Output {
    let fields: Vec<_> = fields.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect();
    let text = serde_json::json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "out"},
        "spec": {"type": "bindings.aws.kinesis", "version": "v1", "metadata": fields},
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("out.yaml"), text.to_string()).unwrap();
    let paths = [folder.path().to_owned()];
    let request = LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment: &Empty };
    let checked = check(load(&request));
    assert!(checked.faults.is_empty(), "{}", checked.faults);
    let Some(Spec::Kinesis(spec)) = checked.components.into_iter().next().map(|component| component.spec) else {
        panic!("not one component")
    };
    let metrics = Metrics::new();
    let ports = Ports { writer, directory: None, metrics: metrics.output("out") };
    let shaping = spec.shaping.clone().unwrap();
    Output {
        producer: Producer::start_after(spec.output.producer.clone(), ports, Turn::default()),
        programs: RecordPrograms::new(&spec.output),
        flush: None,
        shaper: Some(Shaper::new("out", shaping, memory.clone(), metrics.shaping("out", ShapedSide::Output))),
        dead_letter: None,
        metrics: metrics.output("out"),
        metadata_check: MetadataCheck::new("out", KEYS),
        spec: spec.output,
    }
}

/// Makes 4,000 bytes of a small record.
const LARGE: &str = r#""x" * 4000"#;

#[tokio::test]
async fn the_memory_of_outputs_is_held_until_the_answer_whatever_is_made_of_them() {
    for fields in [
        &[("transform", LARGE), ("compression", "gzip")][..],
        &[("transform", LARGE), ("rawPayload", "true")],
        &[("transform", LARGE), ("decodeBase64", "true")],
        &[("transform", LARGE), ("aggregation", "json-array"), ("partitionKey", "k"), ("compression", "gzip")],
        &[("transform", "(\"x\" * 2000), (\"x\" * 2000)"), ("compression", "gzip")],
    ] {
        let fields = [&[("streamName", "orders"), ("direction", "output"), ("maxRetries", "0")], fields].concat();
        let (memory, writer) = (BodyMemory::new(Some(10_000)), Arc::new(Waiting(Semaphore::new(0))));
        let output = output(&fields, &memory, Arc::clone(&writer));
        for operation in ["create", "bulkCreate"] {
            let data = if operation == "create" { "1" } else { r#"{"items": [{"data": 1}]}"# };
            let request = InvokeRequest {
                operation: operation.to_owned(),
                data: data.into(),
                form: DataForm::Json,
                metadata: Metadata::default(),
            };
            let mut call = output.invoke(request);
            while output.producer.report().pending_records == 0 {
                assert!(call.as_mut().now_or_never().is_none(), "{fields:?}");
                tokio::task::yield_now().await;
            }
            assert!(memory.reservation().grow(6_500).is_err(), "{fields:?} {operation}: it is not written yet");
            writer.0.add_permits(2);
            drop(call.await);
            memory.reservation().grow(10_000).unwrap();
            writer.0.forget_permits(2);
        }
        output.close().await;
    }
}
