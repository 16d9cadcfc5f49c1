//! What callers are told when a record is not written, apart from what the service itself says.

use super::settings::QueueBounds;
use crate::domain::{BindingError, FailureKind, Outcome, ShardId};
use std::time::Duration;

/// A wait for a header that knows only whole seconds; at least one.
pub(super) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(Duration::from_secs(1))
}

/// The producer takes no more, or ended with the record in hand.
pub(super) fn closed(outcome: Outcome) -> BindingError {
    let text = match outcome {
        Outcome::NotDone => "the output is closed and takes no more records: send it again to a running instance",
        Outcome::Unknown => "the output was closed while the record was under way: it may be stored or not",
    };
    BindingError::new(FailureKind::Closed, text).with_outcome(outcome)
}

/// The queue has no room.
pub(super) fn queue_full(bounds: QueueBounds, drain: Duration) -> BindingError {
    let QueueBounds { records, bytes } = bounds;
    let text = format!(
        "the queue is full: at most {records} records (maxQueueRecords) and {bytes} bytes (maxQueueBytes) may wait, \
         try again later"
    );
    BindingError::new(FailureKind::Throttled, text).with_retry_after(whole_seconds(drain))
}

/// A record above the limit.
pub(super) fn too_large(size: usize, limit: usize) -> BindingError {
    let text = format!(
        "the record has {size} bytes, payload and partition key together: the limit is {limit} (maxRecordSize), send \
         less, compress it, or raise the limit of the stream and of the component"
    );
    BindingError::new(FailureKind::TooLarge, text)
        .with_detail("size", size.to_string())
        .with_detail("limit", limit.to_string())
}

/// The shard's limit leaves no room before the deadline.
pub(super) fn no_room(shard: Option<&ShardId>, wait: Duration) -> BindingError {
    let whose = shard.map_or_else(|| "the stream".to_owned(), |shard| format!("shard {shard}"));
    let text = format!(
        "the limit of {whose} leaves no room before the deadline of the request: try again later, spread the \
         partition keys, or add shards"
    );
    at(BindingError::new(FailureKind::Throttled, text).with_retry_after(whole_seconds(wait)), shard)
}

/// The deadline came before the record could be sent.
pub(super) fn never_sent() -> BindingError {
    let text = "the deadline was reached before the record could be sent: allow more time or try again later";
    BindingError::new(FailureKind::TimedOut, text)
}

/// The deadline came while the service had the record.
pub(super) fn cut() -> BindingError {
    let text = "the deadline was reached before the service answered: the record may be stored or not, sending it \
                again may store it twice";
    BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown)
}

/// One call took too long.
pub(super) fn attempt_cut(limit: Duration) -> BindingError {
    let text = format!("the call did not end within {limit:?}");
    BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown)
}

/// A call did not come back at all.
pub(super) fn call_lost() -> BindingError {
    BindingError::new(FailureKind::Transient, "the call of the service ended without an answer")
        .with_outcome(Outcome::Unknown)
}

/// The writer answered for another number of records than it was given.
pub(super) fn miscounted(answers: usize, sent: usize) -> BindingError {
    let text = format!("the service answered for {answers} of {sent} records");
    BindingError::new(FailureKind::Transient, text).with_outcome(Outcome::Unknown)
}

/// An earlier record of the key failed for good, and later ones must not overtake it.
pub(super) fn stopped(left: Duration) -> BindingError {
    let text = "an earlier record of this key failed and the order must be kept (orderingOnFailure: stop): send that \
                record again first, once the key is free";
    BindingError::new(FailureKind::Conflict, text).with_reason("ORDERING_STOPPED").with_retry_after(whole_seconds(left))
}

/// An aggregate went to another shard than predicted, and there was no time to send its record again.
pub(super) fn misplaced() -> BindingError {
    let text = "the record was packed for another shard than it went to, where consumers skip it: send it again";
    BindingError::new(FailureKind::Transient, text).with_outcome(Outcome::Unknown)
}

/// Adds the shard.
pub(super) fn at(error: BindingError, shard: Option<&ShardId>) -> BindingError {
    match shard {
        Some(shard) if error.details().iter().all(|(key, _)| *key != "shardId") => {
            error.with_detail("shardId", shard.as_str())
        }
        Some(_) | None => error,
    }
}
