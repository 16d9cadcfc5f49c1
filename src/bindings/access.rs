//! What is tried for one component, to find out whether it has the access that it needs. Nothing is written.

use super::access_calls::{EndpointKind, StreamCalls, TableCalls};
use super::kinesis::{self, Fallback, Mode};
use super::{Checked, Spec, dynamodb, http, localstorage};
use crate::aws::{self, CallSts, Connection, ConnectionSettings};
use crate::domain::{BindingError, ComponentName, FailureKind};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(15);

/// The result of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccessResult {
    Ok,
    /// It failed, but the component works without it.
    NotNeeded,
    /// Permissions do not allow it, or the credentials are not valid.
    Denied,
    NotFound,
    Unreachable,
    NoCredentials,
    Failed,
}

impl AccessResult {
    /// As the table of the report shows it.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotNeeded => "not needed",
            Self::Denied => "denied",
            Self::NotFound => "not found",
            Self::Unreachable => "unreachable",
            Self::NoCredentials => "no credentials",
            Self::Failed => "failed",
        }
    }

    /// Whether the component can work with this result.
    #[must_use]
    pub(crate) const fn is_sufficient(self) -> bool {
        matches!(self, Self::Ok | Self::NotNeeded)
    }
}

/// One call that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The operation of AWS.
    pub(crate) tried: &'static str,
    /// The stream, table or consumer.
    pub(crate) resource: String,
    pub(crate) result: AccessResult,
    /// What to do, or what the call showed.
    pub(crate) hint: String,
    /// How it failed, if it did.
    #[serde(skip)]
    pub(crate) failure: Option<FailureKind>,
}

/// All calls that were tried for one component, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ComponentAccess {
    pub(crate) component: String,
    /// The identity in use: its source, and the last four characters of the access key id. Empty without credentials.
    pub(crate) identity: String,
    pub(crate) findings: Vec<Finding>,
}

impl ComponentAccess {
    #[must_use]
    pub(crate) fn is_sufficient(&self) -> bool {
        self.findings.iter().all(|finding| finding.result.is_sufficient())
    }
}

/// Tries what the component needs, for at most `limit`. `app_id` and `ca_bundle` are those of the daemon that would run it.
pub(crate) async fn check_access(
    mut checked: Checked,
    app_id: &str,
    ca_bundle: Option<&Path>,
    limit: Duration,
) -> ComponentAccess {
    if let Some(connection) = checked.connection_mut() {
        // The report must show all failures, so the first one must not end it.
        connection.fail_fast = false;
        if connection.ca_bundle.is_none() {
            connection.ca_bundle = ca_bundle.map(Path::to_owned);
        }
    }
    let component = checked.name.to_string();
    let mut access = AccessCheck::default();
    if tokio::time::timeout(limit, Box::pin(access.run(&checked, app_id))).await.is_err() {
        let hint = format!("not done after {limit:?}: look at the network, proxies and the endpoint");
        access.push("all", &component, AccessResult::Unreachable, &hint);
        if let Some(last) = access.findings.last_mut() {
            last.failure = Some(FailureKind::TimedOut);
        }
    }
    ComponentAccess { component, identity: access.identity, findings: access.findings }
}

#[derive(Debug, Default)]
struct AccessCheck {
    identity: String,
    findings: Vec<Finding>,
}

impl AccessCheck {
    async fn run(&mut self, checked: &Checked, app_id: &str) {
        let Some(settings) = checked.connection() else { return self.outside_aws(checked).await };
        let connection = match Box::pin(aws::connect(settings)).await {
            Ok(connection) => connection,
            Err(error) => return self.failed("connect", "region and trust", &error),
        };
        match connection.identity(CREDENTIALS_TIMEOUT, CallSts::No).await {
            Ok(identity) => self.identity = identity,
            Err(error) => return self.failed("credentials", "sources", &error),
        }
        let endpoint = match &checked.spec {
            Spec::Kinesis(spec) => Box::pin(self.kinesis(&connection, &checked.name, spec, app_id)).await,
            Spec::DynamoDb(spec) => Box::pin(self.dynamodb(&connection, spec)).await,
            Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => return,
        };
        self.call_sts(&connection, settings, endpoint).await;
    }

