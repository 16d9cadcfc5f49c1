//! One `GetRecords` call, and its response without the types of the SDK.

use super::super::failure::{CallError, classify};
use super::super::{Connection, StreamRef};
use super::record::WireRecord;
use crate::domain::ShardId;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use std::time::Duration;

/// The response to a call.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) records: Vec<WireRecord>,
    /// `None` at the end of a shard.
    pub(super) next_iterator: Option<String>,
    /// `MillisBehindLatest`
    pub(super) behind: Option<Duration>,
    pub(super) children: Vec<ShardId>,
}

/// Requests at most `limit` records.
pub(super) async fn get_records(
    connection: &Connection,
    client: &Client,
    stream: &StreamRef,
    iterator: &str,
    limit: usize,
) -> Result<Page, CallError> {
    let _permit = connection.permit().await;
    let call = client.get_records().shard_iterator(iterator).limit(i32::try_from(limit).unwrap_or(i32::MAX));
    let call = call.set_stream_arn(stream.arn().map(str::to_owned));
    call.send().await.map(Page::from).map_err(|error| classify("Kinesis: GetRecords", error))
}

impl From<GetRecordsOutput> for Page {
    fn from(output: GetRecordsOutput) -> Self {
        let children = output.child_shards.unwrap_or_default();
        Self {
            records: output.records.into_iter().map(WireRecord::from).collect(),
            next_iterator: output.next_shard_iterator.filter(|iterator| !iterator.is_empty()),
            behind: output
                .millis_behind_latest
                .and_then(|millis| u64::try_from(millis).ok())
                .map(Duration::from_millis),
            children: children.iter().map(|child| ShardId::new(child.shard_id())).collect(),
        }
    }
}
