//! UpdateShardCount as AWS does it: by splits and merges, so that each new shard names its parents.
//!
//! ferrokinesis closes all shards and opens new ones without parents. A reader of such a stream does not know which shards
//! to read first, and a subscription to a closed shard ends without naming a child.

use super::protocol::{JSON, error_response, response, service_error_response};
use axum::body::Body;
use axum::response::Response;
use ferrokinesis::actions::{Operation, dispatch};
use ferrokinesis::error::KinesisErrorResponse;
use ferrokinesis::store::Store;
use ferrokinesis::types::{Shard, StreamStatus};
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a split or merge may take. It is immediate in ferrokinesis, but done in another task.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Boundaries computed for different counts differ by rounding. A boundary so near to the end of a shard is the same one.
const ROUNDING: u128 = 1 << 16;

#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenShard {
    id: String,
    /// The first hash key.
    start: u128,
    /// The last hash key.
    end: u128,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Split { shard: String, at: u128 },
    Merge { shard: String, adjacent: String },
}

/// The response to UpdateShardCount; `None` if ferrokinesis rejects the request, as AWS does.
pub(super) async fn corrected_response(store: &Store, body: &[u8]) -> Option<Response> {
    let request: &Value = &serde_json::from_slice(body).ok()?;
    let shard_limit = store.options.shard_limit;
    let name = store.resolve_stream_name(request).ok()?;
    let target = request["TargetShardCount"].as_u64().and_then(|count| u32::try_from(count).ok())?;
    let stream = store.get_stream(&name).await.ok()?;
    let open = open_shards(&stream.shards);
    let current = open.len();
    let is_valid = (1..=shard_limit).contains(&target) && request["ScalingType"] == "UNIFORM_SCALING";
    if !is_valid || current == target as usize || stream.stream_status != StreamStatus::Active {
        return None;
    }
    let splits: usize = open.iter().map(|shard| inner_boundaries(shard, target).count()).sum();
    if store.sum_open_shards().await as usize + splits > shard_limit as usize {
        let text = format!("splitting the shards of {name} would exceed the limit of {shard_limit} open shards");
        return Some(error_response("LimitExceededException", &text));
    }
    Some(match reshard(store, &name, target).await {
        Ok(()) => {
            let text = json!({
                "StreamName": name, "StreamARN": stream.stream_arn,
                "CurrentShardCount": current, "TargetShardCount": target,
            });
            response(StatusCode::OK, JSON, Body::from(text.to_string()))
        }
        Err(error) => service_error_response(&error),
    })
}

async fn reshard(store: &Store, name: &str, target: u32) -> Result<(), KinesisErrorResponse> {
    loop {
        let open = open_shards(&store.get_stream(name).await?.shards);
        let Some(step) = next_step(&open, target) else { return Ok(()) };
        let (operation, request) = match step {
            Step::Split { shard, at } => (
                Operation::SplitShard,
                json!({"StreamName": name, "ShardToSplit": shard, "NewStartingHashKey": at.to_string()}),
            ),
            Step::Merge { shard, adjacent } => (
                Operation::MergeShards,
                json!({"StreamName": name, "ShardToMerge": shard, "AdjacentShardToMerge": adjacent}),
            ),
        };
        dispatch(store, operation, request).await?;
        wait_until_active(store, name).await?;
    }
}