    /// A kind without AWS. An endpoint is connected and gets no request, since any request may have an effect; a folder is not
    /// created.
    async fn outside_aws(&mut self, checked: &Checked) {
        match &checked.spec {
            Spec::Http(spec) => match Box::pin(http::probe(spec)).await {
                Ok(()) => self.ok("connect", "endpoint", "a connection was opened; no request was sent"),
                Err(error) => self.failed("connect", "endpoint", &error),
            },
            Spec::LocalStorage(spec) => {
                let folder = spec.root.display().to_string();
                match localstorage::probe(spec).await {
                    Ok(exists) => self.ok("open", &folder, if exists { "" } else { "will be created at the start" }),
                    Err(error) => self.failed("open", &folder, &error),
                }
            }
            Spec::Cron(_) => self.ok("none", "schedule", "needs no access"),
            // It answered when the sockets were searched. `Init` is not called, as it may have an effect.
            Spec::Pluggable(spec) => {
                let socket = spec.plug.socket.display().to_string();
                self.ok("reflection", &socket, "the component answers; it was not initialized");
            }
            Spec::Kinesis(_) | Spec::DynamoDb(_) => {}
        }
    }

    /// Calls STS for the full identity. With an emulator and no `stsEndpoint` there is no call: the STS of AWS does not
    /// know an emulator's keys.
    async fn call_sts(&mut self, connection: &Connection, settings: &ConnectionSettings, endpoint: EndpointKind) {
        let is_unreachable = self.findings.iter().any(|finding| finding.result == AccessResult::Unreachable);
        if is_unreachable || (endpoint == EndpointKind::Other && settings.identity.sts_endpoint.is_none()) {
            return;
        }
        match connection.identity(CREDENTIALS_TIMEOUT, CallSts::Yes).await {
            Ok(identity) => self.identity = identity,
            // Closed networks often have no route to STS, and the component does not need this call.
            Err(error) => self.push("GetCallerIdentity", "identity", AccessResult::NotNeeded, error.message()),
        }
    }

    async fn dynamodb(&mut self, connection: &Connection, spec: &dynamodb::Spec) -> EndpointKind {
        let calls = TableCalls::new(connection, &spec.table);
        match calls.describe().await {
            Ok(status) => self.ok("DescribeTable", &spec.table, &format!("table is {status}")),
            Err(error) if error.kind() == FailureKind::Denied => match calls.read().await {
                Ok(()) => {
                    self.not_needed("DescribeTable", &spec.table);
                    self.ok("GetItem", &spec.table, "read with a key that does not exist");
                }
                Err(error) if is_access_denied(&error) && !reads(spec) => {
                    let hint = "reading is denied and not needed; write access cannot be tried without writing";
                    self.push("GetItem", &spec.table, AccessResult::NotNeeded, hint);
                }
                Err(error) => self.failed("GetItem", &spec.table, &error),
            },
            Err(error) => self.failed("DescribeTable", &spec.table, &error),
        }
        calls.endpoint()
    }

