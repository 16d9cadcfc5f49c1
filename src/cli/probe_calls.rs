//! Calls that find out whether a component may do its work, and write nothing.

use crate::aws::{CallError, Connection, StreamRef, classify};
use crate::domain::{BindingError, FailureKind};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::Blob;
use aws_smithy_types::config_bag::ConfigBag;
use std::sync::{Arc, OnceLock};

/// The ends of AWS's host names, of all partitions, as its SDKs' endpoint tables have them.
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

/// What a stream says about itself, and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// Its ARN.
    pub arn: String,
    /// Its state, such as `ACTIVE`.
    pub status: String,
}

/// Who answers under the address of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answerer {
    /// A host of AWS.
    Aws,
    /// An emulator, a gateway, an address of the user's own.
    Other,
}

/// Probes one stream.
#[derive(Debug)]
pub struct StreamProbe {
    client: aws_sdk_kinesis::Client,
    stream: StreamRef,
    host: NoteHost,
}

impl StreamProbe {
    /// For one stream.
    #[must_use]
    pub fn new(connection: &Connection, stream: StreamRef) -> Self {
        Self { client: connection.kinesis(), stream, host: NoteHost::default() }
    }

    /// Who answered; known after the first call. The SDK has many settings for addresses, so the address of a request that
    /// was sent is looked at, not the settings.
    #[must_use]
    pub fn answerer(&self) -> Answerer {
        self.host.answerer()
    }

    /// `DescribeStreamSummary`
    ///
    /// # Errors
    /// As the service answered.
    pub async fn describe(&self) -> Result<StreamFacts, BindingError> {
        let call = match &self.stream {
            StreamRef::Name(name) => self.client.describe_stream_summary().stream_name(name),
            StreamRef::Arn { arn, .. } => self.client.describe_stream_summary().stream_arn(arn),
        };
        let answer = call.customize().interceptor(self.host.clone()).send().await;
        let answer = answer.map_err(|error| classify("Kinesis: DescribeStreamSummary", error))?;
        let summary = answer.stream_description_summary;
        Ok(summary.map_or_else(
            || StreamFacts { arn: String::new(), status: "UNKNOWN".to_owned() },
            |summary| StreamFacts { status: summary.stream_status.as_str().to_owned(), arn: summary.stream_arn },
        ))
    }

    /// `ListShards`: the first shard's id, if there is any.
    ///
    /// # Errors
    /// As the service answered.
    pub async fn first_shard(&self) -> Result<Option<String>, BindingError> {
        let call = match &self.stream {
            StreamRef::Name(name) => self.client.list_shards().stream_name(name),
            StreamRef::Arn { arn, .. } => self.client.list_shards().stream_arn(arn),
        };
        let answer = call.max_results(1).customize().interceptor(self.host.clone()).send().await;
        let answer = answer.map_err(|error| classify("Kinesis: ListShards", error))?;
        Ok(answer.shards().first().map(|shard| shard.shard_id().to_owned()))
    }

    /// `GetShardIterator`: reads no record.
    ///
    /// # Errors
    /// As the service answered.
    pub async fn iterator(&self, shard: &str) -> Result<(), BindingError> {
        let call = match &self.stream {
            StreamRef::Name(name) => self.client.get_shard_iterator().stream_name(name),
            StreamRef::Arn { arn, .. } => self.client.get_shard_iterator().stream_arn(arn),
        };
        let call = call.shard_id(shard).shard_iterator_type(ShardIteratorType::Latest);
        let answer = call.send().await;
        Ok(answer.map(drop).map_err(|error| classify("Kinesis: GetShardIterator", error))?)
    }

    /// `DescribeStreamConsumer`
    ///
    /// # Errors
    /// As the service answered; `NotFound` when nobody registered it yet.
    pub async fn consumer(&self, stream_arn: &str, name: &str) -> Result<(), BindingError> {
        let call = self.client.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        let answer = call.send().await;
        Ok(answer.map(drop).map_err(|error| classify("Kinesis: DescribeStreamConsumer", error))?)
    }

    /// `PutRecord` with `DryRun`, which AWS checks and does not store. Others may not know `DryRun` and would store the
    /// record, so nothing is sent unless AWS answered before.
    ///
    /// # Errors
    /// As the service answered. `None` when nothing was sent.
    pub async fn dry_run(&self) -> Option<Result<(), BindingError>> {
        match self.answerer() {
            Answerer::Aws => {}
            Answerer::Other => return None,
        }
        let call = match &self.stream {
            StreamRef::Name(name) => self.client.put_record().stream_name(name),
            StreamRef::Arn { arn, .. } => self.client.put_record().stream_arn(arn),
        };
        let call = call.dry_run(true).partition_key("bindd-check").data(Blob::new("bindd check"));
        Some(dry(call.send().await.map_err(|error| classify("Kinesis: PutRecord", error))))
    }

