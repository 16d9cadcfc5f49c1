//! The fields that say which records share a call, and which of them become one.

use super::super::shaping::Expression;
use crate::aggregation::JoinForm;
use crate::manifest::Reader;
use crate::producer::{Aggregation, Batching, DEFAULT_AGGREGATE_SIZE, Ordering, ProducerSettings};
use std::time::Duration;

const MAX_DELAY: Duration = Duration::from_secs(60);
const MIN_SIZE: usize = 1 << 10;
/// The largest call, and the largest record that a stream may allow.
const MAX_SIZE: usize = 10 << 20;

pub(super) fn read_batching(reader: &mut Reader<'_>, request: Duration) -> Batching {
    let default = Batching::default();
    let is_disabled = reader.boolean("disableBatching").unwrap_or(false);
    let max_delay = reader.duration("batchingMaxPublishDelay", Duration::ZERO..=MAX_DELAY).unwrap_or(default.max_delay);
    if max_delay >= request {
        let remedy = "lower it: under load, every request may wait that long";
        reader.fault("batchingMaxPublishDelay", "it is not below `requestTimeout`", remedy);
    }
    let batching = Batching {
        is_enabled: !is_disabled,
        // The bounds of `PutRecords`.
        max_records: reader
            .number("batchingMaxMessages", 1..=500)
            .and_then(|max| usize::try_from(max).ok())
            .unwrap_or(default.max_records),
        max_bytes: reader.size("batchingMaxSize", MIN_SIZE..=MAX_SIZE).unwrap_or(default.max_bytes),
        max_delay,
    };
    for field in ["batchingMaxMessages", "batchingMaxSize", "batchingMaxPublishDelay"] {
        if is_disabled && reader.is_given(field) {
            reader.fault(field, "it has no effect with `disableBatching`", "leave one of them out");
        }
    }
    batching
}

pub(super) fn read_aggregation(reader: &mut Reader<'_>, ordering: Ordering, batching: Batching) -> Aggregation {
    let words = [
        ("none", Aggregation::None),
        ("key", Aggregation::Key),
        ("shard", Aggregation::Shard),
        ("lines", Aggregation::Joined(JoinForm::Lines)),
        ("json-array", Aggregation::Joined(JoinForm::JsonArray)),
    ];
    let aggregation = reader.one_of("aggregation", &words).unwrap_or_default();
    match (aggregation, ordering) {
        (Aggregation::None, _) => return aggregation,
        (Aggregation::Key | Aggregation::Shard | Aggregation::Joined(_), Ordering::Strict) => {
            let problem = "`ordering: strict` sends each record alone, so there is nothing to aggregate";
            reader.fault("aggregation", problem, "leave one of them out, or write `ordering: key`");
        }
        (Aggregation::Key | Aggregation::Shard | Aggregation::Joined(_), Ordering::None | Ordering::Key) => {}
    }
    if !batching.is_enabled {
        let problem = "without batching there are no records to aggregate";
        reader.fault("aggregation", problem, "leave `disableBatching` or `aggregation` out");
    }
    aggregation
}

/// `aggregationMaxSize`, at most the size of a record.
pub(super) fn read_aggregate_size(reader: &mut Reader<'_>, aggregation: Aggregation, max_record_size: usize) -> usize {
    let size = reader.size("aggregationMaxSize", MIN_SIZE..=MAX_SIZE);
    if size.is_some() && aggregation == Aggregation::None {
        reader.fault(
            "aggregationMaxSize",
            "it has no effect without `aggregation`",
            "leave it out, or add `aggregation`",
        );
    }
    if size.is_some_and(|size| size > max_record_size) {
        let remedy = "lower it, or raise `maxRecordSize` if the stream allows larger records";
        reader.fault("aggregationMaxSize", "it is above `maxRecordSize`", remedy);
    }
    size.unwrap_or(DEFAULT_AGGREGATE_SIZE)
}

pub(super) fn read_flush(reader: &mut Reader<'_>, producer: &ProducerSettings) -> Option<Expression> {
    let field = "batchingFlushExpression";
    let expression = Expression::read(reader, field);
    if reader.is_given(field) {
        if !producer.batching.is_enabled {
            reader.fault(field, "it has no effect with `disableBatching`", "leave one of them out");
        }
        if producer.ordering == Ordering::Strict {
            let problem = "`ordering: strict` sends each record alone, so there are no batches to end";
            reader.fault(field, problem, "leave one of them out, or write `ordering: key`");
        }
    }
    expression
}
