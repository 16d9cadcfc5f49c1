//! The shards of a stream, and which stream it is.

use super::super::failure::{CallError, classify};
use super::super::{Connection, StreamRef};
use super::time::{ResponseDate, timestamp};
use crate::domain::{
    FailureKind, HashKeyRange, Outcome, RecordDistribution, RetrievalError, Shard, ShardDirectory, ShardId,
    ShardListing, StreamDirectory, StreamIdentity, Timestamp,
};
use async_trait::async_trait;
use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
use aws_sdk_kinesis::types::{
    HashKeyRange as SdkHashKeyRange, RecordDistributionStrategy, Shard as SdkShard, StreamDescriptionSummary,
};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// How often a listing starts again because its token expired; a token is valid for 300 s.
const MAX_RESTARTS: u32 = 3;
/// Codes after which the stream is not described again: the permission is missing, or an emulator does not have the
/// operation. Refused credentials have other codes and are temporary.
const NOT_ALLOWED: [&str; 3] = ["AccessDeniedException", "AccessDenied", "UnknownOperationException"];

/// No stream keeps its records for a shorter time (Developer Guide, "Changing the data retention period").
const MIN_RETENTION_HOURS: u32 = 24;

#[derive(Debug)]
pub struct Directory {
    connection: Connection,
    client: aws_sdk_kinesis::Client,
    stream: StreamRef,
    /// `DescribeStreamSummary` is not allowed.
    is_denied: AtomicBool,
    /// The stream distributes records itself.
    is_auto: AtomicBool,
    /// 0 if it is not known.
    retention_hours: AtomicU32,
}

impl Directory {
    /// The stream need not exist yet.
    #[must_use]
    pub fn new(connection: &Connection, stream: StreamRef) -> Self {
        Self {
            connection: connection.clone(),
            client: connection.kinesis(),
            stream,
            is_denied: AtomicBool::new(false),
            is_auto: AtomicBool::new(false),
            retention_hours: AtomicU32::new(0),
        }
    }

    async fn pages(&self) -> Result<(Vec<Shard>, Timestamp), CallError> {
        let (first, listed_at) = self.page(None).await?;
        let mut shards: Vec<Shard> = first.shards().iter().map(shard).collect();
        let mut token = first.next_token;
        let mut used = HashSet::new();
        while let Some(next) = token {
            if !used.insert(next.clone()) {
                return Err(repeated_token());
            }
            let (page, _) = self.page(Some(next)).await?;
            shards.extend(page.shards().iter().map(shard));
            token = page.next_token;
        }
        Ok((shards, listed_at))
    }

    /// The service accepts either a token or a stream.
    async fn page(&self, token: Option<String>) -> Result<(ListShardsOutput, Timestamp), CallError> {
        let _permit = self.connection.permit().await;
        let call = self.client.list_shards();
        let call = match (token, &self.stream) {
            (Some(token), _) => call.next_token(token),
            (None, StreamRef::Name(name)) => call.stream_name(name),
            (None, StreamRef::Arn { arn, .. }) => call.stream_arn(arn),
        };
        let date = ResponseDate::default();
        let output = call.customize().interceptor(date.clone()).send().await;
        let output = output.map_err(|error| classify("Kinesis: ListShards", error))?;
        Ok((output, date.or_local(&self.client)))
    }

    /// Where the stream was looked for, since a missing stream is often one in another region.
    fn place(&self) -> String {
        let region = self.connection.region().unwrap_or("unknown");
        let endpoint = self.connection.endpoint().map(|endpoint| format!(", endpoint {endpoint}")).unwrap_or_default();
        format!("region {region}{endpoint}")
    }

    /// What the configuration says about the stream, without a call.
    fn configured(&self) -> StreamIdentity {
        StreamIdentity { stream: self.stream.to_string().into(), created: None }
    }

    async fn describe(&self) -> Result<StreamIdentity, RetrievalError> {
        let _permit = self.connection.permit().await;
        let summary = match describe(&self.client, &self.stream).await {
            Ok(summary) => summary,
            Err(error) if NOT_ALLOWED.iter().any(|code| error.is(code)) => {
                tracing::warn!(
                    stream = %self.stream,
                    reason = %error.text,
                    "DescribeStreamSummary is not allowed; a stream that is deleted and created again will not be noticed"
                );
                self.is_denied.store(true, Ordering::Relaxed);
                self.retention_hours.store(MIN_RETENTION_HOURS, Ordering::Relaxed);
                return Ok(self.configured());
            }
            Err(error) => return Err(error.about_stream(&self.stream, &self.place(), "describing")),
        };
        let is_auto = summary.as_ref().is_some_and(|summary| distribution(summary) == RecordDistribution::Auto);
        self.is_auto.store(is_auto, Ordering::Relaxed);
        let hours = summary.as_ref().and_then(|summary| u32::try_from(summary.retention_period_hours).ok());
        self.retention_hours.store(hours.unwrap_or(0), Ordering::Relaxed);
        Ok(summary.map_or_else(|| self.configured(), |summary| identity(&summary, self.configured())))
    }
}

#[async_trait]
impl ShardDirectory for Directory {
    async fn list(&self) -> Result<ShardListing, RetrievalError> {
        let mut restarts = 0;
        let (shards, listed_at) = loop {
            match self.pages().await {
                Ok(listing) => break listing,
                Err(error) if error.is("ExpiredNextTokenException") && restarts < MAX_RESTARTS => restarts += 1,
                Err(error) => return Err(error.about_stream(&self.stream, &self.place(), "listing the shards of")),
            }
        };
        Ok(ShardListing { shards, listed_at })
    }
}

