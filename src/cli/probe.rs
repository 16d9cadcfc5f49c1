//! What `bindd check --connect` tries for one component: may it do its work? Nothing is written.

use super::probe_calls::{Answerer, StreamProbe, TableProbe};
use super::statements::operations;
use crate::aws::{self, CallSts, Connection, ConnectionSettings};
use crate::bindings::kinesis::{self, Mode, default_consumer};
use crate::bindings::{Checked, Spec, dynamodb};
use crate::domain::{BindingError, ComponentName, FailureKind};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// How long the first credentials are waited for.
const CREDENTIALS_WITHIN: Duration = Duration::from_secs(15);

/// How one thing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Found {
    /// It may be done.
    Ok,
    /// It may not, and is not needed: work goes on without.
    Spared,
    /// Permissions do not allow it, or the credentials are not valid.
    Denied,
    /// The stream or table is not there.
    Missing,
    /// Nobody answered.
    Unreachable,
    /// There are no credentials.
    Anonymous,
    /// Another failure.
    Failed,
}

impl Found {
    /// The word in the table.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Spared => "not needed",
            Self::Denied => "denied",
            Self::Missing => "not found",
            Self::Unreachable => "unreachable",
            Self::Anonymous => "no credentials",
            Self::Failed => "failed",
        }
    }

    /// Whether the component can work in spite of it.
    #[must_use]
    pub(crate) const fn is_fine(self) -> bool {
        matches!(self, Self::Ok | Self::Spared)
    }
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The call.
    pub(crate) tried: &'static str,
    /// The stream, table or consumer.
    pub(crate) resource: String,
    /// How it went.
    pub(crate) result: Found,
    /// What to do, or what was learned.
    pub(crate) hint: String,
}

/// All that was tried for a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Probed {
    /// Its name.
    pub(crate) component: String,
    /// The identity in use: where from, and the last four letters of its access key's id. Empty when there is none.
    pub(crate) identity: String,
    /// In the order of trying.
    pub(crate) findings: Vec<Finding>,
}

impl Probed {
    /// Whether the component can work.
    #[must_use]
    pub(crate) fn is_fine(&self) -> bool {
        self.findings.iter().all(|finding| finding.result.is_fine())
    }
}

/// Tries what the component needs, for at most `limit`. `app_id` and `ca_bundle` are those of the daemon that would run it.
pub(crate) async fn probe(mut checked: Checked, app_id: &str, ca_bundle: Option<&Path>, limit: Duration) -> Probed {
    let connection = checked.connection_mut();
    // A table of what is wrong needs no end at the first.
    connection.fail_fast = false;
    if connection.ca_bundle.is_none() {
        connection.ca_bundle = ca_bundle.map(Path::to_owned);
    }
    let component = checked.name.to_string();
    let mut trial = Trial::default();
    if tokio::time::timeout(limit, Box::pin(trial.run(&checked, app_id))).await.is_err() {
        let hint = format!("not done after {limit:?}: look at the network, proxies and the endpoint");
        let finding = Finding { tried: "all", resource: component.clone(), result: Found::Unreachable, hint };
        trial.findings.push(finding);
    }
    Probed { component, identity: trial.identity, findings: trial.findings }
}

#[derive(Debug, Default)]
struct Trial {
    identity: String,
    findings: Vec<Finding>,
}

impl Trial {
    async fn run(&mut self, checked: &Checked, app_id: &str) {
        let settings = checked.connection();
        let connection = match Box::pin(aws::connect(settings)).await {
            Ok(connection) => connection,
            Err(error) => return self.failed("connect", "region and trust", &error),
        };
        match connection.identity(CREDENTIALS_WITHIN, CallSts::No).await {
            Ok(identity) => self.identity = identity,
            Err(error) => return self.failed("credentials", "sources", &error),
        }
        let answerer = match &checked.spec {
            Spec::Kinesis(spec) => Box::pin(self.kinesis(&connection, &checked.name, spec, app_id)).await,
            Spec::DynamoDb(spec) => Box::pin(self.dynamodb(&connection, spec)).await,
        };
        self.ask_sts(&connection, settings, answerer).await;
    }

