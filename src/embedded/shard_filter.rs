//! The `ShardFilter` of ListShards, which ferrokinesis ignores. The KCL needs it: it first lists the shards that were open
//! at the trim horizon. If it gets others too, it finds overlapping hash ranges and does not start.

use super::protocol::{JSON, error_response, response, unreadable_response};
use axum::body::{Body, to_bytes};
use axum::response::Response;
use ferrokinesis::sequence::parse_sequence;
use ferrokinesis::store::Store;
use serde_json::Value;

/// ferrokinesis sets the start of a child so many milliseconds after the end of its parents.
const CHILD_DELAY: u64 = 1_000;
const HOUR: u64 = 3_600_000;

/// Which shards to list; times in milliseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ShardFilter {
    /// Shards after the one with this id.
    After(String),
    Open,
    /// Shards that were open at this time.
    At(u64),
    /// Shards that were open at this time or later.
    From(u64),
}

impl ShardFilter {
    /// Reads the filter of a request; `None` where there is none.
    ///
    /// # Errors
    /// An error response for a filter that AWS does not know.
    pub(super) async fn read(store: &Store, request: &Value, now: u64) -> Result<Option<Self>, Response> {
        let filter = &request["ShardFilter"];
        if filter.is_null() {
            return Ok(None);
        }
        let name = store.resolve_stream_name(request).unwrap_or_default();
        let hours = store.get_stream(&name).await.map_or(24, |stream| u64::from(stream.retention_period_hours));
        Self::parse(filter, now.saturating_sub(hours * HOUR)).map(Some).ok_or_else(|| {
            let text = "ShardFilter needs a Type, and ShardId or Timestamp where the Type says so";
            error_response("ValidationException", text)
        })
    }

    fn parse(filter: &Value, horizon: u64) -> Option<Self> {
        let time = || filter["Timestamp"].as_f64().map(|seconds| (seconds * 1_000.0) as u64);
        Some(match filter["Type"].as_str()? {
            "AFTER_SHARD_ID" => Self::After(filter["ShardId"].as_str()?.to_owned()),
            "AT_LATEST" => Self::Open,
            "AT_TRIM_HORIZON" => Self::At(horizon),
            "FROM_TRIM_HORIZON" => Self::From(horizon),
            "AT_TIMESTAMP" => Self::At(time()?.max(horizon)),
            "FROM_TIMESTAMP" => Self::From(time()?.max(horizon)),
            _ => return None,
        })
    }

    /// Removes the other shards from a response of ListShards.
    pub(super) async fn apply(&self, original: Response) -> Response {
        if !original.status().is_success() {
            return original;
        }
        let (parts, body) = original.into_parts();
        let listed = to_bytes(body, usize::MAX).await.map(|bytes| serde_json::from_slice::<Value>(&bytes));
        let Ok(Ok(mut listed)) = listed else {
            return unreadable_response();
        };
        if let Some(shards) = listed["Shards"].as_array_mut() {
            shards.retain(|shard| self.matches(shard));
        }
        response(parts.status, JSON, Body::from(listed.to_string()))
    }

    fn matches(&self, shard: &Value) -> bool {
        let numbers = &shard["SequenceNumberRange"];
        let ended = numbers["EndingSequenceNumber"].as_str().map(|number| time_of(number, |seq| seq.seq_time));
        let ended_after = |time: u64| ended.is_none_or(|ended| ended > time);
        match self {
            Self::After(id) => shard["ShardId"].as_str().is_some_and(|shard_id| shard_id > id.as_str()),
            Self::Open => ended.is_none(),
            Self::From(time) => ended_after(*time),
            Self::At(time) => opened(shard) <= *time && ended_after(*time),
        }
    }
}

/// When a shard was opened; 0 for a shard without parents, which is as old as its stream.
fn opened(shard: &Value) -> u64 {
    match shard["SequenceNumberRange"]["StartingSequenceNumber"].as_str() {
        Some(number) if shard["ParentShardId"].is_string() => {
            time_of(number, |seq| Some(seq.shard_create_time)).saturating_sub(CHILD_DELAY)
        }
        _ => 0,
    }
}

fn time_of(number: &str, time: impl Fn(&ferrokinesis::sequence::SeqObj) -> Option<u64>) -> u64 {
    parse_sequence(number).ok().as_ref().and_then(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrokinesis::sequence::{MAX_SEQ_IX, SeqObj, stringify_sequence};
    use serde_json::json;

    const NOW: u64 = 1_800_000_000_000;

    fn number(created: u64, ended: Option<u64>) -> String {
        stringify_sequence(&SeqObj {
            shard_create_time: created,
            seq_ix: ended.map(|_| MAX_SEQ_IX),
            byte1: None,
            seq_time: ended,
            seq_rand: None,
            shard_ix: 0,
            version: 2,
        })
    }

    /// A parent that was split at `NOW`, and a child.
    fn parent_and_child() -> [Value; 2] {
        let created = NOW - 10 * HOUR;
        let parent = json!({"ShardId": "shardId-000000000000", "SequenceNumberRange": {
            "StartingSequenceNumber": number(created, None), "EndingSequenceNumber": number(created, Some(NOW))}});
        let child = json!({"ShardId": "shardId-000000000001", "ParentShardId": "shardId-000000000000",
            "SequenceNumberRange": {"StartingSequenceNumber": number(NOW + CHILD_DELAY, None)}});
        [parent, child]
    }

    #[test]
    fn each_filter_matches_its_shards() {
        let at = |kind: &str, millis: u64| json!({"Type": kind, "Timestamp": millis / 1_000});
        for (filter, expected) in [
            (json!({"Type": "AT_TRIM_HORIZON"}), [true, false]),
            (json!({"Type": "FROM_TRIM_HORIZON"}), [true, true]),
            (json!({"Type": "AT_LATEST"}), [false, true]),
            (json!({"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000000"}), [false, true]),
            (at("AT_TIMESTAMP", NOW - 1_000), [true, false]),
            (at("AT_TIMESTAMP", NOW), [false, true]),
            (at("FROM_TIMESTAMP", NOW - 1_000), [true, true]),
            (at("FROM_TIMESTAMP", NOW), [false, true]),
            (at("AT_TIMESTAMP", 0), [true, false]),
        ] {
            let filter = ShardFilter::parse(&filter, NOW - 24 * HOUR).unwrap();
            assert_eq!(parent_and_child().map(|shard| filter.matches(&shard)), expected, "{filter:?}");
        }
    }

    #[test]
    fn an_invalid_filter_is_rejected() {
        for filter in [json!({}), json!({"Type": "SOME"}), json!({"Type": "AT_TIMESTAMP"}), json!("AT_LATEST")] {
            assert_eq!(ShardFilter::parse(&filter, 0), None, "{filter}");
        }
    }
}
