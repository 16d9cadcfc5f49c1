//! The formats of requests, and what decides about partial failures.

use super::raw::{FAR, RawServer, Step, answering};
use super::{Act, AppChannel, AppSettings, OK, app, channel, event, metrics, route};
use crate::domain::{
    Accepted, BodyFormat, Decompress, DeliveryError, EventBatch, EventContentType, EventFormat, EventSource,
    PartialFailures, RecordPosition,
};
use crate::telemetry::Metrics;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

const ARN: &str = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders";

fn format(body: BodyFormat, partial: PartialFailures) -> EventFormat {
    let source = EventSource {
        region: "eu-central-1".into(),
        stream_arn: "arn:aws:kinesis:eu-central-1::stream/orders".into(),
        identity_arn: "arn:aws:iam::123456789012:role/reader".into(),
    };
    EventFormat { body, partial, source, ..EventFormat::default() }
}

fn batch(records: &[(&'static [u8], u64, u64)]) -> EventBatch {
    let mut batch = event("");
    batch.stream = ARN.into();
    let template = batch.events.remove(0);
    batch.events.extend(records.iter().map(|(data, sequence, sub_sequence)| {
        let mut event = template.clone();
        event.data = (*data).into();
        event.origin.position =
            RecordPosition { sequence: sequence.to_string().parse().unwrap(), sub_sequence: *sub_sequence };
        event
    }));
    batch
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// What an app receives that accepts everything.
async fn sent(format: EventFormat, batch: &EventBatch) -> super::Seen {
    let mut app = app([Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned())]).await;
    let handler = channel(app.port).handler_for(route(), format, metrics());
    assert_eq!(handler.handle(batch).await.unwrap(), Accepted::All);
    app.seen.recv().await.unwrap()
}

#[tokio::test]
async fn a_lambda_event_has_exactly_the_members_that_lambda_sends() {
    let batch = batch(&[(b"Hello, this is a test.", 4959, 0), (b"\xff", 4959, 1)]);
    let seen = sent(format(BodyFormat::Lambda, PartialFailures::Lowest), &batch).await;
    let record = |id: &str, data: &str| {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "kunde ü", "sequenceNumber": id, "data": data,
                "approximateArrivalTimestamp": 1_700_000_000.123,
            },
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": format!("shardId-000000000003:{id}"),
            "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::123456789012:role/reader",
            "awsRegion": "eu-central-1", "eventSourceARN": ARN,
        })
    };
    let expected = json!({"Records": [record("4959", "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg=="), record("4959:1", "/w==")]});
    assert_eq!(str::from_utf8(&seen.body).unwrap(), expected.to_string(), "also the order of the members");
    for (name, value) in [
        ("content-type", "application/json"),
        ("bindd-event-count", "2"),
        ("bindd-first-sequence-number", "4959"),
        ("bindd-last-sequence-number", "4959:1"),
        ("bindd-shard-id", "shardId-000000000003"),
        ("bindd-attempt", "3"),
        ("bindd-lease-epoch", "9"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!((seen.header("bindd-event-id"), seen.header("bindd-sequence-number")), (None, None));
}

#[tokio::test]
async fn without_the_arn_of_the_stream_an_event_has_that_of_the_file() {
    let mut batch = batch(&[(b"x", 1, 0)]);
    batch.stream = "orders".into();
    let seen = sent(format(BodyFormat::Lambda, PartialFailures::Off), &batch).await;
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body["Records"][0]["eventSourceARN"], "arn:aws:kinesis:eu-central-1::stream/orders");
}