async fn wait_until_active(store: &Store, name: &str) -> Result<(), KinesisErrorResponse> {
    let active = async {
        while store.get_stream(name).await?.stream_status != StreamStatus::Active {
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    };
    let timed_out = || KinesisErrorResponse::server_error(None, Some("a split or merge timed out"));
    timeout(STEP_TIMEOUT, active).await.map_err(|_| timed_out())?
}

fn open_shards(shards: &[Shard]) -> Vec<OpenShard> {
    let open = shards.iter().filter(|shard| shard.sequence_number_range.ending_sequence_number.is_none());
    let mut open: Vec<OpenShard> = open
        .map(|shard| OpenShard {
            id: shard.shard_id.clone(),
            start: shard.hash_key_range.start_u128(),
            end: shard.hash_key_range.end_u128(),
        })
        .collect();
    open.sort_by_key(|shard| shard.start);
    open
}

/// The first hash key of the n-th of `target` equal shards.
fn boundary(n: u32, target: u32) -> u128 {
    let target = u128::from(target);
    // 2^128 / target, which does not fit for one shard; but the only boundary of one is 0.
    let width = u128::MAX / target + u128::from(u128::MAX % target == target - 1 && target > 1);
    u128::from(n).wrapping_mul(width)
}

/// The boundaries of the new shards that lie inside this shard.
fn inner_boundaries(shard: &OpenShard, target: u32) -> impl Iterator<Item = u128> {
    let (start, end) = (shard.start, shard.end);
    let is_inside = move |at: &u128| start.saturating_add(ROUNDING) < *at && at.saturating_add(ROUNDING) < end;
    (0..target).map(move |n| boundary(n, target)).filter(is_inside)
}

/// Splits come first. Then adjacent shards inside one new range are merged, two at a time.
fn next_step(open: &[OpenShard], target: u32) -> Option<Step> {
    for shard in open {
        let inner: Vec<u128> = inner_boundaries(shard, target).collect();
        // The middle one, so that the lineage stays short.
        if let Some(at) = inner.get(inner.len() / 2) {
            return Some(Step::Split { shard: shard.id.clone(), at: *at });
        }
    }
    let is_boundary = |start: u128| (0..target).any(|n| boundary(n, target).abs_diff(start) <= ROUNDING);
    let pair = open.windows(2).find(|pair| !is_boundary(pair[1].start))?;
    Some(Step::Merge { shard: pair[0].id.clone(), adjacent: pair[1].id.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(count: u32) -> Vec<OpenShard> {
        let end = |n| if n + 1 == count { u128::MAX } else { boundary(n + 1, count) - 1 };
        (0..count).map(|n| OpenShard { id: format!("first-{n}"), start: boundary(n, count), end: end(n) }).collect()
    }

    /// Applies every step and returns how many there were.
    fn apply_steps(open: &mut Vec<OpenShard>, target: u32) -> usize {
        for number in 0.. {
            let id = |part: &str| format!("{number}-{part}");
            match next_step(open, target) {
                None => return number,
                Some(Step::Split { shard, at }) => {
                    let place = open.iter().position(|open| open.id == shard).unwrap();
                    let old = open.remove(place);
                    assert!(old.start + 1 < at && at < old.end, "{at} is not inside of {old:?}");
                    open.insert(place, OpenShard { id: id("b"), start: at, end: old.end });
                    open.insert(place, OpenShard { id: id("a"), start: old.start, end: at - 1 });
                }
                Some(Step::Merge { shard, adjacent }) => {
                    let place = open.iter().position(|open| open.id == shard).unwrap();
                    let (low, high) = (open.remove(place), open.remove(place));
                    assert_eq!((high.id, low.end + 1), (adjacent, high.start));
                    open.insert(place, OpenShard { id: id("m"), start: low.start, end: high.end });
                }
            }
        }
        unreachable!("the steps must end")
    }

    #[test]
    fn every_shard_count_can_become_every_other() {
        for from in 1..=9 {
            for to in 1..=9 {
                let mut open = equal(from);
                apply_steps(&mut open, to);
                assert_eq!(open.len(), to as usize, "{from} to {to}: {open:?}");
                let is_near = |(got, wanted): (&OpenShard, OpenShard)| got.start.abs_diff(wanted.start) <= ROUNDING;
                assert!(open.iter().zip(equal(to)).all(is_near), "{from} to {to}: {open:?}");
            }
        }
    }

    #[test]
    fn doubling_splits_each_and_halving_merges_pairs() {
        assert_eq!(apply_steps(&mut equal(4), 8), 4);
        assert_eq!(apply_steps(&mut equal(8), 4), 4);
        assert_eq!(apply_steps(&mut equal(3), 3), 0);
    }

    #[test]
    fn hash_key_ranges_are_those_of_a_new_stream() {
        assert_eq!(boundary(1, 2), 1 << 127);
        assert_eq!(boundary(1, 3), u128::MAX / 3);
        assert_eq!(boundary(0, 1), 0);
    }
}
