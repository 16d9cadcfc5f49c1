//! `GET /v1.0-alpha1/inputs`: each input, and each shard of its stream. `/v1.0/metadata` shows the same.

use super::json_response::json_response;
use super::state::ApiState;
use crate::domain::{Checkpoint, ErrorReport, HeldShard, InputReport, SentinelCheckpoint, ShardReport};
use crate::runtime::InputState;
use axum::response::Response;
use serde::Serialize;

/// Shards that are shown for one input. Those that this sidecar reads come before others.
const MAX_SHARDS: usize = 1_000;
const UNHEALTHY_APP: &str = "the app is not healthy, so its inputs are not read; look at the log, and at \
                             --app-health-check-path";

/// `GET /v1.0-alpha1/inputs`.
pub(super) fn inputs(state: &ApiState) -> Response {
    json_response(&InputsPage { inputs: entries(state) })
}

pub(super) fn entries(state: &ApiState) -> Vec<InputEntry> {
    state.host.input_reports().into_iter().map(|(name, input)| new_entry(state, &name, input)).collect()
}

/// The input of one component; `None` if it has none.
pub(super) fn entry(state: &ApiState, name: &str) -> Option<InputEntry> {
    let report = state.host.component(name)?.input_report()?;
    Some(new_entry(state, name, report.1))
}

fn new_entry(state: &ApiState, name: &str, mut input: InputState) -> InputEntry {
    if state.app.health.is_some() && !*state.is_app_healthy.borrow() {
        input.refusal.get_or_insert_with(|| UNHEALTHY_APP.to_owned());
    }
    InputEntry::new(name, input)
}

#[derive(Serialize)]
struct InputsPage {
    inputs: Vec<InputEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputEntry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    #[serde(flatten)]
    reading: Option<ReadingEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadingEntry {
    mode: &'static str,
    stream: String,
    lease_table: String,
    worker: String,
    #[serde(flatten)]
    last_error: Option<ErrorEntry>,
    shard_count: usize,
    held_shard_count: usize,
    omitted_shard_count: usize,
    shards: Vec<ShardEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardEntry {
    shard_id: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_owner: Option<String>,
    checkpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_sequence_number: Option<u64>,
    #[serde(flatten)]
    held: Option<HeldEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeldEntry {
    epoch: u64,
    lag_ms: u64,
    parked_keys: usize,
    in_flight: usize,
    buffered_records: usize,
    buffered_bytes: usize,
    #[serde(flatten)]
    last_error: Option<ErrorEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorEntry {
    last_error: String,
    last_error_age_ms: u64,
}

impl InputEntry {
    fn new(name: &str, state: InputState) -> Self {
        let InputState { refusal, fallback, report } = state;
        Self { name: name.to_owned(), refusal, fallback, reading: report.map(ReadingEntry::new) }
    }
}

impl ReadingEntry {
    fn new(report: InputReport) -> Self {
        let InputReport { mode, stream, lease_table, worker, last_error, mut shards } = report;
        let (shard_count, held_shard_count) =
            (shards.len(), shards.iter().filter(|shard| shard.held.is_some()).count());
        if shard_count > MAX_SHARDS {
            // Stable, so the ids stay in order.
            shards.sort_by_key(|shard| shard.held.is_none());
            shards.truncate(MAX_SHARDS);
        }
        Self {
            mode,
            stream,
            lease_table,
            worker: worker.as_str().to_owned(),
            last_error: last_error.as_ref().map(ErrorEntry::new),
            shard_count,
            held_shard_count,
            omitted_shard_count: shard_count - shards.len(),
            shards: shards.into_iter().map(ShardEntry::new).collect(),
        }
    }
}

impl ShardEntry {
    fn new(report: ShardReport) -> Self {
        let ShardReport { shard, owner, next_owner, checkpoint, held } = report;
        let state = match (&held, &owner) {
            (Some(held), _) => held.state.as_str(),
            (None, Some(_)) => "other_owner",
            (None, None) => "no_owner",
        };
        // The words and numbers of the lease table.
        let (checkpoint, sub_sequence_number) = match checkpoint {
            Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon) => ("TRIM_HORIZON".to_owned(), None),
            Checkpoint::NotStarted(SentinelCheckpoint::Latest) => ("LATEST".to_owned(), None),
            Checkpoint::NotStarted(SentinelCheckpoint::AtTimestamp) => ("AT_TIMESTAMP".to_owned(), None),
            Checkpoint::Ended => ("SHARD_END".to_owned(), None),
            Checkpoint::After(position) => (position.sequence.to_string(), Some(position.sub_sequence)),
        };
        Self {
            shard_id: shard.as_str().to_owned(),
            state,
            owner: owner.map(|owner| owner.as_str().to_owned()),
            next_owner: next_owner.map(|owner| owner.as_str().to_owned()),
            checkpoint,
            sub_sequence_number,
            held: held.as_ref().map(HeldEntry::new),
        }
    }
}

impl HeldEntry {
    fn new(held: &HeldShard) -> Self {
        Self {
            epoch: held.epoch.value(),
            lag_ms: millis(held.lag),
            parked_keys: held.parked,
            in_flight: held.in_flight,
            buffered_records: held.buffered_records,
            buffered_bytes: held.buffered_bytes,
            last_error: held.last_error.as_ref().map(ErrorEntry::new),
        }
    }
}

impl ErrorEntry {
    fn new(error: &ErrorReport) -> Self {
        Self { last_error: error.message.to_string(), last_error_age_ms: millis(error.age) }
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "tests/inputs.rs"]
mod tests;
