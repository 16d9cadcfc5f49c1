//! A proxy that injects faults between the sidecars and a service with an AWS JSON API.

use super::upstream::{self, Answer};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not forwarded; the connection closes.
    CallLost,
    /// Forwarded; the connection closes without a response.
    ReplyLost,
    /// Forwarded twice; the second response is returned.
    Repeated,
    /// Forwarded so much later.
    Delayed(Duration),
    /// Not forwarded; the connection closes after this time without a response.
    Stalled(Duration),
    /// Forwarded; the response breaks off after so many bytes of its body.
    Cut(usize),
    /// Not forwarded; 500 `InternalFailure`.
    Failed,
    /// Not forwarded; 503 without a body, as from a load balancer.
    Unavailable,
    /// Not forwarded; 400 `ProvisionedThroughputExceededException`.
    Throttled,
}

/// A fault for a share of the calls of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Such as `GetRecords`; empty for all operations.
    pub(crate) operation: &'static str,
    pub(crate) fault: Fault,
    /// From 0 (never) to 1 (always).
    pub(crate) share: f64,
}

impl Rule {
    pub(crate) const fn new(operation: &'static str, fault: Fault, share: f64) -> Self {
        Self { operation, fault, share }
    }
}

/// The fault of a call to `target`, such as `Kinesis_20131202.GetRecords`. The shares of all rules that match add up.
pub(crate) fn draw(rules: &[Rule], target: &str, mut draw: f64) -> Option<Fault> {
    let operation = target.rsplit('.').next().unwrap_or_default();
    for rule in rules.iter().filter(|rule| rule.operation.is_empty() || rule.operation == operation) {
        if draw < rule.share {
            return Some(rule.fault);
        }
        draw -= rule.share;
    }
    None
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    rules: Mutex<Vec<Rule>>,
    random: Mutex<fastrand::Rng>,
    injected: Mutex<usize>,
}

/// A running proxy. Dropping it closes all connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    _server: JoinSet<()>,
}

impl Proxy {
    /// Starts without rules on a free port, over HTTP/1.1 and h2c.
    pub(crate) async fn start(upstream: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let state = Arc::new(State { upstream, rules: Mutex::default(), random, injected: Mutex::default() });
        let (mut server, shared) = (JoinSet::new(), Arc::clone(&state));
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| respond(Arc::clone(&state), request));
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // Clients may close a connection, and faults do.
                    drop(builder.serve_connection(TokioIo::new(stream), service).await);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, state, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the rules. Calls in flight keep their faults.
    pub(crate) fn set(&self, rules: &[Rule]) {
        rules.clone_into(&mut self.state.rules.lock().unwrap());
    }

    /// How many calls got a fault.
    pub(crate) fn injected(&self) -> usize {
        *self.state.injected.lock().unwrap()
    }
}

