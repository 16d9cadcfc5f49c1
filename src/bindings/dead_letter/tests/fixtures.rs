//! A dead letter of an input, and an output that stores dead letters.

use super::super::context::Registry;
use crate::domain::{
    BindingError, BindingEvent, ComponentName, DeadLetter, EventOrigin, GiveUpReason, InvokeRequest, InvokeResponse,
    LeaseCounter, Outputs, RecordPosition, ShardId, Timestamp,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::{Arc, Mutex};

pub(super) type Answer = fn() -> Result<InvokeResponse, BindingError>;

/// An output that records its requests and answers all of them in the same way.
#[derive(Debug)]
pub(super) struct Target {
    name: ComponentName,
    /// `None` never answers.
    answer: Option<Answer>,
    received: Mutex<Vec<InvokeRequest>>,
}

impl Target {
    pub(super) fn published(answer: Option<Answer>) -> (Arc<Self>, Registry) {
        let target = Arc::new(Self { name: "letters".parse().unwrap(), answer, received: Mutex::default() });
        let registry = Registry::default();
        registry.publish(&(Arc::clone(&target) as Arc<dyn Outputs>));
        (target, registry)
    }

    pub(super) fn take_received(&self) -> Vec<InvokeRequest> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

#[async_trait]
impl Outputs for Target {
    async fn call(&self, name: &ComponentName, request: InvokeRequest) -> Option<Result<InvokeResponse, BindingError>> {
        if *name != self.name {
            return None;
        }
        self.received.lock().unwrap().push(request);
        Some(match self.answer {
            Some(answer) => answer(),
            None => std::future::pending().await,
        })
    }
}

pub(super) fn letter(data: impl Into<Bytes>, sub_sequence: u64) -> DeadLetter {
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
                is_damaged_aggregate: false,
                part: 0,
            },
            attempt: 5,
            not_decompressed: None,
        },
        reason: GiveUpReason::Attempts,
        first_attempt: Some(Timestamp::from_millis(1_700_000_001_000)),
        last_attempt: Some(Timestamp::from_millis(1_700_000_009_000)),
        status: Some(422),
        error: Some("the app answered 422 to POST /orders: no such product".to_owned()),
        response: Some("no such product, and more of the response".to_owned()),
    }
}
