//! Calls embedded Kinesis in CBOR, as the AWS SDK for Java does.

use super::super::{Aws, EmbeddedSettings};
use super::{send_bytes, start};
use crate::testing::{until, within};
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use bytes::BytesMut;
use ciborium::Value as Cbor;
use ciborium::cbor;
use std::time::SystemTime;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const CBOR: &str = "application/x-amz-cbor-1.1";
const SHARD: &str = "shardId-000000000000";

struct Client {
    url: String,
    _aws: Aws,
}

impl Client {
    /// Starts embedded Kinesis with the stream `s` of two shards.
    async fn start() -> Self {
        let aws = start(EmbeddedSettings::default()).await;
        let client = Self { url: aws.kinesis_url(), _aws: aws };
        client.call("CreateStream", cbor!({"StreamName" => "s", "ShardCount" => 2})).await;
        client.until_active(2).await;
        client
    }

    async fn send(&self, operation: &str, body: Result<Cbor, ciborium::value::Error>) -> TcpStream {
        let mut bytes = Vec::new();
        ciborium::into_writer(&body.unwrap(), &mut bytes).unwrap();
        send_bytes(&self.url, &format!("Kinesis_20131202.{operation}"), CBOR, &bytes).await
    }

    /// Status and body of the response; `Null` for an empty body.
    async fn try_call(&self, operation: &str, body: Result<Cbor, ciborium::value::Error>) -> (String, Cbor) {
        let mut response = Vec::new();
        self.send(operation, body).await.read_to_end(&mut response).await.unwrap();
        let (head, body) = head_and_body(&response).unwrap();
        assert!(head.to_lowercase().contains(&format!("content-type: {CBOR}\r\n")), "{operation}: {head}");
        let body = if body.is_empty() { Cbor::Null } else { ciborium::from_reader(body).unwrap() };
        (head.split(' ').nth(1).unwrap().to_owned(), body)
    }

    async fn call(&self, operation: &str, body: Result<Cbor, ciborium::value::Error>) -> Cbor {
        let (status, response) = self.try_call(operation, body).await;
        assert_eq!(status, "200", "{operation}: {response:?}");
        response
    }

    /// Waits until the stream is active with `shards` open shards; returns its summary.
    async fn until_active(&self, shards: i32) -> Cbor {
        until("the stream to be active", async || {
            let response = self.call("DescribeStreamSummary", cbor!({"StreamName" => "s"})).await;
            let summary = member(&response, "StreamDescriptionSummary").clone();
            let is_active = *member(&summary, "StreamStatus") == Cbor::from("ACTIVE");
            (is_active && *member(&summary, "OpenShardCount") == Cbor::from(shards)).then_some(summary)
        })
        .await
    }

    async fn iterator(&self, kind: &str, at: Cbor) -> Cbor {
        let request =
            cbor!({"StreamName" => "s", "ShardId" => SHARD, "ShardIteratorType" => kind, "Timestamp" => at.clone()});
        let request = request.map(|request| if at == Cbor::Null { without(request, "Timestamp") } else { request });
        member(&self.call("GetShardIterator", request).await, "ShardIterator").clone()
    }

    async fn records(&self, iterator: Cbor) -> (Vec<Cbor>, Cbor) {
        let response = self.call("GetRecords", cbor!({"ShardIterator" => iterator, "Limit" => 100})).await;
        assert_eq!(*member(&response, "MillisBehindLatest"), Cbor::from(0));
        (member(&response, "Records").as_array().unwrap().clone(), member(&response, "NextShardIterator").clone())
    }

    async fn put(&self, data: &[u8]) {
        let low = "0";
        let put = cbor!({
            "StreamName" => "s", "PartitionKey" => "k", "ExplicitHashKey" => low, "Data" => Cbor::Bytes(data.to_vec())
        });
        let put = self.call("PutRecord", put).await;
        assert_eq!(*member(&put, "ShardId"), Cbor::from(SHARD));
        assert!(member(&put, "SequenceNumber").is_text());
    }
}

fn head_and_body(response: &[u8]) -> Option<(String, &[u8])> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some((String::from_utf8(response[..end].to_vec()).unwrap(), &response[end..]))
}

fn member<'a>(map: &'a Cbor, name: &str) -> &'a Cbor {
    let members = map.as_map().unwrap_or_else(|| panic!("no map: {map:?}"));
    let found = members.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap_or_else(|| panic!("{name} is not in {map:?}")).1
}