    /// An emulator's keys mean nothing to AWS's STS, so it is asked only where AWS answered or the file names one.
    async fn ask_sts(&mut self, connection: &Connection, settings: &ConnectionSettings, answerer: Answerer) {
        let is_cut_off = self.findings.iter().any(|finding| finding.result == Found::Unreachable);
        if is_cut_off || (answerer == Answerer::Other && settings.identity.sts_endpoint.is_none()) {
            return;
        }
        match connection.identity(CREDENTIALS_WITHIN, CallSts::Yes).await {
            Ok(identity) => self.identity = identity,
            Err(error) => {
                // Closed networks often have no way to STS; the component does not need one for this.
                let hint = error.message().to_owned();
                let resource = "identity".to_owned();
                self.findings.push(Finding { tried: "GetCallerIdentity", resource, result: Found::Spared, hint });
            }
        }
    }

    async fn dynamodb(&mut self, connection: &Connection, spec: &dynamodb::Spec) -> Answerer {
        let probe = TableProbe::new(connection, &spec.table);
        match probe.describe().await {
            Ok(status) => self.ok("DescribeTable", &spec.table, &format!("table is {status}")),
            Err(error) if error.kind() == FailureKind::Denied => match probe.read().await {
                Ok(()) => {
                    self.spared("DescribeTable", &spec.table);
                    self.ok("GetItem", &spec.table, "read with a key that nobody has");
                }
                Err(error) if is_about_rights(&error) && !reads(spec) => {
                    let hint = "may not read, and need not; that it may write cannot be tried without writing";
                    self.push("GetItem", &spec.table, Found::Spared, hint);
                }
                Err(error) => self.failed("GetItem", &spec.table, &error),
            },
            Err(error) => self.failed("DescribeTable", &spec.table, &error),
        }
        probe.answerer()
    }

    async fn kinesis(
        &mut self,
        connection: &Connection,
        name: &ComponentName,
        spec: &kinesis::Spec,
        app_id: &str,
    ) -> Answerer {
        let probe = StreamProbe::new(connection, spec.stream.clone());
        let stream = spec.stream.to_string();
        let described = probe.describe().await;
        let arn = match &described {
            Ok(facts) => {
                self.ok("DescribeStreamSummary", &stream, &format!("stream is {}", facts.status));
                Some(facts.arn.clone())
            }
            Err(error) if error.kind() == FailureKind::Denied && is_about_rights(error) => {
                self.spared("DescribeStreamSummary", &stream);
                spec.stream.arn().map(str::to_owned)
            }
            Err(error) => {
                self.failed("DescribeStreamSummary", &stream, error);
                return probe.answerer();
            }
        };
        if spec.direction.has_output() {
            self.output(&probe, &stream).await;
            if spec.output.shares_calls() {
                self.batches_of_output(&probe, &stream).await;
            }
            // An input lists them too, and must.
            if spec.output.wants_shards() && !spec.direction.has_input() {
                self.shards_of_output(&probe, &stream).await;
            }
        }
        if spec.direction.has_input() {
            Box::pin(self.input(&probe, &stream)).await;
            let consumer = spec.consumer_name.clone().unwrap_or_else(|| default_consumer(app_id, name));
            if spec.mode == Mode::Extended {
                self.consumer(&probe, arn.as_deref(), &consumer).await;
            }
            Box::pin(self.leases(connection, spec, &consumer)).await;
        }
        probe.answerer()
    }

    async fn output(&mut self, probe: &StreamProbe, stream: &str) {
        match probe.dry_run().await {
            Some(Ok(())) => self.ok("PutRecord (dry run)", stream, "a record would be taken; none was stored"),
            Some(Err(error)) => self.failed("PutRecord (dry run)", stream, &error),
            None => {
                let hint = "not sent: only AWS itself is sure to store nothing at a dry run";
                self.push("PutRecord (dry run)", stream, Found::Spared, hint);
            }
        }
    }

    async fn batches_of_output(&mut self, probe: &StreamProbe, stream: &str) {
        match probe.dry_run_of_batch().await {
            Some(Ok(())) => self.ok("PutRecords (dry run)", stream, "a batch would be taken; none was stored"),
            Some(Err(error)) if is_about_rights(&error) => {
                let hint =
                    "denied: each record is sent by its own PutRecord; allow kinesis:PutRecords for more throughput";
                self.push("PutRecords (dry run)", stream, Found::Spared, hint);
            }
            Some(Err(error)) => self.failed("PutRecords (dry run)", stream, &error),
            // The row of PutRecord says why.
            None => {}
        }
    }

    async fn shards_of_output(&mut self, probe: &StreamProbe, stream: &str) {
        match probe.first_shard().await {
            Ok(_) => self.ok("ListShards", stream, ""),
            Err(error) if error.kind() == FailureKind::Denied && is_about_rights(&error) => {
                let hint = "may not list the shards: their limits are then known only from what the service refuses";
                self.push("ListShards", stream, Found::Spared, hint);
            }
            Err(error) => self.failed("ListShards", stream, &error),
        }
    }

