//! All of AWS that these tests need, on one port: Kinesis, DynamoDB, STS, the container's and the instance's endpoints.

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

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Operation, STS action or path.
    pub(crate) what: String,
    /// The access key of its signature; empty without one.
    pub(crate) key: String,
    pub(crate) token: String,
    pub(crate) body: String,
    /// Whether its target was a whole URL, as only a proxy is sent.
    pub(crate) is_proxied: bool,
}

#[derive(Debug)]
struct Facts {
    seen: Vec<Seen>,
    /// Keys that are answered with `ExpiredTokenException`.
    refused: HashSet<String>,
    /// Operations that are answered with `AccessDeniedException`.
    denied: HashSet<String>,
    /// What the container's endpoint gives out; nothing is a 500.
    container: Option<String>,
    /// What the instance's endpoint gives out.
    instance: String,
    /// What every session token ends in, as XML.
    session_end: &'static str,
    /// Seconds that given out credentials live.
    life: i64,
    /// How many sessions STS opened.
    sessions: usize,
    /// How many seconds its clock is ahead of this machine's.
    clock: i64,
    /// The code of the next refusals of `RegisterStreamConsumer`, and how many there are.
    registration: (&'static str, usize),
    is_registered: bool,
}

/// The servers.
#[derive(Debug)]
pub(crate) struct Cloud {
    address: SocketAddr,
    facts: Arc<Mutex<Facts>>,
    server: JoinHandle<()>,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) const CONTAINER_TOKEN: &str = "container-token";

impl Cloud {
    pub(crate) async fn start() -> Self {
        let facts = Facts {
            seen: Vec::new(),
            refused: HashSet::new(),
            denied: HashSet::new(),
            container: Some("ASIACONTAINER0001".to_owned()),
            instance: "ASIAINSTANCE00001".to_owned(),
            session_end: "",
            life: 3_600,
            sessions: 0,
            clock: 0,
            registration: ("", 0),
            is_registered: false,
        };
        let facts = Arc::new(Mutex::new(facts));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&facts));
        let router = router.layer(map_response_with_state(Arc::clone(&facts), dated));
        #[expect(clippy::disallowed_methods, reason = "a test's own server; aborted with it")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, facts, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.facts.lock().unwrap().seen.clone()
    }

    /// The requests of one kind, in order.
    pub(crate) fn calls(&self, what: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.what == what).collect()
    }

    pub(crate) fn refuse(&self, key: &str) {
        self.facts.lock().unwrap().refused.insert(key.to_owned());
    }

    pub(crate) fn deny(&self, operation: &str) {
        self.facts.lock().unwrap().denied.insert(operation.to_owned());
    }

    pub(crate) fn container_gives(&self, key: Option<&str>) {
        self.facts.lock().unwrap().container = key.map(str::to_owned);
    }

    pub(crate) fn instance_gives(&self, key: &str) {
        self.facts.lock().unwrap().instance = key.to_owned();
    }

    pub(crate) fn sessions_end_in(&self, end: &'static str) {
        self.facts.lock().unwrap().session_end = end;
    }

    /// From now on its clock is so many seconds ahead of this machine's, and signatures must be of its time.
    pub(crate) fn clock_is(&self, seconds: i64) {
        self.facts.lock().unwrap().clock = seconds;
    }

    /// The next registrations are refused with this code.
    pub(crate) fn refuses_consumers(&self, code: &'static str, times: usize) {
        self.facts.lock().unwrap().registration = (code, times);
    }

    pub(crate) fn lives(&self, seconds: i64) {
        self.facts.lock().unwrap().life = seconds;
    }
}

fn seconds_since_1970() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "an expiry is a moment of the wall clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap()
}

/// A moment of the wall clock so many seconds from now, as AWS writes it.
pub(crate) fn moment(seconds: i64) -> String {
    DateTime::from_secs(seconds_since_1970() + seconds).fmt(Format::DateTime).unwrap()
}

fn late_at_sts() -> Response {
    let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                <Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error>\
                <RequestId>r-1</RequestId></ErrorResponse>";
    (StatusCode::FORBIDDEN, body).into_response()
}