fn without(map: Cbor, name: &str) -> Cbor {
    let members = map.into_map().unwrap().into_iter();
    Cbor::Map(members.filter(|(key, _)| key.as_text() != Some(name)).collect())
}

fn milliseconds(value: &Cbor) -> i64 {
    let (tag, inner) = value.as_tag().unwrap_or_else(|| panic!("no timestamp: {value:?}"));
    assert_eq!(tag, 1);
    inner.as_integer().unwrap().try_into().unwrap()
}

fn is_recent(value: &Cbor) -> bool {
    #[expect(clippy::disallowed_methods, reason = "the emulator uses the system clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    (0..600_000).contains(&(i64::try_from(now).unwrap() - milliseconds(value)))
}

fn at(millis: i64) -> Cbor {
    Cbor::Tag(1, Box::new(Cbor::from(millis)))
}

#[tokio::test]
async fn numbers_timestamps_and_blobs_are_encoded_as_the_sdk_does() {
    let client = Client::start().await;
    let summary = client.until_active(2).await;
    assert_eq!(*member(&summary, "RetentionPeriodHours"), Cbor::from(24));
    assert!(is_recent(member(&summary, "StreamCreationTimestamp")), "{summary:?}");
    client.put(b"\x00\xff").await;
    let entry =
        |data: &[u8]| cbor!({"PartitionKey" => "k", "ExplicitHashKey" => "0", "Data" => Cbor::Bytes(data.to_vec())});
    let entries = Cbor::Array(vec![entry(b"").unwrap(), entry(b"AA==").unwrap()]);
    let response = client.call("PutRecords", cbor!({"StreamName" => "s", "Records" => entries})).await;
    assert_eq!(*member(&response, "FailedRecordCount"), Cbor::from(0));
    let (records, next) = client.records(client.iterator("TRIM_HORIZON", Cbor::Null).await).await;
    let data: Vec<&Cbor> = records.iter().map(|record| member(record, "Data")).collect();
    let sent = [&b"\x00\xff"[..], b"", b"AA=="].map(|data| Cbor::Bytes(data.to_vec()));
    assert_eq!(data, sent.iter().collect::<Vec<_>>());
    assert!(is_recent(member(&records[0], "ApproximateArrivalTimestamp")), "{records:?}");
    assert!(client.records(next).await.0.is_empty());
}

/// The corrections for JSON requests apply to CBOR too: ferrokinesis alone would start at the trim horizon.
#[tokio::test]
async fn an_at_timestamp_iterator_takes_milliseconds() {
    const YEAR_2100: i64 = 4_102_444_800_000;
    let client = Client::start().await;
    client.put(b"early").await;
    let (future, past) =
        (client.iterator("AT_TIMESTAMP", at(YEAR_2100)).await, client.iterator("AT_TIMESTAMP", at(1_500)).await);
    client.put(b"late").await;
    let data = async |iterator| {
        let (records, _) = client.records(iterator).await;
        records.iter().map(|record| member(record, "Data").as_bytes().unwrap().clone()).collect::<Vec<_>>()
    };
    assert_eq!(data(future).await, [b"late".to_vec()]);
    assert_eq!(data(past).await, [b"early".to_vec(), b"late".to_vec()]);
}

#[tokio::test]
async fn shards_are_split_and_merged() {
    let client = Client::start().await;
    let quarter = (1_u128 << 126).to_string();
    let split = cbor!({"StreamName" => "s", "ShardToSplit" => SHARD, "NewStartingHashKey" => quarter});
    assert_eq!(client.call("SplitShard", split).await, Cbor::Null);
    client.until_active(3).await;
    let merge = cbor!({
        "StreamName" => "s", "ShardToMerge" => "shardId-000000000002", "AdjacentShardToMerge" => "shardId-000000000003"
    });
    client.call("MergeShards", merge).await;
    client.until_active(2).await;
    let shards = client.call("ListShards", cbor!({"StreamName" => "s", "MaxResults" => 100})).await;
    let shards = member(&shards, "Shards").as_array().unwrap();
    assert_eq!(shards.len(), 5);
    assert_eq!(*member(&shards[4], "ParentShardId"), Cbor::from("shardId-000000000002"));
    assert_eq!(*member(&shards[4], "AdjacentParentShardId"), Cbor::from("shardId-000000000003"));
}

