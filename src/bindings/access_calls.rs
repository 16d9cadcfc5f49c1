//! Single calls of Kinesis and DynamoDB that show whether access is allowed. None of them writes.
//!
//! Errors are those that the service returned.

use crate::aws::{CallError, Connection, StreamRef, classify};
use crate::domain::{BindingError, FailureKind};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, RecordDistributionStrategy, ShardIteratorType};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::Blob;
use aws_smithy_types::config_bag::ConfigBag;
use std::sync::{Arc, OnceLock};

/// The ends of AWS's host names in all partitions, from the endpoint tables of its SDKs.
const AWS_HOSTS: [&str; 14] = [
    ".amazonaws.com",
    ".api.aws",
    ".amazonaws.com.cn",
    ".api.amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".api.amazonwebservices.eu",
    ".c2s.ic.gov",
    ".api.aws.ic.gov",
    ".sc2s.sgov.gov",
    ".api.aws.scloud",
    ".cloud.adc-e.uk",
    ".api.cloud-aws.adc-e.uk",
    ".csp.hci.ic.gov",
    ".api.aws.hci.ic.gov",
];

/// From `DescribeStreamSummary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamSummary {
    pub(super) arn: String,
    /// Such as `ACTIVE`.
    pub(super) status: String,
    /// `RecordDistributionStrategy` is `AUTO`, so records have no order by key.
    pub(super) is_auto: bool,
}

/// Whose service is at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndpointKind {
    Aws,
    /// An emulator or a gateway.
    Other,
}

#[derive(Debug)]
pub(super) struct StreamCalls {
    client: aws_sdk_kinesis::Client,
    /// Set if the component names the stream by ARN; otherwise `name` is.
    arn: Option<String>,
    name: Option<String>,
    host: HostRecorder,
}

impl StreamCalls {
    pub(super) fn new(connection: &Connection, stream: &StreamRef) -> Self {
        let arn = stream.arn().map(str::to_owned);
        let name = arn.is_none().then(|| stream.name().to_owned());
        Self { client: connection.kinesis(), arn, name, host: HostRecorder::default() }
    }

    /// Known after the first call. Taken from the host of a request that was sent, because many settings of the SDK can
    /// change the endpoint.
    #[must_use]
    pub(super) fn endpoint(&self) -> EndpointKind {
        self.host.endpoint()
    }

    /// `DescribeStreamSummary`
    pub(super) async fn describe(&self) -> Result<StreamSummary, BindingError> {
        let call =
            self.client.describe_stream_summary().set_stream_name(self.name.clone()).set_stream_arn(self.arn.clone());
        let output = call.customize().interceptor(self.host.clone()).send().await;
        let output = output.map_err(|error| classify("Kinesis: DescribeStreamSummary", error))?;
        let summary = output.stream_description_summary;
        Ok(summary.map_or_else(
            || StreamSummary { arn: String::new(), status: "UNKNOWN".to_owned(), is_auto: false },
            |summary| StreamSummary {
                status: summary.stream_status.as_str().to_owned(),
                is_auto: summary.record_distribution_strategy == Some(RecordDistributionStrategy::Auto),
                arn: summary.stream_arn,
            },
        ))
    }

    /// `ListShards`: the first shard's id, if there is any.
    pub(super) async fn first_shard(&self) -> Result<Option<String>, BindingError> {
        let call = self.client.list_shards().set_stream_name(self.name.clone()).set_stream_arn(self.arn.clone());
        let output = call.max_results(1).customize().interceptor(self.host.clone()).send().await;
        let output = output.map_err(|error| classify("Kinesis: ListShards", error))?;
        Ok(output.shards().first().map(|shard| shard.shard_id().to_owned()))
    }

    /// `GetShardIterator`: reads no record.
    pub(super) async fn iterator(&self, shard: &str) -> Result<(), BindingError> {
        let call = self.client.get_shard_iterator().set_stream_name(self.name.clone()).set_stream_arn(self.arn.clone());
        let call = call.shard_id(shard).shard_iterator_type(ShardIteratorType::Latest);
        let output = call.send().await;
        Ok(output.map(drop).map_err(|error| classify("Kinesis: GetShardIterator", error))?)
    }

    /// `DescribeStreamConsumer`: `NotFound` if it is not registered yet.
    pub(super) async fn consumer(&self, stream_arn: &str, name: &str) -> Result<(), BindingError> {
        let call = self.client.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        let output = call.send().await;
        Ok(output.map(drop).map_err(|error| classify("Kinesis: DescribeStreamConsumer", error))?)
    }

