//! The response to `GetRecords`, without the types of the SDK.

use super::record::WireRecord;
use crate::domain::ShardId;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) records: Vec<WireRecord>,
    /// `None` at the end of a shard.
    pub(super) next_iterator: Option<String>,
    /// `MillisBehindLatest`
    pub(super) behind: Option<Duration>,
    pub(super) children: Vec<ShardId>,
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