    async fn kinesis(
        &mut self,
        connection: &Connection,
        name: &ComponentName,
        spec: &kinesis::Spec,
        app_id: &str,
    ) -> EndpointKind {
        let calls = StreamCalls::new(connection, &spec.stream);
        let stream = spec.stream.to_string();
        let described = calls.describe().await;
        let arn = match &described {
            Ok(summary) => {
                if summary.is_auto && spec.direction.has_input() && spec.input.delivery.keeps_order_by_key() {
                    let hint = "the stream distributes its records itself (AUTO): set `order: shard` or `order: none`";
                    self.push("DescribeStreamSummary", &stream, AccessResult::Failed, hint);
                } else {
                    self.ok("DescribeStreamSummary", &stream, &format!("stream is {}", summary.status));
                }
                Some(summary.arn.clone())
            }
            Err(error) if error.kind() == FailureKind::Denied && is_access_denied(error) => {
                self.not_needed("DescribeStreamSummary", &stream);
                spec.stream.arn().map(str::to_owned)
            }
            Err(error) => {
                self.failed("DescribeStreamSummary", &stream, error);
                return calls.endpoint();
            }
        };
        if spec.direction.has_output() {
            self.put_record(&calls, &stream).await;
            if spec.output.shares_calls() {
                self.put_records(&calls, &stream).await;
            }
            // The input lists the shards anyway.
            if spec.output.uses_shard_list() && !spec.direction.has_input() {
                self.list_shards_for_output(&calls, &stream).await;
            }
        }
        if spec.direction.has_input() {
            // Enhanced fan-out gets no iterator.
            let polls = spec.input.mode == Mode::Shared || spec.input.fallback == Fallback::Shared;
            Box::pin(self.input(&calls, &stream, polls)).await;
            let consumer = spec.input.consumer(app_id, name);
            if spec.input.mode == Mode::Extended {
                self.consumer(&calls, arn.as_deref(), &consumer).await;
            }
            Box::pin(self.leases(connection, spec, &consumer)).await;
        }
        calls.endpoint()
    }

    async fn put_record(&mut self, calls: &StreamCalls, stream: &str) {
        match calls.dry_run().await {
            Some(Ok(())) => self.ok("PutRecord (dry run)", stream, "a record would be accepted; none was stored"),
            Some(Err(error)) => self.failed("PutRecord (dry run)", stream, &error),
            None => {
                let hint = "not sent: other endpoints than AWS may store the record of a dry run";
                self.push("PutRecord (dry run)", stream, AccessResult::NotNeeded, hint);
            }
        }
    }

    async fn put_records(&mut self, calls: &StreamCalls, stream: &str) {
        match calls.dry_run_batch().await {
            Some(Ok(())) => self.ok("PutRecords (dry run)", stream, "a batch would be accepted; none was stored"),
            Some(Err(error)) if is_access_denied(&error) => {
                let hint =
                    "denied: each record is sent by its own PutRecord; allow kinesis:PutRecords for more throughput";
                self.push("PutRecords (dry run)", stream, AccessResult::NotNeeded, hint);
            }
            Some(Err(error)) => self.failed("PutRecords (dry run)", stream, &error),
            // Not sent for the same reason as PutRecord, whose row shows it.
            None => {}
        }
    }

    async fn list_shards_for_output(&mut self, calls: &StreamCalls, stream: &str) {
        match calls.first_shard().await {
            Ok(_) => self.ok("ListShards", stream, ""),
            Err(error) if error.kind() == FailureKind::Denied && is_access_denied(&error) => {
                let hint = "denied: the limits of shards are then known only from throttled calls";
                self.push("ListShards", stream, AccessResult::NotNeeded, hint);
            }
            Err(error) => self.failed("ListShards", stream, &error),
        }
    }

    async fn input(&mut self, calls: &StreamCalls, stream: &str, polls: bool) {
        let shard = match calls.first_shard().await {
            Ok(Some(shard)) => shard,
            Ok(None) => return self.push("ListShards", stream, AccessResult::Failed, "the stream has no shards"),
            Err(error) => return self.failed("ListShards", stream, &error),
        };
        self.ok("ListShards", stream, "");
        if !polls {
            return;
        }
        match calls.iterator(&shard).await {
            Ok(()) => self.ok("GetShardIterator", &shard, ""),
            Err(error) => self.failed("GetShardIterator", &shard, &error),
        }
    }

    async fn consumer(&mut self, calls: &StreamCalls, stream_arn: Option<&str>, name: &str) {
        let Some(stream_arn) = stream_arn else {
            let hint = "mode `extended` needs the stream's ARN: allow kinesis:DescribeStreamSummary, or write the ARN";
            return self.push("DescribeStreamConsumer", name, AccessResult::Denied, hint);
        };
        match calls.consumer(stream_arn, name).await {
            Ok(()) => self.ok("DescribeStreamConsumer", name, "is registered"),
            Err(error) if error.kind() == FailureKind::NotFound => {
                let hint = "will be registered at the first start, which needs kinesis:RegisterStreamConsumer";
                self.push("DescribeStreamConsumer", name, AccessResult::Ok, hint);
            }
            Err(error) => self.failed("DescribeStreamConsumer", name, &error),
        }
    }

