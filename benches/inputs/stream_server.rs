//! Kinesis with prepared answers, and an embedded DynamoDB for the leases, in a process of their own.

use crate::records::{self, Records};
use crate::{Failure, print_line};
use bindd::embedded::{Aws, EmbeddedSettings};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

#[derive(clap::Args, Clone)]
pub(crate) struct StreamServer {
    #[arg(long)]
    pub(crate) shards: usize,
    /// Records of an answer; 0 for shards without records.
    #[arg(long)]
    pub(crate) records: usize,
    /// Bytes of data of a record.
    #[arg(long)]
    pub(crate) size: usize,
    /// Different partition keys of a shard.
    #[arg(long)]
    pub(crate) keys: usize,
}

struct Stream {
    shards: usize,
    records: Records,
    polls: Mutex<Polls>,
}

#[derive(Default)]
struct Polls {
    calls: u64,
    shards: HashSet<usize>,
}

/// Prints the addresses of Kinesis and DynamoDB, then serves until the process is killed.
pub(crate) async fn serve(server: StreamServer) -> Result<(), Failure> {
    let aws = Aws::start(EmbeddedSettings::default()).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    print_line(listener.local_addr()?.to_string())?;
    print_line(aws.dynamodb_url().trim_start_matches("http://"))?;
    let records = Records::new(server.records, server.size, server.keys);
    let stream = Arc::new(Stream { shards: server.shards, records, polls: Mutex::default() });
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let stream = Arc::clone(&stream);
        #[expect(clippy::disallowed_methods, reason = "this process is killed, nothing is joined")]
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(Arc::clone(&stream), request));
            let builder = hyper::server::conn::http1::Builder::new();
            drop(builder.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

async fn respond(stream: Arc<Stream>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap_or_default();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let answer = match target.rsplit('.').next().unwrap_or_default() {
        "GetRecords" => stream.get_records(&body),
        "GetShardIterator" => stream.get_shard_iterator(&body),
        "ListShards" => Some(stream.list_shards()),
        "DescribeStreamSummary" => Some(stream.describe()),
        "" => Some(stream.polls()),
        _ => None,
    };
    let (status, answer) = match answer {
        Some(answer) => (StatusCode::OK, answer),
        None => (StatusCode::BAD_REQUEST, br#"{"__type":"InvalidArgumentException"}"#.to_vec()),
    };
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/x-amz-json-1.1"));
    Ok(response)
}

impl Stream {
    fn get_records(&self, body: &Value) -> Option<Vec<u8>> {
        let (shard, next) = records::parse_iterator(body["ShardIterator"].as_str()?)?;
        let limit = body["Limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10_000);
        if let Ok(mut polls) = self.polls.lock() {
            polls.calls += 1;
            polls.shards.insert(shard);
        }
        Some(self.records.answer(shard, next, limit))
    }

    fn get_shard_iterator(&self, body: &Value) -> Option<Vec<u8>> {
        let shard = body["ShardId"].as_str()?.strip_prefix("shardId-")?.parse().ok()?;
        let number = body["StartingSequenceNumber"].as_str().and_then(records::parse_sequence);
        let next = match body["ShardIteratorType"].as_str()? {
            "AFTER_SEQUENCE_NUMBER" => number? + 1,
            "AT_SEQUENCE_NUMBER" => number?,
            _ => 0,
        };
        Some(json!({ "ShardIterator": records::iterator(shard, next) }).to_string().into())
    }

    fn list_shards(&self) -> Vec<u8> {
        let width = u128::MAX / self.shards as u128;
        let shards = (0..self.shards).map(|shard| {
            let end = if shard + 1 == self.shards { u128::MAX } else { width * (shard as u128 + 1) - 1 };
            json!({
                "ShardId": format!("shardId-{shard:012}"),
                "HashKeyRange": { "StartingHashKey": (width * shard as u128).to_string(), "EndingHashKey": end.to_string() },
                "SequenceNumberRange": { "StartingSequenceNumber": "49590338271490852900000000000000000000" },
            })
        });
        json!({ "Shards": shards.collect::<Vec<_>>() }).to_string().into()
    }

    fn describe(&self) -> Vec<u8> {
        let summary = json!({
            "StreamName": "orders",
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": { "StreamMode": "PROVISIONED" },
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": 1_700_000_000,
            "EnhancedMonitoring": [],
            "EncryptionType": "NONE",
            "OpenShardCount": self.shards,
            "ConsumerCount": 0,
        });
        json!({ "StreamDescriptionSummary": summary }).to_string().into()
    }

    /// `GetRecords` calls, and how many shards they were for.
    fn polls(&self) -> Vec<u8> {
        let Ok(polls) = self.polls.lock() else { return Vec::new() };
        format!("{} {}", polls.calls, polls.shards.len()).into()
    }
}
