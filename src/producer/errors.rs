//! The errors of the producer itself, beside those that the service returns.

use super::settings::QueueBounds;
use crate::domain::{BindingError, FailureKind, Outcome, ShardId};
use std::time::Duration;

/// Rounds up for `Retry-After`, which has whole seconds; at least one.
pub(super) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(Duration::from_secs(1))
}

/// The producer accepts no more records, or ended before the record was answered.
pub(super) fn closed(outcome: Outcome) -> BindingError {
    let text = match outcome {
        Outcome::NotDone => "the output is closed and accepts no more records: send the record to a running instance",
        Outcome::Unknown => "the output was closed while the record was in flight: it may be stored or not",
    };
    BindingError::new(FailureKind::Closed, text).with_outcome(outcome)
}

pub(super) fn queue_full(bounds: QueueBounds, drain: Duration) -> BindingError {
    let QueueBounds { records, bytes } = bounds;
    let text = format!(
        "the queue is full: at most {records} records (maxQueueRecords) and {bytes} bytes (maxQueueBytes) may wait, \
         try again later"
    );
    BindingError::new(FailureKind::Throttled, text).with_retry_after(whole_seconds(drain))
}

pub(super) fn too_large(size: usize, limit: usize) -> BindingError {
    let text = format!(
        "the record has {size} bytes, payload and partition key together: the limit is {limit} (maxRecordSize), send \
         less, compress it, or raise the limit of the stream and of the component"
    );
    BindingError::new(FailureKind::TooLarge, text)
        .with_detail("size", size.to_string())
        .with_detail("limit", limit.to_string())
}

pub(super) fn rate_limited(shard: Option<&ShardId>, wait: Duration) -> BindingError {
    let scope = shard.map_or_else(|| "the stream".to_owned(), |shard| format!("shard {shard}"));
    let text = format!(
        "the rate limit of {scope} does not allow the record before the deadline of the request: try again later, \
         spread the partition keys, or add shards"
    );
    with_shard(BindingError::new(FailureKind::Throttled, text).with_retry_after(whole_seconds(wait)), shard)
}

pub(super) fn never_sent() -> BindingError {
    let text = "the deadline was reached before the record could be sent: allow more time or try again later";
    BindingError::new(FailureKind::TimedOut, text)
}

/// The deadline passed while the record was in a call.
pub(super) fn deadline_in_flight() -> BindingError {
    let text = "the deadline was reached before the service answered: the record may be stored or not, sending it \
                again may store it twice";
    BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown)
}

pub(super) fn attempt_timed_out(limit: Duration) -> BindingError {
    let text = format!("the call did not end within {limit:?}");
    BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown)
}

/// The task of a call ended without a reply.
pub(super) fn call_lost() -> BindingError {
    BindingError::new(FailureKind::Transient, "the call ended without a reply").with_outcome(Outcome::Unknown)
}

/// The reply has more or fewer results than the call had entries.
pub(super) fn wrong_count(results: usize, sent: usize) -> BindingError {
    let text = format!("the service returned {results} results for {sent} records");
    BindingError::new(FailureKind::Transient, text).with_outcome(Outcome::Unknown)
}

/// An earlier record of the key failed, and later ones must not overtake it.
pub(super) fn ordering_stopped(remaining: Duration) -> BindingError {
    let text = "an earlier record of this key failed and the order must be kept (orderingOnFailure: stop): send that \
                record again first, once the key is free";
    BindingError::new(FailureKind::Conflict, text)
        .with_reason("ORDERING_STOPPED")
        .with_retry_after(whole_seconds(remaining))
}

/// An aggregate was stored in another shard than expected, and there was no time to send its records again.
pub(super) fn misplaced() -> BindingError {
    let text = "the record was packed for another shard than it went to, where consumers ignore it: send it again";
    BindingError::new(FailureKind::Transient, text).with_outcome(Outcome::Unknown)
}

/// Adds the shard, unless the service named it.
pub(super) fn with_shard(error: BindingError, shard: Option<&ShardId>) -> BindingError {
    match shard {
        Some(shard) if error.details().iter().all(|(key, _)| *key != "shardId") => {
            error.with_detail("shardId", shard.as_str())
        }
        Some(_) | None => error,
    }
}