    async fn input(&mut self, probe: &StreamProbe, stream: &str) {
        let shard = match probe.first_shard().await {
            Ok(Some(shard)) => shard,
            Ok(None) => return self.push("ListShards", stream, Found::Failed, "the stream has no shards"),
            Err(error) => return self.failed("ListShards", stream, &error),
        };
        self.ok("ListShards", stream, "");
        match probe.iterator(&shard).await {
            Ok(()) => self.ok("GetShardIterator", &shard, ""),
            Err(error) => self.failed("GetShardIterator", &shard, &error),
        }
    }

    async fn consumer(&mut self, probe: &StreamProbe, stream_arn: Option<&str>, name: &str) {
        let Some(stream_arn) = stream_arn else {
            let hint =
                "mode `extended` must learn the stream's ARN: allow kinesis:DescribeStreamSummary, or write the ARN";
            return self.push("DescribeStreamConsumer", name, Found::Denied, hint);
        };
        match probe.consumer(stream_arn, name).await {
            Ok(()) => self.ok("DescribeStreamConsumer", name, "is registered"),
            Err(error) if error.kind() == FailureKind::NotFound => {
                let hint = "will be registered at the first start, which needs kinesis:RegisterStreamConsumer";
                self.push("DescribeStreamConsumer", name, Found::Ok, hint);
            }
            Err(error) => self.failed("DescribeStreamConsumer", name, &error),
        }
    }

    async fn leases(&mut self, connection: &Connection, spec: &kinesis::Spec, consumer: &str) {
        let table = spec.lease_table.as_deref().unwrap_or(consumer);
        let connection = match &spec.lease_endpoint {
            None => connection.clone(),
            Some(endpoint) => {
                let settings = ConnectionSettings { endpoint: Some(endpoint.clone()), ..spec.connection.clone() };
                match Box::pin(aws::connect(&settings)).await {
                    Ok(connection) => connection,
                    Err(error) => return self.failed("connect", "lease table", &error),
                }
            }
        };
        let probe = TableProbe::new(&connection, table);
        match probe.describe().await {
            Ok(status) => self.ok("DescribeTable", table, &format!("lease table is {status}")),
            Err(error) if error.kind() == FailureKind::NotFound => {
                let hint = "the lease table will be created at the first start, which needs dynamodb:CreateTable";
                self.push("DescribeTable", table, Found::Ok, hint);
            }
            Err(error) => self.failed("DescribeTable", table, &error),
        }
    }

    fn ok(&mut self, tried: &'static str, resource: &str, hint: &str) {
        self.push(tried, resource, Found::Ok, hint);
    }

    fn spared(&mut self, tried: &'static str, resource: &str) {
        self.push(tried, resource, Found::Spared, "denied, but bindd works without");
    }

    fn failed(&mut self, tried: &'static str, resource: &str, error: &BindingError) {
        self.push(tried, resource, found(error.kind()), &hint(tried, error));
    }

    fn push(&mut self, tried: &'static str, resource: &str, result: Found, hint: &str) {
        self.findings.push(Finding { tried, resource: resource.to_owned(), result, hint: hint.to_owned() });
    }
}

/// Whether the component offers an operation that needs `GetItem`.
fn reads(spec: &dynamodb::Spec) -> bool {
    operations(spec).into_iter().any(|operation| matches!(operation, "get" | "transactGet"))
}

/// Denied for want of a permission, not because the credentials mean nothing.
fn is_about_rights(error: &BindingError) -> bool {
    error.details().iter().any(|(key, code)| *key == "code" && code.starts_with("AccessDenied"))
}

const fn found(kind: FailureKind) -> Found {
    match kind {
        FailureKind::Denied => Found::Denied,
        FailureKind::NotFound => Found::Missing,
        FailureKind::Transient | FailureKind::TimedOut | FailureKind::Throttled => Found::Unreachable,
        FailureKind::Unavailable => Found::Anonymous,
        FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::Conflict
        | FailureKind::Permanent
        | FailureKind::Unsupported
        | FailureKind::Closed => Found::Failed,
    }
}

fn hint(tried: &str, error: &BindingError) -> String {
    let advice = match error.kind() {
        FailureKind::Denied if is_about_rights(error) => "`bindd policy` prints what to allow",
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
