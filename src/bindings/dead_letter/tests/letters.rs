//! A record that an input gave up.

use crate::domain::{
    BindingEvent, DeadLetter, EventOrigin, GiveUpReason, LeaseCounter, RecordPosition, ShardId, Timestamp,
};
use bytes::Bytes;

pub(in super::super) fn letter(data: impl Into<Bytes>, sub_sequence: u64) -> DeadLetter {
    DeadLetter {
        binding: "orders".parse().unwrap(),
        stream: "arn:aws:kinesis:eu-central-1:123456789012:stream/orders".into(),
        epoch: LeaseCounter::new(9),
        event: BindingEvent {
            data: data.into(),
            origin: EventOrigin {
                shard: ShardId::new("shardId-000000000003"),
                position: RecordPosition { sequence: "4959".parse().unwrap(), sub_sequence },
                partition_key: "customer/7".to_owned(),
                arrival: Some(Timestamp::from_millis(1_700_000_000_123)),
            },
            attempt: 5,
        },
        reason: GiveUpReason::Attempts,
        first_attempt: Some(Timestamp::from_millis(1_700_000_001_000)),
        last_attempt: Some(Timestamp::from_millis(1_700_000_009_000)),
        status: Some(422),
        error: Some("the app answered 422 to POST /orders: no such product".to_owned()),
    }
}
