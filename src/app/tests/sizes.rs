//! What a record takes in a request, as the consumer counts it.

use super::super::body::{body, max_size};
use super::super::decompress::Payloads;
use super::event;
use crate::domain::{BodyFormat, EventBatch, EventFormat, EventSource};
use proptest::prelude::*;

const ALL: [BodyFormat; 5] =
    [BodyFormat::Raw, BodyFormat::Lambda, BodyFormat::CloudEvent, BodyFormat::CloudEventBatch, BodyFormat::NdJson];

fn format(body: BodyFormat) -> EventFormat {
    let source = EventSource {
        region: "eu-central-1".into(),
        stream_arn: "arn:aws:kinesis:eu-central-1::stream/orders".into(),
        identity_arn: "arn:aws:iam::123456789012:role/reader".into(),
    };
    EventFormat { body, source, ..EventFormat::default() }
}

fn batch(records: &[(String, Vec<u8>)], is_damaged: bool) -> EventBatch {
    let mut batch = event("");
    batch.stream = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders".into();
    let template = batch.events.remove(0);
    batch.events.extend(records.iter().map(|(key, data)| {
        let mut event = template.clone();
        event.data = data.clone().into();
        event.origin.partition_key.clone_from(key);
        event.origin.position.sequence = "9".repeat(56).parse().unwrap();
        event.origin.position.sub_sequence = u64::MAX;
        event.origin.is_damaged_aggregate = is_damaged;
        event
    }));
    batch
}

/// Bytes, texts, texts with many control characters, and JSON.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let json = "[a-z\"\\\\\\PC]{0,40}".prop_map(|text| serde_json::to_vec(&[text]).unwrap());
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "\\PC{0,60}".prop_map(String::into_bytes),
        "[\u{0}-\u{22}\\\\]{0,60}".prop_map(String::into_bytes),
        json,
    ]
}

proptest! {
    #[test]
    fn no_body_is_larger_than_what_is_counted(
        records in prop::collection::vec(("[\u{0}-\u{22}\\PC]{0,20}", data()), 1..4), is_damaged: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batch = batch(&records, is_damaged);
        for format in ALL.map(format) {
            let sent = runtime.block_on(body(&batch, &Payloads::unchanged(&batch.events), &format)).unwrap();
            let counted: usize =
                records.iter().map(|(key, data)| max_size(&format, &format.source.stream_arn, key, data)).sum();
            if format.body == BodyFormat::Raw {
                prop_assert_eq!((counted, sent.bytes.as_ptr()), (0, batch.events[0].data.as_ptr()));
            } else {
                prop_assert!(sent.bytes.len() <= counted + 16, "{:?} {} {counted}", format.body, sent.bytes.len());
            }
        }
    }
}