    /// `PutRecord` with `DryRun`, which AWS checks and does not store. An emulator may not know `DryRun` and would store the
    /// record, so nothing is sent, and the result is `None`, unless the endpoint is known as AWS's.
    pub(super) async fn dry_run(&self) -> Option<Result<(), BindingError>> {
        match self.endpoint() {
            EndpointKind::Aws => {}
            EndpointKind::Other => return None,
        }
        let call = self.client.put_record().set_stream_name(self.name.clone()).set_stream_arn(self.arn.clone());
        let call = call.dry_run(true).partition_key("bindd-check").data(Blob::new("bindd check"));
        Some(dry_run_result(call.send().await.map_err(|error| classify("Kinesis: PutRecord", error))))
    }

    /// As [`StreamCalls::dry_run`], with `PutRecords`.
    pub(super) async fn dry_run_batch(&self) -> Option<Result<(), BindingError>> {
        match self.endpoint() {
            EndpointKind::Aws => {}
            EndpointKind::Other => return None,
        }
        let call = self.client.put_records().set_stream_name(self.name.clone()).set_stream_arn(self.arn.clone());
        let entry =
            PutRecordsRequestEntry::builder().partition_key("bindd-check").data(Blob::new("bindd check")).build();
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Err(BindingError::new(FailureKind::Permanent, error.to_string()))),
        };
        let call = call.dry_run(true).records(entry);
        Some(dry_run_result(call.send().await.map_err(|error| classify("Kinesis: PutRecords", error))))
    }
}

/// AWS returns `DryRunOperationException` for a dry run that would succeed.
fn dry_run_result<T>(output: Result<T, CallError>) -> Result<(), BindingError> {
    match output {
        Ok(_) => Ok(()),
        Err(failed) if failed.is("DryRunOperationException") => Ok(()),
        Err(failed) => Err(failed.into()),
    }
}

#[derive(Debug)]
pub(super) struct TableCalls {
    client: aws_sdk_dynamodb::Client,
    table: String,
    host: HostRecorder,
}

impl TableCalls {
    pub(super) fn new(connection: &Connection, table: impl Into<String>) -> Self {
        Self { client: connection.dynamodb(), table: table.into(), host: HostRecorder::default() }
    }

    #[must_use]
    pub(super) fn endpoint(&self) -> EndpointKind {
        self.host.endpoint()
    }

    /// `DescribeTable`: the table's state, such as `ACTIVE`.
    pub(super) async fn describe(&self) -> Result<String, BindingError> {
        let call = self.client.describe_table().table_name(&self.table);
        let output = call.customize().interceptor(self.host.clone()).send().await;
        let output = output.map_err(|error| classify("DynamoDB: DescribeTable", error))?;
        let status = output.table.and_then(|table| table.table_status);
        Ok(status.map_or_else(|| "UNKNOWN".to_owned(), |status| status.as_str().to_owned()))
    }

    /// `GetItem` of a key that does not exist. The key's name is a guess: DynamoDB checks permissions first, so a
    /// `ValidationException` proves that the call is allowed.
    pub(super) async fn read(&self) -> Result<(), BindingError> {
        let key = AttributeValue::S(uuid::Uuid::new_v4().to_string());
        let call = self.client.get_item().table_name(&self.table).key("id", key);
        match call.send().await.map_err(|error| classify("DynamoDB: GetItem", error)) {
            Ok(_) => Ok(()),
            Err(failed) if failed.is("ValidationException") => Ok(()),
            Err(failed) => Err(failed.into()),
        }
    }
}

/// Records the host of the first request.
#[derive(Debug, Clone, Default)]
struct HostRecorder(Arc<OnceLock<String>>);

impl HostRecorder {
    fn endpoint(&self) -> EndpointKind {
        let is_aws = |host: &String| AWS_HOSTS.iter().any(|end| host.ends_with(end));
        if self.0.get().is_some_and(is_aws) { EndpointKind::Aws } else { EndpointKind::Other }
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for HostRecorder {
    fn name(&self) -> &'static str {
        "record the host"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let uri: Option<http::Uri> = context.request().uri().parse().ok();
        if let Some(host) = uri.as_ref().and_then(http::Uri::host) {
            self.0.get_or_init(|| host.to_lowercase());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_aws_are_trusted_with_a_dry_run() {
        for (host, endpoint) in [
            ("kinesis.eu-central-1.amazonaws.com", EndpointKind::Aws),
            ("123456789012.data-kinesis.cn-north-1.amazonaws.com.cn", EndpointKind::Aws),
            ("kinesis.eusc-de-east-1.amazonaws.eu", EndpointKind::Aws),
            ("vpce-1.kinesis.eu-west-1.vpce.amazonaws.com", EndpointKind::Aws),
            ("localhost", EndpointKind::Other),
            ("127.0.0.1", EndpointKind::Other),
            ("kinesis.amazonaws.com.evil.example", EndpointKind::Other),
            ("notamazonaws.com", EndpointKind::Other),
        ] {
            let recorder = HostRecorder::default();
            recorder.0.get_or_init(|| host.to_owned());
            assert_eq!(recorder.endpoint(), endpoint, "{host}");
        }
        assert_eq!(HostRecorder::default().endpoint(), EndpointKind::Other);
    }
}