#[async_trait]
impl StreamDirectory for Directory {
    async fn identify(&self) -> Result<StreamIdentity, RetrievalError> {
        if self.is_denied.load(Ordering::Relaxed) { Ok(self.configured()) } else { self.describe().await }
    }

    fn distribution(&self) -> RecordDistribution {
        if self.is_auto.load(Ordering::Relaxed) { RecordDistribution::Auto } else { RecordDistribution::ByPartitionKey }
    }

    fn retention(&self) -> Option<Duration> {
        match self.retention_hours.load(Ordering::Relaxed) {
            0 => None,
            hours => Some(Duration::from_secs(u64::from(hours) * 3_600)),
        }
    }
}

pub(super) async fn describe(
    client: &aws_sdk_kinesis::Client,
    stream: &StreamRef,
) -> Result<Option<StreamDescriptionSummary>, CallError> {
    let call = match stream {
        StreamRef::Name(name) => client.describe_stream_summary().stream_name(name),
        StreamRef::Arn { arn, .. } => client.describe_stream_summary().stream_arn(arn),
    };
    let output = call.send().await.map_err(|error| classify("Kinesis: DescribeStreamSummary", error))?;
    Ok(output.stream_description_summary)
}

/// Emulators may leave the ARN empty.
fn identity(summary: &StreamDescriptionSummary, configured: StreamIdentity) -> StreamIdentity {
    let arn = summary.stream_arn.as_str();
    let stream = if StreamIdentity::is_arn(arn) { arn.into() } else { configured.stream };
    StreamIdentity { stream, created: timestamp(&summary.stream_creation_timestamp) }
}

fn distribution(summary: &StreamDescriptionSummary) -> RecordDistribution {
    match summary.record_distribution_strategy() {
        Some(RecordDistributionStrategy::Auto) => RecordDistribution::Auto,
        Some(_) | None => RecordDistribution::ByPartitionKey,
    }
}

/// A listing that starts again would not end, and the shards so far are not all of them.
fn repeated_token() -> CallError {
    let text = "Kinesis: ListShards returned the same NextToken twice".to_owned();
    CallError::new(FailureKind::Transient, Outcome::NotDone, text)
}

impl CallError {
    fn about_stream(mut self, stream: &StreamRef, place: &str, doing: &str) -> RetrievalError {
        if self.kind == FailureKind::NotFound {
            return RetrievalError::NotFound { what: format!("the stream {stream} ({place})"), source: self.source };
        }
        // The stream is being created or changed.
        if self.is("ResourceInUseException") {
            self.kind = FailureKind::Transient;
        }
        self.into_retrieval_error(&format!("{doing} {stream}"))
    }
}

fn shard(sdk: &SdkShard) -> Shard {
    let parents = [sdk.parent_shard_id(), sdk.adjacent_parent_shard_id()];
    Shard {
        id: ShardId::new(sdk.shard_id()),
        parents: parents.into_iter().flatten().map(ShardId::new).collect(),
        hash_range: sdk.hash_key_range().and_then(hash_range),
        is_open: sdk.sequence_number_range().is_none_or(|range| range.ending_sequence_number().is_none()),
    }
}

fn hash_range(sdk: &SdkHashKeyRange) -> Option<HashKeyRange> {
    let start = sdk.starting_hash_key().parse().ok()?;
    let end = sdk.ending_hash_key().parse().ok()?;
    Some(HashKeyRange { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::types::{SequenceNumberRange, StreamStatus};
    use aws_smithy_types::DateTime;

    #[test]
    fn a_described_stream_is_identified_by_its_arn_and_its_creation() {
        let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders";
        for (described, expected) in [(arn, arn), ("", "orders")] {
            let summary = StreamDescriptionSummary::builder()
                .stream_name("orders")
                .stream_arn(described)
                .stream_status(StreamStatus::Active)
                .retention_period_hours(24)
                .stream_creation_timestamp(DateTime::from_millis(1_795_256_000_123))
                .set_enhanced_monitoring(Some(Vec::new()))
                .open_shard_count(1)
                .build()
                .unwrap();
            let configured = StreamIdentity { stream: "orders".into(), created: None };
            let created = Some(Timestamp::from_millis(1_795_256_000_123));
            assert_eq!(distribution(&summary), RecordDistribution::ByPartitionKey);
            assert_eq!(identity(&summary, configured), StreamIdentity { stream: expected.into(), created });
        }
    }

    #[test]
    fn a_closed_child_of_a_merge_is_converted_in_full() {
        let range = SdkHashKeyRange::builder().starting_hash_key("0").ending_hash_key(u128::MAX.to_string());
        let numbers = SequenceNumberRange::builder().starting_sequence_number("1").ending_sequence_number("2");
        let sdk = SdkShard::builder()
            .shard_id("shardId-2")
            .parent_shard_id("shardId-0")
            .adjacent_parent_shard_id("shardId-1")
            .hash_key_range(range.build().unwrap())
            .sequence_number_range(numbers.build().unwrap())
            .build()
            .unwrap();
        let expected = Shard {
            id: ShardId::new("shardId-2"),
            parents: vec![ShardId::new("shardId-0"), ShardId::new("shardId-1")],
            hash_range: Some(HashKeyRange { start: 0, end: u128::MAX }),
            is_open: false,
        };
        assert_eq!(shard(&sdk), expected);
    }
}
