//! What the status of a component shows of its sides and its credentials. All of it is known to the running component: a
//! read makes no call.

use super::component_calls::ComponentReply;
use super::inputs;
use super::state::ApiState;
use crate::domain::{CredentialReport, OutputReport, OutputShard, RateLimitReport, Rfc3339};
use serde::Serialize;
use serde_json::Value;

/// Shards that are shown of one output. Those whose limit is lowered come before others.
const MAX_SHARDS: usize = 1_000;

/// Adds what the running component knows: what `/v1.0-alpha1/inputs` shows, its output, and its credentials.
pub(super) fn with_sides(state: &ApiState, mut reply: ComponentReply) -> ComponentReply {
    // The tag is that of the document, and this answer changes without it.
    reply.etag = None;
    let Some(name) = &reply.name else { return reply };
    let Some(component) = state.host.component(name) else { return reply };
    let Some(Value::Object(body)) = &mut reply.body else { return reply };
    let input = inputs::entry(state, name);
    let output = component.output().and_then(|output| output.report()).map(OutputEntry::new);
    let credentials = component.binding.credentials().map(CredentialEntry::new);
    let members =
        [("input", member(input)), ("output", member(output)), ("credentials", member(credentials))].into_iter();
    body.extend(members.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    reply
}

fn member(entry: Option<impl Serialize>) -> Option<Value> {
    let written = serde_json::to_value(entry?);
    written.inspect_err(|error| tracing::error!(%error, "status of a component could not be written")).ok()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputEntry {
    pending_records: usize,
    pending_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimitEntry>,
    #[serde(flatten)]
    shard_map: Option<ShardMapEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RateLimitEntry {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    records_per_shard_per_second: Option<u32>,
    bytes_per_shard_per_second: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_factor: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardMapEntry {
    shard_map_age_ms: u64,
    shard_count: usize,
    omitted_shard_count: usize,
    shards: Vec<OutputShardEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputShardEntry {
    shard_id: String,
    /// Texts, because most JSON parsers have no numbers of 128 bits.
    starting_hash_key: String,
    ending_hash_key: String,
    limiter_factor: f64,
}

impl OutputEntry {
    fn new(report: OutputReport) -> Self {
        let OutputReport { pending_records, pending_bytes, rate_limit, shard_map } = report;
        let shard_map = shard_map.map(|map| {
            let age = u64::try_from(map.age.as_millis()).unwrap_or(u64::MAX);
            let (shard_count, mut shards) = (map.shards.len(), map.shards);
            if shard_count > MAX_SHARDS {
                // Stable, so the rest stays in the order of the hash keys.
                shards.sort_by(|one, other| one.limiter_factor.total_cmp(&other.limiter_factor));
                shards.truncate(MAX_SHARDS);
            }
            ShardMapEntry {
                shard_map_age_ms: age,
                shard_count,
                omitted_shard_count: shard_count - shards.len(),
                shards: shards.into_iter().map(OutputShardEntry::new).collect(),
            }
        });
        Self { pending_records, pending_bytes, rate_limit: rate_limit.map(RateLimitEntry::new), shard_map }
    }
}

impl RateLimitEntry {
    fn new(report: RateLimitReport) -> Self {
        let RateLimitReport { mode, records_per_second, bytes_per_second, stream_factor } = report;
        Self {
            mode,
            records_per_shard_per_second: records_per_second,
            bytes_per_shard_per_second: bytes_per_second,
            stream_factor: stream_factor.map(rounded),
        }
    }
}

impl OutputShardEntry {
    fn new(shard: OutputShard) -> Self {
        let OutputShard { shard, range, limiter_factor } = shard;
        Self {
            shard_id: shard.as_str().to_owned(),
            starting_hash_key: range.start.to_string(),
            ending_hash_key: range.end.to_string(),
            limiter_factor: rounded(limiter_factor),
        }
    }
}

/// To thousandths.
fn rounded(factor: f64) -> f64 {
    (factor * 1_000.0).round() / 1_000.0
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CredentialEntry {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Rfc3339>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl CredentialEntry {
    fn new(report: CredentialReport) -> Self {
        let of = |state| Self { state, source: None, expires_at: None, error: None };
        match report {
            CredentialReport::Loading => of("loading"),
            CredentialReport::Available { source, expires_at, is_refused } => Self {
                source: Some(source),
                expires_at: expires_at.and_then(Rfc3339::new),
                ..of(if is_refused { "refused" } else { "available" })
            },
            CredentialReport::Missing { reason } => Self { error: Some(reason), ..of("missing") },
        }
    }
}

#[cfg(test)]
#[path = "tests/component_status.rs"]
mod tests;