#[tokio::test]
async fn cloud_events_have_json_as_data_and_other_bytes_in_base64() {
    let cloud_event = |id: &str, sequence: &str, data: Value| {
        let mut event = json!({
            "specversion": "1.0", "id": format!("shardId-000000000003:{id}"), "source": ARN,
            "type": "com.amazonaws.kinesis.record", "subject": "shardId-000000000003",
            "time": "2023-11-14T22:13:20.123Z", "partitionkey": "kunde ü", "sequence": sequence,
        });
        event.as_object_mut().unwrap().append(&mut data.as_object().unwrap().clone());
        event
    };
    let one = json!({"datacontenttype": "application/json", "data": {"n": 1}});
    let single = sent(format(BodyFormat::CloudEvent, PartialFailures::Off), &batch(&[(b" {\"n\":1}\n", 7, 0)])).await;
    assert_eq!(single.header("content-type"), Some("application/cloudevents+json"));
    assert_eq!(single.header("bindd-event-id"), Some("shardId-000000000003:7"));
    assert_eq!(str::from_utf8(&single.body).unwrap(), cloud_event("7", "7", one).to_string());

    let records: [(&'static [u8], _, _); 3] = [(b"42", 7, 0), (b"text", 7, 12), (b"\xff", 8, 0)];
    let several = sent(format(BodyFormat::CloudEventBatch, PartialFailures::Exact), &batch(&records)).await;
    assert_eq!(several.header("content-type"), Some("application/cloudevents-batch+json"));
    let expected = json!([
        cloud_event("7", "7", json!({"datacontenttype": "application/json", "data": 42})),
        cloud_event(
            "7:12",
            "7:0000000012",
            json!({"datacontenttype": "text/plain; charset=utf-8", "data_base64": "dGV4dA=="})
        ),
        cloud_event("8", "8", json!({"datacontenttype": "application/octet-stream", "data_base64": "/w=="})),
    ]);
    assert_eq!(str::from_utf8(&several.body).unwrap(), expected.to_string());
}

#[tokio::test]
async fn lines_are_records() {
    let batch = batch(&[(b"{\"n\": 1}", 1, 0), (b"text", 2, 0)]);
    let seen = sent(format(BodyFormat::NdJson, PartialFailures::Off), &batch).await;
    assert_eq!(
        (seen.header("content-type"), seen.body.as_slice()),
        (Some("application/x-ndjson"), &b"{\"n\": 1}\n\"text\"\n"[..])
    );
}

#[tokio::test]
async fn the_content_type_of_a_raw_record_can_be_chosen() {
    for (content_type, data, expected) in [
        (EventContentType::Auto, &b"[1]"[..], "application/json"),
        (EventContentType::Auto, b"\"text\"", "text/plain; charset=utf-8"),
        (EventContentType::Auto, b"\xff", "application/octet-stream"),
        (EventContentType::Fixed("application/avro".into()), b"x", "application/avro"),
        (EventContentType::Json, b"x", "application/json"),
    ] {
        let format = EventFormat { content_type, ..EventFormat::default() };
        let seen = sent(format, &batch(&[(data, 1, 0)])).await;
        assert_eq!((seen.header("content-type"), seen.body.as_slice()), (Some(expected), data));
    }
}

#[tokio::test]
async fn records_are_decompressed_and_those_that_cannot_be_are_delivered_and_counted() {
    let mut app = app([Act::Answer(OK.to_owned())]).await;
    let metrics = Metrics::new();
    let content_type = EventContentType::Auto;
    let format = EventFormat { decompress: Decompress::Auto, content_type, ..EventFormat::default() };
    let handler = channel(app.port).handler_for(route(), format, metrics.input("orders"));
    for (data, body, content_type, header) in [
        (gzip(b"{\"logEvents\": []}"), b"{\"logEvents\": []}".to_vec(), "application/json", None),
        (b"plain".to_vec(), b"plain".to_vec(), "text/plain; charset=utf-8", None),
        (b"\x1f\x8bno".to_vec(), b"\x1f\x8bno".to_vec(), "application/octet-stream", Some("corrupt")),
    ] {
        handler.handle(&event(data)).await.unwrap();
        let seen = app.seen.recv().await.unwrap();
        assert_eq!((seen.header("content-type"), &seen.body), (Some(content_type), &body));
        assert_eq!(seen.header("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!((seen.header("bindd-not-decompressed"), seen.header("content-encoding")), (header, None));
    }
    let page = metrics.page().unwrap();
    assert!(page.contains("bindd_input_records_not_decompressed_total{component=\"orders\"} 1"), "{page}");
}

/// The result for a batch of 1, 2 and 3 that a server with this script answers.
async fn result(script: Vec<Step>, partial: PartialFailures) -> Result<Accepted, DeliveryError> {
    let server = RawServer::start([script]).await;
    let channel = AppChannel::new(&AppSettings { event_timeout: FAR, ..AppSettings::new(server.port) }).unwrap();
    let handler = channel.handler_for(route(), format(BodyFormat::Lambda, partial), metrics());
    handler.handle(&batch(&[(b"a", 1, 0), (b"b", 2, 0), (b"c", 3, 0)])).await
}

fn with_body(body: &str) -> Vec<Step> {
    answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

#[tokio::test]
async fn the_body_says_which_events_failed() {
    let body = r#"{"batchItemFailures": [{"itemIdentifier": "2"}]}"#;
    for (partial, expected) in [
        (PartialFailures::Exact, Accepted::Except(vec![1])),
        (PartialFailures::Lowest, Accepted::Except(vec![1, 2])),
        (PartialFailures::Off, Accepted::All),
    ] {
        assert_eq!(result(with_body(body), partial).await.unwrap(), expected);
    }
    let script = answering("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(result(script, PartialFailures::Exact).await.unwrap(), Accepted::All);
}

#[tokio::test]
async fn a_body_that_is_lost_fails_the_batch_only_if_it_is_read() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n{}", " ".repeat(900_000));
    let cases: [(&str, Vec<Step>, &str); 6] = [
        ("closed within", answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), "ended within it"),
        (
            "reset within",
            [answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), vec![Step::Reset]].concat(),
            "ended within it",
        ),
        ("broken chunks", answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}"), "ended within it"),
        ("too long", answering(long), "longer than"),
        ("not JSON", with_body("ok"), "not JSON"),
        (
            "compressed",
            answering("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"),
            "compressed",
        ),
    ];
    for (name, script, expected) in cases {
        let error = result(script.clone(), PartialFailures::Exact).await.unwrap_err();
        let is_reply = matches!(error, DeliveryError::InvalidReply { .. });
        assert!(is_reply && error.to_string().contains(expected), "{name}: {error}");
        assert!(error.to_string().starts_with("the app answered POST /orders with success"), "{error}");
        assert_eq!(result(script, PartialFailures::Off).await.unwrap(), Accepted::All, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_a_time_out() {
    let stalled = [answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), vec![Step::Stall]].concat();
    let mut server = RawServer::start([stalled]).await;
    let handler =
        channel(server.port).handler_for(route(), format(BodyFormat::Lambda, PartialFailures::Exact), metrics());
    let batch = batch(&[(b"a", 1, 0)]);
    let later = async {
        server.seen.recv().await.unwrap();
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(301)).await;
        tokio::time::resume();
    };
    let (answer, ()) = tokio::join!(handler.handle(&batch), later);
    assert!(matches!(answer, Err(DeliveryError::TimedOut { option: "--app-timeout", .. })), "{answer:?}");
}

#[tokio::test]
async fn formats_of_one_record_refuse_more() {
    for body in [BodyFormat::Raw, BodyFormat::CloudEvent] {
        let handler = channel(1).handler_for(route(), format(body, PartialFailures::Off), metrics());
        let error = handler.handle(&batch(&[(b"a", 1, 0), (b"b", 2, 0)])).await.unwrap_err();
        assert!(error.to_string().contains("cannot carry 2 events"), "{error}");
    }
}
