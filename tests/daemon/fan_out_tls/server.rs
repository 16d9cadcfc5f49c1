//! A Kinesis endpoint with TLS and HTTP/2 alone, that speaks `SubscribeToShard` as a script says, and lists one shard.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// What a subscription does, one step after another.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends this event.
    Event(String),
    /// Sends this event without end.
    Flood(String),
    /// Says nothing any more.
    Silence,
    /// Breaks the stream in the middle, at the signal of the test: a reset overtakes what the client has not read yet.
    Cut(Arc<Notify>),
}

/// What `ListShards` returns.
const SHARDS: &str = r#"{"Shards":[{"ShardId":"shardId-0","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"},
    "SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#;

type Script = dyn Fn(&str, usize) -> Vec<Step> + Send + Sync;
type Requested = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

/// A running server.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    requested: Requested,
    clock: Arc<AtomicI64>,
}

impl Server {
    /// `script` gets the shard and the number of earlier subscriptions to it.
    pub(crate) async fn start(script: impl Fn(&str, usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let identity = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
        let mut tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![identity.cert.der().clone()], key.into())
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let requested = Requested::default();
        let clock = Arc::<AtomicI64>::default();
        let (seen, script, ahead): (_, Arc<Script>, _) = (requested.clone(), Arc::new(script), clock.clone());
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(tls));
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, seen, script, ahead) = (acceptor.clone(), seen.clone(), script.clone(), ahead.clone());
                tokio::spawn(async move {
                    let socket = acceptor.accept(socket).await.unwrap();
                    let response = |request| at_its_time(request, seen.clone(), script.clone(), ahead.clone());
                    let service = hyper::service::service_fn(response);
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    // The end of a connection is the client's business.
                    drop(builder.serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        Self { url, ca_pem: identity.cert.pem(), requested, clock }
    }

    /// From now on its clock is so many seconds ahead of this machine's, and signatures must be of its time.
    pub(crate) fn clock_is(&self, seconds: i64) {
        self.clock.store(seconds, Ordering::SeqCst);
    }

    /// The starting positions requested, of one shard, in order.
    pub(crate) fn positions(&self, shard: &str) -> Vec<serde_json::Value> {
        let requested = self.requested.lock().unwrap();
        requested.iter().filter(|(name, _)| name == shard).map(|(_, position)| position.clone()).collect()
    }
}

/// Refuses a signature that is more than five minutes from its own time, as AWS does.
async fn at_its_time(
    request: Request<Incoming>,
    requested: Requested,
    script: Arc<Script>,
    ahead: Arc<AtomicI64>,
) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, hyper::Error> {
    #[expect(clippy::disallowed_methods, reason = "a signature bears the time of the wall clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap() + ahead.load(Ordering::SeqCst);
    let date = request.headers()["x-amz-date"].to_str().unwrap();
    let (day, time) = ([&date[0..4], &date[4..6], &date[6..8]], [&date[9..11], &date[11..13], &date[13..15]]);
    let signed = DateTime::from_str(&format!("{}T{}Z", day.join("-"), time.join(":")), Format::DateTime).unwrap();
    let mut response = if (signed.secs() - now).abs() > 300 {
        json_response(400, r#"{"__type":"InvalidSignatureException","message":"Signature expired"}"#)
    } else {
        response(request, requested, script).await?
    };
    let date = DateTime::from_secs(now).fmt(Format::HttpDate).unwrap();
    response.headers_mut().insert("date", date.parse().unwrap());
    Ok(response)
}

async fn response(
    request: Request<Incoming>,
    requested: Requested,
    script: Arc<Script>,
) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, hyper::Error> {
    let target = request.headers()["x-amz-target"].clone();
    if target == "Kinesis_20131202.ListShards" {
        return Ok(json_response(200, SHARDS));
    }
    assert_eq!(target, "Kinesis_20131202.SubscribeToShard");
    let body = request.into_body().collect().await?.to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let shard = body["ShardId"].as_str().unwrap().to_owned();
    let earlier = {
        let mut requested = requested.lock().unwrap();
        let earlier = requested.iter().filter(|(name, _)| *name == shard).count();
        requested.push((shard.clone(), body["StartingPosition"].clone()));
        earlier
    };
    let mut steps = script(&shard, earlier);
    steps.reverse();
    let first = Some(frame("initial-response", "{}"));
    let frames = stream::unfold((first, steps), |(first, mut steps)| async move {
        if let Some(first) = first {
            return Some((Ok(Frame::data(first)), (None, steps)));
        }
        let item = match steps.pop()? {
            Step::Event(json) => Ok(Frame::data(frame("SubscribeToShardEvent", &json))),
            Step::Flood(json) => {
                let item = Frame::data(frame("SubscribeToShardEvent", &json));
                steps.push(Step::Flood(json));
                Ok(item)
            }
            Step::Silence => std::future::pending().await,
            Step::Cut(when) => {
                when.notified().await;
                Err(io::Error::other("cut on purpose"))
            }
        };
        Some((item, (None, steps)))
    });
    let body = BodyExt::boxed_unsync(StreamBody::new(frames));
    Ok(Response::builder().header("content-type", "application/vnd.amazon.eventstream").body(body).unwrap())
}

fn json_response(status: u16, body: &'static str) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
    let body = http_body_util::Full::new(Bytes::from(body)).map_err(|never| match never {});
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    response.body(BodyExt::boxed_unsync(body)).unwrap()
}

fn frame(kind: &str, json: &str) -> Bytes {
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = Message::new(json.to_owned())
        .add_header(Header::new(":message-type", text("event")))
        .add_header(Header::new(":event-type", text(kind)))
        .add_header(Header::new(":content-type", text("application/json")));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes.into()
}