    async fn leases(&mut self, connection: &Connection, spec: &kinesis::Spec, consumer: &str) {
        let table = spec.input.lease_table(consumer);
        let connection = match &spec.input.lease_endpoint {
            None => connection.clone(),
            Some(endpoint) => {
                let settings = ConnectionSettings { endpoint: Some(endpoint.clone()), ..spec.connection.clone() };
                match Box::pin(aws::connect(&settings)).await {
                    Ok(connection) => connection,
                    Err(error) => return self.failed("connect", "lease table", &error),
                }
            }
        };
        let calls = TableCalls::new(&connection, table);
        match calls.describe().await {
            Ok(status) => self.ok("DescribeTable", table, &format!("lease table is {status}")),
            Err(error) if error.kind() == FailureKind::NotFound => {
                let hint = "the lease table will be created at the first start, which needs dynamodb:CreateTable";
                self.push("DescribeTable", table, AccessResult::Ok, hint);
            }
            Err(error) => self.failed("DescribeTable", table, &error),
        }
    }

    fn ok(&mut self, tried: &'static str, resource: &str, hint: &str) {
        self.push(tried, resource, AccessResult::Ok, hint);
    }

    fn not_needed(&mut self, tried: &'static str, resource: &str) {
        self.push(tried, resource, AccessResult::NotNeeded, "denied, but bindd works without it");
    }

    fn failed(&mut self, tried: &'static str, resource: &str, error: &BindingError) {
        self.push(tried, resource, result_of(error.kind()), &hint(tried, error));
        if let Some(last) = self.findings.last_mut() {
            last.failure = Some(error.kind());
        }
    }

    fn push(&mut self, tried: &'static str, resource: &str, result: AccessResult, hint: &str) {
        let (resource, hint) = (resource.to_owned(), hint.to_owned());
        self.findings.push(Finding { tried, resource, result, hint, failure: None });
    }
}

/// Whether the component offers an operation that needs `GetItem`.
fn reads(spec: &dynamodb::Spec) -> bool {
    spec.options.allowed.iter().any(|operation| matches!(operation.as_str(), "get" | "transactGet"))
}

/// Denied because a permission is missing, not because the credentials are not valid.
fn is_access_denied(error: &BindingError) -> bool {
    error.details().iter().any(|(key, code)| *key == "code" && code.starts_with("AccessDenied"))
}

const fn result_of(kind: FailureKind) -> AccessResult {
    match kind {
        FailureKind::Denied => AccessResult::Denied,
        FailureKind::NotFound => AccessResult::NotFound,
        FailureKind::Transient | FailureKind::TimedOut | FailureKind::Throttled => AccessResult::Unreachable,
        FailureKind::Unavailable => AccessResult::NoCredentials,
        FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::Conflict
        | FailureKind::Permanent
        | FailureKind::Unsupported
        | FailureKind::Closed => AccessResult::Failed,
    }
}

fn hint(tried: &str, error: &BindingError) -> String {
    let advice = match error.kind() {
        FailureKind::Denied if is_access_denied(error) => "`bindd policy` prints what to allow",
        FailureKind::Denied => "the credentials are not valid here: look at keys, account, region and clock",
        FailureKind::NotFound => "look at the name, the region and the account",
        FailureKind::Transient | FailureKind::TimedOut => "look at the network, proxies, endpoint and region",
        FailureKind::Throttled => "the service is busy, try again",
        FailureKind::Unavailable
        | FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::Conflict
        | FailureKind::Permanent
        | FailureKind::Unsupported
        | FailureKind::Closed => return error.message().to_owned(),
    };
    format!("{advice} ({tried}: {})", error.message())
}