async fn respond(state: Arc<State>, request: Request<Incoming>) -> io::Result<Answer> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::from_parts(parts, Full::new(body));
    let fault = {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let number = state.random.lock().unwrap().f64();
        draw(&state.rules.lock().unwrap(), target.unwrap_or_default(), number)
    };
    let Some(fault) = fault else { return upstream::forward(state.upstream, request, None).await };
    *state.injected.lock().unwrap() += 1;
    let aborted = || io::Error::from(io::ErrorKind::ConnectionAborted);
    match fault {
        Fault::CallLost => Err(aborted()),
        Fault::ReplyLost => {
            upstream::forward_and_read(state.upstream, request).await?;
            Err(aborted())
        }
        Fault::Repeated => {
            upstream::forward_and_read(state.upstream, request.clone()).await?;
            upstream::forward(state.upstream, request, None).await
        }
        Fault::Delayed(time) => {
            tokio::time::sleep(time).await;
            upstream::forward(state.upstream, request, None).await
        }
        Fault::Stalled(time) => {
            tokio::time::sleep(time).await;
            Err(aborted())
        }
        Fault::Cut(bytes) => upstream::forward(state.upstream, request, Some(bytes)).await,
        Fault::Failed => Ok(refusal(500, r#"{"__type":"InternalFailure","message":"injected"}"#)),
        Fault::Unavailable => Ok(refusal(503, "")),
        Fault::Throttled => {
            Ok(refusal(400, r#"{"__type":"ProvisionedThroughputExceededException","message":"injected"}"#))
        }
    }
}

fn refusal(status: u16, body: &'static str) -> Answer {
    let body = Full::new(Bytes::from_static(body.as_bytes())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/x-amz-json-1.1".parse().unwrap());
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::kinesis_client;
    use aws_sdk_kinesis::Client;
    use aws_sdk_kinesis::config::retry::RetryConfig;
    use bindd::embedded::{Aws, EmbeddedSettings};
    use std::collections::HashSet;

    const RULES: [Rule; 3] = [
        Rule::new("GetRecords", Fault::Throttled, 0.5),
        Rule::new("", Fault::CallLost, 0.25),
        Rule::new("ListShards", Fault::Failed, 0.25),
    ];

    #[test]
    fn faults_are_drawn_by_operation_and_share() {
        for (target, number, expected) in [
            ("Kinesis_20131202.GetRecords", 0.0, Some(Fault::Throttled)),
            ("Kinesis_20131202.GetRecords", 0.6, Some(Fault::CallLost)),
            ("Kinesis_20131202.GetRecords", 0.8, None),
            ("Kinesis_20131202.ListShards", 0.2, Some(Fault::CallLost)),
            ("Kinesis_20131202.ListShards", 0.3, Some(Fault::Failed)),
            ("DynamoDB_20120810.Scan", 0.3, None),
        ] {
            assert_eq!(draw(&RULES, target, number), expected, "{target} {number}");
        }
    }

    /// A client that does not retry.
    fn client(url: &str) -> Client {
        let config = kinesis_client(url).config().to_builder().retry_config(RetryConfig::disabled()).build();
        Client::from_conf(config)
    }

    /// Whether a stream is created through the proxy, and whether its caller is told so.
    #[tokio::test]
    async fn each_fault_does_what_it_says() {
        let aws = Aws::start(EmbeddedSettings::default()).await.unwrap();
        let upstream = aws.kinesis_url().trim_start_matches("http://").parse().unwrap();
        let proxy = Proxy::start(upstream, 1).await;
        let (direct, proxied) = (client(&aws.kinesis_url()), client(&proxy.url()));
        let soon = Duration::from_millis(5);
        let cases = [
            (None, true, true),
            (Some(Fault::CallLost), false, false),
            (Some(Fault::ReplyLost), true, false),
            // The second of two is refused, since the stream exists.
            (Some(Fault::Repeated), true, false),
            (Some(Fault::Delayed(soon)), true, true),
            (Some(Fault::Stalled(soon)), false, false),
            (Some(Fault::Failed), false, false),
            (Some(Fault::Unavailable), false, false),
            (Some(Fault::Throttled), false, false),
        ];
        for (number, (fault, is_done, is_answered)) in cases.into_iter().enumerate() {
            let rules: Vec<Rule> = fault.map(|fault| Rule::new("CreateStream", fault, 1.0)).into_iter().collect();
            proxy.set(&rules);
            let name = format!("stream-{number}");
            let response = proxied.create_stream().stream_name(&name).shard_count(1).send().await;
            assert_eq!(response.is_ok(), is_answered, "{fault:?}: {response:?}");
            let names: HashSet<String> =
                direct.list_streams().limit(100).send().await.unwrap().stream_names.into_iter().collect();
            assert_eq!(names.contains(&name), is_done, "{fault:?}");
        }
        assert_eq!(proxy.injected(), cases.len() - 1);
        proxy.set(&[Rule::new("ListStreams", Fault::Cut(4), 1.0)]);
        proxied.list_streams().send().await.unwrap_err();
        proxy.set(&[]);
        proxied.list_streams().send().await.unwrap();
    }
}