    /// As [`StreamProbe::dry_run`], by `PutRecords`.
    ///
    /// # Errors
    /// As the service answered. `None` when nothing was sent.
    pub async fn dry_run_of_batch(&self) -> Option<Result<(), BindingError>> {
        match self.answerer() {
            Answerer::Aws => {}
            Answerer::Other => return None,
        }
        let call = match &self.stream {
            StreamRef::Name(name) => self.client.put_records().stream_name(name),
            StreamRef::Arn { arn, .. } => self.client.put_records().stream_arn(arn),
        };
        let entry =
            PutRecordsRequestEntry::builder().partition_key("bindd-check").data(Blob::new("bindd check")).build();
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Err(BindingError::new(FailureKind::Permanent, error.to_string()))),
        };
        let call = call.dry_run(true).records(entry);
        Some(dry(call.send().await.map_err(|error| classify("Kinesis: PutRecords", error))))
    }
}

/// The result of a dry run: AWS answers one that may be done with an error of its own.
fn dry<T>(answer: Result<T, CallError>) -> Result<(), BindingError> {
    match answer {
        Ok(_) => Ok(()),
        Err(failed) if failed.is("DryRunOperationException") => Ok(()),
        Err(failed) => Err(failed.into()),
    }
}

/// Probes one table.
#[derive(Debug)]
pub struct TableProbe {
    client: aws_sdk_dynamodb::Client,
    table: String,
    host: NoteHost,
}

impl TableProbe {
    /// For one table.
    #[must_use]
    pub fn new(connection: &Connection, table: impl Into<String>) -> Self {
        Self { client: connection.dynamodb(), table: table.into(), host: NoteHost::default() }
    }

    /// Who answered; known after the first call.
    #[must_use]
    pub fn answerer(&self) -> Answerer {
        self.host.answerer()
    }

    /// `DescribeTable`: the table's state, such as `ACTIVE`.
    ///
    /// # Errors
    /// As the service answered.
    pub async fn describe(&self) -> Result<String, BindingError> {
        let call = self.client.describe_table().table_name(&self.table);
        let answer = call.customize().interceptor(self.host.clone()).send().await;
        let answer = answer.map_err(|error| classify("DynamoDB: DescribeTable", error))?;
        let status = answer.table.and_then(|table| table.table_status);
        Ok(status.map_or_else(|| "UNKNOWN".to_owned(), |status| status.as_str().to_owned()))
    }

    /// `GetItem` of a key that nobody has. Its name is a guess: the service looks at permissions first, so a complaint
    /// about the key's form proves that the call is allowed.
    ///
    /// # Errors
    /// As the service answered.
    pub async fn read(&self) -> Result<(), BindingError> {
        let key = AttributeValue::S(uuid::Uuid::new_v4().to_string());
        let call = self.client.get_item().table_name(&self.table).key("id", key);
        match call.send().await.map_err(|error| classify("DynamoDB: GetItem", error)) {
            Ok(_) => Ok(()),
            Err(failed) if failed.is("ValidationException") => Ok(()),
            Err(failed) => Err(failed.into()),
        }
    }
}

/// Catches the host that a request goes to.
#[derive(Debug, Clone, Default)]
struct NoteHost(Arc<OnceLock<String>>);

impl NoteHost {
    fn answerer(&self) -> Answerer {
        let is_aws = |host: &String| AWS_HOSTS.iter().any(|end| host.ends_with(end));
        if self.0.get().is_some_and(is_aws) { Answerer::Aws } else { Answerer::Other }
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for NoteHost {
    fn name(&self) -> &'static str {
        "note the host"
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
        for (host, answerer) in [
            ("kinesis.eu-central-1.amazonaws.com", Answerer::Aws),
            ("123456789012.data-kinesis.cn-north-1.amazonaws.com.cn", Answerer::Aws),
            ("kinesis.eusc-de-east-1.amazonaws.eu", Answerer::Aws),
            ("vpce-1.kinesis.eu-west-1.vpce.amazonaws.com", Answerer::Aws),
            ("localhost", Answerer::Other),
            ("127.0.0.1", Answerer::Other),
            ("kinesis.amazonaws.com.evil.example", Answerer::Other),
            ("notamazonaws.com", Answerer::Other),
        ] {
            let note = NoteHost::default();
            note.0.get_or_init(|| host.to_owned());
            assert_eq!(note.answerer(), answerer, "{host}");
        }
        assert_eq!(NoteHost::default().answerer(), Answerer::Other);
    }
}
