//! Fake Kinesis, DynamoDB, STS, and credential endpoints of containers (ECS) and instances (IMDS), on one port.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[derive(Debug, Clone)]
pub(crate) struct ReceivedRequest {
    /// Operation, STS action or path.
    pub(crate) what: String,
    /// The access key of its signature; empty without one.
    pub(crate) key: String,
    pub(crate) token: String,
    pub(crate) body: String,
    /// Whether its target was an absolute URL, as in requests to a proxy.
    pub(crate) is_proxied: bool,
}

#[derive(Debug)]
struct FakeState {
    seen: Vec<ReceivedRequest>,
    /// Access keys that get `ExpiredTokenException`.
    rejected_keys: HashSet<String>,
    /// Operations that get `AccessDeniedException`.
    denied: HashSet<String>,
    /// The access key of the container endpoint; `None` for status 500.
    container: Option<String>,
    /// The access key of the instance endpoint.
    instance: String,
    /// The end of every session token, as XML.
    session_token_suffix: &'static str,
    /// Lifetime of credentials, in seconds.
    lifetime: i64,
    /// Number of sessions that STS has created.
    sessions: usize,
    /// Seconds by which its clock is ahead of this machine's.
    clock_offset: i64,
    /// The error code of the next calls of `RegisterStreamConsumer`, and the number of these calls.
    registration: (&'static str, usize),
    is_registered: bool,
    /// `RecordDistributionStrategy` of the stream.
    distribution: &'static str,
}

#[derive(Debug)]
pub(crate) struct FakeAws {
    address: SocketAddr,
    state: Arc<Mutex<FakeState>>,
    server: JoinHandle<()>,
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) const CONTAINER_TOKEN: &str = "container-token";

impl FakeAws {
    pub(crate) async fn start() -> Self {
        let state = FakeState {
            seen: Vec::new(),
            rejected_keys: HashSet::new(),
            denied: HashSet::new(),
            container: Some("ASIACONTAINER0001".to_owned()),
            instance: "ASIAINSTANCE00001".to_owned(),
            session_token_suffix: "",
            lifetime: 3_600,
            sessions: 0,
            clock_offset: 0,
            registration: ("", 0),
            is_registered: false,
            distribution: "USER_PARTITION_KEY",
        };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(response).with_state(Arc::clone(&state));
        let router = router.layer(map_response_with_state(Arc::clone(&state), add_date));
        #[expect(clippy::disallowed_methods, reason = "a server of this test; aborted with it")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn seen(&self) -> Vec<ReceivedRequest> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The requests with this operation, action or path, in order.
    pub(crate) fn calls(&self, what: &str) -> Vec<ReceivedRequest> {
        self.seen().into_iter().filter(|seen| seen.what == what).collect()
    }

    pub(crate) fn reject_key(&self, key: &str) {
        self.state.lock().unwrap().rejected_keys.insert(key.to_owned());
    }

    pub(crate) fn deny(&self, operation: &str) {
        self.state.lock().unwrap().denied.insert(operation.to_owned());
    }

    pub(crate) fn set_container_key(&self, key: Option<&str>) {
        self.state.lock().unwrap().container = key.map(str::to_owned);
    }

    pub(crate) fn set_instance_key(&self, key: &str) {
        self.state.lock().unwrap().instance = key.to_owned();
    }

    pub(crate) fn set_session_token_suffix(&self, end: &'static str) {
        self.state.lock().unwrap().session_token_suffix = end;
    }

    /// Sets its clock this many seconds ahead of this machine's; signatures must match it.
    pub(crate) fn set_clock_offset(&self, seconds: i64) {
        self.state.lock().unwrap().clock_offset = seconds;
    }

    /// Rejects the next registrations with this code.
    pub(crate) fn reject_consumers(&self, code: &'static str, times: usize) {
        self.state.lock().unwrap().registration = (code, times);
    }

    pub(crate) fn set_distribution(&self, strategy: &'static str) {
        self.state.lock().unwrap().distribution = strategy;
    }

    pub(crate) fn set_lifetime(&self, seconds: i64) {
        self.state.lock().unwrap().lifetime = seconds;
    }
}

fn seconds_since_1970() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "an expiration is a time of the system clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap()
}

/// The time in this many seconds, in the format of AWS.
pub(crate) fn timestamp_in(seconds: i64) -> String {
    DateTime::from_secs(seconds_since_1970() + seconds).fmt(Format::DateTime).unwrap()
}

fn sts_signature_expired() -> Response {
    let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                <Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error>\
                <RequestId>r-1</RequestId></ErrorResponse>";
    (StatusCode::FORBIDDEN, body).into_response()
}

/// Sets the date header by the clock of the server.
async fn add_date(State(state): State<Arc<Mutex<FakeState>>>, mut response: Response) -> Response {
    let date = DateTime::from_secs(state.lock().unwrap().now()).fmt(Format::HttpDate).unwrap();
    response.headers_mut().insert("date", date.parse().unwrap());
    response
}

/// The difference between the time of a signature and `now`, in seconds; AWS allows 300.
fn signature_age(now: i64, headers: &HeaderMap) -> i64 {
    let Some(date) = headers.get("x-amz-date").and_then(|date| date.to_str().ok()) else { return 0 };
    let part = |range: std::ops::Range<usize>| &date[range];
    let (day, time) = ([part(0..4), part(4..6), part(6..8)], [part(9..11), part(11..13), part(13..15)]);
    let signed = DateTime::from_str(&format!("{}T{}Z", day.join("-"), time.join(":")), Format::DateTime).unwrap();
    (signed.secs() - now).abs()
}

async fn response(
    State(state): State<Arc<Mutex<FakeState>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    let field = |name: &str| form(&body, name);
    let target = header("x-amz-target");
    let what = match target.rsplit_once('.') {
        Some((_, operation)) => operation.to_owned(),
        None => field("Action").unwrap_or_else(|| uri.path().to_owned()),
    };
    let authorization = header("authorization");
    let key = authorization.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    let mut state = state.lock().unwrap();
    state.seen.push(ReceivedRequest {
        what: what.clone(),
        key: key.to_owned(),
        token: header("x-amz-security-token"),
        body: body.clone(),
        is_proxied: uri.scheme().is_some(),
    });
    let is_signed = !authorization.is_empty() && method == Method::POST;
    if is_signed && signature_age(state.now(), &headers) > 300 {
        return if target.is_empty() { sts_signature_expired() } else { failure("InvalidSignatureException") };
    }
    if !target.is_empty() {
        return service(&mut state, &what, key);
    }
    match (method, uri.path()) {
        (Method::POST, "/") => state.sts(&what, &field),
        (Method::PUT, "/latest/api/token") => {
            ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "v2").into_response()
        }
        (Method::GET, path) if path.starts_with("/latest/") => {
            if header("x-aws-ec2-metadata-token") != "v2" {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            match path {
                "/latest/meta-data/placement/region" => "eu-central-1".into_response(),
                "/latest/meta-data/iam/security-credentials/" => "instance-role".into_response(),
                _ => credentials_json(&state.instance, state.lifetime).to_string().into_response(),
            }
        }
        (Method::GET, "/container") if authorization == CONTAINER_TOKEN => match &state.container {
            Some(key) => credentials_json(key, state.lifetime).to_string().into_response(),
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

fn service(state: &mut FakeState, operation: &str, key: &str) -> Response {
    if state.rejected_keys.contains(key) {
        return failure("ExpiredTokenException");
    }
    if state.denied.contains(operation) {
        return failure("AccessDeniedException");
    }
    let stream = json!({
        "StreamName": "orders", "StreamARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/orders",
        "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_700_000_000,
        "EnhancedMonitoring": [], "OpenShardCount": 1,
        "RecordDistributionStrategy": state.distribution,
    });
    let shard = json!({
        "ShardId": "shardId-000000000000", "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" },
        "SequenceNumberRange": { "StartingSequenceNumber": "1" },
    });
    let consumer = json!({
        "ConsumerName": "shop", "ConsumerARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/orders/consumer/shop:1",
        "ConsumerStatus": "ACTIVE", "ConsumerCreationTimestamp": 1_700_000_000,
        "StreamARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/orders",
    });
    match operation {
        "PutRecord" => success(&json!({ "SequenceNumber": "1", "ShardId": "shardId-000000000000" })),
        "DescribeStreamSummary" => success(&json!({ "StreamDescriptionSummary": stream })),
        "ListShards" => success(&json!({ "Shards": [shard] })),
        "GetShardIterator" => success(&json!({ "ShardIterator": "AAAA" })),
        "RegisterStreamConsumer" if state.registration.1 > 0 => {
            state.registration.1 -= 1;
            failure(state.registration.0)
        }
        "RegisterStreamConsumer" => {
            state.is_registered = true;
            success(&json!({ "Consumer": consumer }))
        }
        "DescribeStreamConsumer" if state.is_registered => success(&json!({ "ConsumerDescription": consumer })),
        "DescribeTable" | "GetItem" | "Scan" | "DescribeStreamConsumer" => failure("ResourceNotFoundException"),
        _ => failure("UnknownOperationException"),
    }
}

impl FakeState {
    /// The time of its clock, in seconds since 1970.
    fn now(&self) -> i64 {
        seconds_since_1970() + self.clock_offset
    }

    fn sts(&mut self, action: &str, field: &dyn Fn(&str) -> Option<String>) -> Response {
        if action == "GetCallerIdentity" {
            return xml(
                action,
                "<Arn>arn:aws:sts::123456789012:assumed-role/writer/x</Arn><UserId>u</UserId><Account>1</Account>",
            );
        }
        let Some(role) = field("RoleArn") else { return StatusCode::BAD_REQUEST.into_response() };
        if role.ends_with("/forbidden") {
            let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                        <Code>AccessDenied</Code><Message>not authorized to perform sts:AssumeRole</Message></Error>\
                        <RequestId>r-1</RequestId></ErrorResponse>";
            return (StatusCode::FORBIDDEN, body).into_response();
        }
        self.sessions += 1;
        let (number, expiry, end) = (self.sessions, timestamp_in(self.lifetime), self.session_token_suffix);
        xml(
            action,
            &format!(
                "<AssumedRoleUser><AssumedRoleId>a:b</AssumedRoleId><Arn>{role}</Arn></AssumedRoleUser><Credentials>\
                 <AccessKeyId>ASIASESSION{number:05}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                 <SessionToken>session-{number}{end}</SessionToken><Expiration>{expiry}</Expiration></Credentials>"
            ),
        )
    }
}

fn xml(action: &str, result: &str) -> Response {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{action}Response>"
    )
    .into_response()
}

fn success(body: &Value) -> Response {
    ([("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}

fn failure(code: &str) -> Response {
    let body = json!({ "__type": code, "message": "injected by the test" });
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}

/// Credentials in the format of the container and instance endpoints.
fn credentials_json(key: &str, lifetime: i64) -> Value {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": timestamp_in(0), "AccessKeyId": key, "SecretAccessKey": "s",
        "Token": format!("token-of-{key}"), "Expiration": timestamp_in(lifetime),
    })
}

/// A field of a form, decoded as far as ARNs need it.
fn form(body: &str, name: &str) -> Option<String> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| value.replace("%3A", ":").replace("%2F", "/").replace("%40", "@"))
    };
    body.split('&').find_map(pair)
}
