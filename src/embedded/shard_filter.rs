//! The `ShardFilter` of ListShards, which the emulator ignores. The KCL needs it: its first listing asks for the shards
//! that were open at the trim horizon, and with others it finds overlapping hash ranges and does not start.

use super::shim::{self, JSON, refusal};
use axum::body::{Body, to_bytes};
use axum::response::Response;
use ferrokinesis::sequence::parse_sequence;
use ferrokinesis::store::Store;
use serde_json::Value;

/// The emulator dates a child so much after the end of its parents, in milliseconds.
const CHILD_DELAY: u64 = 1_000;
const HOUR: u64 = 3_600_000;

/// Which shards are asked for; times in milliseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ShardFilter {
    /// Those after the one with this id.
    After(String),
    /// Those that are open.
    Open,
    /// Those that were open at a time.
    At(u64),
    /// Those that were open at a time or later.
    From(u64),
}

impl ShardFilter {
    /// Reads the filter of a request; `None` where there is none.
    ///
    /// # Errors
    /// With the answer to a filter that is none of AWS's.
    pub(super) async fn read(store: &Store, asked: &Value, now: u64) -> Result<Option<Self>, Response> {
        let filter = &asked["ShardFilter"];
        if filter.is_null() {
            return Ok(None);
        }
        let name = store.resolve_stream_name(asked).unwrap_or_default();
        let hours = store.get_stream(&name).await.map_or(24, |stream| u64::from(stream.retention_period_hours));
        Self::of(filter, now.saturating_sub(hours * HOUR)).map(Some).ok_or_else(|| {
            let text = "ShardFilter needs a Type, and ShardId or Timestamp where the Type says so";
            refusal("ValidationException", text)
        })
    }

    fn of(filter: &Value, horizon: u64) -> Option<Self> {
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

    /// The answer to ListShards with these shards alone.
    pub(super) async fn apply(&self, answer: Response) -> Response {
        if !answer.status().is_success() {
            return answer;
        }
        let (parts, body) = answer.into_parts();
        let listed = to_bytes(body, usize::MAX).await.map(|bytes| serde_json::from_slice::<Value>(&bytes));
        let Ok(Ok(mut listed)) = listed else {
            return shim::broken_answer();
        };
        if let Some(shards) = listed["Shards"].as_array_mut() {
            shards.retain(|shard| self.takes(shard));
        }
        shim::answer(parts.status, JSON, Body::from(listed.to_string()))
    }

    fn takes(&self, shard: &Value) -> bool {
        let numbers = &shard["SequenceNumberRange"];
        let ended = numbers["EndingSequenceNumber"].as_str().map(|number| time_of(number, |seq| seq.seq_time));
        let ended_after = |time: u64| ended.is_none_or(|ended| ended > time);
        match self {
            Self::After(id) => shard["ShardId"].as_str().is_some_and(|own| own > id.as_str()),
            Self::Open => ended.is_none(),
            Self::From(time) => ended_after(*time),
            Self::At(time) => begun(shard) <= *time && ended_after(*time),
        }
    }
}

/// When a shard began. One without parents is as old as its stream.
fn begun(shard: &Value) -> u64 {
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
    fn family() -> [Value; 2] {
        let begun = NOW - 10 * HOUR;
        let parent = json!({"ShardId": "shardId-000000000000", "SequenceNumberRange": {
            "StartingSequenceNumber": number(begun, None), "EndingSequenceNumber": number(begun, Some(NOW))}});
        let child = json!({"ShardId": "shardId-000000000001", "ParentShardId": "shardId-000000000000",
            "SequenceNumberRange": {"StartingSequenceNumber": number(NOW + CHILD_DELAY, None)}});
        [parent, child]
    }

    #[test]
    fn each_filter_takes_its_shards() {
        let at = |kind: &str, millis: u64| json!({"Type": kind, "Timestamp": millis / 1_000});
        for (filter, taken) in [
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
            let read = ShardFilter::of(&filter, NOW - 24 * HOUR).unwrap();
            assert_eq!(family().map(|shard| read.takes(&shard)), taken, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        for filter in [json!({}), json!({"Type": "SOME"}), json!({"Type": "AT_TIMESTAMP"}), json!("AT_LATEST")] {
            assert_eq!(ShardFilter::of(&filter, 0), None, "{filter}");
        }
    }
}