/// Dates an answer by the servers' clock.
async fn dated(State(facts): State<Arc<Mutex<Facts>>>, mut answer: Response) -> Response {
    let date = DateTime::from_secs(facts.lock().unwrap().now()).fmt(Format::HttpDate).unwrap();
    answer.headers_mut().insert("date", date.parse().unwrap());
    answer
}

/// How many seconds a signature is from this moment; AWS allows 300.
fn signed_beside(now: i64, headers: &HeaderMap) -> i64 {
    let Some(date) = headers.get("x-amz-date").and_then(|date| date.to_str().ok()) else { return 0 };
    let part = |range: std::ops::Range<usize>| &date[range];
    let (day, time) = ([part(0..4), part(4..6), part(6..8)], [part(9..11), part(11..13), part(13..15)]);
    let signed = DateTime::from_str(&format!("{}T{}Z", day.join("-"), time.join(":")), Format::DateTime).unwrap();
    (signed.secs() - now).abs()
}

async fn answer(
    State(facts): State<Arc<Mutex<Facts>>>,
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
    let mut facts = facts.lock().unwrap();
    facts.seen.push(Seen {
        what: what.clone(),
        key: key.to_owned(),
        token: header("x-amz-security-token"),
        body: body.clone(),
        is_proxied: uri.scheme().is_some(),
    });
    let is_signed = !authorization.is_empty() && method == Method::POST;
    if is_signed && signed_beside(facts.now(), &headers) > 300 {
        return if target.is_empty() { late_at_sts() } else { fault("InvalidSignatureException") };
    }
    if !target.is_empty() {
        return service(&mut facts, &what, key);
    }
    match (method, uri.path()) {
        (Method::POST, "/") => facts.sts(&what, &field),
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
                _ => keys(&facts.instance, facts.life).to_string().into_response(),
            }
        }
        (Method::GET, "/container") if authorization == CONTAINER_TOKEN => match &facts.container {
            Some(key) => keys(key, facts.life).to_string().into_response(),
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

fn service(facts: &mut Facts, operation: &str, key: &str) -> Response {
    if facts.refused.contains(key) {
        return fault("ExpiredTokenException");
    }
    if facts.denied.contains(operation) {
        return fault("AccessDeniedException");
    }
    let stream = json!({
        "StreamName": "orders", "StreamARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/orders",
        "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_700_000_000,
        "EnhancedMonitoring": [], "OpenShardCount": 1,
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
        "PutRecord" => good(&json!({ "SequenceNumber": "1", "ShardId": "shardId-000000000000" })),
        "DescribeStreamSummary" => good(&json!({ "StreamDescriptionSummary": stream })),
        "ListShards" => good(&json!({ "Shards": [shard] })),
        "GetShardIterator" => good(&json!({ "ShardIterator": "AAAA" })),
        "RegisterStreamConsumer" if facts.registration.1 > 0 => {
            facts.registration.1 -= 1;
            fault(facts.registration.0)
        }
        "RegisterStreamConsumer" => {
            facts.is_registered = true;
            good(&json!({ "Consumer": consumer }))
        }
        "DescribeStreamConsumer" if facts.is_registered => good(&json!({ "ConsumerDescription": consumer })),
        "DescribeTable" | "GetItem" | "Scan" | "DescribeStreamConsumer" => fault("ResourceNotFoundException"),
        _ => fault("UnknownOperationException"),
    }
}

impl Facts {
    /// Its time, in seconds since 1970.
    fn now(&self) -> i64 {
        seconds_since_1970() + self.clock
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
        let (number, expiry, end) = (self.sessions, moment(self.life), self.session_end);
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

fn good(body: &Value) -> Response {
    ([("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}

fn fault(code: &str) -> Response {
    let body = json!({ "__type": code, "message": "as the test wants" });
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}

/// Credentials as the container's and the instance's endpoints write them.
fn keys(key: &str, life: i64) -> Value {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": moment(0), "AccessKeyId": key, "SecretAccessKey": "s",
        "Token": format!("token-of-{key}"), "Expiration": moment(life),
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