#[tokio::test]
async fn errors_are_encoded_in_cbor() {
    let client = Client::start().await;
    let nowhere = cbor!({"StreamName" => "nowhere"});
    let (status, response) = client.try_call("DescribeStreamSummary", nowhere).await;
    assert_eq!((status.as_str(), member(&response, "__type")), ("400", &Cbor::from("ResourceNotFoundException")));
    assert!(member(&response, "message").as_text().unwrap().contains("nowhere"));
    for invalid in [cbor!([1, 2]), Ok(Cbor::Map(vec![(Cbor::from(1), Cbor::from(2))])), cbor!("text")] {
        let (status, response) = client.try_call("ListStreams", invalid).await;
        assert_eq!((status.as_str(), member(&response, "__type")), ("400", &Cbor::from("SerializationException")));
    }
    let (_, response) = client.try_call("NoSuchOperation", cbor!({"StreamName" => "s"})).await;
    assert_eq!(*member(&response, "__type"), Cbor::from("UnknownOperationException"));
}

/// Reads the events of a subscription.
struct Events {
    stream: TcpStream,
    unread: BytesMut,
    decoder: MessageFrameDecoder,
}

impl Events {
    async fn next(&mut self) -> Message {
        within("an event", async {
            loop {
                if let DecodedFrame::Complete(event) = self.decoder.decode_frame(&mut self.unread).unwrap() {
                    return event;
                }
                // A chunk: its length in hexadecimal, a line break, the bytes, a line break.
                let mut length = String::new();
                while !length.ends_with("\r\n") {
                    length.push(char::from(self.stream.read_u8().await.unwrap()));
                }
                let mut chunk = vec![0; usize::from_str_radix(length.trim(), 16).unwrap() + 2];
                self.stream.read_exact(&mut chunk).await.unwrap();
                self.unread.extend_from_slice(&chunk[..chunk.len() - 2]);
            }
        })
        .await
    }
}

#[tokio::test]
async fn the_events_of_a_subscription_are_encoded_in_cbor() {
    let client = Client::start().await;
    client.put(b"\x00\xff").await;
    let consumer = cbor!({"StreamARN" => "arn:aws:kinesis:us-east-1:000000000000:stream/s", "ConsumerName" => "c"});
    let response = client.call("RegisterStreamConsumer", consumer).await;
    let consumer = member(&response, "Consumer");
    assert!(is_recent(member(consumer, "ConsumerCreationTimestamp")), "{consumer:?}");
    let arn = member(consumer, "ConsumerARN").clone();
    until("the consumer to be active", async || {
        let response = client.call("DescribeStreamConsumer", cbor!({"ConsumerARN" => arn.clone()})).await;
        let status = member(member(&response, "ConsumerDescription"), "ConsumerStatus").clone();
        (status == Cbor::from("ACTIVE")).then_some(())
    })
    .await;
    let start = cbor!({"Type" => "AT_TIMESTAMP", "Timestamp" => at(1_500)}).unwrap();
    let request = cbor!({"ConsumerARN" => arn, "ShardId" => SHARD, "StartingPosition" => start});
    let mut stream = client.send("SubscribeToShard", request).await;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.unwrap()));
    }
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/vnd.amazon.eventstream"), "{head}");
    let mut events = Events { stream, unread: BytesMut::new(), decoder: MessageFrameDecoder::new() };
    let header = |event: &Message, name: &str| {
        let header = event.headers().iter().find(|header| header.name().as_str() == name).unwrap();
        header.value().as_string().unwrap().as_str().to_owned()
    };
    assert_eq!(header(&events.next().await, ":event-type"), "initial-response");
    let event = events.next().await;
    assert_eq!(header(&event, ":event-type"), "SubscribeToShardEvent");
    assert_eq!(header(&event, ":content-type"), CBOR);
    let event: Cbor = ciborium::from_reader(&event.payload()[..]).unwrap();
    assert_eq!(*member(&event, "MillisBehindLatest"), Cbor::from(0));
    let record = &member(&event, "Records").as_array().unwrap()[0];
    assert_eq!(*member(record, "Data"), Cbor::Bytes(b"\x00\xff".to_vec()));
    assert!(is_recent(member(record, "ApproximateArrivalTimestamp")));
}
